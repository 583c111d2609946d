//! The kernel and the module.

use crate::facts::{Facts, Module};
use crate::finding::{Findings, Level};

/// What the module needs, and what for.
const OPTIONS: [(&str, &str); 3] = [
    ("CONFIG_MODULES", "no module can be loaded"),
    ("CONFIG_RUST", "halod.ko is written in Rust"),
    (
        "CONFIG_NF_CONNTRACK",
        "fragments are put together by its nf_defrag modules",
    ),
];

/// Shows the kernels that this machine's archives have.
const NEWER: &str = "apt-cache search --names-only '^linux-image-([7-9]|[1-9][0-9])[.]'";

const LOAD: [&str; 2] = [
    "modprobe -a nf_defrag_ipv4 nf_defrag_ipv6",
    "insmod build/kmod/halod.ko",
];

pub(super) fn kernel(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "kernel";
    let kernel = &facts.kernel;
    let release = &kernel.release;
    if matches!(kernel.module, Module::Answers(_)) {
        return findings.ok(CHECK, format!("{release} has taken the module"));
    }
    let major = release
        .split('.')
        .next()
        .and_then(|it| it.parse::<u32>().ok());
    if major.is_some_and(|major| major < 7) {
        let text =
            format!("{release} is too old; Debian's kernels from 7.0 on have what is needed");
        findings.add(CHECK, Level::Problem, text, Vec::new());
        findings.shown_by(NEWER);
    }
    match &kernel.options {
        None => findings.unknown(
            CHECK,
            format!("{release}: its configuration is neither in /boot nor in /lib/modules"),
        ),
        Some(options) => {
            for (name, why) in OPTIONS {
                if !options.contains_key(name) {
                    let text = format!(
                        "{release} was built without {name}: {why}; Debian's kernels from 7.0 on have it"
                    );
                    findings.add(CHECK, Level::Problem, text, Vec::new());
                    findings.shown_by(NEWER);
                }
            }
        }
    }
    if kernel.signed_only {
        let text = "only signed modules can be loaded (Secure Boot, lockdown or module.sig_enforce): \
                    sign halod.ko with a key that this machine trusts (mokutil --import)";
        findings.add(CHECK, Level::Problem, text, Vec::new());
        findings.shown_by(
            "cat /sys/kernel/security/lockdown /sys/module/module/parameters/sig_enforce",
        );
    }
    if findings.clean(CHECK) {
        findings.ok(CHECK, format!("{release} has what the module needs"));
    }
}

pub(super) fn module(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "module";
    match &facts.kernel.module {
        Module::Absent => {
            let mend = if facts.kernel.installed {
                vec!["modprobe halod".to_owned()]
            } else {
                LOAD.map(str::to_owned).to_vec()
            };
            let text = "halod.ko is not loaded: no packet is balanced";
            findings.add(CHECK, Level::Problem, text, mend);
        }
        Module::Silent(why) => findings.unknown(CHECK, why),
        Module::Answers(status) if status.version != facts.version => findings.add(
            CHECK,
            Level::Warning,
            format!(
                "halod.ko is version {}, halodctl {}: load the same, at an hour when all users may \
                 lose their connections",
                status.version, facts.version
            ),
            Vec::new(),
        ),
        Module::Answers(status) if status.routes == 0 => findings.add(
            CHECK,
            Level::Warning,
            format!(
                "halod.ko {} is loaded and has no table: halod gives it one",
                status.version
            ),
            Vec::new(),
        ),
        Module::Answers(status) => findings.ok(
            CHECK,
            format!(
                "halod.ko {}, generation {}",
                status.version, status.generation
            ),
        ),
    }
}
