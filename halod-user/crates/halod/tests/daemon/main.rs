//! The daemon as its peers see it: nodes and operators over their sockets, the store on a disk, and
//! a kernel in memory.

mod adopt;
mod common;
mod control;
mod drains;
mod heartbeats;
mod hostile;
mod nodes;
#[path = "../../../halod-tls/tests/common/mod.rs"]
mod pki;
mod program;
mod restart;
mod restart_in_drains;
mod store;
mod tls;
