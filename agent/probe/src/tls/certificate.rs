//! What a certificate says. It comes from the target: whatever does not parse is left out.

use ring::digest::{SHA256, digest};
use rustls_pki_types::{CertificateDer, TrustAnchor};
use sitepulse_model::time::{SECOND_US, UtcMicros};
use x509_parser::asn1_rs::{Any, Class, FromDer as _};
use x509_parser::certificate::{Validity, X509CertificateParser};
use x509_parser::nom::Parser as _;
use x509_parser::prelude::{GeneralName, X509Certificate, X509Name};
use x509_parser::time::ASN1Time;

use crate::evidence::hex;

/// What one certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// The common name, or the whole subject where there is none.
    pub(super) subject: String,
    /// As for the subject.
    pub(super) issuer: String,
    /// Host names and addresses that it is for; TLS bounds the certificate, and so their number.
    pub(super) names: Vec<String>,
    pub(super) not_before: UtcMicros,
    pub(super) not_after: UtcMicros,
}

impl Certificate {
    pub(super) fn parse(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509CertificateParser::new().parse(der).ok()?;
        let (not_before, not_after) = period(&certificate);
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect());
        Some(Self {
            subject: title(certificate.subject()),
            issuer: title(certificate.issuer()),
            names: names.unwrap_or_default(),
            not_before,
            not_after,
        })
    }
}

/// Whose a certificate is, who signed it, and when it expires; nothing else of it is read.
pub(super) fn titles(der: &CertificateDer<'_>) -> Option<(String, String, UtcMicros)> {
    let (_, certificate) = X509CertificateParser::new().with_deep_parse_extensions(false).parse(der).ok()?;
    let (_, not_after) = period(&certificate);
    Some((title(certificate.subject()), title(certificate.issuer()), not_after))
}

/// Whether a certificate's own key signed it.
pub(super) fn is_self_signed(der: &CertificateDer<'_>) -> bool {
    let parsed = X509CertificateParser::new().with_deep_parse_extensions(false).parse(der);
    parsed.is_ok_and(|(_, certificate)| {
        certificate.subject() == certificate.issuer() && certificate.verify_signature(None).is_ok()
    })
}

/// A certificate's key, as `SubjectPublicKeyInfo` in DER.
pub(super) fn key(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, certificate) = X509CertificateParser::new().with_deep_parse_extensions(false).parse(der).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

/// A root's key, as [`key`] gives it: anchors keep what is inside the sequence.
pub(super) fn key_of_anchor(anchor: &TrustAnchor<'_>) -> Vec<u8> {
    sequence(&anchor.subject_public_key_info)
}

/// The name of a certificate's issuer, in DER, as anchors keep their own: what is inside the sequence.
pub(super) fn issuer(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, certificate) = X509CertificateParser::new().with_deep_parse_extensions(false).parse(der).ok()?;
    let (inner, header) = x509_parser::asn1_rs::Header::from_der(certificate.issuer().as_raw()).ok()?;
    inner.get(..header.length().definite().ok()?).map(<[u8]>::to_vec)
}

/// Wraps contents into a DER sequence.
fn sequence(contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![0x30];
    match contents.len() {
        0..128 => out.push(contents.len() as u8),
        _ => {
            out.push(0x80 | significant.len() as u8);
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(contents);
    out
}

/// From when to when a certificate is valid. Every run asks: it goes straight to the place (RFC 5280, 4.1) and reads nothing else.
pub(super) fn validity(der: &CertificateDer<'_>) -> Option<(UtcMicros, UtcMicros)> {
    let (_, certificate) = Any::from_der(der).ok()?;
    let (_, signed) = Any::from_der(certificate.data).ok()?;
    let (mut rest, first) = Any::from_der(signed.data).ok()?;
    // The version is optional. Serial number, algorithm and issuer follow.
    for _ in 0..if first.class() == Class::ContextSpecific { 3 } else { 2 } {
        (rest, _) = Any::from_der(rest).ok()?;
    }
    let (_, validity) = Validity::from_der(rest).ok()?;
    Some((at(validity.not_before), at(validity.not_after)))
}

fn at(time: ASN1Time) -> UtcMicros {
    UtcMicros(time.timestamp().saturating_mul(SECOND_US))
}

fn period(certificate: &X509Certificate<'_>) -> (UtcMicros, UtcMicros) {
    (at(certificate.validity().not_before), at(certificate.validity().not_after))
}

/// A name for people: an organisation's authorities have common names that tell little alone.
fn title(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().find_map(|part| part.as_str().ok());
    let organisation = name.iter_organization().find_map(|part| part.as_str().ok());
    match (common, organisation) {
        (Some(common), Some(organisation)) => format!("{common} ({organisation})"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => name.to_string(),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: servers have no other names")]
fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
            v4.or_else(|_| v6()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// The fingerprint that browsers and `openssl x509 -fingerprint -sha256` show, in lower case and without colons.
pub(super) fn sha256(der: &CertificateDer<'_>) -> String {
    hex(digest(&SHA256, der).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::pki::{Authority, Leaf};

    #[test]
    fn the_short_way_to_the_dates_finds_what_the_long_way_does() {
        let root = Authority::root("Root");
        for years in [(1950, 2049), (1999, 2000), (2020, 2050), (2049, 2051), (3000, 4000)] {
            let leaf = Leaf::of(&root, &["shop.example"]).valid(years.0, years.1);
            let parsed = Certificate::parse(leaf.der()).unwrap();
            assert_eq!(validity(leaf.der()), Some((parsed.not_before, parsed.not_after)), "{years:?}");
        }
        // Of the first version, without the version in it.
        let old = CertificateDer::from(&include_bytes!("v1.der")[..]);
        let parsed = Certificate::parse(&old).unwrap();
        assert_eq!(validity(&old), Some((parsed.not_before, parsed.not_after)));
        for length in 0..old.len() {
            assert!(validity(&CertificateDer::from(&old[..length])).is_none());
        }
        assert_eq!(validity(&CertificateDer::from(&b"\x30\x00"[..])), None);
    }
}
