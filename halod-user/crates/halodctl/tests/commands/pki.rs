//! Certificates: what is made works at both ends, and nothing is ever lost.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::common::{code, ctl, stderr, stdout};
use halod_tls::{Certificate, Files};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};
use serde_json::Value;

fn pki(dir: &Path, arguments: &[&str]) -> std::process::Output {
    let dir = dir.to_str().expect("a path");
    ctl(&[&["pki"], arguments, &["--dir", dir]].concat())
}

fn done(dir: &Path, arguments: &[&str]) -> String {
    let output = pki(dir, arguments);
    assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

#[track_caller]
fn refused(dir: &Path, arguments: &[&str], says: &[&str]) {
    let output = pki(dir, arguments);
    let text = stderr(&output);
    assert_ne!(code(&output), 0, "{arguments:?}");
    for part in says {
        assert!(text.contains(part), "{text}\nshould say: {part}");
    }
}

fn files(dir: &Path, name: &str) -> Files {
    Files {
        ca: dir.join("ca.pem"),
        certificate: dir.join(format!("{name}.pem")),
        key: dir.join(format!("{name}.key")),
    }
}

/// Whether both ends are content with each other, without a network between.
fn shake(dir: &Path, server: &str, client: &str, as_name: &str) -> Result<(), rustls::Error> {
    let server = files(dir, server).load().and_then(halod_tls::server);
    let client = files(dir, client).load().and_then(halod_tls::client);
    let name = ServerName::try_from(as_name.to_owned()).expect("a name");
    let mut server = ServerConnection::new(Arc::new(server.expect("a server")))?;
    let mut client = ClientConnection::new(Arc::new(client.expect("a client")), name)?;
    for _ in 0..4 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("written");
        }
        server.read_tls(&mut &bytes[..]).expect("read");
        server.process_new_packets()?;
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).expect("written");
        }
        client.read_tls(&mut &bytes[..]).expect("read");
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

#[test]
fn a_cluster_in_three_commands() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    assert!(done(dir, &["init"]).contains("ca.pem is the CA"));
    done(
        dir,
        &[
            "issue",
            "halod",
            "--server",
            "--address",
            "192.0.2.1",
            "--address",
            "2001:db8::1",
        ],
    );
    done(dir, &["issue", "n1"]);
    for name in ["halod", "192.0.2.1", "2001:db8::1"] {
        assert_eq!(shake(dir, "halod", "n1", name), Ok(()), "{name}");
    }
    assert!(shake(dir, "halod", "n1", "192.0.2.2").is_err());
    // A node cannot be taken for halod, nor halod for a node.
    assert!(shake(dir, "n1", "n1", "n1").is_err());
    assert!(shake(dir, "halod", "halod", "halod").is_err());
    // Keys are their owner's alone.
    for (file, mode) in [
        ("ca.key", 0o600),
        ("halod.key", 0o600),
        ("n1.key", 0o600),
        ("n1.pem", 0o644),
    ] {
        let found = fs::metadata(dir.join(file))
            .expect(file)
            .permissions()
            .mode()
            & 0o777;
        assert_eq!(found & !mode, 0, "{file}: {found:o}");
    }
}

#[test]
fn certificates_are_for_what_was_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    done(dir, &["init"]);
    let text = done(dir, &["--json", "issue", "n1.example.net", "--days", "30"]);
    let made: Value = serde_json::from_str(&text).expect("JSON");
    let path = made["certificate"].as_str().expect("a path");
    assert!(path.ends_with("n1.example.net.pem"), "{path}");
    let certificate = Certificate::from_pem(&fs::read(path).expect("a file")).expect("one");
    assert_eq!(certificate.names, ["n1.example.net"]);
    assert_eq!(certificate.days_left(SystemTime::now()), Some(29));
    // A name that could be an address is a name all the same.
    done(dir, &["issue", "10.1"]);
    let text = fs::read(dir.join("10.1.pem")).expect("a file");
    assert_eq!(Certificate::from_pem(&text).expect("one").names, ["10.1"]);
    assert!("10.1.1.1".parse::<IpAddr>().is_ok());
}

#[test]
fn nothing_is_overwritten_unasked() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    done(dir, &["init"]);
    done(dir, &["issue", "n1"]);
    let before = [fs::read(dir.join("ca.key")), fs::read(dir.join("n1.key"))].map(Result::ok);
    refused(dir, &["init"], &["ca.pem is there already; --force"]);
    refused(dir, &["issue", "n1"], &["n1.pem is there already; --force"]);
    // "ca" is a good name for a node, and still not one for its certificate.
    refused(dir, &["issue", "ca"], &["ca.pem is there already"]);
    let after = [fs::read(dir.join("ca.key")), fs::read(dir.join("n1.key"))].map(Result::ok);
    assert_eq!(before, after);
    done(dir, &["issue", "n1", "--force"]);
    assert_ne!(fs::read(dir.join("n1.key")).ok(), before[1]);
    let left = fs::read_dir(dir).expect("a directory").count();
    assert_eq!(left, 4, "nothing but the files");
}

#[test]
fn what_is_wrong_is_named_with_its_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path();
    let remedy = "halodctl pki init";
    refused(dir, &["issue", "n1"], &["ca.key", "No such file", remedy]);
    done(dir, &["init"]);
    refused(dir, &["issue", "N 1"], &["N 1", "1 to 63 characters"]);
    refused(dir, &["issue", "n1", "--days", "3651"], &["3651"]);
    refused(
        dir,
        &["issue", "n1", "--days", "3650"],
        &["good for 3649 days", "--days"],
    );
    refused(dir, &["issue", "n1", "--address", "n1"], &["--address"]);
    refused(&dir.join("nosuch"), &["init"], &["nosuch/ca.key", "--dir"]);
    fs::write(dir.join("ca.key"), "broken").expect("written");
    refused(
        dir,
        &["issue", "n1"],
        &["ca.key is not that of a CA", remedy],
    );
}
