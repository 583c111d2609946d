//! Devices, routes and neighbours over rtnetlink; sysctls from /proc/sys.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{LinkAttribute, LinkFlags};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourState};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use rtnetlink::{Error, Handle, RouteMessageBuilder};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use crate::facts::{Answers, Cluster, DefaultRoute, Device, Neighbour, Network, Way};

use super::number;

/// Time for a neighbour to answer for its link address: the kernel asks once a second.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Discard (RFC 863): nobody is to answer.
const DISCARD: u16 = 9;

pub(super) async fn look(cluster: &Cluster) -> Network {
    let mut network = Network {
        sysctls: sysctls(),
        ephemeral: ephemeral(),
        reserved: fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        rp_filtered: rp_filtered(),
        ..Network::default()
    };
    let Ok((connection, handle, _)) = rtnetlink::new_connection() else {
        return network;
    };
    let connection = tokio::spawn(connection);
    network.devices = devices(&handle).await.unwrap_or_default();
    for v4 in [true, false] {
        network
            .defaults
            .extend(defaults(&handle, v4).await.unwrap_or_default());
    }
    for vip in cluster.vips() {
        if way(&handle, vip).await == Way::Local {
            network.local.push(vip);
        }
    }
    let addresses: BTreeSet<IpAddr> = cluster
        .nodes
        .iter()
        .flat_map(|node| node.addresses.iter().copied())
        .collect();
    for address in &addresses {
        network.ways.insert(*address, way(&handle, *address).await);
    }
    network.neighbours = ask_neighbours(&handle, &network.ways).await;
    connection.abort();
    network
}

async fn devices(handle: &Handle) -> Result<Vec<Device>, Error> {
    let mut devices = Vec::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let mut device = Device {
            index: link.header.index,
            up: link.header.flags.contains(LinkFlags::Up),
            loopback: link.header.flags.contains(LinkFlags::Loopback),
            ..Device::default()
        };
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => device.name = name,
                LinkAttribute::Mtu(mtu) => device.mtu = mtu,
                _ => {}
            }
        }
        devices.push(device);
    }
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        let (mut own, mut local) = (None, None);
        for attribute in message.attributes {
            match attribute {
                // On a link of two ends it is the other one's, and the own is `Local`.
                AddressAttribute::Address(address) => own = Some(address),
                AddressAttribute::Local(address) => local = Some(address),
                _ => {}
            }
        }
        let net = local
            .or(own)
            .and_then(|it| IpNet::new(it, message.header.prefix_len).ok());
        let device = devices
            .iter_mut()
            .find(|it| it.index == message.header.index);
        if let (Some(device), Some(net)) = (device, net) {
            device.addresses.push(net);
        }
    }
    Ok(devices)
}

fn question(address: Option<IpAddr>, v4: bool) -> RouteMessage {
    let mut message = if v4 {
        RouteMessageBuilder::<Ipv4Addr>::new().build()
    } else {
        RouteMessageBuilder::<Ipv6Addr>::new().build()
    };
    if let Some(address) = address {
        message.header.destination_prefix_length = if v4 { 32 } else { 128 };
        message
            .attributes
            .push(RouteAttribute::Destination(address.into()));
    }
    message
}

fn plain(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}

/// As `ip route get`.
async fn way(handle: &Handle, address: IpAddr) -> Way {
    let mut answers = handle
        .route()
        .get(question(Some(address), address.is_ipv4()))
        .execute();
    let route = match answers.try_next().await {
        Ok(Some(route)) => route,
        Ok(None) => return Way::None("no answer".to_owned()),
        Err(Error::NetlinkError(error)) => return Way::None(error.to_io().to_string()),
        Err(error) => return Way::None(error.to_string()),
    };
    let (mut device, mut gateway) = (None, None);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => device = Some(*index),
            RouteAttribute::Gateway(address) => gateway = plain(address),
            _ => {}
        }
    }
    match (route.header.kind, device) {
        (RouteType::Local | RouteType::Anycast, _) => Way::Local,
        (RouteType::Unicast, Some(device)) => Way::Out { device, gateway },
        (kind, _) => Way::None(format!("the route is {kind:?}").to_lowercase()),
    }
}

async fn defaults(handle: &Handle, v4: bool) -> Result<Vec<DefaultRoute>, Error> {
    let mut found = Vec::new();
    let mut routes = handle.route().get(question(None, v4)).execute();
    while let Some(route) = routes.try_next().await? {
        let header = &route.header;
        if header.destination_prefix_length != 0
            || header.table != RouteHeader::RT_TABLE_MAIN
            || header.kind != RouteType::Unicast
        {
            continue;
        }
        let (mut devices, mut gateway, mut metric) = (Vec::new(), None, 0);
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Oif(index) => devices.push(*index),
                RouteAttribute::MultiPath(hops) => {
                    devices.extend(hops.iter().map(|hop| hop.interface_index));
                }
                RouteAttribute::Gateway(address) => gateway = plain(address),
                RouteAttribute::Priority(priority) => metric = *priority,
                _ => {}
            }
        }
        found.extend(devices.into_iter().map(|device| DefaultRoute {
            v4,
            device,
            gateway,
            metric,
            advertised: header.protocol == RouteProtocol::Ra,
        }));
    }
    Ok(found)
}

/// Sends a byte to each node, so that the kernel asks for its next hop, and waits until all have
/// answered, or long enough.
async fn ask_neighbours(handle: &Handle, ways: &BTreeMap<IpAddr, Way>) -> Vec<Neighbour> {
    let mut hops = Vec::new();
    for (address, way) in ways {
        let any: SocketAddr = match address {
            IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let (Way::Out { device, gateway }, Ok(socket)) = (way, UdpSocket::bind(any).await) else {
            continue;
        };
        if socket.send_to(&[0], (*address, DISCARD)).await.is_ok() {
            hops.push((gateway.unwrap_or(*address), *device));
        }
    }
    let end = Instant::now() + PATIENCE;
    loop {
        let found = neighbours(handle).await.unwrap_or_default();
        let answers = |hop: &(IpAddr, u32)| {
            found
                .iter()
                .any(|it| (it.address, it.device) == *hop && it.answers == Answers::Yes)
        };
        if hops.iter().all(answers) || Instant::now() >= end {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn neighbours(handle: &Handle) -> Result<Vec<Neighbour>, Error> {
    let mut found = Vec::new();
    let mut messages = handle.neighbours().get().execute();
    while let Some(message) = messages.try_next().await? {
        let address = message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(it)) => {
                    Some(IpAddr::V4(*it))
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(it)) => {
                    Some(IpAddr::V6(*it))
                }
                _ => None,
            });
        let Some(address) = address else { continue };
        found.push(Neighbour {
            address,
            device: message.header.ifindex,
            answers: match message.header.state {
                NeighbourState::Failed | NeighbourState::Incomplete => Answers::No,
                NeighbourState::None | NeighbourState::Other(_) => Answers::Unasked,
                _ => Answers::Yes,
            },
        });
    }
    Ok(found)
}

fn sysctls() -> BTreeMap<String, i64> {
    let mut keys = vec![
        "ipv4/ip_forward".to_owned(),
        "bridge/bridge-nf-call-iptables".to_owned(),
        "bridge/bridge-nf-call-ip6tables".to_owned(),
    ];
    let wanted: [(&str, &[&str]); 2] = [
        ("ipv4", &["forwarding", "rp_filter", "send_redirects"]),
        ("ipv6", &["forwarding", "accept_ra"]),
    ];
    for (family, names) in wanted {
        let devices = fs::read_dir(format!("/proc/sys/net/{family}/conf"));
        for device in devices.into_iter().flatten().flatten() {
            let device = device.file_name();
            let device = device.to_string_lossy();
            keys.extend(
                names
                    .iter()
                    .map(|name| format!("{family}/conf/{device}/{name}")),
            );
        }
    }
    let values = keys.into_iter().filter_map(|key| {
        let value = number(format!("/proc/sys/net/{key}"))?;
        Some((key, value))
    });
    values.collect()
}

fn ephemeral() -> Option<(u16, u16)> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ports = text.split_whitespace().map(str::parse);
    Some((ports.next()?.ok()?, ports.next()?.ok()?))
}

/// `IPReversePathFilter` of `TcpExt` in /proc/net/netstat: a line of names, a line of values.
fn rp_filtered() -> Option<u64> {
    let text = fs::read_to_string("/proc/net/netstat").ok()?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = pairs.find(|(name, _)| *name == "IPReversePathFilter")?;
    value.parse().ok()
}
