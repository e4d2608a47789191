//! Who is who: the collector's own certificate authority, agents' keys and certificates, and the pin that joins the two.
//!
//! Everything is ECDSA P-256. The CA lives 10 years; the server's leaf is made anew at each start and lives a year, its key only in
//! memory; an agent's leaf lives [`AGENT_DAYS`] days. Certificates begin [`BACKDATE_SECONDS`] early, because clocks differ.
//! A pin is the SHA-256 of the CA's SubjectPublicKeyInfo.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SerialNumber, date_time_ymd,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use sitepulse_model::id::AgentName;
use sitepulse_model::time::{SECOND_US, UtcMicros};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

pub(crate) mod verify;

/// The name in every collector's certificate. Fixed: a collector's addresses may change, its CA says who it is.
pub const SERVER_NAME: &str = "collector.sitepulse.internal";
/// Days that an agent's certificate lives.
pub const AGENT_DAYS: i64 = 7;
/// How long a server's leaf lives, in days: as the CA. It is made anew at each start, and a collector may run for years.
pub const SERVER_DAYS: i64 = CA_DAYS;
/// Days that the CA lives.
pub const CA_DAYS: i64 = 3653;
/// Seconds by which certificates begin early.
pub const BACKDATE_SECONDS: i64 = 300;

const DAY_SECONDS: i64 = 86_400;

/// Why a key or certificate cannot be made or read.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// A certificate does not parse.
    #[error("a certificate is malformed: {0}")]
    Certificate(String),
    /// A private key does not parse, or is of another kind than ECDSA P-256.
    #[error("a private key is malformed or not ECDSA P-256: {0}")]
    Key(String),
    /// The CA's key and certificate do not belong together.
    #[error("the CA's key does not belong to its certificate: restore both files from the same backup")]
    Mismatch,
    /// A certificate request does not parse, or its signature is wrong.
    #[error("a certificate request is refused: {0}")]
    Request(String),
    /// Making it failed.
    #[error("cannot make a key or certificate: {0}")]
    Generate(String),
}

/// The collector's certificate authority.
pub struct CertificateAuthority {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
    pin: [u8; 32],
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority").field("pin", &pin_text(&self.pin)).finish_non_exhaustive()
    }
}

/// What a server shows: its leaf, the CA, and the leaf's key.
pub struct ServerIdentity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivatePkcs8KeyDer<'static>,
    /// Secret, and the same in every life of the server: lets a restarted one tell peers of the former that it is gone.
    pub(crate) reset_secret: [u8; 32],
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// An agent's new certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate.
    pub certificate_der: Vec<u8>,
    /// When it expires.
    pub expires: UtcMicros,
    /// The agent's key, as its SPKI's SHA-256.
    pub spki_sha256: [u8; 32],
}

impl CertificateAuthority {
    /// A new CA.
    pub fn create(now: UtcMicros) -> Result<Self, IdentityError> {
        let key = KeyPair::generate().map_err(generate)?;
        let mut params = parameters("SitePulse collector CA", now, CA_DAYS)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(generate)?;
        Self::load(&certificate.pem(), &key.serialize_pem())
    }

    /// A CA from its two files' texts.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, IdentityError> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|error| IdentityError::Certificate(error.to_string()))?;
        let key_der = PrivatePkcs8KeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|error| IdentityError::Key(error.to_string()))?;
        let key = key_pair(&key_der)?;
        let pin = spki_sha256(&certificate)?;
        if pin != sha256(&key.subject_public_key_info()) {
            return Err(IdentityError::Mismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| IdentityError::Certificate(error.to_string()))?;
        Ok(Self { certificate, certificate_pem: certificate_pem.to_owned(), key_pem: key_pem.to_owned(), issuer, pin })
    }

    /// The certificate's PEM text.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key's PEM text (PKCS#8): for a file of mode 0600 alone.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// SHA-256 of the CA's SPKI: what agents pin.
    pub const fn pin(&self) -> [u8; 32] {
        self.pin
    }

    /// A new leaf for the server, with a new key.
    pub fn issue_server(&self, now: UtcMicros) -> Result<ServerIdentity, IdentityError> {
        let key = KeyPair::generate().map_err(generate)?;
        let mut params = parameters("SitePulse collector", now, SERVER_DAYS)?;
        let name = SERVER_NAME.try_into().map_err(|error: rcgen::Error| generate(error))?;
        params.subject_alt_names = vec![SanType::DnsName(name)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &self.issuer).map_err(generate)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let reset_secret = sha256(format!("sitepulse stateless reset\n{}", self.key_pem).as_bytes());
        Ok(ServerIdentity { chain: vec![leaf.into(), self.certificate.clone()], key, reset_secret })
    }

    /// A certificate for an agent. Of the request only the key counts, once its signature has shown that the asker holds it.
    pub fn issue_agent(&self, name: &AgentName, csr_der: &[u8], now: UtcMicros) -> Result<Issued, IdentityError> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr_der))
            .map_err(|error| IdentityError::Request(error.to_string()))?;
        let key = request.public_key;
        if key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(IdentityError::Request("its key is not ECDSA P-256".to_owned()));
        }
        let mut params = parameters(name.as_str(), now, AGENT_DAYS)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).map_err(generate)?;
        let (_, expires) = certificate_times(certificate.der())?;
        Ok(Issued {
            expires,
            spki_sha256: spki_sha256(certificate.der())?,
            certificate_der: certificate.der().to_vec(),
        })
    }
}

/// An agent's private key.
pub struct AgentKey {
    key: KeyPair,
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentKey").finish_non_exhaustive()
    }
}

impl AgentKey {
    /// A new key.
    pub fn generate() -> Result<Self, IdentityError> {
        Ok(Self { key: KeyPair::generate().map_err(generate)? })
    }

    /// A key from PKCS#8.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, IdentityError> {
        Ok(Self { key: key_pair(&PrivatePkcs8KeyDer::from(der))? })
    }

    /// The key as PKCS#8: for a file of mode 0600 alone.
    pub fn pkcs8_der(&self) -> &[u8] {
        self.key.serialized_der()
    }

    /// A PKCS#10 request that proves possession of the key.
    pub fn csr_der(&self, name: &AgentName) -> Result<Vec<u8>, IdentityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name_of(name.as_str());
        let request = params.serialize_request(&self.key).map_err(generate)?;
        Ok(request.der().to_vec())
    }

    /// SHA-256 of the key's SPKI: how the collector knows the key.
    pub fn spki_sha256(&self) -> [u8; 32] {
        sha256(&self.key.subject_public_key_info())
    }
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo.
pub fn spki_sha256(certificate_der: &[u8]) -> Result<[u8; 32], IdentityError> {
    Ok(sha256(parse(certificate_der)?.public_key().raw))
}

/// When a certificate begins and ends.
pub fn certificate_times(certificate_der: &[u8]) -> Result<(UtcMicros, UtcMicros), IdentityError> {
    let certificate = parse(certificate_der)?;
    let at = |seconds: i64| UtcMicros(seconds.saturating_mul(SECOND_US));
    let validity = certificate.validity();
    Ok((at(validity.not_before.timestamp()), at(validity.not_after.timestamp())))
}

/// A certificate's only common name: an agent's name.
pub fn common_name(certificate_der: &[u8]) -> Result<String, IdentityError> {
    let certificate = parse(certificate_der)?;
    let mut names = certificate.subject().iter_common_name();
    let error = || IdentityError::Certificate("it has not exactly one common name".to_owned());
    match (names.next(), names.next()) {
        (Some(name), None) => name.as_str().map(str::to_owned).map_err(|_| error()),
        (_, _) => Err(error()),
    }
}

/// A pin as people compare it: base64url.
pub fn pin_text(pin: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(pin)
}

fn parse(certificate_der: &[u8]) -> Result<X509Certificate<'_>, IdentityError> {
    let (rest, certificate) =
        X509Certificate::from_der(certificate_der).map_err(|error| IdentityError::Certificate(error.to_string()))?;
    if rest.is_empty() { Ok(certificate) } else { Err(IdentityError::Certificate("bytes trail after it".to_owned())) }
}

fn key_pair(der: &PrivatePkcs8KeyDer<'_>) -> Result<KeyPair, IdentityError> {
    KeyPair::from_pkcs8_der_and_sign_algo(der, &PKCS_ECDSA_P256_SHA256)
        .map_err(|error| IdentityError::Key(error.to_string()))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn generate(error: rcgen::Error) -> IdentityError {
    IdentityError::Generate(error.to_string())
}

fn common_name_of(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn parameters(name: &str, now: UtcMicros, days: i64) -> Result<CertificateParams, IdentityError> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|error| IdentityError::Generate(error.to_string()))?;
    // Positive, and of full length.
    serial[0] = serial[0] & 0x7f | 0x40;
    let seconds = now.0.div_euclid(SECOND_US);
    let at = |seconds: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.max(0).unsigned_abs());
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name_of(name);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = at(seconds - BACKDATE_SECONDS);
    params.not_after = at(seconds + days * DAY_SECONDS);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UtcMicros = UtcMicros(1_795_341_600_000_000);

    fn name() -> AgentName {
        AgentName::parse("eu-west-1").unwrap()
    }

    #[test]
    fn a_ca_survives_its_files() {
        let ca = CertificateAuthority::create(NOW).unwrap();
        let again = CertificateAuthority::load(ca.certificate_pem(), ca.key_pem()).unwrap();
        assert_eq!(again.pin(), ca.pin());
        assert_eq!(spki_sha256(ca.certificate_der()).unwrap(), ca.pin());
        let other = CertificateAuthority::create(NOW).unwrap();
        let error = CertificateAuthority::load(ca.certificate_pem(), other.key_pem()).unwrap_err();
        assert!(matches!(error, IdentityError::Mismatch));
        assert!(CertificateAuthority::load("junk", ca.key_pem()).is_err());
        assert!(CertificateAuthority::load(ca.certificate_pem(), "junk").is_err());
        assert!(!format!("{ca:?}").contains("PRIVATE"));
    }

    #[test]
    fn an_agents_certificate_names_it_and_its_key_for_seven_days() {
        let ca = CertificateAuthority::create(NOW).unwrap();
        let key = AgentKey::generate().unwrap();
        let key = AgentKey::from_pkcs8_der(key.pkcs8_der()).unwrap();
        let csr = key.csr_der(&AgentName::parse("asks-for-another-name").unwrap()).unwrap();
        let issued = ca.issue_agent(&name(), &csr, NOW).unwrap();
        assert_eq!(common_name(&issued.certificate_der).unwrap(), "eu-west-1");
        assert_eq!(issued.spki_sha256, key.spki_sha256());
        assert_eq!(issued.expires, NOW.plus_us(AGENT_DAYS * DAY_SECONDS * SECOND_US));
        let (from, to) = certificate_times(&issued.certificate_der).unwrap();
        assert_eq!((from, to), (NOW.plus_us(-BACKDATE_SECONDS * SECOND_US), issued.expires));
    }

    #[test]
    fn a_request_must_be_signed_by_its_key() {
        let ca = CertificateAuthority::create(NOW).unwrap();
        let mut csr = AgentKey::generate().unwrap().csr_der(&name()).unwrap();
        assert!(ca.issue_agent(&name(), &csr[..csr.len() - 1], NOW).is_err());
        // Within the public key: the signature fits no more.
        csr[60] ^= 1;
        assert!(matches!(ca.issue_agent(&name(), &csr, NOW), Err(IdentityError::Request(_))));
        assert!(ca.issue_agent(&name(), b"", NOW).is_err());
    }

    #[test]
    fn junk_is_no_certificate() {
        for junk in [&b""[..], b"junk", &[0x30, 0x82, 0xff, 0xff]] {
            assert!(spki_sha256(junk).is_err() && certificate_times(junk).is_err() && common_name(junk).is_err());
        }
    }
}
