//! The kernel, the daemon, and what they need beside the network.

use super::*;

#[test]
fn the_module() {
    let loads = [
        "modprobe -a nf_defrag_ipv4 nf_defrag_ipv6",
        "insmod build/kmod/halod.ko",
    ];
    for (installed, mend) in [(true, &["modprobe halod"][..]), (false, &loads[..])] {
        let found = wrong(|it| {
            it.kernel.module = Module::Absent;
            it.kernel.installed = installed;
            it.kernel.options = Some(
                ["CONFIG_MODULES", "CONFIG_RUST", "CONFIG_NF_CONNTRACK"]
                    .map(|it| (it.to_owned(), "y".to_owned()))
                    .into(),
            );
        });
        one(&found, "module", Level::Problem, "not loaded", mend);
    }
    let found = wrong(|it| it.version = "1.3.0".to_owned());
    one(
        &found,
        "module",
        Level::Warning,
        "halod.ko is version 1.2.3, halodctl 1.3.0",
        &[],
    );
    let found = wrong(|it| {
        if let Module::Answers(status) = &mut it.kernel.module {
            status.routes = 0;
        }
    });
    one(&found, "module", Level::Warning, "has no table", &[]);
    let found = wrong(|it| it.kernel.module = Module::Silent("not permitted".into()));
    let silent = found
        .iter()
        .find(|it| it.check == "module")
        .expect("a finding");
    assert_eq!(
        (silent.level, silent.text.as_str()),
        (Level::Unknown, "not permitted")
    );
}

#[test]
fn a_kernel_without_the_module() {
    let found = wrong(|it| {
        it.kernel.module = Module::Absent;
        it.kernel.release = "6.1.0".to_owned();
        it.kernel.signed_only = true;
        it.kernel.options = Some([("CONFIG_MODULES".to_owned(), "y".to_owned())].into());
    });
    let kernel: Vec<_> = found.iter().filter(|it| it.check == "kernel").collect();
    let texts = ["too old", "CONFIG_RUST", "CONFIG_NF_CONNTRACK", "signed"];
    assert_eq!(kernel.len(), texts.len());
    for (found, says) in kernel.iter().zip(texts) {
        assert!(
            found.level == Level::Problem && found.text.contains(says),
            "{found:?}"
        );
        let show = found.show.as_deref().unwrap_or_default();
        let shows = if says == "signed" {
            "sig_enforce"
        } else {
            "apt-cache search"
        };
        assert!(found.mend.is_empty() && show.contains(shows), "{found:?}");
    }
}

#[test]
fn halod() {
    let found = wrong(|it| it.cluster.daemon = Err("no such socket".into()));
    one(
        &found,
        "halod",
        Level::Problem,
        "no such socket",
        &["systemctl start halod"],
    );
    let found = wrong(|it| {
        if let Ok(status) = &mut it.cluster.daemon {
            status.routes_without_node = 24;
        }
    });
    one(
        &found,
        "halod",
        Level::Problem,
        "24 of 24 routes have no node",
        &[],
    );
    let reported = |change: fn(&mut StatusReport)| {
        wrong(|it| change(it.cluster.daemon.as_mut().expect("a status")))
    };
    for (found, says) in [
        (
            reported(|it| it.store_error = Some("No space left on device".into())),
            "the store is not written: No space left on device",
        ),
        (
            reported(|it| {
                it.kernel.state = KernelState::Failed;
                it.kernel.reason = Some("no module".into());
            }),
            "the kernel does not have halod's table: no module",
        ),
    ] {
        one(&found, "halod", Level::Problem, says, &[]);
        assert_eq!(found[0].show.as_deref(), Some("journalctl -u halod -n 20"));
    }
    let found = wrong(|it| it.cluster.config = Err("halod.toml: no such file".into()));
    let levels: Vec<_> = found.iter().map(|it| (it.check, it.level)).collect();
    assert_eq!(
        levels,
        [("halod", Level::Warning), ("registration", Level::Unknown)]
    );
}

#[test]
fn where_nodes_register() {
    let found = wrong(|it| it.sockets = Ok(Vec::new()));
    one(
        &found,
        "registration",
        Level::Problem,
        "192.0.2.1:7600",
        &["systemctl restart halod"],
    );
    let found = wrong(|it| {
        it.network.devices[1].addresses.remove(0);
    });
    assert!(
        found
            .iter()
            .any(|it| it.check == "registration" && it.text.contains("no address of this machine")),
        "{found:#?}"
    );
}

#[test]
fn the_store() {
    let space = |change: fn(&mut Space)| {
        wrong(|it| {
            if let Some(Store {
                space: Ok(space), ..
            }) = &mut it.store
            {
                change(space);
            }
        })
    };
    one(
        &space(|it| it.free_bytes = 1 << 20),
        "store",
        Level::Problem,
        "1 MiB",
        &[],
    );
    one(
        &space(|it| it.free_files = 1),
        "store",
        Level::Problem,
        "1 file left",
        &[],
    );
    one(
        &space(|it| it.read_only = true),
        "store",
        Level::Problem,
        "read-only",
        &[],
    );
    one(
        &space(|it| it.writable = false),
        "store",
        Level::Unknown,
        "only its user or root",
        &[],
    );
    let found = wrong(|it| {
        if let Some(store) = &mut it.store {
            store.space = Err("No such file or directory".into());
        }
    });
    one(
        &found,
        "store",
        Level::Problem,
        "No such file",
        &["mkdir -p /var/lib/halod"],
    );
}

#[test]
fn certificates_and_clock() {
    let renew = ["halodctl pki issue halod --server --address 192.0.2.1 --force --dir /etc/halod"];
    let own = |days: u32| {
        wrong(|it| {
            it.certificates = Some(Ok(Certificates {
                own: certificate(it.now, days),
                ca: certificate(it.now, 3000),
            }));
        })
    };
    one(
        &own(29),
        "certificates",
        Level::Warning,
        "in 29 days",
        &renew,
    );
    assert_eq!(own(31), []);
    let found = wrong(|it| {
        it.certificates = Some(Ok(Certificates {
            own: certificate(it.now - DAY * 10, 9),
            ca: certificate(it.now, 3000),
        }));
    });
    one(
        &found,
        "certificates",
        Level::Problem,
        "has expired",
        &renew,
    );
    for (since, level, says) in [
        (Duration::ZERO, Level::Warning, "the CA expires in 9 days"),
        (DAY * 10, Level::Problem, "the CA has expired"),
    ] {
        let found = wrong(|it| {
            it.certificates = Some(Ok(Certificates {
                own: certificate(it.now, 300),
                ca: certificate(it.now - since, 9),
            }));
        });
        one(&found, "certificates", level, says, &[]);
    }
    let found = wrong(|it| it.certificates = Some(Err("halod.key: no key".into())));
    one(&found, "certificates", Level::Problem, "halod.key", &[]);
    let set = "timedatectl set-ntp true";
    let found = wrong(|it| it.clock.synchronised = Some(false));
    one(
        &found,
        "clock",
        Level::Warning,
        "nothing keeps it right",
        &[set],
    );
    let found = wrong(|it| it.clock.built = Some(it.now + DAY));
    one(
        &found,
        "clock",
        Level::Problem,
        "certificates are judged wrongly",
        &[set],
    );
}
