//! `halodctl`: what an operator says to HaloD.
//!
//! One file a command in `commands`. Most ask the daemon over its control
//! socket; those under `kernel` ask the kernel itself.

mod cli;
mod commands;
mod daemon;
mod failure;
mod map;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::Output;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut output = Output::new(cli.json, cli.color);
    match commands::run(&cli, &mut output).await {
        // The reader of a pipe that has seen enough is no failure.
        Ok(()) | Err(Failure::PipeClosed) => ExitCode::SUCCESS,
        Err(Failure::Problems) => ExitCode::from(Failure::Problems.exit_code()),
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
