//! How a listener's packets are told apart into routes, and the key for that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::SelectKeyError;

/// What a listener's packets are told apart into routes by.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Each route has a port of its own.
    #[default]
    Port,
    /// One port for all; a client's address has one route.
    Source,
    /// One port for all; a client's address and port have one route.
    Flow,
}

impl Select {
    /// Whether it is [`Select::Port`].
    pub fn is_port(&self) -> bool {
        *self == Select::Port
    }

    /// How many ports so many routes need.
    pub fn ports(self, routes: u32) -> u32 {
        if self.is_port() { routes } else { 1 }
    }
}

impl fmt::Display for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Select::Port => "port",
            Select::Source => "source",
            Select::Flow => "flow",
        })
    }
}

/// The key of the hash of [`Select::Source`] and [`Select::Flow`]: random, and the same for a
/// cluster's whole life. As text it is 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SelectKey(pub [u8; 16]);

/// A secret: it is in no log.
impl fmt::Debug for SelectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SelectKey(..)")
    }
}

impl From<SelectKey> for String {
    fn from(key: SelectKey) -> String {
        key.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl FromStr for SelectKey {
    type Err = SelectKeyError;

    fn from_str(text: &str) -> Result<SelectKey, SelectKeyError> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| digits);
        let number = number.ok_or(SelectKeyError)?;
        Ok(SelectKey(number.to_be_bytes()))
    }
}

impl TryFrom<String> for SelectKey {
    type Error = SelectKeyError;

    fn try_from(text: String) -> Result<SelectKey, SelectKeyError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_digits() {
        let text = "000102030405060708090a0b0c0d0eff";
        let key: SelectKey = text.parse().expect("a key");
        assert_eq!((key.0[1], key.0[15]), (1, 0xff));
        assert_eq!(String::from(key), text);
        assert_eq!(format!("{key:?}"), "SelectKey(..)");
        for bad in [
            "",
            "00",
            "+00102030405060708090a0b0c0d0eff",
            &text.repeat(2),
        ] {
            assert_eq!(bad.parse::<SelectKey>(), Err(SelectKeyError), "{bad}");
        }
    }
}
