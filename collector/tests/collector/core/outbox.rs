//! Messages: handed out in order, decided, taken up again; across crashes, full disks and restarts.

use std::collections::{BTreeMap, BTreeSet};

use sitepulse_collector::app::Access;
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::outbox::{DeliveryKey, Done, Message, Turn};
use sitepulse_collector::seal::retention::Retention;
use sitepulse_model::delivery::Answer;
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::incident::machine::Input;
use sitepulse_model::incident::{IncidentId, NoticeEvent};
use sitepulse_model::record::ProbeState;
use sitepulse_model::time::UtcMicros;

use super::world::{at, enrol, entry, in_memory, job, on_disk, options, result};

const LATER: Answer = Answer::Later { after_us: None };

/// Channels `a` and `b`, told at once; `a` again after 10 min.
const CHANNELS: &str = r#"
[[channel]]
id = "a"
kind = "webhook"
url = "https://a.example/hook"

[[channel]]
id = "b"
kind = "webhook"
url = "secret:b-hook"

[[escalation]]
id = "default"
default = true
levels = [ { after = "0s", notify = ["a", "b"] }, { after = "10m", notify = ["a"] } ]
"#;

fn check(id: &str) -> String {
    format!("[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"30s\"\n")
}

/// An agent that watches some checks.
struct World {
    engine: Engine,
    agent: AgentNo,
    checks: Vec<CheckNo>,
    seq: u64,
    slot: i64,
}

impl World {
    fn over(mut engine: Engine, checks: usize) -> Self {
        let agent = enrol(&mut engine, "eu-west", Some("eu-west-1")).agent;
        let file: String = (0..checks).map(|n| check(&format!("c{n}"))).collect();
        apply(&mut engine, &format!("{file}{CHANNELS}"), 0);
        let checks = engine.shared().book().checks().map(|check| check.number).collect();
        Self { engine, agent, checks, seq: 0, slot: 0 }
    }

    fn now(&self) -> UtcMicros {
        at(30 * self.slot)
    }

    /// The next results of every check, and a look at them.
    fn report(&mut self, state: ProbeState) {
        for check in self.checks.clone() {
            self.seq += 1;
            let entry = entry(&self.engine, self.seq, result(check, 30 * self.slot, state));
            let received_at = entry.record.scheduled().plus_us(200_000);
            let mut job = job(self.agent, vec![entry]);
            job.received_at = received_at;
            self.engine.ingest(vec![job]).unwrap();
            self.engine.watch(received_at).unwrap();
        }
        self.slot += 1;
    }

    fn go_down(&mut self) {
        self.report(ProbeState::Down);
        self.report(ProbeState::Down);
    }

    fn turn(&mut self, done: Vec<Done>, out: &[&Message], now: UtcMicros) -> Turn {
        let out = out.iter().map(|message| message.key.clone()).collect();
        self.engine.take_turn(done, &out, now).unwrap()
    }
}

fn apply(engine: &mut Engine, file: &str, seconds: i64) {
    let written = checkfile::parse(&[Source { name: "checks.toml".into(), text: file.into() }]).unwrap();
    engine.apply_as(Access::Admin, written, &options(), at(seconds)).unwrap();
}

fn done(message: &Message, answer: Answer, now: UtcMicros) -> Done {
    Done {
        message: message.clone(),
        began: now,
        took_us: 1_000,
        answer,
        note: "as the test says".into(),
        left: Vec::new(),
    }
}

fn told(messages: &[Message]) -> Vec<(&str, u32, NoticeEvent)> {
    messages.iter().map(|one| (one.key.channel.as_str(), one.key.step, one.notice.event)).collect()
}

/// An outage of one check, told to both channels.
fn outage() -> (World, Message, Message) {
    let mut world = World::over(in_memory(), 1);
    world.go_down();
    let now = world.now();
    let mut handed = world.turn(Vec::new(), &[], now).handed;
    assert_eq!(told(&handed), [("a", 1, NoticeEvent::Opened), ("b", 1, NoticeEvent::Opened)]);
    let b = handed.pop().unwrap();
    (world, handed.pop().unwrap(), b)
}

#[test]
fn a_resolve_waits_for_its_trigger_and_what_is_blocked_is_not_due() {
    let (mut world, a, b) = outage();
    world.report(ProbeState::Up);
    let now = world.now();
    // `a` could not send; its resolve is committed and due since.
    let turn = world.turn(vec![done(&a, LATER, now)], &[&b], now);
    assert_eq!(told(&turn.handed), []);
    let next = turn.next.expect("the trigger is tried again");
    assert!((1_500_000..=2_500_000).contains(&next.us_since(now)), "{}", next.us_since(now));
    // `b` is done: its resolve goes out at once.
    let turn = world.turn(vec![done(&b, Answer::Taken, now)], &[], now);
    assert_eq!(told(&turn.handed), [("b", 2, NoticeEvent::Resolved)]);
    let resolve = turn.handed[0].clone();
    let turn = world.turn(vec![done(&resolve, Answer::Taken, next)], &[], next);
    assert_eq!(told(&turn.handed), [("a", 1, NoticeEvent::Opened)]);
    assert_eq!(turn.handed[0].key, a.key, "the same message, with the same key");
    assert_eq!(turn.handed[0].notice, a.notice);
    let turn = world.turn(vec![done(&turn.handed[0], Answer::Taken, next)], &[], next);
    assert_eq!(told(&turn.handed), [("a", 2, NoticeEvent::Resolved)]);
    let turn = world.turn(vec![done(&turn.handed[0], Answer::Taken, next)], &[], next);
    assert_eq!((told(&turn.handed), turn.next), (vec![], None));
}

#[test]
fn one_message_of_a_channel_is_out_and_a_slow_channel_holds_nobody_up() {
    let mut world = World::over(in_memory(), 5);
    world.go_down();
    let now = world.now();
    let first = world.turn(Vec::new(), &[], now).handed;
    assert_eq!(first.iter().map(|one| one.key.channel.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    // `a` is slow: all five go out by `b`, one after the other.
    let (slow, mut quick) = (first[0].clone(), first[1].clone());
    for left in (0..5).rev() {
        let turn = world.turn(vec![done(&quick, Answer::Taken, now)], &[&slow], now);
        assert_eq!(turn.handed.len(), usize::from(left > 0));
        if let Some(next) = turn.handed.first() {
            assert_eq!(next.key.channel, "b");
            quick = next.clone();
        } else {
            assert_eq!(turn.next, None, "what waits for a busy channel wakes nobody");
        }
    }
}

#[test]
fn a_dead_letter_frees_the_order_and_never_comes_after_what_overtook_it() {
    let (mut world, a, b) = outage();
    world.report(ProbeState::Up);
    let now = world.now();
    let turn = world.turn(vec![done(&a, Answer::Refused, now)], &[&b], now);
    assert_eq!(told(&turn.handed), [("a", 2, NoticeEvent::Resolved)]);
    let refused = world.engine.retry_delivery(&a.key, "ada", now).unwrap_err().to_string();
    assert!(refused.contains("must not come after it"), "{refused}");
    world.turn(vec![done(&turn.handed[0], Answer::Taken, now)], &[&b], now);
    let refused = world.engine.retry_delivery(&a.key, "ada", now).unwrap_err().to_string();
    assert!(refused.contains("must not come after it"), "{refused}");
    apply(&mut world.engine, &CHANNELS.replace("a.example", "mended.example"), 300);
    assert_eq!(told(&world.turn(Vec::new(), &[&b], now.plus_us(600_000_000)).handed), []);
}

#[test]
fn dead_letters_are_taken_up_by_hand_and_when_their_channel_is_mended() {
    let (mut world, a, b) = outage();
    let now = world.now();
    assert!(world.engine.retry_delivery(&a.key, "ada", now).unwrap_err().to_string().contains("being sent"));
    world.turn(vec![done(&a, Answer::Refused, now), done(&b, LATER, now)], &[], now);
    // By hand.
    world.engine.retry_delivery(&a.key, "ada", now).unwrap();
    let turn = world.turn(Vec::new(), &[], now);
    assert_eq!(told(&turn.handed), [("a", 1, NoticeEvent::Opened)]);
    // The log goes on counting.
    assert_eq!(turn.handed[0].attempts, 1);
    world.turn(vec![done(&turn.handed[0], Answer::Refused, now)], &[], now);
    // The resolve is a dead letter too; a mended channel tells both, in their order.
    world.report(ProbeState::Up);
    let later = world.now();
    let turn = world.turn(Vec::new(), &[], later);
    assert_eq!(told(&turn.handed), [("b", 1, NoticeEvent::Opened), ("a", 2, NoticeEvent::Resolved)]);
    let all = turn.handed.iter().map(|one| done(one, Answer::Refused, later)).collect();
    let b2 = world.turn(all, &[], later).handed;
    assert_eq!(told(&b2), [("b", 2, NoticeEvent::Resolved)]);
    world.turn(vec![done(&b2[0], Answer::Refused, later)], &[], later);
    assert_eq!(world.turn(Vec::new(), &[], later.plus_us(60_000_000)).handed, []);
    apply(&mut world.engine, &CHANNELS.replace("a.example", "mended.example"), 300);
    let turn = world.turn(Vec::new(), &[], at(300));
    assert_eq!(told(&turn.handed), [("a", 1, NoticeEvent::Opened)]);
    let turn = world.turn(vec![done(&turn.handed[0], Answer::Taken, at(300))], &[], at(300));
    assert_eq!(told(&turn.handed), [("a", 2, NoticeEvent::Resolved)]);
    let key = turn.handed[0].key.clone();
    world.turn(vec![done(&turn.handed[0], Answer::Taken, at(300))], &[], at(300));
    assert!(world.engine.retry_delivery(&key, "ada", at(300)).unwrap_err().to_string().contains("was delivered"));
    let unknown = DeliveryKey { step: 77, ..key };
    assert!(
        world.engine.retry_delivery(&unknown, "ada", at(300)).unwrap_err().to_string().contains("there is no message")
    );
}

#[test]
fn a_message_that_is_taken_back_frees_the_order_and_is_taken_up_by_hand_alone() {
    let (mut world, a, b) = outage();
    let now = world.now();
    assert!(
        world
            .engine
            .withdraw_delivery_of(&a.key.to_string(), "ada", now)
            .unwrap_err()
            .to_string()
            .contains("being sent")
    );
    world.turn(vec![done(&a, LATER, now), done(&b, Answer::Taken, now)], &[], now);
    // It waits to be tried again, until somebody does not want it sent.
    world.engine.withdraw_delivery_of(&a.key.to_string(), "ada", now).unwrap();
    assert!(
        world.engine.withdraw_delivery_of(&a.key.to_string(), "ada", now).unwrap_err().to_string().contains("already")
    );
    // A channel that is mended tries dead letters again, and not this.
    apply(&mut world.engine, &CHANNELS.replace("a.example", "mended.example"), 300);
    assert_eq!(told(&world.turn(Vec::new(), &[], now.plus_us(20_000_000)).handed), []);
    // The resolve does not wait for it.
    world.report(ProbeState::Up);
    let later = world.now();
    let resolve = world.turn(Vec::new(), &[], later).handed;
    assert_eq!(told(&resolve), [("a", 2, NoticeEvent::Resolved), ("b", 2, NoticeEvent::Resolved)]);
    // By hand it comes back, unless a later one is on its way or was delivered.
    let refused = world.engine.retry_delivery(&a.key, "ada", later).unwrap_err().to_string();
    assert!(refused.contains("must not come after it"), "{refused}");
    world.turn(resolve.iter().map(|one| done(one, LATER, later)).collect(), &[], later);
    world.engine.retry_delivery(&a.key, "ada", later).unwrap();
    assert_eq!(told(&world.turn(Vec::new(), &[], later).handed), [("a", 1, NoticeEvent::Opened)]);
    let unknown = DeliveryKey { step: 77, ..b.key };
    assert!(
        world
            .engine
            .withdraw_delivery_of(&unknown.to_string(), "ada", now)
            .unwrap_err()
            .to_string()
            .contains("no message")
    );
}

#[test]
fn a_secret_that_is_set_anew_sends_what_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::over(on_disk(dir.path()), 1);
    world.go_down();
    let now = world.now();
    let handed = world.turn(Vec::new(), &[], now).handed;
    world.turn(handed.iter().map(|one| done(one, LATER, now)).collect(), &[], now);
    world.engine.set_secret("b-hook", b"https://b.example/hook", now).unwrap();
    assert_eq!(told(&world.turn(Vec::new(), &[], now).handed), [("b", 1, NoticeEvent::Opened)]);
}

#[test]
fn while_the_disk_is_full_messages_go_out_and_none_twice() {
    let (mut world, a, b) = outage();
    world.report(ProbeState::Up);
    let now = world.now();
    // Of `b` the trigger went out and is written down; its resolve is due.
    let pages = world.engine.store().pages().unwrap();
    let resolve = world.turn(vec![done(&b, Answer::Taken, now)], &[&a], now).handed;
    world.turn(vec![done(&resolve[0], LATER, now)], &[&a], now);
    let store = world.engine.store();
    store.limit_pages(pages.max(1)).unwrap();
    let note = "x".repeat(4 << 20);
    let full = Done { note, ..done(&a, Answer::Taken, now) };
    let soon = now.plus_us(10_000_000);
    let turn = world.turn(vec![full], &[], soon);
    assert_eq!(turn.unwritten.len(), 1, "it cannot be written down");
    assert_eq!(told(&turn.handed), [("b", 2, NoticeEvent::Resolved)], "what is due goes out all the same");
    let resolve = turn.handed[0].clone();
    let mut unwritten = turn.unwritten;
    unwritten.push(done(&resolve, Answer::Taken, soon));
    let turn = world.turn(unwritten, &[], soon);
    assert_eq!((turn.unwritten.len(), told(&turn.handed)), (2, vec![]), "nothing is sent twice");
    world.engine.store().limit_pages(0).unwrap();
    let turn = world.turn(turn.unwritten, &[], soon);
    assert_eq!((turn.unwritten.len(), told(&turn.handed)), (0, vec![("a", 2, NoticeEvent::Resolved)]));
    let turn = world.turn(vec![done(&turn.handed[0], Answer::Taken, soon)], &[], soon);
    assert_eq!((told(&turn.handed), turn.next), (vec![], None));
}

#[test]
fn while_the_disk_is_full_what_did_not_get_through_is_tried_again_and_nothing_else() {
    let (mut world, a, b) = outage();
    let now = world.now();
    let seconds = |seconds: i64| now.plus_us(seconds * 1_000_000);
    // Enough rows to outgrow the file.
    let pages = world.engine.store().pages().unwrap();
    world.engine.store().limit_pages(pages.max(1)).unwrap();
    let full = |done: Done| Done { note: "x".repeat(4 << 20), ..done };
    let turn = world.turn(vec![full(done(&a, LATER, now)), full(done(&b, Answer::Refused, now))], &[], now);
    assert_eq!((turn.unwritten.len(), told(&turn.handed)), (2, vec![]), "not at once");
    let turn = world.turn(turn.unwritten, &[], seconds(1));
    assert_eq!(told(&turn.handed), []);
    let mut turn = world.turn(turn.unwritten, &[], seconds(3));
    assert_eq!(told(&turn.handed), [("a", 1, NoticeEvent::Opened)], "a page that a provider did not take");
    let again = turn.handed.remove(0);
    assert_eq!((again.key.clone(), again.notice.clone(), again.attempts), (a.key.clone(), a.notice.clone(), 1));
    // While it is out, and once the provider has it, it goes out no more.
    let turn = world.turn(turn.unwritten, &[&again], seconds(60));
    assert_eq!(told(&turn.handed), []);
    let mut unwritten = turn.unwritten;
    unwritten.push(full(done(&again, Answer::Taken, seconds(60))));
    let turn = world.turn(unwritten, &[], seconds(600));
    assert_eq!((turn.unwritten.len(), told(&turn.handed)), (3, vec![]));
    // With room again all of it is written down.
    world.engine.store().limit_pages(0).unwrap();
    let turn = world.turn(turn.unwritten, &[], seconds(601));
    assert_eq!((turn.unwritten.len(), told(&turn.handed)), (0, vec![]));
    let db = world.engine.store().connection();
    let mut rows =
        db.prepare("SELECT channel_id, attempt, outcome FROM delivery ORDER BY channel_id, attempt").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let rows: Vec<(String, u32, u8)> = rows.map(Result::unwrap).collect();
    assert_eq!(rows, [("a".into(), 1, 2), ("a".into(), 2, 1), ("b".into(), 1, 3)]);
}

#[test]
fn a_provider_that_wants_to_be_left_alone_gets_no_new_message_either() {
    let mut world = World::over(in_memory(), 2);
    world.go_down();
    let now = world.now();
    let seconds = |seconds: i64| now.plus_us(seconds * 1_000_000);
    let first = world.turn(Vec::new(), &[], now).handed;
    let wait = Answer::Later { after_us: Some(120_000_000) };
    let b = done(&first[1], Answer::Taken, now);
    let turn = world.turn(vec![done(&first[0], wait, now), b], &[], now);
    assert_eq!(told(&turn.handed), [("b", 1, NoticeEvent::Opened)]);
    world.turn(vec![done(&turn.handed[0], Answer::Taken, now)], &[], now);
    // A message that comes now waits as long.
    world.report(ProbeState::Up);
    let turn = world.turn(Vec::new(), &[], seconds(60));
    assert_eq!(turn.handed.iter().map(|one| one.key.channel.as_str()).collect::<Vec<_>>(), ["b"]);
    let turn = world.turn(vec![done(&turn.handed[0], Answer::Taken, seconds(60))], &[], seconds(60));
    let turn =
        world.turn(turn.handed.iter().map(|one| done(one, Answer::Taken, seconds(60))).collect(), &[], seconds(61));
    assert_eq!(told(&turn.handed), []);
    assert!(turn.next.is_some_and(|next| next >= seconds(120)), "{:?}", turn.next);
    let turn = world.turn(Vec::new(), &[], seconds(121));
    assert_eq!(turn.handed.iter().map(|one| one.key.channel.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_clock_that_is_set_back_keeps_no_message_back() {
    let (mut world, a, b) = outage();
    world.report(ProbeState::Up);
    let now = world.now();
    // `a` is to be tried again; the resolve of `b` is due and untried.
    world.turn(vec![done(&a, LATER, now), done(&b, LATER, now)], &[], now);
    let back = now.plus_us(-3 * 86_400_000_000);
    let turn = world.turn(Vec::new(), &[], back);
    assert_eq!(told(&turn.handed), []);
    let soon = back.plus_us(301_000_000);
    assert!(turn.next.is_some_and(|next| next <= soon), "{:?}", turn.next);
    let turn = world.turn(Vec::new(), &[], soon);
    assert_eq!(told(&turn.handed), [("a", 1, NoticeEvent::Opened), ("b", 1, NoticeEvent::Opened)]);
    let all = turn.handed.iter().map(|one| done(one, Answer::Taken, soon)).collect();
    let turn = world.turn(all, &[], soon);
    assert_eq!(told(&turn.handed), [("a", 2, NoticeEvent::Resolved), ("b", 2, NoticeEvent::Resolved)]);
}

/// A machine without a clock of its own starts in the past, tries to send, and is set right days ahead: no patience was spent meanwhile.
#[test]
fn a_clock_that_is_set_days_ahead_gives_up_no_message_early() {
    const DAY_US: i64 = 86_400_000_000;
    let (mut world, a, b) = outage();
    let now = world.now();
    // `a` was tried before; `b` is being tried for the first time while the clock is set.
    world.turn(vec![done(&a, LATER, now)], &[&b], now);
    let right = now.plus_us(3 * DAY_US);
    let turn = world.turn(vec![done(&b, LATER, now)], &[], right);
    assert_eq!(told(&turn.handed), [("a", 1, NoticeEvent::Opened)]);
    let next = right.plus_us(30_000_000);
    let a = turn.handed.into_iter().next().unwrap();
    let turn = world.turn(vec![done(&a, LATER, right)], &[], next);
    assert_eq!(told(&turn.handed), [("b", 1, NoticeEvent::Opened)], "neither is given up");
    let mut out = turn.handed;
    let mut given_up = Vec::new();
    // From then on a day is a day: of turns as the dispatcher makes them.
    let states = |world: &mut World| -> Vec<(String, u8)> {
        let mut rows =
            world.engine.store().connection().prepare("SELECT channel_id, state FROM outbox ORDER BY 1").unwrap();
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    let mut at = next;
    while at.us_since(right) < DAY_US + 600_000_000 {
        at = at.plus_us(30_000_000);
        let over = out.iter().map(|one| done(one, LATER, at)).collect();
        out = world.turn(over, &[], at).handed;
        for (channel, _) in states(&mut world).into_iter().filter(|(_, state)| *state == 4) {
            if !given_up.contains(&channel) {
                assert!(
                    at.us_since(right) >= DAY_US,
                    "{channel} is given up after {} s",
                    at.us_since(right) / 1_000_000
                );
                given_up.push(channel);
            }
        }
    }
    assert_eq!(given_up.len(), 2, "each has its day, no more: {:?}", states(&mut world));
}

#[test]
fn a_dispatcher_proves_that_it_can_write_and_find_what_it_wrote() {
    let (mut world, _, _) = outage();
    let now = world.now();
    assert_eq!(world.engine.prove_outbox(now), Ok(()));
    let count: i64 =
        world.engine.store().connection().query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2, "nothing of it stays");
    world.engine.store().connection().execute("ALTER TABLE outbox RENAME TO gone", []).unwrap();
    assert!(world.engine.prove_outbox(now).is_err());
}

#[test]
fn a_lease_that_nobody_holds_ends() {
    let (mut world, a, b) = outage();
    let now = world.now();
    assert_eq!(told(&world.turn(Vec::new(), &[&a, &b], now).handed), []);
    let again = world.turn(Vec::new(), &[&b], now).handed;
    assert_eq!(again.iter().map(|one| &one.key).collect::<Vec<_>>(), [&a.key]);
}

#[test]
fn leases_of_a_dead_process_end_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::over(on_disk(dir.path()), 1);
    world.go_down();
    let now = world.now();
    let handed = world.turn(Vec::new(), &[], now).handed;
    drop(world.engine);
    world.engine = on_disk(dir.path());
    let again = world.turn(Vec::new(), &[], now).handed;
    let what = |handed: &[Message]| handed.iter().map(|one| (one.key.clone(), one.notice.clone())).collect::<Vec<_>>();
    assert_eq!(what(&again), what(&handed));
}

#[test]
fn an_overdue_level_runs_once_after_a_restart_and_never_after_an_acknowledgement() {
    for acknowledged in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::over(on_disk(dir.path()), 1);
        world.go_down();
        let now = world.now();
        let handed = world.turn(Vec::new(), &[], now).handed;
        let incident = handed[0].key.incident.clone();
        world.turn(handed.iter().map(|one| done(one, Answer::Taken, now)).collect(), &[], now);
        if acknowledged {
            let by = Input::Acknowledge { by: "ana" };
            // The last instant before the level is due.
            world.engine.act(&incident, by, "ana", now.plus_us(9 * 60_000_000)).unwrap();
        }
        drop(world.engine);
        world.engine = on_disk(dir.path());
        // Back after the level was due: the first looks bring it, and the next ones do not.
        let back = now.plus_us(15 * 60_000_000);
        let mut seen = Vec::new();
        for second in 0..40 {
            let now = back.plus_us(second * 1_000_000);
            world.engine.watch(now).unwrap();
            for message in world.turn(Vec::new(), &[], now).handed {
                // Its agent is silent by then: that is another incident.
                if message.key.incident == incident {
                    seen.push((second, message.key.channel.clone(), message.notice.event));
                }
                world.turn(vec![done(&message, Answer::Taken, now)], &[], now);
            }
        }
        let escalated: Vec<_> = seen.iter().filter(|(_, _, event)| *event == NoticeEvent::Escalated).collect();
        if acknowledged {
            assert!(escalated.is_empty(), "{seen:?}");
        } else {
            // Nobody was heard since.
            assert!(matches!(escalated.as_slice(), [(15..=16, channel, _)] if channel == "a"), "{seen:?}");
        }
    }
}

#[test]
fn who_is_turned_away_keeps_its_turn_and_is_told_of_as_such() {
    let (mut world, a, b) = outage();
    world.report(ProbeState::Up);
    let now = world.now();
    let turn = world.turn(vec![done(&a, Answer::Denied, now), done(&b, Answer::Taken, now)], &[], now);
    assert_eq!(told(&turn.handed), [("b", 2, NoticeEvent::Resolved)], "the resolve of a waits for its trigger");
    let note: String = world
        .engine
        .store()
        .connection()
        .query_row("SELECT note FROM delivery WHERE channel_id = 'a'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(note, "turned away: as the test says");
    let next = now.plus_us(3_000_000);
    let turn = world.turn(vec![done(&turn.handed[0], Answer::Taken, now)], &[], next);
    assert_eq!(told(&turn.handed), [("a", 1, NoticeEvent::Opened)]);
}

#[test]
fn a_mail_that_some_have_goes_to_the_others_alone() {
    let (mut world, a, b) = outage();
    let now = world.now();
    let left = vec!["later@example.com".to_owned()];
    let partly = Done { left: left.clone(), ..done(&a, LATER, now) };
    world.turn(vec![partly, done(&b, Answer::Taken, now)], &[], now);
    let again = world.turn(Vec::new(), &[], now.plus_us(3_000_000)).handed;
    assert_eq!(told(&again), [("a", 1, NoticeEvent::Opened)]);
    assert_eq!(again[0].notice.context.only, left);
    assert_eq!(again[0].notice.key, a.notice.key);
}

/// An outage whose second level became due while the collector was away: it comes back after 15 min.
fn away() -> (tempfile::TempDir, World, IncidentId) {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::over(on_disk(dir.path()), 1);
    world.go_down();
    let now = world.now();
    let handed = world.turn(Vec::new(), &[], now).handed;
    let incident = handed[0].key.incident.clone();
    world.turn(handed.iter().map(|one| done(one, Answer::Taken, now)).collect(), &[], now);
    drop(world.engine);
    world.engine = on_disk(dir.path());
    world.slot += 30;
    (dir, world, incident)
}

/// Looks, sends everything, and tells what was sent about an incident.
fn sent(world: &mut World, incident: &IncidentId, now: UtcMicros) -> Vec<NoticeEvent> {
    world.engine.watch(now).unwrap();
    let mut events = Vec::new();
    loop {
        let handed = world.turn(Vec::new(), &[], now).handed;
        if handed.is_empty() {
            return events;
        }
        let about = handed.iter().filter(|one| one.key.incident == *incident);
        events.extend(about.map(|one| one.notice.event));
        world.turn(handed.iter().map(|one| done(one, Answer::Taken, now)).collect(), &[], now);
    }
}

#[test]
fn a_step_that_is_overdue_at_a_start_waits_until_an_agent_says_that_it_is_still_down() {
    for (state, expected) in
        [(ProbeState::Up, vec![NoticeEvent::Resolved; 2]), (ProbeState::Down, vec![NoticeEvent::Escalated])]
    {
        let (_dir, mut world, incident) = away();
        let back = world.now();
        for second in 0..3 {
            assert_eq!(sent(&mut world, &incident, back.plus_us(second * 1_000_000)), []);
        }
        // The first result of its agent.
        let entry = entry(&world.engine, 1_000, result(world.checks[0], 30 * (world.slot - 1), state));
        let mut job = job(world.agent, vec![entry]);
        job.received_at = back.plus_us(5_000_000);
        world.engine.ingest(vec![job]).unwrap();
        let mut told = Vec::new();
        for second in 5..20 {
            told.extend(
                sent(&mut world, &incident, back.plus_us(second * 1_000_000)).into_iter().map(|event| (second, event)),
            );
        }
        assert!(told.iter().all(|(second, _)| *second <= 6), "{told:?}");
        assert_eq!(told.into_iter().map(|(_, event)| event).collect::<Vec<_>>(), expected);
    }
}

/// Lives that are shorter than the wait: without its row each of them would wait anew.
#[test]
fn a_collector_that_is_killed_each_two_seconds_pages_all_the_same() {
    let (dir, mut world, incident) = away();
    let back = world.now();
    let mut told = Vec::new();
    for second in (0..50).filter(|second| second % 3 != 2) {
        if second % 3 == 0 {
            drop(world.engine);
            world.engine = on_disk(dir.path());
        }
        let events = sent(&mut world, &incident, back.plus_us(second * 1_000_000));
        told.extend(events.into_iter().map(|event| (second, event)));
    }
    assert!(matches!(told.as_slice(), [(15..=18, NoticeEvent::Escalated)]), "{told:?}");
}

#[test]
fn what_is_over_goes_with_the_raw_results_and_what_waits_stays() {
    let (mut world, a, b) = outage();
    world.report(ProbeState::Up);
    let now = world.now();
    world.turn(vec![done(&a, Answer::Taken, now), done(&b, LATER, now)], &[], now);
    let counts = |world: &mut World| {
        let mut count = |table: &str| -> i64 {
            let sql = format!("SELECT count(*) FROM {table}");
            world.engine.store().connection().query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        [count("outbox"), count("delivery")]
    };
    assert_eq!(counts(&mut world), [4, 2]);
    let retention = Retention { raw_us: Some(2 * 86_400_000_000), ..Retention::default() };
    world.engine.expire_now(retention, at(86_400)).unwrap();
    assert_eq!(counts(&mut world), [4, 2]);
    // The newest slot says what is old: it must be young itself.
    let days = 4 * 86_400 / 30;
    world.slot = days;
    world.report(ProbeState::Up);
    world.engine.expire_now(retention, at(4 * 86_400)).unwrap();
    assert_eq!(counts(&mut world), [3, 0], "the delivered one is gone, the others wait still");
}

/// What a crash, a provider and a clock can do, in any order.
#[test]
fn whatever_happens_each_message_arrives_in_order_with_one_duplicate_a_crash_at_most() {
    let (mut crashes_of_all, mut sent_behind) = (0, 0);
    for seed in 1..=25_u64 {
        let mut state = seed;
        let mut draw = move |below: u64| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % below
        };
        let mut world = World::over(in_memory(), 3);
        let mut out: BTreeMap<DeliveryKey, Message> = BTreeMap::new();
        // What the provider recorded, in the order of arrival.
        let mut seen: Vec<DeliveryKey> = Vec::new();
        let mut crashes = 0;
        let mut unheard: BTreeMap<String, usize> = BTreeMap::new();
        // The clock as it should be, and as it is: now and then it is 20 h behind for a while. Not for longer than messages are tried: when the clock is right
        // again, they are older by that.
        let (mut right, mut now) = (world.now(), world.now());
        let mut done_now = Vec::new();
        for round in 0..160 {
            if round % 16 == 0 && round < 96 {
                let state = if round % 32 == 0 { ProbeState::Down } else { ProbeState::Up };
                world.report(state);
                world.report(state);
            }
            right = right.max(world.now()).plus_us(draw(40_000_000).cast_signed());
            let behind = (round / 8) % 4 == 3;
            now = right.plus_us(if behind { -20 * 3_600_000_000 } else { 0 });
            let held: BTreeSet<DeliveryKey> = out.keys().cloned().collect();
            let turn = world.engine.take_turn(std::mem::take(&mut done_now), &held, now).unwrap();
            if behind {
                sent_behind += turn.handed.len();
            }
            for message in turn.handed {
                assert!(out.keys().all(|key| key.channel != message.key.channel), "two of a channel are out");
                out.insert(message.key.clone(), message);
            }
            for message in out.clone().into_values() {
                let calm = round >= 120;
                match draw(if calm { 3 } else { 8 }) {
                    0..3 => {
                        seen.push(message.key.clone());
                        done_now.push(done(&message, Answer::Taken, now));
                    }
                    // It has the message, and we do not hear of it.
                    3 => {
                        seen.push(message.key.clone());
                        *unheard.entry(message.key.channel.clone()).or_default() += 1;
                        done_now.push(done(&message, LATER, now));
                    }
                    4 | 5 => done_now.push(done(&message, LATER, now)),
                    // It takes longer.
                    _ => continue,
                }
                out.remove(&message.key);
            }
            if round < 120 && draw(12) == 0 {
                // What was answered and not written down is lost, and so is what is out.
                crashes += 1;
                out.clear();
                done_now.clear();
            }
        }
        crashes_of_all += crashes;
        let turn = world.engine.take_turn(done_now, &BTreeSet::new(), now.plus_us(3_600_000_000)).unwrap();
        assert!(turn.handed.is_empty() && turn.next.is_none(), "seed {seed}: {} are left", turn.handed.len());
        let stored: BTreeSet<String> = {
            let connection = world.engine.store().connection();
            let mut rows =
                connection.prepare("SELECT incident_id || '/' || step || '/' || channel_id FROM outbox").unwrap();
            rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        assert!(stored.len() >= 12, "{stored:?}");
        let arrived: BTreeSet<String> = seen.iter().map(ToString::to_string).collect();
        assert_eq!(stored, arrived, "seed {seed}: every step that was committed arrived");
        for channel in ["a", "b"] {
            let of_channel: Vec<&DeliveryKey> = seen.iter().filter(|key| key.channel == channel).collect();
            let twice = of_channel.len() - of_channel.iter().collect::<BTreeSet<_>>().len();
            let reasons = crashes + unheard.get(channel).copied().unwrap_or_default();
            assert!(twice <= reasons, "seed {seed}: {twice} duplicates on {channel}, {reasons} reasons");
        }
        // First arrivals of an incident on a channel are in the order of its steps.
        let mut first: BTreeMap<(String, String), Vec<u32>> = BTreeMap::new();
        for key in &seen {
            let steps = first.entry((key.incident.to_string(), key.channel.clone())).or_default();
            if !steps.contains(&key.step) {
                assert!(steps.last().is_none_or(|last| *last < key.step), "seed {seed}: {key} came too late");
                steps.push(key.step);
            }
        }
    }
    assert!(crashes_of_all > 100, "{crashes_of_all}");
    assert!(sent_behind > 100, "a clock that is behind keeps nothing back: {sent_behind}");
}

/// A provider that asks to be left alone means all that goes to it.
#[test]
fn retry_after_holds_every_message_of_the_channel() {
    let mut world = World::over(in_memory(), 3);
    world.go_down();
    let now = world.now();
    let first: Vec<Message> = world.turn(Vec::new(), &[], now).handed;
    let a = first.iter().find(|message| message.key.channel == "a").unwrap();
    let b = first.iter().find(|message| message.key.channel == "b").unwrap();
    let later = done(a, Answer::Later { after_us: Some(60_000_000) }, now);
    let next = world.turn(vec![later, done(b, Answer::Taken, now)], &[], now).handed;
    assert_eq!(told(&next), [("b", 1, NoticeEvent::Opened)], "the other channel's go on, this one's wait");
    let soon = now.plus_us(59_000_000);
    let next = world.turn(vec![done(&next[0], Answer::Taken, now)], &[], soon).handed;
    assert_eq!(told(&next), [("b", 1, NoticeEvent::Opened)]);
    let then = world.turn(Vec::new(), &[&next[0]], now.plus_us(61_000_000)).handed;
    assert_eq!(told(&then), [("a", 1, NoticeEvent::Opened)]);
}
