//! `halodctl pki`: a CA and certificates, in files.

mod files;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use halod_proto::NodeName;
use halod_tls::Certificate;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use serde::Serialize;

use crate::cli::{Pki, Place};
use crate::failure::Failure;
use crate::output::Output;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a CA is good for.
const CA_DAYS: u32 = 3650;

/// The other machine's clock may be behind.
const SKEW: Duration = Duration::from_secs(60 * 60);

/// What was made.
#[derive(Serialize)]
struct Made {
    certificate: PathBuf,
    key: PathBuf,
    /// The last moment of its validity, RFC 3339.
    expires: String,
}

pub fn run(pki: &Pki, output: &mut Output) -> Result<(), Failure> {
    match pki {
        Pki::Init { place } => {
            let made = init(place)?;
            output.result(&made, |made| {
                format!(
                    "{} is the CA, good until {}: copy it to halod and every node.\n\
                     {} is its key: keep it here, and keep it secret.\n",
                    made.certificate.display(),
                    made.expires,
                    made.key.display(),
                )
            })
        }
        Pki::Issue {
            name,
            server,
            address,
            days,
            place,
        } => {
            let made = issue(name, *server, address, *days, place)?;
            output.result(&made, |made| {
                let whose = if *server { "halod's" } else { "the node's" };
                format!(
                    "{} is {whose} certificate for {name}, good until {}.\n\
                     {} is its key: copy both, and {}, to that machine.\n",
                    made.certificate.display(),
                    made.expires,
                    made.key.display(),
                    place.dir.join("ca.pem").display(),
                )
            })
        }
    }
}

fn init(place: &Place) -> Result<Made, Failure> {
    let pair = files::Pair::new(place, "ca")?;
    let (mut params, made) = params("HaloD CA", CA_DAYS, &pair);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = fresh_key()?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    pair.write(&certificate.pem(), &key.serialize_pem())?;
    Ok(made)
}

fn issue(
    name: &NodeName,
    server: bool,
    addresses: &[IpAddr],
    days: u32,
    place: &Place,
) -> Result<Made, Failure> {
    let pair = files::Pair::new(place, name.as_str())?;
    let issuer = issuer(&place.dir, days)?;
    let (mut params, made) = params(name.as_str(), days, &pair);
    let dns = Ia5String::try_from(name.as_str()).map_err(failed)?;
    params.subject_alt_names = vec![SanType::DnsName(dns)];
    params
        .subject_alt_names
        .extend(addresses.iter().copied().map(SanType::IpAddress));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![if server {
        ExtendedKeyUsagePurpose::ServerAuth
    } else {
        ExtendedKeyUsagePurpose::ClientAuth
    }];
    params.use_authority_key_identifier_extension = true;
    let key = fresh_key()?;
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    pair.write(&certificate.pem(), &key.serialize_pem())?;
    Ok(made)
}

/// The CA in a directory, which must be good for so many days more.
fn issuer(dir: &Path, days: u32) -> Result<Issuer<'static, KeyPair>, Failure> {
    let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    let wrong = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::Failed(format!(
            "{} is not that of a CA: {error}; `halodctl pki init` makes one",
            path.display()
        ))
    };
    let text = files::read(&key)?;
    let pair = KeyPair::from_pem(&text).map_err(|error| wrong(&key, &error))?;
    let text = files::read(&certificate)?;
    let left = Certificate::from_pem(text.as_bytes())
        .map_err(|error| wrong(&certificate, &error))?
        .days_left(SystemTime::now());
    match left {
        Some(left) if u64::from(days) <= left => {}
        left => {
            return Err(Failure::Failed(format!(
                "the CA in {} is good for {} days, the certificate would be for {days}; give a \
                 smaller --days, or make a new CA with `halodctl pki init`",
                certificate.display(),
                left.unwrap_or(0)
            )));
        }
    }
    Issuer::from_ca_cert_pem(&text, pair).map_err(|error| wrong(&certificate, &error))
}

/// What all certificates have in common.
fn params(name: &str, days: u32, pair: &files::Pair) -> (CertificateParams, Made) {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now();
    let expires = now + DAY * days;
    params.not_before = (now - SKEW).into();
    params.not_after = expires.into();
    let made = Made {
        certificate: pair.certificate.clone(),
        key: pair.key.clone(),
        expires: humantime::format_rfc3339_seconds(expires).to_string(),
    };
    (params, made)
}

fn fresh_key() -> Result<KeyPair, Failure> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)
}

fn failed(error: rcgen::Error) -> Failure {
    Failure::Failed(format!("cannot make the certificate: {error}"))
}
