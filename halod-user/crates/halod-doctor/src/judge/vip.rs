//! The VIPs, and who else has their ports.

use std::net::IpAddr;

use halod_netlink::Protocol;

use crate::facts::{Device, Facts, Listener, Network, Socket};
use crate::finding::{Findings, Level, sysctl};

pub(super) fn vip(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "vip";
    let network = &facts.network;
    for vip in facts.cluster.vips() {
        let prefix = if vip.is_ipv4() { 32 } else { 128 };
        let has = |it: &&Device| it.addresses.iter().any(|net| net.addr() == vip);
        let devices: Vec<_> = network.devices.iter().filter(has).collect();
        if devices.is_empty() && !network.local.contains(&vip) {
            let text = format!("{vip} is no address of this machine");
            let mend = format!("ip address add {vip}/{prefix} dev lo");
            findings.add(CHECK, Level::Problem, text, vec![mend]);
            continue;
        }
        let shared = network.devices.iter().find(|device| {
            network.serves_nodes(device.index)
                && device
                    .addresses
                    .iter()
                    .any(|net| net.contains(&vip) && net.prefix_len() < prefix)
        });
        if let Some(device) = shared.filter(|_| !facts.cluster.answered_here(Some(vip))) {
            let text = format!(
                "{vip} is in the nodes' own network ({}), and they have it too: none of them may answer \
                 ARP for it; on each node `sysctl -w net.ipv4.conf.all.arp_ignore=1 \
                 net.ipv4.conf.all.arp_announce=2`",
                device.name
            );
            findings.add(CHECK, Level::Warning, text, Vec::new());
            continue;
        }
        if let Some(device) = shared {
            let text = format!(
                "{vip} is in the nodes' own network ({}): clients there get their answers from the \
                 nodes directly, and so from the wrong address, unless the nodes' routes to them \
                 lead through HaloD",
                device.name
            );
            findings.add(CHECK, Level::Warning, text, Vec::new());
            continue;
        }
        let at = match devices.first() {
            Some(device) if !device.up => {
                let text = format!("{vip} is on {}, which is down", device.name);
                let mend = format!("ip link set {} up", device.name);
                findings.add(CHECK, Level::Problem, text, vec![mend]);
                continue;
            }
            Some(device) => format!("on {}", device.name),
            None => "local by a route".to_owned(),
        };
        findings.ok(CHECK, format!("{vip} is {at}"));
    }
    if facts.cluster.listeners.is_empty() {
        findings.unknown(
            CHECK,
            "no listener is known: neither halod, nor its configuration, nor the kernel tells one",
        );
    }
}

/// HaloD takes every packet to a listener's port before a socket of this machine could.
pub(super) fn ports(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "ports";
    let sockets = match &facts.sockets {
        Ok(sockets) => sockets,
        Err(error) => return findings.unknown(CHECK, format!("this machine's sockets: {error}")),
    };
    for socket in sockets {
        let Some(listener) = facts
            .cluster
            .listeners
            .iter()
            .find(|it| concerns(it, socket))
        else {
            continue;
        };
        let (protocol, local) = (socket.protocol, socket.local);
        let port = local.port();
        let who = match &socket.owner {
            Some(owner) => format!("{}, process {}", owner.name, owner.pid),
            None => "whose, cannot be seen".to_owned(),
        };
        let (level, text) = if !socket.listens {
            (
                Level::Problem,
                format!(
                    "a connection of this machine's own has {protocol} {local}, a port of listener \
                     {}: its answers go to a node ({who})",
                    listener.name
                ),
            )
        } else if local.ip().is_unspecified() {
            (
                Level::Warning,
                format!(
                    "a program listens on {protocol} {local}, and gets nothing for {}, where the port \
                     is listener {}'s ({who})",
                    listener.address, listener.name
                ),
            )
        } else {
            (
                Level::Problem,
                format!(
                    "a program listens on {protocol} {local}, a port of listener {}, and gets \
                     nothing: all of it goes to nodes ({who})",
                    listener.name
                ),
            )
        };
        findings.add(CHECK, level, text, mend(socket).into_iter().collect());
        findings.shown_by(format!("ss -Hanp sport = :{port}"));
    }
    outgoing(facts, findings, CHECK);
    if findings.clean(CHECK) {
        findings.ok(CHECK, "no socket of this machine has a listener's port");
    }
}

/// Closes a connection of this machine's own, which does not work anyway. A program that listens had better be told
/// another port than be ended: it may do more than that.
fn mend(socket: &Socket) -> Option<String> {
    let protocol = match socket.protocol {
        Protocol::Tcp => 't',
        Protocol::Udp => 'u',
    };
    (!socket.listens).then(|| format!("ss -HK{protocol} src '{}'", socket.local))
}

/// An unspecified IPv6 address takes IPv4 too, unless it was told not to.
fn concerns(listener: &Listener, socket: &Socket) -> bool {
    let ip = socket.local.ip();
    let same = if ip.is_unspecified() {
        socket.listens && (ip.is_ipv6() || listener.address.is_ipv4())
    } else {
        ip == listener.address
    };
    same && socket.protocol == listener.protocol
        && (listener.first..=listener.last).contains(&socket.local.port())
}

/// Connections of this machine's own may get a listener's port where a VIP is their address.
fn outgoing(facts: &Facts, findings: &mut Findings, check: &'static str) {
    let network = &facts.network;
    let Some((low, high)) = network.ephemeral else {
        return;
    };
    let chosen = |vip: IpAddr| {
        let with = |it: &Device| it.addresses.iter().any(|net| net.addr() == vip);
        network
            .devices
            .iter()
            .any(|device| !device.loopback && with(device))
    };
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for listener in &facts.cluster.listeners {
        let range = (listener.first, listener.last);
        let overlaps = listener.first <= high && low <= listener.last;
        if overlaps
            && chosen(listener.address)
            && !reserved(network, range)
            && !ranges.contains(&range)
        {
            ranges.push(range);
        }
    }
    if ranges.is_empty() {
        return;
    }
    let said = ranges
        .iter()
        .map(|(first, last)| format!("{first}-{last}"))
        .collect::<Vec<_>>()
        .join(",");
    let text = format!(
        "connections that this machine opens from a VIP may get a listener's port ({said}), and their \
         answers go to a node: {low}-{high} are ports that it picks from"
    );
    let all = if network.reserved.is_empty() {
        said
    } else {
        format!("{},{said}", network.reserved)
    };
    let mend = sysctl("ipv4/ip_local_reserved_ports", all);
    findings.add(check, Level::Warning, text, vec![mend]);
}

/// Whether the whole range is in a list as `8000-8023,9000`.
fn reserved(network: &Network, (first, last): (u16, u16)) -> bool {
    network.reserved.split(',').any(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        match (from.parse::<u16>(), to.parse::<u16>()) {
            (Ok(from), Ok(to)) => from <= first && last <= to,
            _ => false,
        }
    })
}
