//! The rules that a configuration must keep. All of them are checked, so that one
//! run of `--check-config` names every problem.

mod scale;

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use halod_cluster::{Failover, FastPath};
use halod_proto::{Deliver, NodeName, Protocol, Select};
use halod_tls::Files;
use ipnet::IpNet;
use toml::Spanned;

use super::error::Problem;
use super::file;
use super::{Config, Listener, MAX_LISTENERS, MAX_NODES, MAX_ROUTES, Nodes};

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct Check<'a> {
    source: &'a str,
    problems: Vec<Problem>,
}

/// Checks every rule; `source` is the text that `file` was read from.
pub(super) fn check(source: &str, file: file::File) -> Result<Config, Vec<Problem>> {
    let mut c = Check {
        source,
        problems: Vec::new(),
    };
    let cluster = c.name("cluster", &file.cluster);
    let routes = c.number("routes", Some(&file.routes), 1..=MAX_ROUTES, 1);
    let nodes = c.nodes(file.nodes);
    let active_min = c.number(
        "active_min",
        file.active_min.as_ref(),
        1..=routes.min(MAX_NODES),
        1,
    );
    let reserve = c.number("reserve", file.reserve.as_ref(), 0..=MAX_NODES, 0);
    let (drain_at, udp_at) = (file.drain.as_ref(), file.udp_stay.as_ref());
    let drain = c.duration("drain", drain_at, Duration::ZERO..=DAY, MINUTE);
    let udp_stay = c.duration("udp_stay", udp_at, Duration::ZERO..=DAY, Duration::ZERO);
    c.at_most(("udp_stay", udp_stay, udp_at), ("drain", drain, drain_at));
    let failover = c.failover(file.failover.as_ref());
    let fast_path = c.fast_path(file.fast_path.as_ref());
    let scale = file.scale.map(|s| c.scale(s.into_inner()));
    let store = c.path("store", file.store, "/var/lib/halod/halod.db");
    let control = c.path("control", file.control, halod_control::DEFAULT_SOCKET);
    // A sockaddr_un holds 108 bytes with the final NUL; the socket is made under a longer
    // name first (see control.rs).
    if control.as_os_str().len() > 90 {
        c.problems.push(Problem {
            line: None,
            text: format!(
                "control: {} has {} bytes; the path of a Unix socket can have 90 here",
                control.display(),
                control.as_os_str().len()
            ),
        });
    }
    let spans: Vec<Range<usize>> = file.listener.iter().map(Spanned::span).collect();
    let listeners: Vec<Listener> = file
        .listener
        .into_iter()
        .map(|l| c.listener(l, routes))
        .collect();
    if listeners.is_empty() {
        c.problems.push(Problem {
            line: None,
            text: "there is no listener; write for example: [[listener]] with name, addresses, \
                   protocol and port below it"
                .into(),
        });
    }
    let kernel_listeners: usize = listeners.iter().map(|l| l.addresses.len()).sum();
    if kernel_listeners > MAX_LISTENERS {
        c.problems.push(Problem {
            line: None,
            text: format!(
                "the listeners have {kernel_listeners} addresses together; at most \
                 {MAX_LISTENERS} are possible"
            ),
        });
    }
    for (i, span) in spans.iter().enumerate() {
        for j in 0..i {
            c.pair(span, &listeners[j], &listeners[i], routes);
        }
    }
    if !c.problems.is_empty() {
        c.problems.sort_by_key(|p| p.line);
        return Err(c.problems);
    }
    Ok(Config {
        cluster,
        routes,
        active_min,
        reserve,
        drain,
        udp_stay,
        failover,
        fast_path,
        store,
        control,
        listeners,
        nodes,
        scale,
    })
}

impl Check<'_> {
    fn wrong(&mut self, span: &Range<usize>, text: impl Into<String>) {
        self.problems.push(Problem::at(self.source, span, text));
    }

    fn name(&mut self, key: &str, value: &Spanned<String>) -> String {
        if let Err(error) = value.get_ref().parse::<NodeName>() {
            let text = error.to_string().replace("a node's name", "a name");
            self.wrong(&value.span(), format!("{key}: {text}"));
        }
        value.get_ref().clone()
    }

    fn number<T>(
        &mut self,
        key: &str,
        value: Option<&Spanned<i64>>,
        right: RangeInclusive<T>,
        default: T,
    ) -> T
    where
        T: Copy + Display + TryFrom<i64> + PartialOrd,
    {
        let Some(value) = value else { return default };
        match T::try_from(*value.get_ref()) {
            Ok(number) if right.contains(&number) => number,
            _ => {
                let text = format!(
                    "{key} = {} is out of range; {} to {} is possible",
                    value.get_ref(),
                    right.start(),
                    right.end()
                );
                self.wrong(&value.span(), text);
                default
            }
        }
    }

    fn duration(
        &mut self,
        key: &str,
        value: Option<&Spanned<String>>,
        right: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let Some(value) = value else { return default };
        match humantime::parse_duration(value.get_ref()) {
            // The state machine's clock has milliseconds.
            Ok(d) if right.contains(&d) && d.subsec_nanos() % 1_000_000 == 0 => return d,
            Ok(d) if right.contains(&d) => self.wrong(
                &value.span(),
                format!(
                    "{key} = {:?}: whole milliseconds are needed",
                    value.get_ref()
                ),
            ),
            Ok(_) => self.wrong(
                &value.span(),
                format!(
                    "{key} = {:?} is out of range; {} to {} is possible",
                    value.get_ref(),
                    humantime::format_duration(*right.start()),
                    humantime::format_duration(*right.end())
                ),
            ),
            Err(error) => self.wrong(
                &value.span(),
                format!(
                    "{key} = {:?} is not a duration ({error}); write a number with its unit, \
                     for example: {key} = \"{}\"",
                    value.get_ref(),
                    humantime::format_duration(default)
                ),
            ),
        }
        default
    }

    /// One duration must not be longer than another; each with its key and where it is written.
    fn at_most(
        &mut self,
        (key, value, written): (&str, Duration, Option<&Spanned<String>>),
        (most_key, most, most_written): (&str, Duration, Option<&Spanned<String>>),
    ) {
        if let Some(at) = written.or(most_written).filter(|_| value > most) {
            let text = format!(
                "{key}, which is {}, is longer than {most_key}, which is {}",
                humantime::format_duration(value),
                humantime::format_duration(most)
            );
            self.wrong(&at.span(), text);
        }
    }

    fn failover(&mut self, value: Option<&Spanned<String>>) -> Failover {
        let Some(value) = value else {
            return Failover::Replace;
        };
        let words = [
            ("replace", Failover::Replace),
            ("minimal", Failover::Minimal),
        ];
        self.one_of("failover", value, words)
    }

    fn fast_path(&mut self, value: Option<&Spanned<String>>) -> FastPath {
        let Some(value) = value else {
            return FastPath::default();
        };
        let words = [
            ("auto", FastPath::Auto),
            ("on", FastPath::On),
            ("off", FastPath::Off),
        ];
        self.one_of("fast_path", value, words)
    }

    /// What a word stands for; the first, where it is none of them.
    fn one_of<T: Copy, const N: usize>(
        &mut self,
        key: &str,
        value: &Spanned<String>,
        words: [(&str, T); N],
    ) -> T {
        let given = value.get_ref();
        if let Some((_, meant)) = words.iter().find(|(word, _)| word == given) {
            return *meant;
        }
        let quoted = words.map(|(word, _)| format!("{word:?}")).join(", ");
        let possible = match quoted.rsplit_once(", ") {
            Some((others, last)) => format!("{others} and {last}"),
            None => quoted,
        };
        let text = format!("{key} = {given:?} is not possible; {possible} are");
        self.wrong(&value.span(), text);
        words[0].1
    }

    fn path(&mut self, key: &str, value: Option<Spanned<String>>, default: &str) -> PathBuf {
        let Some(value) = value else {
            return PathBuf::from(default);
        };
        let path = PathBuf::from(value.get_ref());
        if !path.is_absolute() || path.file_name().is_none() {
            let text = format!(
                "{key} = {:?} is not the absolute path of a file; write for example: {key} = {default:?}",
                value.get_ref()
            );
            self.wrong(&value.span(), text);
        }
        path
    }

    fn listener(&mut self, listener: Spanned<file::Listener>, routes: u32) -> Listener {
        let file::Listener {
            name,
            addresses,
            protocol,
            port,
            node_port,
            select,
            deliver,
        } = listener.into_inner();
        let name = self.name("name", &name);
        let words = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
        let protocol = self.one_of("protocol", &protocol, words);
        let addresses = self.addresses(&addresses);
        let select = self.select(select.as_ref());
        let ports = select.ports(routes);
        let port = self.port_range("port", &port, ports);
        let deliver = self.deliver(deliver.as_ref());
        let node_port = node_port.map(|p| {
            let number = self.port_range("node_port", &p, ports);
            if !deliver.is_nat() && number != port {
                let text = format!(
                    "deliver = \"{deliver}\" leaves packets as they are, on port {port}: leave \
                     node_port out, and let the nodes listen there"
                );
                self.wrong(&p.span(), text);
            }
            number
        });
        Listener {
            name,
            addresses,
            protocol,
            port,
            node_port,
            select,
            deliver,
        }
    }

    fn deliver(&mut self, value: Option<&Spanned<String>>) -> Deliver {
        let Some(value) = value else {
            return Deliver::Nat;
        };
        let words = [
            ("nat", Deliver::Nat),
            ("dsr", Deliver::Dsr),
            ("ipip", Deliver::Ipip),
        ];
        self.one_of("deliver", value, words)
    }

    fn select(&mut self, value: Option<&Spanned<String>>) -> Select {
        let Some(value) = value else {
            return Select::Port;
        };
        let words = [
            ("port", Select::Port),
            ("source", Select::Source),
            ("flow", Select::Flow),
        ];
        self.one_of("select", value, words)
    }

    fn addresses(&mut self, list: &Spanned<Vec<Spanned<String>>>) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for value in list.get_ref() {
            let Ok(address) = value.get_ref().parse::<IpAddr>() else {
                let text = format!(
                    "{:?} is not an IPv4 or IPv6 address; write for example: \"198.51.100.1\"",
                    value.get_ref()
                );
                self.wrong(&value.span(), text);
                continue;
            };
            if let Some(kind) = not_a_vip(address) {
                let text = format!("{address} is {kind}; a listener needs a unicast address");
                self.wrong(&value.span(), text);
            } else if addresses.iter().any(|a| a.is_ipv4() == address.is_ipv4()) {
                // A reply from a node's port must belong to one VIP.
                let text = format!(
                    "{address} is the listener's second address of its family, and a reply of a \
                     node could not be told apart; make it another [[listener]] with another \
                     node_port"
                );
                self.wrong(&value.span(), text);
            }
            addresses.push(address);
        }
        if list.get_ref().is_empty() {
            let text = "addresses is empty; write for example: addresses = [\"198.51.100.1\"]";
            self.wrong(&list.span(), text);
        }
        addresses
    }

    /// A port from which `count` ports go up.
    fn port_range(&mut self, key: &str, value: &Spanned<i64>, count: u32) -> u16 {
        let highest = 65_536 - count.min(65_535);
        match u16::try_from(*value.get_ref()) {
            Ok(port) if (1..=highest).contains(&u32::from(port)) => port,
            _ => {
                let why = match count {
                    1 => String::new(),
                    _ => format!(" with {count} routes, so that the last one's is at most 65535"),
                };
                let text = format!(
                    "{key} = {} is out of range; it can be 1 to {highest}{why}",
                    value.get_ref()
                );
                self.wrong(&value.span(), text);
                1
            }
        }
    }

    /// What two listeners must not do; `span` is the second one's.
    fn pair(&mut self, span: &Range<usize>, a: &Listener, b: &Listener, routes: u32) {
        if a.name == b.name {
            let text = format!("there are two listeners of the name {:?}", b.name);
            self.wrong(span, text);
        }
        if a.protocol != b.protocol {
            return;
        }
        let (a_ports, b_ports) = (a.select.ports(routes), b.select.ports(routes));
        let ports = |first: u16, count: u32| match count {
            1 => first.to_string(),
            _ => format!("{first}-{}", u32::from(first) + count - 1),
        };
        // Neither ends before the other begins.
        let overlap = |p: u16, q: u16| {
            u32::from(q) < u32::from(p) + a_ports && u32::from(p) < u32::from(q) + b_ports
        };
        if overlap(a.port, b.port)
            && let Some(address) = b.addresses.iter().find(|x| a.addresses.contains(x))
        {
            let text = format!(
                "listener {:?} ({address}, {} {}) overlaps listener {:?} ({}): give one of them \
                 another port",
                b.name,
                b.protocol,
                ports(b.port, b_ports),
                a.name,
                ports(a.port, a_ports),
            );
            self.wrong(span, text);
            return;
        }
        // Answers that do not come back this way need not be told apart.
        if !a.deliver.is_nat() || !b.deliver.is_nat() {
            return;
        }
        let (p, q) = (a.node_port.unwrap_or(a.port), b.node_port.unwrap_or(b.port));
        let family = |l: &Listener, v4: bool| l.addresses.iter().any(|x| x.is_ipv4() == v4);
        let together = [true, false]
            .into_iter()
            .any(|v4| family(a, v4) && family(b, v4));
        if overlap(p, q) && together {
            let text = format!(
                "listener {:?} and listener {:?} use the same {} ports on the nodes ({} and {}), \
                 and a reply of a node could not be told apart; give {:?} a node_port that keeps \
                 them apart",
                a.name,
                b.name,
                b.protocol,
                ports(p, a_ports),
                ports(q, b_ports),
                b.name
            );
            self.wrong(span, text);
        }
    }

    fn tls(&mut self, tls: file::Tls) -> Files {
        Files {
            ca: self.path("ca", Some(tls.ca), "/etc/halod/ca.pem"),
            certificate: self.path("certificate", Some(tls.certificate), "/etc/halod/halod.pem"),
            key: self.path("key", Some(tls.key), "/etc/halod/halod.key"),
        }
    }

    fn nodes(&mut self, nodes: Spanned<file::Nodes>) -> Nodes {
        let span = nodes.span();
        let nodes = nodes.into_inner();
        let mut listen = Vec::new();
        for value in nodes.listen.get_ref() {
            match value.get_ref().parse::<SocketAddr>() {
                Ok(address) if listen.contains(&address) => {
                    self.wrong(&value.span(), format!("{address} is there twice"));
                }
                Ok(address) => listen.push(address),
                Err(_) => {
                    let text = format!(
                        "{:?} is not an address with a port; write for example: \
                         \"192.0.2.1:7600\" or \"[2001:db8::1]:7600\"",
                        value.get_ref()
                    );
                    self.wrong(&value.span(), text);
                }
            }
        }
        if nodes.listen.get_ref().is_empty() {
            let text = "listen is empty, so no node could register; write for example: \
                        listen = [\"192.0.2.1:7600\"]";
            self.wrong(&nodes.listen.span(), text);
        }
        let mut plaintext_from = Vec::new();
        let ranges = nodes.plaintext_from.as_ref();
        for value in ranges.into_iter().flat_map(Spanned::get_ref) {
            match value.get_ref().parse::<IpNet>() {
                Ok(range) => plaintext_from.push(range.trunc()),
                Err(_) => {
                    let text = format!(
                        "{:?} is not a range of addresses; write for example: \"192.0.2.0/24\" or, \
                         for one address, \"192.0.2.11/32\"",
                        value.get_ref()
                    );
                    self.wrong(&value.span(), text);
                }
            }
        }
        if ranges.is_none_or(|ranges| ranges.get_ref().is_empty()) && nodes.tls.is_none() {
            let what = ranges.map_or("missing", |_| "empty");
            let text = format!(
                "plaintext_from is {what}, and without [nodes.tls] no node could register; write \
                 for example: plaintext_from = [\"192.0.2.0/24\"], or [nodes.tls] with ca, \
                 certificate and key below it (see `halodctl pki`)"
            );
            self.wrong(&ranges.map_or(span, Spanned::span), text);
        }
        let max_nodes = self.number("max_nodes", nodes.max_nodes.as_ref(), 1..=MAX_NODES, 256);
        let second = 1000 * MS;
        let (hold_at, max_at) = (nodes.hold_back.as_ref(), nodes.hold_back_max.as_ref());
        let hold_back = self.duration("hold_back", hold_at, Duration::ZERO..=DAY, second);
        let hold_back_max =
            self.duration("hold_back_max", max_at, Duration::ZERO..=DAY, 5 * MINUTE);
        self.at_most(
            ("hold_back", hold_back, hold_at),
            ("hold_back_max", hold_back_max, max_at),
        );
        Nodes {
            listen,
            plaintext_from,
            tls: nodes.tls.map(|tls| self.tls(tls)),
            heartbeat: self.duration(
                "heartbeat",
                nodes.heartbeat.as_ref(),
                10 * MS..=MINUTE,
                100 * MS,
            ),
            heartbeat_misses: self.number(
                "heartbeat_misses",
                nodes.heartbeat_misses.as_ref(),
                1..=1000,
                3,
            ),
            rejoin: self.duration(
                "rejoin",
                nodes.rejoin.as_ref(),
                Duration::ZERO..=10 * MINUTE,
                2 * second,
            ),
            restart_grace: self.duration(
                "restart_grace",
                nodes.restart_grace.as_ref(),
                Duration::ZERO..=10 * MINUTE,
                5 * second,
            ),
            hello_timeout: self.duration(
                "hello_timeout",
                nodes.hello_timeout.as_ref(),
                100 * MS..=MINUTE,
                2 * second,
            ),
            hold_back,
            hold_back_max,
            max_nodes,
            max_handshakes: self.number(
                "max_handshakes",
                nodes.max_handshakes.as_ref(),
                1..=65_536,
                64,
            ),
            handshake_rate: self.number(
                "handshake_rate",
                nodes.handshake_rate.as_ref(),
                1..=1_000_000,
                100,
            ),
            // All nodes may be behind one address, and come back at once, and again.
            handshake_burst: self.number(
                "handshake_burst",
                nodes.handshake_burst.as_ref(),
                1..=1_000_000,
                2 * max_nodes,
            ),
        }
    }
}

/// Why clients cannot be sent to `address`, if they cannot.
fn not_a_vip(address: IpAddr) -> Option<&'static str> {
    let v4_mapped = matches!(address, IpAddr::V6(a) if a.to_ipv4_mapped().is_some());
    let link_local = match address {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    };
    let reserved = matches!(address, IpAddr::V4(a) if a.octets()[0] >= 240 || a.octets()[0] == 0);
    [
        (address.is_unspecified(), "unspecified"),
        (address.is_loopback(), "a loopback address"),
        (address.is_multicast(), "a multicast address"),
        (link_local, "a link-local address"),
        (v4_mapped, "an IPv4 address written as IPv6"),
        (reserved, "a reserved or broadcast address"),
    ]
    .into_iter()
    .find_map(|(is, kind)| is.then_some(kind))
}
