//! Certificates and keys from PEM files.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{Certificate, Error};

/// Where an end's credentials are: three files in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Certificates of the CAs that the other end's certificate may come from.
    pub ca: PathBuf,
    /// The own certificate, followed by those between it and the CA, if there are any.
    pub certificate: PathBuf,
    /// The own certificate's private key.
    pub key: PathBuf,
}

/// What the files hold.
#[derive(Debug)]
pub struct Credentials {
    pub(crate) files: Files,
    pub(crate) roots: RootCertStore,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Files {
    /// The bytes of all three, to see whether they have changed.
    ///
    /// # Errors
    /// Names the file that cannot be read.
    pub fn contents(&self) -> Result<[Vec<u8>; 3], Error> {
        Ok([read(&self.ca)?, read(&self.certificate)?, read(&self.key)?])
    }

    /// Reads all three.
    ///
    /// # Errors
    /// Names the file that is not what it should be.
    pub fn load(&self) -> Result<Credentials, Error> {
        self.parse(&self.contents()?)
    }

    /// Makes sense of what [`Files::contents`] gave.
    ///
    /// # Errors
    /// Names the file that is not what it should be.
    pub fn parse(&self, [ca, certificate, key]: &[Vec<u8>; 3]) -> Result<Credentials, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca, ca)? {
            roots.add(certificate).map_err(|error| Error::Unusable {
                path: self.ca.clone(),
                what: error.to_string(),
            })?;
        }
        let chain = certificates(&self.certificate, certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| wrong(&self.key, &error, "private key", "PRIVATE KEY"))?;
        Ok(Credentials {
            files: self.clone(),
            roots,
            chain,
            key,
        })
    }

    /// What rustls says of a certificate and its key.
    pub(crate) fn pair(&self, error: rustls::Error) -> Error {
        match error {
            rustls::Error::InconsistentKeys(_) => Error::Mismatch {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
            },
            rustls::Error::InvalidCertificate(error) => Error::Unusable {
                path: self.certificate.clone(),
                what: error.to_string(),
            },
            error => Error::Unusable {
                path: self.key.clone(),
                what: error.to_string(),
            },
        }
    }
}

impl Credentials {
    /// The own certificate.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn certificate(&self) -> Result<Certificate, Error> {
        // A chain is never empty: see `certificates`.
        Certificate::parse(&self.chain[0]).map_err(|what| Error::Unusable {
            path: self.files.certificate.clone(),
            what,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// All certificates of a file: at least one.
fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(pem::Error::NoItemsFound),
        Err(error) => Err(error),
    }
    .map_err(|error| wrong(path, &error, "certificate", "CERTIFICATE"))
}

fn wrong(path: &Path, error: &pem::Error, what: &'static str, begin: &'static str) -> Error {
    let path = path.to_owned();
    match error {
        pem::Error::NoItemsFound => Error::Contents { path, what, begin },
        error => Error::Unusable {
            path,
            what: error.to_string(),
        },
    }
}
