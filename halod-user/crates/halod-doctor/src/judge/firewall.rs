//! What a firewall on this machine does with HaloD's packets.

use crate::facts::Facts;
use crate::finding::{Findings, Level};
use crate::ruleset::{Chain, Fate, Packet, Ruleset};

const CHECK: &str = "firewall";

/// A kind of packet that must pass, by what is known of it.
struct Kind<'a> {
    hooks: &'a [&'a str],
    packet: Packet<'a>,
    /// What it is.
    what: &'a str,
    /// What a rule asks to let it pass, for nft and for iptables.
    rule: (&'a str, &'a str),
}

pub(super) fn firewall(facts: &Facts, findings: &mut Findings) {
    let firewall = &facts.firewall;
    if !firewall.legacy.is_empty() {
        findings.unknown(
            CHECK,
            format!(
                "rules of the older iptables are not looked at (tables {}): with `iptables-legacy-save` \
                 see that FORWARD accepts --ctstate UNTRACKED",
                firewall.legacy.join(", ")
            ),
        );
    }
    match &firewall.rules {
        Err(why) => findings.unknown(CHECK, format!("the rules could not be looked at: {why}")),
        Ok(rules) => {
            for v4 in [true, false] {
                if facts.cluster.uses(v4) {
                    forwarded(rules, v4, findings);
                    registration(facts, rules, v4, findings);
                }
            }
        }
    }
    if findings.clean(CHECK) {
        let tracking = if firewall.tracking {
            "; HaloD's packets are untracked, so a rule that drops invalid ones leaves them alone"
        } else {
            ""
        };
        findings.ok(CHECK, format!("no rule drops HaloD's packets{tracking}"));
    }
}

fn forwarded(rules: &Ruleset, v4: bool, findings: &mut Findings) {
    let untracked = (
        "ct state untracked accept",
        "-m conntrack --ctstate UNTRACKED -j ACCEPT",
    );
    let packet = |protocols| Packet {
        state: "untracked",
        protocols,
        port: None,
    };
    let errors: &[&str] = if v4 {
        &["icmp", "1"]
    } else {
        &["ipv6-icmp", "icmpv6", "58"]
    };
    let kinds = [
        Kind {
            hooks: &["prerouting", "forward", "postrouting"],
            packet: packet(&["tcp", "udp", "6", "17"]),
            what: "what HaloD forwards",
            rule: untracked,
        },
        Kind {
            hooks: &["output"],
            packet: packet(errors),
            what: "this machine's own ICMP errors, without which path MTU discovery fails",
            rule: untracked,
        },
    ];
    for kind in &kinds {
        pass(rules, v4, kind, findings);
    }
}

/// Nodes reach halod.
fn registration(facts: &Facts, rules: &Ruleset, v4: bool, findings: &mut Findings) {
    let Ok(config) = &facts.cluster.config else {
        return;
    };
    for at in config.nodes.listen.iter().filter(|at| at.is_ipv4() == v4) {
        let port = at.port();
        let kind = Kind {
            hooks: &["input"],
            packet: Packet {
                state: "new",
                protocols: &["tcp", "6"],
                port: Some(port),
            },
            what: "nodes' connections to halod",
            rule: (
                &format!("tcp dport {port} accept"),
                &format!("-p tcp --dport {port} -j ACCEPT"),
            ),
        };
        pass(rules, v4, &kind, findings);
    }
}

fn pass(rules: &Ruleset, v4: bool, kind: &Kind<'_>, findings: &mut Findings) {
    for hook in kind.hooks {
        for chain in rules.at(hook, v4) {
            let level = match rules.fate(chain, kind.packet) {
                Fate { drops: false, .. } => continue,
                Fate { passes: false, .. } => Level::Problem,
                Fate { .. } => Level::Unknown,
            };
            let name = format!("{} {} {}", chain.family, chain.table, chain.name);
            let (text, mend) = if level == Level::Problem {
                let text = format!("chain {name} drops {}", kind.what);
                (text, vec![command(chain, v4, kind)])
            } else {
                let text = format!(
                    "chain {name} drops some packets, and whether also {} depends on what is not known \
                     here (addresses, devices, sets)",
                    kind.what
                );
                (text, Vec::new())
            };
            let there = findings
                .0
                .iter()
                .any(|it| it.check == CHECK && it.text == text);
            if !there {
                findings.add(CHECK, level, text, mend);
            }
        }
    }
}

/// Before all other rules. Chains of iptables' names are iptables' own, which nft had better leave alone.
fn command(chain: &Chain, v4: bool, kind: &Kind<'_>) -> String {
    let Chain {
        family,
        table,
        name,
        ..
    } = chain;
    let (nft, iptables) = kind.rule;
    let its_own = family != "inet" && name.chars().all(|letter| letter.is_ascii_uppercase());
    if its_own {
        let program = if v4 { "iptables" } else { "ip6tables" };
        let table = if table == "filter" {
            String::new()
        } else {
            format!(" -t {table}")
        };
        return format!("{program}{table} -I {name} {iptables}");
    }
    format!("nft insert rule {family} {table} {name} {nft}")
}
