//! A machine as it should be, and what is said when one thing of it is not.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use halod_config::Config;
use halod_netlink::{Protocol, Status};
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

#[test]
fn the_module() {
    let loads = [
        "modprobe -a nf_defrag_ipv4 nf_defrag_ipv6",
        "insmod build/kmod/halod.ko",
    ];
    for (installed, mend) in [(true, &["modprobe halod"][..]), (false, &loads[..])] {
        let found = wrong(|it| {
            it.kernel.module = Module::Absent;
            it.kernel.installed = installed;
            it.kernel.options = Some(
                ["CONFIG_MODULES", "CONFIG_RUST", "CONFIG_NF_CONNTRACK"]
                    .map(|it| (it.to_owned(), "y".to_owned()))
                    .into(),
            );
        });
        one(&found, "module", Level::Problem, "not loaded", mend);
    }
    let found = wrong(|it| it.version = "1.3.0".to_owned());
    one(
        &found,
        "module",
        Level::Warning,
        "halod.ko is version 1.2.3, halodctl 1.3.0",
        &[],
    );
    let found = wrong(|it| it.kernel.module = Module::Silent("not permitted".into()));
    let silent = found
        .iter()
        .find(|it| it.check == "module")
        .expect("a finding");
    assert_eq!(
        (silent.level, silent.text.as_str()),
        (Level::Unknown, "not permitted")
    );
}

#[test]
fn a_kernel_without_the_module() {
    let found = wrong(|it| {
        it.kernel.module = Module::Absent;
        it.kernel.release = "6.1.0".to_owned();
        it.kernel.signed_only = true;
        it.kernel.options = Some([("CONFIG_MODULES".to_owned(), "y".to_owned())].into());
    });
    let kernel: Vec<_> = found.iter().filter(|it| it.check == "kernel").collect();
    let texts = ["too old", "CONFIG_RUST", "CONFIG_NF_CONNTRACK", "signed"];
    assert_eq!(kernel.len(), texts.len());
    for (found, says) in kernel.iter().zip(texts) {
        assert!(
            found.level == Level::Problem && found.text.contains(says),
            "{found:?}"
        );
    }
}

#[test]
fn halod() {
    let found = wrong(|it| it.cluster.daemon = Err("no such socket".into()));
    one(
        &found,
        "halod",
        Level::Problem,
        "no such socket",
        &["systemctl start halod"],
    );
    let found = wrong(|it| {
        if let Ok(status) = &mut it.cluster.daemon {
            status.routes_without_node = 24;
        }
    });
    one(
        &found,
        "halod",
        Level::Problem,
        "24 of 24 routes have no node",
        &[],
    );
    let found = wrong(|it| it.cluster.config = Err("halod.toml: no such file".into()));
    let levels: Vec<_> = found.iter().map(|it| (it.check, it.level)).collect();
    assert_eq!(
        levels,
        [("halod", Level::Warning), ("registration", Level::Unknown)]
    );
}

#[test]
fn vips() {
    let found = wrong(|it| {
        it.network.devices[0].addresses.remove(1);
        it.network.local.remove(0);
    });
    one(
        &found,
        "vip",
        Level::Problem,
        "198.51.100.1",
        &["ip address add 198.51.100.1/32 dev lo"],
    );
    // Local by a route is good enough.
    assert_eq!(
        wrong(|it| {
            it.network.devices[0].addresses.remove(1);
        }),
        []
    );
    let found = wrong(|it| it.cluster.listeners.push(listener("192.0.2.1")));
    one(
        &found,
        "vip",
        Level::Warning,
        "the nodes' own network (nodes)",
        &[],
    );
}

#[test]
fn ports_of_others() {
    let with = |local: &str, listens| {
        wrong(|it| it.sockets = Ok(vec![socket("192.0.2.1:7600", true), socket(local, listens)]))
    };
    one(
        &with("198.51.100.1:8003", true),
        "ports",
        Level::Problem,
        "198.51.100.1:8003",
        &[],
    );
    one(
        &with("0.0.0.0:8023", true),
        "ports",
        Level::Warning,
        "0.0.0.0:8023",
        &[],
    );
    one(
        &with("[::]:8000", true),
        "ports",
        Level::Warning,
        "[::]:8000",
        &[],
    );
    one(
        &with("198.51.100.1:8010", false),
        "ports",
        Level::Problem,
        "own has tcp 198.51.100.1:8010",
        &[],
    );
    assert_eq!(with("198.51.100.1:8024", true), []);
    assert_eq!(with("192.0.2.1:8003", true), []);
    let found = wrong(|it| {
        it.network.devices[2]
            .addresses
            .push("198.51.100.1/32".parse().expect("a network"));
        it.network.ephemeral = Some((8010, 60999));
    });
    one(
        &found,
        "ports",
        Level::Warning,
        "8000-8023",
        &["sysctl -w net.ipv4.ip_local_reserved_ports=8000-8023"],
    );
    let found = wrong(|it| {
        it.network.devices[2]
            .addresses
            .push("198.51.100.1/32".parse().expect("a network"));
        it.network.ephemeral = Some((8010, 60999));
        it.network.reserved = "22,7999-8023".to_owned();
    });
    assert_eq!(found, []);
}

#[test]
fn sysctls_of_a_router() {
    let set = |key: &str, value| {
        wrong(|it| {
            it.network.sysctls.insert(key.to_owned(), value);
        })
    };
    one(
        &set("ipv4/ip_forward", 0),
        "forwarding",
        Level::Problem,
        "IPv4",
        &["sysctl -w net.ipv4.ip_forward=1"],
    );
    one(
        &set("ipv6/conf/all/forwarding", 0),
        "forwarding",
        Level::Problem,
        "IPv6",
        &["sysctl -w net.ipv6.conf.all.forwarding=1"],
    );
    one(
        &set("ipv4/conf/nodes/forwarding", 0),
        "forwarding",
        Level::Problem,
        "nodes' answers",
        &["sysctl -w net.ipv4.conf.nodes.forwarding=1"],
    );
    one(
        &set("ipv4/conf/clients/forwarding", 0),
        "forwarding",
        Level::Warning,
        "clients",
        &["sysctl -w net.ipv4.conf.clients.forwarding=1"],
    );
    // Strict alone is no harm.
    assert_eq!(set("ipv4/conf/all/rp_filter", 1), []);
}

#[test]
fn a_strict_filter_where_packets_come_in_by_another_way() {
    let found = wrong(|it| {
        it.network
            .sysctls
            .insert("ipv4/conf/clients/rp_filter".into(), 1);
        it.network.neighbours.push(Neighbour {
            address: ip("192.0.2.11"),
            device: CLIENTS,
            answers: Answers::Yes,
        });
    });
    one(
        &found,
        "rp_filter",
        Level::Problem,
        "n1 (192.0.2.11) is heard on clients",
        &["sysctl -w net.ipv4.conf.clients.rp_filter=2"],
    );
    let second = |strict| {
        wrong(|it| {
            it.network
                .sysctls
                .insert("ipv4/conf/all/rp_filter".into(), strict);
            it.network
                .devices
                .push(device(9, "eth0.7", &["198.51.100.130/25"]));
            it.network
                .defaults
                .push(default_by(9, "198.51.100.129", 50));
        })
    };
    one(
        &second(1),
        "rp_filter",
        Level::Warning,
        "eth0.7",
        &["sysctl -w net/ipv4/conf/eth0.7/rp_filter=2"],
    );
    assert_eq!(second(2), []);
}

#[test]
fn router_advertisements_and_redirects() {
    let found = wrong(|it| it.network.defaults[1].advertised = true);
    one(
        &found,
        "accept_ra",
        Level::Problem,
        "by clients",
        &["sysctl -w net.ipv6.conf.clients.accept_ra=2"],
    );
    let found = wrong(|it| it.network.defaults[0].device = NODES);
    one(
        &found,
        "redirects",
        Level::Warning,
        "share nodes",
        &[
            "sysctl -w net.ipv4.conf.all.send_redirects=0",
            "sysctl -w net.ipv4.conf.nodes.send_redirects=0",
        ],
    );
}

#[test]
fn ways_to_nodes() {
    let way = |way: Way| {
        wrong(|it| {
            it.network.ways.insert(ip("192.0.2.11"), way);
        })
    };
    one(
        &way(Way::None("Network is unreachable".into())),
        "routes",
        Level::Problem,
        "Network is unreachable",
        &[],
    );
    one(
        &way(Way::Local),
        "routes",
        Level::Problem,
        "this machine itself",
        &[],
    );
    let by = |gateway: &str, device| Way::Out {
        device,
        gateway: Some(ip(gateway)),
    };
    // Clients share the device then, too.
    let found = way(by("203.0.113.254", CLIENTS));
    let checks: Vec<_> = found.iter().map(|it| (it.check, it.level)).collect();
    assert_eq!(
        checks,
        [("redirects", Level::Warning), ("routes", Level::Warning)]
    );
    assert!(found[1].text.contains("by the default route"), "{found:?}");
    assert_eq!(way(by("192.0.2.254", NODES)), []);
    let silent = |lost| {
        wrong(|it| {
            it.network.neighbours[0].answers = Answers::No;
            it.cluster.nodes[0].lost = lost;
        })
    };
    one(
        &silent(false),
        "neighbours",
        Level::Problem,
        "n1 (192.0.2.11) does not answer on nodes",
        &[],
    );
    one(
        &silent(true),
        "neighbours",
        Level::Warning,
        "n1 (192.0.2.11)",
        &[],
    );
    let found = wrong(|it| {
        it.kernel.counters.insert("reverse".into(), 0);
    });
    one(
        &found,
        "answers",
        Level::Problem,
        "no answer came back",
        &[],
    );
}

#[test]
fn links() {
    let found = wrong(|it| it.network.devices[1].mtu = 1400);
    one(
        &found,
        "mtu",
        Level::Warning,
        "1400",
        &["ip link set nodes mtu 1500"],
    );
    let found = wrong(|it| it.network.devices[2].mtu = 1000);
    one(
        &found,
        "mtu",
        Level::Problem,
        "1280",
        &["ip link set clients mtu 1280"],
    );
    let found = wrong(|it| {
        it.network
            .sysctls
            .insert("bridge/bridge-nf-call-iptables".into(), 1);
    });
    one(
        &found,
        "bridge",
        Level::Warning,
        "br_netfilter",
        &["sysctl -w net.bridge.bridge-nf-call-iptables=0"],
    );
}

fn chain(family: &str, name: &str, hook: &str) -> Result<Ruleset, String> {
    Ruleset::parse(
        &json!({"nftables": [{"chain": {"family": family, "table": "filter", "name": name,
        "type": "filter", "hook": hook, "prio": 0, "policy": "drop"}}]})
        .to_string(),
    )
}

#[test]
fn firewalls() {
    let with = |family: &str, name: &str, hook: &str| {
        let rules = chain(family, name, hook);
        wrong(|it| it.firewall.rules = rules)
    };
    one(
        &with("inet", "fwd", "forward"),
        "firewall",
        Level::Problem,
        "what HaloD forwards",
        &["nft insert rule inet filter fwd ct state untracked accept"],
    );
    one(
        &with("ip", "FORWARD", "forward"),
        "firewall",
        Level::Problem,
        "what HaloD forwards",
        &["iptables -I FORWARD -m conntrack --ctstate UNTRACKED -j ACCEPT"],
    );
    one(
        &with("ip6", "FORWARD", "forward"),
        "firewall",
        Level::Problem,
        "what HaloD forwards",
        &["ip6tables -I FORWARD -m conntrack --ctstate UNTRACKED -j ACCEPT"],
    );
    one(
        &with("inet", "out", "output"),
        "firewall",
        Level::Problem,
        "path MTU",
        &["nft insert rule inet filter out ct state untracked accept"],
    );
    one(
        &with("inet", "in", "input"),
        "firewall",
        Level::Problem,
        "nodes' connections",
        &["nft insert rule inet filter in tcp dport 7600 accept"],
    );
    let found = wrong(|it| it.firewall.rules = Err("nft: No such file".into()));
    one(&found, "firewall", Level::Unknown, "nft: No such file", &[]);
    let found = wrong(|it| it.firewall.legacy = vec!["filter".into()]);
    one(&found, "firewall", Level::Unknown, "older iptables", &[]);
}

#[test]
fn where_nodes_register() {
    let found = wrong(|it| it.sockets = Ok(Vec::new()));
    one(
        &found,
        "registration",
        Level::Problem,
        "192.0.2.1:7600",
        &["systemctl restart halod"],
    );
    let found = wrong(|it| {
        it.network.devices[1].addresses.remove(0);
    });
    assert!(
        found
            .iter()
            .any(|it| it.check == "registration" && it.text.contains("no address of this machine")),
        "{found:#?}"
    );
}

#[test]
fn the_store() {
    let space = |change: fn(&mut Space)| {
        wrong(|it| {
            if let Some(Store {
                space: Ok(space), ..
            }) = &mut it.store
            {
                change(space);
            }
        })
    };
    one(
        &space(|it| it.free_bytes = 1 << 20),
        "store",
        Level::Problem,
        "1 MiB",
        &[],
    );
    one(
        &space(|it| it.free_files = 1),
        "store",
        Level::Problem,
        "1 file left",
        &[],
    );
    one(
        &space(|it| it.read_only = true),
        "store",
        Level::Problem,
        "read-only",
        &[],
    );
    one(
        &space(|it| it.writable = false),
        "store",
        Level::Unknown,
        "only its user or root",
        &[],
    );
    let found = wrong(|it| {
        if let Some(store) = &mut it.store {
            store.space = Err("No such file or directory".into());
        }
    });
    one(
        &found,
        "store",
        Level::Problem,
        "No such file",
        &["mkdir -p /var/lib/halod"],
    );
}

#[test]
fn certificates_and_clock() {
    let renew = ["halodctl pki issue halod --server --address 192.0.2.1 --force --dir /etc/halod"];
    let own = |days: u32| {
        wrong(|it| {
            it.certificates = Some(Ok(Certificates {
                own: certificate(it.now, days),
                ca: certificate(it.now, 3000),
            }));
        })
    };
    one(
        &own(29),
        "certificates",
        Level::Warning,
        "in 29 days",
        &renew,
    );
    assert_eq!(own(31), []);
    let found = wrong(|it| {
        it.certificates = Some(Ok(Certificates {
            own: certificate(it.now - DAY * 10, 9),
            ca: certificate(it.now, 3000),
        }));
    });
    one(
        &found,
        "certificates",
        Level::Problem,
        "has expired",
        &renew,
    );
    let found = wrong(|it| it.certificates = Some(Err("halod.key: no key".into())));
    one(&found, "certificates", Level::Problem, "halod.key", &[]);
    let set = "timedatectl set-ntp true";
    let found = wrong(|it| it.clock.synchronised = Some(false));
    one(
        &found,
        "clock",
        Level::Warning,
        "nothing keeps it right",
        &[set],
    );
    let found = wrong(|it| it.clock.built = Some(it.now + DAY));
    one(
        &found,
        "clock",
        Level::Problem,
        "certificates are judged wrongly",
        &[set],
    );
}
