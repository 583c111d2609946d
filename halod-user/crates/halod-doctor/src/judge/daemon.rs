//! The daemon, and what it needs beside the network.

use std::time::{Duration, SystemTime};

use halod_control::KernelState;
use halod_netlink::Protocol;
use halod_tls::{Certificate, SOON};

use crate::facts::Facts;
use crate::finding::{Findings, Level};

use super::counted;

/// A store's file is some hundred KiB; its journal may be as large again.
const LEAST_SPACE: u64 = 64 << 20;
const LEAST_FILES: u64 = 16;

pub(super) fn daemon(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "halod";
    if let Err(error) = &facts.cluster.config {
        let error = error.trim_end().replace('\n', "; ");
        let text = format!(
            "the configuration cannot be used, and what depends on it is not checked: {error}"
        );
        findings.add(CHECK, Level::Warning, text, Vec::new());
        findings.shown_by(checked(facts));
    }
    let status = match &facts.cluster.daemon {
        Ok(status) => status,
        Err(error) => {
            let text = format!(
                "halod does not run, or cannot be asked: {error}. The kernel goes on with its table; \
                 nodes are checked as far as that has them"
            );
            return findings.add(
                CHECK,
                Level::Problem,
                text,
                vec!["systemctl start halod".into()],
            );
        }
    };
    if status.kernel.state != KernelState::InStep {
        let why = status
            .kernel
            .reason
            .as_deref()
            .unwrap_or("no reason is known");
        let text = format!("the kernel does not have halod's table: {why}");
        findings.add(CHECK, Level::Problem, text, Vec::new());
        findings.shown_by("journalctl -u halod -n 20");
    }
    if let Some(error) = &status.store_error {
        let text = format!("the store is not written: {error}");
        findings.add(CHECK, Level::Problem, text, Vec::new());
        findings.shown_by("journalctl -u halod -n 20");
    }
    if status.routes_without_node > 0 {
        let text = format!(
            "{} of {} routes have no node, and drop their packets",
            status.routes_without_node, status.routes
        );
        findings.add(CHECK, Level::Problem, text, Vec::new());
        findings.shown_by("halodctl nodes");
    }
    if findings.clean(CHECK) {
        let nodes = counted(status.active as usize, "active node");
        let text = format!(
            "halod {}, {} on {nodes}",
            status.version,
            counted(status.routes as usize, "route")
        );
        findings.ok(CHECK, text);
    }
}

/// The command that says what is wrong with the configuration.
fn checked(facts: &Facts) -> String {
    let path = facts.cluster.path.display();
    format!("halod --check-config --config {path}")
}

/// The port where nodes register.
pub(super) fn registration(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "registration";
    let (Ok(config), Ok(sockets)) = (&facts.cluster.config, &facts.sockets) else {
        return findings.unknown(CHECK, "where nodes register is in the configuration");
    };
    let own = |ip| {
        let devices = facts.network.devices.iter();
        let mut nets = devices.flat_map(|device| &device.addresses);
        nets.any(|net| net.addr() == ip)
    };
    for at in &config.nodes.listen {
        if !at.ip().is_unspecified() && !own(at.ip()) {
            let text =
                format!("nodes are to register at {at}, which is no address of this machine");
            findings.add(CHECK, Level::Problem, text, Vec::new());
            findings.shown_by("ip -brief address");
            continue;
        }
        let there = sockets.iter().any(|socket| {
            socket.protocol == Protocol::Tcp && socket.listens && socket.local == *at
        });
        if facts.cluster.daemon.is_ok() && !there {
            let text = format!("nobody listens at {at}, where nodes are to register");
            findings.add(
                CHECK,
                Level::Problem,
                text,
                vec!["systemctl restart halod".into()],
            );
        }
    }
    if findings.clean(CHECK) {
        let text = match &facts.cluster.daemon {
            Ok(status) => format!("{} connected", counted(status.connections as usize, "node")),
            Err(_) => "the addresses where nodes register are this machine's".to_owned(),
        };
        findings.ok(CHECK, text);
    }
}

pub(super) fn store(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "store";
    let Some(store) = &facts.store else {
        return findings.unknown(
            CHECK,
            "neither halod nor its configuration says where it is",
        );
    };
    let directory = store.directory.display();
    let space = match &store.space {
        Ok(space) => space,
        Err(error) => {
            let text = format!("{directory}: {error}");
            let mend = vec![format!("mkdir -p {directory}")];
            return findings.add(CHECK, Level::Problem, text, mend);
        }
    };
    if space.read_only {
        let text = format!(
            "{directory} is mounted read-only: where an error of its file system is the reason \
             (`dmesg` tells), repair that before you remount it"
        );
        findings.add(CHECK, Level::Problem, text, Vec::new());
        findings.shown_by(format!("findmnt -T {directory}"));
    } else if !space.writable {
        findings.unknown(
            CHECK,
            format!("{directory}: whether halod may write there only its user or root can tell"),
        );
    }
    if space.free_bytes < LEAST_SPACE || space.free_files < LEAST_FILES {
        let text = format!(
            "{directory} has {} MiB and {} left; at least {} MiB are needed to be safe",
            space.free_bytes >> 20,
            counted(
                usize::try_from(space.free_files).unwrap_or(usize::MAX),
                "file"
            ),
            LEAST_SPACE >> 20
        );
        findings.add(CHECK, Level::Problem, text, Vec::new());
        findings.shown_by(format!("df -h {directory}; df -i {directory}"));
    }
    if findings.clean(CHECK) {
        findings.ok(
            CHECK,
            format!("{directory} has {} MiB left", space.free_bytes >> 20),
        );
    }
}

pub(super) fn certificates(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "certificates";
    let (Some(found), Ok(config)) = (&facts.certificates, &facts.cluster.config) else {
        return;
    };
    let Some(files) = &config.nodes.tls else {
        return;
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            findings.add(CHECK, Level::Problem, error, Vec::new());
            return findings.shown_by(checked(facts));
        }
    };
    let name = found.own.names.first().map_or("halod", String::as_str);
    let directory = files
        .certificate
        .parent()
        .unwrap_or(std::path::Path::new("."));
    let addresses: String = config
        .nodes
        .listen
        .iter()
        .filter(|at| !at.ip().is_unspecified())
        .map(|at| format!(" --address {}", at.ip()))
        .collect();
    let renew = format!(
        "halodctl pki issue {name} --server{addresses} --force --dir {}",
        directory.display()
    );
    expiry(
        facts,
        findings,
        "halod's certificate",
        &found.own,
        vec![renew],
    );
    expiry(facts, findings, "the CA", &found.ca, Vec::new());
    if findings.clean(CHECK) {
        let until = |it: &Certificate| humantime::format_rfc3339_seconds(it.expires).to_string();
        let text = format!(
            "halod's is good until {}, the CA's until {}",
            until(&found.own),
            until(&found.ca)
        );
        findings.ok(CHECK, text);
    }
}

fn expiry(
    facts: &Facts,
    findings: &mut Findings,
    whose: &str,
    it: &Certificate,
    mend: Vec<String>,
) {
    let until = humantime::format_rfc3339_seconds(it.expires);
    let (level, text) = match it.days_left(facts.now) {
        None => (
            Level::Problem,
            format!("{whose} has expired, on {until}: nodes are turned away"),
        ),
        Some(days) if days < SOON => (
            Level::Warning,
            format!(
                "{whose} expires in {}, on {until}",
                counted(days as usize, "day")
            ),
        ),
        Some(_) => return,
    };
    findings.add("certificates", level, text, mend);
}

/// Certificates and logs go by it; heartbeats and drains do not.
pub(super) fn clock(facts: &Facts, findings: &mut Findings) {
    const CHECK: &str = "clock";
    /// A file system's clock may be a little ahead.
    const SLACK: Duration = Duration::from_secs(60);
    let written = facts.store.as_ref().and_then(|store| store.written);
    let known = [facts.clock.built, written].into_iter().flatten().max();
    if let Some(known) = known.filter(|known| facts.now + SLACK < *known) {
        let said = |time: SystemTime| humantime::format_rfc3339_seconds(time);
        let text = format!(
            "it says {}, but HaloD's files were written at {}: certificates are judged wrongly",
            said(facts.now),
            said(known)
        );
        findings.add(
            CHECK,
            Level::Problem,
            text,
            vec!["timedatectl set-ntp true".into()],
        );
    }
    match facts.clock.synchronised {
        Some(true) if findings.clean(CHECK) => findings.ok(CHECK, "it is kept right by others"),
        Some(true) => {}
        Some(false) => findings.add(
            CHECK,
            Level::Warning,
            "nothing keeps it right: certificates' times and logs of several machines will not fit",
            vec!["timedatectl set-ntp true".into()],
        ),
        None => findings.unknown(
            CHECK,
            "neither timedatectl nor chronyc tells whether it is kept right",
        ),
    }
}
