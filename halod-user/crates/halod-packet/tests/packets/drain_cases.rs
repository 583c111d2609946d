//! Drains, case by case.

use crate::common::drains::{Force, Key, Way};
use halod_packet::{
    Address, Exit, Former, Hook, Input, Listener, Node, Protocol, Table, FORMERS_MAX,
};

const A: u32 = 1;
const B: u32 = 2;
const C: u32 = 5;
const D: u32 = 4;
const OTHER: u32 = 6;
const CELLS: usize = 1_024;

const KEY: Key = Key {
    route: 0,
    v6: false,
    host: 9,
    port: 50_000,
    one_port: false,
};

fn change(force: &Force, change: impl FnOnce(&mut Way)) -> Force {
    let mut ways = force.ways.clone();
    change(&mut ways[0]);
    let next = force.next(ways, 0, CELLS);
    next.purge();
    next
}

fn on_a() -> Force {
    Force::new([A, OTHER, OTHER])
}

fn node_of(force: &Force, now: u64) -> u32 {
    force.tcp(now, KEY, false).0
}

fn answer(force: &Force, now: u64, from: u32) -> Exit {
    force.answer(Hook::PostRouting, now, KEY, Protocol::Tcp, from)
}

#[test]
fn a_syn_ack_lost_on_the_way_is_not_made_good_by_the_node_before() {
    // The first SYN went to A; its answer is lost, the route moves, and the client asks again.
    let force = change(&on_a(), |way| way.go(B, 100));
    assert_eq!(force.tcp(0, KEY, true), (B, Exit::Forward));
    // A's SYN-ACK, sent again, would be for another connection than B's.
    assert_eq!(answer(&force, 0, A), Exit::DropStale);
    assert_eq!(
        force.answer(Hook::LocalIn, 0, KEY, Protocol::Tcp, A),
        Exit::DropStale
    );
    assert_eq!(answer(&force, 0, B), Exit::Reverse);
    assert_eq!(force.tcp(0, KEY, false), (B, Exit::Forward));
    // Sent once more, the SYN changes nothing.
    assert_eq!(force.tcp(0, KEY, true), (B, Exit::Forward));
    assert_eq!(force.flows().map(|flows| flows.used()), Some(1));
}

#[test]
fn a_port_used_again_is_a_new_connection() {
    let force = change(&on_a(), |way| way.go(B, 100));
    assert_eq!(force.tcp(0, KEY, false), (A, Exit::ForwardFormer));
    assert_eq!(force.tcp(0, KEY, true), (B, Exit::Forward));
    let force = change(&force, |way| way.go(C, 100));
    assert_eq!(force.tcp(0, KEY, false), (B, Exit::ForwardFormer));
    assert_eq!(force.tcp(0, KEY, true), (C, Exit::Forward));
    assert_eq!(force.tcp(0, KEY, false), (C, Exit::Forward));
    assert_eq!(answer(&force, 0, B), Exit::DropStale);
    assert_eq!(answer(&force, 0, A), Exit::DropStale);
}

/// SYN cookies: the node keeps nothing of a SYN, and the final ACK must find it all the same.
#[test]
fn the_handshake_ends_where_it_began() {
    let force = change(&on_a(), |way| way.go(B, 100));
    assert_eq!(force.tcp(0, KEY, true), (B, Exit::Forward));
    let force = change(&force, |way| way.go(C, 200));
    assert_eq!(force.tcp(0, KEY, false), (B, Exit::ForwardFormer));
}

#[test]
fn each_node_on_the_way_keeps_what_it_has_until_its_deadline() {
    let key = |port| Key { port, ..KEY };
    let mut force = on_a();
    for (port, (node, deadline)) in (1..).zip([(B, 40), (C, 30), (D, 20)]) {
        force = change(&force, |way| way.go(node, deadline));
        assert_eq!(force.tcp(0, key(port), true), (node, Exit::Forward));
    }
    let nodes = |now| [0, 1, 2, 3].map(|port| force.tcp(now, key(port), false).0);
    assert_eq!(nodes(19), [A, B, C, D]);
    assert_eq!(nodes(20), [A, B, D, D]);
    assert_eq!(nodes(30), [A, D, D, D]);
    assert_eq!(nodes(40), [D, D, D, D]);
}

/// Twenty moves in a row, each with the oldest given up: tags go round, and nobody is mistaken.
#[test]
fn a_route_may_go_on_moving() {
    let key = |port| Key { port, ..KEY };
    let nodes: Vec<u32> = (1..=20).map(|n| n % 6 + 1).collect();
    let mut force = Force::new([6, 6, 6]);
    for (at, node) in nodes.iter().enumerate() {
        force = change(&force, |way| way.go(*node, 1_000));
        assert_eq!(force.tcp(0, key(at as u16), true), (*node, Exit::Forward));
        // The current one, and three before it.
        for back in (0..=FORMERS_MAX).take(at + 1) {
            let opened = at - back;
            let sent = force.tcp(0, key(opened as u16), false);
            assert_eq!(sent.0, nodes[opened], "{back} moves ago, at {at}");
        }
    }
}

#[test]
fn a_node_that_comes_back_has_all_that_it_had() {
    let key = |port| Key { port, ..KEY };
    let force = change(&on_a(), |way| way.go(B, 50));
    force.tcp(0, key(1), true);
    let force = change(&force, |way| way.go(A, 100));
    force.tcp(0, key(2), true);
    let nodes = |force: &Force, now| [0, 1, 2].map(|port| force.tcp(now, key(port), false).0);
    assert_eq!(nodes(&force, 0), [A, B, A]);
    // The deadline of a node is nothing to the connections that it has as the current one.
    assert_eq!(nodes(&force, 99), [A, B, A]);
    assert_eq!(nodes(&force, 100), [A, A, A]);
    let force = change(&force, |way| way.go(B, 150));
    force.tcp(0, key(1), true);
    assert_eq!(nodes(&force, 149), [A, B, A]);
    assert_eq!(nodes(&force, 150), [B, B, B]);
}

#[test]
fn after_the_deadline_both_nodes_may_end_a_connection() {
    let force = change(&on_a(), |way| way.go(B, 1_000));
    force.tcp(0, KEY, true);
    let force = change(&force, |way| way.go(C, 100));
    assert_eq!(answer(&force, 99, C), Exit::DropStale);
    assert_eq!(node_of(&force, 99), B);
    assert_eq!(node_of(&force, 100), C);
    // B closes it, C knows nothing of it: either reaches the client, and only they.
    assert_eq!(answer(&force, 100, B), Exit::Reverse);
    assert_eq!(answer(&force, 100, C), Exit::Reverse);
    assert_eq!(answer(&force, 100, A), Exit::DropStale);
}

#[test]
fn a_lost_node_drains_nothing() {
    let force = change(&on_a(), |way| way.go(B, 100));
    force.tcp(0, KEY, true);
    let other = Key { port: 1, ..KEY };
    // C takes B's place: new connections are C's alone, and A's are A's.
    let force = change(&force, |way| way.fail(C));
    assert_eq!(force.tcp(0, other, false), (A, Exit::ForwardFormer));
    assert_eq!(force.tcp(0, KEY, true), (C, Exit::Forward));
    assert_eq!(node_of(&force, 0), C);
    // A is lost: all that is left is C's.
    let force = change(&force, |way| way.formers.clear());
    assert_eq!(force.tcp(0, other, false), (C, Exit::Forward));
    assert!(force.flows().is_none());
}

/// The node that a remembered flow was with becomes the oldest, and after that comes back.
#[test]
fn a_tag_given_up_is_not_missed() {
    let force = change(&on_a(), |way| way.go(B, 100));
    force.tcp(0, KEY, true);
    let force = change(&force, |way| {
        way.formers.clear();
        way.go(C, 100);
    });
    assert_eq!(node_of(&force, 0), B);
    assert_eq!(force.flows().map(|flows| flows.used()), Some(0));
    let force = change(&force, |way| way.go(B, 100));
    assert_eq!(node_of(&force, 0), B);
    let force = change(&force, |way| way.go(D, 100));
    assert_eq!(node_of(&force, 0), B);
}

/// The last node of all goes: what it has lives on, and nothing new begins.
#[test]
fn a_route_without_a_node_keeps_its_connections_and_takes_no_new_ones() {
    let old = Key { port: 1, ..KEY };
    let force = change(&on_a(), |way| way.go(B, 200));
    assert_eq!(force.tcp(0, KEY, true), (B, Exit::Forward));
    let force = change(&force, |way| way.go(0, 100));
    assert_eq!(force.tcp(0, old, false), (A, Exit::ForwardFormer));
    assert_eq!(force.tcp(0, KEY, false), (B, Exit::ForwardFormer));
    // Neither a new SYN nor one that is sent again: nothing is remembered, and nothing forgotten.
    let new = Key { port: 2, ..KEY };
    for key in [new, KEY] {
        assert_eq!(force.tcp(0, key, true), (0, Exit::DropNoNode));
        let sent = force.send(Hook::LocalOut, 0, key, Protocol::Tcp, true);
        assert_eq!(sent, (0, Exit::DropNoNode));
    }
    assert_eq!(force.flows().map(|flows| flows.used()), Some(1));
    assert_eq!(force.tcp(0, KEY, false), (B, Exit::ForwardFormer));
    assert_eq!(answer(&force, 0, A), Exit::DropStale);
    // After a deadline nobody is there to reset the connection.
    assert_eq!(force.tcp(100, KEY, false), (0, Exit::DropNoNode));
    assert_eq!(force.tcp(199, old, false), (A, Exit::ForwardFormer));
    assert_eq!(force.tcp(200, old, false), (0, Exit::DropNoNode));
    // A node again: C has what is new, the others what they had.
    let force = change(&force, |way| way.go(C, 0));
    assert_eq!(force.tcp(0, new, true), (C, Exit::Forward));
    assert_eq!(force.tcp(0, KEY, false), (B, Exit::ForwardFormer));
    assert_eq!(force.tcp(0, old, false), (A, Exit::ForwardFormer));
}

#[test]
fn udp_moves_at_once_or_stays_a_while_with_the_oldest() {
    let udp = |force: &Force, now| force.send(Hook::PreRouting, now, KEY, Protocol::Udp, false);
    let force = change(&on_a(), |way| way.go(B, 100));
    assert_eq!(udp(&force, 0), (B, Exit::Forward));
    let force = change(&force, |way| way.udp = 50);
    assert_eq!(udp(&force, 49), (A, Exit::ForwardFormer));
    assert_eq!(udp(&force, 50), (B, Exit::Forward));
    let sent = force.send(Hook::LocalOut, 49, KEY, Protocol::Udp, false);
    assert_eq!(sent, (A, Exit::LocalOut));
    // Both may answer: of a datagram nobody knows whose flow it is.
    for node in [A, B] {
        let exit = force.answer(Hook::PostRouting, 49, KEY, Protocol::Udp, node);
        assert_eq!(exit, Exit::Reverse);
    }
    // It moves on: UDP stays where it was, and jumps once.
    let force = change(&force, |way| way.go(C, 100));
    assert_eq!(udp(&force, 49), (A, Exit::ForwardFormer));
    assert_eq!(udp(&force, 50), (C, Exit::Forward));
    // Back to A: that is the same node whatever the time.
    let force = change(&force, |way| way.go(A, 100));
    assert_eq!(udp(&force, 49), (A, Exit::Forward));
    assert_eq!(udp(&force, 50), (A, Exit::Forward));
    let force = change(&force, |way| way.go(0, 100));
    assert_eq!(udp(&force, 50), (0, Exit::DropNoNode));
}

#[test]
fn refusals_name_what_is_wrong() {
    let listener = Listener {
        address: Address::V4([198, 51, 100, 1]),
        protocol: Protocol::Tcp,
        port: 8_000,
        node_port: 8_000,
        ..Listener::default()
    };
    let node = |id: u8| Node {
        id: id.into(),
        v4: Some([192, 0, 2, id]),
        v6: None,
    };
    let refusal = |formers: &[(u32, u32)]| {
        let formers: Vec<Former> = formers
            .iter()
            .map(|(route, node)| Former {
                route: *route,
                node: *node,
                deadline: 1,
                udp: 0,
            })
            .collect();
        let input = Input {
            routes: 3,
            listeners: &[listener],
            nodes: &[node(1), node(2)],
            targets: &[],
            route_nodes: &[1, 2, 0],
            formers: &formers,
            select_key: None,
        };
        Table::build(&input).map_or_else(|refusal| refusal.to_string(), |_| "accepted".into())
    };
    assert_eq!(refusal(&[(1, 2), (2, 1), (2, 2), (2, 1)]), "accepted");
    assert_eq!(
        refusal(&[(0, 1)]),
        "drain of route 0: unknown or out of order"
    );
    assert_eq!(
        refusal(&[(4, 1)]),
        "drain of route 4: unknown or out of order"
    );
    let twice = refusal(&[(1, 2), (2, 1), (1, 2)]);
    assert_eq!(twice, "drain of route 1: unknown or out of order");
    assert_eq!(refusal(&[(1, 2); 4]), "route 1: more than 3 former nodes");
    assert_eq!(
        refusal(&[(1, 7)]),
        "node 7: unknown (former node of route 1)"
    );
    assert_eq!(
        refusal(&[(1, 2), (1, 0)]),
        "node 0: unknown (former node of route 1)"
    );
    // Route 3 has no node.
    assert_eq!(refusal(&[(3, 1)]), "accepted");
}

/// What the network says of a packet is for the node that has sent it, or of use to none.
#[test]
fn icmp_errors_follow_their_flow() {
    let force = change(&on_a(), |way| way.go(B, 100));
    for key in [KEY, Key { v6: true, ..KEY }] {
        assert_eq!(force.error_to_node(0, key, Protocol::Tcp), A);
        assert_eq!(force.tcp(0, key, true), (B, Exit::Forward));
        assert_eq!(force.error_to_node(0, key, Protocol::Tcp), B);
        let from = |node| force.error_to_client(0, key, Protocol::Tcp, node);
        assert_eq!((from(A), from(B)), (Exit::DropStale, Exit::IcmpToClient));
        // An error opens nothing, and is no reason to remember a flow.
        let other = Key { port: 1, ..key };
        assert_eq!(force.error_to_node(0, other, Protocol::Tcp), A);
        assert_eq!(force.tcp(0, other, false), (A, Exit::ForwardFormer));
        assert_eq!(force.error_to_node(100, other, Protocol::Tcp), B);
        assert_eq!(force.error_to_node(0, key, Protocol::Udp), B);
        let from = |node| force.error_to_client(0, key, Protocol::Udp, node);
        assert_eq!((from(A), from(B)), (Exit::IcmpToClient, Exit::IcmpToClient));
    }
}
