//! What can be wrong with a configuration.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// The file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is wrong.
    Wrong {
        /// The file.
        path: PathBuf,
        /// At least one problem.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, from 1; none where something is missing from the whole file.
    pub line: Option<usize>,
    /// What is wrong, with which value, and what would be right.
    pub text: String,
}

impl Problem {
    /// A problem with the part `span` (in bytes) of `source`.
    pub(super) fn at(source: &str, span: &Range<usize>, text: impl Into<String>) -> Problem {
        Problem {
            line: Some(line_of(source, span.start)),
            text: text.into(),
        }
    }
}

/// The line, from 1, of a byte of `source`.
pub(super) fn line_of(source: &str, offset: usize) -> usize {
    let before = &source.as_bytes()[..offset.min(source.len())];
    before.iter().filter(|&&b| b == b'\n').count() + 1
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Read { path, source } => write!(
                f,
                "{}: cannot read the configuration: {source} (name another file with --config)",
                path.display()
            ),
            ConfigError::Wrong { path, problems } => {
                for (n, problem) in problems.iter().enumerate() {
                    if n > 0 {
                        writeln!(f)?;
                    }
                    match problem.line {
                        Some(line) => write!(f, "{}:{line}: {}", path.display(), problem.text)?,
                        None => write!(f, "{}: {}", path.display(), problem.text)?,
                    }
                }
                Ok(())
            }
        }
    }
}
