//! Options and the file: what is wrong is named, with what would be right, and exit code 2.

use std::fs;
use std::process::{Command, Output};

use crate::common::{Agent, Halod};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_halod-node"))
        .args(arguments)
        .output()
        .unwrap()
}

fn refused(arguments: &[&str], says: &[&str]) {
    let output = run(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    for part in says {
        assert!(
            text.contains(part),
            "{arguments:?} gives: {text}\nwhich should say: {part}"
        );
    }
}

#[test]
fn wrong_options() {
    const HALOD: [&str; 2] = ["--halod", "192.0.2.1:7600"];
    const NAME: [&str; 2] = ["--name", "n1"];
    const ADDRESS: [&str; 2] = ["--address", "192.0.2.11"];
    let with = |more: &[&'static str]| [&HALOD, &NAME, &ADDRESS, more].concat();
    for (arguments, says) in [
        (
            [&NAME[..], &ADDRESS].concat(),
            &["no halod; give --halod 192.0.2.1:7600"][..],
        ),
        (
            [&HALOD[..], &ADDRESS].concat(),
            &["no name; give --name n1"],
        ),
        (
            [&HALOD[..], &NAME].concat(),
            &["no address; give --address 192.0.2.11"],
        ),
        (
            [&HALOD[..], &ADDRESS, &["--name", "N 1"]].concat(),
            &["N 1", "1 to 63 characters of a-z"],
        ),
        (
            [&HALOD[..], &NAME, &["--address", "127.0.0.1"]].concat(),
            &["127.0.0.1 is a loopback"],
        ),
        (
            with(&["--address", "192.0.2.12"]),
            &["there are 2 IPv4 and 0 IPv6"],
        ),
        (
            with(&["--address", "n1.example"]),
            &["\"n1.example\" is not an IP address, such as"],
        ),
        (
            [&NAME[..], &ADDRESS, &["--halod", "192.0.2.1"]].concat(),
            &["is not a host and port"],
        ),
        (
            with(&["--watch", "8000"]),
            &["\"8000\" is not an IP address and port"],
        ),
        (
            with(&["--watch-interval", "5"]),
            &["\"5\" is not a time", "such as 200ms"],
        ),
        (
            with(&["--tls-ca", "ca.pem", "--tls-key", "n1.key"]),
            &["there is no tls-certificate; give --tls-certificate FILE too"],
        ),
        (with(&["--tls-name", "halod"]), &["there is no tls-ca;"]),
        (
            with(&["--tls-ca", "a", "--tls-certificate", "b"]),
            &["there is no tls-key;"],
        ),
        (
            with(&["--tls-name", "ha lod"]),
            &["\"ha lod\" is not a DNS name or an IP address"],
        ),
        (with(&["--port", "browsers"]), &["is not LISTENER=PORT"]),
        (
            with(&["--port", "a=1", "--port", "a=2"]),
            &["two ports for listener a"],
        ),
        (
            with(&["--port", "A=1"]),
            &["\"A\" in ports is not a listener's name"],
        ),
        (
            with(&["--log", "loud=very"]),
            &["\"loud=very\" is not a log level"],
        ),
        (
            with(&["--state-dir", "/dev/null/x"]),
            &["state directory /dev/null/x"],
        ),
        (
            with(&["--policy", "kill"]),
            &["\"kill\" is not a policy; those are notify, close and none"],
        ),
        (
            with(&["--spread", "0s"]),
            &["\"0s\" is not a time from 10ms"],
        ),
        (
            with(&["--events", "/dev/null"]),
            &["event socket /dev/null: there is something that is no socket"],
        ),
        (
            with(&["--events", "/no/such/directory/events"]),
            &["event socket /no/such/directory/events: No such file"],
        ),
        (
            with(&["--config", "/no/such/file"]),
            &["/no/such/file: No such file"],
        ),
        (
            with(&["--haldo", "x"]),
            &["unexpected argument '--haldo'", "--halod"],
        ),
    ] {
        refused(&arguments, says);
    }
}

#[test]
fn wrong_files_are_named_with_the_line() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("node.toml");
    let name = file.to_str().unwrap();
    for (text, line, says) in [
        (
            "name = \"n1\"\nhaldo = \"192.0.2.1:7600\"\n",
            2,
            "unknown field `haldo`, expected one of `halod`",
        ),
        (
            "\n\nname = \"N1\"\n",
            3,
            "\"N1\" is not a node's name; names are 1 to 63",
        ),
        ("name = 1\n", 1, "invalid type: integer `1`"),
        (
            "address = [\"192.0.2.11\", \"x\"]\n",
            1,
            "\"x\" is not an IP address, such as 192.0.2.11",
        ),
        ("address = 5\n", 1, "expected an IP address"),
        (
            "# times\nwatch_interval = \"soon\"\n",
            2,
            "\"soon\" is not a time from 10ms to 1h",
        ),
        (
            "[port]\nbrowsers = 0\n",
            1,
            "port of browsers is 0; ports are 1 to 65535",
        ),
        ("[port]\nbrowsers = 70000\n", 2, "70000"),
        ("name = \"n1\"\nname = \"n2\"\n", 2, "duplicate key"),
        ("name = n1\n", 1, "invalid"),
        (
            "policy = \"drop\"\n",
            1,
            "\"drop\" is not a policy; those are notify, close and none",
        ),
        (
            "watch = \"192.0.2.11\"\n",
            1,
            "is not an IP address and port, such as 192.0.2.11:8000",
        ),
    ] {
        fs::write(&file, text).unwrap();
        refused(&["--config", name], &[&format!("{name}:{line}: "), says]);
    }
    fs::write(&file, "name = \"n1\"\naddress = \"192.0.2.11\"\n").unwrap();
    refused(
        &["--config", name],
        &["no halod; give --halod 192.0.2.1:7600, or halod = "],
    );
    fs::write(&file, b"name = \"\xff\"\n").unwrap();
    refused(&["--config", name], &[name, "UTF-8"]);
}

#[test]
fn the_file_is_used_and_the_command_line_wins() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("node.toml");
    let halod = Halod::new();
    let text = format!(
        "halod = \"{}\"\nname = \"from-file\"\naddress = [\"192.0.2.12\", \"2001:db8::12\"]\n\
         port = {{ browsers = 8100 }}\nwatch_interval = \"100ms\"\nhook-timeout = \"5s\"\n",
        halod.address()
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_halod-node"));
    command
        .arg("--config")
        .arg(&file)
        .args(["--name", "from-line"]);
    let _agent = Agent::run(command);
    let (_peer, hello) = halod.hello();
    assert_eq!(hello.name.as_str(), "from-line");
    assert_eq!(hello.addresses.len(), 2);
    assert_eq!(hello.ports.get("browsers"), Some(&8100));
}

/// The file that is shipped as an example can be used as it is.
#[test]
fn the_example_file_is_right() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../packaging/node.toml");
    let scratch = tempfile::tempdir().unwrap();
    let halod = Halod::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_halod-node"));
    command.args(["--config", example, "--halod", &halod.address().to_string()]);
    command.arg("--state-dir").arg(scratch.path());
    let _agent = Agent::run(command);
    let (_peer, hello) = halod.hello();
    assert_eq!(hello.name.as_str(), "n1");
}

#[test]
fn help_names_every_option() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for option in [
        "--config",
        "--halod",
        "--name",
        "--address",
        "--port",
        "--watch",
        "--watch-interval",
        "--watch-timeout",
        "--hook",
        "--hook-timeout",
        "--events",
        "--policy",
        "--spread",
        "--load-command",
        "--load-interval",
        "--leave-timeout",
        "--state-dir",
        "--log",
    ] {
        assert!(text.contains(option), "{option} is not in the help");
    }
}
