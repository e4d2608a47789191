//! The `dns` kind: one question to one server, over UDP or TCP.
//!
//! Every answer is an answer, `NXDOMAIN` and `REFUSED` too: what counts as good is for the assertions (at least one record of the type, unless the
//! check says otherwise). Silence is a timeout. Values are those of the answer section that belong to the name, along its aliases.
//!
//! Phases: `dns` only where the server is given by name, `connect` over TCP alone. A truncated answer is asked for again over TCP, and its phases
//! add up; that is how it shows.
//!
//! The policy applies to a server that the check names. The machine's own name server is exempt: the agent asks it anyway. Its silence says nothing
//! of the name where the machine's name servers answer nothing else either: that is [`Cause::NetworkLost`], also on the loopback.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use sitepulse_daemon::clock;
use sitepulse_model::check::{DnsTarget, DnsTransport, DnsType, Family};
use sitepulse_model::record::{Cause, FactKey, Phase};

use crate::attempt::{Answer, Attempt, Failure};
use crate::connect;
use crate::query::{Extension, Query, Trouble, along_aliases, rcode_name};
use crate::resolve::Resolver;

const PORT: u16 = 53;

/// A `dns` check, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct DnsProbe {
    name: Name,
    record: RecordType,
    server: Option<(String, u16)>,
    transport: DnsTransport,
    dnssec: bool,
    family: Family,
}

impl DnsProbe {
    pub(crate) fn new(target: &DnsTarget) -> Result<Self, String> {
        Ok(Self {
            name: question_name(&target.name, target.record)?,
            record: record_type(target.record),
            server: target.server.as_deref().map(server).transpose()?,
            transport: target.transport,
            dnssec: target.dnssec,
            family: target.family,
        })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let server = match &self.server {
            Some((host, port)) => connect::pick(attempt, host, *port, self.family).await?,
            None => {
                let server = attempt.tools.resolver.first_server()?;
                attempt.host = server.ip().to_string();
                attempt.address = Some(server);
                server
            }
        };
        let extension = if self.dnssec { Extension::Dnssec } else { Extension::Edns };
        let query = Query::new(self.name.clone(), self.record, extension).map_err(|error| {
            Failure::new(Cause::AgentFault, Phase::Send, format!("agent: the question cannot be asked ({error})"))
        })?;
        if self.server.is_some() {
            return self.exchange(attempt, server, &query).await;
        }
        let (tools, deadline) = (attempt.tools, attempt.deadline);
        let name = self.name.to_ascii();
        let doubt_at = clock::tokio_instant(Resolver::doubt_at(deadline));
        // Asked while the answer may still come: it is not cut short. Where the servers are there, the deadline strikes as for any silence.
        let doubt = async {
            tokio::time::sleep_until(doubt_at).await;
            match tools.resolver.lost(&name, "no answer", deadline).await {
                Some(lost) => lost,
                None => std::future::pending().await,
            }
        };
        let told = tokio::select! {
            biased;
            told = self.exchange(attempt, server, &query) => told,
            lost = doubt => return Err(Failure { phase: attempt.phase(), ..lost }),
        };
        match told {
            Err(failure) if is_silence(failure.cause) => {
                let lost = tools.resolver.lost(&name, &failure.detail, deadline).await;
                Err(lost.map_or(failure.clone(), |lost| Failure { phase: failure.phase, ..lost }))
            }
            told => told,
        }
    }

    async fn exchange(&self, attempt: &mut Attempt<'_>, server: SocketAddr, query: &Query) -> Result<Answer, Failure> {
        let mut message = None;
        if self.transport == DnsTransport::Udp {
            let asked = query.over_udp(server, &mut |phase| attempt.begin(phase)).await;
            let phase = attempt.phase();
            attempt.end();
            let heard = asked.map_err(|trouble| failure(&attempt.host, server, phase, &trouble))?;
            message = (!heard.metadata.truncation).then_some(heard);
        }
        let message = match message {
            Some(message) => message,
            None => {
                attempt.begin(Phase::Connect);
                let dialled = connect::dial(server).await;
                attempt.end();
                let asked = query.over_tcp(dialled?, &mut |phase| attempt.begin(phase)).await;
                let phase = attempt.phase();
                attempt.end();
                asked.map_err(|trouble| failure(&attempt.host, server, phase, &trouble))?
            }
        };
        self.note(attempt, &message);
        Ok(Answer::default())
    }

    fn note(&self, attempt: &mut Attempt<'_>, message: &Message) {
        let facts = &mut attempt.facts;
        let records = along_aliases(message, &self.name, self.record);
        facts.text(FactKey::DnsRcode, &rcode_name(message.metadata.response_code));
        facts.number(FactKey::DnsAnswers, i64::try_from(records.len()).unwrap_or(i64::MAX));
        facts.number(FactKey::DnsAd, i64::from(message.metadata.authentic_data));
        if let Some(ttl) = records.iter().map(|record| record.ttl).min() {
            facts.number(FactKey::DnsTtl, i64::from(ttl));
        }
        for record in &records {
            facts.text(FactKey::DnsAnswer, &value(record));
        }
    }
}

/// Whether nothing came that a name server had said.
const fn is_silence(cause: Cause) -> bool {
    matches!(cause, Cause::ConnectionRefused | Cause::ConnectionReset | Cause::Unreachable | Cause::Timeout)
}

fn failure(host: &str, server: SocketAddr, phase: Phase, trouble: &Trouble) -> Failure {
    match trouble {
        Trouble::Broken(reason) => {
            let text = format!("dns: the answer of {host} cannot be read ({reason})");
            Failure::new(Cause::ProtocolError, phase, text)
        }
        Trouble::Io(error) => connect::socket_failure("dns", host, server, phase, error),
    }
}

/// The server of a check, `host` or `host:port`.
fn server(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("{text:?} is no server: write it as 192.0.2.53, [2001:db8::53]:53 or ns.example:53");
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text.to_owned(), PORT));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        Some(_) | None => (text, PORT),
    };
    let bare = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or_else(wrong)?,
        None => host,
    };
    if bare.is_empty() { Err(wrong()) } else { Ok((bare.to_owned(), port)) }
}

/// The name to ask for. An address is asked for as its reverse name with `PTR`.
fn question_name(text: &str, record: DnsType) -> Result<Name, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{text:?} cannot be asked for: {error}");
    if let (DnsType::Ptr, Ok(address)) = (record, text.parse::<IpAddr>()) {
        return Ok(Name::from(address));
    }
    if text.is_empty() {
        return Err(wrong(&"the name is empty; the root is \".\""));
    }
    if !text.is_ascii() {
        return Err(wrong(&"write it in ASCII, as xn--..."));
    }
    let mut name = Name::from_ascii(text).map_err(|error| wrong(&error))?;
    name.set_fqdn(true);
    Ok(name)
}

const fn record_type(record: DnsType) -> RecordType {
    match record {
        DnsType::A => RecordType::A,
        DnsType::Aaaa => RecordType::AAAA,
        DnsType::Cname => RecordType::CNAME,
        DnsType::Mx => RecordType::MX,
        DnsType::Ns => RecordType::NS,
        DnsType::Txt => RecordType::TXT,
        DnsType::Soa => RecordType::SOA,
        DnsType::Srv => RecordType::SRV,
        DnsType::Caa => RecordType::CAA,
        DnsType::Ptr => RecordType::PTR,
    }
}

/// A record's value as dig prints it, names with their last dot; the strings of a TXT record joined, as everybody who reads them does.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: the rest prints itself in zone file form")]
fn value(record: &Record) -> String {
    match &record.data {
        RData::TXT(text) => {
            let mut joined = Vec::new();
            text.txt_data.iter().for_each(|part| joined.extend_from_slice(part));
            String::from_utf8_lossy(&joined).into_owned()
        }
        RData::CAA(caa) => {
            format!("{} {} \"{}\"", caa.flags(), caa.tag, String::from_utf8_lossy(&caa.value))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
