//! A certificate authority of the tests' own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType};
use sitepulse_daemon::{clock, instant};

/// A certificate authority.
#[derive(Debug)]
pub struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A leaf with its key, as PEM.
#[derive(Debug)]
pub struct Leaf {
    certificate: String,
    key: String,
}

/// Where a leaf was written.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Pki {
    /// Makes one.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(rcgen::DnType::CommonName, "Test CA");
        let key = KeyPair::generate().expect("a key can be made");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("it signs itself") }
    }

    /// Its certificate.
    pub fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Its key.
    pub fn ca_key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A server's certificate for `name` and 127.0.0.1, good till 2090.
    pub fn server(&self, name: &str) -> Leaf {
        self.leaf(name, (2020, 2090))
    }

    /// One that expired in 2021.
    pub fn expired(&self, name: &str) -> Leaf {
        self.leaf(name, (2020, 2021))
    }

    /// One that is good for `days` more days, and some hours of another one.
    pub fn expiring(&self, name: &str, days: i64) -> Leaf {
        // It ends as that day begins.
        let text = instant::format(clock::now().plus_us((days + 1) * 86_400_000_000));
        let part = |range: std::ops::Range<usize>| text[range].parse::<u16>().expect("instants are RFC 3339");
        self.leaf_until(name, 2020, (part(0..4).into(), part(5..7) as u8, part(8..10) as u8))
    }

    /// A leaf for `name` between two years.
    pub fn leaf(&self, name: &str, (from, to): (i32, i32)) -> Leaf {
        self.leaf_until(name, from, (to, 1, 1))
    }

    fn leaf_until(&self, name: &str, from: i32, (year, month, day): (i32, u8, u8)) -> Leaf {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
        params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, month, day);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("it signs");
        Leaf { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

impl Leaf {
    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The key, PEM.
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// Writes both into `dir`.
    pub fn write(&self, dir: &Path, name: &str) -> Issued {
        let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        std::fs::write(&certificate, &self.certificate).expect("a file can be written");
        std::fs::write(&key, &self.key).expect("a file can be written");
        Issued { certificate, key }
    }
}
