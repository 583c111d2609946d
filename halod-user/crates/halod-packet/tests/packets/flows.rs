//! The set of flows by itself: how it spreads them, and threads at it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use halod_packet::flows::{Flow, CELLS_MIN, PLACES};
use halod_packet::{Address, AtomicCell, Cell, Flows, Tag};

const KEY: (u64, u64) = (7, 11);
const VIP: Address = Address::V4([198, 51, 100, 1]);

/// Flows that differ as little as flows do.
fn flow<C: Cell>(flows: &Flows<'_, C>, number: u32) -> Flow {
    let [_, host, high, low] = number.to_be_bytes();
    let port = u16::from_be_bytes([high, low]);
    flows.flow((&Address::V4([203, 0, 113, host]), port), (&VIP, 8_003), 3)
}

/// An empty cell that counts how often it is read.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Cell for Counting {
    fn load(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed);
        0
    }

    fn replace(&self, _: u64, _: u64) -> bool {
        panic!("written")
    }
}

/// Pearson's statistic of counts that should be equal, in standard deviations from its mean.
fn unevenness(counts: &[usize]) -> f64 {
    let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    let square = |count: &usize| (*count as f64 - mean).powi(2) / mean;
    let freedom = (counts.len() - 1) as f64;
    (counts.iter().map(square).sum::<f64>() - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn flows_spread_over_all_places() {
    const COUNT: usize = 64;
    let v6 = |last| {
        let mut bytes = [0x20; 16];
        bytes[15] = last;
        Address::V6(bytes)
    };
    type Make = fn(u32, Address) -> (Address, u16, u16, u16);
    let kinds: [(&str, Make); 4] = [
        ("client ports", |n, v6| (v6, n as u16, 8_000, 0)),
        ("client addresses", |n, _| {
            (Address::V4(n.to_be_bytes()), 50_000, 8_000, 0)
        }),
        ("routes", |n, v6| {
            (v6, 50_000, 8_000 + n as u16 % 30_000, n as u16 % 30_000)
        }),
        ("both ports", |n, _| {
            let port = n as u16;
            (Address::V4([203, 0, 113, 9]), port, port ^ 1, 5)
        }),
    ];
    for (name, make) in kinds {
        let mut counts = [0; COUNT];
        for number in 0..10_000 {
            let cells: Vec<Counting> = (0..COUNT * PLACES).map(|_| Counting::default()).collect();
            let flows = Flows::new(&cells, KEY);
            let (address, port, vip_port, route) = make(number, v6(1));
            let vip = match address {
                Address::V4(_) => VIP,
                Address::V6(_) => Address::V6([0x30; 16]),
            };
            let flow = flows.flow((&address, port), (&vip, vip_port), route);
            assert_eq!(flows.find(&flow), None);
            let read: Vec<usize> = (0..COUNT)
                .filter(|place| {
                    let all = place * PLACES..(place + 1) * PLACES;
                    let reads = cells[all].iter().map(|cell| cell.0.load(Ordering::Relaxed));
                    reads.sum::<usize>() == PLACES
                })
                .collect();
            let [one, other] = read[..] else {
                panic!("read at {read:?}");
            };
            counts[one] += 1;
            counts[other] += 1;
        }
        let unevenness = unevenness(&counts);
        assert!(unevenness < 6.0, "{name}: {unevenness}, {counts:?}");
    }
}

#[test]
fn every_flow_has_an_entry_of_its_own() {
    let cells = AtomicCell::many(CELLS_MIN);
    let flows = Flows::new(&cells, KEY);
    let mut entries = BTreeSet::new();
    for number in 0..30_000 {
        let flow = flow(&flows, number);
        for tag in Tag::ALL {
            assert!(flows.remember(&flow, tag));
            assert_eq!(flows.find(&flow), Some(tag));
            // Never 0, or it would not be there; and one, whatever the tag.
            assert_eq!(flows.used(), 1);
            let entry = cells.iter().map(Cell::load).find(|entry| *entry != 0);
            assert!(entries.insert(entry));
        }
        flows.purge(|route, tag| {
            assert_eq!((route, Some(&tag)), (3, Tag::ALL.last()));
            false
        });
        assert_eq!(flows.used(), 0);
    }
}

#[test]
fn another_key_is_another_order() {
    let places = |key| -> Vec<Option<usize>> {
        let all = (0..200).map(|number| {
            let cells = AtomicCell::many(1_024);
            let flows = Flows::new(&cells, key);
            assert!(flows.remember(&flow(&flows, number), Tag::ALL[0]));
            cells.iter().position(|cell| cell.load() != 0)
        });
        all.collect()
    };
    let same = std::iter::zip(places((1, 2)), places((1, 3)));
    assert!(same.filter(|(one, other)| one == other).count() < 20);
}

/// Threads that add flows of their own and common ones, while one purges: what a thread was told
/// is there stays there, under its tag.
#[test]
fn threads_do_not_lose_each_others_flows() {
    const THREADS: u32 = 3;
    const OWN: u32 = 60;
    const COMMON: u32 = 4;
    // At least; more, until there was room for all: who purges may get no CPU for a long time.
    const ROUNDS: u32 = 3_000;
    const PURGED: usize = 1_000;
    const LIMIT: Duration = Duration::from_secs(60);
    let [dead, shared, tags @ ..] = Tag::ALL;
    let cells = AtomicCell::many(512);
    let done = AtomicBool::new(false);
    let start = std::sync::Barrier::new(THREADS as usize + 1);
    let purged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (cells, start, purged) = (&cells, &start, &purged);
                scope.spawn(move || {
                    let flows = Flows::new(cells, KEY);
                    let own = |number| flow(&flows, (thread + 1) << 16 | number);
                    let mut had = vec![None; OWN as usize];
                    start.wait();
                    let began = Instant::now();
                    for round in 0.. {
                        let enough = round >= ROUNDS
                            && had.iter().all(Option::is_some)
                            && purged.load(Ordering::Relaxed) > PURGED;
                        if enough || began.elapsed() > LIMIT {
                            break;
                        }
                        for number in 0..OWN {
                            let tag = tags[(round + number) as usize % tags.len()];
                            // One of those that a purge takes away.
                            let gone = flow(&flows, (9 + thread) << 16 | round << 3 | number & 7);
                            flows.remember(&gone, dead);
                            let common = flow(&flows, round % COMMON);
                            if flows.remember(&common, shared) {
                                assert_eq!(flows.find(&common), Some(shared));
                            }
                            let had = &mut had[number as usize];
                            assert_eq!(flows.find(&own(number)), *had);
                            match flows.remember(&own(number), tag) {
                                true => *had = Some(tag),
                                // What is there always has its place.
                                false => assert_eq!(*had, None),
                            }
                            assert_eq!(flows.find(&own(number)), *had);
                        }
                    }
                    had.iter().filter(|had| had.is_some()).count()
                })
            })
            .collect();
        scope.spawn(|| {
            let flows = Flows::new(&cells, KEY);
            start.wait();
            while !done.load(Ordering::Acquire) {
                flows.purge(|_, tag| {
                    purged.fetch_add(usize::from(tag == dead), Ordering::Relaxed);
                    tag != dead
                });
            }
        });
        // Joined before the purging one is told, and told in any case.
        let had: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::Release);
        let had: usize = had.into_iter().map(|had| had.unwrap_or(0)).sum();
        assert_eq!(had, (THREADS * OWN) as usize, "there was room for all");
    });
    assert!(purged.load(Ordering::Relaxed) > PURGED, "{purged:?}");
    // Nothing of it is left behind.
    let flows = Flows::new(&cells, KEY);
    flows.purge(|_, tag| tag != dead);
    let mut left: Vec<u64> = cells.iter().map(Cell::load).collect();
    left.retain(|entry| *entry != 0);
    let distinct: BTreeSet<u64> = left.iter().map(|entry| entry & !0b111).collect();
    assert_eq!(distinct.len(), (THREADS * OWN + COMMON) as usize);
    assert!(
        left.len() <= distinct.len() + COMMON as usize,
        "{} copies",
        left.len()
    );
}
