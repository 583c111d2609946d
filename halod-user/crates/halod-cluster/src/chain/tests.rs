//! Chains against a kernel in plain words, and against a twin that knows of every connection where
//! it was opened.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const DRAIN_MS: u64 = 1_000;

/// What the kernel makes of a route's node and its former ones.
#[derive(Clone, Debug, Default)]
struct Kernel {
    current: Option<NodeId>,
    formers: Vec<Former>,
    connections: Vec<Connection>,
}

#[derive(Clone, Debug)]
struct Connection {
    home: NodeId,
    /// The node under which it is remembered, if it is.
    tag: Option<NodeId>,
}

impl Kernel {
    fn commit(&mut self, chain: &Chain, current: Option<NodeId>) {
        self.formers = chain.formers().to_vec();
        self.current = current;
        // The oldest needs no memory: it has whatever is not remembered.
        let mut later = self.formers.iter().skip(1).map(|former| former.node);
        let remembered: Vec<Option<NodeId>> = later.by_ref().map(Some).chain([current]).collect();
        let oldest = self.formers.first().map(|former| former.node);
        for connection in &mut self.connections {
            let tag = connection.tag;
            let keeps = oldest.is_some() && tag != oldest && remembered.contains(&tag);
            connection.tag = tag.filter(|_| keeps);
        }
    }

    fn open(&mut self) {
        let draining = !self.formers.is_empty();
        let home = self.current;
        self.connections.extend(home.map(|home| Connection {
            home,
            tag: draining.then_some(home),
        }));
    }

    fn led_to(&self, connection: &Connection, now: Time) -> Option<NodeId> {
        let remembered = |former: &&Former| Some(former.node) == connection.tag;
        let leg = match connection.tag {
            Some(tag) if Some(tag) == self.current => return self.current,
            _ => self.formers.iter().find(remembered),
        };
        let leg = leg.or(self.formers.first());
        leg.filter(|leg| now < leg.until || Some(leg.node) == self.current)
            .map(|leg| leg.node)
            .or(self.current)
    }

    fn udp_led_to(&self, now: Time) -> Option<NodeId> {
        let oldest = self.formers.first().filter(|leg| now < leg.udp_until);
        oldest.map(|leg| leg.node).or(self.current)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    /// To a node, or to none; whether the former one keeps what it has.
    Move(Option<NodeId>, bool),
    Pass(u64),
    Emptied(NodeId),
    Lose(NodeId),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || (1..=6u32).prop_map(NodeId);
    prop_oneof![
        4 => Just(Step::Open),
        5 => (prop::option::weighted(0.9, node()), prop::bool::weighted(0.9)).prop_map(|(to, stays)| Step::Move(to, stays)),
        2 => (1..900u64).prop_map(Step::Pass),
        1 => node().prop_map(Step::Emptied),
        1 => node().prop_map(Step::Lose),
    ]
}

#[derive(Clone, Debug, Default)]
struct Twin {
    now: Time,
    chain: Chain,
    kernel: Kernel,
    /// Until when each node that has lost the route keeps what it has.
    keeps: BTreeMap<NodeId, Time>,
}

impl Twin {
    fn moves(&mut self, to: Option<NodeId>, stays: bool, udp_ms: u64) {
        let from = self.kernel.current;
        if from == to {
            return;
        }
        let until = self.now.after(DRAIN_MS);
        let stay = Stay {
            until,
            udp_until: Time(if udp_ms > 0 { self.now.0 + udp_ms } else { 0 }),
        };
        let head = self.chain.formers().first().map(|former| former.node);
        let cut = self.chain.moves(from, stays.then_some(stay), to);
        self.keeps
            .extend(from.filter(|_| stays).map(|from| (from, until)));
        if let (Some(from), false) = (from, stays) {
            self.end(from);
        }
        self.keeps.retain(|node, _| Some(*node) != to);
        if let Some(cut) = cut {
            let places = self.keeps.len() + usize::from(head == to);
            assert!(places > MAX_FORMERS, "cut without need");
            let soonest = self.keeps.values().min();
            assert_eq!(self.keeps.get(&cut.node), soonest);
            self.end(cut.node);
        }
        self.commit(to);
    }

    /// A node's connections are over, but for those it may open again.
    fn end(&mut self, node: NodeId) {
        self.keeps.remove(&node);
        self.kernel.connections.retain(|c| c.home != node);
    }

    fn commit(&mut self, current: Option<NodeId>) {
        if self.chain.is_over(current) {
            self.chain = Chain::default();
        }
        self.kernel.commit(&self.chain, current);
    }

    fn take(&mut self, step: &Step, udp_ms: u64) {
        let current = self.kernel.current;
        match *step {
            Step::Open => self.kernel.open(),
            Step::Move(to, stays) => self.moves(to, stays, udp_ms),
            Step::Pass(ms) => {
                self.now = self.now.after(ms);
                let over = self.keeps.iter().filter(|(_, until)| **until <= self.now);
                let over: Vec<NodeId> = over.map(|(node, _)| *node).collect();
                let mut expired = self.chain.expire(current, self.now);
                expired.sort();
                assert_eq!(expired, over);
                over.into_iter().for_each(|node| self.end(node));
                self.commit(current);
            }
            Step::Emptied(node) => {
                let kept = self.keeps.contains_key(&node);
                let changed = self.chain.emptied(node, current, self.now);
                assert!(kept || !changed);
                let leg = self.chain.legs(current).find(|leg| leg.node == node);
                match leg {
                    // For the sake of UDP.
                    Some(leg) if kept => {
                        assert!(leg.udp_until > self.now && leg.until <= leg.udp_until);
                        let until = leg.until;
                        self.keeps.insert(node, until);
                        self.kernel.connections.retain(|c| c.home != node);
                    }
                    Some(_) => panic!("a leg of a node that keeps nothing"),
                    None if kept => self.end(node),
                    None => {}
                }
                self.commit(current);
            }
            Step::Lose(node) => {
                self.chain.drop_node(node);
                self.end(node);
                if current == Some(node) {
                    self.moves(None, false, udp_ms);
                }
                self.commit(self.kernel.current);
            }
        }
    }

    fn check(&self) {
        let formers = self.chain.formers();
        assert!(formers.len() <= MAX_FORMERS);
        let current = self.kernel.current;
        let legs: BTreeMap<NodeId, Time> = self
            .chain
            .legs(current)
            .map(|leg| (leg.node, leg.until))
            .collect();
        assert_eq!(legs, self.keeps);
        // The route's own node is at the head, before others, or not there.
        let own = formers.iter().position(|f| Some(f.node) == current);
        assert!(own.is_none_or(|at| at == 0 && formers.len() > 1));
        assert!(
            formers
                .iter()
                .skip(1)
                .all(|former| former.udp_until == Time(0))
        );
        for connection in &self.kernel.connections {
            let to = self.kernel.led_to(connection, self.now);
            assert_eq!(to, Some(connection.home), "{connection:?} of {self:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Whatever moves, every connection is led to where it was opened, until a rule ends it.
    #[test]
    fn nothing_is_led_astray(
        udp_ms in prop_oneof![Just(0), 1..=DRAIN_MS],
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut twin = Twin::default();
        for step in &steps {
            let udp = twin.kernel.udp_led_to(twin.now);
            twin.take(step, udp_ms);
            twin.check();
            // UDP goes to the route's node, once: never back to one that it has left.
            let udp_now = twin.kernel.udp_led_to(twin.now);
            prop_assert!(udp_now == udp || udp_now == twin.kernel.current, "{:?}", twin);
        }
    }
}

/// Moves of a route, each after 10 ms, and the chain that comes of them.
fn chain_of(nodes: &[u32]) -> (Chain, Vec<u32>) {
    let mut chain = Chain::default();
    let mut cut = Vec::new();
    for (at, pair) in (0..).zip(nodes.windows(2)) {
        let stay = Stay {
            until: Time(1_000 + 10 * at),
            udp_until: Time(0),
        };
        let (from, to) = (NodeId(pair[0]), NodeId(pair[1]));
        cut.extend(chain.moves(Some(from), Some(stay), Some(to)));
    }
    (chain, cut.iter().map(|former| former.node.0).collect())
}

fn nodes(chain: &Chain) -> Vec<u32> {
    chain.formers().iter().map(|former| former.node.0).collect()
}

#[test]
fn the_oldest_comes_first() {
    let (chain, cut) = chain_of(&[1, 2, 3, 4]);
    assert_eq!(nodes(&chain), [1, 2, 3]);
    assert_eq!(cut, [] as [u32; 0]);
}

#[test]
fn a_node_that_has_the_route_again_is_no_former_one() {
    assert_eq!(nodes(&chain_of(&[1, 2, 3, 2]).0), [1, 3]);
    assert_eq!(
        nodes(&chain_of(&[1, 2, 1]).0),
        [1, 2],
        "unknown flows are its own"
    );
    assert_eq!(nodes(&chain_of(&[1, 2, 1, 2]).0), [1]);
    let (chain, _) = chain_of(&[1, 2, 1, 3]);
    assert_eq!(nodes(&chain), [1, 2]);
    assert_eq!(
        chain.formers()[0].until,
        Time(1_020),
        "from its last move on"
    );
}

#[test]
fn a_fourth_cuts_the_one_with_the_least_time_left() {
    let (chain, cut) = chain_of(&[1, 2, 3, 4, 5]);
    assert_eq!((nodes(&chain), cut), (vec![2, 3, 4], vec![1]));
    // Node 1 is the oldest, and its turn is not over: node 2 goes.
    let (chain, cut) = chain_of(&[1, 2, 3, 4, 1]);
    assert_eq!((nodes(&chain), cut), (vec![1, 3, 4], vec![2]));
}

#[test]
fn a_move_back_ends_the_drain() {
    let (mut chain, _) = chain_of(&[1, 2]);
    chain.moves(Some(NodeId(2)), None, Some(NodeId(1)));
    assert_eq!(nodes(&chain), [] as [u32; 0], "node 2 was lost");
}

#[test]
fn an_empty_leg_stays_for_its_udp() {
    let stay = Stay {
        until: Time(1_000),
        udp_until: Time(300),
    };
    let (one, two) = (Some(NodeId(1)), Some(NodeId(2)));
    let mut chain = Chain::default();
    chain.moves(one, Some(stay), two);
    assert!(chain.emptied(NodeId(1), two, Time(100)));
    assert!(!chain.emptied(NodeId(1), two, Time(100)), "said again");
    assert_eq!(chain.formers()[0].until, Time(300));
    assert_eq!(chain.expire(two, Time(300)), [NodeId(1)]);
    assert!(!chain.emptied(NodeId(1), two, Time(300)));
}
