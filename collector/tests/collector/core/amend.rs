//! Late data amends the past: once for each check and episode, exactly, and a kill loses none of it.

use sitepulse_collector::engine::Engine;
use sitepulse_collector::ingest::IngestJob;
use sitepulse_model::amendment::{Amendment, LateAgent};
use sitepulse_model::control::{Change, ControlEvent, EventId, Scope, Weight};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::record::{ProbeState, Record};
use sitepulse_wire::message::Entry;

use super::world::*;

const HOUR: i64 = 3600;
/// When the agent is cut off, and when it is back, in seconds.
const CUT: i64 = 600;
const BACK: i64 = CUT + 12 * HOUR;
/// Slots are this far apart.
const STEP: i64 = 30;

/// What the site is at a second: down for ten minutes within the outage, and for one run, which nobody confirms.
fn state(second: i64) -> ProbeState {
    if (2 * HOUR..2 * HOUR + 600).contains(&second) || second == 5 * HOUR { ProbeState::Down } else { ProbeState::Up }
}

/// An agent that probes its checks and numbers its records.
struct Probe {
    agent: AgentNo,
    name: &'static str,
    seqs: Vec<u64>,
}

impl Probe {
    fn enrol(engine: &mut Engine, region: &str, name: &'static str) -> Self {
        Self { agent: enrol(engine, region, Some(name)).agent, name, seqs: vec![0; 64] }
    }

    /// The records of a check's runs in `seconds`.
    fn runs(&mut self, engine: &Engine, check: CheckNo, seconds: std::ops::Range<i64>) -> Vec<Entry> {
        self.entries(
            engine,
            seconds.step_by(STEP as usize).map(|second| result(check, second, state(second))).collect(),
        )
    }

    fn entries(&mut self, engine: &Engine, records: Vec<Record>) -> Vec<Entry> {
        let number = |record: Record| {
            let mut entry = entry_of(engine, self.name, 0, record);
            let seq = &mut self.seqs[usize::from(entry.bucket.0)];
            entry.seq.0 = *seq;
            *seq += 1;
            entry
        };
        records.into_iter().map(number).collect()
    }

    fn job(&self, received: i64, entries: Vec<Entry>) -> IngestJob {
        IngestJob { agent: self.agent, received_at: at(received), batch: batch(1, entries) }
    }
}

fn take(engine: &mut Engine, job: IngestJob) {
    let count = job.batch.entries.len() as u64;
    let outcome = engine.ingest(vec![job]).unwrap()[0];
    assert_eq!(outcome.stored, count);
}

/// Sends each record the second after its slot.
fn in_time(engine: &mut Engine, probe: &mut Probe, check: CheckNo, seconds: std::ops::Range<i64>) {
    for second in seconds.step_by(STEP as usize) {
        let entries = probe.runs(engine, check, second..second + 1);
        let job = probe.job(second + STEP, entries);
        take(engine, job);
    }
}

fn amendments(engine: &mut Engine) -> Vec<(u32, i64, Amendment)> {
    let mut statement = engine
        .store()
        .connection()
        .prepare("SELECT check_no, number, body FROM amendment ORDER BY check_no, number")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))).unwrap();
    rows.map(|row| row.map(|(check, number, body)| (check, number, serde_json::from_str(&body).unwrap())).unwrap())
        .collect()
}

fn open_rows(engine: &mut Engine) -> i64 {
    engine.store().connection().query_row("SELECT count(*) FROM late", [], |row| row.get(0)).unwrap()
}

/// The batches of a drained backlog: fresh records come along with the first.
fn drain(engine: &Engine, probe: &mut Probe, check: CheckNo) -> Vec<IngestJob> {
    let backlog = probe.runs(engine, check, CUT..BACK);
    let mut jobs = vec![];
    for (index, entries) in backlog.chunks(300).enumerate() {
        jobs.push(probe.job(BACK + 10 + index as i64, entries.to_vec()));
        let second = BACK + index as i64 * STEP;
        if index < 2 {
            let fresh = probe.runs(engine, check, second..second + 1);
            jobs.push(probe.job(second + 11, fresh));
        }
    }
    jobs
}

#[test]
fn a_drained_backlog_is_one_amendment_with_the_figures_before_and_after() {
    let mut engine = in_memory();
    let mut probe = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let check = CheckNo(1);
    in_time(&mut engine, &mut probe, check, 0..CUT);
    assert_eq!((engine.next_settle(), open_rows(&mut engine)), (None, 0), "records in time are no late data");
    for job in drain(&engine, &mut probe, check) {
        take(&mut engine, job);
        assert_eq!(open_rows(&mut engine), 1);
    }
    let newest = BACK + 10 + 4;
    assert_eq!(engine.next_settle(), Some(at(newest + 30)));
    assert!(!engine.settle_due(at(newest + 29)));
    assert_eq!(engine.settle(at(newest + 29), false).unwrap(), 0);
    assert_eq!(engine.settle(at(newest + 30), false).unwrap(), 1);
    assert_eq!((engine.next_settle(), open_rows(&mut engine)), (None, 0));

    let written = amendments(&mut engine);
    let [(1, 1, amendment)] = &written[..] else { panic!("{written:?}") };
    // The last result before the cut held for two intervals and a timeout.
    let hold = 2 * STEP + 10;
    let known = BACK - STEP;
    let unknown = known - (CUT - STEP + hold);
    assert_eq!(amendment.before.unknown.agent_offline_us, unknown * SECOND);
    assert_eq!((amendment.before.down_us, amendment.after.down_us), (0, 600 * SECOND));
    assert_eq!(amendment.after.unknown.total_us(), 0);
    assert_eq!(amendment.after.up_us, amendment.before.up_us + (unknown - 600) * SECOND);
    assert_eq!(amendment.after.period_us(), amendment.before.period_us());
    assert_eq!(amendment.noted_us, at(BACK + 10).0);
    let late = LateAgent {
        agent: probe.agent.0,
        // The last run before the agent was back still held when it came in.
        records: 12 * 120 - 1,
        acts: 0,
        first_us: at(CUT).0,
        last_us: at(BACK - 2 * STEP).0,
        behind_us: (12 * HOUR + 10) * SECOND,
    };
    assert_eq!(amendment.late, [late]);
    let told: Vec<_> = amendment
        .changes
        .iter()
        .map(|one| {
            (
                (one.from_us - START.0) / SECOND,
                (one.to_us - START.0) / SECOND,
                one.before.verdict.as_str(),
                one.after.verdict.as_str(),
            )
        })
        .collect();
    let from = CUT - STEP + hold;
    assert_eq!(
        told,
        [
            (from, 2 * HOUR, "unknown", "up"),
            (2 * HOUR, 2 * HOUR + 600, "unknown", "down"),
            (2 * HOUR + 600, known, "unknown", "up")
        ]
    );

    // The book says what it would have said had everything come in time.
    let other = {
        let mut engine = in_memory();
        let mut probe = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
        engine.apply(vec![definition("shop")], &options(), START).unwrap();
        in_time(&mut engine, &mut probe, check, 0..BACK + 2 * STEP);
        assert_eq!(engine.next_settle(), None);
        engine
    };
    let account = |engine: &Engine| {
        let book = engine.shared().book();
        let period = book.period(book.check(check).unwrap(), Some(START), None, at(BACK + 50));
        book.account(check, &sitepulse_collector::book::Filter::All, period)
    };
    assert_eq!(account(&engine), account(&other));
    let book = engine.shared().book();
    let shop = book.check(check).unwrap();
    let noted: Vec<u64> = shop.amended_in(amendment.span()).map(|one| one.number).collect();
    assert_eq!(noted, [1]);
    let clear = sitepulse_model::time::Span::new(START, at(CUT - STEP));
    assert_eq!(shop.amended_in(clear).count(), 0);
}

#[test]
fn a_kill_at_any_batch_leaves_the_same_amendment() {
    let amended = |kill_after: Option<usize>| {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = on_disk(dir.path());
        let mut probe = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
        let mut other = Probe::enrol(&mut engine, "us-east", "us-east-1");
        engine.apply(vec![definition("shop"), definition("blog")], &options(), START).unwrap();
        for check in [CheckNo(1), CheckNo(2)] {
            in_time(&mut engine, &mut probe, check, 0..CUT);
            in_time(&mut engine, &mut other, check, 0..CUT);
        }
        // One agent is back later than the other, within the same episode, and begins with its newest records.
        let mut jobs = drain(&engine, &mut probe, CheckNo(1));
        let mut late = drain(&engine, &mut other, CheckNo(1));
        late.reverse();
        jobs.extend(late);
        jobs.extend(drain(&engine, &mut other, CheckNo(2)));
        for (index, job) in jobs.into_iter().enumerate() {
            take(&mut engine, job);
            if kill_after == Some(index) {
                drop(engine);
                engine = on_disk(dir.path());
            }
        }
        let count = engine.settle(at(BACK + 400), false).unwrap();
        assert_eq!(count, 2, "killed after {kill_after:?}");
        assert_eq!(open_rows(&mut engine), 0);
        let live = amendments(&mut engine);
        drop(engine);
        let mut again = on_disk(dir.path());
        assert_eq!((amendments(&mut again), again.next_settle()), (live.clone(), None));
        assert_eq!(again.shared().book().check(CheckNo(2)).unwrap().amended.len(), 1);
        live
    };
    let never = amended(None);
    assert_eq!(never.iter().map(|(check, ..)| *check).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(never[0].2.late.len(), 2);
    for kill_after in 0..21 {
        assert_eq!(amended(Some(kill_after)), never, "killed after {kill_after}");
    }
}

#[test]
fn late_records_that_change_no_figure_leave_nothing() {
    let mut engine = in_memory();
    let mut probe = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
    let mut other = Probe::enrol(&mut engine, "us-east", "us-east-1");
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let check = CheckNo(1);
    in_time(&mut engine, &mut probe, check, 0..1800);
    in_time(&mut engine, &mut other, check, 0..600);
    // The site was up, and the other agent told so all the time.
    let entries = other.runs(&engine, check, 600..1800);
    let job = other.job(1800, entries);
    take(&mut engine, job);
    assert_eq!(open_rows(&mut engine), 1);
    assert_eq!(engine.settle(at(1830), false).unwrap(), 0);
    assert_eq!((open_rows(&mut engine), amendments(&mut engine).len()), (0, 0));
}

#[test]
fn what_comes_again_is_no_late_data() {
    let mut engine = in_memory();
    let mut probe = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let entries = probe.runs(&engine, CheckNo(1), 0..600);
    let job = probe.job(600, entries.clone());
    take(&mut engine, job);
    engine.settle(at(700), true).unwrap();
    let again = probe.job(4000, entries);
    assert_eq!(engine.ingest(vec![again]).unwrap()[0].duplicates, 20);
    assert_eq!((engine.next_settle(), open_rows(&mut engine)), (None, 0));
}

#[test]
fn an_agent_that_is_always_late_is_amended_once_an_hour() {
    let mut engine = in_memory();
    let mut probe = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let check = CheckNo(1);
    for second in (0..2 * HOUR + 1200).step_by(STEP as usize) {
        let entries = probe.runs(&engine, check, second..second + 1);
        let received = second + 200;
        while engine.settle_due(at(received)) {
            engine.settle(at(received), false).unwrap();
        }
        let job = probe.job(received, entries);
        take(&mut engine, job);
    }
    let spans: Vec<_> = amendments(&mut engine).iter().map(|(_, number, one)| (*number, one.late[0].records)).collect();
    assert_eq!(spans, [(1, 1), (2, 10), (3, 10), (4, 10), (5, 120), (6, 120)]);
}

#[test]
fn settling_takes_turns_and_what_is_left_waits_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let mut probe = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
    engine.apply(vec![definition("a"), definition("b"), definition("c")], &options(), START).unwrap();
    for check in 1..=3 {
        let entries = probe.runs(&engine, CheckNo(check), 0..600);
        let job = probe.job(1000, entries);
        take(&mut engine, job);
    }
    assert_eq!(engine.settle_within(at(1030), false, 0).unwrap(), 1, "one check at least");
    assert!(engine.settle_due(at(1030)), "the others are due still");
    assert_eq!(open_rows(&mut engine), 2);
    // The end of the program has no time for all.
    assert_eq!(engine.settle_within(at(1031), true, 0).unwrap(), 1);
    assert_eq!((engine.next_settle().is_some(), open_rows(&mut engine)), (true, 1));
    drop(engine);
    let mut again = on_disk(dir.path());
    assert_eq!(again.settle(at(1031), true).unwrap(), 1);
    assert_eq!((again.next_settle(), open_rows(&mut again)), (None, 0));
    let checks: Vec<u32> = amendments(&mut again).iter().map(|(check, ..)| *check).collect();
    assert_eq!(checks, [1, 2, 3]);
}

#[test]
fn amendments_go_with_the_hourly_class_and_numbers_go_on() {
    use sitepulse_collector::seal::retention::Retention;
    const DAY: i64 = 24 * HOUR;
    let mut engine = in_memory();
    let mut probe = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let late = |engine: &mut Engine, probe: &mut Probe, second: i64| {
        let entries = probe.runs(engine, CheckNo(1), second..second + 1);
        let job = probe.job(second + 200, entries);
        take(engine, job);
        assert_eq!(engine.settle(at(second + 230), true).unwrap(), 1);
    };
    for second in [0, DAY, 5 * DAY] {
        late(&mut engine, &mut probe, second);
    }
    let numbers = |engine: &mut Engine| {
        let kept: Vec<i64> = amendments(engine).iter().map(|(_, number, _)| *number).collect();
        let book = engine.shared().book();
        let known: Vec<i64> = book.check(CheckNo(1)).unwrap().amended.iter().map(|one| one.number as i64).collect();
        assert_eq!(kept, known, "the book knows what the store has");
        kept
    };
    let keep = Retention { hourly_us: Some(3 * DAY as u64 * SECOND as u64), ..Retention::default() };
    engine.expire_now(keep, at(4 * DAY + 200)).unwrap();
    assert_eq!(numbers(&mut engine), [2, 3], "what was noted exactly so long ago is kept");
    engine.expire_now(keep, at(100 * DAY)).unwrap();
    assert_eq!(numbers(&mut engine), [3], "the newest stays");
    late(&mut engine, &mut probe, 100 * DAY);
    assert_eq!(numbers(&mut engine), [3, 4]);
    engine.expire_now(Retention { hourly_us: None, ..keep }, at(1000 * DAY)).unwrap();
    assert_eq!(numbers(&mut engine), [3, 4], "kept for ever where it says so");
}

#[test]
fn a_full_store_keeps_the_episode_for_later() {
    let mut engine = in_memory();
    let mut probe = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let entries = probe.runs(&engine, CheckNo(1), 0..600);
    let job = probe.job(600, entries);
    take(&mut engine, job);
    engine.store().connection().execute("UPDATE lease SET owner = 99", []).unwrap();
    assert!(engine.settle(at(640), false).is_err());
    assert!(!engine.settle_due(at(641)), "it is not tried at once again");
    engine.store().connection().execute("UPDATE lease SET owner = 1", []).unwrap();
    assert!(engine.settle_due(at(643)));
    assert_eq!(engine.settle(at(643), false).unwrap(), 1);
    assert_eq!(amendments(&mut engine).len(), 1);
}

#[test]
fn a_long_derivation_goes_on_in_pieces_and_what_comes_late_meanwhile_is_of_the_next() {
    const DAYS_20: i64 = 20 * 24 * HOUR;
    /// Two agents of which one was cut off for 20 days and tells so; the site was down when it was back.
    fn cut_off(dir: &std::path::Path) -> (Engine, Probe) {
        let mut engine = on_disk(dir);
        let mut probe = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
        engine.apply(vec![definition("shop")], &options(), START).unwrap();
        in_time(&mut engine, &mut probe, CheckNo(1), 0..CUT);
        let slots = (DAYS_20 - CUT) / STEP;
        let entries = probe.entries(&engine, vec![missed(CheckNo(1), CUT, slots.unsigned_abs())]);
        let job = probe.job(DAYS_20, entries);
        take(&mut engine, job);
        (engine, probe)
    }
    /// A record of a slot within, which comes in a second later: down, where the other said that nothing was run.
    fn one_more(engine: &mut Engine, probe: &mut Probe) {
        let records = [100, 101].map(|slot| result(CheckNo(1), 5 * 24 * HOUR + slot * STEP, ProbeState::Down)).to_vec();
        let entries = probe.entries(engine, records);
        let job = probe.job(DAYS_20 + 61, entries);
        take(engine, job);
    }
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (mut whole, mut probe) = cut_off(dirs[0].path());
    assert_eq!(whole.settle(at(DAYS_20 + 60), false).unwrap(), 1);
    one_more(&mut whole, &mut probe);
    assert_eq!(whole.settle(at(DAYS_20 + 600), false).unwrap(), 1);
    let expected = amendments(&mut whole);
    assert_eq!(expected.len(), 2);

    let begun = |dir: &std::path::Path| {
        let (mut engine, mut probe) = cut_off(dir);
        assert_eq!(engine.settle_within(at(DAYS_20 + 60), false, 0).unwrap(), 0, "one piece of several");
        assert!(engine.settle_due(at(DAYS_20 + 60)), "it goes on at once");
        assert_eq!(open_rows(&mut engine), 1);
        one_more(&mut engine, &mut probe);
        engine
    };
    let mut engine = begun(dirs[1].path());
    let mut turns = 1;
    while engine.settle_within(at(DAYS_20 + 61), false, 0).unwrap() == 0 {
        turns += 1;
        assert!(turns < 1000);
    }
    assert!(turns >= 2, "{turns}");
    assert_eq!(amendments(&mut engine), expected[..1], "as if it had been derived at once");
    assert_eq!(open_rows(&mut engine), 1, "the next one's episode survives a kill");
    drop(engine);
    let mut engine = on_disk(dirs[1].path());
    assert_eq!(engine.settle(at(DAYS_20 + 700), true).unwrap(), 1);
    let told = amendments(&mut engine);
    assert_eq!((told[1].2.late[0].records, &told[1].2.changes), (2, &expected[1].2.changes));
    assert_eq!(open_rows(&mut engine), 0);

    // A kill in the middle of it: both come back as one.
    drop(begun(dirs[2].path()));
    let mut engine = on_disk(dirs[2].path());
    assert_eq!(engine.settle(at(DAYS_20 + 700), true).unwrap(), 1);
    let told = amendments(&mut engine);
    assert_eq!((told[0].2.late[0].records, told[0].2.after.down_us), (3, expected[1].2.after.down_us));
    assert_eq!(open_rows(&mut engine), 0);
}

/// An event that an agent was given on its own machine.
fn act(probe: &Probe, number: u64, second: i64, change: Change) -> ControlEvent {
    let id = EventId { author: format!("agent:{}", probe.name), number };
    ControlEvent { id, at: at(second), scope: Scope::Agent(probe.agent), change }
}

#[test]
fn a_weight_given_while_cut_off_amends_what_was_told_without_it() {
    let amended = |killed: bool| {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = on_disk(dir.path());
        let mut sees = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
        let mut blind = Probe::enrol(&mut engine, "us-east", "us-east-1");
        engine.apply(vec![definition("shop")], &options(), START).unwrap();
        let check = CheckNo(1);
        for second in (0..3 * HOUR).step_by(STEP as usize) {
            let seen = sees.runs(&engine, check, second..second + 1);
            let up = blind.entries(&engine, vec![result(check, second, ProbeState::Up)]);
            for (probe, entries) in [(&sees, seen), (&blind, up)] {
                take(&mut engine, probe.job(second + STEP, entries));
            }
        }
        let prompt = act(&blind, 1, 3 * HOUR - 50, Change::Weight(Weight::parse("1").unwrap()));
        engine.take_agent_events(blind.agent, vec![prompt], at(3 * HOUR)).unwrap();
        assert_eq!((engine.next_settle(), open_rows(&mut engine)), (None, 0), "within a minute nothing is late");
        // Since second 1000 nobody was to listen to this agent; the collector hears of it two hours later.
        let late = act(&blind, 2, 1000, Change::Weight(Weight::parse("0").unwrap()));
        engine.take_agent_events(blind.agent, vec![late.clone()], at(3 * HOUR)).unwrap();
        assert_eq!(open_rows(&mut engine), 1);
        if killed {
            drop(engine);
            engine = on_disk(dir.path());
        }
        assert_eq!(engine.settle(at(3 * HOUR + 400), killed).unwrap(), 1);
        assert_eq!(open_rows(&mut engine), 0);
        engine.take_agent_events(blind.agent, vec![late], at(4 * HOUR)).unwrap();
        assert_eq!(engine.next_settle(), None, "what comes again is no late data");
        (amendments(&mut engine).remove(0).2, blind.agent)
    };
    let (amendment, blind) = amended(false);
    assert_eq!(amended(true).0, amendment);
    assert_eq!((amendment.from_us, amendment.to_us), (at(1000).0, at(3 * HOUR).0));
    let behind_us = (3 * HOUR - 1000) * SECOND;
    let told = at(1000).0;
    let late = LateAgent { agent: blind.0, records: 0, acts: 1, first_us: told, last_us: told, behind_us };
    assert_eq!(amendment.late, [late]);
    // Half of the votes were no majority; alone, the other agent's was.
    assert_eq!((amendment.before.down_us, amendment.before.regional_us), (0, 600 * SECOND));
    assert_eq!((amendment.after.down_us, amendment.after.regional_us), (600 * SECOND, 0));
    let [change] = &amendment.changes[..] else { panic!("{:?}", amendment.changes) };
    assert_eq!((change.before.verdict.as_str(), change.after.verdict.as_str()), ("regional", "down"));
    assert_eq!((change.from_us, change.to_us), (at(2 * HOUR).0, at(2 * HOUR + 600).0));
}

/// Found in review: until the last of an episode's events came in, all of them counted as not known, also those that had come in before.
#[test]
fn late_events_of_two_agents_are_each_known_from_when_they_came_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let mut sees = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
    let mut blind = Probe::enrol(&mut engine, "us-east", "us-east-1");
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let check = CheckNo(1);
    for second in (0..3 * HOUR).step_by(STEP as usize) {
        let down = sees.entries(&engine, vec![result(check, second, ProbeState::Down)]);
        let up = blind.entries(&engine, vec![result(check, second, ProbeState::Up)]);
        for (probe, entries) in [(&sees, down), (&blind, up)] {
            take(&mut engine, probe.job(second + STEP, entries));
        }
    }
    // Since second 1000 one of them weighs nothing, which is heard first, and the other twice as much, which is heard 20 s later.
    let weight = |text: &str| Change::Weight(Weight::parse(text).unwrap());
    let nothing = act(&blind, 1, 1000, weight("0"));
    engine.take_agent_events(blind.agent, vec![nothing], at(3 * HOUR)).unwrap();
    let twice = act(&sees, 1, 1000, weight("2"));
    engine.take_agent_events(sees.agent, vec![twice], at(3 * HOUR + 20)).unwrap();
    assert_eq!(engine.settle(at(3 * HOUR + 400), false).unwrap(), 1);
    let amendment = amendments(&mut engine).remove(0).2;
    assert_eq!((amendment.from_us, amendment.to_us), (at(1000).0, at(3 * HOUR + 20).0));
    // Half of the votes were no majority until the first came in; from then on it was told as down, also before the second came.
    let before = (amendment.before.regional_us, amendment.before.down_us);
    assert_eq!(before, ((3 * HOUR - 1000) * SECOND, 20 * SECOND));
    assert_eq!((amendment.after.regional_us, amendment.after.down_us), (0, (3 * HOUR + 20 - 1000) * SECOND));
    let [change] = &amendment.changes[..] else { panic!("{:?}", amendment.changes) };
    assert_eq!((change.from_us, change.to_us), (at(1000).0, at(3 * HOUR).0));
}

#[test]
fn a_suspension_and_the_backlog_of_one_absence_are_one_amendment_whatever_is_killed() {
    let amended = |kill_after: Option<usize>| {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = on_disk(dir.path());
        let mut probe = Probe::enrol(&mut engine, "eu-west", "eu-west-1");
        engine.apply(vec![definition("shop")], &options(), START).unwrap();
        in_time(&mut engine, &mut probe, CheckNo(1), 0..CUT);
        let until = at(2 * HOUR + 300);
        let pause = Change::Suspend { until, reason: "cable".into() };
        let events = vec![act(&probe, 1, 2 * HOUR - 600, pause)];
        engine.take_agent_events(probe.agent, events, at(BACK + 2)).unwrap();
        let kill = |engine: &mut Engine| {
            let old = std::mem::replace(engine, in_memory());
            drop(old);
            *engine = on_disk(dir.path());
        };
        if kill_after == Some(0) {
            kill(&mut engine);
        }
        for (index, job) in drain(&engine, &mut probe, CheckNo(1)).into_iter().enumerate() {
            take(&mut engine, job);
            if kill_after == Some(index + 1) {
                kill(&mut engine);
            }
        }
        assert_eq!(engine.settle(at(BACK + 400), kill_after.is_some()).unwrap(), 1, "killed after {kill_after:?}");
        amendments(&mut engine)
    };
    let never = amended(None);
    let [(_, _, amendment)] = &never[..] else { panic!("{never:?}") };
    assert_eq!((amendment.late[0].acts, amendment.late[0].records), (1, 12 * 120 - 1));
    // The site was down for ten minutes, of which the agent was to be silent for the first five.
    assert_eq!((amendment.before.down_us, amendment.after.down_us), (0, 300 * SECOND));
    assert_eq!(amendment.after.unknown.suspended_us, 900 * SECOND);
    assert_eq!(amendment.before.unknown.suspended_us, 0);
    for kill_after in 0..=6 {
        assert_eq!(amended(Some(kill_after)), never, "killed after {kill_after}");
    }
}
