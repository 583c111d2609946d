//! Certificates for tests, those of other crates too (by `#[path]`): good ones, and bad ones in
//! every way.
#![allow(dead_code, reason = "not every test uses every part")]

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use halod_tls::Files;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A CA with a directory.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

/// What a certificate shall say.
#[derive(Clone)]
pub struct Leaf<'a> {
    pub names: &'a [&'a str],
    pub server: bool,
    /// Days from now that it begins and ends.
    pub from: i64,
    pub to: i64,
}

/// A node's.
pub fn node<'a>(names: &'a [&'a str]) -> Leaf<'a> {
    Leaf {
        names,
        server: false,
        from: -1,
        to: 365,
    }
}

/// HaloD's, for `halod` and 127.0.0.1.
pub const SERVER: Leaf<'_> = Leaf {
    names: &["halod"],
    server: true,
    from: -1,
    to: 365,
};

impl Ca {
    pub fn new() -> Ca {
        Ca::named("a CA of tests")
    }

    pub fn named(name: &str) -> Ca {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let dir = tempfile::tempdir().expect("a directory");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA");
        fs::write(dir.path().join("ca.pem"), issuer.pem()).expect("written");
        Ca { issuer, dir }
    }

    /// Makes a certificate, in files that are named after it.
    pub fn issue(&self, file: &str, leaf: &Leaf<'_>) -> Files {
        let path = |ending| self.dir.path().join(format!("{file}.{ending}"));
        let files = Files {
            ca: self.dir.path().join("ca.pem"),
            certificate: path("pem"),
            key: path("key"),
        };
        self.issue_to(&files, leaf);
        files
    }

    /// Makes a certificate in those files; that of the CA is written too.
    pub fn issue_to(&self, files: &Files, leaf: &Leaf<'_>) {
        let mut params = CertificateParams::default();
        let dns = |name: &&str| SanType::DnsName(Ia5String::try_from(*name).expect("a name"));
        params.subject_alt_names = leaf.names.iter().map(dns).collect();
        let purpose = if leaf.server {
            let loopback = SanType::IpAddress([127, 0, 0, 1].into());
            params.subject_alt_names.push(loopback);
            ExtendedKeyUsagePurpose::ServerAuth
        } else {
            ExtendedKeyUsagePurpose::ClientAuth
        };
        params.extended_key_usages = vec![purpose];
        params.not_before = day(leaf.from).into();
        params.not_after = day(leaf.to).into();
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        fs::write(&files.ca, self.issuer.pem()).expect("written");
        fs::write(&files.certificate, certificate.pem()).expect("written");
        fs::write(&files.key, key.serialize_pem()).expect("written");
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn day(offset: i64) -> SystemTime {
    let length = DAY * u32::try_from(offset.unsigned_abs()).expect("few days");
    if offset < 0 {
        SystemTime::now() - length
    } else {
        SystemTime::now() + length
    }
}
