//! What can be wrong with the files.

use std::io;
use std::path::PathBuf;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; `halodctl pki` makes the files", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has other contents than it should have.
    #[error(
        "{path} holds no {what}; a file in PEM form with -----BEGIN {begin}----- is needed",
        path = path.display()
    )]
    Contents {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// How that begins.
        begin: &'static str,
    },
    /// A file is broken.
    #[error("{path} cannot be used: {what}", path = path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The key is that of another certificate.
    #[error(
        "the key in {key} is not that of the certificate in {certificate}; give both as they were \
         issued together",
        key = key.display(), certificate = certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The cryptography that is built in cannot do TLS 1.3.
    #[error("no TLS 1.3: {0}")]
    Provider(rustls::Error),
}
