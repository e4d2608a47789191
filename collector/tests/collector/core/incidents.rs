//! What people do to incidents, what is kept of them, and what keeps them still.

use sitepulse_collector::alert::people::{Act, Manual};
use sitepulse_collector::alert::silence::{SILENCE_US_MAX, Scope, Wanted};
use sitepulse_collector::app::AppError;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::outbox::Message;
use sitepulse_model::id::CheckId;
use sitepulse_model::incident::{IncidentId, NoticeEvent, Severity};
use sitepulse_model::record::ProbeState::{self, Down, Up};
use sitepulse_model::time::{Span, UtcMicros};

use super::alert::{FILE, report, watched};
use super::world::at;

const CLI: &str = "collector:cli";

/// The messages about the check that go out now. Its agent falls silent meanwhile, which is another matter.
fn sent(engine: &mut Engine, now: UtcMicros) -> Vec<Message> {
    let leased = engine.lease(now, 10).unwrap().into_iter();
    leased.filter(|message| message.notice.incident.agent.is_none()).collect()
}

fn events(messages: &[Message]) -> Vec<NoticeEvent> {
    messages.iter().map(|message| message.notice.event).collect()
}

/// An engine whose check reported these states every 30 s from the start on.
fn reported(states: &[ProbeState]) -> (Engine, impl FnMut(&mut Engine, ProbeState) + use<>) {
    let (mut engine, agent, check) = watched(FILE);
    let mut seq = 0;
    let mut next = move |engine: &mut Engine, state: ProbeState| {
        report(engine, agent, check, seq, 30 * i64::try_from(seq).unwrap(), state);
        seq += 1;
    };
    for state in states {
        next(&mut engine, *state);
    }
    (engine, next)
}

fn shop(until: UtcMicros) -> Wanted {
    let scope = Scope { checks: vec!["shop".into()], ..Scope::default() };
    Wanted { scope, span: Span::new(at(0), until), reason: "release".into() }
}

#[test]
fn a_silence_holds_pages_and_what_is_due_goes_out_when_it_ends() {
    let (mut engine, mut next) = reported(&[Up]);
    let silence = engine.silence(shop(at(600)), CLI, at(5)).unwrap();
    next(&mut engine, Down);
    next(&mut engine, Down);
    assert_eq!(sent(&mut engine, at(65)), []);
    engine.watch(at(599)).unwrap();
    assert_eq!(sent(&mut engine, at(599)), []);
    // Its end needs nobody.
    engine.watch(at(600)).unwrap();
    assert_eq!(events(&sent(&mut engine, at(600))), [NoticeEvent::Opened]);
    assert!(matches!(engine.unsilence(&silence.id, CLI, at(601)), Err(AppError::Conflict(_))));
}

#[test]
fn a_silence_that_is_ended_releases_at_the_next_look() {
    let (mut engine, mut next) = reported(&[Up]);
    let silence = engine.silence(shop(at(6_000)), CLI, at(5)).unwrap();
    next(&mut engine, Down);
    next(&mut engine, Down);
    let ended = engine.unsilence(&silence.id, "collector:ana", at(70)).unwrap();
    assert_eq!(ended.span.to, at(70));
    engine.watch(at(70)).unwrap();
    assert_eq!(events(&sent(&mut engine, at(70))), [NoticeEvent::Opened]);
}

#[test]
fn a_silence_of_nothing_or_for_ever_is_refused() {
    let (mut engine, _) = reported(&[Up]);
    let now = at(10);
    let mut refused = |change: fn(&mut Wanted)| {
        let mut wanted = shop(at(600));
        change(&mut wanted);
        engine.silence(wanted, CLI, now).unwrap_err()
    };
    assert!(matches!(refused(|wanted| wanted.scope = Scope::default()), AppError::Invalid(_)));
    assert!(matches!(refused(|wanted| wanted.scope.checks = vec!["shpo".into()]), AppError::NotFound(_)));
    assert!(matches!(refused(|wanted| wanted.scope.groups = vec!["web".into()]), AppError::NotFound(_)));
    assert!(matches!(refused(|wanted| wanted.scope.tags = vec!["eu".into()]), AppError::NotFound(_)));
    assert!(matches!(refused(|wanted| wanted.scope.agents = vec!["nobody".into()]), AppError::NotFound(_)));
    assert!(matches!(refused(|wanted| wanted.scope.everything = true), AppError::Invalid(_)));
    assert!(matches!(refused(|wanted| wanted.reason = " ".into()), AppError::Invalid(_)));
    assert!(matches!(refused(|wanted| wanted.span.to = at(9)), AppError::Invalid(_)));
    assert!(matches!(refused(|wanted| wanted.span.to = at(1).plus_us(SILENCE_US_MAX)), AppError::Invalid(_)));
}

#[test]
fn a_manual_incident_pages_until_somebody_resolves_it_and_is_past_then() {
    let (mut engine, _) = reported(&[Up]);
    let manual = Manual { title: "mail bounces".into(), check: CheckId::parse("shop").ok(), severity: None };
    let id = engine.open_manual(&manual, CLI, at(10)).unwrap();
    let messages = sent(&mut engine, at(10));
    assert_eq!(events(&messages), [NoticeEvent::Opened]);
    let notice = &messages[0].notice;
    assert_eq!((notice.incident.check.as_deref(), notice.incident.severity), (Some("shop"), Severity::Major));
    assert_eq!(notice.context.title.as_deref(), Some("mail bounces"));
    // No evidence ends it.
    engine.watch(at(20)).unwrap();
    engine.act_on(&id, &Act::Resolve { by: Some("ana".into()) }, CLI, at(30)).unwrap();
    let again = engine.act_on(&id, &Act::Acknowledge { by: None }, CLI, at(31)).unwrap_err();
    assert!(again.to_string().contains("resolved"), "{again}");
    // Off the desk it can still be written about, and stays there.
    engine.watch(at(4_000)).unwrap();
    engine.act_on(&id, &Act::PostMortem { text: "a full disk".into() }, CLI, at(4_001)).unwrap();
    engine.act_on(&id, &Act::Comment { text: "again?".into() }, CLI, at(4_002)).unwrap();
    engine.act_on(&id, &Act::Reopen { by: None }, CLI, at(4_003)).unwrap();
    engine.act_on(&id, &Act::Acknowledge { by: None }, CLI, at(4_004)).unwrap();
}

#[test]
fn what_people_may_not_do_is_refused_and_leaves_no_trace() {
    let (mut engine, _) = reported(&[Up, Down, Down]);
    let id = sent(&mut engine, at(70))[0].key.incident.clone();
    let act = |engine: &mut Engine, act: Act, now| engine.act_on(&id, &act, CLI, now);
    assert!(matches!(act(&mut engine, Act::Reopen { by: None }, at(71)), Err(AppError::Conflict(_))));
    assert!(matches!(act(&mut engine, Act::Comment { text: " \n ".into() }, at(71)), Err(AppError::Invalid(_))));
    assert!(matches!(act(&mut engine, Act::Assign { to: Some("a\nb".into()) }, at(71)), Err(AppError::Invalid(_))));
    act(&mut engine, Act::Acknowledge { by: None }, at(72)).unwrap();
    assert!(matches!(act(&mut engine, Act::Acknowledge { by: None }, at(73)), Err(AppError::Conflict(_))));
    let nobody = IncidentId("20000101-aaaaa".into());
    let nothing = engine.act_on(&nobody, &Act::Resolve { by: None }, CLI, at(4_003));
    assert!(matches!(nothing, Err(AppError::NotFound(_))));
}

#[test]
fn a_page_carries_what_a_woken_person_needs() {
    let (mut engine, mut next) = reported(&[Up, Down]);
    let links = engine.shared().links.clone();
    links.set_console(Some("https://status.example"));
    next(&mut engine, Down);
    let message = sent(&mut engine, at(70)).remove(0);
    let (id, context) = (message.key.incident.clone(), message.notice.context);
    assert_eq!(context.target.as_deref(), Some("http://127.0.0.1:1/"));
    assert_eq!((context.regions.as_slice(), context.regions_of), (&["eu-west".to_owned()][..], 1));
    assert_eq!(context.cause.as_deref(), Some("timeout"));
    assert_eq!(context.link, Some(format!("https://status.example/incidents/{id}")));
    let link = context.acknowledge_link.unwrap();
    let granted = links.granted(link.strip_prefix("https://status.example/a/").unwrap(), at(70)).unwrap();
    assert_eq!((granted.incident, granted.who.as_str()), (id, "ops-hook"));
}

/// It was over when the silence began, so nothing held it yet: it paged at once.
#[test]
fn what_somebody_opens_again_within_a_silence_pages_when_that_ends() {
    let (mut engine, agent, check) = watched(FILE);
    for (seq, state) in [Up, Down, Down, Up].into_iter().enumerate() {
        report(&mut engine, agent, check, seq as u64, 30 * i64::try_from(seq).unwrap(), state);
    }
    let id = sent(&mut engine, at(100))[0].key.incident.clone();
    // Beside those of its opening and its end.
    let pages = |engine: &mut Engine| -> i64 {
        let sql = "SELECT count(*) FROM outbox WHERE incident_id = ?1 AND step > 2";
        engine.store().connection().query_row(sql, [&id.0], |row| row.get(0)).unwrap()
    };
    engine.watch(at(4_000)).unwrap();
    engine.silence(shop(at(5_000)), CLI, at(4_001)).unwrap();
    engine.act_on(&id, &Act::Reopen { by: None }, CLI, at(4_002)).unwrap();
    engine.watch(at(4_003)).unwrap();
    assert_eq!(pages(&mut engine), 0);
    engine.watch(at(5_001)).unwrap();
    assert_eq!(pages(&mut engine), 1);
}

#[test]
fn an_incident_that_is_past_opens_again_unless_a_newer_one_is_there() {
    let (mut engine, agent, check) = watched(FILE);
    for (seq, state) in [Up, Down, Down, Up].into_iter().enumerate() {
        report(&mut engine, agent, check, seq as u64, 30 * i64::try_from(seq).unwrap(), state);
    }
    let id = sent(&mut engine, at(100))[0].key.incident.clone();
    engine.watch(at(4_000)).unwrap();
    let past = |engine: &mut Engine, act: Act, now| engine.act_on(&id, &act, CLI, now);
    past(&mut engine, Act::Comment { text: "learned".into() }, at(4_001)).unwrap();
    for (seq, seconds) in [(4, 4_020), (5, 4_050)] {
        report(&mut engine, agent, check, seq, seconds, Down);
    }
    let newer = past(&mut engine, Act::Reopen { by: None }, at(4_060)).unwrap_err();
    assert!(matches!(&newer, AppError::Conflict(why) if why.contains("newer")), "{newer}");
    // Nothing newer on the desk: whoever opens it again is believed, although the evidence is fine.
    report(&mut engine, agent, check, 6, 4_080, Up);
    engine.watch(at(9_000)).unwrap();
    past(&mut engine, Act::Reopen { by: None }, at(9_001)).unwrap();
    engine.watch(at(9_002)).unwrap();
    past(&mut engine, Act::Acknowledge { by: None }, at(9_003)).unwrap();
}
