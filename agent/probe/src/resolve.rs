//! Names to addresses, by this machine's own configuration.
//!
//! A lookup is a measurement: each run asks anew (no cache), asks each name server once, in the configured order (no retry, no race), and asks
//! for IPv6 addresses only where a name has no IPv4 ones. Canonical addresses take no lookup, and what is neither an address nor a name is
//! refused before anybody is asked ([`host`]). No task and no thread is started: a lookup that is dropped is gone.
//!
//! Whose fault: an answer that says no is [`Cause::DnsFailed`]. Silence is judged by a second question: name servers that answer it but not for
//! this name leave the name's own servers to blame; those that answer nothing are [`Cause::NetworkLost`], which is `unknown`.
//!
//! Limits: [`SHARE`] of what is left of the attempt's time goes to the lookup, so that it ends before the deadline with a reason; 3 name
//! servers, 8 domains of the search list.

mod answerer;
pub(crate) mod host;
pub(crate) mod system;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::svcb::SVCB;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::check::Family;
use sitepulse_model::record::{Cause, Phase};

pub(crate) use self::answerer::Answerer;
use self::system::System;
use crate::attempt::Failure;
use crate::connect::{self, Teller};
use crate::query::{Extension, Query, Trouble, along_aliases, rcode_name};

/// How often the files are looked at for changes.
const LOOK_EVERY_US: u64 = 1_000_000;
/// Most aliases of HTTPS records that are followed.
const ALIASES_MAX: usize = 4;
/// The share of the time left that the question itself may take, in percent.
const SHARE: u64 = 70;
/// The share of the time left after it that the second question may take, in percent.
const SECOND_SHARE: u64 = 60;
/// Longest time of the second question.
const SECOND_US_MAX: u64 = 1_000_000;

/// The agent's resolver. One for all probes.
#[derive(Debug)]
pub struct Resolver {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Fixed(Arc<System>),
    Files { resolv: PathBuf, hosts: PathBuf, read: Mutex<Option<Reading>> },
}

/// What the files said when they were read last.
#[derive(Debug)]
struct Reading {
    system: Result<Arc<System>, String>,
    stamps: [Option<SystemTime>; 2],
    /// When they are looked at again.
    look_at: Monotonic,
}

impl Default for Resolver {
    fn default() -> Self {
        Self::with_files("/etc/resolv.conf", "/etc/hosts")
    }
}

/// How a question ended.
enum Outcome {
    /// An answer, perhaps without what was asked for.
    Answer(Box<Message>),
    /// The server says that there is no such name.
    NoName,
    /// No server gave an answer that counts; the last code.
    Code(ResponseCode),
    /// No server answered; the last reason.
    Silence(String),
}

impl Resolver {
    /// Asks one server, without hosts file and search list. For tests, and tools that name a server.
    pub fn with_server(server: SocketAddr) -> Self {
        Self { source: Source::Fixed(Arc::new(System::with_server(server))) }
    }

    /// As [`Resolver::with_server`], with the search list and options of a `resolv.conf`.
    #[cfg(test)]
    pub(crate) fn with_resolv(server: SocketAddr, resolv: &str) -> Self {
        let mut system = System::parse(format!("nameserver 192.0.2.53\n{resolv}").as_bytes(), "").unwrap();
        system.servers = vec![server];
        Self { source: Source::Fixed(Arc::new(system)) }
    }

    /// Reads these files, and again when they change.
    pub fn with_files(resolv: impl Into<PathBuf>, hosts: impl Into<PathBuf>) -> Self {
        Self { source: Source::Files { resolv: resolv.into(), hosts: hosts.into(), read: Mutex::new(None) } }
    }

    /// The HTTPS records (RFC 9460) of a name and port, each with its owner; aliases are followed, up to [`ALIASES_MAX`]. None of a name
    /// that nobody need be asked for.
    pub(crate) async fn services(
        &self,
        name: &str,
        absolute: bool,
        port: u16,
        deadline: Monotonic,
    ) -> Result<Vec<(Name, SVCB)>, Failure> {
        let system = self.system()?;
        if answerer::known(&system, name, Family::Any).is_some() {
            return Ok(Vec::new());
        }
        let mut search = Search::new(&system, name, absolute, deadline);
        while let Some((candidate, until)) = search.next() {
            let told = services_of(&system, &candidate, port, until).await?;
            if let ControlFlow::Break(found) = search.told(candidate, told) {
                return Ok(found);
            }
        }
        match search.trouble {
            Some((asked, failed)) => {
                let what = asked.naming(&format!("the HTTPS record of {name}"));
                Err(unresolved(&system, &what, failed, deadline).await)
            }
            None => Ok(Vec::new()),
        }
    }

    /// The machine's first name server.
    pub(crate) fn first_server(&self) -> Result<SocketAddr, Failure> {
        let system = self.system()?;
        system
            .servers
            .first()
            .copied()
            .ok_or_else(|| Failure::new(Cause::AgentFault, Phase::Dns, "agent: no name server"))
    }

    /// The addresses of a name (as [`host::Host`] has it), all of one family, in the resolver's order; at least one.
    pub(crate) async fn addresses(
        &self,
        name: &str,
        absolute: bool,
        family: Family,
        deadline: Monotonic,
    ) -> Result<Vec<IpAddr>, Failure> {
        self.addresses_by(name, absolute, family, deadline, &mut None).await
    }

    /// As [`Resolver::addresses`], and tells who answered last, whatever the answer was.
    pub(crate) async fn addresses_by(
        &self,
        name: &str,
        absolute: bool,
        family: Family,
        deadline: Monotonic,
        by: &mut Option<Answerer>,
    ) -> Result<Vec<IpAddr>, Failure> {
        let system = self.system()?;
        if let Some((found, known_by)) = answerer::known(&system, name, family) {
            *by = Some(known_by);
            return Ok(found);
        }
        let records: &[RecordType] = match family {
            Family::Any => &[RecordType::A, RecordType::AAAA],
            Family::Ipv4 => &[RecordType::A],
            Family::Ipv6 => &[RecordType::AAAA],
        };
        let mut search = Search::new(&system, name, absolute, deadline);
        while let Some((candidate, until)) = search.next() {
            let told = addresses_of(&system, &candidate, records, until, by).await?;
            if let ControlFlow::Break(found) = search.told(candidate, told) {
                return Ok(found);
            }
        }
        if let Some((asked, failed)) = search.trouble {
            return Err(unresolved(&system, &asked.naming(name), failed, deadline).await);
        }
        let text = match (search.no_name, family) {
            (true, _) => format!("dns: {name} does not exist (NXDOMAIN)"),
            (false, Family::Any) => format!("dns: {name} has no address"),
            (false, Family::Ipv4) => format!("dns: {name} has no IPv4 address"),
            (false, Family::Ipv6) => format!("dns: {name} has no IPv6 address"),
        };
        Err(Failure::new(Cause::DnsFailed, Phase::Dns, text))
    }

    /// When an answer of the machine's own name servers has been waited for so long that it is time to ask whether they are there at all.
    pub(crate) fn doubt_at(deadline: Monotonic) -> Monotonic {
        clock::monotonic().plus_us(percent(left(deadline), SHARE))
    }

    /// The failure where the machine's own name servers, silent for `name`, answer nothing at all.
    pub(crate) async fn lost(&self, name: &str, reason: &str, deadline: Monotonic) -> Option<Failure> {
        match self.system() {
            Ok(system) => silence(&system, name, reason, deadline).await,
            Err(failure) => Some(failure),
        }
    }

    fn system(&self) -> Result<Arc<System>, Failure> {
        let (resolv, hosts, read) = match &self.source {
            Source::Fixed(system) => return Ok(system.clone()),
            Source::Files { resolv, hosts, read } => (resolv, hosts, read),
        };
        let now = clock::monotonic();
        let look_at = now.plus_us(LOOK_EVERY_US);
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = match read.take() {
            Some(reading) if now < reading.look_at => reading,
            Some(reading) if reading.system.is_ok() && reading.stamps == stamps(resolv, hosts) => {
                Reading { look_at, ..reading }
            }
            Some(_) | None => {
                // The stamps first: a change in between is then read again.
                let stamps = stamps(resolv, hosts);
                let system = System::read(resolv, hosts).map(Arc::new);
                Reading { system, stamps, look_at }
            }
        };
        let system = reading.system.clone();
        *read = Some(reading);
        system.map_err(|reason| {
            let text = format!("agent: names cannot be resolved: {}: {reason}", resolv.display());
            Failure::new(Cause::AgentFault, Phase::Dns, text)
        })
    }
}

fn stamps(resolv: &Path, hosts: &Path) -> [Option<SystemTime>; 2] {
    [resolv, hosts].map(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
}

/// What asking for one full name came to.
enum Told<T> {
    Found(T),
    /// There is such a name, without what was asked for.
    Nothing,
    NoName,
    /// A code or silence.
    Trouble(Outcome),
}

/// Which full name got into trouble.
enum Asked {
    /// The name as it is written.
    Itself,
    /// It in a domain of the search list.
    As(Name),
}

impl Asked {
    fn naming(&self, what: &str) -> String {
        match self {
            Self::Itself => what.to_owned(),
            Self::As(candidate) => format!("{what} (as {})", candidate.to_ascii()),
        }
    }
}

/// The full names of a name, in the order of the search list, until one has what is asked for.
struct Search {
    until: Monotonic,
    /// Labels of the name as it is written.
    labels: usize,
    candidates: std::vec::IntoIter<Name>,
    /// None of them is there.
    no_name: bool,
    /// What went wrong with a domain of the search list is told last: the other names may be the ones that are meant.
    trouble: Option<(Asked, Outcome)>,
}

impl Search {
    fn new(system: &System, name: &str, absolute: bool, deadline: Monotonic) -> Self {
        Self {
            until: Resolver::doubt_at(deadline),
            labels: name.split('.').count(),
            candidates: system.candidates(name, absolute).into_iter(),
            no_name: true,
            trouble: None,
        }
    }

    fn is_full(&self, candidate: &Name) -> bool {
        candidate.iter().count() == self.labels
    }

    /// The next name to ask for, and until when.
    fn next(&mut self) -> Option<(Name, Monotonic)> {
        let candidate = self.candidates.next()?;
        // A domain whose servers are silent leaves their time to the rest.
        let until = match self.is_full(&candidate) {
            true => self.until,
            false => clock::monotonic().plus_us(left(self.until) / (self.candidates.len() as u64 + 1)),
        };
        Some((candidate, until))
    }

    /// What asking for that name came to.
    fn told<T>(&mut self, candidate: Name, told: Told<T>) -> ControlFlow<T> {
        match told {
            Told::Found(found) => return ControlFlow::Break(found),
            Told::Nothing => self.no_name = false,
            Told::NoName => {}
            // No other name may stand in for the one that is written.
            Told::Trouble(failed) if self.is_full(&candidate) => {
                self.trouble = Some((Asked::Itself, failed));
                self.candidates = Vec::new().into_iter();
            }
            Told::Trouble(failed) => {
                self.trouble.get_or_insert((Asked::As(candidate), failed));
            }
        }
        ControlFlow::Continue(())
    }
}

/// The addresses of a full name.
async fn addresses_of(
    system: &System,
    name: &Name,
    records: &[RecordType],
    until: Monotonic,
    by: &mut Option<Answerer>,
) -> Result<Told<Vec<IpAddr>>, Failure> {
    let mut is_there = false;
    for record in records {
        match ask(system, name, *record, until, by).await? {
            Outcome::Answer(message) => match addresses(&message, name, *record) {
                found if found.is_empty() => is_there = true,
                found => return Ok(Told::Found(found)),
            },
            Outcome::NoName if is_there => break,
            Outcome::NoName => return Ok(Told::NoName),
            failed @ (Outcome::Code(_) | Outcome::Silence(_)) => return Ok(Told::Trouble(failed)),
        }
    }
    Ok(Told::Nothing)
}

/// The HTTPS records of a full name and port; none where an alias leads to none.
async fn services_of(
    system: &System,
    name: &Name,
    port: u16,
    until: Monotonic,
) -> Result<Told<Vec<(Name, SVCB)>>, Failure> {
    let mut owner = match port {
        443 => name.clone(),
        _ => match Name::from_ascii(format!("_{port}._https")).and_then(|at| at.append_domain(name)) {
            Ok(owner) => owner,
            // Too long to be anybody's.
            Err(_) => return Ok(Told::NoName),
        },
    };
    for hop in 0..=ALIASES_MAX {
        let found = match ask(system, &owner, RecordType::HTTPS, until, &mut None).await? {
            Outcome::Answer(message) => services(&message, &owner),
            Outcome::NoName if hop == 0 => return Ok(Told::NoName),
            Outcome::NoName => return Ok(Told::Found(Vec::new())),
            failed @ (Outcome::Code(_) | Outcome::Silence(_)) => return Ok(Told::Trouble(failed)),
        };
        match found.iter().find(|(_, record)| record.svc_priority == 0) {
            Some((_, alias)) if !alias.target_name.is_root() => owner = alias.target_name.clone(),
            None if found.is_empty() && hop == 0 => return Ok(Told::Nothing),
            Some(_) | None => return Ok(Told::Found(found)),
        }
    }
    Ok(Told::Found(Vec::new()))
}

/// Asks one server after the other until one gives an answer that counts. `by`: who answered last.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: every other code says that the server cannot tell")]
async fn ask(
    system: &System,
    name: &Name,
    record: RecordType,
    until: Monotonic,
    by: &mut Option<Answerer>,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Silence("no time was left".to_owned());
    for (place, server) in system.servers.iter().enumerate() {
        let share = left(until) / (system.servers.len() - place) as u64;
        let heard = exchange(*server, name, record, share.min(system.timeout_us)).await?;
        if heard.is_ok() {
            *by = Some(Answerer::Server(*server));
        }
        match heard {
            Ok(message) => match message.metadata.response_code {
                ResponseCode::NoError => return Ok(Outcome::Answer(Box::new(message))),
                ResponseCode::NXDomain => return Ok(Outcome::NoName),
                code => outcome = Outcome::Code(code),
            },
            // A code is told rather than another server's silence.
            Err(reason) => {
                if matches!(outcome, Outcome::Silence(_)) {
                    outcome = Outcome::Silence(format!("{server}: {reason}"));
                }
            }
        }
    }
    Ok(outcome)
}

/// One question to one server, over TCP when the answer does not fit a datagram. The inner error is the server's silence, in words.
async fn exchange(
    server: SocketAddr,
    name: &Name,
    record: RecordType,
    timeout_us: u64,
) -> Result<Result<Message, String>, Failure> {
    let asking = async {
        let query = Query::new(name.clone(), record, Extension::None)?;
        let message = query.over_udp(server, &mut |_| {}).await?;
        if !message.metadata.truncation {
            return Ok(message);
        }
        let stream = tokio::net::TcpStream::connect(server).await?;
        query.over_tcp(stream, &mut |_| {}).await
    };
    let within = std::time::Duration::from_micros(timeout_us);
    match tokio::time::timeout(within, asking).await {
        Ok(Ok(message)) => Ok(Ok(message)),
        Ok(Err(Trouble::Broken(reason))) => Ok(Err(reason)),
        Ok(Err(Trouble::Io(error))) if Teller::of(&error, server) == Teller::Agent => {
            Err(connect::agent_fault(Phase::Dns, &error))
        }
        Ok(Err(Trouble::Io(error))) => Ok(Err(connect::plain(&error))),
        Err(_) => Ok(Err(format!("no answer within {}", crate::human_us(timeout_us)))),
    }
}

/// What a question that ended in a code or in silence means.
async fn unresolved(system: &System, name: &str, failed: Outcome, deadline: Monotonic) -> Failure {
    let reason = match failed {
        Outcome::Code(code) => rcode_name(code),
        Outcome::Silence(reason) => match silence(system, name, &reason, deadline).await {
            Some(lost) => return lost,
            None => format!("{reason}; the name server answers other questions"),
        },
        Outcome::Answer(_) | Outcome::NoName => "no answer".to_owned(),
    };
    Failure::new(Cause::DnsFailed, Phase::Dns, format!("dns: {name} does not resolve ({reason})"))
}

/// What silence for a name means: the failure of all name servers, or (`None`) of this name alone.
async fn silence(system: &System, name: &str, reason: &str, deadline: Monotonic) -> Option<Failure> {
    let until = clock::monotonic().plus_us(percent(left(deadline), SECOND_SHARE).min(SECOND_US_MAX));
    // Every resolver knows the root's name servers.
    match ask(system, &Name::root(), RecordType::NS, until, &mut None).await {
        Ok(Outcome::Silence(_)) => {
            let text = format!("network: this agent's name servers do not answer for {name} ({reason})");
            Some(Failure::new(Cause::NetworkLost, Phase::Dns, text))
        }
        Ok(Outcome::Answer(_) | Outcome::NoName | Outcome::Code(_)) => None,
        Err(failure) => Some(failure),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: nothing else is an address")]
fn addresses(message: &Message, name: &Name, record: RecordType) -> Vec<IpAddr> {
    let address = |data: &RData| match data {
        RData::A(v4) => Some(IpAddr::V4(v4.0)),
        RData::AAAA(v6) => Some(IpAddr::V6(v6.0)),
        _ => None,
    };
    along_aliases(message, name, record).iter().filter_map(|found| address(&found.data)).collect()
}

#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: nothing else was asked for")]
fn services(message: &Message, name: &Name) -> Vec<(Name, SVCB)> {
    let service = |record: &Record| match &record.data {
        RData::HTTPS(service) => Some((record.name.clone(), service.0.clone())),
        _ => None,
    };
    along_aliases(message, name, RecordType::HTTPS).into_iter().filter_map(service).collect()
}

/// Microseconds until `until`.
fn left(until: Monotonic) -> u64 {
    until.us_since(clock::monotonic())
}

const fn percent(us: u64, percent: u64) -> u64 {
    us / 100 * percent
}

#[cfg(test)]
mod tests;
