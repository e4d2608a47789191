//! What follows from a target: its name for people, the host that is dialled, the secrets it needs.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::syntax::{self, Url};
use super::{Auth, BROWSER, CheckKind, Family, Interact, SecretText};
use crate::duration;

impl CheckKind {
    /// The kinds that take `family = "both"`: it makes two checks of one table, `ID-ipv4` and `ID-ipv6`.
    pub const BOTH_FAMILIES: [&'static str; 9] =
        ["http", "tcp", "tls", "icmp", "udp", "websocket", "grpc", "smtp", "imap"];

    /// The two checks that `family = "both"` stands for. A kind that does not take it gives two of the same.
    pub fn both_families(&self) -> [(Family, Self); 2] {
        [Family::Ipv4, Family::Ipv6].map(|family| {
            let mut kind = self.clone();
            match &mut kind {
                Self::Http(target) => target.family = family,
                Self::Tcp(target) => target.family = family,
                Self::Tls(target) => target.family = family,
                Self::Icmp(target) => target.family = family,
                Self::Udp(target) => target.family = family,
                Self::Websocket(target) => target.family = family,
                Self::Grpc(target) => target.family = family,
                Self::Smtp(target) | Self::Imap(target) => target.family = family,
                Self::Dns(_) | Self::Domain(_) | Self::Heartbeat(_) | Self::Flow(_) | Self::WebVitals(_) => {}
            }
            (family, kind)
        })
    }

    /// What is probed, in one line for people: a URL, `host:port`, a name.
    pub fn describe(&self) -> String {
        match self {
            Self::Http(target) => target.url.clone(),
            Self::Tcp(target) => target.address.clone(),
            Self::Tls(target) => target.address.clone(),
            Self::Dns(target) => format!("{} {}", target.record.as_str(), target.name),
            Self::Icmp(target) => target.host.clone(),
            Self::Udp(target) => target.address.clone(),
            Self::Websocket(target) => target.url.clone(),
            Self::Grpc(target) if target.service.is_empty() => target.url.clone(),
            Self::Grpc(target) => format!("{} {}", target.url, target.service),
            Self::Smtp(target) | Self::Imap(target) => target.address.clone(),
            Self::Domain(target) => target.domain.clone(),
            Self::Heartbeat(target) => match (&target.period, &target.cron) {
                (Some(period), _) => format!("every {}", duration::format(period.0)),
                (None, Some(cron)) => cron.clone(),
                (None, None) => String::new(),
            },
            Self::Flow(target) => target.steps.first().map(|step| step.url.clone()).unwrap_or_default(),
            Self::WebVitals(target) => target.url.clone(),
        }
    }

    /// The host that a run talks to first, in lower case and without brackets: runs against one host are limited together. A question
    /// to the machine's own name server goes to `dns`, one to the RDAP service of a top-level domain to `rdap:TLD`, a page to `browser`. `None` where no
    /// agent dials.
    pub fn host(&self) -> Option<String> {
        const SCHEMES: [&str; 4] = ["http://", "https://", "ws://", "wss://"];
        let of_url = |text: &str| match syntax::url(text, &SCHEMES) {
            Ok(Url { host, .. }) => Some(host.to_ascii_lowercase()),
            Err(_) => None,
        };
        let of_address = |text: &str| syntax::host_and_port(text).ok().map(|(host, _)| host.to_ascii_lowercase());
        match self {
            Self::Http(target) => of_url(target.proxy.as_ref().unwrap_or(&target.url)),
            Self::Tcp(target) => of_address(&target.address),
            Self::Tls(target) => of_address(&target.address),
            Self::Dns(target) => {
                target.server.as_ref().map_or_else(|| Some("dns".to_string()), |server| of_address(server))
            }
            Self::Icmp(target) => Some(target.host.to_ascii_lowercase()),
            Self::Udp(target) => of_address(&target.address),
            Self::Websocket(target) => of_url(&target.url),
            Self::Grpc(target) => of_url(&target.url),
            Self::Smtp(target) | Self::Imap(target) => of_address(&target.address),
            Self::Domain(target) => match &target.rdap {
                Some(rdap) => of_url(rdap),
                None => target.domain.rsplit('.').next().map(|tld| format!("rdap:{}", tld.to_ascii_lowercase())),
            },
            Self::Heartbeat(_) => None,
            Self::Flow(target) => of_url(&syntax::without_variables(&target.steps.first()?.url)),
            // The browser is what there is too little of.
            Self::WebVitals(_) => Some(BROWSER.to_string()),
        }
    }

    /// Where what a run says goes, secrets too, each as `scheme://host:port` or `host:port` in lower case, a scheme's own port left out. A flow
    /// may say anything in each of its steps, and a proxy hears what passes it.
    pub fn destinations(&self) -> BTreeSet<String> {
        let mut texts: Vec<&str> = Vec::new();
        match self {
            Self::Http(target) => {
                texts.push(&target.url);
                texts.extend(target.proxy.as_deref());
            }
            Self::Tcp(target) => texts.push(&target.address),
            Self::Tls(target) => texts.push(&target.address),
            Self::Udp(target) => texts.push(&target.address),
            Self::Websocket(target) => texts.push(&target.url),
            Self::Grpc(target) => texts.push(&target.url),
            Self::Smtp(target) | Self::Imap(target) => texts.push(&target.address),
            Self::Domain(target) => texts.push(target.rdap.as_deref().unwrap_or(&target.domain)),
            Self::Flow(target) => texts.extend(target.steps.iter().map(|step| step.url.as_str())),
            Self::WebVitals(target) => texts.push(&target.url),
            Self::Dns(_) | Self::Icmp(_) | Self::Heartbeat(_) => {}
        }
        texts.into_iter().map(syntax::origin).collect()
    }

    /// Whether a run may change something where it goes: a flow, a page that is clicked on, a request that is neither `GET` nor `HEAD`.
    pub fn acts(&self) -> bool {
        match self {
            Self::Http(target) => !["GET", "HEAD"].contains(&target.method.as_str()),
            Self::Flow(_) => true,
            Self::WebVitals(target) => !target.interact.is_empty() || target.consent.is_some(),
            Self::Tcp(_)
            | Self::Tls(_)
            | Self::Dns(_)
            | Self::Icmp(_)
            | Self::Udp(_)
            | Self::Websocket(_)
            | Self::Grpc(_)
            | Self::Smtp(_)
            | Self::Imap(_)
            | Self::Domain(_)
            | Self::Heartbeat(_) => false,
        }
    }

    /// The names of the secrets that the target refers to.
    pub fn secrets(&self) -> BTreeSet<String> {
        let mut texts: Vec<&SecretText> = Vec::new();
        let mut tls = None;
        match self {
            Self::Http(target) => {
                texts.extend(target.headers.values().chain(&target.body));
                texts.extend(confidential(&target.auth));
                tls = Some(&target.tls);
            }
            Self::Tcp(target) => texts.extend(&target.send),
            Self::Tls(target) => tls = Some(&target.tls),
            Self::Udp(target) => texts.extend(&target.send),
            Self::Websocket(target) => {
                texts.extend(target.headers.values().chain(&target.send));
                texts.extend(confidential(&target.auth));
                tls = Some(&target.tls);
            }
            Self::Grpc(target) => {
                texts.extend(target.headers.values());
                tls = Some(&target.tls);
            }
            Self::Smtp(target) | Self::Imap(target) => {
                texts.extend(target.login.as_ref().map(|login| &login.password));
                tls = Some(&target.tls);
            }
            Self::Domain(target) => tls = Some(&target.tls),
            Self::Flow(target) => {
                for step in &target.steps {
                    texts.extend(step.headers.values().chain(&step.body));
                    texts.extend(confidential(&step.auth));
                }
                tls = Some(&target.tls);
            }
            Self::WebVitals(target) => {
                texts.extend(target.interact.iter().chain(&target.consent).filter_map(|step| match step {
                    Interact::Type(_, text) => Some(text),
                    Interact::Click(_) | Interact::Press(_) | Interact::Scroll(_) | Interact::Wait(_) => None,
                }));
            }
            Self::Dns(_) | Self::Icmp(_) | Self::Heartbeat(_) => {}
        }
        if let Some(tls) = tls {
            texts.extend(tls.client_certificate.iter().chain(&tls.client_key));
        }
        texts.into_iter().filter_map(SecretText::name).map(str::to_owned).collect()
    }
}

const fn confidential(auth: &Option<Auth>) -> Option<&SecretText> {
    match auth {
        Some(Auth::Basic { password, .. }) => Some(password),
        Some(Auth::Bearer(token)) => Some(token),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_run_goes_where_its_addresses_say_and_to_its_proxy() {
        let of = |kind: &str, json: &str| {
            CheckKind::from_stored_json(kind, json).unwrap().destinations().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of("http", r#"{"url": "HTTPS://Shop.example:443/a?b"}"#), ["https://shop.example"]);
        assert_eq!(of("http", r#"{"url": "http://shop.example:8080"}"#), ["http://shop.example:8080"]);
        assert_eq!(
            of("http", r#"{"url": "http://shop.example/", "proxy": "http://proxy.example:3128"}"#),
            ["http://proxy.example:3128", "http://shop.example"]
        );
        assert_eq!(of("tcp", r#"{"address": "Mail.example:25"}"#), ["mail.example:25"]);
        assert_eq!(
            of(
                "flow",
                r#"{"steps": [{"name": "a", "url": "https://a.example/{{x}}"}, {"name": "b", "url": "https://b.example?c"}]}"#
            ),
            ["https://a.example", "https://b.example"]
        );
        assert_eq!(of("icmp", r#"{"host": "a.example"}"#), Vec::<String>::new());
    }

    #[test]
    fn what_may_change_something_acts() {
        let acts = |kind: &str, json: &str| CheckKind::from_stored_json(kind, json).unwrap().acts();
        let told = [
            acts("http", r#"{"url": "http://a.example/"}"#),
            acts("http", r#"{"url": "http://a.example/", "method": "HEAD"}"#),
            acts("http", r#"{"url": "http://a.example/", "method": "POST"}"#),
            acts("flow", r#"{"steps": [{"name": "a", "url": "https://a.example/"}]}"#),
            acts("web_vitals", r#"{"url": "http://a.example/"}"#),
            acts("web_vitals", r##"{"url": "http://a.example/", "interact": [{"click": "#buy"}]}"##),
        ];
        assert_eq!(told.to_vec(), vec![false, false, true, true, false, true]);
    }
}
