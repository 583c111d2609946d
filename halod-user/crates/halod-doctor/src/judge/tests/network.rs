//! Addresses, ports, routes, and the firewall.

use super::*;

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
    let found = wrong(|it| {
        let listener = listener("192.0.2.1");
        it.cluster.listeners.push(Listener {
            deliver: Deliver::Dsr,
            ..listener
        });
    });
    one(&found, "vip", Level::Warning, "arp_ignore=1", &[]);
    let found = wrong(|it| {
        let address = it.network.devices[0].addresses.remove(1);
        it.network.devices.push(Device {
            up: false,
            ..device(9, "vips", &[&address.to_string()])
        });
    });
    one(
        &found,
        "vip",
        Level::Problem,
        "198.51.100.1 is on vips, which is down",
        &["ip link set vips up"],
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
        &["ss -HKt src '198.51.100.1:8010'"],
    );
    let found = with("198.51.100.1:8003", true);
    assert!(found[0].text.ends_with("(nginx, process 41)"), "{found:?}");
    assert_eq!(found[0].show.as_deref(), Some("ss -Hanp sport = :8003"));
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
    let found = wrong(|it| {
        it.network.devices[1].up = false;
        it.network
            .ways
            .insert(ip("192.0.2.11"), Way::None("Network is unreachable".into()));
    });
    one(
        &found,
        "routes",
        Level::Problem,
        "Network is unreachable; nodes is down",
        &["ip link set nodes up"],
    );
    assert_eq!(
        found[0].show.as_deref(),
        Some("ip route show table all match 192.0.2.11")
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
    // Nor do answers come that way to what is sent inside other packets.
    let found = wrong(|it| {
        it.network
            .ways
            .insert(ip("192.0.2.11"), by("192.0.2.254", NODES));
        for listener in &mut it.cluster.listeners {
            listener.deliver = Deliver::Ipip;
        }
    });
    assert_eq!(found, []);
    // What is sent to nodes' link addresses goes to no router.
    let found = wrong(|it| {
        it.network
            .ways
            .insert(ip("192.0.2.11"), by("192.0.2.254", NODES));
        it.cluster.listeners[0].deliver = Deliver::Dsr;
    });
    one(
        &found,
        "routes",
        Level::Problem,
        "is behind 192.0.2.254",
        &[],
    );
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
    // None does where all nodes answer directly.
    let found = wrong(|it| {
        it.kernel.counters.insert("reverse".into(), 0);
        for listener in &mut it.cluster.listeners {
            listener.deliver = Deliver::Dsr;
        }
    });
    assert_eq!(found, []);
    let found = wrong(|it| {
        it.kernel.counters.insert("drop_far_node".into(), 3);
    });
    one(&found, "answers", Level::Warning, "3 packets", &[]);
    let found = wrong(|it| {
        it.kernel.counters.insert("drop_no_route".into(), 4);
    });
    one(&found, "answers", Level::Warning, "4 packets", &[]);
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
    // The kernel takes IPv6 from it.
    for (at, level, mend) in [
        (1, Level::Problem, "ip link set nodes mtu 1280"),
        (2, Level::Warning, "ip link set clients mtu 1280"),
    ] {
        let found = wrong(|it| {
            let device = &mut it.network.devices[at];
            device.mtu = 1000;
            device.addresses.retain(|net| net.addr().is_ipv4());
        });
        one(&found, "mtu", level, "no IPv6, which needs 1280", &[mend]);
    }
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
