//! The agent sees its application come and go.

use crate::common;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::common::{Agent, Halod};
use halod_proto::ToHalod;

/// An application: something that listens.
fn app() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn unhealthy(message: Option<ToHalod>) -> String {
    match message {
        Some(ToHalod::Unhealthy { reason }) => reason,
        other => panic!("{other:?} instead of unhealthy"),
    }
}

#[test]
fn says_at_once_when_the_application_goes_and_comes() {
    let (listener, address) = app();
    let halod = Halod::new();
    let watch = address.to_string();
    let _agent = Agent::start(
        halod.address(),
        &["--watch", &watch, "--watch-interval", "50ms"],
    );
    let (mut peer, hello) = halod.welcome(1000);
    assert!(hello.healthy);

    let mut listener = Some(listener);
    for _ in 0..3 {
        drop(listener.take());
        let gone = Instant::now();
        let reason = unhealthy(peer.news());
        let noticed = gone.elapsed();
        assert!(
            reason.starts_with(&format!("{watch}: Connection refused")),
            "{reason}"
        );
        // The interval, the second look, and room for a busy machine; a heartbeat's interval
        // would be a second.
        assert!(
            noticed < Duration::from_millis(900),
            "noticed after {noticed:?}"
        );

        listener = Some(TcpListener::bind(address).unwrap());
        let back = Instant::now();
        assert_eq!(peer.news(), Some(ToHalod::Healthy));
        assert!(
            back.elapsed() < Duration::from_millis(900),
            "noticed after {:?}",
            back.elapsed()
        );
    }
}

#[test]
fn the_first_look_decides_the_hello() {
    let (listener, address) = app();
    drop(listener);
    let halod = Halod::new();
    let _agent = Agent::start(
        halod.address(),
        &["--watch", &address.to_string(), "--watch-interval", "50ms"],
    );
    let (mut peer, hello) = halod.welcome(100);
    assert!(!hello.healthy);
    let _listener = TcpListener::bind(address).unwrap();
    assert_eq!(peer.news(), Some(ToHalod::Healthy));
}

#[test]
fn all_addresses_must_answer() {
    let ((_first, a), (second, b)) = (app(), app());
    let halod = Halod::new();
    let watch = [a.to_string(), b.to_string()];
    let _agent = Agent::start(
        halod.address(),
        &[
            "--watch",
            &watch[0],
            "--watch",
            &watch[1],
            "--watch-interval",
            "50ms",
        ],
    );
    let (mut peer, hello) = halod.welcome(100);
    assert!(hello.healthy);
    drop(second);
    let reason = unhealthy(peer.news());
    assert!(reason.starts_with(&watch[1]), "{reason}");
}

/// A change that happens while there is no connection is in the next hello.
#[test]
fn a_change_between_connections_is_not_lost() {
    let (listener, address) = app();
    let halod = Halod::new();
    let agent = Agent::start(
        halod.address(),
        &["--watch", &address.to_string(), "--watch-interval", "50ms"],
    );
    let (peer, hello) = halod.welcome(50);
    assert!(hello.healthy);
    drop(peer);
    // Not welcomed: the agent waits for it, and the application goes meanwhile.
    let (mut peer, hello) = halod.hello();
    assert!(hello.healthy);
    drop(listener);
    agent.logs("the application's health changed");
    peer.send(&common::welcome(50));
    unhealthy(peer.news());
    drop(peer);
    let (_peer, hello) = halod.hello();
    assert!(!hello.healthy);
}

/// An application whose queue is full answers nothing at all, not even no.
#[test]
fn an_application_that_hangs_is_noticed() {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let halod = Halod::new();
    // It never accepts: the agent's own first looks fill the queue.
    let _agent = Agent::start(
        halod.address(),
        &[
            "--watch",
            &address.to_string(),
            "--watch-interval",
            "20ms",
            "--watch-timeout",
            "100ms",
        ],
    );
    let (mut peer, hello) = halod.welcome(100);
    assert!(hello.healthy);
    let reason = unhealthy(peer.news());
    assert!(reason.ends_with("no answer within 100ms"), "{reason}");
}
