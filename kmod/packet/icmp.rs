// SPDX-License-Identifier: GPL-2.0
//! ICMP errors about packets that HaloD has rewritten: what they quote is made what its sender
//! sent, so that both ends understand them, and path MTU discovery works.
//!
//! An error is treated as an answer to the packet that it quotes: it goes where the answer would
//! go, by the same table and the same drains. So an error about a packet from the VIP to a client
//! goes to the node that has the flow, and one about a packet to a node goes to the client. Where
//! the node itself says it, the VIP does; what a router says keeps its address.

use super::address::Address;
use super::checksum::{Change, ChecksumDelta, Csum};
use super::decide::{decide_packet, Decision, Hook};
use super::exit::Exit;
use super::parse::{Packet, Parsed};
use super::rewrite::{address_v4, address_v6, need, rewrite_quote, Side};
use super::source::Source;

/// IP protocol numbers.
pub(super) const V4: u8 = 1;
pub(super) const V6: u8 = 58;

/// Bytes of the header of an error.
const HEADER: u16 = 8;

/// Bytes that are quoted at least where an extension follows; the field was unused before.
const EXTENDED: usize = 128;

/// An ICMP or ICMPv6 error, before what it quotes is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IcmpError {
    /// Source address.
    pub src: Address,
    /// Destination address.
    pub dst: Address,
    /// Offset of the ICMP header from the network header, in bytes.
    pub l4: u16,
    /// How many bytes it quotes.
    pub quoted: usize,
}

impl IcmpError {
    /// Reads the ICMP header at `l4`, if it is an error's: destination unreachable, time exceeded,
    /// parameter problem (RFC 792), and packet too big (RFC 4443). `len` is the packet's length.
    ///
    /// A redirect is about this machine's own routes, and stays here. A source quench means
    /// nothing any more (RFC 6633).
    pub(super) fn parse(
        window: &[u8],
        len: usize,
        src: Address,
        dst: Address,
        l4: u16,
    ) -> Option<IcmpError> {
        let header = window.get(usize::from(l4)..)?;
        let &[kind, _, _, _, b4, b5, ..] = header.first_chunk::<8>()?;
        // How much it says that it quotes, before what the router adds of its own (RFC 4884).
        let end = match (src, kind) {
            (Address::V4(_), 3 | 11 | 12) => usize::from(b5) << 2,
            (Address::V6(_), 1 | 3) => usize::from(b4) << 3,
            (Address::V6(_), 2 | 4) => 0,
            _ => return None,
        };
        let quoted = len.saturating_sub(usize::from(l4).saturating_add(usize::from(HEADER)));
        Some(IcmpError {
            src,
            dst,
            l4,
            quoted: if end < EXTENDED {
                quoted
            } else {
                quoted.min(end)
            },
        })
    }

    /// Offset of the quoted packet's network header.
    pub fn quote(&self) -> usize {
        usize::from(self.l4).saturating_add(usize::from(HEADER))
    }
}

/// How an error is rewritten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// The error.
    pub error: IcmpError,
    /// The packet that it quotes, its `l4` counted from its own network header.
    pub quoted: Packet,
    /// The side of the error itself; the other one of the packet that it quotes.
    pub side: Side,
    /// What that becomes.
    pub to: (Address, u16),
}

/// Decides about an ICMP error, by what [`parse_quote_v4`](super::parse_quote_v4) or
/// [`parse_quote_v6`](super::parse_quote_v6) says of the bytes from its
/// [`quote`](IcmpError::quote) on, [`quoted`](IcmpError::quoted) in number.
pub fn decide_error(
    table: &impl Source,
    hook: Hook,
    error: &IcmpError,
    quoted: &Parsed,
) -> Decision {
    let quoted = match quoted {
        // An error goes to whoever sent what it quotes.
        Parsed::Packet(packet) if packet.src == error.dst => packet,
        Parsed::Unreadable { src, protocol, .. } if *src == error.dst => {
            return Decision::Exit(match hook {
                Hook::PreRouting | Hook::LocalOut if table.view().exposes(src, *protocol) => {
                    Exit::DropIcmpQuote
                }
                _ => Exit::Pass,
            })
        }
        Parsed::Outer { src, dst }
            if *src == error.dst && hook == Hook::PreRouting && table.view().tunnels_to(dst) =>
        {
            return Decision::Learn { l4: error.l4 }
        }
        _ => return Decision::Exit(Exit::Pass),
    };
    let answer = Packet {
        src: quoted.dst,
        dst: quoted.src,
        sport: quoted.dport,
        dport: quoted.sport,
        ..*quoted
    };
    match decide_packet(table, hook, &answer) {
        Decision::Rewrite { side, to, .. } => Decision::Translate {
            translation: Translation {
                error: *error,
                quoted: *quoted,
                side,
                to,
            },
            exit: match side {
                Side::Destination => Exit::IcmpToNode,
                Side::Source => Exit::IcmpToClient,
            },
        },
        // The node has the VIP, and has sent what is quoted as it is.
        Decision::Deliver { node, deliver, .. } => Decision::Deliver {
            node,
            deliver,
            exit: Exit::IcmpToNode,
        },
        // This machine's own, about a packet from a node that is yet to be rewritten, or from a client
        // that is not.
        Decision::Exit(Exit::Pass) if hook == Hook::LocalOut && is_untracked(table, quoted) => {
            Decision::Untrack
        }
        decision => decision,
    }
}

/// Whether a packet is kept from connection tracking, and an error about it would be invalid there.
fn is_untracked(table: &impl Source, packet: &Packet) -> bool {
    let view = table.view();
    view.served(packet).is_some() || view.exposed(packet).is_some()
}

impl Translation {
    /// Bytes from the network header on that [`apply`](Translation::apply) reads or writes.
    pub fn need(&self) -> usize {
        let quoted = need(&self.quoted).min(self.error.quoted);
        self.error.quote().saturating_add(quoted)
    }

    /// Rewrites the error in `bytes`, which start at the network header and reach at least
    /// [`need`](Translation::need) bytes. None, nothing having been changed, where they do not
    /// hold what the translation says.
    ///
    /// Every change is made up for by a checksum, so that a sum over all bytes stays as it was.
    pub fn apply(&self, bytes: &mut [u8], csum: Csum) -> Option<ChecksumDelta> {
        let (outer, rest) = bytes.split_at_mut_checked(usize::from(self.error.l4))?;
        let (header, quote) = rest.split_at_mut_checked(usize::from(HEADER))?;
        let checksum = header.get_mut(2..4)?.first_chunk_mut::<2>()?;
        let quoted = self.side.other();
        let (old, about) = match self.side {
            Side::Source => (self.error.src, self.quoted.dst),
            Side::Destination => (self.error.dst, self.quoted.src),
        };
        // A router that says it keeps its address.
        let new = if old == about { self.to.0 } else { old };
        match (old, new) {
            (Address::V4(old), Address::V4(new)) => {
                let (address, header_checksum, _) = address_v4(outer, self.side)?;
                if *address != old {
                    return None;
                }
                let delta = rewrite_quote(quote, &self.quoted, quoted, self.to)?;
                let change = Change::default().word(old, new);
                *address = new;
                *header_checksum = change.complete(*header_checksum);
                if csum == Csum::Full {
                    *checksum = Change::from(delta).complete(*checksum);
                }
            }
            (Address::V6(old), Address::V6(new)) => {
                let (address, _) = address_v6(outer, self.side)?;
                if *address != old {
                    return None;
                }
                let delta = rewrite_quote(quote, &self.quoted, quoted, self.to)?;
                *address = new;
                *checksum = match csum {
                    Csum::Full => Change::from(delta).address(old, new).complete(*checksum),
                    Csum::Partial => Change::default().address(old, new).partial(*checksum),
                };
            }
            _ => return None,
        }
        Some(ChecksumDelta::default())
    }
}
