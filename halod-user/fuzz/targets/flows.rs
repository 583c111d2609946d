//! The set of flows beside a plain map: what is remembered is found, what is not is not, and only
//! a full set refuses.
#![no_main]

use std::collections::HashMap;

use halod_fuzz::Choices;
use halod_packet::{Address, AtomicCell, CELLS_MIN, Flows, Tag};
use libfuzzer_sys::fuzz_target;

const VIP: Address = Address::V4([198, 51, 100, 1]);

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let cells = AtomicCell::many(usize::from(choices.below(70)));
    let key = (u64::from(choices.number()), u64::from(choices.number()));
    let flows = Flows::new(&cells, key);
    let mut twin: HashMap<(u8, u16), Tag> = HashMap::new();
    while choices.more() {
        let kind = choices.byte();
        let (host, route) = (choices.byte(), choices.below(4));
        let client = Address::V4([203, 0, 113, host]);
        let flow = flows.flow((&client, 40_000), (&VIP, 8_000 + route), route);
        let tag = Tag::ALL[usize::from(kind >> 4) % Tag::ALL.len()];
        match kind & 0xf {
            0..=8 => {
                let known = twin.contains_key(&(host, route));
                if flows.remember(&flow, tag) {
                    twin.insert((host, route), tag);
                } else {
                    assert!(!known, "what is there has no room");
                    // Both of its places are full, where the set has any.
                    let most = if cells.len() < CELLS_MIN {
                        0
                    } else {
                        CELLS_MIN
                    };
                    assert!(twin.len() >= most, "no room among {}", twin.len());
                }
            }
            9..=13 => {}
            _ => {
                // All of one route, or of one tag.
                let live = |at: u16, has: Tag| {
                    if kind & 1 == 0 {
                        at != route
                    } else {
                        has != tag
                    }
                };
                flows.purge(live);
                twin.retain(|(_, at), has| live(*at, *has));
            }
        }
        assert_eq!(flows.find(&flow), twin.get(&(host, route)).copied());
        assert_eq!(flows.used(), twin.len());
    }
    for ((host, route), tag) in &twin {
        let client = Address::V4([203, 0, 113, *host]);
        let flow = flows.flow((&client, 40_000), (&VIP, 8_000 + route), *route);
        assert_eq!(flows.find(&flow), Some(*tag));
    }
});
