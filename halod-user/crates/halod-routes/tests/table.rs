//! assignment(24, 1..=8), worked out by hand from the text of the algorithm.

use halod_routes::{Assignment, Error, RouteSet};

/// For M slots: the moves that adding slot M makes, and then what each slot holds.
///
/// The list (step 3) from which the routes are taken is noted beside each.
type Row<'a> = (&'a [(u32, u32)], &'a [&'a str]);

const BY_HAND: [Row; 8] = [
    // The first slot gets all.
    (&[], &["1-24"]),
    // 12 routes. List: 1.
    (
        &[
            (24, 1),
            (23, 1),
            (22, 1),
            (21, 1),
            (20, 1),
            (19, 1),
            (18, 1),
            (17, 1),
            (16, 1),
            (15, 1),
            (14, 1),
            (13, 1),
        ],
        &["1-12", "13-24"],
    ),
    // 8 routes. Both hold 12. List: 2, 1; gone through four times.
    (
        &[
            (24, 2),
            (12, 1),
            (23, 2),
            (11, 1),
            (22, 2),
            (10, 1),
            (21, 2),
            (9, 1),
        ],
        &["1-8", "13-20", "9-12,21-24"],
    ),
    // 6 routes. All hold 8. List: 3, 2, 1; twice.
    (
        &[(24, 3), (20, 2), (8, 1), (23, 3), (19, 2), (7, 1)],
        &["1-6", "13-18", "9-12,21-22", "7-8,19-20,23-24"],
    ),
    // 24 / 5 is 4.8: 4 routes. All hold 6. List: 4, 3, 2, 1.
    (
        &[(24, 4), (22, 3), (18, 2), (6, 1)],
        &["1-5", "13-17", "9-12,21", "7-8,19-20,23", "6,18,22,24"],
    ),
    // 4 routes. Slots 1-4 hold 5, slot 5 holds 4. List: 4, 3, 2, 1, 5.
    (
        &[(23, 4), (21, 3), (17, 2), (5, 1)],
        &[
            "1-4",
            "13-16",
            "9-12",
            "7-8,19-20",
            "6,18,22,24",
            "5,17,21,23",
        ],
    ),
    // 24 / 7 is 3.4: 3 routes. All hold 4. List: 6, 5, 4, 3, 2, 1.
    (
        &[(23, 6), (24, 5), (20, 4)],
        &[
            "1-4", "13-16", "9-12", "7-8,19", "6,18,22", "5,17,21", "20,23-24",
        ],
    ),
    // 3 routes. Slots 1-3 hold 4, slots 4-7 hold 3. List: 3, 2, 1, 7, 6, 5, 4.
    (
        &[(12, 3), (16, 2), (4, 1)],
        &[
            "1-3", "13-15", "9-11", "7-8,19", "6,18,22", "5,17,21", "20,23-24", "4,12,16",
        ],
    ),
];

fn assert_holds(assignment: &Assignment, rows: &[&str]) {
    assert_eq!(assignment.slots() as usize, rows.len());
    for (slot, row) in (1..).zip(rows) {
        let held: Vec<u32> = assignment.held_by(slot).collect();
        let set: RouteSet = held.iter().copied().collect();
        assert_eq!(set.to_string(), *row, "slot {slot} of {}", rows.len());
        assert!(held.is_sorted());
        for route in held {
            assert_eq!(assignment.slot_of(route), Some(slot));
        }
    }
}

#[test]
fn adding_follows_the_table() {
    let mut assignment = Assignment::new(24).expect("24 routes");
    for (slot, (moves, rows)) in (1..).zip(BY_HAND) {
        let moved = assignment.add_slot().expect("room for 24 slots");
        assert!(moved.iter().all(|m| m.to == slot));
        let moved: Vec<(u32, u32)> = moved.iter().map(|m| (m.route, m.from)).collect();
        assert_eq!(moved, moves, "adding slot {slot}");
        assert_holds(&assignment, rows);
        assert_eq!(assignment, Assignment::of(24, slot).expect("in range"));
    }
}

#[test]
fn removing_follows_the_table_backwards() {
    let mut assignment = Assignment::of(24, 8).expect("in range");
    for slot in (2..=8).rev() {
        let (moves, _) = BY_HAND[slot - 1];
        let (_, rows) = BY_HAND[slot - 2];
        let moved = assignment.remove_last_slot().expect("there are slots");
        assert!(moved.iter().all(|m| m.from as usize == slot));
        let moved: Vec<(u32, u32)> = moved.iter().rev().map(|m| (m.route, m.to)).collect();
        assert_eq!(moved, moves, "removing slot {slot}");
        assert_holds(&assignment, rows);
    }
    assert_eq!(assignment.remove_last_slot(), Ok(Vec::new()));
    assert_eq!(assignment.slots(), 0);
    assert_eq!(assignment.slot_of(1), None);
    assert_eq!(assignment.remove_last_slot(), Err(Error::NoSlot));
}

#[test]
fn what_is_not_there_is_held_by_none() {
    let assignment = Assignment::of(24, 3).expect("in range");
    assert_eq!(assignment.slot_of(0), None);
    assert_eq!(assignment.slot_of(25), None);
    assert_eq!(assignment.slot_of(u32::MAX), None);
    assert_eq!(assignment.held_by(0).len(), 0);
    assert_eq!(assignment.held_by(4).len(), 0);
    assert_eq!(Assignment::of(24, 0).expect("no slots").slot_of(1), None);
}

#[test]
fn what_is_out_of_range_is_refused_and_changes_nothing() {
    assert_eq!(Assignment::new(0), Err(Error::Routes(0)));
    assert_eq!(Assignment::new(65_537), Err(Error::Routes(65_537)));
    let too_many = Error::MoreSlotsThanRoutes {
        slots: 4,
        routes: 3,
    };
    assert_eq!(Assignment::of(3, 4), Err(too_many));
    assert_eq!(Assignment::of(65_536, 4_097), Err(Error::Slots(4_097)));
    assert_eq!(
        too_many.to_string(),
        "4 slots for 3 routes: there are at most as many slots as routes"
    );

    let mut assignment = Assignment::of(3, 3).expect("as many slots as routes");
    let before = assignment.clone();
    assert_eq!(assignment.add_slot(), Err(too_many));
    assert_eq!(assignment, before);
}
