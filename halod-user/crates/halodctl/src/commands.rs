//! The commands, one a file.

mod completions;
mod doctor;
mod fast_path;
mod kernel_counters;
mod kernel_flush;
mod kernel_show;
mod listeners;
mod node;
mod nodes;
mod pki;
mod plan;
mod routes;
mod scaling;
mod status;
mod watch;

use crate::cli::{Cli, Command, Kernel};
use crate::failure::Failure;
use crate::output::Output;

/// Does what the command line says.
pub async fn run(cli: &Cli, output: &mut Output) -> Result<(), Failure> {
    match &cli.command {
        Command::Status => status::run(cli, output).await,
        Command::Routes { map } => routes::run(cli, *map, output).await,
        Command::Nodes => nodes::run(cli, output).await,
        Command::Listeners => listeners::run(cli, output).await,
        Command::Plan(plan) => plan::run(cli, plan, output).await,
        Command::Scaling => scaling::run(cli, output).await,
        Command::Watch => watch::run(cli, output).await,
        Command::FastPath => fast_path::run(output).await,
        Command::Doctor { config } => doctor::run(cli, config, output).await,
        Command::Node(node) => node::run(cli, node, output).await,
        Command::Kernel(Kernel::Show) => kernel_show::run(output).await,
        Command::Kernel(Kernel::Counters) => kernel_counters::run(output).await,
        Command::Kernel(Kernel::Flush { yes, expected }) => {
            kernel_flush::run(*yes, *expected, output).await
        }
        Command::Pki(pki) => pki::run(pki, output),
        Command::Completions { shell } => completions::run(*shell, output),
    }
}
