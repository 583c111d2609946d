//! The ways to the nodes, and back.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::facts::{Answers, Device, Facts, Node, Way};
use crate::finding::{Findings, Level};

/// Nodes' addresses of the listeners' IP versions.
fn addresses(facts: &Facts) -> impl Iterator<Item = (&Node, IpAddr)> {
    let each = facts.cluster.nodes.iter();
    each.flat_map(|node| node.addresses.iter().map(move |address| (node, *address)))
        .filter(|(_, address)| facts.cluster.uses(address.is_ipv4()))
}

pub(super) fn routes(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "routes";
    let network = &facts.network;
    let (mut on_link, mut beyond) = (BTreeMap::new(), BTreeMap::new());
    for (node, address) in addresses(facts) {
        let name = &node.name;
        match network.ways.get(&address) {
            None => findings.unknown(CHECK, format!("{name} ({address}): no route was looked up")),
            Some(Way::Local) => {
                let text =
                    format!("{name} ({address}) is this machine itself: a node needs its own");
                findings.add(CHECK, Level::Problem, text, Vec::new());
                findings.shown_by(format!("ip -brief address show to {address}"));
            }
            Some(Way::None(why)) => {
                let down = network.devices.iter().find(|device| {
                    !device.up && device.addresses.iter().any(|net| net.contains(&address))
                });
                let (remedy, mend) = match down {
                    Some(Device { name, .. }) => (
                        format!("{name} is down"),
                        vec![format!("ip link set {name} up")],
                    ),
                    None => (
                        format!(
                            "add a route to it, `ip route add {address} via ROUTER` or `dev DEVICE`"
                        ),
                        Vec::new(),
                    ),
                };
                let text = format!("{name} ({address}) cannot be reached: {why}; {remedy}");
                findings.add(CHECK, Level::Problem, text, mend);
                findings.shown_by(format!("ip route show table all match {address}"));
            }
            Some(Way::Out {
                device,
                gateway: None,
            }) => {
                *on_link.entry(network.name(*device)).or_insert(0) += 1;
            }
            Some(Way::Out {
                device,
                gateway: Some(gateway),
            }) => {
                let default = network
                    .defaults
                    .iter()
                    .any(|route| route.device == *device && route.gateway == Some(*gateway));
                if facts.cluster.needs_neighbours(address.is_ipv4()) {
                    let text = format!(
                        "{name} ({address}) is behind {gateway}: a listener with deliver = \"dsr\" reaches \
                         only nodes on a network of this machine"
                    );
                    findings.add(CHECK, Level::Problem, text, Vec::new());
                    findings.shown_by(format!("ip route get {address}"));
                } else if default && facts.cluster.answered_here(None) {
                    let text = format!(
                        "{name} ({address}) is reached by the default route, as clients are: its answers \
                         come back through HaloD only where {gateway} leads them here"
                    );
                    findings.add(CHECK, Level::Warning, text, Vec::new());
                    findings.shown_by(format!("ip route get {address}"));
                } else {
                    *beyond.entry(gateway.to_string()).or_insert(0) += 1;
                }
            }
        }
    }
    let told = |(at, number): (&String, &usize), how: &str| {
        let plural = if *number == 1 { "" } else { "es" };
        format!("{number} address{plural} {how} {at}")
    };
    let parts: Vec<_> = on_link
        .iter()
        .map(|it| told(it, "on-link at"))
        .chain(beyond.iter().map(|it| told(it, "via")))
        .collect();
    if !parts.is_empty() {
        let mut text = format!("nodes: {}", parts.join(", "));
        if !beyond.is_empty() && facts.cluster.answered_here(None) {
            text += " (these routers must lead the nodes' answers back here)";
        }
        findings.ok(CHECK, text);
    } else if facts.cluster.nodes.is_empty() {
        findings.ok(CHECK, "no node is known yet");
    }
}

pub(super) fn neighbours(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "neighbours";
    let network = &facts.network;
    for (node, address) in addresses(facts) {
        let Some(Way::Out { device, gateway }) = network.ways.get(&address) else {
            continue;
        };
        let hop = gateway.unwrap_or(address);
        let silent = network
            .neighbours
            .iter()
            .any(|it| it.address == hop && it.device == *device && it.answers == Answers::No);
        if silent {
            let (name, device) = (&node.name, network.name(*device));
            let text = match gateway {
                None => format!(
                    "{name} ({address}) does not answer on {device}: is it off, or its cable?"
                ),
                Some(gateway) => {
                    format!("{gateway}, the way to {name} ({address}), does not answer on {device}")
                }
            };
            let level = if node.lost {
                Level::Warning
            } else {
                Level::Problem
            };
            findings.add(CHECK, level, text, Vec::new());
            findings.shown_by(format!("ping -c 3 {hop}"));
        }
    }
    if findings.clean(CHECK) {
        findings.ok(
            CHECK,
            "every node's next hop is there, as far as it was asked",
        );
    }
}

/// Whether nodes answer through HaloD, by what has passed so far.
pub(super) fn answers(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "answers";
    /// So many packets without an answer are no coincidence.
    const MANY: u64 = 20;
    let counters = &facts.kernel.counters;
    let sum = |names: &[&str]| -> u64 { names.iter().filter_map(|name| counters.get(*name)).sum() };
    let there = sum(&["forward", "forward_former", "forward_full"]);
    let back = sum(&["reverse"]);
    let counted = |findings: &mut Findings, level, text: String| {
        findings.add(CHECK, level, text, Vec::new());
        findings.shown_by("halodctl kernel counters");
    };
    if counters.is_empty() {
        return findings.unknown(CHECK, "the module's counters cannot be read");
    }
    if let Some(far) = counters.get("drop_far_node").filter(|far| **far > 0) {
        let text = format!(
            "{far} packets were dropped so far, since their node is on no network of this machine: \
             what deliver = \"dsr\" needs"
        );
        return counted(findings, Level::Warning, text);
    }
    // What nodes answer to clients directly is not seen here.
    if there >= MANY && back == 0 && facts.cluster.answered_here(None) {
        let text = format!(
            "{there} packets went to nodes, and no answer came back this way: on each node the route to \
             clients must lead here (`ip route get CLIENT` there tells), and no node may have another"
        );
        return counted(findings, Level::Problem, text);
    }
    if let Some(lost) = counters.get("drop_no_route").filter(|lost| **lost > 0) {
        let text = format!("{lost} packets were dropped so far for lack of a route to their node");
        return counted(findings, Level::Warning, text);
    }
    findings.ok(
        CHECK,
        format!("{there} packets to nodes, {back} back so far"),
    );
}
