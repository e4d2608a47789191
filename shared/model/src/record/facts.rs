//! Facts: what a protocol told.
//!
//! While a run is under way they are whole, for assertions must judge what the target sent and not what a record has room for. The run's
//! record carries them shortened ([`Facts::shorten`]): at most [`FACTS_MAX`], texts of at most [`FACT_BYTES_MAX`].
//!
//! Some are evidence ([`FactKey::is_evidence`]): what the record of a run that is not up carries besides, so that its incident can be explained
//! when the target has changed. A plain success has none of it.

use alloc::string::String;
use alloc::vec::Vec;

use super::{CHAIN_MAX, beginning, one_line};
use crate::time::UtcMicros;

coded!(
    /// What a [`Fact`] is about. Closed and numbered: it travels and is stored. A key may come several times where it says "one of".
    FactKey {
        /// Attempts made, where there was more than one.
        Attempts = 1, "attempts";
        /// One of the failed attempts before the last: its explanation.
        FailedAttempt = 2, "failed_attempt";
        /// `HTTP/1.1`, `HTTP/2` or `HTTP/3`.
        HttpVersion = 3, "http_version";
        /// Redirects followed.
        Redirects = 4, "redirects";
        /// One of the hops before the last: status, address and duration, for people.
        Hop = 5, "hop";
        /// The URL that answered, where redirects led away from the check's.
        FinalUrl = 6, "final_url";
        /// The body's coding, `gzip`, `br` or `zstd`.
        ContentEncoding = 7, "content_encoding";
        /// What the host's HTTPS record offers, where the check asks for it (`http = "advertised"`); for people.
        HttpOffer = 8, "http_offer";
        /// SHA-256 of the body as assertions look into it (decoded, at most 1 MiB of it), hexadecimal. Evidence.
        ResponseSha256 = 9, "response_sha256";
        /// 1 where that body is the beginning of what was to come: it went on beyond the limit, or broke off. Evidence.
        ResponseCut = 10, "response_cut";
        /// `TLSv1.2` or `TLSv1.3`.
        TlsVersion = 16, "tls_version";
        /// The cipher suite's name.
        TlsCipher = 17, "tls_cipher";
        /// The protocol that TLS negotiated.
        Alpn = 18, "alpn";
        /// The stapled OCSP answer: `good`, `revoked` or `unknown`.
        Ocsp = 19, "ocsp";
        /// The leaf certificate's subject.
        CertificateSubject = 20, "certificate_subject";
        /// The leaf certificate's issuer.
        CertificateIssuer = 21, "certificate_issuer";
        /// The names that the leaf certificate is for, joined with `, `.
        CertificateNames = 22, "certificate_names";
        /// Certificates that the server sent.
        ChainLength = 23, "chain_length";
        /// SHA-256 of the leaf certificate, hexadecimal.
        CertificateSha256 = 24, "certificate_sha256";
        /// One of the certificates that the server sent, the leaf first: a line of [`ChainCertificate`](super::ChainCertificate). Evidence.
        CertificateChain = 25, "certificate_chain";
        /// The DNS answer's code, `NOERROR`.
        DnsRcode = 32, "dns_rcode";
        /// Records of the type asked for.
        DnsAnswers = 33, "dns_answers";
        /// One of the answers' values, as text.
        DnsAnswer = 34, "dns_answer";
        /// The smallest time to live among them, in seconds.
        DnsTtl = 35, "dns_ttl";
        /// 1 when the server vouches for the answer (DNSSEC AD), else 0.
        DnsAd = 36, "dns_ad";
        /// Who gave the addresses of the host: a name server's address, `hosts file` or `localhost`. Evidence.
        Resolver = 37, "resolver";
        /// One of the addresses that it gave, in its order; the one dialled is the first that the policy allows. Evidence.
        ResolverAnswer = 38, "resolver_answer";
        /// Echoes sent.
        Sent = 48, "sent";
        /// Echoes that came back.
        Received = 49, "received";
        /// Shortest round trip, microseconds.
        RttMin = 50, "rtt_min_us";
        /// Mean round trip, microseconds.
        RttAvg = 51, "rtt_avg_us";
        /// Longest round trip, microseconds.
        RttMax = 52, "rtt_max_us";
        /// Mean difference of successive round trips, microseconds.
        Jitter = 53, "jitter_us";
        /// The server's first line.
        Banner = 64, "banner";
        /// The gRPC health status, `SERVING`.
        GrpcStatus = 65, "grpc_status";
        /// The WebSocket subprotocol chosen.
        Subprotocol = 66, "subprotocol";
        /// When the domain's registration ends, seconds since 1970.
        DomainExpires = 80, "domain_expires";
        /// The domain's registrar.
        Registrar = 81, "registrar";
        /// One of the flow's steps: name, status and duration, for people.
        Step = 96, "step";
        /// When the job called last, seconds since 1970.
        LastPing = 112, "last_ping";
        /// How long the job's last run took, microseconds.
        JobDuration = 113, "job_duration_us";
        /// The exit status that the job told.
        ExitStatus = 114, "exit_status";
        /// Largest Contentful Paint, the median of the loads that count; microseconds.
        Lcp = 128, "lcp_us";
        /// Largest Contentful Paint, the smallest; microseconds.
        LcpMin = 129, "lcp_min_us";
        /// Largest Contentful Paint, the largest; microseconds.
        LcpMax = 130, "lcp_max_us";
        /// Cumulative Layout Shift, the median of the loads that count; ten-thousandths.
        Cls = 131, "cls_e4";
        /// Cumulative Layout Shift, the smallest; ten-thousandths.
        ClsMin = 132, "cls_min_e4";
        /// Cumulative Layout Shift, the largest; ten-thousandths.
        ClsMax = 133, "cls_max_e4";
        /// Interaction to Next Paint, the median of the loads that count; microseconds.
        Inp = 134, "inp_us";
        /// Interaction to Next Paint, the smallest; microseconds.
        InpMin = 135, "inp_min_us";
        /// Interaction to Next Paint, the largest; microseconds.
        InpMax = 136, "inp_max_us";
        /// Total Blocking Time, the median of the loads that count; microseconds.
        Tbt = 137, "tbt_us";
        /// Total Blocking Time, the smallest; microseconds.
        TbtMin = 138, "tbt_min_us";
        /// Total Blocking Time, the largest; microseconds.
        TbtMax = 139, "tbt_max_us";
        /// First Contentful Paint, the median of the loads that count; microseconds.
        Fcp = 140, "fcp_us";
        /// First Contentful Paint, the smallest; microseconds.
        FcpMin = 141, "fcp_min_us";
        /// First Contentful Paint, the largest; microseconds.
        FcpMax = 142, "fcp_max_us";
        /// Time To First Byte of a page, the median of the loads that count; microseconds.
        Ttfb = 143, "ttfb_us";
        /// Time To First Byte of a page, the smallest; microseconds.
        TtfbMin = 144, "ttfb_min_us";
        /// Time To First Byte of a page, the largest; microseconds.
        TtfbMax = 145, "ttfb_max_us";
        /// Loads of the page that count.
        LoadsCounted = 146, "loads_counted";
        /// Loads that do not count: the host was under pressure.
        LoadsLowConfidence = 147, "loads_low_confidence";
        /// Requests that the page made.
        Requests = 148, "requests";
        /// Bytes that they brought, as they travelled.
        TransferBytes = 149, "transfer_bytes";
        /// Requests that failed, or were answered with an error.
        FailedRequests = 150, "failed_requests";
        /// Errors of the page's scripts that nobody caught.
        JsErrors = 151, "js_errors";
        /// Dialogs of the page that were closed.
        Dialogs = 152, "dialogs";
        /// The device profile that a page was measured on.
        Profile = 160, "profile";
        /// The browser's build.
        Browser = 161, "browser";
        /// A short CSS path to the element painted largest.
        LcpElement = 162, "lcp_element";
        /// Where that element was loaded from.
        LcpUrl = 163, "lcp_url";
        /// The whole [`Report`](crate::vitals::report::Report), as JSON.
        VitalsReport = 164, "vitals_report";
        /// The final state of a page that failed: a JPEG, in base64.
        Screenshot = 165, "screenshot";
    }
);

impl FactKey {
    /// Whether its value is a number; else it is text.
    pub const fn is_number(self) -> bool {
        matches!(
            self,
            Self::Attempts
                | Self::Redirects
                | Self::ResponseCut
                | Self::ChainLength
                | Self::DnsAnswers
                | Self::DnsTtl
                | Self::DnsAd
                | Self::Sent
                | Self::Received
                | Self::RttMin
                | Self::RttAvg
                | Self::RttMax
                | Self::Jitter
                | Self::DomainExpires
                | Self::LastPing
                | Self::JobDuration
                | Self::ExitStatus
                | Self::Lcp
                | Self::LcpMin
                | Self::LcpMax
                | Self::Cls
                | Self::ClsMin
                | Self::ClsMax
                | Self::Inp
                | Self::InpMin
                | Self::InpMax
                | Self::Tbt
                | Self::TbtMin
                | Self::TbtMax
                | Self::Fcp
                | Self::FcpMin
                | Self::FcpMax
                | Self::Ttfb
                | Self::TtfbMin
                | Self::TtfbMax
                | Self::LoadsCounted
                | Self::LoadsLowConfidence
                | Self::Requests
                | Self::TransferBytes
                | Self::FailedRequests
                | Self::JsErrors
                | Self::Dialogs
        )
    }

    /// Whether it is told to people and asked for by no assertion.
    const fn is_for_people(self) -> bool {
        matches!(self, Self::FailedAttempt | Self::Hop | Self::Step)
    }

    /// Whether its number is an instant, in seconds since 1970.
    pub const fn is_instant(self) -> bool {
        matches!(self, Self::DomainExpires | Self::LastPing)
    }

    /// Whether it explains a run that is not up, and is in no other record.
    pub const fn is_evidence(self) -> bool {
        matches!(
            self,
            Self::ResponseSha256 | Self::ResponseCut | Self::CertificateChain | Self::Resolver | Self::ResolverAnswer
        )
    }

    /// Whether it is a document to be opened, not a text to be listed.
    pub const fn is_document(self) -> bool {
        matches!(self, Self::VitalsReport | Self::Screenshot)
    }

    /// Longest text in a record, in bytes. A document beyond it is left out, for half of one is none; other texts are cut.
    pub const fn bytes_max(self) -> usize {
        if matches!(self, Self::VitalsReport) {
            REPORT_BYTES_MAX
        } else if matches!(self, Self::Screenshot) {
            SCREENSHOT_BYTES_MAX
        } else if matches!(self, Self::CertificateChain) {
            CERTIFICATE_BYTES_MAX
        } else if self.is_evidence() {
            EVIDENCE_BYTES_MAX
        } else {
            FACT_BYTES_MAX
        }
    }

    /// Whether it may come several times.
    pub const fn is_list(self) -> bool {
        matches!(
            self,
            Self::FailedAttempt
                | Self::Hop
                | Self::DnsAnswer
                | Self::Step
                | Self::CertificateChain
                | Self::ResolverAnswer
        )
    }
}

/// A fact's value, of the type that its key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactValue {
    /// A number.
    Number(i64),
    /// Text, on one line.
    Text(String),
}

/// Something that a protocol told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub key: FactKey,
    /// Its value.
    pub value: FactValue,
}

/// Longest text of a record's fact that is no document, in bytes.
pub const FACT_BYTES_MAX: usize = 200;
/// Longest report of a page, in bytes.
const REPORT_BYTES_MAX: usize = 16 << 10;
/// Longest screenshot, in bytes of base64.
const SCREENSHOT_BYTES_MAX: usize = 96 << 10;
/// Longest line of a certificate: fingerprint, instant, two names.
const CERTIFICATE_BYTES_MAX: usize = 300;
/// Longest text of other evidence: a fingerprint, an address.
const EVIDENCE_BYTES_MAX: usize = 64;
/// Most facts of one record besides the fixed ones.
pub const FACTS_MAX: usize = OWN_FACTS_MAX + EVIDENCE_FACTS_MAX;
/// Most of them that are no evidence.
const OWN_FACTS_MAX: usize = 48;
/// Most of them that are: it has a place whatever else was told.
const EVIDENCE_FACTS_MAX: usize = 24;
/// Most addresses of [`FactKey::ResolverAnswer`] in a record.
pub const RESOLVER_ANSWERS_MAX: usize = 12;
/// Most entries of these lists in a record, so that other facts have their place.
const LISTS: [(FactKey, usize); 3] =
    [(FactKey::DnsAnswer, 16), (FactKey::CertificateChain, CHAIN_MAX), (FactKey::ResolverAnswer, RESOLVER_ANSWERS_MAX)];
/// Longest text of a fact while the run is under way, in bytes: what a 64 KiB message of any protocol can say, each byte shown as U+FFFD.
const HELD_BYTES_MAX: usize = 3 * 65_536;
/// Most facts while the run is under way: more than a DNS message has room for. Such a message bounds their bytes as well.
const HELD_MAX: usize = 8_192;

/// What the protocol told. The fixed fields are those that nearly every result has; the rest is a short list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// HTTP status code.
    pub status: Option<u16>,
    /// Body bytes received (decoded).
    pub body_bytes: Option<u64>,
    /// When the leaf certificate expires.
    pub certificate_expires: Option<UtcMicros>,
    /// The rest, in the order noted; in a record at most [`FACTS_MAX`]. Use [`Facts::number`] and [`Facts::text`].
    pub more: Vec<Fact>,
}

impl Facts {
    /// Notes a number. A key that is no list replaces its earlier value.
    pub fn number(&mut self, key: FactKey, value: i64) {
        debug_assert!(key.is_number(), "{key} is text");
        self.note(key, FactValue::Number(value));
    }

    /// Notes a text, control characters folded into spaces: whole where an assertion may ask for it, else cut to [`FACT_BYTES_MAX`]. Empty text
    /// is no fact.
    pub fn text(&mut self, key: FactKey, value: &str) {
        debug_assert!(!key.is_number(), "{key} is a number");
        let bytes_max = if key.is_for_people() { FACT_BYTES_MAX } else { HELD_BYTES_MAX };
        if !value.is_empty() {
            self.note(key, FactValue::Text(one_line(value, bytes_max)));
        }
    }

    fn note(&mut self, key: FactKey, value: FactValue) {
        let known = if key.is_list() { None } else { self.more.iter().position(|fact| fact.key == key) };
        match known {
            Some(at) => self.more[at].value = value,
            None if self.more.len() < HELD_MAX => self.more.push(Fact { key, value }),
            None => {}
        }
    }

    /// Shortens them to what a record carries: the answers of a DNS check to the first 16, texts to [`FactKey::bytes_max`] at a character's border,
    /// all to the first 48 and 24 of evidence ([`FACTS_MAX`]). For after the judgement, and after secrets were taken out: of a value cut in the
    /// middle, too little may be left to be known.
    pub fn shorten(&mut self) {
        let (mut own, mut evidence, mut entries) = (0_usize, 0_usize, [0_usize; LISTS.len()]);
        self.more.retain(|fact| {
            let fits = match &fact.value {
                FactValue::Text(text) => !fact.key.is_document() || text.len() <= fact.key.bytes_max(),
                FactValue::Number(_) => true,
            };
            let list = LISTS.iter().position(|(key, _)| *key == fact.key);
            let has_place = list.is_none_or(|at| entries[at] < LISTS[at].1)
                && if fact.key.is_evidence() { evidence < EVIDENCE_FACTS_MAX } else { own < OWN_FACTS_MAX };
            if !fits || !has_place {
                return false;
            }
            let all = if fact.key.is_evidence() { &mut evidence } else { &mut own };
            *all += 1;
            if let Some(at) = list {
                entries[at] += 1;
            }
            true
        });
        self.more.shrink_to_fit();
        for fact in &mut self.more {
            match &mut fact.value {
                FactValue::Number(_) => {}
                FactValue::Text(text) => {
                    text.truncate(beginning(text, fact.key.bytes_max()).len());
                    text.shrink_to_fit();
                }
            }
        }
    }

    /// The number of a key.
    pub fn number_of(&self, key: FactKey) -> Option<i64> {
        self.more.iter().find_map(|fact| match &fact.value {
            FactValue::Number(value) if fact.key == key => Some(*value),
            FactValue::Number(_) | FactValue::Text(_) => None,
        })
    }

    /// The texts of a key, in the order noted.
    pub fn texts_of(&self, key: FactKey) -> impl Iterator<Item = &str> {
        self.more.iter().filter_map(move |fact| match &fact.value {
            FactValue::Text(value) if fact.key == key => Some(value.as_str()),
            FactValue::Number(_) | FactValue::Text(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn facts_are_whole_until_they_are_shortened() {
        let mut facts = Facts::default();
        let names = "\u{e9}".repeat(1_000);
        facts.text(FactKey::CertificateNames, &names);
        facts.text(FactKey::Hop, &"x".repeat(1_000));
        for answer in 0..600 {
            facts.text(FactKey::DnsAnswer, &format!("192.0.2.{answer}"));
        }
        facts.number(FactKey::Attempts, 2);
        assert_eq!(facts.texts_of(FactKey::CertificateNames).next(), Some(names.as_str()));
        assert_eq!(facts.texts_of(FactKey::DnsAnswer).count(), 600);
        facts.text(FactKey::Banner, &format!("a{}", "\u{fffd}".repeat(100)));
        facts.shorten();
        assert_eq!(facts.texts_of(FactKey::CertificateNames).next(), Some(&names[..FACT_BYTES_MAX]));
        assert_eq!(facts.texts_of(FactKey::Hop).next().map(str::len), Some(FACT_BYTES_MAX));
        assert_eq!(facts.texts_of(FactKey::DnsAnswer).count(), 16);
        assert_eq!(facts.number_of(FactKey::Attempts), Some(2), "many answers push nothing out");
        assert_eq!(facts.texts_of(FactKey::Banner).next().map(str::len), Some(199), "whole characters");
        for step in 0..100 {
            facts.text(FactKey::Step, &format!("step {step}"));
        }
        facts.shorten();
        assert_eq!(facts.more.len(), OWN_FACTS_MAX);
    }

    #[test]
    fn evidence_has_its_place_whatever_else_was_told_and_is_bounded() {
        let mut facts = Facts::default();
        for hop in 0..100 {
            facts.text(FactKey::Hop, &format!("hop {hop}"));
        }
        for entry in 0..100 {
            facts.text(FactKey::CertificateChain, &"c".repeat(1_000));
            facts.text(FactKey::ResolverAnswer, &format!("192.0.2.{entry}"));
        }
        facts.text(FactKey::Resolver, &"r".repeat(1_000));
        facts.text(FactKey::ResponseSha256, &"ab".repeat(32));
        facts.number(FactKey::ResponseCut, 1);
        facts.shorten();
        let lengths = |key| facts.texts_of(key).map(str::len).collect::<Vec<_>>();
        assert_eq!(lengths(FactKey::Hop).len(), OWN_FACTS_MAX);
        assert_eq!(lengths(FactKey::CertificateChain), [CERTIFICATE_BYTES_MAX; CHAIN_MAX]);
        assert_eq!(lengths(FactKey::ResolverAnswer).len(), RESOLVER_ANSWERS_MAX);
        assert_eq!(lengths(FactKey::Resolver), [EVIDENCE_BYTES_MAX]);
        assert_eq!(lengths(FactKey::ResponseSha256), [64]);
        assert_eq!(facts.number_of(FactKey::ResponseCut), Some(1));
        assert!(facts.more.len() <= FACTS_MAX);
    }
}
