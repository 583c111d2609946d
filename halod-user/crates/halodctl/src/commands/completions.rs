//! `halodctl completions SHELL`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output::Output;

pub fn run(shell: Shell, output: &mut Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "halodctl", &mut script);
    output.text(&String::from_utf8_lossy(&script))
}
