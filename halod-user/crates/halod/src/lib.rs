//! HaloD's daemon. `main.rs` parses the command line, runs a [`daemon::Daemon`] and maps errors
//! to exit codes; the rest is here, so that tests can run a daemon in their own process.
//!
//! A heartbeat passes `server` → `session` → `heart` → the state machine of `halod-cluster`; what
//! comes of it goes from `heart` to the `store`, the `kernel`, and back through `session`.

pub mod adopt;
pub mod control;
pub mod daemon;
pub mod gate;
pub mod heart;
pub mod kernel;
pub mod listeners;
pub mod server;
pub mod session;
pub mod shutdown;
pub mod socket;
pub mod store;
pub mod table;
pub mod tls;

pub use halod_config as config;
