//! Holds three accounts of the same messages against each other: the incidents' histories (what was decided), the outbox (what was committed) and the provider's log
//! (what arrived). They agree message by message, or a message was lost, or made up.
//!
//! - Each opening of an incident, the first and any later one, is told by one step to every channel, and its end by the next, in this order. One that was over before its step
//!   was due (after a start steps wait for [`GRACE_US`] at most) is told by none, its end neither.
//! - A channel is asked to take a step when it has taken all before it, and never after it was asked to take a later one: a duplicate overtakes nothing either.
//! - A message that came twice is put down to the kill that ended the life in which it came before. A provider that is asked again much later, after another life, costs the kill
//!   in between nothing. Of each kill and channel there is one at most, of a life that ended in peace none, and within a life none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::Value;
use sitepulse_collector::alert::grace::GRACE_US;
use sitepulse_daemon::instant;
use sitepulse_model::time::{SECOND_US, UtcMicros};
use sitepulse_tests::provider::Received;

/// How a life of the collector ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Killed,
    InPeace,
}

/// What a store came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) messages: usize,
    pub(super) twice: usize,
    pub(super) openings: usize,
    /// Openings that were over before anybody was to be told.
    pub(super) untold: usize,
}

/// An incident, a step of it, and a channel.
type Key = (String, u32, String);

/// After the wait is over by the clock, the next look is in the next life, which takes a while to begin on a busy machine.
const UNTOLD_US_MAX: i64 = GRACE_US + 15 * SECOND_US;
/// Most incidents that are told of.
const TOLD_MAX: usize = 3;

/// Judges the store of a collector that has ended. `ends`: how each life but the last one ended, a fence of the provider each; `channels`: whom each step tells.
///
/// # Panics
/// When anything is not as it must be: with all that is known of the incidents concerned.
pub(super) fn judge(dir: &Path, received: &[Received], ends: &[End], channels: &[&str]) -> Sum {
    let store = Connection::open(dir.join("collector.db")).expect("the store opens");
    let mut judge = Judge { store, received, ends, faults: Vec::new(), sum: Sum::default() };
    let decided = judge.decided(&channels.iter().copied().collect());
    judge.arrived(&decided);
    if !judge.faults.is_empty() {
        panic!("{}", judge.told(dir));
    }
    judge.sum
}

struct Judge<'a> {
    store: Connection,
    received: &'a [Received],
    ends: &'a [End],
    /// Of which incident, and what.
    faults: Vec<(String, String)>,
    sum: Sum,
}

/// An opening under way.
struct Opening {
    at: UtcMicros,
    told: bool,
    over: bool,
}

impl Judge<'_> {
    fn fault(&mut self, incident: &str, what: String) {
        self.faults.push((incident.to_owned(), what));
    }

    fn rows(&self, sql: &str, of: &str) -> Vec<Vec<Value>> {
        let mut statement = self.store.prepare(sql).expect("the table is there");
        let columns = statement.column_count();
        let mut rows = statement.query([of]).expect("rows");
        let mut out = Vec::new();
        while let Some(row) = rows.next().expect("a row") {
            let value = |at| match row.get_ref(at).expect("a value") {
                ValueRef::Integer(number) => Value::from(number),
                ValueRef::Text(text) => Value::from(String::from_utf8_lossy(text)),
                other @ (ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_)) => Value::from(format!("{other:?}")),
            };
            out.push((0..columns).map(value).collect());
        }
        out
    }

    /// What the histories say is to be told, each with its event; and whether they and the outbox agree.
    fn decided(&mut self, channels: &BTreeSet<&str>) -> BTreeMap<Key, String> {
        let mut decided = BTreeMap::new();
        let of_all =
            self.rows("SELECT incident_id, at_us, body FROM incident_entry WHERE ?1 = ?1 ORDER BY 1, number", "");
        let mut opening: Option<(String, Opening)> = None;
        for row in &of_all {
            let incident = row[0].as_str().expect("an id").to_owned();
            let at = UtcMicros(row[1].as_i64().expect("an instant"));
            let entry: Value = serde_json::from_str(row[2].as_str().expect("a text")).expect("an entry is JSON");
            if opening.as_ref().is_some_and(|(of, _)| *of != incident) {
                let (of, last) = opening.take().expect("it is there");
                self.ended(&of, &last);
            }
            match (entry["record"].as_str(), entry["entry"].as_str()) {
                (Some("life"), Some("opened" | "reopened")) => {
                    self.sum.openings += 1;
                    let before = opening.replace((incident.clone(), Opening { at, told: false, over: false }));
                    if let Some((of, before)) = before {
                        if !before.over {
                            self.fault(&of, format!("opened again at {} before it was over", instant::format(at)));
                        }
                        self.ended(&of, &before);
                    }
                }
                (Some("life"), Some("resolved")) => match &mut opening {
                    Some((_, opening)) => {
                        opening.over = true;
                        let waited_us = at.us_since(opening.at);
                        if !opening.told {
                            self.sum.untold += 1;
                            if waited_us > UNTOLD_US_MAX {
                                self.fault(
                                    &incident,
                                    format!("open for {} s, and nobody was told", waited_us / SECOND_US),
                                );
                            }
                        }
                    }
                    None => self.fault(&incident, "over before it was open".into()),
                },
                (Some("life"), Some(other)) => self.fault(&incident, format!("{other}: not of this test's world")),
                (Some("step"), _) => {
                    let event = entry["event"].as_str().unwrap_or_default();
                    let fits = match (event, &mut opening) {
                        ("opened", Some((_, opening))) => !std::mem::replace(&mut opening.told, true) && !opening.over,
                        ("resolved", Some((_, opening))) => opening.told && opening.over,
                        _ => false,
                    };
                    let to: BTreeSet<&str> =
                        entry["channels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                    if !fits || to != *channels {
                        self.fault(&incident, format!("a step that must not be: {entry}"));
                    }
                    let step = u32::try_from(entry["step"].as_u64().unwrap_or(0)).expect("a small number");
                    for channel in to {
                        let key = (incident.clone(), step, channel.to_owned());
                        if decided.insert(key, event.to_owned()).is_some() {
                            self.fault(&incident, format!("step {step} twice"));
                        }
                    }
                }
                _ => {}
            }
        }
        if let Some((of, last)) = opening.take() {
            self.ended(&of, &last);
        }
        for row in self.rows("SELECT incident_id, step, channel_id, state FROM outbox WHERE ?1 = ?1", "") {
            let (incident, channel) = (row[0].as_str().expect("an id"), row[2].as_str().expect("an id").to_owned());
            let step = u32::try_from(row[1].as_i64().expect("a step")).expect("a small number");
            self.sum.messages += 1;
            if row[3] != 3 {
                self.fault(incident, format!("step {step} to {channel} is not delivered: state {}", row[3]));
            }
            if !decided.contains_key(&(incident.to_owned(), step, channel.clone())) {
                self.fault(incident, format!("step {step} to {channel} is in the outbox and not in the history"));
            }
        }
        if self.sum.messages != decided.len() {
            let what = format!("{} messages in the outbox, {} in the histories", self.sum.messages, decided.len());
            self.fault("", what);
        }
        decided
    }

    /// The opening is not the last one of its incident, or there is no other.
    fn ended(&mut self, incident: &str, opening: &Opening) {
        if !opening.told && !opening.over {
            self.fault(incident, format!("open since {}, and nobody was told", instant::format(opening.at)));
        }
    }

    /// What arrived is what was decided, in order, and came twice only where a kill explains it.
    fn arrived(&mut self, decided: &BTreeMap<Key, String>) {
        let mut taken: BTreeMap<&Key, Vec<u32>> = BTreeMap::new();
        let mut latest: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        let keys: Vec<(&Received, Option<&Key>)> =
            self.received.iter().map(|one| (one, find(decided, &one.key))).collect();
        for (nth, (one, key)) in keys.into_iter().enumerate() {
            let incident = one.key.split('/').next().unwrap_or_default();
            let Some(key) = key else {
                self.fault(incident, format!("{} arrived, and nobody decided it", one.key));
                continue;
            };
            let (_, step, channel) = key;
            let says = (one.path.as_str(), one.body["key"].as_str(), one.body["event"].as_str());
            if says != (channel.as_str(), Some(one.key.as_str()), decided.get(key).map(String::as_str)) {
                self.fault(incident, format!("{} says something else: {says:?}", one.key));
            }
            let before = latest.entry((incident, channel.as_str())).or_default();
            if step < before {
                let before = *before;
                self.fault(incident, format!("request {nth}: {} after step {before}", one.key));
            } else {
                *before = *step;
            }
            let earlier = decided.keys().filter(|(of, at, to)| of == incident && to == channel && at < step);
            let skipped: Vec<u32> = earlier.filter(|key| !taken.contains_key(key)).map(|key| key.1).collect();
            if !skipped.is_empty() {
                self.fault(incident, format!("request {nth}: {} before step {skipped:?} was taken", one.key));
            }
            if one.reply.takes() {
                taken.entry(key).or_default().push(one.life);
            }
        }
        for key in decided.keys().filter(|key| !taken.contains_key(key)) {
            self.fault(&key.0, format!("LOST: step {} to {} never arrived", key.1, key.2));
        }
        let mut of_kill: BTreeMap<(u32, &str), Vec<&Key>> = BTreeMap::new();
        for (key, lives) in &taken {
            for copies in lives.windows(2) {
                self.sum.twice += 1;
                let end = self.ends.get(copies[0] as usize);
                if copies[0] == copies[1] || end != Some(&End::Killed) {
                    self.fault(&key.0, format!("{key:?} came twice without a kill in between: in lives {lives:?}"));
                }
                of_kill.entry((copies[0], key.2.as_str())).or_default().push(key);
            }
        }
        for ((life, channel), keys) in of_kill.iter().filter(|(_, keys)| keys.len() > 1) {
            let what = format!(
                "the kill that ended life {life} doubled {} messages of channel {channel}: {keys:?}",
                keys.len()
            );
            self.fault(&keys[0].0, what);
        }
    }

    /// All that is known of what is wrong.
    fn told(&self, dir: &Path) -> String {
        let mut out = format!("{} faults ({:?}, {} lives):\n", self.faults.len(), self.sum, self.ends.len() + 1);
        let mut incidents: Vec<&str> = Vec::new();
        for (incident, what) in &self.faults {
            writeln!(out, "  {incident}: {what}").expect("a text grows");
            if !incidents.contains(&incident.as_str()) {
                incidents.push(incident);
            }
        }
        let log = std::fs::read_to_string(dir.with_file_name("collector.log")).unwrap_or_default();
        for incident in incidents.into_iter().filter(|incident| !incident.is_empty()).take(TOLD_MAX) {
            writeln!(out, "\n=== {incident}").expect("a text grows");
            for (title, sql) in [
                ("incident (state, life)", "SELECT state, life FROM incident WHERE incident_id = ?1"),
                (
                    "history (number, at, entry)",
                    "SELECT number, at_us, substr(body, 1, 300) FROM incident_entry WHERE incident_id = ?1 ORDER BY number",
                ),
                (
                    "outbox (step, channel, state, attempts, created, due, tries, tried)",
                    "SELECT step, channel_id, state, attempts, created_us, due_us, tries, tried_us FROM outbox WHERE incident_id = ?1 ORDER BY 1, 2",
                ),
                (
                    "attempts (at, step, channel, attempt, took, outcome, note)",
                    "SELECT at_us, step, channel_id, attempt, took_us, outcome, note FROM delivery WHERE incident_id = ?1 ORDER BY 1",
                ),
            ] {
                writeln!(out, "--- {title}").expect("a text grows");
                for row in self.rows(sql, incident) {
                    let row: Vec<String> = row.iter().map(ToString::to_string).collect();
                    writeln!(out, "{}", row.join(" | ")).expect("a text grows");
                }
            }
            writeln!(out, "--- provider (request, life, at, key, event, reply)").expect("a text grows");
            for (nth, one) in self.received.iter().enumerate().filter(|(_, one)| one.key.starts_with(incident)) {
                let (life, at, key, reply) = (one.life, one.at.0, &one.key, one.reply);
                writeln!(out, "{nth} | {life} | {at} | {key} | {} | {reply:?}", one.body["event"])
                    .expect("a text grows");
            }
            writeln!(out, "--- log").expect("a text grows");
            log.lines()
                .filter(|line| line.contains(incident))
                .for_each(|line| writeln!(out, "{line}").expect("a text grows"));
        }
        out
    }
}

/// The decided message with this key.
fn find<'d>(decided: &'d BTreeMap<Key, String>, key: &str) -> Option<&'d Key> {
    let mut parts = key.splitn(3, '/');
    let (incident, step, channel) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
    decided.get_key_value(&(incident.to_owned(), step, channel.to_owned())).map(|(key, _)| key)
}
