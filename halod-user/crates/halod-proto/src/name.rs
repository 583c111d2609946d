//! Names of nodes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::NameError;
use crate::error::quote;

/// The rule, as errors say it.
pub(crate) const RULE: &str =
    "1 to 63 characters of a-z, 0-9, '.' and '-', with a letter or digit at both ends";

/// A node's name: 1 to 63 bytes of `[a-z0-9.-]`, a letter or digit at both ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` keeps the rule for names.
pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    bytes.len() <= 63
        && bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes
            .iter()
            .all(|b| alphanumeric(b) || matches!(b, b'.' | b'-'))
}

impl TryFrom<String> for NodeName {
    type Error = NameError;

    fn try_from(text: String) -> Result<NodeName, NameError> {
        if is_name(&text) {
            Ok(NodeName(text))
        } else {
            Err(NameError {
                quoted: quote(&text),
            })
        }
    }
}

impl FromStr for NodeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<NodeName, NameError> {
        NodeName::try_from(text.to_owned())
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> String {
        name.0
    }
}

impl AsRef<str> for NodeName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_for_names() {
        for good in ["a", "n1", "0", "push-1.example.net", &"x".repeat(63)] {
            assert_eq!(good.parse::<NodeName>().expect(good).as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            ".",
            "A",
            "a b",
            "n\u{e9}",
            "a\n",
            "a_b",
            &"x".repeat(64),
        ] {
            let error = bad.parse::<NodeName>().expect_err(bad).to_string();
            assert!(error.contains("1 to 63 characters"), "{error}");
        }
    }

    #[test]
    fn serde_keeps_the_rule() {
        assert!(serde_json::from_str::<NodeName>("\"n1\"").is_ok());
        let error = serde_json::from_str::<NodeName>("\"N 1\"").expect_err("a wrong name");
        assert!(
            error.to_string().contains("\"N 1\" is not a node's name"),
            "{error}"
        );
    }
}
