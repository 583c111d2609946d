//! The examples of `docs/node-protocol.md` are messages, written as `to_line` writes them.

use std::collections::BTreeSet;

use halod_proto::{FromHalod, ToHalod};

#[test]
fn every_example_is_a_message_and_every_message_has_one() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../docs/node-protocol.md"
    );
    let text = std::fs::read_to_string(file).expect("the documentation");
    let mut kinds = BTreeSet::new();
    // The first half of the document is the node's messages, the second HaloD's.
    let (node, halod) = text
        .split_once("\n## From HaloD\n")
        .expect("the two halves");
    for line in node.lines().filter(|line| line.starts_with('{')) {
        let message = ToHalod::parse(line).expect(line);
        assert_eq!(message.to_line().trim_end(), line);
        kinds.insert(message.kind());
    }
    for line in halod.lines().filter(|line| line.starts_with('{')) {
        let message = FromHalod::parse(line).expect(line);
        assert_eq!(message.to_line().trim_end(), line);
        kinds.insert(message.kind());
    }
    let all = [
        "assign",
        "drain",
        "drained",
        "error",
        "healthy",
        "heartbeat",
        "hello",
        "leaving",
        "may_stop",
        "reserve",
        "route_moved",
        "unhealthy",
        "welcome",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}
