//! What the agent shall do, checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use halod_proto::{Hello, HelloError, VERSION};
use halod_tls::Files;

use crate::drains::Policy;
use crate::options::{Cli, Options};
use crate::values::{Endpoint, Span, TlsName};

/// The agent's configuration.
#[derive(Debug)]
pub struct Config {
    /// Where HaloD listens for nodes.
    pub halod: Endpoint,
    /// Files and name for TLS; none: plaintext.
    pub tls: Option<Tls>,
    /// What the node says of itself, without token and health.
    pub hello: Hello,
    /// What to connect to, and how often.
    pub watch: Watch,
    /// What to run when routes come or go.
    pub hook: Option<Hook>,
    /// What is done about users of lost routes.
    pub drain: Drain,
    /// What to run to know the load.
    pub load: Option<LoadCommand>,
    /// The Unix socket of the event stream.
    pub events: Option<PathBuf>,
    /// How long leaving may take.
    pub leave_timeout: Duration,
    /// Where the token is kept.
    pub state_dir: Option<PathBuf>,
    /// Filter of the log.
    pub log: String,
}

/// How to speak TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificates, read anew for each connection.
    pub files: Files,
    /// Whom HaloD's certificate must be for.
    pub name: TlsName,
}

/// How the application's health is watched.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The application is healthy while connections to all of these succeed.
    pub addresses: Vec<SocketAddr>,
    /// How often they are tried.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
}

/// The hook.
#[derive(Debug, Clone)]
pub struct Hook {
    /// A shell command.
    pub command: String,
    /// It is killed when it takes longer.
    pub timeout: Duration,
}

/// What is done about users of lost routes.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// What is done.
    pub policy: Policy,
    /// Within how long.
    pub spread: Duration,
}

/// The load command.
#[derive(Debug, Clone)]
pub struct LoadCommand {
    /// A shell command that prints a number.
    pub command: String,
    /// How often it is run, and how long it may take.
    pub interval: Duration,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {error}", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file says something wrong.
    #[error("{file}:{line}: {what}", file = file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// Something that is needed was said nowhere.
    #[error(
        "no {name}; give --{name} {example}, or {name} = \"{example}\" in the file of --config"
    )]
    Missing {
        /// The option.
        name: &'static str,
        /// A value for it.
        example: &'static str,
    },
    /// One of the files for TLS was said, another was not.
    #[error(
        "TLS needs tls-ca, tls-certificate and tls-key, and there is no {missing}; give \
         --{missing} FILE too, or none of them for plaintext"
    )]
    Tls {
        /// The one.
        missing: &'static str,
    },
    /// HaloD's host cannot be in a certificate.
    #[error("no certificate can be for the host of {0}; give --tls-name NAME")]
    TlsName(String),
    /// The port of one listener was given twice.
    #[error("two ports for listener {0}; give one")]
    TwoPorts(String),
    /// The node cannot be what it is said to be.
    #[error(transparent)]
    Hello(#[from] HelloError),
}

impl Config {
    /// The configuration that a command line asks for; reads the file that it names.
    ///
    /// # Errors
    /// The file cannot be read, or something in it or on the command line is missing or wrong.
    pub fn load(cli: Cli) -> Result<Config, ConfigError> {
        let options = match &cli.config {
            Some(file) => cli.options.or(read(file)?),
            None => cli.options,
        };
        Config::of(options)
    }

    fn of(options: Options) -> Result<Config, ConfigError> {
        let missing = |name, example| ConfigError::Missing { name, example };
        let time = |span: Option<Span>, default| {
            span.map_or(Duration::from_millis(default), |Span(duration)| duration)
        };
        let mut ports = BTreeMap::new();
        for port in options.port {
            if ports.insert(port.listener.clone(), port.port).is_some() {
                return Err(ConfigError::TwoPorts(port.listener));
            }
        }
        if options.address.is_empty() {
            return Err(missing("address", "192.0.2.11"));
        }
        let hello = Hello {
            version: VERSION,
            name: options.name.ok_or(missing("name", "n1"))?,
            addresses: options.address,
            ports,
            resume: None,
            agent: Some(concat!("halod-node ", env!("CARGO_PKG_VERSION")).to_owned()),
            healthy: true,
        };
        hello.check()?;
        let hook_timeout = time(options.hook_timeout, 30_000);
        let load_interval = time(options.load_interval, 5_000);
        let halod = options.halod.ok_or(missing("halod", "192.0.2.1:7600"))?;
        let files = (options.tls_ca, options.tls_certificate, options.tls_key);
        let tls = tls(files, options.tls_name, &halod)?;
        Ok(Config {
            halod,
            tls,
            hello,
            watch: Watch {
                addresses: options.watch,
                interval: time(options.watch_interval, 200),
                timeout: time(options.watch_timeout, 500),
            },
            hook: options.hook.map(|command| Hook {
                command,
                timeout: hook_timeout,
            }),
            drain: Drain {
                policy: options.policy.unwrap_or(Policy::Notify),
                spread: time(options.spread, 10_000),
            },
            load: options.load_command.map(|command| LoadCommand {
                command,
                interval: load_interval,
            }),
            events: options.events,
            leave_timeout: time(options.leave_timeout, 90_000),
            state_dir: options.state_dir,
            log: options.log.unwrap_or_else(|| "info".to_owned()),
        })
    }
}

/// All three files, or none.
fn tls(
    files: (Option<PathBuf>, Option<PathBuf>, Option<PathBuf>),
    name: Option<TlsName>,
    halod: &Endpoint,
) -> Result<Option<Tls>, ConfigError> {
    let missing = |missing| Err(ConfigError::Tls { missing });
    let files = match files {
        (None, None, None) if name.is_none() => return Ok(None),
        (None, ..) => return missing("tls-ca"),
        (_, None, _) => return missing("tls-certificate"),
        (.., None) => return missing("tls-key"),
        (Some(ca), Some(certificate), Some(key)) => Files {
            ca,
            certificate,
            key,
        },
    };
    let name = name
        .or_else(|| halod.host())
        .ok_or_else(|| ConfigError::TlsName(halod.as_str().to_owned()))?;
    Ok(Some(Tls { files, name }))
}

fn read(file: &Path) -> Result<Options, ConfigError> {
    let unreadable = |error| ConfigError::Unreadable {
        file: file.to_owned(),
        error,
    };
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let before = &text.as_bytes()[..at];
        ConfigError::File {
            file: file.to_owned(),
            line: 1 + before.iter().filter(|&&b| b == b'\n').count(),
            what: error.message().trim().replace('\n', ", "),
        }
    })
}
