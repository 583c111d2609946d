//! A full set of flows, and a table without one: existing connections stay where they are, and new
//! ones are where their next packet will be sent.

use crate::common::drains::{Force, Key};
use halod_packet::flows::CELLS_MIN;
use halod_packet::{Exit, Hook, Protocol};

const A: u32 = 1;
const B: u32 = 2;
const C: u32 = 5;
const OTHER: u32 = 6;
const DEADLINE: u64 = 1_000;

/// A connection of the draining route, one of millions.
fn key(number: u32) -> Key {
    let [_, host, high, low] = number.to_be_bytes();
    Key {
        route: 0,
        v6: number % 2 == 1,
        host,
        port: u16::from_be_bytes([high, low]),
        one_port: false,
    }
}

fn moved(force: &Force, to: u32, cells: usize) -> Force {
    let mut ways = force.ways.clone();
    ways[0].go(to, DEADLINE);
    let next = force.next(ways, 0, cells);
    next.purge();
    next
}

/// A flood's SYNs at a route that moved from A to B: where each went.
fn flood(force: &Force, numbers: std::ops::Range<u32>) -> Vec<(Key, u32)> {
    numbers
        .map(key)
        .map(|key| match force.tcp(0, key, true) {
            (node @ B, Exit::Forward) | (node @ A, Exit::ForwardFull) => (key, node),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn follows(force: &Force, now: u64, opened: &[(Key, u32)], current: u32) {
    for (key, node) in opened {
        let exit = match *node == current {
            true => Exit::Forward,
            false => Exit::ForwardFormer,
        };
        assert_eq!(force.tcp(now, *key, false), (*node, exit), "{key:?}");
        let answer = |from| force.answer(Hook::PostRouting, now, *key, Protocol::Tcp, from);
        assert_eq!(answer(*node), Exit::Reverse, "{key:?}");
    }
}

#[test]
fn a_flood_changes_nothing_for_those_who_are_there() {
    let sizes = [0, 1, CELLS_MIN - 1, CELLS_MIN, 100, 1_024];
    let small = sizes.into_iter().map(|cells| (cells, 10_000));
    for (cells, flood_size) in small.chain([(4_096, 100_000)]) {
        let force = moved(&Force::new([A, OTHER, OTHER]), B, cells);
        let before: Vec<(Key, u32)> = (0..50).map(|number| (key(number), A)).collect();
        let during = flood(&force, 100_000..100_005);
        follows(&force, 0, &before, B);
        let flooded = flood(&force, 200_000..200_000 + flood_size);
        let (kept, full): (Vec<(Key, u32)>, Vec<_>) =
            flooded.into_iter().partition(|(_, node)| *node == B);
        assert_eq!(kept.len() + full.len(), flood_size as usize);
        // Everyone is where they were, and whoever did not fit too.
        for opened in [&before, &during, &kept, &full] {
            follows(&force, 0, opened, B);
        }
        // All that can be used is, and that is all there is.
        let usable = match cells {
            0..CELLS_MIN => 0,
            _ => 1 << cells.ilog2(),
        };
        let remembered = kept.len() + during.iter().filter(|(_, node)| *node == B).count();
        assert_eq!(remembered, usable);
        assert_eq!(force.flows().map(|flows| flows.used()), Some(usable));

        // A remembered one that is sent again, or whose port is used again, is not full's concern.
        for (key, _) in kept.iter().take(1_000) {
            assert_eq!(force.tcp(0, *key, true), (B, Exit::Forward));
        }

        // The route moves on: the flooded-out are the oldest node's, as it took them.
        let force = moved(&force, C, cells);
        for opened in [&before, &during, &kept, &full] {
            follows(&force, 0, opened, C);
        }
        // Room for none of those either.
        let later: Vec<(Key, u32)> = (400_000..400_100)
            .map(key)
            .map(|key| (key, force.tcp(0, key, true)))
            .map(|(key, (node, exit))| {
                assert_eq!((node, exit), (A, Exit::ForwardFull));
                (key, node)
            })
            .collect();
        follows(&force, 0, &later, C);
        assert_eq!(force.flows().map(|flows| flows.used()), Some(usable));

        // After the oldest's deadline the set does not matter: new ones are the current node's.
        for number in 500_000..500_100 {
            let sent = force.tcp(DEADLINE, key(number), true);
            assert_eq!(sent, (C, Exit::Forward));
            let sent = force.tcp(DEADLINE, key(number), false);
            assert_eq!(sent, (C, Exit::Forward));
        }
    }
}

/// Entries that mean nothing any more make room.
#[test]
fn an_ended_drain_gives_its_room_to_others() {
    let mut force = moved(&Force::new([A, A, OTHER]), B, CELLS_MIN);
    let filled = flood(&force, 0..1_000);
    assert!(filled.iter().filter(|(_, node)| *node == B).count() == CELLS_MIN);
    let other = |number| Key {
        route: 1,
        ..key(number)
    };
    // Another route drains too, and finds the set full.
    let mut ways = force.ways.clone();
    ways[1].go(C, DEADLINE);
    force = force.next(ways.clone(), 1, CELLS_MIN);
    force.purge();
    assert_eq!(force.tcp(0, other(1), true), (A, Exit::ForwardFull));
    assert_eq!(force.tcp(0, other(1), false), (A, Exit::ForwardFormer));
    // The first one ends: what it had remembered is the current node's without being known.
    ways[0].formers.clear();
    force = force.next(ways, 2, CELLS_MIN);
    force.purge();
    assert_eq!(force.flows().map(|flows| flows.used()), Some(0));
    for (key, node) in filled {
        let now_current = (B, Exit::Forward);
        assert_eq!(force.tcp(0, key, false), now_current, "was on {node}");
    }
    for number in 2..2 + CELLS_MIN as u32 {
        assert_eq!(force.tcp(0, other(number), true), (C, Exit::Forward));
    }
    assert_eq!(force.tcp(0, other(100), true), (A, Exit::ForwardFull));
}

/// How full the set is when first a flow does not fit: room that is asked for is room that is had.
#[test]
fn two_thirds_are_used_before_any_flow_finds_no_room() {
    let cells = 1 << 16;
    let force = moved(&Force::new([A, OTHER, OTHER]), B, cells);
    let first = (0..).find(|number| force.tcp(0, key(*number), true).1 == Exit::ForwardFull);
    let first = first.map_or(0, |number| number as usize);
    assert!(first > cells / 3 * 2, "{first} of {cells}");
}
