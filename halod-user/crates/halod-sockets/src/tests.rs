//! Against the kernel's real table, with sockets on loopback.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{Domain, SockAddr, Type};

use super::*;

const USER: &str = "127.0.0.2:0";

fn listen(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind(address).expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    (listener, port)
}

fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket =
        socket2::Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
    let from: SocketAddr = from.parse().expect("an address");
    socket.bind(&SockAddr::from(from)).expect("bound");
    socket.connect(&SockAddr::from(to)).expect("connected");
    socket.into()
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().expect("a connection").0
}

/// More files than the usual 1,024.
fn raise_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the limit can be raised to its bound");
    limit.current.unwrap_or(u64::MAX)
}

async fn connections(sockets: &mut Sockets, port: u16) -> Vec<Socket> {
    let found = sockets.look(&[port..=port]).await.expect("a look");
    // A user's own port may happen to be the same number.
    let user = USER.parse::<SocketAddr>().expect("an address").ip();
    let server = |s: &Socket| !s.listens && s.local.ip() != user;
    found.into_iter().filter(server).collect()
}

#[tokio::test]
async fn finds_a_servers_side_of_connections() {
    let (listener, port) = listen("127.0.0.1:0");
    let mut sockets = Sockets::open().expect("netlink");
    let found = sockets.look(&[port..=port]).await.expect("a look");
    assert_eq!(found.len(), 1);
    assert!(found[0].listens);
    assert_eq!(found[0].local, listener.local_addr().expect("its address"));

    // Not accepted yet: a connection all the same.
    let user = connect(USER, found[0].local);
    let found = connections(&mut sockets, port).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].peer, user.local_addr().expect("its address"));
    assert!(!found[0].listens);
    let accepted = accept(&listener);
    let before = found[0].clone();
    assert_eq!(before.inode, 0);
    let found = connections(&mut sockets, port).await;
    assert_ne!(found[0].inode, 0);
    let inode = found[0].inode;
    assert_eq!(found, [Socket { inode, ..before }], "the same socket");

    // The user has gone, the server has not noticed.
    drop(user);
    assert_eq!(connections(&mut sockets, port).await, found);
    drop(accepted);
    let start = Instant::now();
    while !connections(&mut sockets, port).await.is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(sockets.look(&[]).await.expect("a look"), []);
}

/// A server that listens on both families has its IPv4 connections among the IPv6 ones.
#[tokio::test]
async fn finds_and_closes_ipv4_in_ipv6() {
    let (listener, port) = listen("[::]:0");
    let user = connect(USER, SocketAddr::from(([127, 0, 0, 1], port)));
    let accepted = accept(&listener);
    assert!(accepted.local_addr().expect("its address").is_ipv6());
    let mut sockets = Sockets::open().expect("netlink");
    let found = connections(&mut sockets, port).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].local, SocketAddr::from(([127, 0, 0, 1], port)));
    assert_eq!(found[0].peer, user.local_addr().expect("its address"));
    closes(&mut sockets, &found[0], &user).await;
}

#[tokio::test]
async fn closes_ipv4_and_ipv6() {
    for (at, from) in [("127.0.0.1:0", USER), ("[::1]:0", "[::1]:0")] {
        let (listener, port) = listen(at);
        let user = connect(from, listener.local_addr().expect("its address"));
        let _accepted = accept(&listener);
        let mut sockets = Sockets::open().expect("netlink");
        let found = connections(&mut sockets, port).await;
        assert_eq!(found.len(), 1);
        let mut other = found[0].clone();
        other.cookie += 1;
        assert_eq!(sockets.close(&other).await.expect("asked"), Closed::Gone);
        closes(&mut sockets, &found[0], &user).await;
    }
}

/// Closes a connection, where the kernel can; sees that the user is told, or that nothing happened.
async fn closes(sockets: &mut Sockets, socket: &Socket, mut user: &TcpStream) {
    use std::io::Read;
    let closed = sockets.close(socket).await.expect("asked");
    eprintln!("closing: {closed:?}");
    user.set_read_timeout(Some(Duration::from_millis(500)))
        .expect("set");
    let error = user.read(&mut [0]).expect_err("nobody has written").kind();
    let port = socket.local.port();
    match closed {
        Closed::Yes => {
            assert_eq!(error, io::ErrorKind::ConnectionReset);
            assert_eq!(connections(sockets, port).await, []);
            assert_eq!(sockets.close(socket).await.expect("asked"), Closed::Gone);
        }
        Closed::NotPermitted | Closed::NotSupported => {
            assert_eq!(error, io::ErrorKind::WouldBlock);
            assert_eq!(connections(sockets, port).await.len(), 1);
        }
        Closed::Gone => panic!("it was there"),
    }
}

/// Prints how long looks take; what is not asked for must not be listed.
#[tokio::test]
async fn thousands_of_sockets() {
    let files = raise_limit();
    let pairs = usize::try_from(files.saturating_sub(500) / 4).map_or(4000, |n| n.min(4000));
    assert!(pairs >= 100, "{files} files are too few for this test");
    let (ours, port) = listen("127.0.0.1:0");
    let (others, _) = listen("127.0.0.1:0");
    let mut sockets = Sockets::open().expect("netlink");
    let mut held = Vec::new();
    for (what, listener, expected) in [("unrelated", &others, 0), ("wanted", &ours, pairs)] {
        let to = listener.local_addr().expect("its address");
        for _ in 0..pairs {
            held.push((connect(USER, to), accept(listener)));
        }
        let start = Instant::now();
        let found = connections(&mut sockets, port).await;
        eprintln!(
            "a look with {pairs} sockets more, {what}: {:?}",
            start.elapsed()
        );
        assert_eq!(found.len(), expected);
        let peers: std::collections::HashSet<_> = found.iter().map(|s| s.peer).collect();
        assert_eq!(peers.len(), expected, "each once");
    }
}

#[tokio::test]
async fn finds_udp_sockets_with_and_without_a_peer() {
    let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let tied = std::net::UdpSocket::bind("[::1]:0").expect("a socket");
    tied.connect("[::1]:9").expect("a peer");
    let address = |socket: &std::net::UdpSocket| socket.local_addr().expect("its address");
    let ports = [&free, &tied].map(|socket| address(socket).port()..=address(socket).port());
    let mut sockets = Sockets::open().expect("netlink");
    let found = sockets.look_udp(&ports).await.expect("a look");
    let mut found: Vec<_> = found.iter().map(|it| (it.local, it.listens)).collect();
    found.sort();
    assert_eq!(found, [(address(&free), true), (address(&tied), false)]);
}
