//! Every problem of a configuration is named with its file, line and the right form.

use std::path::Path;
use std::time::Duration;

use halod_cluster::{Failover, FastPath, Measure};
use halod_config::{Config, Nodes};
use halod_proto::{Deliver, Protocol, Select};

const GOOD: &str = r#"cluster = "push"
routes = 24
active_min = 3
reserve = 1
drain = "90s"
udp_stay = "5s"
failover = "minimal"
store = "/var/lib/halod/halod.db"
control = "/run/halod/control.sock"

[[listener]]
name = "browsers"
addresses = ["198.51.100.1", "2001:db8:1::1"]
protocol = "tcp"
port = 8000

[[listener]]
name = "apps"
addresses = ["198.51.100.1"]
protocol = "tcp"
port = 9000
node_port = 9100

[nodes]
listen = ["192.0.2.1:7600"]
plaintext_from = ["192.0.2.0/24"]
heartbeat = "100ms"
heartbeat_misses = 3
rejoin = "2s"
restart_grace = "5s"
hold_back = "2s"
hold_back_max = "10m"
max_nodes = 256
max_handshakes = 64

[scale]
by = "value"
up_at = 0.8
down_at = 0
hold = "30s"
interval = "5m"
"#;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("halod.toml")).map_err(|e| e.to_string())
}

#[test]
fn a_whole_configuration() {
    let config = parse(GOOD).expect("a good configuration");
    assert_eq!(config.routes, 24);
    assert_eq!(config.listeners[0].addresses.len(), 2);
    assert_eq!(config.listeners[0].node_port, None);
    assert_eq!(config.listeners[1].protocol, Protocol::Tcp);
    assert_eq!(config.listeners[1].node_port, Some(9100));
    assert_eq!(config.nodes.heartbeat, Duration::from_millis(100));
    assert_eq!(config.nodes.restart_grace, Duration::from_secs(5));
    assert_eq!(config.nodes.hold_back_max, Duration::from_secs(600));
    assert_eq!(config.drain, Duration::from_secs(90));
    assert_eq!(config.udp_stay, Duration::from_secs(5));
    assert_eq!(config.failover, Failover::Minimal);
    let scale = config.scale.expect("[scale]");
    assert_eq!((scale.by, scale.down_at), (Measure::Value, 0.0));
    assert_eq!(scale.interval, Duration::from_secs(300));
}

#[test]
fn the_packaged_example_is_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../packaging/halod.toml");
    let config = Config::load(&path).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config.cluster, "push");
}

/// Its comments are advice: what they show can be written.
#[test]
fn the_packaged_examples_comments_are_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../packaging/halod.toml");
    let text = std::fs::read_to_string(&path).expect("the example");
    let shown = |line: &str| {
        let rest = line.strip_prefix("# ").unwrap_or_default();
        let key = rest.split(" = ").next().filter(|key| *key != rest);
        matches!(rest, "[scale]" | "[nodes.tls]")
            || key.is_some_and(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let uncommented = text.lines().map(|line| match shown(line) {
        true => line.trim_start_matches("# "),
        false => line,
    });
    let all = uncommented.collect::<Vec<_>>().join("\n");
    let all = parse(&all).expect("every key");
    let plain = Config::load(&path).expect("the example");
    assert_eq!((all.drain, all.failover), (plain.drain, plain.failover));
    let tls = all.nodes.tls.clone();
    assert!(tls.is_some());
    assert_eq!(all.nodes, Nodes { tls, ..plain.nodes });
    let scale = all.scale.expect("[scale]");
    assert_eq!(scale.interval, Duration::from_secs(60));
}

#[test]
fn tls_makes_plaintext_unneeded() {
    let tls = r#"[nodes.tls]
ca = "/etc/halod/ca.pem"
certificate = "/etc/halod/halod.pem"
key = "/etc/halod/halod.key"
"#;
    for plaintext_from in ["", "plaintext_from = []\n"] {
        let text = GOOD.replace("plaintext_from = [\"192.0.2.0/24\"]\n", plaintext_from) + tls;
        let nodes = parse(&text).expect("TLS is enough").nodes;
        assert!(nodes.plaintext_from.is_empty());
        let files = nodes.tls.expect("files");
        assert_eq!(files.key, Path::new("/etc/halod/halod.key"));
        assert_eq!((nodes.handshake_rate, nodes.handshake_burst), (100, 512));
    }
    for (from, to, says) in [
        (
            "ca = \"/etc/halod/ca.pem\"\n",
            "",
            "ca is missing; write for example: ca = ",
        ),
        (
            "\"/etc/halod/halod.key\"",
            "\"halod.key\"",
            "key = \"halod.key\" is not the absolute path",
        ),
        ("key =", "keys =", "unknown field `keys`"),
    ] {
        let error = parse(&(GOOD.to_owned() + &tls.replace(from, to))).expect_err(to);
        assert!(error.contains(says), "{error}\nshould say: {says}");
    }
}

#[test]
fn only_what_has_no_default_is_needed() {
    let short = r#"cluster = "push"
routes = 24
[[listener]]
name = "browsers"
addresses = ["198.51.100.1"]
protocol = "udp"
port = 8000
[nodes]
listen = ["[2001:db8::1]:7600"]
plaintext_from = ["2001:db8::/64"]
"#;
    let config = parse(short).expect("defaults");
    assert_eq!((config.active_min, config.reserve), (1, 0));
    assert_eq!(config.nodes.rejoin, Duration::from_secs(2));
    assert_eq!(config.drain, Duration::from_secs(60));
    assert_eq!(config.failover, Failover::Replace);
    assert_eq!(config.fast_path, FastPath::Auto);
    let on = format!("fast_path = \"on\"\n{short}");
    assert_eq!(parse(&on).expect("on").fast_path, FastPath::On);
    assert_eq!(config.scale, None);
}

/// (what is replaced, with what, what the error must say)
const WRONG: &[(&str, &str, &[&str])] = &[
    (
        "routes = 24",
        "routes = 0",
        &["halod.toml:2: routes = 0 is out of range; 1 to 32768"],
    ),
    (
        "routes = 24",
        "routes = 32769",
        &["halod.toml:2:", "1 to 32768"],
    ),
    (
        "routes = 24",
        "routes = \"24\"",
        &[
            "halod.toml:2: invalid type: string \"24\"",
            "write for example: routes = 24",
        ],
    ),
    (
        "routes = 24\n",
        "",
        &["halod.toml: routes is missing; write for example: routes = 24"],
    ),
    (
        "routes = 24",
        "route = 24",
        &[
            "halod.toml:2: unknown field `route`, expected one of",
            "`routes`",
        ],
    ),
    ("routes = 24", "routes = 24 24", &["halod.toml:2: "]),
    (
        "routes = 24",
        "routes = 24\nroutes = 25",
        &["halod.toml:3: duplicate key"],
    ),
    (
        "cluster = \"push\"",
        "cluster = \"Push!\"",
        &["halod.toml:1: cluster: \"Push!\" is not a name", "a-z"],
    ),
    (
        "active_min = 3",
        "active_min = 25",
        &["halod.toml:3: active_min = 25", "1 to 24"],
    ),
    (
        "reserve = 1",
        "reserve = -1",
        &["halod.toml:4: reserve = -1", "0 to 4096"],
    ),
    (
        "drain = \"90s\"",
        "drain = \"25h\"",
        &["halod.toml:5: drain = \"25h\" is out of range; 0s to 1day is possible"],
    ),
    (
        "drain = \"90s\"",
        "drain = \"4s\"",
        &["halod.toml:6: udp_stay, which is 5s, is longer than drain, which is 4s"],
    ),
    (
        "drain = \"90s\"",
        "drain = 90",
        &["halod.toml:5: invalid type: integer", "drain = \"60s\""],
    ),
    (
        "\"minimal\"",
        "\"least\"",
        &[
            "halod.toml:7: failover = \"least\"",
            "\"replace\" and \"minimal\"",
        ],
    ),
    (
        "failover = \"minimal\"",
        "fast_path = \"fast\"",
        &["halod.toml:7: fast_path = \"fast\"", "\"auto\""],
    ),
    (
        "hold_back = \"2s\"",
        "hold_back = \"11m\"",
        &["halod.toml:31: hold_back, which is 11m, is longer than hold_back_max, which is 10m"],
    ),
    (
        "hold_back = \"2s\"\nhold_back_max = \"10m\"",
        "hold_back_max = \"500ms\"",
        &["halod.toml:31: hold_back, which is 1s, is longer than hold_back_max, which is 500ms"],
    ),
    (
        "by = \"value\"",
        "by = \"cpu\"",
        &[
            "halod.toml:37: by = \"cpu\"",
            "\"connections\" and \"value\"",
        ],
    ),
    (
        "up_at = 0.8",
        "up_at = \"0.8\"",
        &["halod.toml:38: invalid type: string", "up_at = 40000"],
    ),
    (
        "up_at = 0.8",
        "up_at = inf",
        &["halod.toml:38: up_at = inf is not possible; a number from 0 is"],
    ),
    (
        "down_at = 0",
        "down_at = 0.8",
        &["halod.toml:39: down_at = 0.8 must be less than up_at, which is 0.8"],
    ),
    (
        "up_at = 0.8\n",
        "",
        &["halod.toml:36: up_at is missing; write for example: up_at = 40000"],
    ),
    (
        "hold = \"30s\"",
        "hold = \"30\"",
        &[
            "halod.toml:40: hold = \"30\" is not a duration",
            "hold = \"10s\"",
        ],
    ),
    (
        "\"/var/lib/halod/halod.db\"",
        "\"halod.db\"",
        &["halod.toml:8: store = \"halod.db\" is not the absolute path"],
    ),
    (
        "name = \"apps\"",
        "name = \"browsers\"",
        &["halod.toml:17: there are two listeners of the name \"browsers\""],
    ),
    (
        "name = \"apps\"\n",
        "",
        &["halod.toml:17: name is missing; write for example: name = \"browsers\""],
    ),
    (
        "port = 8000",
        "port = 65513",
        &["halod.toml:15: port = 65513", "1 to 65512"],
    ),
    ("port = 8000", "port = 0", &["halod.toml:15: port = 0"]),
    (
        "node_port = 9100",
        "node_port = 70000",
        &["halod.toml:22: node_port = 70000"],
    ),
    (
        "port = 9000",
        "port = 8023",
        &[
            "halod.toml:17: listener \"apps\" (198.51.100.1, tcp 8023-8046) overlaps listener \"browsers\" (8000-8023)",
        ],
    ),
    (
        "node_port = 9100",
        "node_port = 7977",
        &[
            "halod.toml:17: listener \"browsers\" and listener \"apps\" use the same tcp ports on the nodes",
            "(8000-8023 and 7977-8000)",
            "give \"apps\" a node_port that keeps them apart",
        ],
    ),
    (
        "node_port = 9100",
        "node_port = 9100\nselect = \"hash\"",
        &[
            "halod.toml:23: select = \"hash\" is not possible",
            "\"port\", \"source\" and \"flow\" are",
        ],
    ),
    (
        "node_port = 9100",
        "deliver = \"tunnel\"",
        &[
            "halod.toml:22: deliver = \"tunnel\" is not possible",
            "\"nat\", \"dsr\" and \"ipip\" are",
        ],
    ),
    (
        "node_port = 9100",
        "node_port = 9100\ndeliver = \"dsr\"",
        &[
            "halod.toml:22: deliver = \"dsr\" leaves packets as they are, on port 9000",
            "leave node_port out",
        ],
    ),
    (
        "node_port = 9100",
        "node_port = 9100\ndeliver = \"ipip\"",
        &["halod.toml:22: deliver = \"ipip\" leaves packets as they are, on port 9000"],
    ),
    (
        "port = 9000\n",
        "port = 8023\nselect = \"source\"\n",
        &[
            "halod.toml:17: listener \"apps\" (198.51.100.1, tcp 8023) overlaps listener \"browsers\" (8000-8023)",
        ],
    ),
    (
        "node_port = 9100",
        "node_port = 8023\nselect = \"flow\"",
        &[
            "halod.toml:17: listener \"browsers\" and listener \"apps\" use the same tcp ports on the nodes",
            "(8000-8023 and 8023)",
        ],
    ),
    (
        "port = 9000\n",
        "port = 65536\nselect = \"flow\"\n",
        &["port = 65536 is out of range; it can be 1 to 65535"],
    ),
    (
        "protocol = \"tcp\"\nport = 8000",
        "protocol = \"sctp\"\nport = 8000",
        &["halod.toml:14: protocol = \"sctp\"", "\"udp\""],
    ),
    (
        "\"2001:db8:1::1\"",
        "\"198.51.100.2\"",
        &[
            "halod.toml:13: 198.51.100.2 is the listener's second address of its family",
            "node_port",
        ],
    ),
    (
        "\"2001:db8:1::1\"",
        "\"198.51.100\"",
        &["halod.toml:13: \"198.51.100\" is not an IPv4 or IPv6 address"],
    ),
    (
        "\"2001:db8:1::1\"",
        "\"ff02::1\"",
        &["halod.toml:13: ff02::1 is a multicast address"],
    ),
    (
        "\"2001:db8:1::1\"",
        "\"::1\"",
        &["halod.toml:13: ::1 is a loopback address"],
    ),
    (
        "listen = [\"192.0.2.1:7600\"]",
        "listen = [\"192.0.2.1\"]",
        &["halod.toml:25: \"192.0.2.1\" is not an address with a port"],
    ),
    (
        "listen = [\"192.0.2.1:7600\"]",
        "listen = []",
        &["halod.toml:25: listen is empty"],
    ),
    (
        "[\"192.0.2.0/24\"]",
        "[\"192.0.2.0\"]",
        &[
            "halod.toml:26: \"192.0.2.0\" is not a range of addresses",
            "/24",
        ],
    ),
    (
        "[\"192.0.2.0/24\"]",
        "[]",
        &["halod.toml:26: plaintext_from is empty"],
    ),
    (
        "\"100ms\"",
        "\"100\"",
        &[
            "halod.toml:27: heartbeat = \"100\" is not a duration",
            "\"100ms\"",
        ],
    ),
    (
        "\"100ms\"",
        "100",
        &[
            "halod.toml:27: invalid type: integer",
            "heartbeat = \"100ms\"",
        ],
    ),
    (
        "\"100ms\"",
        "\"1ms\"",
        &["halod.toml:27: heartbeat = \"1ms\" is out of range; 10ms to 1m"],
    ),
    (
        "\"100ms\"",
        "\"100500us\"",
        &["halod.toml:27:", "whole milliseconds"],
    ),
    (
        "heartbeat_misses = 3",
        "heartbeat_misses = 0",
        &["halod.toml:28:", "1 to 1000"],
    ),
    (
        "\"2s\"",
        "\"2h\"",
        &["halod.toml:29: rejoin = \"2h\" is out of range; 0s to 10m"],
    ),
    (
        "max_nodes = 256",
        "max_nodes = 5000",
        &["halod.toml:33:", "1 to 4096"],
    ),
    (
        "[nodes]",
        "[node]",
        &["halod.toml:24: unknown field `node`"],
    ),
];

#[test]
fn what_is_wrong_is_named() {
    for (from, to, says) in WRONG {
        assert!(GOOD.contains(from), "{from}");
        let error = parse(&GOOD.replacen(from, to, 1)).expect_err(to);
        for part in *says {
            assert!(error.contains(part), "{to}:\n{error}\nshould say: {part}");
        }
    }
}

#[test]
fn every_problem_is_named_in_one_run() {
    let text = GOOD
        .replace("max_nodes = 256", "max_nodes = 0")
        .replace("\"100ms\"", "\"fast\"")
        .replace("\"192.0.2.0/24\"", "\"here\"");
    let error = parse(&text).expect_err("three problems");
    let lines: Vec<&str> = error
        .lines()
        .map(|l| l.split(": ").next().unwrap_or(""))
        .collect();
    assert_eq!(
        lines,
        ["halod.toml:26", "halod.toml:27", "halod.toml:33"],
        "{error}"
    );
}

#[test]
fn listeners_of_other_families_or_protocols_share_ports() {
    let text = GOOD
        .replace(
            "addresses = [\"198.51.100.1\", \"2001:db8:1::1\"]",
            "addresses = [\"2001:db8:1::1\"]",
        )
        .replace("node_port = 9100", "node_port = 8000");
    parse(&text).expect("IPv6 browsers beside IPv4 apps");
    let text = GOOD
        .replacen("protocol = \"tcp\"", "protocol = \"udp\"", 1)
        .replace("port = 9000\nnode_port = 9100", "port = 8000");
    parse(&text).expect("UDP beside TCP");
}

#[test]
fn a_listener_of_one_port_takes_no_other() {
    let text = GOOD.replace(
        "port = 9000\nnode_port = 9100",
        "port = 8024\nnode_port = 7999\nselect = \"source\"",
    );
    let config = parse(&text).expect("ports right beside the range of browsers");
    assert_eq!(config.listeners[0].select, Select::Port);
    assert_eq!(config.listeners[1].select, Select::Source);
    let text = text.replace("port = 8024", "port = 65535");
    parse(&text).expect("the last port there is");
}

#[test]
fn answers_that_do_not_come_back_need_not_be_told_apart() {
    // Two VIPs with the same ports on the nodes.
    let text = GOOD.replace(
        "port = 9000\nnode_port = 9100",
        "port = 8000\ndeliver = \"dsr\"",
    );
    let (before, apps) = text.split_once("name = \"apps\"").expect("apps");
    let apps = apps.replace("198.51.100.1", "198.51.100.2");
    let text = format!("{before}name = \"apps\"{apps}");
    let config = parse(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.listeners[0].deliver, Deliver::Nat);
    assert_eq!(config.listeners[1].deliver, Deliver::Dsr);
    let tunnels = parse(&text.replace("\"dsr\"", "\"ipip\"")).expect("the same inside others");
    assert_eq!(tunnels.listeners[1].deliver, Deliver::Ipip);
    parse(&text.replace("\"dsr\"", "\"nat\"")).expect_err("they must be told apart then");
}

#[test]
fn a_file_that_cannot_be_read() {
    let error = Config::load(Path::new("/nonexistent/halod.toml"))
        .expect_err("no file")
        .to_string();
    assert!(
        error.starts_with("/nonexistent/halod.toml: cannot read"),
        "{error}"
    );
}
