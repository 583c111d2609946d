//! Client of the kernel family `halod`: reads the route table of the network
//! namespace that the process is in, replaces it, and hears of its changes.
//!
//! The messages are described in `kmod/netlink/halod.yaml`; [`uapi`] is
//! generated from it. What the kernel says is checked like any other input.

mod attr;
mod client;
mod connection;
mod decode;
mod encode;
mod error;
mod events;
mod family;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod message;
mod model;
#[cfg(test)]
mod tests;
pub mod uapi;

pub use client::Client;
pub use error::{Error, Result};
pub use events::Events;
pub use model::{
    Deliver, Device, DeviceState, Drain, FastPath, Former, Listener, Node, Protocol, Select,
    Status, Table,
};
