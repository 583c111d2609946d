//! The rules of nftables, and whether there are others.

use std::fs;
use std::path::Path;

use crate::facts::Firewall;
use crate::ruleset::Ruleset;

use super::printed;

pub(super) async fn look() -> Firewall {
    let rules = printed("nft", &["-j", "list", "ruleset"]).await;
    let legacy = ["ip_tables_names", "ip6_tables_names"].map(|file| {
        let text = fs::read_to_string(Path::new("/proc/net").join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    Firewall {
        rules: rules.and_then(|text| Ruleset::parse(&text)),
        legacy: legacy.concat(),
        tracking: Path::new("/sys/module/nf_conntrack").exists(),
    }
}
