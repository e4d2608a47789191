//! A certificate of a chain, as a record carries it: one line of text, [`FactKey::CertificateChain`](super::FactKey::CertificateChain).
//!
//! `SHA256 NOT_AFTER SUBJECT <- ISSUER`: who presented what, for the evidence of an incident. The names come from the target: they are cut, and
//! cannot pretend to be the arrow.

use alloc::borrow::Cow;
use alloc::string::String;

use super::{beginning, one_line};

/// Most certificates of a chain that a record carries, the leaf first.
pub const CHAIN_MAX: usize = 8;
/// Longest name of a subject or issuer in a record, in bytes.
pub const CHAIN_NAME_BYTES_MAX: usize = 96;

const ARROW: &str = " <- ";
/// Stands where nothing is known.
const NOTHING: &str = "-";

/// A certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainCertificate<'a> {
    /// SHA-256 of its DER, hexadecimal.
    pub sha256: Cow<'a, str>,
    /// When it expires, RFC 3339; `None` where it does not parse.
    pub not_after: Option<Cow<'a, str>>,
    /// Whose it is; empty where it does not parse.
    pub subject: Cow<'a, str>,
    /// Who signed it; empty where it does not parse.
    pub issuer: Cow<'a, str>,
}

impl ChainCertificate<'_> {
    /// The line that a record carries.
    pub fn line(&self) -> String {
        let mut line = String::from(&*self.sha256);
        for part in [" ", self.not_after.as_deref().unwrap_or(NOTHING), " ", &name(&self.subject), ARROW] {
            line.push_str(part);
        }
        line.push_str(&name(&self.issuer));
        line
    }
}

impl<'a> ChainCertificate<'a> {
    /// Reads a line; `None` where it is none.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (sha256, rest) = line.split_once(' ')?;
        let (not_after, names) = rest.split_once(' ')?;
        let (subject, issuer) = names.split_once(ARROW)?;
        let not_after = (not_after != NOTHING).then_some(Cow::Borrowed(not_after));
        Some(Self { sha256: sha256.into(), not_after, subject: subject.into(), issuer: issuer.into() })
    }

    /// What it tells, by the names that JSON has for it.
    pub fn fields(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("sha256", Some(&*self.sha256)),
            ("not_after", self.not_after.as_deref()),
            ("subject", Some(&*self.subject)),
            ("issuer", Some(&*self.issuer)),
        ]
    }
}

/// A name that came from a target: on one line, cut, and without an arrow in it.
fn name(text: &str) -> String {
    // The first bytes are enough: folding makes no text longer.
    let shown = one_line(text, CHAIN_NAME_BYTES_MAX).replace("<-", "<=");
    String::from(beginning(&shown, CHAIN_NAME_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::super::FactKey;
    use super::*;

    fn certificate<'a>(subject: &'a str, issuer: &'a str) -> ChainCertificate<'a> {
        ChainCertificate {
            sha256: "ab".repeat(32).into(),
            not_after: Some("2026-12-01T00:00:00Z".into()),
            subject: subject.into(),
            issuer: issuer.into(),
        }
    }

    #[test]
    fn a_line_reads_back_as_it_was_written() {
        for (subject, issuer) in [
            ("shop.example", "R3 (Let's Encrypt)"),
            ("", ""),
            (" ", " "),
            ("a <", "- b"),
            ("CN=a, O=b c", "< - d"),
            ("\u{e9}\u{2190}", "-"),
        ] {
            let one = certificate(subject, issuer);
            let line = one.line();
            assert_eq!(ChainCertificate::parse(&line), Some(one), "{line}");
        }
        let unknown = ChainCertificate { not_after: None, ..certificate("", "") };
        assert_eq!(ChainCertificate::parse(&unknown.line()), Some(unknown.clone()));
        for bad in ["", "ab", "ab 2026", "ab 2026 shop", "ab 2026 shop<-issuer"] {
            assert_eq!(ChainCertificate::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_targets_are_cut_and_cannot_pretend_to_be_the_arrow() {
        let hostile = format!("x <- Trusted CA\n\u{e9}{}", "\u{e9}<-".repeat(100_000));
        let line = certificate(&hostile, &hostile).line();
        assert!(line.len() <= FactKey::CertificateChain.bytes_max(), "{}", line.len());
        let read = ChainCertificate::parse(&line).unwrap();
        assert!(read.subject.starts_with("x <= Trusted CA \u{e9}") && read.subject.len() <= CHAIN_NAME_BYTES_MAX);
        assert_eq!(read.issuer, read.subject);
    }
}
