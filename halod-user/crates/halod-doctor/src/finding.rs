//! What was found, and how it is mended.

use std::fmt::Display;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Unknown,
    /// It works, but not in every case.
    Warning,
    /// Users or nodes are harmed by it.
    Problem,
}

/// One line of the diagnosis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, one word.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was seen, in a sentence.
    pub text: String,
    /// The commands that mend it, in their order; none where there is nothing to mend, or it takes
    /// more than a command.
    pub mend: Vec<String>,
    /// A command that changes nothing and shows more of it, where there is one.
    pub show: Option<String>,
}

/// Findings, as one check after the other makes them.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    pub(crate) fn add(
        &mut self,
        check: &'static str,
        level: Level,
        text: impl Into<String>,
        mend: Vec<String>,
    ) {
        self.0.push(Finding {
            check,
            level,
            text: text.into(),
            mend,
            show: None,
        });
    }

    /// The command that shows more of the last finding.
    pub(crate) fn shown_by(&mut self, command: impl Into<String>) {
        if let Some(last) = self.0.last_mut() {
            last.show = Some(command.into());
        }
    }

    pub(crate) fn ok(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Level::Ok, text, Vec::new());
    }

    pub(crate) fn unknown(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Level::Unknown, text, Vec::new());
    }

    /// Whether this check has found nothing wrong so far.
    pub(crate) fn clean(&self, check: &str) -> bool {
        !self
            .0
            .iter()
            .any(|found| found.check == check && found.level > Level::Ok)
    }
}

/// `sysctl -w` of a value below `net.`; keys are said with `/`, which devices' names do not have.
pub(crate) fn sysctl(key: &str, value: impl Display) -> String {
    let key = format!("net/{key}");
    // A device's name may have dots of its own; then sysctl takes the slashes.
    let key = if key.contains('.') {
        key
    } else {
        key.replace('/', ".")
    };
    format!("sysctl -w {key}={value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_with_dots_keep_them() {
        assert_eq!(
            sysctl("ipv4/conf/eth0/rp_filter", 2),
            "sysctl -w net.ipv4.conf.eth0.rp_filter=2"
        );
        assert_eq!(
            sysctl("ipv4/conf/eth0.7/rp_filter", 2),
            "sysctl -w net/ipv4/conf/eth0.7/rp_filter=2"
        );
    }
}
