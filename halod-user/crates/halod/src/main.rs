//! The daemon's program: reads the command line, runs, maps errors to exit codes.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use halod::config::Config;
use halod::daemon::{Daemon, DaemonError};
use halod::tls::Tls;
use halod::{kernel, shutdown};
use tracing_subscriber::EnvFilter;

/// Layer-4 load balancer for push servers: the daemon that decides which node serves which
/// route. The kernel module forwards, also while this does not run.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 ended as asked, 1 other errors, 2 wrong option or \
    configuration, 3 the kernel module is missing or may not be used, 4 another halod runs, \
    5 the store cannot be used."
)]
struct Options {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "/etc/halod/halod.toml")]
    config: PathBuf,
    /// Check the configuration, say what is wrong with it, and end
    #[arg(long)]
    check_config: bool,
    /// Forget all nodes and begin with an empty table of the configured number of routes: every
    /// user will have to reconnect
    #[arg(long)]
    reset_table: bool,
    /// Wait up to so long for the kernel module to be loaded, for example 30s
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    wait_module: Duration,
    /// Form of the log on standard error; RUST_LOG chooses what is logged (default: info)
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people
    Human,
    /// One JSON object a line
    Json,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let config = match Config::load(&options.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    if options.check_config {
        if let Some(Err(error)) = config.nodes.tls.as_ref().map(Tls::load) {
            eprintln!("{}: [nodes.tls]: {error}", options.config.display());
            return ExitCode::from(2);
        }
        println!("{}: the configuration is right", options.config.display());
        return ExitCode::SUCCESS;
    }
    start_log(options.log_format);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&options, &config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(code(&error))
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error("cannot handle signals: {0}")]
    Signals(std::io::Error),
}

async fn run(options: &Options, config: &Config) -> Result<(), RunError> {
    let shutdown = shutdown::on_signals().map_err(RunError::Signals)?;
    let mut early = shutdown.clone();
    let start = async {
        let kernel = kernel::connect(options.wait_module).await?;
        Daemon::start(config, options.reset_table, kernel).await
    };
    let daemon = tokio::select! {
        daemon = start => daemon?,
        () = early.requested() => return Ok(()),
    };
    let listen = daemon
        .addresses()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    tracing::info!(
        cluster = config.cluster,
        routes = config.routes,
        listen,
        "running"
    );
    daemon.run(shutdown).await;
    Ok(())
}

/// See the help's last lines.
fn code(error: &RunError) -> u8 {
    match error {
        RunError::Daemon(DaemonError::Kernel(_)) => 3,
        RunError::Daemon(DaemonError::Lock(_)) => 4,
        RunError::Daemon(DaemonError::Store(_)) => 5,
        RunError::Daemon(DaemonError::Adopt(_) | DaemonError::Tls(_)) => 2,
        RunError::Daemon(
            DaemonError::Listen { .. }
            | DaemonError::Control { .. }
            | DaemonError::Hangup(_)
            | DaemonError::Random(_),
        )
        | RunError::Signals(_) => 1,
    }
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Human => log.with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
