//! Small checks of texts: URLs, addresses, names, headers, PEM, templates. Each says what is wrong with the remedy.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::{SECRET_NAME_BYTES_MAX, URL_BYTES_MAX};

/// A URL in parts, as far as they were looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    /// Without brackets, as written.
    pub(super) host: &'a str,
    /// From the path on; may be empty.
    pub(super) rest: &'a str,
}

/// At most 80 characters of a text, in quotes.
pub(super) fn shown(text: &str) -> String {
    if text.chars().count() <= 80 {
        format!("{text:?}")
    } else {
        format!("{:?}", text.chars().take(77).chain("...".chars()).collect::<String>())
    }
}

/// Judges a URL of one of some schemes, each written as `http://`.
pub(super) fn url<'a>(text: &'a str, schemes: &[&str]) -> Result<Url<'a>, String> {
    let refuse = |why: &str| Err(format!("{}: {why}", shown(text)));
    if text.len() > URL_BYTES_MAX {
        return refuse(&format!("it has {} bytes, at most {URL_BYTES_MAX} are allowed", text.len()));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return refuse("it holds a space or a control character: write them as %20 and the like");
    }
    if !text.is_ascii() {
        return refuse("it holds a character outside ASCII: write hosts as xn--..., paths as %C3%A9 and the like");
    }
    let after = |scheme: &&str| {
        let (head, rest) = text.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let Some(rest) = schemes.iter().find_map(after) else {
        return refuse(&format!("it must start with {}", schemes.join(" or ")));
    };
    if text.contains('#') {
        return refuse("a fragment (#...) never reaches a server: leave it out");
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return refuse("a user or password in the URL would be shown to everybody: leave it out");
    }
    if let Some(bad) = rest.chars().find(|c| "<>\"\\^`".contains(*c)) {
        return refuse(&format!("{bad:?} cannot stand in a URL: write %{:02X}", u32::from(bad)));
    }
    let host = match host_and_port(authority) {
        Ok((host, _)) => host,
        Err(why) => return refuse(why),
    };
    Ok(Url { host, rest })
}

/// Where a URL or an address leads: its scheme, host and port in lower case, without the scheme's own port; of a text without a scheme, all of it.
pub fn origin(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let Some((scheme, rest)) = lower.split_once("://") else { return lower };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let own = match scheme {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => "",
    };
    format!("{scheme}://{}", authority.strip_suffix(own).unwrap_or(authority))
}

/// Judges `host:port`.
pub(super) fn address(text: &str) -> Result<&str, String> {
    match host_and_port(text) {
        Ok((host, Some(_))) => Ok(host),
        Ok((_, None)) => Err(format!("{}: it names no port: write host:port, as in \"{text}:443\"", shown(text))),
        Err(why) => Err(format!("{}: {why}", shown(text))),
    }
}

/// The host, without brackets, and the port of `host`, `host:port`, `[v6]` or `[v6]:port`.
pub(super) fn host_and_port(text: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, port) = if let Some(inside) = text.strip_prefix('[') {
        let (host, after) = inside.split_once(']').ok_or("the bracket before the IPv6 address is not closed")?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err("what stands in brackets is no IPv6 address");
        }
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err("after the bracket only :port may follow"),
        }
    } else {
        let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        if host.contains(':') {
            return Err("an IPv6 address stands in brackets, as in [2001:db8::1]:443");
        }
        if host.is_empty() {
            return Err("it names no host");
        }
        dns_name(host)?;
        (host, port)
    };
    let number = |port: &str| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        port.parse::<u16>().ok().filter(|number| digits && *number > 0)
    };
    match port {
        None => Ok((host, None)),
        Some(port) => match number(port) {
            Some(port) => Ok((host, Some(port))),
            None => Err("its port is not a number from 1 to 65535"),
        },
    }
}

/// Judges a name as DNS takes it (so an IPv4 address too); the dot at the end is optional.
pub(super) fn dns_name(text: &str) -> Result<(), &'static str> {
    if !text.is_ascii() {
        return Err("it holds a character outside ASCII: write such names as xn--...");
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() > 253 {
        return Err("a name has at most 253 characters");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Err("it is no host name: a part between two dots is empty");
        }
        if label.len() > 63 {
            return Err("it is no host name: a part has more than 63 characters");
        }
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err("it is no host name: use letters, digits, '-' and '.'");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("it is no host name: a part may not start or end with '-'");
        }
    }
    Ok(())
}

/// Judges a name or an address without a port.
pub(super) fn host(text: &str) -> Result<(), &'static str> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok(());
    }
    if text.is_empty() {
        return Err("it names no host");
    }
    if text.contains([':', '[', ']']) {
        return Err("it is no host: write a name or an address alone, without a port or brackets");
    }
    dns_name(text)
}

/// Judges a registered domain: two labels or more, none of which could be an address.
pub(super) fn domain(text: &str) -> Result<(), &'static str> {
    dns_name(text)?;
    if text.ends_with('.') {
        return Err("leave the dot at the end out");
    }
    if text.parse::<Ipv4Addr>().is_ok() || text.contains('_') {
        return Err("it is no domain name, as in shop.example");
    }
    match text.rsplit_once('.') {
        Some((_, last)) if !last.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        Some(_) => Err("it is no domain name, as in shop.example"),
        None => Err("a registered domain has two parts or more, as in shop.example"),
    }
}

/// Whether a text is a token of HTTP (RFC 9110).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Headers that the prober writes itself, or that would make the message another one.
const HEADERS_REFUSED: [&str; 10] = [
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Judges a header's name.
pub(super) fn header_name(name: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    if !is_token(name) || name.len() > 128 {
        return Err("this is no header name: use letters, digits and '-', as in \"x-probe\"".to_owned());
    }
    if HEADERS_REFUSED.contains(&lower.as_str()) {
        return Err(format!("header {lower:?} is written by the prober: leave it out"));
    }
    Ok(())
}

/// Judges a header's value that is no reference.
pub(super) fn header_value(value: &str) -> Result<(), &'static str> {
    const BYTES_MAX: usize = 8 << 10;
    if value.len() > BYTES_MAX {
        return Err("a header's value has at most 8192 bytes");
    }
    if value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
        Ok(())
    } else {
        Err("a header's value holds ASCII on one line: no line breaks, no control characters")
    }
}

/// Whether values of this header are confidential.
pub(super) fn is_confidential_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["authorization", "proxy-authorization", "cookie"].contains(&name.as_str())
        || ["api-key", "apikey", "token", "secret", "password"].iter().any(|part| name.contains(part))
}

/// Whether a name can be a secret's: 1 to [`SECRET_NAME_BYTES_MAX`] of a-z, 0-9, `-`, `_` and `.`.
pub fn is_secret_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    (1..=SECRET_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(known)
}

/// Judges the name of a secret.
pub(super) fn secret_name(name: &str) -> Result<(), String> {
    if is_secret_name(name) {
        Ok(())
    } else {
        Err(format!(
            "{} names no secret: after \"secret:\" write 1 to {SECRET_NAME_BYTES_MAX} of a-z, 0-9, '-', '_' and '.'",
            shown(name)
        ))
    }
}

/// Judges the shape of PEM certificates.
pub(super) fn pem_certificates(text: &str) -> Result<(), &'static str> {
    const BYTES_MAX: usize = 32 << 10;
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    if text.len() > BYTES_MAX {
        return Err("at most 32 KiB of certificates are taken: name only the roots that are needed");
    }
    if text.contains("PRIVATE KEY-----") {
        return Err("a private key does not belong here: keep it as a secret");
    }
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("it holds no certificate: write PEM, from -----BEGIN CERTIFICATE----- on");
    }
    while !rest.is_empty() {
        let inside = rest.strip_prefix(BEGIN).and_then(|after| after.split_once(END));
        let Some((base64, after)) = inside else {
            return Err(
                "it is not PEM: each certificate stands between -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----",
            );
        };
        let digits = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte) || byte.is_ascii_whitespace();
        if base64.trim().is_empty() || !base64.bytes().all(digits) {
            return Err("it is not PEM: between the marks stands base64");
        }
        rest = after.trim_start();
    }
    Ok(())
}

/// The variables that a text uses as `{{name}}`.
pub(super) fn variables(text: &str) -> Result<Vec<&str>, String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}").filter(|(name, _)| is_variable(name)) else {
            return Err("\"{{\" begins a variable: write {{name}}, with 1 to 64 of a-z, 0-9 and '_' inside".to_owned());
        };
        names.push(name);
        rest = after;
    }
    Ok(names)
}

/// Whether a text may name a variable.
pub(super) fn is_variable(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// A text with `x` in place of each variable; what is no variable stays.
pub(super) fn without_variables(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        match after.split_once("}}") {
            Some((name, after)) if is_variable(name) => {
                out.push('x');
                rest = after;
            }
            Some(_) | None => {
                out.push_str("{{");
                rest = after;
            }
        }
    }
    out + rest
}
