//! Values as people write them, on the command line and in the file, with one error text for both.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::drains::Policy;

/// A value that is written as text.
pub trait Value: Sized {
    /// What would be right, to follow "is not".
    const FORM: &str;

    /// Reads it; `None` where the text is something else.
    fn read(text: &str) -> Option<Self>;
}

/// Reads a value.
///
/// # Errors
/// The text, and what would be right.
pub fn parse<T: Value>(text: &str) -> Result<T, String> {
    T::read(text).ok_or_else(|| format!("{text:?} is not {}", T::FORM))
}

impl Value for IpAddr {
    const FORM: &str = "an IP address, such as 192.0.2.11 or 2001:db8::11";

    fn read(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }
}

impl Value for SocketAddr {
    const FORM: &str = "an IP address and port, such as 192.0.2.11:8000 or [2001:db8::11]:8000";

    fn read(text: &str) -> Option<SocketAddr> {
        text.parse().ok().filter(|a: &SocketAddr| a.port() != 0)
    }
}

/// Where HaloD listens for nodes: a host, by address or name, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

impl Endpoint {
    /// As `host:port`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Endpoint {
    const FORM: &str =
        "a host and port, such as 192.0.2.1:7600, [2001:db8::1]:7600 or halod.example.net:7600";

    fn read(text: &str) -> Option<Endpoint> {
        let named = || {
            let (host, port) = text.rsplit_once(':')?;
            let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            (!host.is_empty() && host.chars().all(name)).then_some(())?;
            FromStr::from_str(port).ok().filter(|&p: &u16| p != 0)
        };
        let whole = SocketAddr::read(text).is_some() || named().is_some();
        whole.then(|| Endpoint(text.to_owned()))
    }
}

impl Endpoint {
    /// The host, as a certificate names it.
    pub fn host(&self) -> Option<TlsName> {
        let (host, _) = self.0.rsplit_once(':')?;
        TlsName::read(host.trim_matches(['[', ']']))
    }
}

/// Whom a certificate is for: a DNS name or an IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsName(pub ServerName<'static>);

impl Value for TlsName {
    const FORM: &str = "a DNS name or an IP address, such as halod or 192.0.2.1";

    fn read(text: &str) -> Option<TlsName> {
        ServerName::try_from(text.to_owned()).ok().map(TlsName)
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Value for Span {
    const FORM: &str = "a time from 10ms to 1h, such as 200ms or 5s";

    fn read(text: &str) -> Option<Span> {
        let span = humantime::parse_duration(text).ok()?;
        let sane = (Duration::from_millis(10)..=Duration::from_secs(3600)).contains(&span);
        sane.then_some(Span(span))
    }
}

impl Value for Policy {
    const FORM: &str = "a policy; those are notify, close and none";

    fn read(text: &str) -> Option<Policy> {
        match text {
            "notify" => Some(Policy::Notify),
            "close" => Some(Policy::Close),
            "none" => Some(Policy::None),
            _ => None,
        }
    }
}

/// The node's own port of route 1 for one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePort {
    /// The listener's name.
    pub listener: String,
    /// From 1.
    pub port: u16,
}

impl Value for NodePort {
    const FORM: &str = "LISTENER=PORT with a port from 1 to 65535, such as browsers=8000";

    fn read(text: &str) -> Option<NodePort> {
        let (listener, port) = text.split_once('=')?;
        let port = port.parse().ok().filter(|&p| p != 0)?;
        (!listener.is_empty()).then(|| NodePort {
            listener: listener.to_owned(),
            port,
        })
    }
}

/// For serde: one value, as a string.
pub fn one<'de, D: Deserializer<'de>, T: Value>(from: D) -> Result<Option<T>, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(from)?;
    parse(&text).map(Some).map_err(D::Error::custom)
}

/// For serde: several values, as a list of strings, or one as a string.
pub fn many<'de, D: Deserializer<'de>, T: Value>(from: D) -> Result<Vec<T>, D::Error> {
    struct Many<T>(PhantomData<T>);
    impl<'de, T: Value> Visitor<'de> for Many<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}, in quotes, or a list of those", T::FORM)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
            parse(text).map(|value| vec![value]).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut values = Vec::new();
            while let Some(text) = list.next_element::<String>()? {
                values.push(parse(&text).map_err(A::Error::custom)?);
            }
            Ok(values)
        }
    }
    from.deserialize_any(Many(PhantomData))
}

/// For serde: a table of listeners' ports.
pub fn ports<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<NodePort>, D::Error> {
    use std::collections::BTreeMap;
    let table: BTreeMap<String, u16> = serde::Deserialize::deserialize(from)?;
    let ports = table.into_iter();
    ports
        .map(|(listener, port)| match port {
            0 => Err(D::Error::custom(format!(
                "port of {listener} is 0; ports are 1 to 65535"
            ))),
            port => Ok(NodePort { listener, port }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for good in [
            "192.0.2.1:7600",
            "[2001:db8::1]:7600",
            "halod.example.net:1",
            "h:65535",
        ] {
            assert_eq!(parse::<Endpoint>(good).expect(good).as_str(), good);
        }
        for bad in [
            "",
            "192.0.2.1",
            ":7600",
            "h:0",
            "h:65536",
            "2001:db8::1:7600",
            "a b:1",
        ] {
            let error = parse::<Endpoint>(bad).expect_err(bad);
            assert!(error.contains("such as 192.0.2.1:7600"), "{error}");
        }
    }

    #[test]
    fn spans_and_ports() {
        assert_eq!(parse("200ms"), Ok(Span(Duration::from_millis(200))));
        for bad in ["", "5", "1ms", "2h", "-1s"] {
            assert!(parse::<Span>(bad).is_err(), "{bad}");
        }
        let port = NodePort {
            listener: "apps".to_owned(),
            port: 9000,
        };
        assert_eq!(parse("apps=9000"), Ok(port));
        for bad in ["", "apps", "=1", "apps=0", "apps=65536", "apps=x"] {
            assert!(parse::<NodePort>(bad).is_err(), "{bad}");
        }
    }
}
