//! What a check may share with others, as far as its definition and its newest results tell: nothing is looked up.
//!
//! | trait | told by |
//! |---|---|
//! | parent | the definition |
//! | address | the newest result that dialled one |
//! | certificate | the SHA-256 of the leaf, by the newest result that was shown one |
//! | domain | the part of the target's host that somebody registered |
//! | network | the /24 (IPv4) or /48 (IPv6) of that address: nothing smaller is taken between networks (RFC 7454, 6.1.3), so all of it is with one operator |
//! | provider | the definition (`providers`), and checks of kind `dns`: the registrable domain that a CNAME of the host leads to, or that the domain's name servers are in |
//!
//! What fails may not dial and is shown no certificate: a check that is down keeps what was known of it ([`Traits::keep`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use sitepulse_model::check::{CheckDefinition, CheckKind, DnsType};
use sitepulse_model::insight::found::{Trait, TraitOf};
use sitepulse_model::record::{FactKey, ProbeResult, ProbeState};

use crate::book::CheckRevision;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    /// What it has by itself.
    pub own: Vec<Trait>,
    /// The host that it is about.
    host: Option<String>,
    /// What it tells of others: who operates a name.
    told: Vec<Told>,
    /// Whether its newest result is down.
    down: bool,
}

/// Who operates a name, as DNS says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    /// The host, or the domain with all that is in it.
    name: String,
    /// Whether all that is in it is meant.
    domain: bool,
    /// `cloudflare.net`.
    provider: String,
}

impl Traits {
    /// Of a check and the newest results of its agents.
    pub fn of<'r>(revision: &CheckRevision, lasts: impl Iterator<Item = &'r ProbeResult>) -> Self {
        let (definition, labels) = (&revision.definition, &revision.labels);
        let mut lasts: Vec<&ProbeResult> = lasts.collect();
        lasts.sort_by_key(|last| std::cmp::Reverse(last.scheduled));
        let mut own: Vec<Trait> = Vec::new();
        let mut add = |of: TraitOf, what: String| own.push(Trait { of, what });
        labels.parents.iter().for_each(|parent| add(TraitOf::Parent, parent.to_string()));
        if let Some(address) = lasts.iter().find_map(|last| last.address) {
            add(TraitOf::Address, address.ip().to_string());
            add(TraitOf::Network, network(address.ip()));
        }
        let mut certificates = lasts.iter().flat_map(|last| last.facts.texts_of(FactKey::CertificateSha256));
        if let Some(sha256) = certificates.next() {
            add(TraitOf::Certificate, sha256.to_owned());
        }
        let host = about(definition);
        if let Some(domain) = host.as_deref().and_then(registrable) {
            add(TraitOf::Domain, domain);
        }
        labels.providers.iter().for_each(|provider| add(TraitOf::Provider, provider.to_string()));
        let told = lasts.iter().map(|last| told(definition, last)).find(|told| !told.is_empty()).unwrap_or_default();
        let down = lasts.first().is_some_and(|last| last.state == ProbeState::Down);
        Self { own, host, told, down }
    }

    /// With what was known before, where a check that is down does not tell it now.
    pub fn keep(&mut self, before: &Self) {
        if !self.down {
            return;
        }
        for of in [TraitOf::Address, TraitOf::Network, TraitOf::Certificate] {
            if self.own.iter().all(|one| one.of != of) {
                self.own.extend(before.own.iter().filter(|one| one.of == of).cloned());
            }
        }
        if self.told.is_empty() {
            self.told.clone_from(&before.told);
        }
    }
}

/// The traits of all checks: their own, and who operates their names as others tell.
pub fn together<'t>(all: impl Iterator<Item = &'t Traits> + Clone) -> Vec<Vec<Trait>> {
    let mut hosts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut domains: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for told in all.clone().flat_map(|traits| &traits.told) {
        let of = if told.domain { &mut domains } else { &mut hosts };
        of.entry(told.name.as_str()).or_default().insert(told.provider.as_str());
    }
    let whole = |traits: &Traits| {
        let mut whole = traits.own.clone();
        let by_host = traits.host.as_deref().and_then(|host| hosts.get(host));
        let domain = traits.own.iter().find(|one| one.of == TraitOf::Domain);
        let by_domain = domain.and_then(|domain| domains.get(domain.what.as_str()));
        let providers: BTreeSet<&str> = by_host.into_iter().chain(by_domain).flatten().copied().collect();
        whole.extend(providers.into_iter().map(|what| Trait { of: TraitOf::Provider, what: what.to_owned() }));
        whole
    };
    all.map(whole).collect()
}

/// The host that a check is about, in lower case: of a page the page's, of a question to a name server the name that is asked for.
fn about(definition: &CheckDefinition) -> Option<String> {
    let of_url = |url: &str| Some(url.parse::<axum::http::Uri>().ok()?.host()?.to_owned());
    let host = match &definition.kind {
        CheckKind::Http(target) => of_url(&target.url),
        CheckKind::WebVitals(target) => of_url(&target.url),
        CheckKind::Dns(target) => Some(target.name.clone()),
        CheckKind::Domain(target) => Some(target.domain.clone()),
        CheckKind::Tcp(_)
        | CheckKind::Tls(_)
        | CheckKind::Icmp(_)
        | CheckKind::Udp(_)
        | CheckKind::Websocket(_)
        | CheckKind::Grpc(_)
        | CheckKind::Smtp(_)
        | CheckKind::Imap(_)
        | CheckKind::Heartbeat(_)
        | CheckKind::Flow(_) => definition.kind.host(),
    };
    host.map(|host| bare(&host))
}

/// A name in lower case and without its last dot.
fn bare(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// What a question to a name server tells of who operates the name. A CNAME or a name server in the name's own domain says nothing.
fn told(definition: &CheckDefinition, last: &ProbeResult) -> Vec<Told> {
    let CheckKind::Dns(target) = &definition.kind else { return Vec::new() };
    let (name, own) = (bare(&target.name), registrable(&bare(&target.name)));
    let (name, domain) = match target.record {
        DnsType::Cname => (name, false),
        // Name servers of a part of a domain are not those of the whole.
        DnsType::Ns if own.as_deref() == Some(name.as_str()) => (name, true),
        DnsType::A
        | DnsType::Aaaa
        | DnsType::Mx
        | DnsType::Ns
        | DnsType::Txt
        | DnsType::Soa
        | DnsType::Srv
        | DnsType::Caa
        | DnsType::Ptr => return Vec::new(),
    };
    let providers = last.facts.texts_of(FactKey::DnsAnswer).filter_map(|answer| registrable(&bare(answer)));
    let providers: BTreeSet<String> = providers.filter(|provider| Some(provider) != own.as_ref()).collect();
    providers.into_iter().map(|provider| Told { name: name.clone(), domain, provider }).collect()
}

/// The smallest network that an address is announced in: its /24, or its /48.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{}/48", std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

/// The part of a host's name that somebody registered, by its look: its last two labels, or three below the likes of `co.uk`. `None` of addresses and single labels.
fn registrable(host: &str) -> Option<String> {
    if host.contains(':') || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let labels: Vec<&str> = host.trim_end_matches('.').split('.').filter(|label| !label.is_empty()).collect();
    let [.., second, top] = labels.as_slice() else { return None };
    let below = ["co", "com", "org", "net", "gov", "edu", "ac"].contains(second) && top.len() == 2;
    let wanted = if below { 3 } else { 2 };
    (labels.len() >= wanted).then(|| labels[labels.len() - wanted..].join("."))
}

#[cfg(test)]
mod tests {
    use sitepulse_model::check::DnsTarget;
    use sitepulse_model::control::Weight;
    use sitepulse_model::id::{CheckId, CheckNo, Provider, Revision};
    use sitepulse_model::quorum::Quorum;
    use sitepulse_model::record::{Facts, Phases};
    use sitepulse_model::time::UtcMicros;

    use super::*;
    use crate::book::Labels;

    fn revision(kind: CheckKind) -> CheckRevision {
        let definition = CheckDefinition {
            id: CheckId::parse("a").unwrap(),
            kind,
            interval_us: 60_000_000,
            timeout_us: 10_000_000,
            retries: 0,
            weight: Weight::ONE,
            regions: None,
            quorum: Quorum::Majority,
            confirmations: 2,
            recoveries: 1,
            expect: Vec::new(),
        };
        CheckRevision {
            revision: Revision(1),
            effective_from: UtcMicros(0),
            retired: false,
            author: String::new(),
            ordinal: 1,
            definition,
            labels: Labels::default(),
        }
    }

    fn result(at: i64, state: ProbeState, address: Option<&str>, facts: &[(FactKey, &str)]) -> ProbeResult {
        let mut told = Facts::default();
        facts.iter().for_each(|(key, text)| told.text(*key, text));
        ProbeResult {
            check: CheckNo(1),
            revision: Revision(1),
            scheduled: UtcMicros(at),
            started: UtcMicros(at),
            phases: Phases::default(),
            state,
            cause: None,
            failed_phase: None,
            detail: String::new(),
            address: address.map(|address| address.parse().unwrap()),
            facts: told,
        }
    }

    fn shown(traits: &[Trait]) -> Vec<String> {
        traits.iter().map(|one| format!("{}:{}", one.of.as_str(), one.what)).collect()
    }

    fn dns(name: &str, record: DnsType) -> CheckKind {
        let target = DnsTarget { name: name.into(), record, ..serde_json::from_str(r#"{"name": "a"}"#).unwrap() };
        CheckKind::Dns(target)
    }

    #[test]
    fn a_domain_is_what_somebody_registered() {
        let of = |host: &str| registrable(host).unwrap_or_default();
        let hosts = ["www.shop.example", "shop.example", "a.b.shop.co.uk", "co.uk", "localhost", "192.0.2.1", "::1"];
        assert_eq!(hosts.map(of), ["shop.example", "shop.example", "shop.co.uk", "", "", "", ""]);
    }

    #[test]
    fn a_network_is_the_smallest_that_is_announced() {
        let of = |address: &str| network(address.parse().unwrap());
        assert_eq!(of("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(of("2001:db8:7:9::1"), "2001:db8:7::/48");
        assert_eq!(of("::ffff:192.0.2.77"), "192.0.2.0/24");
    }

    #[test]
    fn everything_that_is_known_is_told_and_by_the_newest_that_knows() {
        let mut of = revision(CheckKind::http("https://www.Shop.example/cart"));
        of.labels.parents.insert(CheckId::parse("gateway").unwrap());
        of.labels.providers.extend(["ovh", "stripe"].map(|provider| Provider::parse(provider).unwrap()));
        let lasts = [
            result(1, ProbeState::Up, Some("192.0.2.1:443"), &[(FactKey::CertificateSha256, "old")]),
            result(3, ProbeState::Down, Some("198.51.100.9:443"), &[]),
            result(2, ProbeState::Up, Some("192.0.2.2:443"), &[(FactKey::CertificateSha256, "new")]),
        ];
        let traits = Traits::of(&of, lasts.iter());
        let all = [
            "parent:gateway",
            "address:198.51.100.9",
            "network:198.51.100.0/24",
            "certificate:new",
            "domain:shop.example",
            "provider:ovh",
            "provider:stripe",
        ];
        assert_eq!(shown(&traits.own), all);
    }

    #[test]
    fn what_fails_keeps_what_was_known_of_it() {
        let of = revision(CheckKind::http("https://shop.example/"));
        let was = [result(1, ProbeState::Up, Some("192.0.2.1:443"), &[(FactKey::CertificateSha256, "ab")])];
        let was = Traits::of(&of, was.iter());
        // Its name does not resolve any more.
        let mut is = Traits::of(&of, [result(2, ProbeState::Down, None, &[])].iter());
        is.keep(&was);
        let sorted = |traits: &Traits| {
            let mut shown = shown(&traits.own);
            shown.sort();
            shown
        };
        assert_eq!(sorted(&is), sorted(&was));
        // What is up without a certificate has none.
        let mut plain = Traits::of(&of, [result(3, ProbeState::Up, Some("192.0.2.1:80"), &[])].iter());
        plain.keep(&is);
        assert_eq!(shown(&plain.own), ["address:192.0.2.1", "network:192.0.2.0/24", "domain:shop.example"]);
    }

    #[test]
    fn dns_tells_who_operates_the_names_of_others() {
        let answer = |answers: &[&'static str]| {
            let facts: Vec<_> = answers.iter().map(|answer| (FactKey::DnsAnswer, *answer)).collect();
            result(1, ProbeState::Up, Some("192.0.2.53:53"), &facts)
        };
        let alias = Traits::of(
            &revision(dns("www.shop.example", DnsType::Cname)),
            [answer(&["shop.example.cdn.Cloudflare.net."])].iter(),
        );
        let servers = Traits::of(
            &revision(dns("shop.example", DnsType::Ns)),
            [answer(&["ns1.dns-host.test.", "ns2.dns-host.test."])].iter(),
        );
        let own = Traits::of(&revision(dns("b.example", DnsType::Ns)), [answer(&["ns1.b.example."])].iter());
        let site = Traits::of(&revision(CheckKind::http("https://www.shop.example/")), [].iter());
        let bare = Traits::of(&revision(CheckKind::http("https://shop.example/")), [].iter());
        let other = Traits::of(&revision(CheckKind::http("https://b.example/")), [].iter());
        let all = [alias, servers, own, site, bare, other];
        let providers: Vec<Vec<String>> = together(all.iter())
            .iter()
            .map(|traits| {
                let providers = traits.iter().filter(|one| one.of == TraitOf::Provider);
                providers.map(|one| one.what.clone()).collect()
            })
            .collect();
        let (both, server) = (vec!["cloudflare.net", "dns-host.test"], vec!["dns-host.test"]);
        assert_eq!(providers, [both.clone(), server.clone(), vec![], both, server, vec![]]);
    }
}
