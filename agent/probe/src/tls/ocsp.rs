//! The stapled OCSP answer (RFC 6960): whether the issuer has revoked the leaf. Believed only when the issuer signed it, itself or through a
//! responder that it appointed, and while it is fresh. Anything else is `unknown`, as if the issuer did not know.

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use rustls_pki_types::CertificateDer;
use sitepulse_model::time::{SECOND_US, UtcMicros};
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus, SingleResponse};
use x509_parser::asn1_rs::BitString;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::verify::verify_signature;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// `id-pkix-ocsp-basic`.
const BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
/// How far the responder's clock may be ahead.
const SKEW_US: i64 = 300 * SECOND_US;
/// Most certificates that an answer may bring along.
const RESPONDERS_MAX: usize = 4;

/// What the issuer says of the leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staple {
    Good,
    Revoked {
        at: UtcMicros,
    },
    /// The issuer does not know it, or the answer cannot be believed.
    Unknown,
}

impl Staple {
    /// Its name among the facts.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Revoked { .. } => "revoked",
            Self::Unknown => "unknown",
        }
    }
}

/// The key of a possible issuer: its `SubjectPublicKeyInfo`, in DER.
pub(super) type Key = Vec<u8>;

/// Reads a staple about `leaf`. `issuers` gives the keys that may have signed the leaf; it is asked only for an answer worth verifying.
pub(super) fn read(
    staple: &[u8],
    leaf: &CertificateDer<'_>,
    issuers: impl FnOnce() -> Vec<Key>,
    now: UtcMicros,
) -> Staple {
    believed(staple, leaf, issuers, now).unwrap_or(Staple::Unknown)
}

/// Whether a staple says that anything is revoked, to be believed or not.
pub(super) fn may_revoke(staple: &[u8]) -> bool {
    let revokes = |single: &SingleResponse| matches!(single.cert_status, CertStatus::Revoked(_));
    basic(staple).is_some_and(|basic| basic.tbs_response_data.responses.iter().any(revokes))
}

/// The signed answer in a staple; an empty one has none.
fn basic(staple: &[u8]) -> Option<BasicOcspResponse> {
    if staple.is_empty() {
        return None;
    }
    let response = OcspResponse::from_der(staple).ok()?;
    let bytes = response.response_bytes.filter(|bytes| bytes.response_type == BASIC)?;
    if response.response_status != OcspResponseStatus::Successful {
        return None;
    }
    BasicOcspResponse::from_der(bytes.response.as_bytes()).ok()
}

fn believed(
    staple: &[u8],
    leaf: &CertificateDer<'_>,
    issuers: impl FnOnce() -> Vec<Key>,
    now: UtcMicros,
) -> Option<Staple> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    let basic = basic(staple)?;
    let about = |single: &&SingleResponse| {
        let serial = single.cert_id.serial_number.as_bytes();
        strip(serial) == strip(leaf.raw_serial()) && is_fresh(single, now)
    };
    let single = basic.tbs_response_data.responses.iter().find(about)?;
    let signed = basic.tbs_response_data.to_der().ok()?;
    let algorithm = basic.signature_algorithm.to_der().ok()?;
    let signature = basic.signature.as_bytes()?;
    let is_signed_by = |key: &[u8]| {
        let Ok((_, key)) = SubjectPublicKeyInfo::from_der(key) else { return false };
        let Ok((_, algorithm)) = AlgorithmIdentifier::from_der(&algorithm) else { return false };
        verify_signature(&key, &algorithm, &BitString::new(0, signature), &signed).is_ok()
    };
    // Whoever signed the leaf is its issuer, whatever name it goes by.
    let issuer = issuers().into_iter().find(|key| {
        SubjectPublicKeyInfo::from_der(key).is_ok_and(|(_, key)| leaf.verify_signature(Some(&key)).is_ok())
    })?;
    let appointed = || {
        basic.certs.iter().flatten().take(RESPONDERS_MAX).any(|responder| {
            responder.to_der().is_ok_and(|der| {
                X509Certificate::from_der(&der).is_ok_and(|(_, responder)| {
                    is_appointed(&responder, &issuer, now) && is_signed_by(responder.public_key().raw)
                })
            })
        })
    };
    if !is_signed_by(&issuer) && !appointed() {
        return None;
    }
    Some(match single.cert_status {
        CertStatus::Good(_) => Staple::Good,
        CertStatus::Revoked(info) => Staple::Revoked { at: time(info.revocation_time) },
        CertStatus::Unknown(_) => Staple::Unknown,
    })
}

/// Whether the issuer appointed a responder: signed it, for signing such answers, and its time is not over.
fn is_appointed(responder: &X509Certificate<'_>, issuer: &[u8], now: UtcMicros) -> bool {
    let Ok((_, issuer)) = SubjectPublicKeyInfo::from_der(issuer) else { return false };
    let valid = responder.validity();
    let seconds = now.0.div_euclid(SECOND_US);
    let purpose = responder.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.ocsp_signing);
    purpose
        && (valid.not_before.timestamp()..=valid.not_after.timestamp()).contains(&seconds)
        && responder.verify_signature(Some(&issuer)).is_ok()
}

fn is_fresh(single: &SingleResponse, now: UtcMicros) -> bool {
    let begun = time(single.this_update).us_since(now) <= SKEW_US;
    begun && single.next_update.is_none_or(|next| time(next) > now)
}

fn time(time: OcspGeneralizedTime) -> UtcMicros {
    let seconds = time.0.to_unix_duration().as_secs();
    UtcMicros(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(SECOND_US))
}

/// An integer's bytes without the leading zero that keeps it positive.
fn strip(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}
