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
