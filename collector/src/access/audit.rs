//! The audit log: who changed what, by which way, from where, and what came of it.
//!
//! A change is told twice: `asked` before anything is done, `done` once its outcome is known. What was asked and has no outcome was cut off by a crash. What
//! is refused, and what happens at the door (sign-ins and failures), is told once. Entries are numbered and chained: each hash covers the one before,
//! so what is changed, missing or put in between shows from there on; [`Chain`] checks. What the chain alone cannot show is an end that was
//! cut off, or a chain that somebody made anew: the newest hash, noted elsewhere, shows both.
//!
//! Limits: what strangers can cause (failures, refusals) is told [`BURST`] times in a row and then once every [`EVERY_US`], with how many were left out.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sitepulse_model::time::UtcMicros;

use super::Way;

/// Refusals and failures that are told in a row.
pub const BURST: u64 = 60;
/// How often one is told after that, in microseconds.
pub const EVERY_US: u64 = 10 * 1_000_000;
/// Longest text of a detail or subject, in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// What an entry tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// A change was asked for and is about to be tried.
    Asked,
    /// What became of it.
    Outcome,
    /// Something that is over: a sign-in, a failure, a change by a link.
    Done,
    /// It was not allowed.
    Refused,
}

/// What an entry says. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// What it tells.
    pub told: Told,
    /// By which way.
    pub way: Way,
    /// The first twelve digits of the hash of the token or session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The address it came from; none: this machine's socket or command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Method and route, or what happened: `POST /api/v1/apply`, `sign-in`.
    pub action: String,
    /// What it is about: the names in the path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The HTTP status it was answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What was done, in a line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// How many before it were not told, there being too many.
    #[serde(default, skip_serializing_if = "is_none")]
    pub left_out: u64,
    /// Of an outcome: the number of what was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Deed {
    /// One with nothing but what it tells.
    pub fn new(told: Told, way: Way, action: impl Into<String>) -> Self {
        Self {
            told,
            way,
            credential: None,
            address: None,
            action: action.into(),
            subject: String::new(),
            status: None,
            detail: String::new(),
            left_out: 0,
            of: None,
        }
    }

    /// The same about something.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Self {
        self.subject = one_line(subject);
        self
    }

    /// The same with what was done.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Self {
        self.detail = one_line(detail);
        self
    }

    /// The same with the status of its answer.
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// The same from an address.
    #[must_use]
    pub fn from(mut self, address: Option<String>) -> Self {
        self.address = address;
        self
    }
}

/// What people wrote, as one line of bounded length.
pub fn one_line(text: &str) -> String {
    let mut out: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if out.len() > TEXT_BYTES_MAX {
        let end = (0..=TEXT_BYTES_MAX).rev().find(|end| out.is_char_boundary(*end)).unwrap_or(0);
        out.truncate(end);
        out.push('…');
    }
    out
}

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// From 1.
    pub number: u64,
    /// When.
    pub at: UtcMicros,
    /// Who: `collector:cli`, `collector:USER`; `stranger`.
    pub author: String,
    /// The [`Deed`] as JSON.
    pub body: String,
    /// Over the entry before and this one.
    pub hash: [u8; 32],
}

/// The hash of an entry: over that of the entry before (none of the first), its number, instant, author and body.
pub fn hash(before: &[u8], number: u64, at: UtcMicros, author: &str, body: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(number.to_le_bytes());
    hash.update(at.0.to_le_bytes());
    hash.update((author.len() as u64).to_le_bytes());
    hash.update(author);
    hash.update(body);
    hash.finalize().into()
}

/// A place in the chain: a number and the hash of the entry that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The number.
    pub number: u64,
    /// The hash; nothing before the first entry.
    pub hash: Vec<u8>,
}

impl Link {
    /// Before the first entry.
    pub const START: Self = Self { number: 0, hash: Vec::new() };
}

/// What a look through the log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How many entries there are.
    pub entries: u64,
    /// Up to which number older ones were let go.
    pub let_go: u64,
    /// The newest number.
    pub newest: u64,
    /// Its hash.
    pub head: Vec<u8>,
    /// What is wrong; `None`: nothing.
    pub fault: Option<String>,
}

/// Checks entries one after the other.
#[derive(Debug, Clone)]
pub struct Chain {
    base: u64,
    last: Link,
    entries: u64,
    fault: Option<String>,
}

impl Chain {
    /// Begins after what was let go.
    pub const fn after(base: Link) -> Self {
        Self { base: base.number, last: base, entries: 0, fault: None }
    }

    /// Takes the next entry.
    pub fn push(&mut self, entry: &Entry) {
        self.entries += 1;
        let expected = self.last.number + 1;
        if self.fault.is_none() {
            if entry.number != expected {
                let fault = format!("entry {expected} is missing: nothing from there on is vouched for");
                self.fault = Some(fault);
            } else if hash(&self.last.hash, entry.number, entry.at, &entry.author, &entry.body) != entry.hash {
                let fault = format!("entry {expected} is not as it was written: nothing from there on is vouched for");
                self.fault = Some(fault);
            }
        }
        self.last = Link { number: entry.number, hash: entry.hash.to_vec() };
    }

    /// What was found; `head`: the newest entry, as noted beside the log.
    pub fn end(self, head: &Link) -> Verdict {
        let fault = self.fault.or_else(|| {
            (self.last != *head).then(|| {
                format!(
                    "the log ends with entry {}, the newest that was written is {}: its end was cut off or changed",
                    self.last.number, head.number
                )
            })
        });
        let Link { number, hash } = self.last;
        Verdict { entries: self.entries, let_go: self.base, newest: number, head: hash, fault }
    }
}

/// Bounds what strangers can have told.
#[derive(Debug, Default)]
pub struct Bound {
    used: u64,
    /// When [`Self::used`] was counted down last, on the monotonic clock.
    since: u64,
    left_out: u64,
}

impl Bound {
    /// Whether this one is told, and then how many before it were not.
    pub fn tell(&mut self, now: u64) -> Option<u64> {
        let earned = now.saturating_sub(self.since) / EVERY_US;
        self.since = if earned >= self.used { now } else { self.since + earned * EVERY_US };
        self.used = self.used.saturating_sub(earned);
        if self.used >= BURST {
            self.left_out += 1;
            return None;
        }
        self.used += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::text::refusals::french;

    fn chain(count: u64) -> Vec<Entry> {
        let mut before = Vec::new();
        (1..=count)
            .map(|number| {
                let (at, author, body) = (UtcMicros(number.cast_signed()), format!("a{number}"), "{}".to_owned());
                let hash = hash(&before, number, at, &author, &body);
                before = hash.to_vec();
                Entry { number, at, author, body, hash }
            })
            .collect()
    }

    fn look(entries: &[Entry], head: &Entry) -> Option<String> {
        let mut chain = Chain::after(Link::START);
        entries.iter().for_each(|entry| chain.push(entry));
        chain.end(&Link { number: head.number, hash: head.hash.to_vec() }).fault
    }

    #[test]
    fn whatever_is_done_to_the_log_shows() {
        let whole = chain(6);
        let head = whole.last().unwrap();
        assert_eq!(look(&whole, head), None);
        type Tamper = fn(&mut Vec<Entry>);
        let tampers: [(&str, Tamper); 6] = [
            ("entry 3 is not as", |log| log[2].author = "mallory".into()),
            ("entry 3 is not as", |log| log[2].at = UtcMicros(99)),
            ("entry 3 is not as", |log| log[2].body = "{\"x\":1}".into()),
            ("entry 2 is missing", |log| drop(log.remove(1))),
            ("ends with entry 5", |log| drop(log.pop())),
            ("entry 3 is missing", |log| log.swap(2, 3)),
        ];
        for (told, tamper) in tampers {
            let mut log = whole.clone();
            tamper(&mut log);
            let fault = look(&log, head).unwrap_or_default();
            assert!(fault.contains(told), "{told}: {fault}");
            assert!(french(&fault).is_some(), "nobody wrote it in French: {fault}");
        }
        // One that was changed with its own hash made anew breaks at the next.
        let mut log = whole.clone();
        log[2].author = "mallory".into();
        log[2].hash = hash(&log[1].hash, 3, log[2].at, "mallory", "{}");
        assert!(look(&log, head).unwrap().contains("entry 4 is not as"));
        // What was let go is no fault.
        let mut rest = Chain::after(Link { number: 2, hash: whole[1].hash.to_vec() });
        whole[2..].iter().for_each(|entry| rest.push(entry));
        let found = rest.end(&Link { number: 6, hash: head.hash.to_vec() });
        assert_eq!((found.entries, found.let_go, found.newest, found.fault), (4, 2, 6, None));
    }

    #[test]
    fn strangers_fill_no_disk() {
        let mut bound = Bound::default();
        let told = (0..10_000).filter(|_| bound.tell(1_000).is_some()).count() as u64;
        assert_eq!(told, BURST);
        assert_eq!(bound.tell(1_000 + EVERY_US), Some(10_000 - BURST));
        assert_eq!(bound.tell(1_000 + EVERY_US), None);
        let hour = 3600 * 1_000_000;
        assert_eq!(bound.tell(hour), Some(1));
        assert_eq!((0..200).filter(|_| bound.tell(hour).is_some()).count() as u64, BURST - 1);
    }

    #[test]
    fn a_detail_is_one_bounded_line() {
        assert_eq!(one_line("a\nb\u{1b}[2J"), "a b [2J");
        assert!(one_line(&"é".repeat(1000)).len() <= TEXT_BYTES_MAX + 3);
    }
}
