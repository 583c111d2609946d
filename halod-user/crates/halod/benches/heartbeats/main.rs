//! What heartbeats cost, and how long a loss takes meanwhile: one halod, a process of its own, and
//! here 2,048 nodes that beat ten times a second, over TCP and over TLS. Its store is a real one;
//! the kernel's table is in memory, since a module cannot be loaded here, so a loss ends where the
//! table would be given to the kernel.
//!
//! `make bench-heartbeats` runs it in a network namespace in which the nodes' addresses are local, so
//! that the probe of a dead node's service port is refused as by a machine whose application is gone.
//! A loss during which the machine's host gave its processors to others does not count, and another is
//! measured for it: `disturbed` says how many.

#[path = "../../tests/daemon/common/mod.rs"]
mod common;
mod daemon;
mod figures;
mod nodes;
#[path = "../../../halod-tls/tests/common/mod.rs"]
mod pki;
mod stolen;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use halod_tls::Files;

/// Measures halod under heartbeats.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// How many nodes beat
    #[arg(long, default_value_t = 2048)]
    nodes: usize,
    /// For how long their cost is measured
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many nodes die, one after another
    #[arg(long, default_value_t = 100)]
    losses: usize,
    /// End with 1 where a figure is not reached
    #[arg(long)]
    check: bool,
    /// Only this one of the two: tcp or tls
    #[arg(long)]
    only: Option<String>,
    /// Be the daemon, in this directory
    #[arg(long, hide = true)]
    daemon: Option<PathBuf>,
    /// Cargo says this to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(dir) = &options.daemon {
        daemon::run(dir).await;
        return ExitCode::SUCCESS;
    }
    let mut all = Vec::new();
    for transport in ["tcp", "tls"] {
        if options.only.as_ref().is_none_or(|only| only == transport) {
            all.push(measure(&options, transport).await);
        }
    }
    println!("{}", figures::table(&all));
    for figures in &all {
        println!("{}", figures.json());
    }
    let missed: Vec<String> = all.iter().flat_map(figures::Figures::missed).collect();
    for line in &missed {
        println!("missed: {line}");
    }
    if options.check && !missed.is_empty() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn measure(options: &Options, transport: &'static str) -> figures::Figures {
    let ca = (transport == "tls").then(pki::Ca::new);
    let files: Option<Files> = ca.as_ref().map(|ca| ca.issue("halod", &pki::SERVER));
    let dir = tempfile::tempdir().expect("a directory");
    let mut halod = daemon::Halod::start(dir.path(), options, files.as_ref()).await;
    eprintln!("{transport}: {} nodes register", options.nodes);
    let mut nodes = nodes::Nodes::register(halod.address, options.nodes, ca.as_ref()).await;

    eprintln!(
        "{transport}: {} of them work, and beat for {} s; they stood still for {:?} before",
        nodes.alive(),
        options.seconds,
        nodes.late()
    );
    let (beats, commits, before) = (nodes.beats(), halod.commits(), halod.cpu());
    let machine = stolen::Machine::now();
    let start = std::time::Instant::now();
    tokio::time::sleep(std::time::Duration::from_secs(options.seconds)).await;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = (halod.cpu() - before) / seconds;
    let beats = (nodes.beats() - beats) as f64 / seconds;
    let spurious = halod.commits() - commits;
    let resident = halod.memory("VmRSS:");
    let late = nodes.late();

    eprintln!(
        "{transport}: {} nodes die, one after another",
        options.losses
    );
    let (mut losses, mut disturbed) = (Vec::new(), 0);
    while losses.len() < options.losses && disturbed < options.losses {
        match halod.loss(|| nodes.kill()).await {
            Some(took) => losses.push(took),
            None => disturbed += 1,
        }
    }
    figures::Figures {
        transport,
        nodes: options.nodes,
        beats,
        cpu: 100.0 * cpu,
        resident,
        peak: halod.memory("VmHWM:"),
        spurious,
        late: late.max(nodes.late()),
        stolen: stolen::Machine::now().stolen_since(&machine),
        disturbed,
        losses: figures::Losses::of(losses),
    }
}
