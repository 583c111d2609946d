//! What must hold for every number of routes and slots (design, section 3).

mod twin;

use std::collections::HashSet;

use halod_routes::{Assignment, MAX_ROUTES};
use proptest::prelude::*;
use twin::{Moved, Twin};

const MOST_SLOTS: u32 = 2_048;

fn moved(moves: Vec<halod_routes::Move>) -> Vec<Moved> {
    moves.into_iter().map(|m| (m.route, m.from, m.to)).collect()
}

/// Each slot has floor or ceil of N / M routes, all routes are held once, both views agree.
fn assert_balanced(assignment: &Assignment) {
    let (n, m) = (assignment.routes(), assignment.slots());
    let mut total = 0;
    for slot in 1..=m {
        let count = assignment.held_by(slot).len() as u32;
        assert!(
            (n / m..=n.div_ceil(m)).contains(&count),
            "{count} in slot {slot}; N {n}, M {m}"
        );
        total += count;
    }
    assert_eq!(total, n);
}

fn assert_views_agree(assignment: &Assignment) {
    for slot in 1..=assignment.slots() {
        let mut before = 0;
        for route in assignment.held_by(slot) {
            assert!(route > before);
            assert_eq!(assignment.slot_of(route), Some(slot));
            before = route;
        }
    }
}

fn assert_same(assignment: &Assignment, twin: &Twin) {
    assert_eq!(assignment.slots() as usize, twin.held.len());
    for (&slot, held) in &twin.held {
        assert!(
            assignment.held_by(slot).eq(held.iter().copied()),
            "slot {slot}"
        );
    }
}

/// Adds slots up to `slots`, checking each step, then removes them all, checking each step
/// against the one that it undoes.
fn up_and_down(routes: u32, slots: u32) {
    let mut assignment = Assignment::new(routes).expect("in range");
    let mut steps: Vec<Vec<Moved>> = Vec::new();
    for m in 0..slots {
        let former: Vec<_> = (1..=m).map(|slot| assignment.held_by(slot).len()).collect();
        let moves = moved(assignment.add_slot().expect("in range"));
        let expected = if m == 0 { 0 } else { routes / (m + 1) };
        assert_eq!(moves.len() as u32, expected);
        assert!(moves.iter().all(|&(_, from, to)| from <= m && to == m + 1));
        let distinct: HashSet<u32> = moves.iter().map(|&(route, ..)| route).collect();
        assert_eq!(distinct.len(), moves.len());
        // Nothing else moved: the others hold less, by what they gave.
        let mut given = vec![0; m as usize];
        for &(_, from, _) in &moves {
            given[from as usize - 1] += 1;
        }
        for slot in 1..=m {
            let index = slot as usize - 1;
            assert_eq!(assignment.held_by(slot).len(), former[index] - given[index]);
        }
        assert_balanced(&assignment);
        steps.push(moves);
    }
    assert_views_agree(&assignment);
    for m in (1..=slots).rev() {
        let added = steps.pop().expect("as many steps as slots");
        let back = moved(assignment.remove_last_slot().expect("there are slots"));
        let undone: Vec<Moved> = added
            .iter()
            .rev()
            .map(|&(route, from, to)| (route, to, from))
            .collect();
        assert_eq!(back, undone, "removing slot {m}");
        if m > 1 {
            assert_balanced(&assignment);
        }
        if m == slots / 2 + 1 {
            assert_views_agree(&assignment);
            assert_eq!(assignment, Assignment::of(routes, m - 1).expect("in range"));
        }
    }
    assert_eq!(assignment, Assignment::new(routes).expect("in range"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Every step up and down is the twin's, move by move.
    #[test]
    fn small_ones_are_the_twins((routes, slots) in (1u32..160).prop_flat_map(|n| (Just(n), 1..=n))) {
        let mut twin = Twin::new(routes);
        let mut assignment = Assignment::new(routes).expect("in range");
        let mut passed = vec![twin.clone()];
        for _ in 0..slots {
            let moves = assignment.add_slot().expect("in range");
            prop_assert_eq!(moved(moves), twin.add());
            assert_same(&assignment, &twin);
            passed.push(twin.clone());
        }
        for m in (0..slots).rev() {
            assignment.remove_last_slot().expect("there are slots");
            assert_same(&assignment, &passed[m as usize]);
            prop_assert_eq!(&assignment, &Assignment::of(routes, m).expect("in range"));
        }
    }

    /// Adding and removing in any order always leaves assignment(N, M).
    #[test]
    fn any_walk_leaves_the_pure_function(routes in 1u32..80, walk in prop::collection::vec(any::<bool>(), 1..60)) {
        let mut assignment = Assignment::new(routes).expect("in range");
        for up in walk {
            let m = assignment.slots();
            if up {
                prop_assert_eq!(assignment.add_slot().is_ok(), m < routes);
            } else {
                prop_assert_eq!(assignment.remove_last_slot().is_ok(), m > 0);
            }
            prop_assert_eq!(&assignment, &Assignment::of(routes, assignment.slots()).expect("in range"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn large_ones_keep_the_properties(
        (routes, slots) in (1u32..=MAX_ROUTES).prop_flat_map(|n| (Just(n), 1..=n.min(MOST_SLOTS)))
    ) {
        up_and_down(routes, slots);
    }

    #[test]
    fn large_ones_are_the_twins(
        (routes, slots) in (1u32..=MAX_ROUTES).prop_flat_map(|n| (Just(n), 1..=n.min(300)))
    ) {
        let assignment = Assignment::of(routes, slots).expect("in range");
        assert_same(&assignment, &Twin::of(routes, slots));
    }
}

#[test]
fn the_largest_of_all() {
    up_and_down(MAX_ROUTES, MOST_SLOTS);
    let assignment = Assignment::of(MAX_ROUTES, MOST_SLOTS).expect("in range");
    assert_same(&assignment, &Twin::of(MAX_ROUTES, MOST_SLOTS));
}

#[test]
fn as_many_slots_as_routes() {
    for routes in [1, 2, 3, 7, 64, 1_000] {
        up_and_down(routes, routes);
    }
}
