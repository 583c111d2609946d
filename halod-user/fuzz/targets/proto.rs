//! The node protocol: bytes in pieces into lines, lines into messages of either direction, and back.
#![no_main]

use halod_proto::{FromHalod, LineCodec, LineError, MAX_HELLO, ToHalod};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first byte says how large the pieces are in which the rest comes.
    let Some((&size, bytes)) = data.split_first() else {
        return;
    };
    let mut codec = LineCodec::new(MAX_HELLO);
    let mut lines = Vec::new();
    'stream: for piece in bytes.chunks(usize::from(size).max(1)) {
        codec.feed(piece);
        loop {
            match codec.next_line() {
                Ok(Some(line)) => lines.push(line.to_owned()),
                Ok(None) => break,
                Err(LineError::Oversized { .. }) => break 'stream,
                Err(_) => {}
            }
        }
        assert!(codec.pending() <= MAX_HELLO + piece.len());
    }
    for line in lines {
        assert!(line.len() <= MAX_HELLO && !line.contains('\n'));
        if let Ok(message) = ToHalod::parse(&line) {
            let again = message.to_line();
            assert!(again.ends_with('\n') && again.matches('\n').count() == 1);
            assert_eq!(
                ToHalod::parse(&again).ok().as_ref(),
                Some(&message),
                "from {line:?}"
            );
        }
        if let Ok(message) = FromHalod::parse(&line) {
            let again = message.to_line();
            assert!(again.ends_with('\n') && again.matches('\n').count() == 1);
            assert_eq!(
                FromHalod::parse(&again).ok().as_ref(),
                Some(&message),
                "from {line:?}"
            );
        }
    }
});
