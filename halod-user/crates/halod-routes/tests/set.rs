//! Sets of routes, in memory, as text and as JSON.

use std::collections::BTreeSet;

use halod_routes::{MAX_ROUTES, ParseRouteSetError, RouteSet};
use proptest::prelude::*;

fn set(text: &str) -> RouteSet {
    text.parse().expect(text)
}

#[test]
fn text_and_json() {
    let routes: RouteSet = [12, 3, 1, 2, 13, 14, 10, 3].into_iter().collect();
    assert_eq!(routes.to_string(), "1-3,10,12-14");
    assert_eq!(set("1-3,10,12-14"), routes);
    let json = serde_json::to_string(&routes).expect("a set is JSON");
    assert_eq!(json, "[[1,3],[10,10],[12,14]]");
    assert_eq!(
        serde_json::from_str::<RouteSet>(&json).expect("its own JSON"),
        routes
    );
    assert_eq!(routes.len(), 7);
    assert_eq!((routes.first(), routes.last()), (Some(1), Some(14)));

    assert_eq!(set(""), RouteSet::new());
    assert_eq!(RouteSet::new().to_string(), "");
    assert_eq!(set("1-65536").len(), 65_536);
}

#[test]
fn ranges_in_any_order_are_merged() {
    for text in [
        "1-8",
        "5-8,1-4",
        "1-3,2-8",
        "1,2,3,4,5,6,7,8",
        " 1 - 8 ",
        "1-8,3-4",
    ] {
        assert_eq!(set(text).ranges(), [(1, 8)], "{text}");
    }
    let set: RouteSet = serde_json::from_str("[[7,8],[1,2],[2,6]]").expect("ranges");
    assert_eq!(set.ranges(), [(1, 8)]);
}

#[test]
fn what_is_wrong_is_named() {
    let error = |text: &str| text.parse::<RouteSet>().expect_err(text);
    let syntax = |part: &str| ParseRouteSetError::Syntax(part.to_owned());
    assert_eq!(error("1-8,x"), syntax("x"));
    assert_eq!(error("1-8,"), syntax(""));
    assert_eq!(error("1--8"), syntax("1--8"));
    assert_eq!(error("1-8-9"), syntax("1-8-9"));
    assert_eq!(error("-8"), syntax("-8"));
    assert_eq!(error("99999999999"), syntax("99999999999"));
    assert_eq!(error("0-8"), ParseRouteSetError::NoSuchRoute(0));
    assert_eq!(error("1-65537"), ParseRouteSetError::NoSuchRoute(65_537));
    assert_eq!(
        error("8-1"),
        ParseRouteSetError::Backwards { first: 8, last: 1 }
    );
    assert_eq!(
        error("8-1").to_string(),
        "the range 8-1 runs backwards; write 1-8"
    );

    for json in [
        "[[1,4294967295]]",
        "[[0,1]]",
        "[[8,1]]",
        "[[1]]",
        "[1]",
        "\"1-8\"",
    ] {
        assert!(serde_json::from_str::<RouteSet>(json).is_err(), "{json}");
    }
}

proptest! {
    /// A set of routes is what a set of numbers is.
    #[test]
    fn is_a_set(routes in prop::collection::vec(1u32..200, 0..150)) {
        let plain: BTreeSet<u32> = routes.iter().copied().collect();
        let set: RouteSet = routes.into_iter().collect();
        prop_assert!(set.iter().eq(plain.iter().copied()));
        prop_assert_eq!(set.len(), plain.len());
        prop_assert_eq!(set.is_empty(), plain.is_empty());
        for route in 0..=201 {
            prop_assert_eq!(set.contains(route), plain.contains(&route));
        }
        // Ranges are apart from each other.
        prop_assert!(set.ranges().windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        prop_assert_eq!(&set.to_string().parse::<RouteSet>().expect("its own text"), &set);
        let json = serde_json::to_string(&set).expect("a set is JSON");
        prop_assert_eq!(serde_json::from_str::<RouteSet>(&json).expect("its own JSON"), set);
    }

    /// What is left of a set without another is what is left of the numbers.
    #[test]
    fn difference_is_that_of_sets(a in prop::collection::vec(1u32..80, 0..60), b in prop::collection::vec(1u32..80, 0..60)) {
        let plain = |routes: &[u32]| routes.iter().copied().collect::<BTreeSet<u32>>();
        let set = |routes: &[u32]| routes.iter().copied().collect::<RouteSet>();
        let left: RouteSet = plain(&a).difference(&plain(&b)).copied().collect();
        prop_assert_eq!(set(&a).difference(&set(&b)), left);
    }

    /// No text does harm, and what is taken is in range.
    #[test]
    fn any_text(text in "[0-9,\\- ]{0,24}|\\PC{0,24}") {
        if let Ok(set) = text.parse::<RouteSet>() {
            prop_assert!(set.iter().all(|route| (1..=MAX_ROUTES).contains(&route)));
        }
    }
}
