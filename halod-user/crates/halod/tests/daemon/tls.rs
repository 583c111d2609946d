//! Nodes that register over TLS, and all sorts of peers that should not get in. A good node beside
//! them notices nothing.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{Node, Rig, SOON, beat, hello, until};
use crate::pki::{Ca, Leaf, SERVER, node};
use halod_tls::Files;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription as Alert, ClientConfig, ClientConnection, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type TlsNode = Node<TlsStream<TcpStream>>;

/// A rig that takes TLS alone, its CA, and one good node that is lost if it is not heard for 500 ms.
struct Secure {
    rig: Rig,
    ca: Ca,
    good: JoinHandle<String>,
    commits: u32,
}

async fn secure(replaced: &[(&str, &str)]) -> Secure {
    let (mut rig, ca) = (Rig::new(), Ca::new());
    rig.replace(&[
        (
            "heartbeat = \"20s\"",
            "heartbeat = \"100ms\"\nheartbeat_misses = 5",
        ),
        ("active_min = 2", "active_min = 1"),
        ("plaintext_from = [\"127.0.0.0/8\"]\n", ""),
    ]);
    rig.replace(replaced);
    with_tls(&mut rig, &ca.issue("halod", &SERVER));
    rig.start().await.unwrap_or_else(|e| panic!("{e}"));
    let files = ca.issue("n1", &node(&["n1"]));
    let mut good = join(rig.address, &files, 1).await;
    good.assigned().await;
    Secure {
        good: beat(good),
        commits: rig.kernel.commits(),
        rig,
        ca,
    }
}

fn with_tls(rig: &mut Rig, files: &Files) {
    let path = |path: &std::path::Path| path.display().to_string();
    rig.config += &format!(
        "[nodes.tls]\nca = {:?}\ncertificate = {:?}\nkey = {:?}\n",
        path(&files.ca),
        path(&files.certificate),
        path(&files.key)
    );
}

impl Secure {
    #[track_caller]
    fn unharmed(&self) {
        assert!(!self.good.is_finished(), "the good node still beats");
        assert_eq!(self.rig.kernel.commits(), self.commits);
        assert_eq!(self.rig.kernel.share("n1"), 24);
    }

    /// A certificate for the node n2, and whether it gets in with it.
    async fn n2_joins(&self) {
        let files = self.ca.issue("n2", &node(&["n2"]));
        let mut n2 = join(self.rig.address, &files, 2).await;
        n2.reserved().await;
        n2.say(r#"{"type":"leaving"}"#).await;
        while n2.hear().await.is_some() {}
    }
}

fn client(files: &Files) -> ClientConfig {
    let client = files.load().and_then(halod_tls::client);
    client.unwrap_or_else(|e| panic!("{e}"))
}

async fn connect(address: SocketAddr, client: ClientConfig) -> io::Result<TlsNode> {
    connect_again(address, &Arc::new(client)).await
}

async fn connect_again(address: SocketAddr, client: &Arc<ClientConfig>) -> io::Result<TlsNode> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let name = ServerName::try_from("halod").expect("a name");
    let connector = TlsConnector::from(Arc::clone(client));
    Ok(Node::over(connector.connect(name, stream).await?))
}

async fn join(address: SocketAddr, files: &Files, n: u8) -> TlsNode {
    let node = connect(address, client(files)).await.expect("a handshake");
    node.welcomed(&hello(n, None)).await
}

/// The alert with which HaloD ends a connection. In TLS 1.3 a client learns only after its own
/// part of the handshake what became of its certificate.
async fn alert(address: SocketAddr, client: ClientConfig) -> Alert {
    let told = async {
        let mut node = connect(address, client).await?;
        node.stream.read_u8().await
    };
    let error = timeout(SOON, told)
        .await
        .expect("in time")
        .expect_err("an alert");
    match error.get_ref().and_then(|e| e.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("{error:?} in place of an alert"),
    }
}

/// The first bytes of a client that does everything right.
fn first_flight(files: &Files) -> Vec<u8> {
    let name = ServerName::try_from("halod").expect("a name");
    let mut bytes = Vec::new();
    let mut connection =
        ClientConnection::new(Arc::new(client(files)), name).expect("a connection");
    connection.write_tls(&mut bytes).expect("a hello");
    bytes
}

/// All that HaloD says to a peer that sent `bytes`, until it closes. A reset ends it too.
async fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("sent");
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut said))
        .await
        .expect("an end");
    said
}

#[tokio::test]
async fn wrong_certificates_are_refused_by_an_alert() {
    let secure = secure(&[]).await;
    let (ca, address) = (&secure.ca, secure.rig.address);
    let of = |file: &str, leaf: &Leaf<'_>| client(&ca.issue(file, leaf));
    let (other, namesake) = (Ca::named("another CA"), Ca::new());
    let [stranger, forged] = [&other, &namesake].map(|other| Files {
        // It knows whom it talks to; HaloD does not.
        ca: ca.dir().join("ca.pem"),
        ..other.issue("n2", &node(&["n2"]))
    });
    let expired = Leaf {
        from: -9,
        to: -1,
        ..node(&["n2"])
    };
    let future = Leaf {
        from: 1,
        to: 9,
        ..node(&["n2"])
    };
    let server = Leaf {
        server: true,
        ..node(&["n2"])
    };
    let none = {
        let mut with = of("n2", &node(&["n2"]));
        with.client_auth_cert_resolver = Arc::new(NoCertificate);
        with
    };
    for (what, client, right) in [
        ("of another CA", client(&stranger), Alert::UnknownCA),
        ("forged", client(&forged), Alert::DecryptError),
        ("expired", of("old", &expired), Alert::CertificateExpired),
        (
            "not yet valid",
            of("new", &future),
            Alert::CertificateExpired,
        ),
        (
            "HaloD's own kind",
            of("server", &server),
            Alert::UnsupportedCertificate,
        ),
        ("none", none, Alert::CertificateRequired),
    ] {
        assert_eq!(alert(address, client).await, right, "{what}");
        secure.unharmed();
    }
    secure.n2_joins().await;
    secure.unharmed();
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_certificate_is_for_its_own_names_alone() {
    let secure = secure(&[]).await;
    let cases: &[(&[&str], &str)] = &[
        (&["n1"], "n1"),
        (&["n22", "2", "n2.example"], "n22, 2, n2.example"),
        (&["*"], "*"),
        (&["N2"], "N2"),
        (&[], "no DNS name at all"),
    ];
    for (names, says) in cases {
        let files = secure.ca.issue("evil", &node(names));
        let mut evil = connect(secure.rig.address, client(&files))
            .await
            .expect("a handshake");
        evil.say(&hello(2, None)).await;
        let reason = evil.refused().await;
        let right = format!("the hello is of n2, but the certificate is for {says};");
        assert!(reason.starts_with(&right), "{reason}\nshould say: {right}");
    }
    let several = secure.ca.issue("several", &node(&["n7", "n2"]));
    join(secure.rig.address, &several, 2).await.reserved().await;
    secure.unharmed();
}

#[tokio::test]
async fn every_handshake_is_a_full_one() {
    let secure = secure(&[]).await;
    let mut resuming = client(&secure.ca.issue("n2", &node(&["n2"])));
    resuming.resumption = rustls::client::Resumption::in_memory_sessions(8);
    resuming.enable_early_data = true;
    let resuming = Arc::new(resuming);
    for _ in 0..2 {
        let address = secure.rig.address;
        let n2 = connect_again(address, &resuming)
            .await
            .expect("a handshake");
        let n2 = n2.welcomed(&hello(2, None)).await;
        let (_, tls) = n2.stream.get_ref().get_ref();
        assert_eq!(tls.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(tls.tls13_tickets_received(), 0);
        secure
            .rig
            .ask(halod_control::Request::NodeRemove { name: "n2".into() })
            .await
            .expect("removed");
    }
    secure.unharmed();
}

#[tokio::test]
async fn older_tls_is_refused() {
    let secure = secure(&[]).await;
    // A hello of TLS 1.2 (RFC 5246, 7.4.1.2): no extension says that there is a newer one.
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    // No session; TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256; no compression.
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    // Groups: P-256; signatures: ECDSA with SHA-256.
    hello.extend([0, 16, 0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3]);
    let mut bytes = vec![
        0x16,
        3,
        1,
        0,
        hello.len() as u8 + 4,
        1,
        0,
        0,
        hello.len() as u8,
    ];
    bytes.extend(hello);
    let said = answer(secure.rig.address, &bytes).await;
    // A fatal alert, 70: protocol_version.
    assert_eq!(said, [0x15, 3, 3, 0, 2, 2, 70]);
    secure.unharmed();
}

#[tokio::test]
async fn what_is_no_handshake_ends_at_once() {
    let secure = secure(&[]).await;
    let good = first_flight(&secure.ca.issue("n2", &node(&["n2"])));
    let mut spoilt = good.clone();
    spoilt[44..].fill(0xff);
    let mut other = good.clone();
    other[5] = 11;
    let cases: [(&str, Vec<u8>); 4] = [
        ("garbage", [0x16].into_iter().chain([0xa5; 500]).collect()),
        ("a record that is too long", vec![0x16, 3, 1, 0xff, 0xff]),
        ("a spoilt hello", spoilt),
        ("a certificate before the hello", other),
    ];
    for (what, bytes) in cases {
        let before = Instant::now();
        let said = answer(secure.rig.address, &bytes).await;
        // An alert, if anything.
        assert!(
            matches!(said.first(), None | Some(0x15)),
            "{what}: {said:?}"
        );
        assert!(before.elapsed() < Duration::from_millis(450), "{what}");
        secure.unharmed();
    }
    // Half a handshake, then the end.
    for length in [1, 5, good.len() / 2, good.len()] {
        let mut stream = TcpStream::connect(secure.rig.address)
            .await
            .expect("a connection");
        stream.write_all(&good[..length]).await.expect("sent");
    }
    let handshakes = async {
        while secure.rig.status().await.handshakes > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, handshakes).await.expect("all forgotten");
    secure.n2_joins().await;
    secure.unharmed();
}

#[tokio::test]
async fn a_slow_handshake_ends_in_time() {
    let secure = secure(&[]).await;
    let flight = first_flight(&secure.ca.issue("n2", &node(&["n2"])));
    let mut stream = TcpStream::connect(secure.rig.address)
        .await
        .expect("a connection");
    let before = Instant::now();
    for byte in flight {
        if stream.write_all(&[byte]).await.is_err() || before.elapsed() > Duration::from_secs(2) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rest(&mut stream).await;
    // hello_timeout is 500 ms.
    assert!(
        before.elapsed() < Duration::from_millis(1500),
        "{:?}",
        before.elapsed()
    );
    // Handshake and hello have one time together.
    let files = secure.ca.issue("n2", &node(&["n2"]));
    let mut silent = connect(secure.rig.address, client(&files))
        .await
        .expect("a handshake");
    assert_eq!(silent.refused().await, "no hello within 500 ms");
    secure.unharmed();
}

#[tokio::test]
async fn plaintext_where_tls_is_needed_and_the_reverse() {
    let secure = secure(&[]).await;
    let mut plain = Node::connect(secure.rig.address).await;
    plain.say(&hello(2, None)).await;
    let reason = plain.refused().await;
    assert!(
        reason.contains("127.0.0.1 may not register here without TLS"),
        "{reason}"
    );
    secure.unharmed();

    let rig = Rig::started(&[]).await;
    let flight = first_flight(&secure.ca.issue("n2", &node(&["n2"])));
    let said = String::from_utf8(answer(rig.address, &flight).await).expect("text");
    assert!(said.contains("has no [nodes.tls]"), "{said}");
    let refused = connect(rig.address, client(&secure.ca.issue("n2", &node(&["n2"])))).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn both_on_one_port() {
    let (mut rig, ca) = (Rig::new(), Ca::new());
    rig.replace(&[("rejoin = \"10s\"", "rejoin = \"0s\"")]);
    with_tls(&mut rig, &ca.issue("halod", &SERVER));
    rig.start().await.unwrap_or_else(|e| panic!("{e}"));
    let mut plain = rig.join(1).await;
    plain.assigned().await;
    let mut tls = join(rig.address, &ca.issue("n2", &node(&["n2"])), 2).await;
    tls.assigned().await;
    assert_eq!((rig.kernel.share("n1"), rig.kernel.share("n2")), (12, 12));
    // Lost as any: by the end of its connection.
    drop(tls);
    until("n1 has all routes", || rig.kernel.share("n1") == 24).await;
}

#[tokio::test]
async fn no_more_handshakes_than_may_be() {
    let secure = secure(&[]).await;
    // One of each sort, and none gets any further.
    let flight = first_flight(&secure.ca.issue("n2", &node(&["n2"])));
    let mut peers = Vec::new();
    for length in [0, 1, 2, 5, 6, 50, 99, 100] {
        let mut peer = TcpStream::connect(secure.rig.address)
            .await
            .expect("a connection");
        peer.write_all(&flight[..length]).await.expect("sent");
        peers.push(peer);
    }
    let all = async {
        while secure.rig.status().await.handshakes < 8 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, all).await.expect("8 handshakes");
    let mut ninth = Node::connect(secure.rig.address).await;
    let reason = ninth.refused().await;
    assert!(
        reason.contains("8 connections have not said hello yet"),
        "{reason}"
    );
    for peer in &mut peers {
        rest(peer).await;
    }
    secure.n2_joins().await;
    secure.unharmed();
}

#[tokio::test]
async fn an_address_may_connect_so_often_and_no_more() {
    let limits = "max_handshakes = 8\nhandshake_rate = 4\nhandshake_burst = 12";
    let secure = secure(&[("max_handshakes = 8", limits)]).await;
    let flight = first_flight(&secure.ca.issue("n2", &node(&["n2"])));
    let mut reason = String::new();
    for _ in 0..40 {
        let said = answer(secure.rig.address, &flight[..1]);
        // Those that are heard wait for more.
        if let Ok(said) = timeout(Duration::from_millis(20), said).await {
            reason = String::from_utf8(said).expect("text");
            break;
        }
    }
    assert!(
        reason.contains("more than 4 connections a second"),
        "{reason}"
    );
    secure.unharmed();
    // A second later there is room for a few.
    tokio::time::sleep(Duration::from_secs(1)).await;
    secure.n2_joins().await;
    secure.unharmed();
}

#[tokio::test]
async fn an_address_that_fails_too_often_is_not_heard_for_a_while() {
    let secure = secure(&[]).await;
    let garbage = [0x16, 0xff, 0xff, 0xff, 0xff, 0xff];
    let mut said = Vec::new();
    for _ in 0..100 {
        said = answer(secure.rig.address, &garbage).await;
        if said.starts_with(b"{") {
            break;
        }
    }
    let reason = String::from_utf8_lossy(&said);
    assert!(
        reason.contains("failed; it is not heard for 1 s"),
        "{reason}"
    );
    secure.unharmed();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    secure.n2_joins().await;
    secure.unharmed();
}

#[tokio::test]
async fn new_certificates_are_used_and_broken_ones_are_not() {
    let secure = secure(&[]).await;
    let files = secure.ca.issue("n2", &node(&["n2"]));
    let shown = async || {
        let n2 = connect(secure.rig.address, client(&files))
            .await
            .expect("a handshake");
        let (_, tls) = n2.stream.get_ref().get_ref();
        tls.peer_certificates().expect("certificates")[0].clone()
    };
    let changed = async |from| {
        let change = async {
            loop {
                let now = shown().await;
                if now != from {
                    return now;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(SOON, change).await.expect("a change")
    };
    let first = shown().await;
    let second = secure.ca.issue("halod", &SERVER);
    let now = changed(first).await;
    secure.unharmed();
    // A key without its certificate is of no use, and neither is no file at all.
    fs::write(&second.key, "broken").expect("written");
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(shown().await, now);
    secure.ca.issue("halod", &SERVER);
    changed(now).await;
    secure.unharmed();
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_at_the_start() {
    let (mut rig, ca) = (Rig::new(), Ca::new());
    let files = ca.issue("halod", &SERVER);
    with_tls(&mut rig, &files);
    fs::remove_file(&files.key).expect("removed");
    let error = rig.start().await.expect_err("an error").to_string();
    assert!(error.contains("halod.key"), "{error}");
}

/// Kilobytes of memory that this process has.
fn resident() -> i64 {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.expect("VmRSS").split_whitespace();
    words
        .filter_map(|word| word.parse().ok())
        .next()
        .expect("a number")
}

#[tokio::test]
async fn a_stranger_holds_little_memory() {
    let more = "max_handshakes = 512\nhandshake_burst = 10000";
    let secure = secure(&[
        ("max_handshakes = 8", more),
        ("hello_timeout = \"500ms\"", "hello_timeout = \"5s\""),
    ])
    .await;
    // A handshake message that says it has 65,535 bytes, in records that are as long as can be,
    // and of which nearly 16 KiB may come before HaloD has seen enough.
    let mut bytes = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
    bytes.extend([3; 0x4000 - 4]);
    bytes.extend([0x16, 3, 1, 0x40, 0]);
    bytes.extend([3; 0x4000]);
    let before = resident();
    let enough = halod::tls::UNKNOWN - 1;
    let mut peers = Vec::new();
    for _ in 0..512 {
        let mut peer = TcpStream::connect(secure.rig.address)
            .await
            .expect("a connection");
        peer.write_all(&bytes[..enough]).await.expect("sent");
        peers.push(peer);
    }
    let all = async {
        while secure.rig.status().await.handshakes < 512 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, all).await.expect("512 handshakes");
    let grown = resident() - before;
    println!("{} KiB a connection", grown / 512);
    assert!(grown < 512 * 64, "{} KiB a connection", grown / 512);
    // More than that ends it.
    for peer in &mut peers {
        peer.write_all(&bytes[enough..][..5000])
            .await
            .expect("sent");
    }
    let before = Instant::now();
    for peer in &mut peers {
        rest(peer).await;
    }
    assert!(
        before.elapsed() < Duration::from_secs(3),
        "{:?}",
        before.elapsed()
    );
    secure.unharmed();
}
