//! From results to incidents and messages.

use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::outbox::{Attempt, Outcome};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::incident::{IncidentKind, NoticeEvent};
use sitepulse_model::record::ProbeState;

use super::world::{at, enrol, entry, in_memory, job, options, result};

pub(super) const FILE: &str = r#"
[[check]]
id = "shop"
kind = "http"
url = "http://127.0.0.1:1/"
interval = "30s"

[[channel]]
id = "ops-hook"
kind = "webhook"
url = "https://ops.example/hook"

[[escalation]]
id = "default"
default = true
levels = [ { after = "0s", notify = ["ops-hook"] }, { after = "10m", notify = ["ops-hook"] } ]
"#;

/// A collector with one agent and the file's check.
pub(super) fn watched(file: &str) -> (Engine, AgentNo, CheckNo) {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", Some("eu-west-1")).agent;
    let written = checkfile::parse(&[Source { name: "checks.toml".into(), text: file.into() }]).unwrap();
    engine.apply(written, &options(), at(0)).unwrap();
    let check = engine.shared().book().checks().next().unwrap().number;
    (engine, agent, check)
}

pub(super) fn report(engine: &mut Engine, agent: AgentNo, check: CheckNo, seq: u64, seconds: i64, state: ProbeState) {
    let entry = entry(engine, seq, result(check, seconds, state));
    let received_at = entry.record.scheduled().plus_us(200_000);
    let mut job = job(agent, vec![entry]);
    job.received_at = received_at;
    engine.ingest(vec![job]).unwrap();
    engine.watch(received_at).unwrap();
}

#[test]
fn a_confirmed_outage_opens_one_incident_and_its_end_resolves_it() {
    let (mut engine, agent, check) = watched(FILE);
    let mut seen = Vec::new();
    for (seq, state) in [ProbeState::Up, ProbeState::Down, ProbeState::Down, ProbeState::Up].into_iter().enumerate() {
        let seconds = 30 * i64::try_from(seq).unwrap();
        report(&mut engine, agent, check, seq as u64, seconds, state);
        let now = at(seconds + 40);
        for message in engine.lease(now, 10).unwrap() {
            seen.push((seq, message.notice.incident.kind, message.notice.event, message.key.to_string()));
            let attempt = Attempt { at: now, took_us: 1, outcome: Outcome::Delivered, note: "HTTP 200".into() };
            engine.mark(message, &attempt).unwrap();
        }
    }
    let id = seen[0].3.split('/').next().unwrap().to_owned();
    assert_eq!(
        seen,
        [
            (2, IncidentKind::Down, NoticeEvent::Opened, format!("{id}/1/ops-hook")),
            (3, IncidentKind::Down, NoticeEvent::Resolved, format!("{id}/2/ops-hook")),
        ]
    );
}

/// Everything that is due goes out: the steps' events with their channels.
fn sent(engine: &mut Engine, seconds: i64) -> Vec<(NoticeEvent, String)> {
    let now = at(seconds);
    let mut sent = Vec::new();
    loop {
        let leased = engine.lease(now, 10).unwrap();
        if leased.is_empty() {
            return sent;
        }
        for message in leased {
            sent.push((message.notice.event, message.key.channel.clone()));
            let attempt = Attempt { at: now, took_us: 1, outcome: Outcome::Delivered, note: "HTTP 200".into() };
            engine.mark(message, &attempt).unwrap();
        }
    }
}

/// One that was told of the first episode alone heard of its end then.
#[test]
fn who_is_not_told_of_the_reopening_hears_nothing_of_its_end() {
    let second = "[[channel]]\nid = \"boss\"\nkind = \"webhook\"\nurl = \"https://ops.example/boss\"\n[[escalation]]";
    let file = FILE
        .replacen("[[escalation]]", second, 1)
        .replace("\"10m\", notify = [\"ops-hook\"]", "\"10m\", notify = [\"boss\"]");
    let (mut engine, agent, check) = watched(&file);
    let mut told = Vec::new();
    for slot in 0..30_i64 {
        let state = if (1..24).contains(&slot) || (26..28).contains(&slot) { ProbeState::Down } else { ProbeState::Up };
        report(&mut engine, agent, check, slot.unsigned_abs(), 30 * slot, state);
        told.extend(sent(&mut engine, 30 * slot + 40));
    }
    let said = |event, channel: &str| (event, channel.to_owned());
    assert_eq!(
        told,
        [
            said(NoticeEvent::Opened, "ops-hook"),
            said(NoticeEvent::Escalated, "boss"),
            said(NoticeEvent::Resolved, "boss"),
            said(NoticeEvent::Resolved, "ops-hook"),
            said(NoticeEvent::Opened, "ops-hook"),
            said(NoticeEvent::Resolved, "ops-hook"),
        ]
    );
}

/// A suspicion after the reopen window that comes to nothing must not hide the edges of the incident before it.
#[test]
fn a_suspicion_that_came_to_nothing_leaves_the_incident_before_it_in_place() {
    let (mut engine, agent, check) = watched(FILE);
    let mut pages = 0;
    // Three outages of two results within half an hour, each over for longer than the reopen window, with a blip between.
    for slot in 0..60_i64 {
        let down = [2, 3, 18, 19, 34, 35].contains(&slot) || [10, 27].contains(&slot);
        let state = if down { ProbeState::Down } else { ProbeState::Up };
        report(&mut engine, agent, check, slot.unsigned_abs(), 30 * slot, state);
        pages += sent(&mut engine, 30 * slot + 40).iter().filter(|(event, _)| *event == NoticeEvent::Opened).count();
    }
    assert_eq!(pages, 3);
    let connection = engine.store().connection();
    let flapping: i64 = connection
        .query_row("SELECT count(*) FROM incident WHERE json_extract(life, '$.flapping')", [], |row| row.get(0))
        .unwrap();
    assert_eq!(flapping, 1, "the fifth edge within half an hour is flapping, whatever was suspected in between");
}

/// Somebody writes about the incident before, while the next one is open: that one stays the one that evidence is about.
#[test]
fn a_comment_on_the_incident_before_opens_nothing_and_it_cannot_be_opened_beside_the_next() {
    let (mut engine, agent, check) = watched(FILE);
    let mut ids = Vec::new();
    let mut told = Vec::new();
    for slot in 0..40_i64 {
        let state = if [1, 2].contains(&slot) || (20..30).contains(&slot) { ProbeState::Down } else { ProbeState::Up };
        report(&mut engine, agent, check, slot.unsigned_abs(), 30 * slot, state);
        let now = at(30 * slot + 40);
        for message in engine.lease(now, 10).unwrap() {
            ids.push(message.key.incident.clone());
            told.push(message.notice.event);
            let attempt = Attempt { at: now, took_us: 1, outcome: Outcome::Delivered, note: "HTTP 200".into() };
            engine.mark(message, &attempt).unwrap();
        }
        if slot == 24 {
            let before = ids[0].clone();
            let comment = sitepulse_collector::alert::people::Act::Comment { text: "the same again?".into() };
            engine.act_on(&before, &comment, "ana", now).unwrap();
            let by = sitepulse_model::incident::machine::Input::Reopen { by: "ana" };
            let refused = engine.act(&before, by, "ana", now).unwrap_err().to_string();
            assert!(refused.contains("another one of the same kind is newer"), "{refused}");
        }
    }
    use NoticeEvent::{Opened, Resolved};
    assert_eq!(told, [Opened, Resolved, Opened, Resolved]);
    assert!(ids[0] == ids[1] && ids[2] == ids[3] && ids[0] != ids[2], "{ids:?}");
}
