//! HTTP/3 where DNS offers it: a host's HTTPS records (type 65, RFC 9460), and what they lead to.
//!
//! The one way to negotiate that takes no earlier visit: `alt-svc` would need a memory of answers, and a run remembers nothing. The records
//! are asked for in the phase `dns`, at the host, or at `_PORT._https.HOST` for another port than 443. Of those that this agent can use,
//! the first by priority that offers `h3` is dialled over QUIC, at its target and port, judged by the policy like any other address; the
//! certificate is still the URL's host's. Where none does, TLS over TCP to the URL's own host negotiates HTTP/2 or HTTP/1.1. What was
//! chosen is tried alone: an `h3` that is offered and does not answer is a failure. Address hints are not used, nor is encrypted client hello,
//! nor the addresses of an alias that leads to no other record. The hosts file's names and addresses are asked for nothing.

use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::svcb::{SVCB, SvcParamKey, SvcParamValue};
use sitepulse_model::record::{FactKey, Phase};

use super::url::Url;
use crate::attempt::{Attempt, Failure};
use crate::resolve::host::Host;

/// What HTTPS records come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    /// Host and port to speak HTTP/3 to, where it is offered. The host is a full name with the dot at its end: names in records are, and no
    /// search list applies to them.
    pub(super) h3: Option<(String, u16)>,
    /// What was offered, for people.
    says: String,
}

/// Asks what a URL's host offers, and notes it.
///
/// # Errors
/// The question has no answer: nobody knows then what is offered.
pub(super) async fn ask(attempt: &mut Attempt<'_>, url: &Url) -> Result<Offer, Failure> {
    url.host().clone_into(&mut attempt.host);
    let offer = match Host::parse(url.host()) {
        Ok(Host::Name { name, absolute }) => {
            attempt.begin(Phase::Dns);
            let found = attempt.tools.resolver.services(&name, absolute, url.port(), attempt.deadline).await;
            attempt.end();
            choose(&found?, &name, url.port())
        }
        Ok(Host::Address(_)) => Offer { h3: None, says: "an address has no HTTPS record".to_owned() },
        // Whoever dials tells why.
        Err(_) => Offer { h3: None, says: "no HTTPS record".to_owned() },
    };
    attempt.facts.text(FactKey::HttpOffer, &offer.says);
    Ok(offer)
}

/// What records, each with its owner, offer to who asks for `host` and `port`.
fn choose(records: &[(Name, SVCB)], host: &str, port: u16) -> Offer {
    let mut usable: Vec<&(Name, SVCB)> = records.iter().filter(|(_, record)| is_usable(record)).collect();
    usable.sort_by_key(|(_, record)| record.svc_priority);
    let Some((_, first)) = usable.first() else {
        let says = if records.is_empty() { "no HTTPS record" } else { "no HTTPS record that this agent can use" };
        return Offer { h3: None, says: says.to_owned() };
    };
    let Some((owner, record)) = usable.iter().find(|(_, record)| protocols(record).iter().any(|name| name == "h3"))
    else {
        return Offer { h3: None, says: format!("its HTTPS record offers {}", protocols(first).join(", ")) };
    };
    let target = if record.target_name.is_root() { owner } else { &record.target_name };
    let target = target.to_ascii().to_ascii_lowercase();
    // `_8443._https.shop.example` is where the record stands; who serves it is shop.example.
    let target = match target.strip_prefix(&format!("_{port}._https.")) {
        Some(bare) => bare.to_owned(),
        None => target,
    };
    let at = if let Some(SvcParamValue::Port(port)) = parameter(record, SvcParamKey::Port) { *port } else { port };
    let mut says = format!("its HTTPS record offers {}", protocols(record).join(", "));
    let shown = target.trim_end_matches('.');
    if (shown, at) != (host, port) {
        says.push_str(&format!(" at {shown}:{at}"));
    }
    let target = if target.ends_with('.') { target } else { target + "." };
    Offer { h3: Some((target, at)), says }
}

fn parameter(record: &SVCB, key: SvcParamKey) -> Option<&SvcParamValue> {
    record.svc_params.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
}

/// It is no alias, and asks for nothing that we do not know (RFC 9460, 8).
fn is_usable(record: &SVCB) -> bool {
    let known = [SvcParamKey::Alpn, SvcParamKey::NoDefaultAlpn, SvcParamKey::Port, SvcParamKey::Mandatory];
    let asks_too_much = matches!(parameter(record, SvcParamKey::Mandatory),
        Some(SvcParamValue::Mandatory(keys)) if keys.0.iter().any(|key| !known.contains(key)));
    record.svc_priority > 0 && !asks_too_much
}

/// The protocols that a record offers; `http/1.1` among them unless it says otherwise (RFC 9460, 9.1).
fn protocols(record: &SVCB) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(SvcParamValue::Alpn(alpn)) = parameter(record, SvcParamKey::Alpn) {
        names.clone_from(&alpn.0);
    }
    let default = "http/1.1";
    if parameter(record, SvcParamKey::NoDefaultAlpn).is_none() && !names.iter().any(|name| name == default) {
        names.push(default.to_owned());
    }
    names
}

#[cfg(test)]
mod tests;
