//! `halodctl plan` against the algorithm's text for 24 routes.

use crate::common::{code, ctl, json, stderr, stdout};

/// Design: 2 slots {1-12} {13-24}; 3 slots {1-8} {13-20} {9-12, 21-24}.
const TWO_TO_THREE: &str = "\
24 routes, from 2 to 3 slots: 8 in another slot, 16 as before.

Slot 3 is added: 8 routes move to it.
FROM  TO  COUNT  ROUTES
1     3   4      9-12
2     3   4      21-24

After it:
SLOT  COUNT  ROUTES
1     8      1-8
2     8      13-20
3     8      9-12,21-24
";

const THREE_TO_ONE: &str = "\
24 routes, from 3 to 1 slot: 16 in another slot, 8 as before.

Slot 3 is removed: 8 routes move back.
FROM  TO  COUNT  ROUTES
3     1   4      9-12
3     2   4      21-24

Slot 2 is removed: 12 routes move back.
FROM  TO  COUNT  ROUTES
2     1   12     13-24

After it:
SLOT  COUNT  ROUTES
1     24     1-24
";

#[test]
fn one_node_more() {
    let output = ctl(&["plan", "--routes", "24", "--nodes", "2"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), TWO_TO_THREE);
}

#[test]
fn fewer_nodes() {
    let output = ctl(&["plan", "--routes", "24", "--nodes", "3", "--to", "1"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), THREE_TO_ONE);
}

#[test]
fn as_json() {
    let output = ctl(&[
        "--json", "plan", "--routes", "24", "--nodes", "2", "--to", "3",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(
        json(&output),
        serde_json::json!({
            "routes": 24, "from": 2, "to": 3, "moved": 8,
            "steps": [{"action": "add_slot", "slot": 3, "moved": 8, "moves": [
                {"from": 1, "to": 3, "routes": [[9, 12]]},
                {"from": 2, "to": 3, "routes": [[21, 24]]},
            ]}],
            "before": [{"slot": 1, "routes": [[1, 12]]}, {"slot": 2, "routes": [[13, 24]]}],
            "after": [{"slot": 1, "routes": [[1, 8]]}, {"slot": 2, "routes": [[13, 20]]},
                      {"slot": 3, "routes": [[9, 12], [21, 24]]}],
        })
    );
}

#[test]
fn nothing_moves_where_nothing_changes_and_from_none() {
    let output = ctl(&[
        "plan", "--routes", "24", "--nodes", "3", "--to", "3", "--json",
    ]);
    assert_eq!(
        (
            json(&output)["moved"].clone(),
            json(&output)["steps"].clone()
        ),
        (0.into(), serde_json::json!([]))
    );
    let output = ctl(&["plan", "--routes", "24", "--nodes", "0"]);
    assert!(stdout(&output).contains("Slot 1 is added: it takes all 24 routes.\n"));
}

#[test]
fn what_cannot_be_is_a_usage_error() {
    let output = ctl(&["plan", "--routes", "24", "--nodes", "25"]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("25 slots for 24 routes"),
        "{}",
        stderr(&output)
    );
    for arguments in [
        &["plan", "--routes", "0", "--nodes", "1"][..],
        &["plan", "--routes", "65537", "--nodes", "1"],
        &["plan", "--routes", "24"],
        &["plan", "--nodes", "2"],
        &["plan", "--routes", "24", "--nodes", "-1"],
    ] {
        assert_eq!(code(&ctl(arguments)), 2, "{arguments:?}");
    }
}
