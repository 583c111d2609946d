//! HaloD's daemon. `main.rs` parses the command line, runs the daemon and maps
//! errors to exit codes; the rest is here, so that tests can run a daemon in-process.

pub mod config;
