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
//! | `message` | what a known node says: heartbeats, health |
//! | `loss` | a node is gone: closed, silent, unreachable, unhealthy |
//! | `probe` | an absent node's application is asked for |
//! | `draining` | moved routes keep their connections, leaving nodes stay for theirs |
//! | `flapping` | nodes that are lost again and again are held back |
//! | `scaling`, `scale` | what load asks for and why; that is done |
//! | `operator` | commands of `halodctl node` |
//! | `slots` | slots, their nodes, what becomes of a slot that goes |
//! | `chain`, `drains` | which nodes keep connections of a route that they have lost, in which order |
//! | `settle` | vacant slots are filled, reserve nodes promoted |
//! | `conclude` | the outcome of an event is put in order |
//! | `news` | what a node does not know yet |
//! | `saved`, `restore` | what survives a restart, and what is refused as damaged |

mod action;
mod admission;
mod chain;
mod cluster;
mod conclude;
mod config;
mod draining;
mod drains;
mod endpoints;
mod event;
mod flapping;
mod ids;
mod loss;
mod members;
mod message;
mod news;
mod node;
mod notice;
mod operator;
mod outcome;
mod probe;
mod restore;
mod saved;
mod scale;
mod scaling;
mod settle;
mod slots;

pub use action::{Action, Change, Move};
pub use chain::{Former, MAX_FORMERS};
pub use cluster::Cluster;
pub use config::{
    Config, ConfigError, Failover, FastPath, MAX_DRAIN_MS, MAX_NODES, Measure, Scale,
};
pub use endpoints::node_port;
pub use event::{Command, Event};
pub use halod_proto::{
    Deliver, Hello, ListenerInfo, NodeName, NodeState, Protocol, Select, SelectKey,
};
pub use halod_routes::{RouteId, RouteSet, SlotId, SlotTable};
pub use ids::{ConnId, NodeId, ProbeId, Time};
pub use node::Node;
pub use notice::{DrainEnd, LossCause, MovedBetween, Notice};
pub use saved::{RestoreError, Saved, SavedDrain, SavedFormer, SavedNode};
pub use scaling::ScalingReport;
