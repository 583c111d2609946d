//! `halodctl fast-path`.

use halod_netlink::{Client, Device, DeviceState, FastPath};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Output, table};

/// What the kernel says of it.
#[derive(Serialize)]
struct Report {
    /// The table's setting.
    fast_path: FastPath,
    devices: Vec<Device>,
    packets: Vec<Way>,
}

/// Packets of one name in docs/counters.md.
#[derive(Serialize)]
struct Way {
    name: String,
    packets: u64,
}

pub async fn run(output: &mut Output) -> Result<(), Failure> {
    let mut kernel = Client::connect()?;
    let packets = kernel.fast_path().await?.into_iter();
    let report = Report {
        fast_path: kernel.table().await?.fast_path,
        devices: kernel.devices().await?,
        packets: packets
            .map(|(name, packets)| Way { name, packets })
            .collect(),
    };
    output.result(&report, text)
}

fn text(report: &Report) -> String {
    let devices = report.devices.iter().map(|device| {
        [
            device.name.clone(),
            why(device.ipv4, report.fast_path).to_owned(),
            why(device.ipv6, report.fast_path).to_owned(),
        ]
    });
    let packets = report
        .packets
        .iter()
        .map(|way| [way.name.clone(), way.packets.to_string()]);
    [
        format!("The fast path is {}.\n", report.fast_path),
        table(&["DEVICE", "IPV4", "IPV6"], devices),
        table(&["WAY", "PACKETS"], packets),
    ]
    .join("\n")
}

/// Whether packets that arrive by a device take it, and if not, why.
fn why(state: DeviceState, setting: FastPath) -> &'static str {
    match state {
        DeviceState::Fast => "fast",
        DeviceState::Off if setting == FastPath::Off => "off",
        DeviceState::Off => "no memory for a hook",
        DeviceState::Loopback => "loopback",
        DeviceState::Enslaved => "in a bridge, bond or VRF",
        DeviceState::Taken => "its packets go elsewhere (macvlan, say)",
        DeviceState::Firewall => "a firewall or conntrack has hooks",
        DeviceState::Policy => "IPsec policies, or no forwarding",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_says_why_not() {
        let device = |name: &str, ipv4, ipv6| Device {
            index: 1,
            name: name.into(),
            ipv4,
            ipv6,
        };
        let report = Report {
            fast_path: FastPath::Auto,
            devices: vec![
                device("lo", DeviceState::Loopback, DeviceState::Loopback),
                device("eth0", DeviceState::Fast, DeviceState::Firewall),
            ],
            packets: vec![Way {
                name: "fast".into(),
                packets: 7,
            }],
        };
        let text = text(&report);
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines[0], "The fast path is auto.");
        assert_eq!(lines[3], "lo      loopback  loopback");
        assert_eq!(
            lines[4],
            "eth0    fast      a firewall or conntrack has hooks"
        );
        assert_eq!(lines[7], "fast  7");
        let json = serde_json::to_value(&report).expect("JSON");
        assert_eq!(json["fast_path"], "auto");
        assert_eq!(json["devices"][1]["ipv6"], "firewall");
    }
}
