// SPDX-License-Identifier: GPL-2.0
//! What happens to a packet: parse it, decide by the route table, rewrite it.
//!
//! Plain `core`-only Rust without unsafe, allocation or panics, compiled twice:
//! into the kernel module, and into the crate `halod-packet`, where it is
//! tested against a naive twin. Everything starts at the network header;
//! nothing here knows of skbs, RCU or hooks' calling conventions.

pub mod address;
pub mod build;
mod check;
pub mod checksum;
pub mod decide;
pub mod deliver;
pub mod drain;
pub mod exit;
pub mod filter;
pub mod flows;
pub mod icmp;
pub mod parse;
pub mod refusal;
pub mod rewrite;
pub mod router;
pub mod select;
mod sort;
pub mod source;
pub mod table;

pub use self::address::{Address, Protocol};
pub use self::build::{build, sizes};
pub use self::checksum::{ChecksumDelta, Csum};
pub use self::decide::{decide, decide_packet, usual_node, usual_vip, Decision, Hook};
pub use self::deliver::Deliver;
pub use self::drain::{uses, Drain, Former, FORMERS_MAX};
pub use self::exit::Exit;
pub use self::filter::{concern_v4, concern_v6, Concern};
pub use self::flows::{Cell, Flows, Tag, CELLS_MIN};
pub use self::icmp::{decide_error, IcmpError, Translation};
pub use self::parse::{
    address_v4, address_v6, end_v4, end_v6, ordinary_v4, ordinary_v6, parse_quote_v4,
    parse_quote_v6, parse_v4, parse_v6, protocol_v4, protocol_v6, Packet, Parsed, WINDOW,
};
pub use self::refusal::Refusal;
pub use self::rewrite::{need, rewrite, Side};
pub use self::router::{
    is_sound_v4, is_sound_v6, length_v4, length_v6, passable_v4, passable_v6, send_on_v4,
    send_on_v6,
};
pub use self::select::{Select, SelectKey};
pub use self::source::{Draining, Source};
pub use self::table::{
    Addresses, Base, Bucket, Forward, Id, Input, Listener, Node, Range, Sizes, Storage, Target,
    View,
};
