//! What a check watches, as commands on a shell name it: the host, its port, the URL.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;

use super::{CheckKind, syntax};

/// Names of what is watched. What a kind has none of is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// The host or the domain, without port and brackets.
    pub host: Option<String>,
    /// The port that is dialled.
    pub port: Option<u16>,
    /// The whole address, where it is a URL without variables.
    pub url: Option<String>,
}

impl Watched {
    /// `host:port`, with brackets around an IPv6 address; 443 where no port is known.
    pub fn address(&self) -> Option<String> {
        let (host, port) = (self.host.as_ref()?, self.port.unwrap_or(443));
        Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    }

    fn of_url(text: &str) -> Self {
        let Some((scheme, rest)) = text.split_once("://") else { return Self::default() };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let Ok((host, port)) = syntax::host_and_port(authority) else { return Self::default() };
        let usual = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        let url = (!text.contains("{{")).then(|| text.to_owned());
        Self { host: Some(host.to_owned()), port: port.or(usual), url }
    }

    fn of_address(text: &str) -> Self {
        let Ok((host, port)) = syntax::host_and_port(text) else { return Self::default() };
        Self { host: Some(host.to_owned()), port, url: None }
    }

    fn of_host(host: &str) -> Self {
        Self { host: Some(host.to_owned()), port: None, url: None }
    }
}

impl CheckKind {
    /// What is watched; never a proxy or a resolver that stands between.
    pub fn watched(&self) -> Watched {
        match self {
            Self::Http(target) => Watched::of_url(&target.url),
            Self::Websocket(target) => Watched::of_url(&target.url),
            Self::Grpc(target) => Watched::of_url(&target.url),
            Self::WebVitals(target) => Watched::of_url(&target.url),
            Self::Flow(target) => target.steps.first().map(|step| Watched::of_url(&step.url)).unwrap_or_default(),
            Self::Tcp(target) => Watched::of_address(&target.address),
            Self::Tls(target) => Watched::of_address(&target.address),
            Self::Udp(target) => Watched::of_address(&target.address),
            Self::Smtp(target) | Self::Imap(target) => Watched::of_address(&target.address),
            Self::Icmp(target) => Watched::of_host(&target.host),
            Self::Dns(target) => Watched::of_host(&target.name),
            Self::Domain(target) => Watched::of_host(&target.domain),
            Self::Heartbeat(_) => Watched::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_host_port_and_address() {
        let of = |text: &str| {
            let watched = Watched::of_url(text);
            (watched.host.clone().unwrap_or_default(), watched.port, watched.address().unwrap_or_default())
        };
        assert_eq!(of("https://shop.example/a?b"), ("shop.example".into(), Some(443), "shop.example:443".into()));
        assert_eq!(of("http://[::1]:8080/"), ("::1".into(), Some(8080), "[::1]:8080".into()));
        assert_eq!(of("wss://chat.example"), ("chat.example".into(), Some(443), "chat.example:443".into()));
        assert_eq!(of("{{host}}"), (String::new(), None, String::new()));
        assert_eq!(Watched::of_url("https://shop.example/{{id}}").url, None);
        assert_eq!(Watched::of_address("mail.example:25").address().as_deref(), Some("mail.example:25"));
    }
}
