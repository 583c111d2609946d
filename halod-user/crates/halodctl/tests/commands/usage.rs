//! The command line, and what needs no daemon.

use crate::common::{code, ctl, module_is_loaded, stderr, stdout};

#[test]
fn the_help_names_commands_and_exit_codes() {
    let output = ctl(&["--help"]);
    assert_eq!(code(&output), 0);
    let text = stdout(&output);
    for word in [
        "status",
        "routes",
        "nodes",
        "listeners",
        "plan",
        "scaling",
        "watch",
        "node",
        "kernel",
    ] {
        assert!(text.contains(&format!("\n  {word} ")), "{word} in {text}");
    }
    assert!(text.contains("4  the kernel module is not there"), "{text}");
}

#[test]
fn wrong_command_lines_are_code_2() {
    for arguments in [
        &["no-such-command"][..],
        &["node", "activate"],
        &["node", "drain"],
        &["node", "promote", "n1"],
        &["routes", "--map", "sometimes"],
        &["status", "--timeout", "soon"],
        &["--color", "pink", "status"],
        &["kernel"],
        &[],
    ] {
        let output = ctl(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn no_daemon_is_code_3() {
    let path = "/nonexistent/halod/control.sock";
    let output = ctl(&["--socket", path, "status"]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains(path), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");

    let output = ctl(&["plan", "--socket", path, "--json"]);
    assert_eq!(code(&output), 3);
    let failure: serde_json::Value = serde_json::from_str(&stderr(&output)).expect("JSON");
    assert_eq!(failure["exit"], 3);
    assert!(
        failure["error"]
            .as_str()
            .is_some_and(|text| text.contains(path))
    );
}

#[test]
fn no_module_is_code_4() {
    for arguments in [
        &["kernel", "show"][..],
        &["kernel", "counters"],
        &["kernel", "flush", "--yes"],
    ] {
        if module_is_loaded() && arguments.contains(&"flush") {
            // Not the table of the machine that runs this.
            continue;
        }
        let output = ctl(arguments);
        if module_is_loaded() {
            assert!([0, 5].contains(&code(&output)), "{}", stderr(&output));
        } else {
            assert_eq!(code(&output), 4, "{}", stderr(&output));
            assert!(
                stderr(&output).contains("modprobe halod"),
                "{}",
                stderr(&output)
            );
        }
    }
}

#[test]
fn flush_is_not_done_unasked() {
    let output = ctl(&["kernel", "flush"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
}

#[test]
fn completions_are_a_script() {
    let output = ctl(&["completions", "bash"]);
    assert_eq!(code(&output), 0);
    assert!(
        stdout(&output).contains("complete -F _halodctl"),
        "{}",
        stdout(&output)
    );
}
