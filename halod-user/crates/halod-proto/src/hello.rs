//! The first message of a node.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::error::{HelloError, quote};
use crate::name::is_name;
use crate::{MAX_AGENT, NodeName, VERSION};

/// Who a node is. [`Hello::check`] states the rules between the fields; a hello that
/// came through [`crate::ToHalod::parse`] keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the protocol that the node speaks: [`VERSION`].
    pub version: u32,
    /// The node's name; HaloD knows the node by it across connections.
    pub name: NodeName,
    /// Where packets for the node are sent: one IPv4 address, one IPv6 address, or both.
    pub addresses: Vec<IpAddr>,
    /// For listeners named here, the node's own port of route 1, or of all routes. For others it is the
    /// listener's `node_port`, or its port.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, u16>,
    /// The token of the last welcome, with which a node that was away takes its place again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// What program speaks, for people who read logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Whether the application answers now.
    #[serde(default = "yes")]
    pub healthy: bool,
}

fn yes() -> bool {
    true
}

impl Hello {
    /// Checks what the types of the fields do not say.
    ///
    /// # Errors
    /// The first rule that the hello breaks, with the value that breaks it.
    pub fn check(&self) -> Result<(), HelloError> {
        if self.version != VERSION {
            return Err(HelloError::Version(self.version));
        }
        let v4 = self.addresses.iter().filter(|a| a.is_ipv4()).count();
        let v6 = self.addresses.len() - v4;
        if v4 > 1 || v6 > 1 || v4 + v6 == 0 {
            return Err(HelloError::Addresses { v4, v6 });
        }
        for &address in &self.addresses {
            if let Some(kind) = unusable(address) {
                return Err(HelloError::Address { address, kind });
            }
        }
        for (listener, &port) in &self.ports {
            if !is_name(listener) {
                return Err(HelloError::Listener(quote(listener)));
            }
            if port == 0 {
                return Err(HelloError::Port(listener.clone()));
            }
        }
        if self.resume.as_deref().is_some_and(|r| !is_resume_token(r)) {
            return Err(HelloError::Resume);
        }
        match &self.agent {
            Some(agent) if agent.len() > MAX_AGENT => Err(HelloError::LongAgent(agent.len())),
            _ => Ok(()),
        }
    }
}

/// Whether `text` has the form of a resume token: 32 hexadecimal characters.
pub fn is_resume_token(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Why packets cannot be sent to `address`, if they cannot.
fn unusable(address: IpAddr) -> Option<&'static str> {
    let kinds = match address {
        IpAddr::V4(a) => [
            (a.is_unspecified() || a.octets()[0] == 0, "unspecified"),
            (a.is_loopback(), "a loopback address"),
            (a.is_link_local(), "a link-local address"),
            (a.is_multicast(), "a multicast address"),
            // 240.0.0.0/4, RFC 1112 section 4; it includes the broadcast address.
            (
                a >= Ipv4Addr::new(240, 0, 0, 0),
                "a reserved or broadcast address",
            ),
        ],
        IpAddr::V6(a) => [
            (a == Ipv6Addr::UNSPECIFIED, "unspecified"),
            (a.is_loopback(), "a loopback address"),
            (a.is_unicast_link_local(), "a link-local address"),
            (a.is_multicast(), "a multicast address"),
            (
                a.to_ipv4_mapped().is_some(),
                "an IPv4 address written as IPv6",
            ),
        ],
    };
    kinds.into_iter().find_map(|(is, kind)| is.then_some(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(addresses: &[&str]) -> Hello {
        Hello {
            version: VERSION,
            name: "n1".parse().expect("a name"),
            addresses: addresses
                .iter()
                .map(|a| a.parse().expect("an address"))
                .collect(),
            ports: BTreeMap::new(),
            resume: None,
            agent: None,
            healthy: true,
        }
    }

    #[test]
    fn addresses() {
        for good in [
            &["192.0.2.11"][..],
            &["2001:db8::1"],
            &["192.0.2.11", "2001:db8::1"],
            &["fd00::1", "10.0.0.1"],
        ] {
            hello(good).check().expect("usable addresses");
        }
        for (bad, says) in [
            (&[][..], "there are 0 IPv4 and 0 IPv6"),
            (&["192.0.2.1", "192.0.2.2"], "there are 2 IPv4 and 0 IPv6"),
            (
                &["2001:db8::1", "192.0.2.1", "2001:db8::2"],
                "there are 1 IPv4 and 2 IPv6",
            ),
            (&["0.0.0.0"], "0.0.0.0 is unspecified"),
            (&["127.0.0.1"], "127.0.0.1 is a loopback address"),
            (&["169.254.1.1"], "a link-local address"),
            (&["224.0.0.1"], "a multicast address"),
            (&["255.255.255.255"], "a reserved or broadcast address"),
            (&["::"], ":: is unspecified"),
            (&["::1"], "a loopback address"),
            (&["fe80::1"], "a link-local address"),
            (&["ff02::1"], "a multicast address"),
            (&["::ffff:192.0.2.1"], "an IPv4 address written as IPv6"),
        ] {
            let error = hello(bad)
                .check()
                .expect_err("an unusable address")
                .to_string();
            assert!(error.contains(says), "{error} should say: {says}");
        }
    }

    #[test]
    fn other_rules() {
        let mut h = hello(&["192.0.2.11"]);
        h.version = 2;
        assert_eq!(h.check(), Err(HelloError::Version(2)));

        let mut h = hello(&["192.0.2.11"]);
        h.ports.insert("browsers".into(), 0);
        assert_eq!(h.check(), Err(HelloError::Port("browsers".into())));
        h.ports = BTreeMap::from([("no such\nname".into(), 1)]);
        let error = h.check().expect_err("a wrong listener").to_string();
        assert!(error.starts_with(r#""no such\nname" in ports"#), "{error}");

        let mut h = hello(&["192.0.2.11"]);
        h.resume = Some("0123456789abcdef0123456789ABCDEF".into());
        assert_eq!(h.check(), Ok(()));
        for bad in [
            "",
            "0123",
            "0123456789abcdef0123456789abcdeg",
            &"a".repeat(33),
        ] {
            h.resume = Some(bad.into());
            assert_eq!(h.check(), Err(HelloError::Resume));
        }

        let mut h = hello(&["192.0.2.11"]);
        h.agent = Some("a".repeat(MAX_AGENT));
        assert_eq!(h.check(), Ok(()));
        h.agent = Some("a".repeat(MAX_AGENT + 1));
        assert_eq!(h.check(), Err(HelloError::LongAgent(MAX_AGENT + 1)));
    }
}
