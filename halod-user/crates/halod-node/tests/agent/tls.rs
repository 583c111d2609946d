//! The agent over TLS: whom it trusts, what it shows, and what it says where that goes wrong.

use crate::common;

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use crate::common::{Agent, LIMIT, welcome};
use crate::pki::{Ca, Leaf, SERVER, node};
use halod_tls::{Certificate, Files};
use rustls::{ServerConnection, StreamOwned};

type Stream = BufReader<StreamOwned<ServerConnection, TcpStream>>;

/// HaloD's end, with a certificate that it shows.
struct Halod {
    listener: TcpListener,
    files: Files,
}

impl Halod {
    fn new(files: Files) -> Halod {
        Halod {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
            files,
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection, and its hello.
    fn hello(&self) -> io::Result<(Stream, String)> {
        let config = self.files.load().and_then(halod_tls::server).unwrap();
        let (stream, _) = self.listener.accept()?;
        stream.set_read_timeout(Some(LIMIT))?;
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = BufReader::new(StreamOwned::new(connection, stream));
        let mut line = String::new();
        stream.read_line(&mut line)?;
        Ok((stream, line))
    }
}

fn agent(address: SocketAddr, files: &Files, more: &[&str]) -> Agent {
    let path = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let paths = [&files.ca, &files.certificate, &files.key].map(|p| path(p));
    let options = ["--tls-ca", "--tls-certificate", "--tls-key"];
    let mut arguments = Vec::new();
    for (option, path) in options.iter().zip(&paths) {
        arguments.extend([*option, path]);
    }
    arguments.extend(more);
    Agent::start(address, &arguments)
}

fn beats(stream: &mut Stream) {
    let line = welcome(20).to_line();
    stream.get_mut().write_all(line.as_bytes()).unwrap();
    let mut heard = String::new();
    stream.read_line(&mut heard).unwrap();
    assert!(heard.contains("heartbeat"), "{heard}");
}

#[test]
fn it_registers_and_shows_its_certificate_of_now() {
    let ca = Ca::new();
    let halod = Halod::new(ca.issue("halod", &SERVER));
    let files = ca.issue("n1", &node(&["n1"]));
    // By address, which is in HaloD's certificate.
    let _agent = agent(halod.address(), &files, &[]);
    let shown = |stream: &Stream| {
        let certificates = stream.get_ref().conn.peer_certificates().unwrap();
        (
            Certificate::parse(&certificates[0]).unwrap(),
            certificates[0].clone(),
        )
    };
    let (mut stream, hello) = halod.hello().unwrap();
    assert!(hello.contains(r#""name":"n1""#), "{hello}");
    beats(&mut stream);
    let (certificate, first) = shown(&stream);
    assert_eq!(certificate.names, ["n1"]);
    // Renewed while it runs.
    ca.issue("n1", &node(&["n1"]));
    drop(stream);
    let (mut stream, _) = halod.hello().unwrap();
    beats(&mut stream);
    assert_ne!(shown(&stream).1, first);
}

#[test]
fn it_refuses_who_is_not_halod() {
    let ca = Ca::new();
    let files = ca.issue("n1", &node(&["n1"]));
    let other_ca = Ca::new();
    let other = Leaf {
        names: &["other"],
        ..SERVER
    };
    let node = Leaf {
        server: false,
        ..SERVER
    };
    let expired = Leaf {
        from: -9,
        to: -1,
        ..SERVER
    };
    for (halod, name, says) in [
        (
            ca.issue("other", &other),
            "halod",
            "not valid for name \"halod\"",
        ),
        (
            ca.issue("node", &node),
            "halod",
            "does not allow extended key usage for server",
        ),
        (ca.issue("old", &expired), "halod", "expired"),
        (
            other_ca.issue("stranger", &SERVER),
            "halod",
            "not from the CA in --tls-ca",
        ),
    ] {
        let halod = Halod::new(halod);
        let agent = agent(halod.address(), &files, &["--tls-name", name]);
        let refused = halod.hello().expect_err("no hello");
        assert!(refused.to_string().contains("alert"), "{refused}");
        agent.logs(says);
    }
}

#[test]
fn it_says_what_halod_says_of_its_certificate() {
    let ca = Ca::new();
    let expired = Leaf {
        from: -9,
        to: -1,
        ..node(&["n1"])
    };
    let other = Ca::new();
    let mut stranger = other.issue("n1", &node(&["n1"]));
    stranger.ca = ca.dir().join("ca.pem");
    for (files, says) in [
        (
            ca.issue("n1", &expired),
            "this node's certificate has expired",
        ),
        (stranger, "this node's certificate is not from its CA"),
    ] {
        let halod = Halod::new(ca.issue("halod", &SERVER));
        let agent = agent(halod.address(), &files, &[]);
        halod.hello().expect_err("no hello");
        agent.logs(says);
    }
}

#[test]
fn it_says_where_there_is_no_tls() {
    let ca = Ca::new();
    let plain = common::Halod::new();
    let agent = agent(plain.address(), &ca.issue("n1", &node(&["n1"])), &[]);
    plain
        .accept()
        .send_bytes(b"{\"type\":\"error\",\"reason\":\"\"}\n");
    agent.logs("what answers there speaks no TLS");
}

#[test]
fn files_that_are_gone_are_named_and_looked_for_again() {
    let ca = Ca::new();
    let halod = Halod::new(ca.issue("halod", &SERVER));
    let files = ca.issue("n1", &node(&["n1"]));
    std::fs::remove_file(&files.key).unwrap();
    let agent = agent(halod.address(), &files, &[]);
    agent.logs("n1.key: No such file");
    ca.issue("n1", &node(&["n1"]));
    beats(&mut halod.hello().unwrap().0);
}
