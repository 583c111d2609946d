//! TLS as HaloD and its nodes speak it: version 1.3 only, a certificate on both sides from one
//! CA, and every handshake a full one, so that the certificate of each connection was checked
//! for that connection: no tickets, no early data.
//!
//! [`Files`] are read into [`Credentials`], and these make rustls's configuration of an end.

mod certificate;
mod error;
mod files;

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

pub use certificate::{Certificate, SOON};
pub use error::Error;
pub use files::{Credentials, Files};

/// HaloD's end. Nodes must show a certificate of the CA for client authentication.
///
/// # Errors
/// The files do not fit each other, or hold what cannot be used.
pub fn server(credentials: Credentials) -> Result<ServerConfig, Error> {
    let Credentials {
        files,
        roots,
        chain,
        key,
    } = credentials;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| Error::Unusable {
                path: files.ca.clone(),
                what: error.to_string(),
            })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(Error::Provider)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| files.pair(error))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// A node's end. HaloD must show a certificate of the CA for server authentication.
///
/// # Errors
/// The files do not fit each other, or hold what cannot be used.
pub fn client(credentials: Credentials) -> Result<ClientConfig, Error> {
    let Credentials {
        files,
        roots,
        chain,
        key,
    } = credentials;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(Error::Provider)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| files.pair(error))?;
    config.resumption = Resumption::disabled();
    Ok(config)
}
