//! What can be said on the command line, and under the same names in the file.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser};
use halod_proto::NodeName;
use serde::Deserialize;

use crate::drains::Policy;
use crate::values::{self, Endpoint, NodePort, Span, TlsName, parse};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "halod-node",
    version,
    about = "Registers a push server with HaloD as a node, and tells it which routes it has",
    after_help = "Exit codes: 0 ended by SIGTERM or SIGINT, 1 cannot run, 2 wrong option or file."
)]
pub struct Cli {
    /// Read options from this TOML file; those on the command line come before it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub options: Options,
}

/// Every option but the file's own name. In the file, `-` in a name may be `_`.
#[derive(Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where HaloD listens for nodes
    #[arg(long, value_name = "HOST:PORT", value_parser = parse::<Endpoint>)]
    #[serde(deserialize_with = "values::one")]
    pub halod: Option<Endpoint>,

    /// Speak TLS: the CA that HaloD's certificate is from (PEM)
    #[arg(long, value_name = "FILE")]
    #[serde(alias = "tls-ca")]
    pub tls_ca: Option<PathBuf>,

    /// This node's certificate, with its name as DNS name (PEM)
    #[arg(long, value_name = "FILE")]
    #[serde(alias = "tls-certificate")]
    pub tls_certificate: Option<PathBuf>,

    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE")]
    #[serde(alias = "tls-key")]
    pub tls_key: Option<PathBuf>,

    /// Name or address that HaloD's certificate must be for [default: the host of --halod]
    #[arg(long, value_name = "NAME", value_parser = parse::<TlsName>)]
    #[serde(deserialize_with = "values::one", alias = "tls-name")]
    pub tls_name: Option<TlsName>,

    /// The node's name: a-z, 0-9, '.' and '-', at most 63
    #[arg(long)]
    pub name: Option<NodeName>,

    /// Where HaloD sends packets for this node; once for IPv4, once for IPv6
    #[arg(long, value_name = "IP", value_parser = parse::<IpAddr>)]
    #[serde(deserialize_with = "values::many")]
    pub address: Vec<IpAddr>,

    /// This node's port of route 1 for a listener, where it is not HaloD's default
    #[arg(long, value_name = "LISTENER=PORT", value_parser = parse::<NodePort>)]
    #[serde(deserialize_with = "values::ports")]
    pub port: Vec<NodePort>,

    /// The application is healthy while TCP connections to all of these succeed
    #[arg(long, value_name = "IP:PORT", value_parser = parse::<SocketAddr>)]
    #[serde(deserialize_with = "values::many")]
    pub watch: Vec<SocketAddr>,

    /// How often to try [default: 200ms]
    #[arg(long, value_name = "TIME", value_parser = parse::<Span>)]
    #[serde(deserialize_with = "values::one", alias = "watch-interval")]
    pub watch_interval: Option<Span>,

    /// How long a connection may take [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = parse::<Span>)]
    #[serde(deserialize_with = "values::one", alias = "watch-timeout")]
    pub watch_timeout: Option<Span>,

    /// Run this shell command when routes come or go
    #[arg(long, value_name = "COMMAND")]
    pub hook: Option<String>,

    /// Kill a hook that takes longer [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = parse::<Span>)]
    #[serde(deserialize_with = "values::one", alias = "hook-timeout")]
    pub hook_timeout: Option<Span>,

    /// Let programs on this machine follow what happens to the routes, on this Unix socket
    #[arg(long, value_name = "PATH")]
    pub events: Option<PathBuf>,

    /// What to do with users of routes that moved away: notify (say whom to ask to reconnect),
    /// close (close their connections) or none [default: notify]
    #[arg(long, value_parser = parse::<Policy>)]
    #[serde(deserialize_with = "values::one")]
    pub policy: Option<Policy>,

    /// Spread those users over this time [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse::<Span>)]
    #[serde(deserialize_with = "values::one")]
    pub spread: Option<Span>,

    /// Run this shell command, which prints a number, to tell HaloD how busy the node is
    #[arg(long, value_name = "COMMAND")]
    #[serde(alias = "load-command")]
    pub load_command: Option<String>,

    /// How often, and how long it may take [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = parse::<Span>)]
    #[serde(deserialize_with = "values::one", alias = "load-interval")]
    pub load_interval: Option<Span>,

    /// On SIGTERM, wait so long for the users to have gone [default: 90s]
    #[arg(long, value_name = "TIME", value_parser = parse::<Span>)]
    #[serde(deserialize_with = "values::one", alias = "leave-timeout")]
    pub leave_timeout: Option<Span>,

    /// Keep the resume token here, so that a restarted agent takes its place again
    #[arg(long, value_name = "DIR")]
    #[serde(alias = "state-dir")]
    pub state_dir: Option<PathBuf>,

    /// error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
}

impl Options {
    /// These, and where they say nothing, those of the file.
    pub fn or(self, file: Options) -> Options {
        fn list<T>(ours: Vec<T>, theirs: Vec<T>) -> Vec<T> {
            if ours.is_empty() { theirs } else { ours }
        }
        Options {
            halod: self.halod.or(file.halod),
            tls_ca: self.tls_ca.or(file.tls_ca),
            tls_certificate: self.tls_certificate.or(file.tls_certificate),
            tls_key: self.tls_key.or(file.tls_key),
            tls_name: self.tls_name.or(file.tls_name),
            name: self.name.or(file.name),
            address: list(self.address, file.address),
            port: list(self.port, file.port),
            watch: list(self.watch, file.watch),
            watch_interval: self.watch_interval.or(file.watch_interval),
            watch_timeout: self.watch_timeout.or(file.watch_timeout),
            hook: self.hook.or(file.hook),
            hook_timeout: self.hook_timeout.or(file.hook_timeout),
            events: self.events.or(file.events),
            policy: self.policy.or(file.policy),
            spread: self.spread.or(file.spread),
            load_command: self.load_command.or(file.load_command),
            load_interval: self.load_interval.or(file.load_interval),
            leave_timeout: self.leave_timeout.or(file.leave_timeout),
            state_dir: self.state_dir.or(file.state_dir),
            log: self.log.or(file.log),
        }
    }
}
