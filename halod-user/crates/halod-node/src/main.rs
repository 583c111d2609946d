//! `halod-node`, the agent: runs beside a push server, registers it with HaloD as a node,
//! and tells it which routes it has.
//!
//! A tour: [`options`] and [`config`] say what to do, [`health`] asks the application whether
//! it is there, [`agent`] keeps up a [`session`] over a [`connection`] to HaloD. What HaloD says goes to
//! the [`drainer`]: it finds users' connections by [`halod_sockets`] and [`ports`], has [`drains`] decide
//! whom to tell when, and says so to [`followers`] and to the [`hook`].

mod agent;
mod backoff;
mod config;
mod connection;
mod drainer;
mod drains;
mod event;
mod followers;
mod health;
mod hook;
mod load;
mod options;
mod ports;
mod session;
mod shell;
mod shutdown;
mod token;
mod values;

use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::agent::Agent;
use crate::config::Config;
use crate::options::Cli;
use crate::shutdown::Shutdown;

/// Exit code for a wrong option or file; clap uses it too.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = <Cli as clap::Parser>::parse();
    match Config::load(cli)
        .map_err(|e| (USAGE, e.to_string()))
        .and_then(run)
    {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, why)) => {
            eprintln!("halod-node: {why}");
            ExitCode::from(code)
        }
    }
}

fn run(config: Config) -> Result<(), (u8, String)> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| {
        let what = format!(
            "{:?} is not a log level ({error}); it is error, warn, info, debug or trace",
            config.log
        );
        (USAGE, what)
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    // What the agent starts gets none of its capabilities. A failure means that there are none to give.
    let _ = rustix::thread::clear_ambient_capability_set();
    // Nothing here takes time but hooks, and those are processes.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| (1, format!("cannot start: {e}")))?;
    let result = runtime.block_on(async {
        let shutdown =
            Shutdown::on_signals().map_err(|e| (1, format!("cannot wait for signals: {e}")))?;
        let agent = Agent::new(config).map_err(|e| (USAGE, e.to_string()))?;
        agent.run(shutdown).await;
        Ok(())
    });
    // A name that is being looked up must not delay the exit.
    runtime.shutdown_background();
    result
}
