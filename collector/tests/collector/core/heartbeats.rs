//! Heartbeats: pings in, ordinary results of the collector's own observer out; every slot accounted for.

use sitepulse_collector::app::AppError;
use sitepulse_collector::book::Filter;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::heartbeat::{PINGS_KEPT, PingKind};
use sitepulse_model::control::{Change, Scope};
use sitepulse_model::id::{AgentNo, CheckNo, Region};
use sitepulse_model::record::{Cause, FactKey, MissedCause, ProbeResult, ProbeState};
use sitepulse_model::time::Span;
use sitepulse_wire::message::RefusalCode;

use super::world::*;

const JOB: CheckNo = CheckNo(1);

/// Observes once a second from one instant to another, both included.
fn observe(engine: &mut Engine, from: i64, to: i64) {
    for second in from..=to {
        engine.observe(at(second), second.unsigned_abs() * 1_000_000);
    }
}

fn observer(engine: &Engine) -> AgentNo {
    engine.shared().book().observer().unwrap().number
}

fn last(engine: &Engine) -> ProbeResult {
    let observer = observer(engine);
    let book = engine.shared().book();
    (**book.pair(JOB, observer).unwrap().last.as_ref().unwrap()).clone()
}

fn ping(engine: &mut Engine, second: i64, kind: PingKind) {
    assert!(engine.ping(JOB, kind, None, Vec::new(), at(second)).unwrap());
}

/// Conservation of the job: scheduled, results, missed for stopping, missed for suspension, unexplained.
fn slots(engine: &Engine) -> [u64; 5] {
    let book = engine.shared().book();
    let rows = book.conservation(START);
    let row = rows.iter().find(|row| row.check == JOB).unwrap();
    let missed = |cause| row.slots.missed_by(cause);
    [
        row.scheduled,
        row.slots.results,
        missed(MissedCause::AgentStopped),
        missed(MissedCause::Suspended),
        row.slots.unexplained(),
    ]
}

#[test]
fn a_job_is_waited_for_up_late_and_up_again() {
    let mut engine = in_memory();
    engine.observe(at(-1), 0);
    engine.apply(vec![heartbeat("backup", 100, 20)], &options(), START).unwrap();
    observe(&mut engine, 0, 40);
    assert_eq!((last(&engine).state, last(&engine).cause), (ProbeState::Unknown, Some(Cause::HeartbeatWaiting)));
    ping(&mut engine, 41, PingKind::Start);
    ping(&mut engine, 45, PingKind::Success);
    observe(&mut engine, 41, 100);
    let up = last(&engine);
    assert_eq!((up.state, up.cause), (ProbeState::Up, None));
    assert_eq!(up.facts.number_of(FactKey::JobDuration), Some(4_000_000));
    assert_eq!(up.facts.number_of(FactKey::LastPing), Some(at(45).0 / 1_000_000));
    observe(&mut engine, 101, 230);
    assert_eq!((last(&engine).state, last(&engine).cause), (ProbeState::Down, Some(Cause::HeartbeatMissing)));
    let now = |engine: &Engine| engine.shared().book().verdict_now(JOB, at(230)).unwrap().verdict.verdict.as_str();
    assert_eq!(now(&engine), "down");
    engine.ping(JOB, PingKind::Fail, Some(3), b"no space".to_vec(), at(231)).unwrap();
    observe(&mut engine, 231, 270);
    assert_eq!(last(&engine).cause, Some(Cause::HeartbeatFailed));
    assert!(last(&engine).detail.contains("exit status 3"), "{}", last(&engine).detail);
    ping(&mut engine, 271, PingKind::Success);
    observe(&mut engine, 271, 330);
    assert_eq!(last(&engine).state, ProbeState::Up);
    let [scheduled, results, .., unexplained] = slots(&engine);
    assert_eq!((scheduled, results, unexplained), (11, 11, 0));
    // The wait before the first call is unknown; it is neither up nor down.
    let account = engine.shared().book().account(JOB, &Filter::All, Span::new(START, at(330))).unwrap();
    assert!(account.unknown.total_us() > 0 && account.down_us > 0 && account.up_us > 0);
    assert_eq!(account.period_us(), 330 * SECOND);
}

#[test]
fn every_slot_is_accounted_for_over_restarts_and_changes() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    engine.observe(at(-1), 0);
    engine.apply(vec![heartbeat("backup", 100, 20)], &options(), START).unwrap();
    ping(&mut engine, 1, PingKind::Success);
    observe(&mut engine, 0, 60);
    engine
        .control(Scope::Check(JOB), Change::Suspend { until: at(120), reason: "work".into() }, "collector:cli", at(61))
        .unwrap();
    observe(&mut engine, 61, 180);
    let before = slots(&engine);
    assert!(before[0] == 6 && before[1] == 4 && before[3] == 2 && before[4] == 0, "{before:?}");
    drop(engine);

    // Stopped for ten minutes, in the middle of which the command line changed the check.
    let mut engine = on_disk(dir.path());
    let mut changed = heartbeat("backup", 100, 20);
    changed.interval_us = 10_000_000;
    engine.apply(vec![changed], &options(), at(480)).unwrap();
    drop(engine);
    let mut engine = on_disk(dir.path());
    observe(&mut engine, 780, 900);
    let [scheduled, results, stopped, suspended, unexplained] = slots(&engine);
    assert_eq!((suspended, unexplained), (2, 0));
    assert_eq!(scheduled, results + stopped + suspended);
    // 300 s at 30 s and 300 s at 10 s.
    assert!((39..=41).contains(&stopped), "{stopped}");
    assert!((results - 4).abs_diff(12) <= 1, "{results}");
    // Nothing was counted twice.
    assert_eq!(engine.awaited(observer(&engine)), 0);
    drop(engine);
    let engine = on_disk(dir.path());
    assert_eq!(slots(&engine), [scheduled, results, stopped, suspended, unexplained]);
}

#[test]
fn a_full_disk_leaves_missed_slots_and_no_gap() {
    let mut engine = in_memory();
    engine.observe(at(-1), 0);
    engine.apply(vec![heartbeat("backup", 100, 20)], &options(), START).unwrap();
    observe(&mut engine, 0, 60);
    let pages = engine.store().pages().unwrap();
    engine.store().limit_pages(pages).unwrap();
    // Fills what is left of the last pages, until nothing goes in any more.
    let mut second = 61;
    while engine.store().health().readiness().is_ok() {
        observe(&mut engine, second, second);
        second += 1;
        assert!(second < 200_000, "the store never filled up");
    }
    observe(&mut engine, second, second + 120);
    engine.store().limit_pages(0).unwrap();
    observe(&mut engine, second + 121, second + 240);
    let [scheduled, results, stopped, _, unexplained] = slots(&engine);
    assert!(stopped >= 4, "{stopped}");
    assert_eq!((unexplained, scheduled), (0, results + stopped));
}

#[test]
fn heartbeats_are_the_observers_alone() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", Some("eu-west-1")).agent;
    engine.observe(START, 0);
    engine.apply(vec![heartbeat("backup", 100, 20), definition("shop")], &options(), START).unwrap();
    let observer = observer(&engine);
    let shop = engine.shared().book().checks().find(|check| check.id.as_str() == "shop").unwrap().number;
    {
        let book = engine.shared().book();
        let (_, assigned) = book.assignment(&Region::parse("eu-west").unwrap());
        assert_eq!(assigned.iter().map(|check| check.definition.id.as_str()).collect::<Vec<_>>(), ["shop"]);
        let voters =
            |check| book.verdict_now(check, at(1)).unwrap().agents.iter().map(|one| one.agent).collect::<Vec<_>>();
        assert_eq!((voters(JOB), voters(shop)), (vec![observer], vec![agent]));
        assert_eq!(book.agents_connected(), 0, "the observer holds no connection");
    }
    // An agent cannot speak for a job, the observer not for a site.
    let forged = entry(&engine, 0, result(JOB, 30, ProbeState::Up));
    let outcome = engine.ingest(vec![job(agent, vec![forged])]).unwrap();
    assert_eq!((outcome[0].stored, outcome[0].set_aside), (0, 1));
    let forged = entry_of(&engine, "collector", 0, result(shop, 30, ProbeState::Up));
    let outcome = engine.ingest(vec![job(observer, vec![forged])]).unwrap();
    assert_eq!((outcome[0].stored, outcome[0].set_aside), (0, 1));
    assert!(engine.shared().book().pair(JOB, agent).is_none());
}

#[test]
fn nobody_can_be_the_observer() {
    let mut engine = in_memory();
    let reserved = Region::parse("collector").unwrap();
    assert!(matches!(engine.create_join_token(reserved, 60_000_000, START), Err(AppError::Invalid(_))));
    let token = engine.create_join_token(Region::parse("eu").unwrap(), 60_000_000, START).unwrap().token;
    let (_, csr) = key_and_csr();
    let refused = engine.join(&request(token.secret, Some("collector"), &csr), START).unwrap().unwrap_err();
    assert_eq!(refused.code, RefusalCode::NameTaken);
    engine.apply(vec![heartbeat("backup", 100, 20)], &options(), START).unwrap();
    let name = engine.shared().book().observer().unwrap().name.clone();
    assert!(matches!(engine.revoke_agent(&name, at(1)), Err(AppError::Invalid(_))));
    let book = engine.shared().book();
    assert!(book.observer().unwrap().revoked_at.is_none());
}

#[test]
fn pings_are_durable_bounded_and_for_living_heartbeats_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    engine.apply(vec![heartbeat("backup", 100, 20), definition("shop")], &options(), START).unwrap();
    for n in 0..PINGS_KEPT as i64 + 10 {
        engine.ping(JOB, PingKind::Log, None, vec![b'x'; 20_000], at(n)).unwrap();
    }
    ping(&mut engine, 100, PingKind::Start);
    let before = engine.heartbeat(JOB).unwrap().unwrap();
    assert_eq!((before.pings.len() as u64, before.memory.pings), (PINGS_KEPT, PINGS_KEPT + 11));
    assert_eq!((before.pings[0].ping.kind, before.pings[1].body.len()), (PingKind::Start, 10 << 10));
    drop(engine);
    let mut engine = on_disk(dir.path());
    assert_eq!(engine.heartbeat(JOB).unwrap().unwrap(), before);
    assert_eq!(engine.shared().pings.check(&before.token), Some(JOB));
    assert!(!engine.ping(CheckNo(2), PingKind::Success, None, Vec::new(), START).unwrap());
    // The token stays the same when the check changes, and is nobody's while it is retired.
    engine.apply(vec![heartbeat("backup", 200, 20)], &options(), at(200)).unwrap();
    assert_eq!(engine.heartbeat(JOB).unwrap().unwrap().token, before.token);
    let prune = sitepulse_collector::app::ApplyOptions { prune: true, ..options() };
    engine.apply(vec![definition("shop")], &prune, at(300)).unwrap();
    assert!(!engine.ping(JOB, PingKind::Success, None, Vec::new(), at(301)).unwrap());
}

#[test]
fn a_check_that_becomes_a_heartbeat_begins_a_life() {
    let mut engine = in_memory();
    engine.observe(at(-1), 0);
    engine.apply(vec![definition("backup")], &options(), START).unwrap();
    // A job of this name called long ago, when the check was a heartbeat for a while; then it was a site again.
    engine.apply(vec![heartbeat("backup", 100, 20)], &options(), at(10)).unwrap();
    ping(&mut engine, 20, PingKind::Success);
    engine.apply(vec![definition("backup")], &options(), at(30)).unwrap();
    engine.apply(vec![heartbeat("backup", 100, 20)], &options(), at(1000)).unwrap();
    observe(&mut engine, 1000, 1060);
    assert_eq!((last(&engine).state, last(&engine).cause), (ProbeState::Unknown, Some(Cause::HeartbeatWaiting)));
}

#[test]
fn a_failure_during_a_suspension_alarms_nobody_after_it() {
    let mut engine = in_memory();
    engine.observe(at(-1), 0);
    engine.apply(vec![heartbeat("backup", 1000, 20)], &options(), START).unwrap();
    ping(&mut engine, 1, PingKind::Success);
    observe(&mut engine, 0, 60);
    let suspend = Change::Suspend { until: at(180), reason: "work".into() };
    engine.control(Scope::Check(JOB), suspend, "collector:cli", at(61)).unwrap();
    observe(&mut engine, 61, 120);
    ping(&mut engine, 121, PingKind::Fail);
    ping(&mut engine, 130, PingKind::Success);
    observe(&mut engine, 121, 240);
    assert_eq!((last(&engine).state, last(&engine).cause), (ProbeState::Up, None));
    // One after it does.
    ping(&mut engine, 241, PingKind::Fail);
    ping(&mut engine, 242, PingKind::Success);
    observe(&mut engine, 241, 272);
    assert_eq!(last(&engine).cause, Some(Cause::HeartbeatFailed));
}

#[test]
fn a_collector_that_stood_still_heard_nothing() {
    let mut engine = in_memory();
    engine.observe(at(-1), 0);
    engine.apply(vec![heartbeat("backup", 100, 20)], &options(), START).unwrap();
    ping(&mut engine, 1, PingKind::Success);
    observe(&mut engine, 0, 60);
    // Due at 101. The process was stopped, or its machine suspended, from 60 to 200.
    observe(&mut engine, 200, 260);
    assert_eq!((last(&engine).state, last(&engine).cause), (ProbeState::Unknown, Some(Cause::HeartbeatWaiting)));
    assert!(last(&engine).detail.contains("the collector was away"), "{}", last(&engine).detail);
    observe(&mut engine, 261, 380);
    assert_eq!(last(&engine).cause, Some(Cause::HeartbeatMissing));
}

#[test]
fn a_cron_line_that_cannot_be_is_not_applied() {
    let mut engine = in_memory();
    let mut bad = heartbeat("backup", 100, 20);
    if let sitepulse_model::check::CheckKind::Heartbeat(target) = &mut bad.kind {
        (target.period, target.cron) = (None, Some("0 0 30 2 *".into()));
    }
    match engine.apply(vec![bad], &options(), START) {
        Err(AppError::Invalid(what)) => assert!(what.contains("check backup: cron"), "{what}"),
        other => panic!("{other:?}"),
    }
    assert!(engine.shared().book().observer().is_none());
}
