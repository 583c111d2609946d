//! Tables that lose any of their slots: only that slot's routes move.

use std::collections::BTreeMap;

use halod_routes::{Assignment, Error, Move, RouteSet, SlotTable};
use proptest::prelude::*;

fn set(text: &str) -> RouteSet {
    text.parse().expect(text)
}

fn rows(table: &SlotTable) -> Vec<String> {
    let row = |slot| table.held_by(slot).collect::<RouteSet>().to_string();
    (1..=table.slots()).map(row).collect()
}

fn to_slots(moves: &[Move]) -> Vec<(u32, u32)> {
    moves.iter().map(|moved| (moved.route, moved.to)).collect()
}

/// assignment(24, 4) loses slot 2, then slot 1, and gets a third one; worked out by hand.
#[test]
fn twenty_four_routes_by_hand() {
    let mut table = Assignment::of(24, 4).expect("in range").table().clone();
    assert_eq!(rows(&table)[1], "13-18");

    // Slots 1, 3, 4 hold 6 each.
    let moves = table.remove_slot(2).expect("there is a slot 2");
    assert_eq!(
        to_slots(&moves),
        [(13, 1), (14, 3), (15, 4), (16, 1), (17, 3), (18, 4)]
    );
    assert!(moves.iter().all(|moved| moved.from == 2));
    // The highest, 4, is slot 2 now.
    let three = ["1-6,13,16", "7-8,15,18-20,23-24", "9-12,14,17,21-22"];
    assert_eq!(rows(&table), three);

    // Slots 2 and 3 hold 8 each.
    let moves = table.remove_slot(1).expect("there is a slot 1");
    assert_eq!(
        to_slots(&moves),
        [
            (1, 2),
            (2, 3),
            (3, 2),
            (4, 3),
            (5, 2),
            (6, 3),
            (13, 2),
            (16, 3)
        ]
    );
    let two = ["2,4,6,9-12,14,16-17,21-22", "1,3,5,7-8,13,15,18-20,23-24"];
    assert_eq!(rows(&table), two);

    // Both hold 12. List: 2, 1; gone through four times.
    let moves = table.add_slot().expect("room for a third slot");
    let from: Vec<(u32, u32)> = moves.iter().map(|m| (m.route, m.from)).collect();
    assert_eq!(
        from,
        [
            (24, 2),
            (22, 1),
            (23, 2),
            (21, 1),
            (20, 2),
            (17, 1),
            (19, 2),
            (16, 1)
        ]
    );
    let three = ["2,4,6,9-12,14", "1,3,5,7-8,13,15,18", "16-17,19-24"];
    assert_eq!(rows(&table), three);
}

#[test]
fn the_slot_with_fewest_routes_comes_first() {
    // 4 slots of 3, 3, 2, 2.
    let held = [set("1-3"), set("4-6"), set("7-8"), set("9-10")];
    let mut table = SlotTable::of(10, &held).expect("a table");
    let moves = table.remove_slot(1).expect("there is a slot 1");
    assert_eq!(to_slots(&moves), [(1, 3), (2, 4), (3, 2)]);
    assert_eq!(rows(&table), ["2,9-10", "3-6", "1,7-8"]);
}

#[test]
fn the_last_slot_leaves_no_route_held() {
    let mut table = SlotTable::of(3, &[set("1-3")]).expect("a table");
    assert_eq!(table.remove_slot(2), Err(Error::NoSlot));
    assert_eq!(table.remove_slot(0), Err(Error::NoSlot));
    assert_eq!(table.remove_slot(1), Ok(Vec::new()));
    assert_eq!(table, SlotTable::new(3).expect("in range"));
    assert_eq!(table.slot_of(1), None);
    table.add_slot().expect("room");
    assert_eq!(rows(&table), ["1-3"]);
}

#[test]
fn what_is_no_table_is_refused() {
    let error = |held: &[&str]| {
        let held: Vec<RouteSet> = held.iter().map(|text| set(text)).collect();
        SlotTable::of(4, &held).expect_err("no table")
    };
    assert_eq!(error(&["1-2", "2-4"]), Error::HeldTwice(2));
    assert_eq!(error(&["1-2", "4"]), Error::HeldByNone(3));
    assert_eq!(error(&["1-4", ""]), Error::EmptySlot(2));
    let beyond = Error::NoSuchRoute {
        route: 5,
        routes: 4,
    };
    assert_eq!(error(&["1-5"]), beyond);
    assert_eq!(beyond.to_string(), "there is no route 5: routes are 1 to 4");
    let many = Error::MoreSlotsThanRoutes {
        slots: 5,
        routes: 4,
    };
    assert_eq!(error(&["1", "2", "3", "4", ""]), many);
    assert_eq!(SlotTable::of(0, &[]), Err(Error::Routes(0)));
    assert_eq!(SlotTable::of(4, &[]), SlotTable::new(4));
}

#[test]
fn a_table_may_be_unbalanced() {
    let balanced = |held: &[&str]| {
        let held: Vec<RouteSet> = held.iter().map(|text| set(text)).collect();
        SlotTable::of(8, &held).expect("a table").is_balanced()
    };
    assert!(balanced(&[]));
    assert!(balanced(&["1-3", "4-6", "7-8"]));
    assert!(!balanced(&["1-4", "5-6", "7-8"]));
    assert!(!balanced(&["1-3", "4-7", "8"]));
}

/// The rule in plain words, route by route.
fn without(held: &BTreeMap<u32, Vec<u32>>, slot: u32) -> BTreeMap<u32, Vec<u32>> {
    let mut held = held.clone();
    let lost = held.remove(&slot).expect("a slot in use");
    for route in lost {
        let fewest = held.values().map(Vec::len).min();
        let to = held
            .iter_mut()
            .find(|(_, routes)| Some(routes.len()) == fewest);
        if let Some((_, routes)) = to {
            routes.push(route);
            routes.sort_unstable();
        }
    }
    if let Some(highest) = held.keys().max().copied().filter(|highest| *highest > slot) {
        let renamed = held.remove(&highest).expect("in use");
        held.insert(slot, renamed);
    }
    held
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any walk up and down keeps each slot at floor or ceil; a slot that goes moves just its own
    /// routes, a new one gets exactly floor(N / M) and nothing else moves.
    #[test]
    fn any_walk_is_balanced_and_moves_no_more_than_it_must(
        routes in 1u32..150,
        start in 1u32..20,
        walk in prop::collection::vec((any::<bool>(), any::<u32>()), 1..40),
    ) {
        let start = start.min(routes);
        let mut table = Assignment::of(routes, start).expect("in range").table().clone();
        for (up, which) in walk {
            let m = table.slots();
            let former: BTreeMap<u32, Vec<u32>> =
                (1..=m).map(|slot| (slot, table.held_by(slot).collect())).collect();
            let owner = |route: u32| former.iter().find(|(_, held)| held.contains(&route)).map(|(slot, _)| *slot);
            if up {
                let Ok(moves) = table.add_slot() else {
                    prop_assert_eq!(m, routes);
                    continue;
                };
                let count = if m == 0 { 0 } else { routes / (m + 1) };
                prop_assert_eq!(moves.len() as u32, count);
                prop_assert!(m == 0 || table.held_by(m + 1).len() == moves.len());
                for slot in 1..=m {
                    prop_assert!(table.held_by(slot).all(|route| owner(route) == Some(slot)));
                }
            } else if m > 0 {
                let slot = which % m + 1;
                let expected = without(&former, slot);
                let moves = table.remove_slot(slot).expect("a slot in use");
                let lost = &former[&slot];
                if m > 1 {
                    prop_assert!(moves.iter().map(|moved| moved.route).eq(lost.iter().copied()));
                }
                let now: BTreeMap<u32, Vec<u32>> =
                    (1..m).map(|slot| (slot, table.held_by(slot).collect())).collect();
                prop_assert_eq!(now, expected);
            }
            prop_assert!(table.is_balanced());
            for route in 1..=routes {
                let slot = table.slot_of(route);
                prop_assert_eq!(slot.is_some(), table.slots() > 0);
                prop_assert!(slot.is_none_or(|slot| table.held_by(slot).any(|held| held == route)));
            }
        }
    }
}
