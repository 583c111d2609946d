//! What a certificate says.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// From so many days before its end on, a certificate is worth a warning.
pub const SOON: u64 = 30;

const DAY: u64 = 24 * 60 * 60;

/// Whom a certificate is for, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its DNS names, as they stand in it.
    pub names: Vec<String>,
    /// The last moment of its validity.
    pub expires: SystemTime,
}

impl Certificate {
    /// Reads a certificate, whose signature is the caller's business.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(der: &CertificateDer<'_>) -> Result<Certificate, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|error| error.to_string())?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        // One from before 1970 has expired just as well.
        let expires = certificate.validity().not_after.timestamp();
        let expires = Duration::from_secs(u64::try_from(expires).unwrap_or(0));
        Ok(Certificate {
            names: names.collect(),
            expires: SystemTime::UNIX_EPOCH + expires,
        })
    }

    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// There is none, or something is wrong with it.
    pub fn from_pem(text: &[u8]) -> Result<Certificate, String> {
        let der = CertificateDer::from_pem_slice(text).map_err(|error| error.to_string())?;
        Certificate::parse(&der)
    }

    /// Whole days from `now` to the end of its validity; none when that has passed.
    pub fn days_left(&self, now: SystemTime) -> Option<u64> {
        let left = self.expires.duration_since(now).ok()?;
        Some(left.as_secs() / DAY)
    }
}
