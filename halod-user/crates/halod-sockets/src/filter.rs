//! A filter that the kernel applies to each socket before it lists it (INET_DIAG_REQ_BYTECODE,
//! `include/uapi/linux/inet_diag.h`): what is not asked for costs a few comparisons.

use std::ops::RangeInclusive;

const JUMP: u8 = 1; // INET_DIAG_BC_JMP
const OWN_PORT_FROM: u8 = 2; // INET_DIAG_BC_S_GE
const OWN_PORT_TO: u8 = 3; // INET_DIAG_BC_S_LE

/// Size of an operation. A comparison with a port is two: the second carries the port.
const OP: u16 = 4;
/// Size of a range: two comparisons, and a jump to the end.
const RANGE: u16 = 5 * OP;

/// The most ranges of one filter: its offsets have 16 bits, and each range costs each socket a comparison.
pub const MOST_RANGES: usize = 64;

/// Takes sockets whose own port is in one of the ranges.
///
/// # Panics
/// With none, or more than [`MOST_RANGES`].
pub fn own_port(ranges: &[RangeInclusive<u16>]) -> Vec<u8> {
    assert!((1..=MOST_RANGES).contains(&ranges.len()));
    let mut code = Vec::new();
    let mut op = |kind: u8, yes: u16, no: u16| {
        // Distances are from the operation's own start, in bytes.
        code.extend([kind, yes as u8]);
        code.extend(no.to_ne_bytes());
    };
    // `yes` to the end of the code is a yes; beyond it, a no. Every operation must be reachable by
    // the `yes` of those before it, so each ends where the next begins.
    let mut left = ranges.len() as u16 * RANGE;
    for range in ranges {
        let last = left == RANGE;
        // Over all of this range; the kernel wants a no beyond the end exactly one operation beyond.
        let next = if last { RANGE + OP } else { RANGE };
        op(OWN_PORT_FROM, 2 * OP, next);
        op(0, 0, *range.start());
        op(OWN_PORT_TO, 2 * OP, next - 2 * OP);
        op(0, 0, *range.end());
        op(JUMP, OP, left - 4 * OP);
        left -= RANGE;
    }
    code
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the kernel's inet_diag_bc_run (net/ipv4/inet_diag.c), for these operations.
    fn run(code: &[u8], port: u16) -> bool {
        let mut at = 0;
        while at < code.len() {
            let (yes, no) = (usize::from(code[at + 1]), number(code, at));
            let holds = match code[at] {
                JUMP => false,
                OWN_PORT_FROM => port >= number(code, at + 4),
                OWN_PORT_TO => port <= number(code, at + 4),
                other => panic!("operation {other}"),
            };
            at += if holds { yes } else { usize::from(no) };
        }
        at == code.len()
    }

    fn number(code: &[u8], at: usize) -> u16 {
        u16::from_ne_bytes([code[at + 2], code[at + 3]])
    }

    proptest! {
        #[test]
        fn takes_what_is_in_a_range(
            ends in prop::collection::vec((any::<u16>(), any::<u16>()), 1..=MOST_RANGES),
            more in any::<u16>(),
        ) {
            let ranges: Vec<_> = ends.iter().map(|&(a, b)| a.min(b)..=a.max(b)).collect();
            let code = own_port(&ranges);
            let edges = ends.iter().flat_map(|&(a, b)| [a, b, a.wrapping_sub(1), b.wrapping_add(1)]);
            for port in edges.chain([more]) {
                let expected = ranges.iter().any(|range| range.contains(&port));
                prop_assert_eq!(run(&code, port), expected, "port {}", port);
            }
        }
    }
}
