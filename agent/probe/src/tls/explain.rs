//! Why a handshake failed, in one line for people.

use std::io;

use rustls::{AlertDescription, CertificateError, PeerIncompatible};
use sitepulse_model::record::{Cause, Phase};
use sitepulse_model::time::{SECOND_US, UtcMicros};

use super::certificate::{Certificate, is_self_signed};
use super::shown::{Seen, Shown};
use crate::attempt::Failure;
use crate::connect;

/// Explains a failed handshake in one line.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enums: the rest is told as it is")]
pub(crate) fn explain(host: &str, error: &io::Error, shown: &Shown, now: UtcMicros) -> Failure {
    if connect::is_agent_fault(error) {
        return connect::agent_fault(Phase::Tls, error);
    }
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        let reset = |what: &str| {
            let asked = match shown.seen().asked {
                Some(true) => ", having seen the client certificate",
                Some(false) => "; it asks for a client certificate (tls.client_certificate), and the check has none",
                None => "",
            };
            let text = format!("TLS: {host} {what} the connection during the handshake{asked}");
            Failure::new(Cause::ConnectionReset, Phase::Tls, text)
        };
        return match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                reset("reset")
            }
            io::ErrorKind::UnexpectedEof => reset("closed"),
            _ => failed(format!("handshake with {host} failed ({})", connect::plain(error))),
        };
    };
    let seen = shown.seen();
    match tls {
        rustls::Error::InvalidCertificate(reason) => {
            let text = certificate(host, reason, &seen, now);
            Failure::new(Cause::CertificateInvalid, Phase::Tls, format!("TLS: {text}"))
        }
        rustls::Error::AlertReceived(alert) => refused(host, *alert, seen.asked),
        rustls::Error::InvalidMessage(_) => failed(format!("{host} does not speak TLS on this port")),
        rustls::Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13 | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => failed(format!("{host} speaks only versions of TLS before 1.2")),
        rustls::Error::PeerIncompatible(PeerIncompatible::ExtendedMasterSecretExtensionRequired) => {
            failed(format!("{host} speaks TLS 1.2 without the extended master secret"))
        }
        rustls::Error::PeerIncompatible(reason) => {
            failed(format!("{host} and this agent have nothing in common ({reason:?})"))
        }
        rustls::Error::PeerMisbehaved(reason) => failed(format!("{host} breaks the protocol ({reason:?})")),
        rustls::Error::NoCertificatesPresented => failed(format!("{host} shows no certificate")),
        rustls::Error::DecryptError => failed(format!("{host} sent a record that does not decrypt")),
        rustls::Error::PeerSentOversizedRecord => failed(format!("{host} sent a record over the limit of TLS")),
        other => failed(format!("handshake with {host} failed ({other})")),
    }
}

/// Explains an error on a connection whose handshake seemed done: in TLS 1.3 a server judges the client's certificate afterwards, and says
/// so with an alert in the place of its first words. `None` where TLS has no part in the error.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest is told as it is")]
pub(crate) fn explain_late(host: &str, error: &io::Error) -> Option<Failure> {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())?;
    Some(match tls {
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            refused(host, AlertDescription::CertificateRequired, Some(false))
        }
        // Which certificate could it mean but the client's?
        rustls::Error::AlertReceived(alert) => refused(host, *alert, Some(true)),
        rustls::Error::DecryptError => failed(format!("{host} sent a record that does not decrypt")),
        other => failed(format!("{host} broke the connection ({other})")),
    })
}

fn failed(text: String) -> Failure {
    Failure::new(Cause::TlsFailed, Phase::Tls, format!("TLS: {text}"))
}

/// What the server told by its alert. `asked`: whether it asked for a client certificate, and got one.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest is told as it is")]
fn refused(host: &str, alert: AlertDescription, asked: Option<bool>) -> Failure {
    use AlertDescription as A;
    const NEEDS: &str = "requires a client certificate (tls.client_certificate), and the check has none";
    let ours = match alert {
        A::BadCertificate | A::NoCertificate => "it is bad",
        A::UnsupportedCertificate => "it is of an unsupported type",
        A::CertificateRevoked => "it is revoked",
        A::CertificateExpired => "it has expired",
        A::CertificateUnknown => "it is not acceptable",
        A::UnknownCA => "its issuer is not trusted there (unknown CA)",
        A::AccessDenied => "it has no access",
        A::DecryptError => "its signature does not verify",
        _ => "",
    };
    failed(match (alert, asked) {
        (A::CertificateRequired, _) => format!("{host} {NEEDS}"),
        (A::HandshakeFailure | A::BadCertificate | A::NoCertificate | A::CertificateUnknown, Some(false)) => {
            format!("{host} {NEEDS} (it says {})", words(alert))
        }
        (_, Some(true)) if !ours.is_empty() => format!("{host} refused the client certificate: {ours}"),
        (A::HandshakeFailure, _) => {
            format!("{host} refused the handshake: no protocol version or cipher in common")
        }
        (A::InsufficientSecurity, _) => format!("{host} refused the handshake: it wants stronger ciphers"),
        (A::ProtocolVersion, _) => format!("{host} refused the handshake: it speaks neither TLS 1.2 nor 1.3"),
        (A::UnrecognisedName, _) => {
            format!("{host} refused the handshake: it knows no site of that name (unrecognised name)")
        }
        (A::NoApplicationProtocol, _) => {
            format!("{host} refused the handshake: no application protocol in common (ALPN)")
        }
        (A::InternalError, _) => format!("{host} refused the handshake: it has an internal error"),
        (other, _) => format!("{host} refused the handshake ({})", words(other)),
    })
}

/// An alert's name as RFC 8446 has it, in words: `unknown CA`, `decode error`.
fn words(alert: AlertDescription) -> String {
    if alert == AlertDescription::UnknownCA {
        return "unknown CA".to_owned();
    }
    let name = alert.as_str().map_or_else(|| format!("alert {}", u8::from(alert)), ToOwned::to_owned);
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// What is wrong with the chain.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest is told as it is")]
fn certificate(host: &str, reason: &CertificateError, seen: &Seen, now: UtcMicros) -> String {
    let chain: Vec<Certificate> = seen.chain.iter().filter_map(Certificate::parse).collect();
    let leaf = chain.first();
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            match chain.iter().enumerate().find(|(_, one)| one.not_after < now) {
                Some((0, one)) => {
                    format!("certificate for {host} expired {} ago", span(now.us_since(one.not_after)))
                }
                Some((_, one)) => format!(
                    "intermediate certificate {:?} of {host} expired {} ago",
                    one.subject,
                    span(now.us_since(one.not_after))
                ),
                None => format!("certificate for {host} is expired"),
            }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            match chain.iter().enumerate().find(|(_, one)| one.not_before > now) {
                Some((0, one)) => {
                    format!("certificate for {host} is valid only in {}", span(one.not_before.us_since(now)))
                }
                Some((_, one)) => format!(
                    "intermediate certificate {:?} of {host} is valid only in {}",
                    one.subject,
                    span(one.not_before.us_since(now))
                ),
                None => format!("certificate for {host} is not valid yet"),
            }
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = leaf.map(|leaf| leaf.names.as_slice()).unwrap_or_default();
            let more = if names.len() > 3 { ", ..." } else { "" };
            let names = if names.is_empty() {
                "no name".to_owned()
            } else {
                names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ")
            };
            format!("certificate is not for {host} (it is for {names}{more})")
        }
        CertificateError::UnknownIssuer if seen.chain.first().is_some_and(is_self_signed) => {
            format!("certificate for {host} is self-signed; to trust it all the same, put it into tls.ca")
        }
        // A bad signature is a trusted name with another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let who = if seen.has_own_bundle() { "tls.ca does not trust" } else { "this machine does not trust" };
            let text = format!("certificate for {host} is from an issuer that {who}");
            match (chain.last(), chain.len()) {
                (Some(last), 1) => {
                    format!("{text} ({}); the server sent no intermediate certificate", last.issuer)
                }
                (Some(last), _) => format!("{text} ({})", last.issuer),
                (None, _) => text,
            }
        }
        CertificateError::Revoked => format!("certificate for {host} is revoked"),
        CertificateError::BadEncoding => format!("certificate for {host} is malformed"),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("certificate for {host} is not made for servers (extended key usage)")
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            format!("certificate for {host}, or its chain, is signed with an algorithm too weak or too rare to accept")
        }
        other => {
            let text = other.to_string();
            let told = if text.contains("CaUsedAsEndEntity") {
                "it is an authority's own; to trust exactly it, put it into tls.ca"
            } else {
                text.as_str()
            };
            format!("certificate for {host} is invalid ({told})")
        }
    }
}

/// A long duration for people, in its largest unit.
pub(crate) fn span(us: i64) -> String {
    let seconds = us.max(0) / SECOND_US;
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
