//! Datagrams of the kernel family as the client reads them: never a panic, and a table that was read
//! is written so that it is read the same.
//!
//! (The kernel's own reading, kmod/netlink/parse.rs, is made of the kernel's types and cannot be
//! compiled here; what it hands on is the target `table`'s. The scenarios send requests to the module.)
#![no_main]

use halod_netlink::fuzz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    fuzz::datagram(data);
    if let Ok(table) = fuzz::table(&[data]) {
        let parts = fuzz::messages(&table).expect("what was read can be written");
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert_eq!(fuzz::table(&parts), Ok(table));
    }
});
