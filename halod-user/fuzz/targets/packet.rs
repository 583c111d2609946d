//! A packet at a hook: parsed, decided about, rewritten or translated. The first byte chooses hook,
//! checksum and table; the rest is the packet.
//!
//! Whatever it is, nothing panics; all sums are what they were before, by the book; no byte but
//! addresses, ports and checksums changes; what does not fit is refused and left alone; and an answer
//! to what was sent on comes from where it was sent to.
#![no_main]

use std::sync::LazyLock;

use halod_fuzz::{pseudo, sum, vectors};
use halod_packet::{
    Address, AtomicCell, Concern, Csum, Decision, Draining, Exit, Flows, Hook, Packet, Parsed,
    Side, Table, Translation, WINDOW, concern_v4, concern_v6, decide, decide_error, need,
    ordinary_v4, ordinary_v6, parse_quote_v4, parse_quote_v6, parse_v4, parse_v6, rewrite,
};
use libfuzzer_sys::fuzz_target;

static STILL: LazyLock<Table> = LazyLock::new(|| vectors(false));
static MOVING: LazyLock<Table> = LazyLock::new(|| vectors(true));

/// The kernel lets nothing longer come.
const LONGEST: usize = 65_535;

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else {
        return;
    };
    if bytes.is_empty() || bytes.len() > LONGEST {
        return;
    }
    let hook = [
        Hook::PreRouting,
        Hook::LocalIn,
        Hook::LocalOut,
        Hook::PostRouting,
    ][usize::from(choice & 3)];
    let csum = [Csum::Full, Csum::Partial][usize::from(choice >> 2 & 1)];
    let moving = choice >> 3 & 1 == 1;
    let table: &Table = if moving { &MOVING } else { &STILL };
    let cells = AtomicCell::many(if moving { 64 } else { 0 });
    let draining = Draining {
        flows: moving.then(|| Flows::new(&cells, (1, 2))),
        now: u64::from(choice >> 4) * 100,
    };
    let v4 = bytes[0] >> 4 == 4;
    let len = bytes.len();
    let parsed = parse(bytes, len, v4);
    let decision = match &parsed {
        Parsed::Error(error) => {
            assert!(error.quote() <= len && error.quoted <= len - error.quote());
            let window = &bytes[error.quote()..];
            let window = &window[..window.len().min(WINDOW)];
            let quoted = match v4 {
                true => parse_quote_v4(window, error.quoted),
                false => parse_quote_v6(window, error.quoted),
            };
            decide_error(&(table.view(), draining), hook, error, &quoted)
        }
        parsed => decide(&(table.view(), draining), hook, parsed),
    };
    shortcuts(table, hook, bytes, v4, &parsed, &decision);
    match decision {
        Decision::Exit(_)
        | Decision::Untrack
        | Decision::Learn { .. }
        | Decision::Deliver { .. } => {}
        Decision::Rewrite { side, to, .. } => {
            let Parsed::Packet(packet) = parsed else {
                panic!("{parsed:?} cannot be rewritten");
            };
            rewritten(bytes, &packet, side, to, csum);
            if side == Side::Destination && !moving {
                answered(table, &packet, to);
            }
        }
        Decision::Translate { translation, .. } => translated(bytes, &translation, csum),
    }
});

/// What looks at less comes to the same.
fn shortcuts(
    table: &Table,
    hook: Hook,
    bytes: &[u8],
    v4: bool,
    parsed: &Parsed,
    decision: &Decision,
) {
    let filter = table.filter();
    let (concern, ordinary) = match v4 {
        true => (
            bytes
                .first_chunk()
                .map(|head| concern_v4(filter, hook, head)),
            bytes.first_chunk().and_then(ordinary_v4),
        ),
        false => (
            bytes
                .first_chunk()
                .map(|head| concern_v6(filter, hook, head)),
            bytes.first_chunk().and_then(ordinary_v6),
        ),
    };
    match concern {
        Some(Concern::No) => assert_eq!(*decision, Decision::Exit(Exit::Pass)),
        Some(Concern::Answer) => {
            assert!(matches!(hook, Hook::PreRouting | Hook::LocalOut));
            assert!(matches!(
                decision,
                Decision::Untrack | Decision::Exit(Exit::Pass)
            ));
        }
        Some(Concern::Perhaps) | None => {}
    }
    if let Some(packet) = ordinary {
        assert_eq!(*parsed, Parsed::Packet(packet));
    }
}

fn parse(bytes: &[u8], len: usize, v4: bool) -> Parsed {
    let window = &bytes[..bytes.len().min(WINDOW)];
    match v4 {
        true => parse_v4(window, len),
        false => parse_v6(window, len),
    }
}

/// Where a header's address of a side is, and what of the header is summed.
fn address_at(side: Side, v4: bool) -> std::ops::Range<usize> {
    match (side, v4) {
        (Side::Source, true) => 12..16,
        (Side::Destination, true) => 16..20,
        (Side::Source, false) => 8..24,
        (Side::Destination, false) => 24..40,
    }
}

fn opposite(side: Side) -> Side {
    match side {
        Side::Source => Side::Destination,
        Side::Destination => Side::Source,
    }
}

fn is_v4(address: &Address) -> bool {
    matches!(address, Address::V4(_))
}

fn same(one: u32, other: u32) -> bool {
    one % 0xffff == other % 0xffff
}

/// `before` and `after` are the same but for these places.
fn only(before: &[u8], after: &[u8], changed: &[std::ops::Range<usize>]) {
    for (at, (one, other)) in before.iter().zip(after).enumerate() {
        let may = changed.iter().any(|range| range.contains(&at));
        assert!(may || one == other, "byte {at} changed");
    }
}

fn rewritten(before: &[u8], packet: &Packet, side: Side, to: (Address, u16), csum: Csum) {
    let v4 = is_v4(&packet.src);
    let l4 = usize::from(packet.l4);
    let needed = need(packet);
    let mut short = before[..needed - 1].to_vec();
    assert_eq!(rewrite(&mut short, packet, side, to, csum), None);
    assert_eq!(short, before[..needed - 1], "what is too short was changed");

    let mut after = before.to_vec();
    let delta =
        rewrite(&mut after[..needed], packet, side, to, csum).expect("it holds what was parsed");
    let field = needed - 2..needed;
    let port = match side {
        Side::Source => l4..l4 + 2,
        Side::Destination => l4 + 2..l4 + 4,
    };
    let header = if v4 { 10..12 } else { 0..0 };
    only(
        before,
        &after,
        &[address_at(side, v4), port, field.clone(), header],
    );

    let (mut src, mut dst) = (packet.src, packet.dst);
    match side {
        Side::Source => src = to.0,
        Side::Destination => dst = to.0,
    }
    let Parsed::Packet(now) = parse(&after, after.len(), v4) else {
        panic!("no packet any more");
    };
    assert_eq!((now.src, now.dst), (src, dst));
    let number = packet.protocol.number();
    let transport = before.len() - l4;
    let (old, new) = (
        pseudo(&packet.src, &packet.dst, number, transport),
        pseudo(&src, &dst, number, transport),
    );
    if v4 {
        assert!(
            same(sum(&before[..l4]), sum(&after[..l4])),
            "the IP header's checksum"
        );
    }
    let word = |bytes: &[u8]| {
        u32::from(u16::from_be_bytes([
            bytes[field.start],
            bytes[field.start + 1],
        ]))
    };
    match csum {
        // The field holds the sum of the pseudo-header, and nothing else yet.
        Csum::Partial => assert!(
            same(word(before) + new, word(&after) + old),
            "the partial sum"
        ),
        Csum::Full if number == 17 && word(before) == 0 => assert_eq!(word(&after), 0),
        Csum::Full => {
            let [one, other] = [(before, old), (&after[..], new)]
                .map(|(bytes, pseudo)| sum(&bytes[l4..]) + pseudo);
            assert!(same(one, other), "the transport's checksum");
            assert!(
                number != 17 || word(&after) != 0,
                "a UDP checksum became none"
            );
        }
    }
    if csum == Csum::Full {
        let native = |bytes: &[u8]| u32::from((sum(bytes) as u16).swap_bytes());
        assert!(
            same(delta.apply(native(before)), native(&after)),
            "CHECKSUM_COMPLETE"
        );
    }

    // And back.
    let from = match side {
        Side::Source => (packet.src, packet.sport),
        Side::Destination => (packet.dst, packet.dport),
    };
    assert!(rewrite(&mut after[..needed], &now, side, from, csum).is_some());
    // A checksum has two zeros.
    let checksums = [field.clone(), if v4 { 10..12 } else { 0..0 }];
    only(before, &after, &checksums);
    for field in checksums.into_iter().filter(|field| !field.is_empty()) {
        assert!(
            same(sum(&before[field.clone()]), sum(&after[field])),
            "a checksum after the way back"
        );
    }
}

/// What the node that got the packet answers comes from where the packet was sent.
fn answered(table: &Table, packet: &Packet, node: (Address, u16)) {
    let answer = Packet {
        src: node.0,
        sport: node.1,
        dst: packet.src,
        dport: packet.sport,
        ..*packet
    };
    let idle = Draining::<AtomicCell> {
        flows: None,
        now: 0,
    };
    match decide(
        &(table.view(), idle),
        Hook::PostRouting,
        &Parsed::Packet(answer),
    ) {
        Decision::Rewrite { side, to, exit, .. } => {
            assert_eq!(
                (side, to, exit),
                (Side::Source, (packet.dst, packet.dport), Exit::Reverse)
            );
        }
        other => panic!("an answer is {other:?}"),
    }
}

fn translated(before: &[u8], it: &Translation, csum: Csum) {
    let v4 = is_v4(&it.error.src);
    let (l4, quote, needed) = (usize::from(it.error.l4), it.error.quote(), it.need());
    assert!(needed <= before.len());
    let mut after = before.to_vec();
    it.apply(&mut after[..needed], csum)
        .expect("it holds what was parsed");

    let inner = opposite(it.side);
    let transport = quote + usize::from(it.quoted.l4);
    let shifted = |range: std::ops::Range<usize>| range.start + quote..range.end + quote;
    let quoted_field = match it.quoted.protocol.number() {
        6 => transport + 16..transport + 18,
        _ => transport + 6..transport + 8,
    };
    let header = if v4 { 10..12 } else { 0..0 };
    only(
        before,
        &after,
        &[
            address_at(it.side, v4),
            header.clone(),
            l4 + 2..l4 + 4,
            shifted(address_at(inner, v4)),
            if v4 { shifted(header) } else { 0..0 },
            transport..transport + 4,
            quoted_field,
        ],
    );
    assert_eq!(
        &after[needed..],
        &before[needed..],
        "beyond what was asked for"
    );
    if v4 {
        assert!(
            same(sum(&before[..l4]), sum(&after[..l4])),
            "the IP header's checksum"
        );
        let end = quote + usize::from(it.quoted.l4);
        assert!(
            same(sum(&before[quote..end]), sum(&after[quote..end])),
            "the quoted header's checksum"
        );
    }
    if csum == Csum::Full {
        let whole = |bytes: &[u8]| {
            let addresses = if v4 { 0 } else { sum(&bytes[8..40]) };
            sum(&bytes[l4..]) + addresses
        };
        assert!(same(whole(before), whole(&after)), "the error's checksum");
    }
}
