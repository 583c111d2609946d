//! The kernel and the module.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use halod_netlink::{Client, Error, Table};

use crate::facts::{Kernel, Module};

/// The module, its table, and its counters, as far as it tells them.
pub(super) async fn module() -> (Module, Option<Table>, BTreeMap<String, u64>) {
    let mut client = match Client::connect() {
        Ok(client) => client,
        Err(error) => return (silent(&error), None, BTreeMap::new()),
    };
    let module = match client.status().await {
        Ok(status) => Module::Answers(status),
        Err(error) => silent(&error),
    };
    let table = client.table().await.ok();
    let counters = client.counters().await.unwrap_or_default();
    (module, table, counters.into_iter().collect())
}

fn silent(error: &Error) -> Module {
    match error {
        Error::NoModule => Module::Absent,
        error => Module::Silent(error.to_string()),
    }
}

pub(super) fn look(module: Module, counters: BTreeMap<String, u64>) -> Kernel {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease").trim().to_owned();
    let modules = Path::new("/lib/modules").join(&release);
    let configs = [
        Path::new("/boot").join(format!("config-{release}")),
        modules.join("config"),
        modules.join("build/.config"),
    ];
    let options = configs
        .iter()
        .find_map(|path| fs::read_to_string(path).ok());
    // A lockdown of either kind keeps unsigned modules out: man 7 kernel_lockdown.
    let lockdown = read("/sys/kernel/security/lockdown");
    let locked = ["[integrity]", "[confidentiality]"]
        .iter()
        .any(|it| lockdown.contains(it));
    let enforced = read("/sys/module/module/parameters/sig_enforce");
    let dependencies = fs::read_to_string(modules.join("modules.dep")).unwrap_or_default();
    Kernel {
        options: options.map(|text| parse(&text)),
        signed_only: locked || enforced.trim() == "Y",
        installed: dependencies.lines().any(|line| {
            line.split(':')
                .next()
                .is_some_and(|path| path.contains("/halod.ko"))
        }),
        release,
        module,
        counters,
    }
}

/// `CONFIG_X=y`, one a line.
fn parse(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
