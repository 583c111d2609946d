//! The daemon's program: reads the command line, runs, maps errors to exit codes.

fn main() {}
