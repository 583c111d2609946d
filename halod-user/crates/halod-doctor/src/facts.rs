//! What was seen of the machine, as plain values.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::SystemTime;

use halod_config::Config;
use halod_control::StatusReport;
use halod_netlink::{Deliver, Protocol, Status};
use halod_tls::Certificate;
use ipnet::IpNet;

use crate::ruleset::Ruleset;

/// All that [`judge`](crate::judge) goes by. `Err` and `None` stand for what could not be seen.
#[derive(Clone, Debug)]
pub struct Facts {
    pub(crate) now: SystemTime,
    /// The version of the program that looks.
    pub(crate) version: String,
    pub(crate) cluster: Cluster,
    pub(crate) kernel: Kernel,
    pub(crate) network: Network,
    pub(crate) sockets: Result<Vec<Socket>, String>,
    pub(crate) firewall: Firewall,
    pub(crate) store: Option<Store>,
    pub(crate) certificates: Option<Result<Certificates, String>>,
    pub(crate) clock: Clock,
}

/// What this machine is to do.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// What the daemon says; or why it says nothing.
    pub(crate) daemon: Result<StatusReport, String>,
    /// The configuration; or why there is none.
    pub(crate) config: Result<Config, String>,
    /// Where the configuration is.
    pub(crate) path: PathBuf,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) nodes: Vec<Node>,
}

/// Ports of an address that are the cluster's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) deliver: Deliver,
}

/// A node that is known to halod, or to the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether halod takes it for lost.
    pub(crate) lost: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// As `uname -r` says it.
    pub(crate) release: String,
    /// Options of its configuration, `CONFIG_RUST` = `y`.
    pub(crate) options: Option<BTreeMap<String, String>>,
    /// Whether it takes signed modules only.
    pub(crate) signed_only: bool,
    pub(crate) module: Module,
    /// Whether modprobe finds the module.
    pub(crate) installed: bool,
    /// Packets by their exits.
    pub(crate) counters: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Module {
    Answers(Status),
    Absent,
    Silent(String),
}

/// Devices, routes and sysctls of this network namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub(crate) devices: Vec<Device>,
    /// The way to each node's address.
    pub(crate) ways: BTreeMap<IpAddr, Way>,
    /// VIPs that are local by a route, with or without a device that has them.
    pub(crate) local: Vec<IpAddr>,
    pub(crate) defaults: Vec<DefaultRoute>,
    pub(crate) neighbours: Vec<Neighbour>,
    /// Sysctls below `net.`, by their path: `ipv4/ip_forward`. Those that are not there are missing.
    pub(crate) sysctls: BTreeMap<String, i64>,
    /// Ports that this machine's own connections get.
    pub(crate) ephemeral: Option<(u16, u16)>,
    /// Ports that they do not get all the same, as the kernel says them: `8000-8023,9000`.
    pub(crate) reserved: String,
    /// Packets that a reverse path filter has dropped since the namespace was made.
    pub(crate) rp_filtered: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) loopback: bool,
    pub(crate) mtu: u32,
    pub(crate) addresses: Vec<IpNet>,
}

/// How packets to an address leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Out {
        device: u32,
        gateway: Option<IpAddr>,
    },
    /// It is this machine's own.
    Local,
    /// Not at all: the kernel's words.
    None(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DefaultRoute {
    pub(crate) v4: bool,
    pub(crate) device: u32,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) metric: u32,
    /// Whether a router advertisement brought it.
    pub(crate) advertised: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) address: IpAddr,
    pub(crate) device: u32,
    pub(crate) answers: Answers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// Its link address is known.
    Yes,
    /// It was asked and did not answer.
    No,
    /// It was not asked.
    Unasked,
}

/// A socket with one of the listeners' ports, or one where nodes register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) protocol: Protocol,
    pub(crate) local: SocketAddr,
    pub(crate) listens: bool,
    pub(crate) owner: Option<Owner>,
}

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) pid: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Firewall {
    /// nftables' rules; or why they could not be read.
    pub(crate) rules: Result<Ruleset, String>,
    /// Tables of the older iptables in this namespace.
    pub(crate) legacy: Vec<String>,
    /// Whether connection tracking is loaded.
    pub(crate) tracking: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) directory: PathBuf,
    pub(crate) space: Result<Space, String>,
    /// When the store was written last.
    pub(crate) written: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Space {
    pub(crate) free_bytes: u64,
    pub(crate) free_files: u64,
    pub(crate) read_only: bool,
    /// Whether this process may write there.
    pub(crate) writable: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    pub(crate) own: Certificate,
    pub(crate) ca: Certificate,
}

#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// Whether it is kept right by others' clocks.
    pub(crate) synchronised: Option<bool>,
    /// When this program was made: an earlier time cannot be.
    pub(crate) built: Option<SystemTime>,
}

impl Network {
    pub(crate) fn device(&self, index: u32) -> Option<&Device> {
        self.devices.iter().find(|device| device.index == index)
    }

    /// A device's name, or its number where it has gone meanwhile.
    pub(crate) fn name(&self, index: u32) -> String {
        self.device(index)
            .map_or_else(|| format!("device {index}"), |device| device.name.clone())
    }

    pub(crate) fn sysctl(&self, key: &str) -> Option<i64> {
        self.sysctls.get(key).copied()
    }

    /// A sysctl of a device, `ipv4/conf/DEVICE/KEY`.
    pub(crate) fn of(&self, family: &str, device: &str, key: &str) -> Option<i64> {
        self.sysctl(&format!("{family}/conf/{device}/{key}"))
    }

    /// Devices that carry packets of an IP version: up, and with an address of it that is more than
    /// the link's own.
    pub(crate) fn carriers(&self, v4: bool) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(move |device| {
            let counts = |net: &IpNet| match net.addr() {
                IpAddr::V4(_) => v4,
                IpAddr::V6(address) => !v4 && !address.is_unicast_link_local(),
            };
            device.up && !device.loopback && device.addresses.iter().any(counts)
        })
    }

    /// Whether nodes are reached by the device.
    pub(crate) fn serves_nodes(&self, index: u32) -> bool {
        let by_it = |way: &Way| matches!(way, Way::Out { device, .. } if *device == index);
        self.ways.values().any(by_it)
    }
}

impl Cluster {
    /// Whether a listener has an address of this IP version.
    pub(crate) fn uses(&self, v4: bool) -> bool {
        self.listeners.iter().any(|it| it.address.is_ipv4() == v4)
    }

    /// Whether a listener of this IP version sends nodes what comes as it is, to their link address.
    pub(crate) fn needs_neighbours(&self, v4: bool) -> bool {
        let each = self.listeners.iter();
        each.filter(|it| it.address.is_ipv4() == v4)
            .any(|it| it.deliver == Deliver::Dsr)
    }

    /// Whether nodes' answers to an address come by this machine: to a listener there, or to any.
    pub(crate) fn answered_here(&self, vip: Option<IpAddr>) -> bool {
        let each = self.listeners.iter();
        each.filter(|it| vip.is_none_or(|vip| it.address == vip))
            .any(|it| it.deliver == Deliver::Nat)
    }

    /// Every VIP once, in the listeners' order.
    pub(crate) fn vips(&self) -> Vec<IpAddr> {
        let mut vips = Vec::new();
        for listener in &self.listeners {
            if !vips.contains(&listener.address) {
                vips.push(listener.address);
            }
        }
        vips
    }
}
