//! A machine as it should be, and what is said when one thing of it is not.

mod machine;
mod network;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use halod_config::Config;
use halod_control::{KernelState, StatusReport};
use halod_netlink::{Deliver, Protocol, Status};
use halod_tls::Certificate;
use serde_json::json;

use super::judge;
use crate::facts::*;
use crate::finding::{Finding, Level};
use crate::ruleset::Ruleset;

const CONFIG: &str = r#"
cluster = "push"
routes = 24
store = "/var/lib/halod/halod.db"
[[listener]]
name = "browsers"
addresses = ["198.51.100.1", "2001:db8:1::1"]
protocol = "tcp"
port = 8000
[nodes]
listen = ["192.0.2.1:7600"]
[nodes.tls]
ca = "/etc/halod/ca.pem"
certificate = "/etc/halod/halod.pem"
key = "/etc/halod/halod.key"
"#;

const LO: u32 = 1;
const NODES: u32 = 2;
const CLIENTS: u32 = 3;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn device(index: u32, name: &str, addresses: &[&str]) -> Device {
    Device {
        index,
        name: name.to_owned(),
        up: true,
        loopback: index == LO,
        mtu: 1500,
        addresses: addresses
            .iter()
            .map(|it| it.parse().expect("a network"))
            .collect(),
    }
}

fn listener(address: &str) -> Listener {
    Listener {
        name: "browsers".to_owned(),
        address: ip(address),
        protocol: Protocol::Tcp,
        first: 8000,
        last: 8023,
        deliver: Deliver::Nat,
    }
}

fn default_by(device: u32, gateway: &str, metric: u32) -> DefaultRoute {
    DefaultRoute {
        v4: ip(gateway).is_ipv4(),
        device,
        gateway: Some(ip(gateway)),
        metric,
        advertised: false,
    }
}

fn certificate(now: SystemTime, days: u32) -> Certificate {
    Certificate {
        names: vec!["halod".to_owned()],
        expires: now + DAY * days,
    }
}

/// Everything is right.
fn healthy() -> Facts {
    let now = SystemTime::UNIX_EPOCH + DAY * 20_000;
    let on_link = Way::Out {
        device: NODES,
        gateway: None,
    };
    let n1 = ["192.0.2.11", "2001:db8:2::11"].map(ip);
    let status = json!({
        "cluster": "push", "version": "1.2.3", "generation": 7, "routes": 24, "routes_without_node": 0,
        "kernel": {"state": "in_step", "generation": 7, "version": "1.2.3"}, "slots": 1, "active": 1,
        "reserve": 0, "draining": 0, "lost": 0, "uptime_ms": 1, "connections": 1, "handshakes": 0,
        "pid": 1, "store": "/var/lib/halod/halod.db"
    });
    let conf = [("all", 0), ("nodes", 0), ("clients", 0)];
    let mut sysctls: BTreeMap<String, i64> = BTreeMap::from([
        ("ipv4/ip_forward".to_owned(), 1),
        ("ipv6/conf/all/forwarding".to_owned(), 1),
    ]);
    for (name, rp_filter) in conf {
        sysctls.insert(format!("ipv4/conf/{name}/forwarding"), 1);
        sysctls.insert(format!("ipv4/conf/{name}/rp_filter"), rp_filter);
        sysctls.insert(format!("ipv4/conf/{name}/send_redirects"), 1);
        sysctls.insert(format!("ipv6/conf/{name}/forwarding"), 1);
        sysctls.insert(format!("ipv6/conf/{name}/accept_ra"), 1);
    }
    Facts {
        now,
        version: "1.2.3".to_owned(),
        cluster: Cluster {
            daemon: Ok(serde_json::from_value(status).expect("a status")),
            path: PathBuf::from("/etc/halod/halod.toml"),
            config: Config::parse(CONFIG, Path::new("halod.toml")).map_err(|it| it.to_string()),
            listeners: vec![listener("198.51.100.1"), listener("2001:db8:1::1")],
            nodes: vec![Node {
                name: "n1".to_owned(),
                addresses: n1.to_vec(),
                lost: false,
            }],
        },
        kernel: Kernel {
            release: "7.3.4-cloud".to_owned(),
            options: None,
            signed_only: false,
            module: Module::Answers(Status {
                version: "1.2.3".to_owned(),
                generation: 7,
                routes: 24,
                listeners: 2,
                nodes: 1,
                draining: 0,
                flows: 0,
                flow_slots: 0,
            }),
            installed: true,
            counters: BTreeMap::from([("forward".to_owned(), 100), ("reverse".to_owned(), 90)]),
        },
        network: Network {
            devices: vec![
                device(
                    LO,
                    "lo",
                    &["127.0.0.1/8", "198.51.100.1/32", "2001:db8:1::1/128"],
                ),
                device(
                    NODES,
                    "nodes",
                    &["192.0.2.1/24", "2001:db8:2::1/64", "fe80::1/64"],
                ),
                device(CLIENTS, "clients", &["203.0.113.1/24", "2001:db8:3::1/64"]),
            ],
            ways: n1
                .into_iter()
                .map(|address| (address, on_link.clone()))
                .collect(),
            local: ["198.51.100.1", "2001:db8:1::1"].map(ip).to_vec(),
            defaults: vec![
                default_by(CLIENTS, "203.0.113.254", 0),
                default_by(CLIENTS, "2001:db8:3::fe", 1024),
            ],
            neighbours: n1
                .into_iter()
                .map(|address| Neighbour {
                    address,
                    device: NODES,
                    answers: Answers::Yes,
                })
                .collect(),
            sysctls,
            ephemeral: Some((32768, 60999)),
            reserved: String::new(),
            rp_filtered: Some(0),
        },
        sockets: Ok(vec![socket("192.0.2.1:7600", true)]),
        firewall: Firewall {
            rules: Ok(Ruleset::default()),
            legacy: Vec::new(),
            tracking: false,
        },
        store: Some(Store {
            directory: PathBuf::from("/var/lib/halod"),
            space: Ok(Space {
                free_bytes: 1 << 30,
                free_files: 1 << 20,
                read_only: false,
                writable: true,
            }),
            written: Some(now - DAY),
        }),
        certificates: Some(Ok(Certificates {
            own: certificate(now, 300),
            ca: certificate(now, 3000),
        })),
        clock: Clock {
            synchronised: Some(true),
            built: Some(now - DAY),
        },
    }
}

fn socket(local: &str, listens: bool) -> Socket {
    Socket {
        protocol: Protocol::Tcp,
        local: local.parse::<SocketAddr>().expect("an address and port"),
        listens,
        owner: Some(Owner {
            name: "nginx".to_owned(),
            pid: 41,
        }),
    }
}

/// What is said of a machine that `change` has made of the healthy one, beside that all is well.
fn wrong(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
    let mut facts = healthy();
    change(&mut facts);
    let found = judge(&facts).into_iter();
    found.filter(|it| it.level != Level::Ok).collect()
}

/// The one finding that there is to be.
#[track_caller]
fn one(found: &[Finding], check: &str, level: Level, says: &str, mend: &[&str]) {
    let [found] = found else {
        panic!("one finding of {check} was expected: {found:#?}")
    };
    assert_eq!((found.check, found.level), (check, level), "{found:?}");
    assert!(
        found.text.contains(says),
        "{:?} does not say {says:?}",
        found.text
    );
    assert_eq!(found.mend, mend);
}

#[test]
fn a_healthy_machine_has_one_good_line_a_check() {
    let found = judge(&healthy());
    assert!(
        found
            .iter()
            .all(|it| it.level == Level::Ok && it.mend.is_empty()),
        "{found:#?}"
    );
    let mut checks: Vec<_> = found.iter().map(|it| it.check).collect();
    checks.dedup();
    assert_eq!(
        checks,
        [
            "kernel",
            "module",
            "halod",
            "vip",
            "ports",
            "forwarding",
            "rp_filter",
            "accept_ra",
            "redirects",
            "routes",
            "neighbours",
            "answers",
            "mtu",
            "bridge",
            "firewall",
            "registration",
            "store",
            "certificates",
            "clock"
        ]
    );
}
