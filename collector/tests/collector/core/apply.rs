//! Checks as code: applying is idempotent and effective-dated. Credentials: hashed, expiring, used once.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sitepulse_collector::app::{Access, App, ApplyOptions, CredentialKind, PlanStep};
use sitepulse_collector::book::Filter;
use sitepulse_collector::engine::Engine;
use sitepulse_collector::store::backup::{self, Beside};
use sitepulse_model::check::CheckDefinition;
use sitepulse_model::control::{Change, ControlEvent, EventId, Scope, Weight};
use sitepulse_model::id::{AgentName, CheckId, CheckNo, Region, Revision};
use sitepulse_model::record::ProbeState;
use sitepulse_model::schedule::Lattice;
use sitepulse_model::time::{Span, UtcMicros};

use super::world::*;

fn steps(plan: &sitepulse_collector::app::Plan) -> Vec<(String, &'static str)> {
    let name = |step: &PlanStep| match step {
        PlanStep::Create => "create",
        PlanStep::Change { .. } => "change",
        PlanStep::Unchanged => "unchanged",
        PlanStep::Retire => "retire",
    };
    plan.items.iter().map(|item| (item.id.to_string(), name(&item.step))).collect()
}

#[test]
fn applying_again_changes_nothing() {
    let mut engine = in_memory();
    let both = || vec![definition("shop"), definition("blog")];
    let mut dry = options();
    dry.dry_run = true;
    let plan = engine.apply(both(), &dry, START).unwrap();
    assert_eq!((steps(&plan), plan.applied), (vec![("blog".into(), "create"), ("shop".into(), "create")], false));
    assert_eq!(plan.items[0].number, None);
    assert_eq!(engine.shared().book().checks().count(), 0);

    engine.apply(both(), &options(), START).unwrap();
    let plan = engine.apply(both(), &options(), at(10)).unwrap();
    assert_eq!(steps(&plan), [("blog".into(), "unchanged"), ("shop".into(), "unchanged")]);
    assert_eq!(engine.shared().book().check(CheckNo(1)).unwrap().revisions.len(), 1);
    assert!(engine.apply(vec![definition("shop"), definition("shop")], &options(), at(10)).is_err());
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let mut engine = in_memory();
    let mut shop = definition("shop");
    shop.confirmations = u32::MAX;
    let error = engine.apply(vec![shop], &options(), START).unwrap_err();
    assert!(error.to_string().starts_with("check shop cannot be sent to agents"), "{error}");
    assert!(engine.set_addresses(vec!["a:1".into(); 17]).is_err());
}

#[test]
fn changes_are_effective_dated_and_named() {
    let mut engine = in_memory();
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let mut changed = definition("shop");
    changed.interval_us = 60_000_000;
    changed.regions = Some(BTreeSet::from([Region::parse("eu-west").unwrap()]));
    // The clock was set back meanwhile.
    let plan = engine.apply(vec![changed.clone()], &options(), at(-500)).unwrap();
    let PlanStep::Change { revision, fields } = &plan.items[0].step else { panic!("{plan:?}") };
    assert_eq!(*revision, Revision(2));
    let fields: Vec<_> =
        fields.iter().map(|diff| (diff.field.as_str(), diff.old.as_str(), diff.new.as_str())).collect();
    assert_eq!(fields, [("interval", "30s", "1m"), ("regions", "every region", "[\"eu-west\"]")]);
    let book = engine.shared().book();
    let check = book.check(CheckNo(1)).unwrap();
    assert_eq!(check.revisions[1].effective_from, START.plus_us(1));
    assert_eq!(check.at(START).unwrap().revision, Revision(1));
    assert_eq!(check.newest().definition, changed);
}

#[test]
fn retired_checks_come_back_under_their_number() {
    let mut engine = in_memory();
    engine.apply(vec![definition("shop"), definition("blog")], &options(), START).unwrap();
    let mut prune = options();
    prune.prune = true;
    let plan = engine.apply(vec![definition("blog")], &prune, at(100)).unwrap();
    assert_eq!(steps(&plan), [("blog".into(), "unchanged"), ("shop".into(), "retire")]);
    engine.apply(vec![definition("shop")], &options(), at(200)).unwrap();
    let book = engine.shared().book();
    let shop = book.check_by_id(&CheckId::parse("shop").unwrap()).unwrap();
    assert_eq!(shop.number, CheckNo(2));
    assert_eq!(shop.lives(), [Span::new(START, at(100)), Span::new(at(200), UtcMicros::MAX)]);
}

#[test]
fn assignments_follow_checks_and_regions() {
    let mut engine = in_memory();
    let (east, west) = (Region::parse("east").unwrap(), Region::parse("west").unwrap());
    let revisions = |engine: &sitepulse_collector::engine::Engine| {
        let book = engine.shared().book();
        (book.assignment_revision(&east), book.assignment_revision(&west))
    };
    let (mut e, mut w) = revisions(&engine);
    assert!(e > 0 && w > 0, "0 means none");
    let mut apply = |regions: Option<&str>, second: i64| {
        let mut shop = definition("shop");
        shop.regions = regions.map(|region| BTreeSet::from([Region::parse(region).unwrap()]));
        engine.apply(vec![shop], &options(), at(second)).unwrap();
        let (e_now, w_now) = revisions(&engine);
        let changed = (e_now > e, w_now > w);
        (e, w) = (e_now, w_now);
        changed
    };
    assert_eq!(apply(Some("east"), 0), (true, false));
    assert_eq!(apply(Some("east"), 1), (false, false));
    assert_eq!(apply(Some("west"), 2), (true, true));
    assert_eq!(apply(None, 3), (true, true));
}

#[test]
fn figures_come_from_the_book() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let check = CheckNo(1);
    let states = |n: i64| if (10..20).contains(&n) { ProbeState::Down } else { ProbeState::Up };
    let entries = (0..40_i64).map(|n| entry(&engine, n.cast_unsigned(), result(check, n * 30, states(n)))).collect();
    engine.ingest(vec![job(agent, entries)]).unwrap();
    let book = engine.shared().book();
    let period = book.period(book.check(check).unwrap(), None, None, at(1200));
    assert_eq!(period, Span::new(START, at(1200)));
    let account = book.account(check, &Filter::All, period).unwrap();
    assert_eq!((account.down_us, account.up_us), (300 * SECOND, 900 * SECOND));
    assert_eq!(account.completeness(), Some(1.0));
    assert_eq!(book.account(check, &Filter::Agent(agent), period).unwrap(), account);
    let elsewhere = Filter::Region(Region::parse("us-east").unwrap());
    assert_eq!(book.account(check, &elsewhere, period).unwrap().availability(), None);
    let now = book.verdict_now(check, at(1190)).unwrap();
    assert_eq!(now.verdict.verdict, sitepulse_model::vote::Verdict::Up);
    assert_eq!(now.verdict.span.from, at(600));
    assert_eq!((now.agents[0].agent, now.agents[0].state), (agent, Some(ProbeState::Up)));
    let rows = book.conservation(START);
    assert_eq!((rows[0].counts.stored, rows[0].scheduled, rows[0].slots.unexplained()), (40, 40, 0));
}

#[test]
fn a_check_that_its_agent_never_spoke_of_is_scheduled_and_missed_for_that() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop"), definition("silent")], &options(), START).unwrap();
    let (shop, silent) = (CheckNo(1), CheckNo(2));
    let hold = definition("shop").hold_us();
    // Slots from the start on that lie before an instant, one by one.
    let due = |check: &str, before: UtcMicros| {
        let lattice =
            Lattice::new(&CheckId::parse(check).unwrap(), &AgentName::parse("eu-west-1").unwrap(), INTERVAL_US);
        let slots = std::iter::successors(Some(lattice.at_or_after(START)), |slot| Some(lattice.after(*slot)));
        slots.take_while(|slot| *slot < before).count() as u64
    };
    let told = |engine: &Engine, now: UtcMicros| {
        let rows = engine.shared().book().conservation(now);
        let told = rows.iter().map(|row| {
            assert_eq!(row.scheduled, row.slots.results + row.slots.missed() + row.dropped() + row.slots.unexplained());
            (row.check, row.scheduled, row.slots.results, row.slots.missed_agent_offline)
        });
        told.collect::<Vec<_>>()
    };
    assert!(told(&engine, at(60)).is_empty(), "their records may be under way still");
    let now = at(3600);
    let (all, also) = (due("shop", now.plus_us(-hold)), due("silent", now.plus_us(-hold)));
    assert!(all > 100 && also > 100);
    assert_eq!(told(&engine, now), [(shop, all, 0, all), (silent, also, 0, also)]);
    // It speaks of one of them: what lies before that is missed for it still.
    let first = entry(&engine, 0, result(shop, 1800, ProbeState::Up));
    let before = due("shop", first.record.scheduled());
    engine.ingest(vec![job(agent, vec![first])]).unwrap();
    assert_eq!(told(&engine, now), [(shop, before + 1, 1, before), (silent, also, 0, also)]);
    // Another region's agent is told nothing of either, and one that is revoked has nothing due any more.
    engine.revoke_agent(&AgentName::parse("eu-west-1").unwrap(), at(600)).unwrap();
    let until = due("silent", at(600));
    assert_eq!(told(&engine, now)[1], (silent, until, 0, until));
}

#[test]
fn control_events_are_checked_and_numbered() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let weight = || Change::Weight(Weight(2500));
    let first = engine.control(Scope::Agent(agent), weight(), "collector:cli", at(1)).unwrap();
    let second = engine.control(Scope::AgentCheck(agent, CheckNo(1)), weight(), "collector:cli", at(1)).unwrap();
    // No number is given again by a store that was made from an older backup: they follow the clock, and grow though it does not.
    let clock = at(1).0.cast_unsigned();
    assert_eq!((first.id.number, second.id.number), (clock, clock + 1));
    let late = engine.control(Scope::Agent(agent), Change::Resume, "collector:cli", at(-60)).unwrap();
    assert_eq!(late.id.number, clock + 2, "the clock was set back");
    assert!(engine.control(Scope::Check(CheckNo(1)), weight(), "collector:cli", at(1)).is_err());
    assert!(engine.control(Scope::Check(CheckNo(9)), Change::Resume, "collector:cli", at(1)).is_err());

    let event = |author: &str, number, scope, at| ControlEvent {
        id: EventId { author: author.into(), number },
        at,
        scope,
        change: Change::Resume,
    };
    let own = "agent:eu-west-1";
    let brought = vec![
        event(own, 1, Scope::Agent(agent), at(-100)),
        event(own, 2, Scope::Check(CheckNo(1)), at(2)),
        event("collector:cli", 3, Scope::Agent(agent), at(2)),
        event(own, 3, Scope::Agent(agent), at(3 * 86_400)),
        event(own, 1, Scope::Agent(agent), at(5)),
    ];
    let ids = engine.take_agent_events(agent, brought.clone(), at(10)).unwrap();
    assert_eq!(ids.len(), brought.len(), "all are acknowledged");
    assert_eq!(engine.shared().book().control().len(), 4);
    engine.take_agent_events(agent, brought, at(10)).unwrap();
    assert_eq!(engine.shared().book().control().len(), 4);
}

#[test]
fn a_period_outside_the_checks_life_is_empty_and_in_order() {
    let mut engine = in_memory();
    engine.apply(vec![definition("shop")], &options(), at(1000)).unwrap();
    let mut prune = options();
    prune.prune = true;
    engine.apply(Vec::new(), &prune, at(2000)).unwrap();
    let book = engine.shared().book();
    let check = book.check(CheckNo(1)).unwrap();
    for (from, to, at_) in [(0, 500, 500), (3000, 4000, 2000)] {
        let period = book.period(check, Some(at(from)), Some(at(to)), at(9000));
        assert_eq!(period, Span::new(at(at_), at(at_)));
        let account = book.account(CheckNo(1), &Filter::All, period).unwrap();
        assert_eq!((account.period_us(), account.availability()), (0, None));
    }
}

#[test]
fn suspensions_end() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    let mut suspend = |until| {
        let change = Change::Suspend { until, reason: "work".into() };
        engine.control(Scope::Agent(agent), change, "collector:cli", START)
    };
    assert!(suspend(at(366 * 86_400)).is_ok());
    for until in [at(366 * 86_400 + 1), UtcMicros::MAX] {
        assert!(suspend(until).unwrap_err().to_string().contains("366 days"));
    }
}

#[test]
fn an_agent_neither_suspends_itself_for_ever_nor_before_it_was_enrolled() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    let suspend = |number, from: UtcMicros, until| ControlEvent {
        id: EventId { author: "agent:eu-west-1".into(), number },
        at: from,
        scope: Scope::Agent(agent),
        change: Change::Suspend { until, reason: "work".into() },
    };
    let enrolled = engine.shared().book().agent(agent).unwrap().enrolled_at;
    let brought = vec![
        suspend(1, enrolled, UtcMicros::MAX),
        suspend(2, enrolled.plus_us(-86_400_000_001), at(100)),
        suspend(3, enrolled.plus_us(-86_400_000_000), at(100)),
    ];
    let ids = engine.take_agent_events(agent, brought, at(10)).unwrap();
    assert_eq!(ids.len(), 3, "all are acknowledged: they would come again else");
    let book = engine.shared().book();
    assert_eq!(book.control().len(), 1);
    assert!(book.control().event(&EventId { author: "agent:eu-west-1".into(), number: 3 }).is_some());
}

#[test]
fn an_agents_control_events_are_bounded() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    let events = |from: u64| -> Vec<_> {
        (from..from + 256)
            .map(|number| ControlEvent {
                id: EventId { author: "agent:eu-west-1".into(), number },
                at: START.plus_us(number.cast_signed()),
                scope: Scope::Agent(agent),
                change: Change::Weight(Weight(u32::try_from(number % 1000).unwrap())),
            })
            .collect()
    };
    for from in (1..=10_200).step_by(256) {
        let ids = engine.take_agent_events(agent, events(from), at(10)).unwrap();
        assert_eq!(ids.len(), 256, "all are acknowledged");
    }
    assert_eq!(engine.shared().book().control().len(), 10_000);
}

#[test]
fn a_tombstone_that_tells_too_much_schedules_nothing() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let check = CheckNo(1);
    let slots = [0, 30, 60, 150, 180, 240];
    let mut entries: Vec<_> =
        (0..).zip(slots).map(|(seq, seconds)| entry(&engine, seq, result(check, seconds, ProbeState::Up))).collect();
    entries.push(entry(&engine, 10, dropped(check, 90, 7, &[])));
    engine.ingest(vec![job(agent, entries)]).unwrap();
    let row = &engine.shared().book().conservation(START)[0];
    assert_eq!((row.scheduled, row.slots.results, row.dropped(), row.slots.unexplained()), (9, 6, 3, 0));
    assert_eq!(row.counts.dropped, 7);
}

#[tokio::test]
async fn a_writer_that_panics_ends_the_program() {
    let app = App::over(in_memory()).unwrap();
    assert_eq!(app.readiness(), Ok(()));
    assert!(app.writer().run(|_| panic!("a bug")).await.is_err());
    app.writer().ended().await;
    assert!(app.readiness().unwrap_err().contains("panicked"));
    app.close().await;
}

#[test]
fn after_a_restart_an_agent_was_seen_when_its_newest_result_started() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    engine.note_handshake(agent, "0.0.0", at(10)).unwrap();
    let entries = vec![entry(&engine, 0, result(CheckNo(1), 600, ProbeState::Up))];
    engine.ingest(vec![job(agent, entries)]).unwrap();
    drop(engine);
    let authority = sitepulse_daemon::identity::CertificateAuthority::create(START).unwrap();
    let engine = sitepulse_collector::engine::Engine::open(dir.path(), authority, 1, at(5000)).unwrap();
    let book = engine.shared().book();
    assert_eq!(book.agent(agent).unwrap().presence.read().last_seen, Some(at(600).plus_us(150)));
}

#[tokio::test]
async fn credentials_expire_and_links_work_once() {
    let dir = tempfile::tempdir().unwrap();
    let app = App::open(dir.path(), START).unwrap();
    assert!(App::open(dir.path(), START).unwrap_err().is_held());
    let token = app.create_credential(CredentialKind::ApiToken, Access::Read, "ci", 60_000_000, START).await.unwrap();
    assert_eq!(app.verify(CredentialKind::ApiToken, &token.secret, at(59)).unwrap().note, "ci");
    assert_eq!(app.verify(CredentialKind::ApiToken, &token.secret, at(60)), None);
    assert_eq!(app.verify(CredentialKind::Session, &token.secret, at(1)), None);
    assert_eq!(app.verify(CredentialKind::ApiToken, "spa_x", at(1)), None);

    let link = app.create_credential(CredentialKind::SignIn, Access::Admin, "ann", 60_000_000, START).await.unwrap();
    let session = app.redeem_signin(&link.secret, None, at(1)).await.unwrap().unwrap();
    assert_eq!(session.credential.access, Access::Admin);
    assert_eq!(app.redeem_signin(&link.secret, None, at(1)).await.unwrap(), None);
    let pin = app.ca_pin();
    app.close().await;
    assert!(app.set_addresses(vec!["a:1".into()]).await.is_err());
    drop(app);

    let app = App::open(dir.path(), at(2)).unwrap();
    assert_eq!(app.ca_pin(), pin);
    assert!(app.verify(CredentialKind::Session, &session.secret, at(3)).is_some());
    assert!(app.revoke_credential(CredentialKind::Session, &session.secret, at(3)).await.unwrap());
    assert_eq!(app.verify(CredentialKind::Session, &session.secret, at(3)), None);
    app.close().await;
}

#[tokio::test]
async fn a_lost_authority_and_foreign_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    App::open(dir.path(), START).unwrap().close().await;
    std::fs::remove_file(dir.path().join("ca.key")).unwrap();
    let error = App::open(dir.path(), START).unwrap_err();
    assert!(error.to_string().contains("ca.key: no such file; restore a backup"), "{error}");
    assert_eq!(error.exit(), sitepulse_daemon::exit::Exit::DataDir);
}

/// An older build stored what this one finds invalid, or wrote definitions as the first builds did.
#[test]
fn a_database_with_definitions_of_an_older_build_opens() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    engine.apply(vec![definition("shop"), definition("site"), definition("old")], &options(), START).unwrap();
    let older = "UPDATE check_revision SET body = replace(body, 'http://', 'gopher://') WHERE check_id = 'shop';
         UPDATE check_revision SET body = json_remove(json_set(body, '$.kind',
             json('{\"http\":{\"url\":\"http://127.0.0.1:1/\"}}')), '$.target', '$.retries') WHERE check_id = 'old';";
    engine.store().connection().execute_batch(older).unwrap();
    drop(engine);
    let engine = on_disk(dir.path());
    let book = engine.shared().book();
    assert_eq!(book.checks().count(), 3);
    let old = book.check_by_id(&CheckId::parse("old").unwrap()).unwrap();
    assert_eq!(old.newest().definition, definition("old"));
    // Agents judge what they are sent, and refuse all of it for one.
    let (_, assigned) = book.assignment(&Region::parse("eu").unwrap());
    let mut assigned: Vec<&str> = assigned.iter().map(|check| check.definition.id.as_str()).collect();
    assigned.sort_unstable();
    assert_eq!(assigned, ["old", "site"]);
}

#[test]
fn an_assignment_after_a_restore_has_another_revision_than_the_one_that_was_lost() {
    let region = Region::parse("eu-west").unwrap();
    let changed = |interval_us| {
        let mut engine = in_memory();
        engine.apply(vec![definition("shop")], &options(), START).unwrap();
        (engine, CheckDefinition { interval_us, ..definition("shop") })
    };
    // The same store twice: one goes on and is lost, the other one is its restored backup.
    let (mut lost, change) = changed(60_000_000);
    lost.apply(vec![change], &options(), at(10)).unwrap();
    let (mut restored, change) = changed(120_000_000);
    let held = lost.shared().book().assignment_revision(&region);
    assert_ne!(restored.shared().book().assignment_revision(&region), held);
    restored.apply(vec![change], &options(), at(20)).unwrap();
    assert_ne!(restored.shared().book().assignment_revision(&region), held, "an agent that holds the lost one is told");
}

#[test]
fn after_a_restore_no_number_and_no_revision_of_a_check_is_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    drop(engine);
    for name in ["ca.pem", "ca.key"] {
        std::fs::write(dir.path().join(name), name).unwrap();
    }
    let file = dir.path().join("backup.db");
    let files = Beside { always: &["ca.pem", "ca.key"], sometimes: &["seal.key"] };
    backup::backup(dir.path(), &file, files.always, &mut |_, _| ControlFlow::Continue(())).unwrap();
    // Lost since then: revision 2 of check 1, and check 2. Agents may hold results of both.
    let new = tempfile::tempdir().unwrap();
    backup::restore(&file, new.path(), files, at(50), &mut |_, _| ControlFlow::Continue(())).unwrap();
    let mut engine = on_disk(new.path());
    let shop = CheckDefinition { interval_us: 60_000_000, ..definition("shop") };
    engine.apply(vec![shop, definition("blog")], &options(), at(60)).unwrap();
    {
        let book = engine.shared().book();
        let of = |id: &str| book.check_by_id(&CheckId::parse(id).unwrap()).unwrap();
        let (shop, blog) = (of("shop"), of("blog"));
        assert_eq!((shop.number, blog.newest().revision), (CheckNo(1), Revision(1)));
        assert!(shop.newest().revision.0 > 1_000_000 && blog.number.0 > 1_000_000, "{shop:?} {blog:?}");
    }
    let retired = engine.apply(vec![definition("blog")], &ApplyOptions { prune: true, ..options() }, at(70)).unwrap();
    assert_eq!(steps(&retired), [("blog".into(), "unchanged"), ("shop".into(), "retire")]);
    let book = engine.shared().book();
    let shop = book.check(CheckNo(1)).unwrap();
    assert_eq!(shop.newest().revision.0, shop.revisions[1].revision.0 + 1, "from there on one by one");
}
