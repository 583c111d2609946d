//! Devices: how much they carry, and who else sees it.

use crate::facts::Facts;
use crate::finding::{Findings, Level, sysctl};

/// The least that IPv6 needs (RFC 8200, section 5).
const IPV6_LEAST: u32 = 1280;

pub(super) fn mtu(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "mtu";
    let network = &facts.network;
    let both = || {
        network.devices.iter().filter(|device| {
            [true, false].iter().any(|v4| {
                facts.cluster.uses(*v4) && network.carriers(*v4).any(|it| it.index == device.index)
            })
        })
    };
    let widest = both().map(|device| device.mtu).max().unwrap_or_default();
    for device in both() {
        let (name, mtu) = (&device.name, device.mtu);
        if facts.cluster.uses(false) && mtu < IPV6_LEAST {
            // The kernel has taken IPv6 from it, addresses and all; whether it had it cannot be seen any more.
            let level = if network.serves_nodes(device.index) {
                Level::Problem
            } else {
                Level::Warning
            };
            let text = format!(
                "{name} carries packets of {mtu} bytes at most, and so no IPv6, which needs {IPV6_LEAST}: \
                 its IPv6 addresses and routes went, give them again afterwards"
            );
            let mend = format!("ip link set {name} mtu {IPV6_LEAST}");
            findings.add(CHECK, level, text, vec![mend]);
        } else if network.serves_nodes(device.index) && mtu < widest {
            let text = format!(
                "{name}, where nodes are, carries packets of {mtu} bytes at most, another device \
                 {widest}: clients have to find that out by path MTU discovery"
            );
            let mend = format!("ip link set {name} mtu {widest}");
            findings.add(CHECK, Level::Warning, text, vec![mend]);
        }
    }
    if findings.clean(CHECK) {
        findings.ok(
            CHECK,
            format!("packets of up to {widest} bytes reach the nodes' devices whole"),
        );
    }
}

/// br_netfilter shows bridged frames to the hooks of routed packets, HaloD's too.
pub(super) fn bridge(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "bridge";
    let on: Vec<_> = [(true, "iptables"), (false, "ip6tables")]
        .into_iter()
        .filter(|(v4, _)| facts.cluster.uses(*v4))
        .map(|(_, name)| format!("bridge/bridge-nf-call-{name}"))
        .filter(|key| facts.network.sysctl(key) == Some(1))
        .collect();
    if on.is_empty() {
        return findings.ok(
            CHECK,
            "frames that are only bridged pass no hook of HaloD's",
        );
    }
    let text = "br_netfilter leads bridged frames through HaloD's hooks: machines that talk over a bridge \
                of this machine to a node's own address and route ports get answers from the VIP, and so \
                none";
    let mend = on.iter().map(|key| sysctl(key, 0)).collect();
    findings.add(CHECK, Level::Warning, text, mend);
}
