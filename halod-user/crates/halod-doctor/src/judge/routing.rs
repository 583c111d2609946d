//! The sysctls of a router.

use crate::facts::{Answers, Device, Facts, Network, Way};
use crate::finding::{Findings, Level, sysctl};

pub(super) fn forwarding(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "forwarding";
    let network = &facts.network;
    if facts.cluster.uses(true) {
        match network.sysctl("ipv4/ip_forward") {
            Some(0) => {
                let text = "this machine does not forward IPv4 packets";
                let mend = sysctl("ipv4/ip_forward", 1);
                findings.add(CHECK, Level::Problem, text, vec![mend]);
            }
            Some(_) => devices(network, findings),
            None => findings.unknown(CHECK, "/proc/sys/net/ipv4/ip_forward cannot be read"),
        }
    }
    if facts.cluster.uses(false) {
        // A device's own value makes it a router's or a host's; forwarding goes by this one
        // (ip6_forward, net/ipv6/ip6_output.c).
        match network.of("ipv6", "all", "forwarding") {
            Some(0) => {
                let text = "this machine does not forward IPv6 packets";
                let mend = sysctl("ipv6/conf/all/forwarding", 1);
                findings.add(CHECK, Level::Problem, text, vec![mend]);
            }
            Some(_) => {}
            None => findings.unknown(
                CHECK,
                "/proc/sys/net/ipv6/conf/all/forwarding cannot be read",
            ),
        }
    }
    if findings.clean(CHECK) {
        findings.ok(CHECK, "packets of the listeners' IP versions are forwarded");
    }
}

/// Where IPv4 is forwarded in general, a device may still be told not to.
fn devices(network: &Network, findings: &mut Findings) {
    for device in network.carriers(true) {
        if network.of("ipv4", &device.name, "forwarding") == Some(0) {
            let (level, who) = if network.serves_nodes(device.index) {
                (Level::Problem, "nodes' answers")
            } else {
                (Level::Warning, "clients")
            };
            let text = format!(
                "IPv4 packets that come in by {} are not forwarded: {who}",
                device.name
            );
            let mend = sysctl(&format!("ipv4/conf/{}/forwarding", device.name), 1);
            findings.add("forwarding", level, text, vec![mend]);
        }
    }
}

/// A strict filter drops what comes in by another device than answers would leave by.
pub(super) fn rp_filter(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "rp_filter";
    let network = &facts.network;
    if !facts.cluster.uses(true) {
        return;
    }
    for device in network
        .carriers(true)
        .filter(|device| strict(network, device))
    {
        let mend = vec![sysctl(&format!("ipv4/conf/{}/rp_filter", device.name), 2)];
        for node in &facts.cluster.nodes {
            for address in node.addresses.iter().filter(|address| address.is_ipv4()) {
                let heard = network.neighbours.iter().any(|it| {
                    it.address == *address
                        && it.device == device.index
                        && it.answers == Answers::Yes
                });
                let elsewhere = match network.ways.get(address) {
                    Some(Way::Out { device: way, .. }) if *way != device.index => *way,
                    _ => continue,
                };
                if heard {
                    let text = format!(
                        "{} ({address}) is heard on {}, but the route to it leaves by {}: the strict \
                         reverse path filter there drops its answers",
                        node.name,
                        device.name,
                        network.name(elsewhere)
                    );
                    findings.add(CHECK, Level::Problem, text, mend.clone());
                }
            }
        }
        let defaults = || network.defaults.iter().filter(|route| route.v4);
        let best = defaults().map(|route| route.metric).min();
        let used =
            |index| defaults().any(|route| route.device == index && Some(route.metric) == best);
        if defaults().any(|route| route.device == device.index) && !used(device.index) {
            let text = format!(
                "clients may come in by {}, which a second default route leaves by; the strict reverse \
                 path filter there drops those to whom the first one leads",
                device.name
            );
            findings.add(CHECK, Level::Warning, text, mend);
        }
    }
    if findings.clean(CHECK) {
        let dropped = match network.rp_filtered {
            Some(dropped) if dropped > 0 => {
                format!(" ({dropped} packets so far were dropped by it)")
            }
            _ => String::new(),
        };
        findings.ok(
            CHECK,
            format!("the reverse path filter is in nobody's way{dropped}"),
        );
    }
}

/// The greater of the two counts (`IN_DEV_RPFILTER`, include/linux/inetdevice.h); 1 is strict.
fn strict(network: &Network, device: &Device) -> bool {
    let of = |name: &str| network.of("ipv4", name, "rp_filter").unwrap_or(0);
    of("all").max(of(&device.name)) == 1
}

/// A router does not take up router advertisements, unless it is told to.
pub(super) fn accept_ra(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "accept_ra";
    let network = &facts.network;
    if !facts.cluster.uses(false) {
        return;
    }
    for route in network
        .defaults
        .iter()
        .filter(|route| route.advertised && !route.v4)
    {
        let name = network.name(route.device);
        let forwards = network.of("ipv6", &name, "forwarding") == Some(1);
        if forwards && network.of("ipv6", &name, "accept_ra") != Some(2) {
            let text = format!(
                "the default route by {name} came from a router advertisement; as this machine is a \
                 router, it takes no further ones, and the route expires"
            );
            let mend = sysctl(&format!("ipv6/conf/{name}/accept_ra"), 2);
            findings.add(CHECK, Level::Problem, text, vec![mend]);
        }
    }
    if findings.clean(CHECK) {
        findings.ok(
            CHECK,
            "no route waits for a router advertisement that would not be heard",
        );
    }
}

/// Where clients and nodes share a device, every packet would bring its sender a redirect.
pub(super) fn redirects(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "redirects";
    let network = &facts.network;
    if !facts.cluster.uses(true) {
        return;
    }
    for device in network
        .carriers(true)
        .filter(|device| network.serves_nodes(device.index))
    {
        let shared = network
            .defaults
            .iter()
            .any(|route| route.v4 && route.device == device.index);
        // Either suffices (`IN_DEV_TX_REDIRECTS`, include/linux/inetdevice.h).
        let on: Vec<_> = ["all", &device.name]
            .into_iter()
            .filter(|name| network.of("ipv4", name, "send_redirects") == Some(1))
            .collect();
        if shared && !on.is_empty() {
            let text = format!(
                "clients and nodes share {}, and this machine tells clients by redirects to go to \
                 nodes directly, which cannot work",
                device.name
            );
            let mend = on
                .iter()
                .map(|name| sysctl(&format!("ipv4/conf/{name}/send_redirects"), 0));
            findings.add(CHECK, Level::Warning, text, mend.collect());
        }
    }
    if findings.clean(CHECK) {
        findings.ok(CHECK, "nobody is redirected past HaloD");
    }
}
