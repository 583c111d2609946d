//! A network namespace for a test: real sockets, and addresses that the protocol takes.

use std::env;
use std::process::Command;

/// Set within the namespace.
const INSIDE: &str = "HALOD_TEST_NAMESPACE";

/// Runs a test of this program again in a network namespace that has the node's address, 192.0.2.11, and a
/// user's, 203.0.113.9, and gives true there. Outside it gives false once the test has passed.
pub fn enter(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let script = "ip link set lo up && ip address add 192.0.2.11/32 dev lo \
                  && ip address add 203.0.113.9/32 dev lo && exec \"$0\" \"$@\"";
    let status = Command::new("unshare")
        .args(["--net", "--", "sh", "-c", script])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its network namespace");
    false
}
