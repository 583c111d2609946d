// SPDX-License-Identifier: GPL-2.0
//! Internet checksums, changed rather than recomputed (RFC 1624, equation 3).
//!
//! Words are taken in the machine's own byte order, as the kernel does: the
//! one's complement sum of swapped words is the swapped sum (RFC 1071, 2 (B)).

/// What the transport header's checksum field holds before and after rewriting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Csum {
    /// A complete checksum (CHECKSUM_NONE, _UNNECESSARY, _COMPLETE).
    Full,
    /// The sum of the pseudo-header, not complemented (CHECKSUM_PARTIAL): the
    /// ports come in when the rest is summed.
    Partial,
}

/// What rewriting added to the one's complement sum of all bytes from the
/// network header on, as CHECKSUM_COMPLETE keeps it in `skb->csum`. Reduced
/// only where it is asked for, since few packets carry such a sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChecksumDelta {
    change: Change,
    negative: bool,
}

impl ChecksumDelta {
    /// The delta as a number to be added.
    #[inline]
    pub fn value(self) -> u32 {
        let sum = self.change.onto(0);
        u32::from(if self.negative { !sum } else { sum })
    }

    /// The new `skb->csum` for an old one (the kernel's csum_add).
    #[inline]
    pub fn apply(self, csum: u32) -> u32 {
        sum(csum, self.value())
    }
}

/// The sum of differences between new words and old ones: not reduced yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Change {
    /// Of four bytes each.
    words: u32,
    /// Of two bytes each: so few that they cannot overflow.
    halves: u32,
}

impl Change {
    /// Four bytes replaced.
    #[inline]
    pub(super) fn word(self, old: [u8; 4], new: [u8; 4]) -> Change {
        let minus = !u32::from_ne_bytes(old);
        let plus = u32::from_ne_bytes(new);
        Change {
            words: sum(sum(self.words, minus), plus),
            ..self
        }
    }

    /// Two bytes replaced. At most a thousand times in one change.
    #[inline]
    pub(super) fn half(self, old: [u8; 2], new: [u8; 2]) -> Change {
        let minus = u32::from(!u16::from_ne_bytes(old));
        let plus = u32::from(u16::from_ne_bytes(new));
        Change {
            halves: self.halves.wrapping_add(minus).wrapping_add(plus),
            ..self
        }
    }

    /// Sixteen bytes replaced.
    #[inline]
    pub(super) fn address(self, old: [u8; 16], new: [u8; 16]) -> Change {
        let (old, new) = (u128::from_ne_bytes(old), u128::from_ne_bytes(new));
        let mut change = u64::from(self.words);
        // Four words each; written out so that it stays free of indexing.
        for shift in [0, 32, 64, 96] {
            let minus = u64::from(!((old >> shift) as u32));
            let plus = u64::from((new >> shift) as u32);
            change = change.wrapping_add(minus).wrapping_add(plus);
        }
        Change {
            words: sum(change as u32, (change >> 32) as u32),
            ..self
        }
    }

    /// The checksum field (a complemented sum) after the change.
    #[inline]
    pub(super) fn complete(self, field: [u8; 2]) -> [u8; 2] {
        (!self.onto(!u16::from_ne_bytes(field))).to_ne_bytes()
    }

    /// The field of a CHECKSUM_PARTIAL packet (a plain sum) after the change.
    #[inline]
    pub(super) fn partial(self, field: [u8; 2]) -> [u8; 2] {
        self.onto(u16::from_ne_bytes(field)).to_ne_bytes()
    }

    /// A one's complement sum after the change, reduced to 16 bits.
    #[inline]
    fn onto(self, half: u16) -> u16 {
        let all = sum(self.words, self.halves.wrapping_add(u32::from(half)));
        // The upper half becomes the sum of both, with the carry of the lower half's.
        (all.wrapping_add(all.rotate_left(16)) >> 16) as u16
    }

    /// The change as such.
    #[inline]
    pub(super) fn delta(self) -> ChecksumDelta {
        ChecksumDelta {
            change: self,
            negative: false,
        }
    }

    /// The change with the opposite sign.
    #[inline]
    pub(super) fn negated(self) -> ChecksumDelta {
        ChecksumDelta {
            change: self,
            negative: true,
        }
    }
}

impl From<ChecksumDelta> for Change {
    #[inline]
    fn from(delta: ChecksumDelta) -> Change {
        Change {
            words: delta.value(),
            halves: 0,
        }
    }
}

/// A one's complement sum: the carry goes in again.
#[inline]
fn sum(one: u32, other: u32) -> u32 {
    let (sum, carry) = one.overflowing_add(other);
    sum.wrapping_add(u32::from(carry))
}
