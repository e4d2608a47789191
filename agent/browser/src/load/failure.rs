//! Why a page was not measured, in the words of the closed list. The proxy knows best what became of a connection; the browser's own error codes say the rest.

use sitepulse_model::record::{Cause, Phase};

use super::story::{REDIRECTS_MAX, Stop};
use super::traffic::{Answer, Document};
use crate::proxy::Asked;

/// Cause, phase and one line for people.
pub(crate) type Why = (Cause, Phase, String);

/// Content types that are pages.
const PAGES: [&str; 2] = ["text/html", "application/xhtml+xml"];

/// The host and port of an `http` or `https` address, as the proxy hears of them.
pub(crate) fn host_of(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit('@').next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(literal) => {
            let (host, rest) = literal.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(default), |port| port.parse().ok())?;
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

/// What became of the first connection to the page's own host.
pub(crate) fn asked_for<'a>(url: &str, asked: &'a [Asked]) -> Option<&'a Asked> {
    let (host, port) = host_of(url)?;
    asked.iter().find(|asked| asked.port == port && asked.host.eq_ignore_ascii_case(&host))
}

/// Why a navigation failed with the browser's error code; `url` is where it had come to.
pub(crate) fn of_navigation(code: &str, url: &str, asked: &[Asked]) -> Why {
    let host = host_of(url).map_or_else(|| url.to_owned(), |(host, _)| host);
    let refusal = |asked: &Asked| asked.outcome.as_ref().and_then(|outcome| outcome.as_ref().err().cloned());
    let to_host = |asked: &&Asked| host_of(url).is_some_and(|(host, port)| asked.port == port && asked.host == host);
    let by_proxy = asked.iter().rev().filter(to_host).find_map(refusal);
    let code = code.strip_prefix("net::").unwrap_or(code);
    if let (Some(refusal), true) = (by_proxy, is_connection(code)) {
        return (refusal.cause, refusal.phase, refusal.detail);
    }
    let why = |cause, phase: Phase, text: String| (cause, phase, text);
    let of = |cause, phase: Phase, what: &str| (cause, phase, format!("{}: {host} {what} ({code})", step(phase)));
    match code {
        "ERR_NAME_NOT_RESOLVED" => of(Cause::DnsFailed, Phase::Dns, "does not resolve"),
        "ERR_CONNECTION_REFUSED" => of(Cause::ConnectionRefused, Phase::Connect, "refused the connection"),
        "ERR_ADDRESS_UNREACHABLE"
        | "ERR_SOCKS_CONNECTION_FAILED"
        | "ERR_SOCKS_CONNECTION_HOST_UNREACHABLE"
        | "ERR_PROXY_CONNECTION_FAILED"
        | "ERR_CONNECTION_FAILED" => of(Cause::Unreachable, Phase::Connect, "cannot be reached"),
        "ERR_CONNECTION_TIMED_OUT" => of(Cause::Timeout, Phase::Connect, "did not answer"),
        "ERR_TIMED_OUT" => of(Cause::Timeout, Phase::FirstByte, "did not answer"),
        "ERR_CONNECTION_RESET"
        | "ERR_CONNECTION_CLOSED"
        | "ERR_CONNECTION_ABORTED"
        | "ERR_EMPTY_RESPONSE"
        | "ERR_SOCKET_NOT_CONNECTED"
        | "ERR_HTTP2_PING_FAILED" => {
            of(Cause::ConnectionReset, Phase::FirstByte, "ended the connection without an answer")
        }
        "ERR_TOO_MANY_REDIRECTS" => of(Cause::RedirectFailed, Phase::FirstByte, "redirects without end"),
        "ERR_INVALID_REDIRECT" | "ERR_UNSAFE_REDIRECT" | "ERR_UNKNOWN_URL_SCHEME" | "ERR_DISALLOWED_URL_SCHEME" => {
            of(Cause::RedirectFailed, Phase::FirstByte, "redirects to where no browser goes")
        }
        "ERR_HTTP_RESPONSE_CODE_FAILURE" => of(Cause::HttpStatus, Phase::FirstByte, "answered with an error"),
        "ERR_UNSAFE_PORT" => of(Cause::AgentFault, Phase::Connect, "is asked for at a port that browsers do not use"),
        "ERR_ABORTED" => why(
            Cause::NotAPage,
            Phase::FirstByte,
            format!("page: what {host} answered is shown by no browser: no content, or a download"),
        ),
        _ if code.starts_with("ERR_CERT_") => of(Cause::CertificateInvalid, Phase::Tls, certificate(code)),
        _ if code.starts_with("ERR_SSL_") || code.starts_with("ERR_BAD_SSL_") || code.contains("_SSL_") => {
            of(Cause::TlsFailed, Phase::Tls, "has no handshake with the browser")
        }
        _ if code.starts_with("ERR_NETWORK_") || code.starts_with("ERR_INTERNET_") => {
            of(Cause::NetworkLost, Phase::Connect, "is out of reach: the network changed or is out")
        }
        _ => of(Cause::ProtocolError, Phase::FirstByte, "answered with what no browser understands"),
    }
}

/// Whether an error code says that there was no connection.
fn is_connection(code: &str) -> bool {
    ["ERR_SOCKS_", "ERR_PROXY_", "ERR_NAME_", "ERR_ADDRESS_", "ERR_TIMED_OUT", "ERR_EMPTY_RESPONSE"]
        .iter()
        .any(|start| code.starts_with(start))
        || code.starts_with("ERR_CONNECTION_")
}

fn certificate(code: &str) -> &'static str {
    match code {
        "ERR_CERT_DATE_INVALID" => "has a certificate that is expired or not valid yet",
        "ERR_CERT_COMMON_NAME_INVALID" => "has a certificate for another name",
        "ERR_CERT_AUTHORITY_INVALID" => "has a certificate that nobody known has signed",
        "ERR_CERT_REVOKED" => "has a certificate that was revoked",
        _ => "has a certificate that is not valid",
    }
}

fn step(phase: Phase) -> &'static str {
    match phase {
        Phase::Dns => "DNS",
        Phase::Connect => "connect",
        Phase::Tls => "TLS",
        Phase::Send => "send",
        Phase::FirstByte => "HTTP",
        Phase::Transfer => "transfer",
        Phase::Total => "page",
    }
}

/// Why an answer is nothing to measure; `None` where it is a page.
pub(crate) fn of_answer(answer: &Answer) -> Option<Why> {
    if answer.status >= 400 {
        let text = format!("HTTP: the page was answered with status {}: nothing of it is measured", answer.status);
        return Some((Cause::HttpStatus, Phase::FirstByte, text));
    }
    if answer.status == 204 || answer.status == 205 {
        let text = format!("page: status {} has no content to show", answer.status);
        return Some((Cause::NotAPage, Phase::FirstByte, text));
    }
    if !PAGES.contains(&answer.mime.as_str()) {
        let text =
            format!("page: what came is {}, not HTML", if answer.mime.is_empty() { "nothing" } else { &answer.mime });
        return Some((Cause::NotAPage, Phase::FirstByte, text));
    }
    None
}

/// Where a page that was not loaded in time hung.
pub(crate) fn of_deadline(
    timeout_us: u64,
    document: &Document,
    url: &str,
    pending: Option<&str>,
    asked: &[Asked],
) -> Why {
    let within = format!("within {}", seconds(timeout_us));
    let host =
        host_of(if document.url.is_empty() { url } else { &document.url }).map_or_else(String::new, |(host, _)| host);
    let (phase, text) = if document.answer.is_none() {
        match asked_for(if document.url.is_empty() { url } else { &document.url }, asked) {
            None => (Phase::Total, format!("browser: did not ask for the page {within}")),
            Some(Asked { outcome: None, .. }) => (Phase::Connect, format!("connect: {host} did not answer {within}")),
            Some(_) => (Phase::FirstByte, format!("HTTP: {host} did not answer {within}")),
        }
    } else if document.finished_s.is_none() {
        (Phase::Transfer, format!("transfer: the page's document did not end {within}"))
    } else {
        let what = pending.map_or_else(String::new, |url| {
            format!("; on its way still: {}", super::entries::cut(url, sitepulse_model::vitals::report::TEXT_BYTES_MAX))
        });
        (Phase::Total, format!("page: its load event did not fire {within}{what}"))
    };
    (Cause::Timeout, phase, text)
}

/// Why a page that came is none.
pub(crate) fn of_blank(timeout_us: u64) -> Why {
    let text = format!("page: nothing was painted within {}", seconds(timeout_us));
    (Cause::NotAPage, Phase::Total, text)
}

/// Whether the policy refused a connection to where this address leads.
fn is_denied(url: &str, asked: &[Asked]) -> bool {
    let refused = |asked: &Asked| matches!(&asked.outcome, Some(Err(refusal)) if refusal.cause == Cause::PolicyRefused);
    host_of(url).is_some_and(|(host, port)| {
        asked.iter().any(|asked| asked.port == port && asked.host.eq_ignore_ascii_case(&host) && refused(asked))
    })
}

/// Why a load could not go on.
pub(crate) fn of_stop(stop: &Stop, document: &Document, asked: &[Asked]) -> Why {
    let page = |cause, text: String| (cause, Phase::Total, text);
    match stop {
        Stop::Crashed => page(Cause::RendererCrashed, "page: brought its renderer down".to_owned()),
        Stop::Away { url, reason, after_us } => page(
            Cause::NavigatedAway,
            format!(
                "page: went to {url} {} after it came ({}); check that address",
                seconds(*after_us),
                reason_text(reason)
            ) + if is_denied(url, asked) { "; the agent's policy refuses it" } else { "" },
        ),
        Stop::Redirects => (
            Cause::RedirectFailed,
            Phase::FirstByte,
            format!("HTTP: the page redirects more than {REDIRECTS_MAX} times"),
        ),
        Stop::Closed => page(Cause::NavigatedAway, "page: closed its own window".to_owned()),
        Stop::Flooded => {
            page(Cause::Unresponsive, "page: makes more requests and events than can be followed".to_owned())
        }
        Stop::Gone => page(Cause::BrowserGone, "browser: ended in the middle of a load".to_owned()),
        Stop::Refused(text) => page(Cause::AgentFault, format!("browser: {text}")),
        Stop::Deadline => page(Cause::Unresponsive, "page: kept the browser so busy that it did not answer".to_owned()),
        Stop::Broken(code) => {
            let (cause, _, text) = of_navigation(code, &document.url, asked);
            (
                cause,
                Phase::Transfer,
                text.replacen("HTTP: ", "transfer: ", 1).replace("without an answer", "in the middle of the page"),
            )
        }
    }
}

fn reason_text(reason: &str) -> &str {
    match reason {
        "metaTagRefresh" => "a meta refresh",
        "httpHeaderRefresh" => "a Refresh header",
        "scriptInitiated" => "by a script",
        "anchorClick" => "a link that was clicked",
        "formSubmissionGet" | "formSubmissionPost" => "a form that was sent",
        "reload" => "it reloaded itself",
        "" => "by itself",
        other => other,
    }
}

/// `12.5 s`, `340 ms`.
pub(crate) fn seconds(us: u64) -> String {
    if us < 1_000_000 {
        return format!("{} ms", us / 1_000);
    }
    let tenths = us / 100_000;
    if tenths.is_multiple_of(10) { format!("{} s", tenths / 10) } else { format!("{}.{} s", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Refusal;

    #[test]
    fn hosts_are_read_as_the_proxy_hears_of_them() {
        let of = |url| host_of(url).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(of("http://Shop.example/a?b").as_deref(), Some("shop.example 80"));
        assert_eq!(of("https://u:p@shop.example:8443#x").as_deref(), Some("shop.example 8443"));
        assert_eq!(of("https://[2001:db8::1]/").as_deref(), Some("2001:db8::1 443"));
        assert_eq!(of("http://[2001:db8::1]:81/").as_deref(), Some("2001:db8::1 81"));
        assert_eq!(of("ftp://a/"), None);
        assert_eq!(of("http:///"), None);
    }

    #[test]
    fn the_proxy_knows_better_than_the_browser() {
        let refusal = Refusal {
            cause: Cause::DnsFailed,
            phase: Phase::Dns,
            detail: "DNS: shop.example does not exist".to_owned(),
            address: None,
        };
        let asked = [Asked { host: "shop.example".to_owned(), port: 443, outcome: Some(Err(refusal)) }];
        let (cause, phase, detail) = of_navigation("net::ERR_SOCKS_CONNECTION_FAILED", "https://shop.example/", &asked);
        assert_eq!((cause, phase), (Cause::DnsFailed, Phase::Dns));
        assert_eq!(detail, "DNS: shop.example does not exist");
        let (cause, ..) = of_navigation("net::ERR_SOCKS_CONNECTION_FAILED", "https://other.example/", &asked);
        assert_eq!(cause, Cause::Unreachable);
    }

    #[test]
    fn codes_have_causes() {
        let of = |code| of_navigation(code, "https://a.example/", &[]).0;
        assert_eq!(of("net::ERR_CERT_DATE_INVALID"), Cause::CertificateInvalid);
        assert_eq!(of("net::ERR_SSL_PROTOCOL_ERROR"), Cause::TlsFailed);
        assert_eq!(of("net::ERR_CONNECTION_RESET"), Cause::ConnectionReset);
        assert_eq!(of("net::ERR_INVALID_HTTP_RESPONSE"), Cause::ProtocolError);
        assert_eq!(of("net::ERR_TOO_MANY_REDIRECTS"), Cause::RedirectFailed);
        assert_eq!(of("net::ERR_ABORTED"), Cause::NotAPage);
    }

    #[test]
    fn only_html_of_a_good_status_is_a_page() {
        let of = |status, mime: &str| {
            of_answer(&Answer { status, mime: mime.to_owned(), ..Answer::default() }).map(|(cause, ..)| cause)
        };
        assert_eq!(of(200, "text/html"), None);
        assert_eq!(of(200, "application/xhtml+xml"), None);
        assert_eq!(of(200, "application/pdf"), Some(Cause::NotAPage));
        assert_eq!(of(200, ""), Some(Cause::NotAPage));
        assert_eq!(of(204, "text/html"), Some(Cause::NotAPage));
        assert_eq!(of(404, "text/html"), Some(Cause::HttpStatus));
        assert_eq!(of(503, "application/json"), Some(Cause::HttpStatus));
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([340_000, 1_000_000, 12_500_000].map(seconds), ["340 ms", "1 s", "12.5 s"]);
    }
}
