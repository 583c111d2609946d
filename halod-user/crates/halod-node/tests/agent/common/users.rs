//! A push server on the node's address and its users, in a namespace of `namespace::enter`.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A push server at 192.0.2.11, ports 8000 to 8023.
pub struct Server(Vec<TcpListener>);

impl Server {
    pub fn start() -> Server {
        let listen = |port| TcpListener::bind(("192.0.2.11", port)).unwrap();
        Server((8000..8024).map(listen).collect())
    }

    /// A user on a route.
    pub fn user(&self, route: u16) -> User {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let from: SocketAddr = "203.0.113.9:0".parse().unwrap();
        let to: SocketAddr = (std::net::Ipv4Addr::new(192, 0, 2, 11), 7999 + route).into();
        socket.bind(&from.into()).unwrap();
        socket.connect(&to.into()).unwrap();
        User {
            stream: socket.into(),
            served: self.0[usize::from(route) - 1].accept().unwrap().0,
        }
    }

    pub fn users(&self, route: u16, count: usize) -> Vec<User> {
        (0..count).map(|_| self.user(route)).collect()
    }
}

/// Both ends of a connection. Gone when dropped.
pub struct User {
    stream: TcpStream,
    served: TcpStream,
}

impl User {
    /// Its address, as the agent says it.
    pub fn peer(&self) -> String {
        self.served.peer_addr().unwrap().to_string()
    }

    /// Whether the connection is reset within that time. Nothing is ever sent.
    pub fn is_reset(&mut self, within: Duration) -> bool {
        self.stream.set_read_timeout(Some(within)).unwrap();
        match self.stream.read(&mut [0]).unwrap_err().kind() {
            ErrorKind::ConnectionReset => true,
            ErrorKind::WouldBlock => false,
            other => panic!("{other}"),
        }
    }
}
