//! Whatever is wrong with the files is named, with what would be right.

mod common;

use std::fs;
use std::time::{Duration, SystemTime};

use common::{Ca, SERVER, node};
use halod_tls::{Certificate, Files};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn files(ca: &Ca) -> Files {
    ca.issue("halod", &SERVER)
}

fn error(files: &Files) -> String {
    let server = files.load().and_then(halod_tls::server);
    server.expect_err("an error").to_string()
}

#[test]
fn good_files_serve_both_ends() {
    let ca = Ca::new();
    let server = files(&ca).load().and_then(halod_tls::server);
    server.unwrap_or_else(|e| panic!("{e}"));
    let client = ca.issue("n1", &node(&["n1"])).load();
    client
        .and_then(halod_tls::client)
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn what_is_not_there_is_named() {
    let ca = Ca::new();
    for file in ["ca.pem", "halod.pem", "halod.key"] {
        let files = files(&ca);
        fs::remove_file(ca.dir().join(file)).expect("removed");
        let error = error(&files);
        let says = [file, "No such file", "halodctl pki"];
        assert!(says.iter().all(|s| error.contains(s)), "{error}");
    }
}

#[test]
fn other_contents_are_named() {
    let ca = Ca::new();
    let cases = [
        ("ca.pem", "hello", "ca.pem holds no certificate"),
        ("halod.pem", "", "-----BEGIN CERTIFICATE-----"),
        ("halod.key", "", "halod.key holds no private key"),
        (
            "halod.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "halod.pem cannot be used",
        ),
        (
            "halod.key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "halod.key cannot be used",
        ),
        (
            "ca.pem",
            "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
            "ca.pem cannot be used",
        ),
    ];
    for (file, text, says) in cases {
        let files = files(&ca);
        fs::write(ca.dir().join(file), text).expect("written");
        let error = error(&files);
        assert!(error.contains(says), "{error}\nshould say: {says}");
    }
}

#[test]
fn the_key_of_another_certificate_is_named() {
    let ca = Ca::new();
    let mut files = files(&ca);
    files.key = ca.issue("other", &SERVER).key;
    let error = error(&files);
    let says = ["other.key", "halod.pem", "not that of the certificate"];
    assert!(says.iter().all(|s| error.contains(s)), "{error}");
}

#[test]
fn certificates_say_names_and_days() {
    let ca = Ca::new();
    let leaf = common::Leaf {
        to: 10,
        ..node(&["n1", "n1.example"])
    };
    let credentials = ca.issue("n1", &leaf).load().expect("credentials");
    let certificate = credentials.certificate().expect("a certificate");
    assert_eq!(certificate.names, ["n1", "n1.example"]);
    let now = SystemTime::now();
    assert_eq!(certificate.days_left(now + DAY / 2), Some(9));
    assert_eq!(certificate.days_left(now + 11 * DAY), None);
    assert!(Certificate::from_pem(b"").is_err());
}
