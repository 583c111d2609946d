//! The file's form: keys and types, before any rule between them.

use serde::Deserialize;
use toml::Spanned;

use super::error::{Problem, line_of};

/// Numbers are wider here than what is right, so that the check can say what would be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub cluster: Spanned<String>,
    pub routes: Spanned<i64>,
    pub active_min: Option<Spanned<i64>>,
    pub reserve: Option<Spanned<i64>>,
    pub drain: Option<Spanned<String>>,
    pub udp_stay: Option<Spanned<String>>,
    pub failover: Option<Spanned<String>>,
    pub fast_path: Option<Spanned<String>>,
    pub store: Option<Spanned<String>>,
    pub control: Option<Spanned<String>>,
    #[serde(default)]
    pub listener: Vec<Spanned<Listener>>,
    pub nodes: Spanned<Nodes>,
    pub scale: Option<Spanned<Scale>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    pub name: Spanned<String>,
    pub addresses: Spanned<Vec<Spanned<String>>>,
    pub protocol: Spanned<String>,
    pub port: Spanned<i64>,
    pub node_port: Option<Spanned<i64>>,
    pub select: Option<Spanned<String>>,
    pub deliver: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nodes {
    pub listen: Spanned<Vec<Spanned<String>>>,
    pub plaintext_from: Option<Spanned<Vec<Spanned<String>>>>,
    pub tls: Option<Tls>,
    pub heartbeat: Option<Spanned<String>>,
    pub heartbeat_misses: Option<Spanned<i64>>,
    pub rejoin: Option<Spanned<String>>,
    pub restart_grace: Option<Spanned<String>>,
    pub hello_timeout: Option<Spanned<String>>,
    pub hold_back: Option<Spanned<String>>,
    pub hold_back_max: Option<Spanned<String>>,
    pub max_nodes: Option<Spanned<i64>>,
    pub max_handshakes: Option<Spanned<i64>>,
    pub handshake_rate: Option<Spanned<i64>>,
    pub handshake_burst: Option<Spanned<i64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub ca: Spanned<String>,
    pub certificate: Spanned<String>,
    pub key: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scale {
    pub by: Spanned<String>,
    pub up_at: Spanned<f64>,
    pub down_at: Spanned<f64>,
    pub hold: Option<Spanned<String>>,
    pub interval: Option<Spanned<String>>,
}

/// The right form of each key, for errors about its type or its absence.
const FORMS: &[(&str, &str)] = &[
    ("cluster", r#"cluster = "push""#),
    ("routes", "routes = 24"),
    ("active_min", "active_min = 3"),
    ("reserve", "reserve = 1"),
    ("drain", r#"drain = "60s""#),
    ("udp_stay", r#"udp_stay = "0s""#),
    (
        "failover",
        r#"failover = "replace" or failover = "minimal""#,
    ),
    (
        "fast_path",
        r#"fast_path = "auto", fast_path = "on" or fast_path = "off""#,
    ),
    ("store", r#"store = "/var/lib/halod/halod.db""#),
    ("control", r#"control = "/run/halod/control.sock""#),
    (
        "listener",
        "[[listener]] on a line of its own, with its keys below",
    ),
    ("name", r#"name = "browsers""#),
    (
        "addresses",
        r#"addresses = ["198.51.100.1", "2001:db8:1::1"]"#,
    ),
    ("protocol", r#"protocol = "tcp" or protocol = "udp""#),
    ("port", "port = 8000"),
    ("node_port", "node_port = 8000"),
    (
        "select",
        r#"select = "port", select = "source" or select = "flow""#,
    ),
    (
        "deliver",
        r#"deliver = "nat", deliver = "dsr" or deliver = "ipip""#,
    ),
    ("nodes", "[nodes] on a line of its own, with its keys below"),
    ("listen", r#"listen = ["192.0.2.1:7600"]"#),
    ("plaintext_from", r#"plaintext_from = ["192.0.2.0/24"]"#),
    ("heartbeat", r#"heartbeat = "100ms""#),
    ("heartbeat_misses", "heartbeat_misses = 3"),
    ("rejoin", r#"rejoin = "2s""#),
    ("restart_grace", r#"restart_grace = "5s""#),
    ("hello_timeout", r#"hello_timeout = "2s""#),
    ("hold_back", r#"hold_back = "1s""#),
    ("hold_back_max", r#"hold_back_max = "5m""#),
    ("max_nodes", "max_nodes = 256"),
    ("max_handshakes", "max_handshakes = 64"),
    ("scale", "[scale] on a line of its own, with its keys below"),
    ("by", r#"by = "connections" or by = "value""#),
    ("up_at", "up_at = 40000"),
    ("down_at", "down_at = 20000"),
    ("hold", r#"hold = "10s""#),
    ("interval", r#"interval = "60s""#),
    ("handshake_rate", "handshake_rate = 100"),
    ("handshake_burst", "handshake_burst = 512"),
    (
        "nodes.tls",
        "[nodes.tls] on a line of its own, with ca, certificate and key below",
    ),
    ("ca", r#"ca = "/etc/halod/ca.pem""#),
    ("certificate", r#"certificate = "/etc/halod/halod.pem""#),
    ("key", r#"key = "/etc/halod/halod.key""#),
];

fn form(key: &str) -> Option<&'static str> {
    FORMS.iter().find(|(k, _)| *k == key).map(|(_, form)| *form)
}

/// Reads the form.
pub(super) fn parse(text: &str) -> Result<File, Vec<Problem>> {
    toml::from_str(text).map_err(|error| vec![problem(text, &error)])
}

/// Serde's and the parser's words with our line, and the right form of the key concerned.
fn problem(text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message().replace('\n', "; ");
    if let Some(key) = missing(&message) {
        return Problem {
            // The place of what is missing is that of its table; the whole file has none.
            line: error
                .span()
                .filter(|span| span.start > 0)
                .map(|span| line_of(text, span.start)),
            text: match form(key) {
                Some(form) => format!("{key} is missing; write for example: {form}"),
                None => message,
            },
        };
    }
    let line = error.span().map(|span| line_of(text, span.start));
    let right = line
        .filter(|_| message.starts_with("invalid "))
        .and_then(|line| text.lines().nth(line - 1))
        .and_then(|line| form(line.split('=').next()?.trim().trim_matches(['[', ']'])));
    Problem {
        line,
        text: match right {
            Some(form) => format!("{message}; write for example: {form}"),
            None => message,
        },
    }
}

/// The key of serde's "missing field `key`".
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split('`').next()
}
