//! The set of flows under every interleaving of a few threads, and what each may see then.
//!
//! Cells that nobody needs in a case are taken for good and no part of the model, so that it stays
//! small enough to be gone through.

#![allow(clippy::unwrap_used)]

use halod_packet::flows::{Flow, CELLS_MIN, PLACES};
use halod_packet::{Address, Cell, Flows, Tag};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::Arc;
use loom::thread;

const KEY: (u64, u64) = (7, 11);
const OLD: Tag = Tag::ALL[0];
const NEW: Tag = Tag::ALL[1];
const OTHER: Tag = Tag::ALL[2];
/// A tag that means nothing any more.
const DEAD: Tag = Tag::ALL[6];

enum Model {
    /// A part of the model.
    Open(AtomicU64),
    /// Another flow's for ever, of another route.
    Taken,
}

impl Cell for Model {
    fn load(&self) -> u64 {
        match self {
            Model::Open(cell) => cell.load(Ordering::Acquire),
            Model::Taken => u64::MAX,
        }
    }

    fn replace(&self, old: u64, new: u64) -> bool {
        match self {
            Model::Open(cell) => cell
                .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
                .is_ok(),
            Model::Taken => panic!("another flow's cell is written"),
        }
    }
}

/// The smallest set, with these cells open.
struct Set(Vec<Model>);

impl Set {
    fn open(cells: &[usize]) -> Arc<Set> {
        let model = |cell| match cells.contains(&cell) {
            true => Model::Open(AtomicU64::new(0)),
            false => Model::Taken,
        };
        Arc::new(Set((0..CELLS_MIN).map(model).collect()))
    }

    fn flows(&self) -> Flows<'_, Model> {
        Flows::new(&self.0, KEY)
    }

    fn remember(&self, port: u16, tag: Tag) -> bool {
        self.flows().remember(&self.flow(port), tag)
    }

    fn find(&self, port: u16) -> Option<Tag> {
        self.flows().find(&self.flow(port))
    }

    fn purge(&self) {
        self.purge_but(|tag| tag != DEAD);
    }

    fn purge_but(&self, live: impl Fn(Tag) -> bool) {
        self.flows().purge(|route, tag| route != 0 || live(tag));
    }

    /// How many cells hold something, of those that are open.
    fn held(&self) -> usize {
        let open = |cell: &&Model| matches!(cell, Model::Open(_));
        let cells = self.0.iter().filter(open);
        cells.filter(|cell| cell.load() != 0).count()
    }

    /// All flows share both places of the smallest set. In which order is a matter of their hash.
    fn flow(&self, port: u16) -> Flow {
        let client = Address::V4([203, 0, 113, 9]);
        let vip = Address::V4([198, 51, 100, 1]);
        self.flows().flow((&client, port), (&vip, 8_000), 0)
    }
}

/// The first `count` ports whose flows look at the first place first, or at the second.
fn ports<const COUNT: usize>(second: bool) -> [u16; COUNT] {
    let mut found = [0; COUNT];
    let mut ports = 1..;
    for place in &mut found {
        *place = ports
            .find(|port| {
                let cells = halod_packet::AtomicCell::many(CELLS_MIN);
                let flows = Flows::new(&cells, KEY);
                let client = Address::V4([203, 0, 113, 9]);
                let vip = Address::V4([198, 51, 100, 1]);
                let flow = flows.flow((&client, *port), (&vip, 8_000), 0);
                flows.remember(&flow, OLD);
                (cells[..PLACES].iter().all(|cell| cell.load() == 0)) == second
            })
            .unwrap();
    }
    found
}

/// Every interleaving, of whatever length.
fn check(model: impl Fn() + Sync + Send + 'static) {
    loom::model::Builder::new().check(model);
}

/// Every interleaving in which threads are interrupted at most so often against their will.
fn check_within(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Runs one thing in a thread of its own.
fn spawn<T: 'static>(
    set: &Arc<Set>,
    run: impl FnOnce(&Set) -> T + 'static,
) -> thread::JoinHandle<T> {
    let set = set.clone();
    thread::spawn(move || run(&set))
}

#[test]
fn one_flow_by_two_with_the_same_tag() {
    let [f] = ports(false);
    check(move || {
        let set = Set::open(&[1, 9]);
        let other = spawn(&set, move |set| set.remember(f, NEW));
        assert!(set.remember(f, NEW));
        // What was remembered is never out of sight.
        assert_eq!(set.find(f), Some(NEW));
        assert!(other.join().unwrap());
        assert_eq!(set.find(f), Some(NEW));
        assert_eq!(set.held(), 1);
    });
}

/// A SYN sent twice, looked at by two tables at once.
#[test]
fn one_flow_by_two_with_two_tags() {
    let [f] = ports(false);
    check(move || {
        let set = Set::open(&[1, 9]);
        let other = spawn(&set, move |set| {
            assert!(set.remember(f, OTHER));
            set.find(f)
        });
        assert!(set.remember(f, NEW));
        let seen = [set.find(f), other.join().unwrap()];
        for tag in seen {
            assert!([Some(NEW), Some(OTHER)].contains(&tag), "{tag:?}");
        }
        let last = set.find(f);
        assert!([Some(NEW), Some(OTHER)].contains(&last));
        assert_eq!(set.held(), 1);
        assert_eq!(set.find(f), last);
    });
}

#[test]
fn a_reader_sees_the_tag_before_or_after_and_never_none() {
    let [f] = ports(true);
    check(move || {
        let set = Set::open(&[2, 8]);
        assert!(set.remember(f, OLD));
        let reader = spawn(&set, move |set| [set.find(f), set.find(f)]);
        assert!(set.remember(f, NEW));
        let seen = reader.join().unwrap();
        let may = [[OLD, OLD], [OLD, NEW], [NEW, NEW]].map(|tags| tags.map(Some));
        assert!(may.contains(&seen), "{seen:?}");
    });
}

#[test]
fn two_flows_in_two_cells_have_one_each() {
    // Those that begin in the same place, and those that do not.
    for second in [false, true] {
        let [f, other] = ports(false);
        let [opposite] = ports(true);
        let g = if second { opposite } else { other };
        for open in [[0, 5], [3, 12]] {
            check(move || {
                let set = Set::open(&open);
                let writer = spawn(&set, move |set| set.remember(g, OTHER));
                assert!(set.remember(f, NEW));
                assert_eq!(set.find(f), Some(NEW));
                assert!(writer.join().unwrap());
                assert_eq!((set.find(f), set.find(g)), (Some(NEW), Some(OTHER)));
                assert_eq!(set.held(), 2);
            });
        }
    }
}

#[test]
fn two_flows_in_one_cell_and_only_one_is_told_that_it_is_there() {
    let [f] = ports(false);
    let [g] = ports(true);
    check(move || {
        let set = Set::open(&[4]);
        let writer = spawn(&set, move |set| set.remember(g, OTHER));
        let first = set.remember(f, NEW);
        assert_eq!(set.find(f), first.then_some(NEW));
        let second = writer.join().unwrap();
        assert!(first != second);
        let found = (set.find(f), set.find(g));
        assert_eq!(found, (first.then_some(NEW), second.then_some(OTHER)));
    });
}

/// A purge takes away what is dead, and nothing else, whoever writes meanwhile.
#[test]
fn a_purge_beside_a_new_flow() {
    let [f, dead, live] = ports(false);
    check(move || {
        let set = Set::open(&[0, 1, 8]);
        assert!(set.remember(dead, DEAD));
        assert!(set.remember(live, OLD));
        let writer = spawn(&set, move |set| {
            assert!(set.remember(f, NEW));
            [set.find(f), set.find(live)]
        });
        set.purge();
        assert_eq!(set.find(live), Some(OLD));
        assert_eq!(writer.join().unwrap(), [Some(NEW), Some(OLD)]);
        let found = [f, live, dead].map(|port| set.find(port));
        assert_eq!(found, [Some(NEW), Some(OLD), None]);
        assert_eq!(set.held(), 2);
    });
}

/// A port that is used again, of a connection that means nothing any more.
#[test]
fn a_purge_beside_the_same_flow() {
    let [f] = ports(false);
    check(move || {
        let set = Set::open(&[0, 8]);
        assert!(set.remember(f, DEAD));
        let writer = spawn(&set, move |set| {
            assert!(set.remember(f, NEW));
            set.find(f)
        });
        set.purge();
        assert_eq!(writer.join().unwrap(), Some(NEW));
        assert_eq!(set.find(f), Some(NEW));
        assert_eq!(set.held(), 1);
    });
}

/// The one way for a flow to be there twice: cells are emptied between two CPUs' looks at them.
#[test]
fn one_flow_by_two_beside_a_purge() {
    let [f, dead] = ports(false);
    check_within(3, move || {
        let set = Set::open(&[0, 1]);
        assert!(set.remember(dead, DEAD));
        let purger = spawn(&set, |set| set.purge());
        let writer = spawn(&set, move |set| set.remember(f, OTHER));
        assert!(set.remember(f, NEW));
        assert!(writer.join().unwrap());
        purger.join().unwrap();
        let may = [Some(NEW), Some(OTHER)];
        let found = set.find(f);
        assert!(may.contains(&found));
        assert_eq!(set.find(f), found);
        // Opened again, it has one tag only: forgotten under that, no copy comes to light.
        assert!(set.remember(f, OLD));
        assert_eq!(set.find(f), Some(OLD));
        set.purge_but(|tag| tag != OLD);
        assert_eq!(set.find(f), None);
    });
}

/// Nor does a reader lose sight of a flow that is added twice.
#[test]
fn a_reader_beside_two_writers() {
    let [f] = ports(false);
    check(move || {
        let set = Set::open(&[0, 9]);
        assert!(set.remember(f, OLD));
        let writers = [NEW, OTHER].map(|tag| spawn(&set, move |set| set.remember(f, tag)));
        let seen = set.find(f);
        assert!([Some(OLD), Some(NEW), Some(OTHER)].contains(&seen));
        for writer in writers {
            assert!(writer.join().unwrap());
        }
        let last = set.find(f);
        assert!([Some(NEW), Some(OTHER)].contains(&last));
        assert_eq!(set.held(), 1);
    });
}
