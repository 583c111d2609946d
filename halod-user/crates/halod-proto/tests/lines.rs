//! The line codec: the same lines however the bytes arrive, and never more than the bound.

use halod_proto::{LineCodec, LineError};
use proptest::collection::vec;
use proptest::prelude::*;

/// What a codec makes of one stream that arrives in these parts.
fn lines(max: usize, parts: &[&[u8]]) -> (Vec<Result<String, LineError>>, usize) {
    let mut codec = LineCodec::new(max);
    let mut out = Vec::new();
    for part in parts {
        codec.feed(part);
        loop {
            match codec.next_line() {
                Ok(Some(line)) => out.push(Ok(line.to_owned())),
                Ok(None) => break,
                Err(error @ LineError::Oversized { .. }) => {
                    // Said again and again, and nothing else comes.
                    assert!(matches!(
                        codec.next_line(),
                        Err(LineError::Oversized { .. })
                    ));
                    out.push(Err(error));
                    return (out, 0);
                }
                Err(error) => out.push(Err(error)),
            }
        }
        assert!(codec.pending() <= max);
    }
    (out, codec.pending())
}

/// An error's text may quote as much as had come; its kind may not differ.
fn kinds(all: &[Result<String, LineError>]) -> Vec<Result<String, (bool, usize)>> {
    all.iter()
        .map(|one| match one {
            Ok(line) => Ok(line.clone()),
            Err(LineError::Oversized { max, .. }) => Err((true, *max)),
            Err(LineError::NotUtf8 { at, .. }) => Err((false, *at)),
        })
        .collect()
}

/// Bytes with enough line ends in them to be lines.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(
        prop_oneof![4 => any::<u8>(), 4 => b' '..=b'~', 1 => Just(b'\n')],
        0..400,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_split_gives_the_same_lines(
        bytes in stream(),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
        max in 0usize..80,
    ) {
        let whole = lines(max, &[&bytes]);
        let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let mut from = 0;
        let mut parts: Vec<&[u8]> = Vec::new();
        for cut in cuts {
            parts.push(&bytes[from..cut]);
            from = cut;
        }
        let split = lines(max, &parts);
        prop_assert_eq!(kinds(&split.0), kinds(&whole.0));
        prop_assert_eq!(split.1, whole.1);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let single = lines(max, &single);
        prop_assert_eq!(kinds(&single.0), kinds(&whole.0));
        prop_assert_eq!(single.1, whole.1);
    }

    /// Against the obvious: split the whole stream at each `\n`.
    #[test]
    fn lines_are_what_stands_between_line_ends(bytes in stream(), max in 0usize..80) {
        let (got, pending) = lines(max, &[&bytes]);
        let mut pieces: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
        let rest = pieces.pop().unwrap_or_default();
        let mut expected = Vec::new();
        let mut oversized = false;
        for piece in pieces.iter().chain([&rest]) {
            if piece.len() > max {
                expected.push(Err((true, max)));
                oversized = true;
                break;
            }
            expected.push(match std::str::from_utf8(piece) {
                Ok(text) => Ok(text.to_owned()),
                Err(error) => Err((false, error.valid_up_to())),
            });
        }
        if !oversized {
            expected.pop(); // the rest is no line yet
            prop_assert_eq!(pending, rest.len());
        }
        prop_assert_eq!(kinds(&got), expected);
    }

    #[test]
    fn errors_are_short_and_printable(bytes in vec(any::<u8>(), 0..2000), max in 0usize..100) {
        for error in lines(max, &[&bytes]).0.into_iter().filter_map(Result::err) {
            let text = error.to_string();
            prop_assert!(text.len() < 2000 && !text.chars().any(char::is_control), "{text:?}");
        }
    }
}

/// A stream without any line end is given up as soon as it passes the bound.
#[test]
fn an_endless_line_is_bounded() {
    let mut codec = LineCodec::new(1000);
    let mut fed = 0;
    let error = loop {
        codec.feed(&[b'x'; 100]);
        fed += 100;
        match codec.next_line() {
            Ok(line) => assert_eq!(line, None),
            Err(error) => break error,
        }
    };
    assert_eq!(fed, 1100);
    assert!(
        error
            .to_string()
            .starts_with("line is longer than 1000 bytes; it begins \"xxxx")
    );
}

/// A hello's bound is small; the lines after it may be longer.
#[test]
fn the_bound_can_change_between_lines() {
    let mut codec = LineCodec::new(5);
    codec.feed(b"hello\nsomething longer\n");
    assert_eq!(codec.next_line(), Ok(Some("hello")));
    codec.set_max(100);
    assert_eq!(codec.next_line(), Ok(Some("something longer")));
    assert_eq!(codec.next_line(), Ok(None));
}
