//! The heart of HaloD: which node fills which slot, and so which node serves which route.
//!
//! [`Cluster`] is a state machine without I/O, clock or randomness. Its caller hands it one
//! [`Event`] after the other together with the time, and carries out the [`Action`]s that come
//! back strictly in their order. Every change of the route table is one [`Change`] with the next
//! generation, and stands before the messages that tell nodes of it, so that a node hears of a
//! route only after the kernel sends it packets of that route.
//!
//! | file | what happens there |
//! |---|---|
//! | `admission` | a hello becomes a node, in reserve or active, or is refused |
//! | `message` | what a known node says: heartbeats, health, leaving |
//! | `loss` | a node is gone: closed, silent, unreachable, unhealthy |
//! | `operator` | commands of `halodctl node` |
//! | `slots` | slots, their nodes, the reverse process |
//! | `settle` | vacant slots are filled, reserve nodes promoted, the outcome put in order |

mod action;
mod admission;
mod cluster;
mod config;
mod endpoints;
mod event;
mod ids;
mod loss;
mod members;
mod message;
mod node;
mod notice;
mod operator;
mod outcome;
mod saved;
mod settle;
mod slots;

pub use action::{Action, Change, Move};
pub use cluster::Cluster;
pub use config::{Config, ConfigError, MAX_NODES};
pub use endpoints::node_port;
pub use event::{Command, Event};
pub use halod_proto::{Hello, ListenerInfo, NodeName, NodeState, Protocol};
pub use halod_routes::{Assignment, RouteId, RouteSet, SlotId};
pub use ids::{ConnId, NodeId, Time};
pub use node::Node;
pub use notice::{LossCause, MovedBetween, Notice};
pub use saved::{RestoreError, Saved, SavedNode};
