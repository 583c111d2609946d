//! From facts to findings: pure, one file a group of checks.

mod daemon;
mod firewall;
mod kernel;
mod links;
mod nodes;
mod routing;
mod vip;

#[cfg(test)]
mod tests;

use crate::facts::Facts;
use crate::finding::{Finding, Findings};

/// Every check's findings, in the order in which they are best mended.
#[must_use]
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings::default();
    kernel::kernel(facts, &mut findings);
    kernel::module(facts, &mut findings);
    daemon::daemon(facts, &mut findings);
    vip::vip(facts, &mut findings);
    vip::ports(facts, &mut findings);
    routing::forwarding(facts, &mut findings);
    routing::rp_filter(facts, &mut findings);
    routing::accept_ra(facts, &mut findings);
    routing::redirects(facts, &mut findings);
    nodes::routes(facts, &mut findings);
    nodes::neighbours(facts, &mut findings);
    nodes::answers(facts, &mut findings);
    links::mtu(facts, &mut findings);
    links::bridge(facts, &mut findings);
    firewall::firewall(facts, &mut findings);
    daemon::registration(facts, &mut findings);
    daemon::store(facts, &mut findings);
    daemon::certificates(facts, &mut findings);
    daemon::clock(facts, &mut findings);
    findings.0
}

/// `1 node`, `2 nodes`.
fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
