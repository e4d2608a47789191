//! From results to pages: random fleets (regions that are lost, flaps, backlogs that come late, suspensions, quorum policies, windows over a change of the clocks, silences,
//! parents that are down, people who act at any instant, policies that are mended, a collector that is away, a clock on its wall that is set) through votes, the
//! present, incidents and ladders, beside a naive version of all of it, second by second. A second of a fleet is a tick of its incidents.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sitepulse_model::control::Weight;
use sitepulse_model::escalation::EscalationPolicy;
use sitepulse_model::id::AgentNo;
use sitepulse_model::incident::machine::{Entry, Incident, Input, Output, Rules};
use sitepulse_model::incident::{
    CheckClass, Condition, HoldReason, IncidentKind, IncidentState, NoticeEvent, Severity,
};
use sitepulse_model::present::{Present, Witness};
use sitepulse_model::record::ProbeState;
use sitepulse_model::series::{Seen, Series};
use sitepulse_model::time::{SECOND_US, Span, UtcMicros};
use sitepulse_model::timeline::Raw;
use sitepulse_model::vote::{Standing, Verdict, Vote};

use super::naive::{Naive, Plan, Terms};
use super::{Act, Line, TICK_S, Watcher, act, instant, plan, policy, rarely, same, steps};
use crate::cases;
use crate::naive::{Records, Votes, inside};
use crate::series::Put;
use crate::world::{CHECK, END, Real, World, at, scaled, spans, world};

/// Ticks: 5 min.
const REOPEN_WINDOW: i64 = 10;

/// How the records of a world come in, and what people do.
#[derive(Debug, Clone)]
struct Fleet {
    world: World,
    /// Of each agent: from when to when it is cut off; what it measured meanwhile comes after.
    cut_off: Vec<Vec<(i64, i64)>>,
    /// Whatever is not fine comes late.
    backlog: bool,
    /// What comes in so long after its slot is late: no longer than it holds, so that some of it still holds.
    patience: i64,
    /// Policies, and which is in force from when.
    plans: Vec<Option<Plan>>,
    mends: Vec<(i64, usize)>,
    class: CheckClass,
    /// Silences, and a parent that is down: from, length. Windows are the world's.
    holds: Vec<(i64, i64, HoldReason)>,
    /// When, about which kind, what, and whether before the look of that second.
    acts: Vec<(i64, usize, Act, bool)>,
    /// The collector is away: from, length. What is sent meanwhile comes in after.
    away: Vec<(i64, i64)>,
    /// The clock on the collector's wall is set; what measures goes on.
    steps: Vec<(i64, i64)>,
}

fn fleet() -> impl Strategy<Value = Fleet> {
    let cut_off = vec((0..END, 1..50_i64).prop_map(|(from, length)| (from, from + length)), 0..3);
    let backlog = prop_oneof![5 => Just(false), 1 => Just(true)];
    let class = select(&[CheckClass::Critical, CheckClass::Standard, CheckClass::Low][..]);
    let acts = vec((0..END, 0..3_usize, act(), any::<bool>()), 0..12);
    let hold = (0..END, 1..40_i64, select(&[HoldReason::Silence, HoldReason::Parent][..]));
    let plans = (vec(plan(), 1..3), rarely(vec((0..END, 0..2_usize), 1..4)));
    let shell = (rarely(vec(hold, 1..3)), acts, rarely(vec((0..END, 1..40_i64), 1..3)), steps(END));
    (world(), vec(cut_off, 5), backlog, 1..20_i64, plans, class, shell).prop_map(
        |(world, cut_off, backlog, patience, (plans, mends), class, (holds, acts, away, steps))| Fleet {
            world,
            cut_off,
            backlog,
            patience,
            plans,
            mends,
            class,
            holds,
            acts,
            away,
            steps,
        },
    )
}

/// A record's last slot.
fn last(put: &Put) -> i64 {
    put.first + (put.step * (put.count - 1)) as i64
}

impl Fleet {
    /// What keeps pages still: a window before anything else.
    fn hold(&self, second: i64) -> Option<HoldReason> {
        if inside(&self.world.windows, second) {
            return Some(HoldReason::Maintenance);
        }
        let found = self.holds.iter().find(|(from, length, _)| (*from..from + length).contains(&second));
        found.map(|(.., reason)| *reason)
    }

    /// From when on its windows recur at another distance from midnight: the clocks were changed.
    fn clocks_changed(&self) -> Option<i64> {
        let windows = &self.world.windows;
        let apart = |pair: &[(i64, i64)]| pair[1].0 - pair[0].0;
        let day = windows.get(..2).map(apart).filter(|_| windows.len() > 2)?;
        windows.windows(2).find(|pair| apart(pair) != day).map(|pair| pair[1].0)
    }

    /// When a record comes in: at its last slot, when the agent is no more cut off, or late on purpose.
    fn arrival(&self, agent: usize, put: &Put) -> i64 {
        let last = last(put);
        if self.backlog && matches!(put.seen, Seen::State(state) if state != ProbeState::Up) {
            return last + self.world.hold(put.revision);
        }
        let over = self.cut_off[agent].iter().filter(|(from, to)| (*from..*to).contains(&last)).map(|(_, to)| *to);
        over.fold(last, i64::max)
    }
}

/// What an agent's records come to so far.
#[derive(Debug, Default)]
struct Desk {
    series: Series,
    records: Records,
    votes: Option<Votes>,
    late_upto: Option<i64>,
}

/// What a live voter says.
#[derive(Debug)]
struct Says {
    weight: Weight,
    vote: Vote,
    newest: Vote,
    slot: i64,
    /// Since when. How far back a vote reaches that was settled long ago is the present's choice: taken from there.
    since: i64,
}

fn worth(state: ProbeState) -> Option<Vote> {
    match state {
        ProbeState::Up => Some(Vote::Up),
        ProbeState::Degraded => Some(Vote::Degraded),
        ProbeState::Down => Some(Vote::Down),
        ProbeState::Unknown => None,
    }
}

/// What somebody who can be heard says now.
fn says(world: &World, number: usize, desk: &Desk, got: &Present, second: i64) -> Option<Says> {
    let votes = desk.votes.as_ref()?;
    let raw = world.raw(number, &desk.records, second);
    let vote = votes.at(second);
    let Standing::Live { weight, mut vote } = world.standing(number, raw, vote, second) else { return None };
    let Raw::State(state) = raw else { return None };
    let newest = worth(state)?;
    let (slot, _) = desk.records.range(..=second).next_back()?;
    let late = |slot: i64| desk.late_upto.is_some_and(|upto| slot <= upto);
    if late(*slot) {
        return None;
    }
    if vote > newest && desk.late_upto.is_some() {
        let as_bad = |seen: Seen| matches!(seen, Seen::State(state) if worth(state).is_some_and(|found| found >= vote));
        let live = desk.records.range(..=second).any(|(slot, obs)| as_bad(obs.seen) && !late(*slot));
        if !live {
            vote = newest;
        }
    }
    let voice = got.voices.iter().find(|voice| voice.agent == AgentNo(number as u32))?;
    Some(Says { weight, vote, newest, slot: *slot, since: voice.since.0 / SECOND_US })
}

/// What is bad, as the definitions say.
fn conditions(world: &World, said: &[Says], class: CheckClass, second: i64) -> [Condition; 3] {
    let verdict = |vote: fn(&Says) -> Vote| {
        let live: Vec<Standing> =
            said.iter().map(|says| Standing::Live { weight: says.weight, vote: vote(says) }).collect();
        world.answer(&live, second).verdict
    };
    let (confirmed, newest) = (verdict(|says| says.vote), verdict(|says| says.newest));
    // Those that are fine were heard since the last of the others found out, and the other way around.
    let (down, fine): (Vec<&Says>, Vec<&Says>) = said.iter().partition(|says| says.vote == Vote::Down);
    let heard = |those: &[&Says], others: &[&Says]| {
        let last = others.iter().map(|says| says.since).max().unwrap_or(i64::MIN);
        those.iter().all(|says| says.slot >= last)
    };
    let parted = heard(&fine, &down) && heard(&down, &fine);
    let worse = |verdict: Verdict, bad: Verdict| {
        let order = [Verdict::Degraded, Verdict::Regional, Verdict::Down];
        let place = |of: Verdict| order.iter().position(|one| *one == of);
        place(verdict) > place(bad)
    };
    KINDS.map(|(kind, bad)| {
        let (since, severity) = (UtcMicros(0), severity(class, kind));
        if confirmed == Verdict::Unknown {
            Condition::Unknown
        } else if confirmed == bad && !worse(newest, bad) && (kind != IncidentKind::Regional || parted) {
            Condition::Bad { since, severity }
        } else if confirmed == bad || newest == bad && !worse(confirmed, bad) {
            Condition::Suspect { since, severity }
        } else {
            Condition::Good
        }
    })
}

const KINDS: [(IncidentKind, Verdict); 3] = [
    (IncidentKind::Down, Verdict::Down),
    (IncidentKind::Regional, Verdict::Regional),
    (IncidentKind::Degraded, Verdict::Degraded),
];

fn severity(class: CheckClass, kind: IncidentKind) -> Severity {
    match (class, kind == IncidentKind::Down) {
        (CheckClass::Critical, true) => Severity::Critical,
        (CheckClass::Critical, false) | (CheckClass::Standard, true) => Severity::Major,
        (CheckClass::Standard, false) | (CheckClass::Low, true) => Severity::Minor,
        (CheckClass::Low, false) => Severity::Info,
    }
}

fn timeless(condition: Condition) -> Condition {
    let since = UtcMicros(0);
    match condition {
        Condition::Bad { severity, .. } => Condition::Bad { since, severity },
        Condition::Suspect { severity, .. } => Condition::Suspect { since, severity },
        Condition::Good | Condition::Unknown => condition,
    }
}

fn present(real: &Real, world: &World, desks: &[Desk], second: i64, life: Span) -> Present {
    let now = at(second);
    let witnesses = (0..).zip(desks).zip(&world.agents).filter_map(|((number, desk), one)| {
        let agent = AgentNo(number);
        let witness = Witness {
            agent,
            weight: real.log.weight_at(agent, CHECK, now),
            series: &desk.series,
            late_upto: desk.late_upto.map(at),
        };
        let assigned = spans(&one.assigned).iter().any(|span| span.contains(now));
        (assigned && real.log.suspended_at(agent, CHECK, now).is_none()).then_some(witness)
    });
    Present::at(&real.view(life), witnesses, now)
}

fn run(fleet: &Fleet) -> BTreeSet<String> {
    let mut met = BTreeSet::new();
    let world = &fleet.world;
    // Windows hold pages; what is bad is bad.
    let calm = World { windows: Vec::new(), ..world.clone() };
    let real = world.real();
    let mut arrivals: BTreeMap<i64, Vec<(usize, Put)>> = BTreeMap::new();
    for (number, agent) in world.agents.iter().enumerate() {
        for put in &agent.puts {
            arrivals.entry(fleet.arrival(number, put)).or_default().push((number, *put));
        }
    }
    let mut desks: Vec<Desk> = world.agents.iter().map(|_| Desk::default()).collect();
    let policies: Vec<Option<EscalationPolicy>> = fleet.plans.iter().map(|plan| plan.as_ref().map(policy)).collect();
    let mended = !fleet.mends.is_empty();
    let mut lines: [(Line, Naive, Watcher); 3] = Default::default();
    let mut arrived = i64::MIN;
    let (mut wall, mut seen, mut which) = (0, 0, 0);
    let (mut was_away, mut held_before) = (false, None);
    for second in 0..END {
        wall += 1 + fleet.steps.iter().filter(|(at, _)| *at == second).map(|(_, by)| by).sum::<i64>();
        if let Some((_, plan)) = fleet.mends.iter().rfind(|(at, _)| *at == second) {
            which = plan % fleet.plans.len();
        }
        if fleet.away.iter().any(|(from, length)| (*from..from + length).contains(&second)) {
            was_away = true;
            continue;
        }
        let reopen_window_us = REOPEN_WINDOW * TICK_S * SECOND_US;
        let rules = Rules { reopen_window_us, policy: policies[which].as_ref() };
        let terms = Terms { plan: fleet.plans[which].as_ref(), reopen_window: REOPEN_WINDOW };
        let mut changed = BTreeSet::new();
        for (_, puts) in arrivals.range(arrived.saturating_add(1)..=second) {
            for (number, put) in puts {
                let desk = &mut desks[*number];
                scaled(put).into_series(&mut desk.series);
                put.into_map(&mut desk.records);
                if matches!(put.seen, Seen::State(_))
                    && second - last(put) >= fleet.patience.min(world.hold(put.revision))
                {
                    desk.late_upto = desk.late_upto.max(Some(last(put)));
                }
                changed.insert(*number);
            }
        }
        arrived = second;
        for number in changed {
            desks[number].votes = Some(world.votes(&desks[number].records));
        }
        // While the check does not live nobody looks at a clock for it.
        let Some(life) = world.lives().into_iter().find(|life| life.contains(at(second))) else { continue };
        let now = instant(wall);
        let went_back = wall < seen;
        let went_ahead = !was_away && wall > seen + 1 && seen > 0;
        for (_, naive, _) in &mut lines {
            naive.pass(wall - seen);
        }
        seen = wall;
        let got = present(&real, world, &desks, second, life);
        let said: Vec<Says> =
            desks.iter().enumerate().filter_map(|(number, desk)| says(&calm, number, desk, &got, second)).collect();
        assert_eq!(got.voices.len(), said.len(), "at {second}");
        let got = got.conditions(fleet.class);
        let want = conditions(&calm, &said, fleet.class, second);
        let hold = fleet.hold(second);
        for (index, (line, naive, watcher)) in lines.iter_mut().enumerate() {
            assert_eq!((got[index].0, timeless(got[index].1)), (KINDS[index].0, want[index]), "at {second}");
            if second % 7 == 3 {
                line.restart();
            }
            let kind = KINDS[index].0;
            let mut act = |line: &mut Line, naive: &mut Naive, watcher: &mut Watcher, before: bool| {
                let held = line.incidents.last().is_some_and(|incident| incident.life.held.is_some());
                let theirs =
                    fleet.acts.iter().filter(|(at, of, _, first)| (*at, *of, *first) == (second, index, before));
                for (_, _, act, _) in theirs {
                    let due = |incident: &Incident| {
                        incident.life.state == IncidentState::Open
                            && incident.poll_timeout(&rules).is_some_and(|due| due <= now)
                    };
                    let at_once = *act == Act::Acknowledge && line.incidents.last().is_some_and(due);
                    met.extend(at_once.then(|| "taken at the instant of a step".to_string()));
                    let out = line.take(act.input(), &rules, now);
                    assert_eq!(out, naive.take(act.input(), &terms), "at {second}: {act:?}");
                    let out = out.unwrap_or_default();
                    watcher.watch(&out, held, mended);
                    note(&out, kind, &mut met);
                }
            };
            act(line, naive, watcher, true);
            let out = line.look(hold, got[index].1, &rules, now);
            assert_eq!(out, naive.look(hold, want[index], &terms), "at {second}");
            watcher.watch(&out, hold.is_some(), mended);
            act(line, naive, watcher, false);
            note(&out, kind, &mut met);
            let pages = out.iter().any(|output| matches!(output, Output::Page { .. }));
            met.extend((pages && was_away).then(|| "paged right after the collector was away".to_string()));
            let released = held_before.filter(|_| pages && out.contains(&Output::Entry(Entry::Released)));
            met.extend(released.map(|reason: HoldReason| format!("paged when {reason} ends")));
            let held = line.incidents.last().is_some_and(|incident| incident.life.held.is_some());
            let out = line.pass(&rules, now);
            assert_eq!(out, naive.take(Input::Time, &terms).unwrap(), "at {second}");
            watcher.watch(&out, held, mended);
            note(&out, kind, &mut met);
            same(line, naive);
            assert!(
                !fleet.backlog || line.incidents.iter().all(|incident| !incident.life.state.is_open()),
                "late data pages at {second}: {said:?} {desks:?}"
            );
        }
        let open = |index: usize| {
            lines[index].0.incidents.last().is_some_and(|incident| incident.life.state.is_open() && incident.life.bad)
        };
        let late = desks.iter().any(|desk| desk.late_upto.is_some());
        met.extend((late && open(0)).then(|| "down, and something came late".to_string()));
        met.extend(fleet.backlog.then(|| "a backlog".to_string()));
        let anything_open = (0..3).any(open);
        met.extend((went_back && anything_open).then(|| "a clock set back while open".to_string()));
        met.extend((went_ahead && anything_open).then(|| "a clock set ahead while open".to_string()));
        let clocks_changed = fleet.clocks_changed().is_some_and(|from| second >= from);
        let in_window = hold == Some(HoldReason::Maintenance) && anything_open;
        met.extend((in_window && clocks_changed).then(|| "bad in a window after the clocks changed".to_string()));
        let cut_off = fleet.cut_off.iter().take(desks.len()).flatten().any(|(from, to)| (*from..*to).contains(&second));
        met.extend((cut_off && anything_open).then(|| "bad while an agent is cut off".to_string()));
        (was_away, held_before) = (false, hold);
        met.extend(hold.filter(|_| anything_open).map(|reason| format!("bad in {reason}")));
    }
    met
}

fn note(out: &[Output], kind: IncidentKind, met: &mut BTreeSet<String>) {
    for output in out {
        let what = match output {
            Output::Page { event: NoticeEvent::Opened, .. } => "paged",
            Output::Page { .. } => "escalated",
            Output::Tell { event: NoticeEvent::Resolved, .. } => "resolved",
            Output::Tell { event: NoticeEvent::Acknowledged, .. } => "taken",
            Output::Entry(Entry::Reopened { by: Some(_) }) => "opened again by hand",
            Output::Entry(Entry::Reopened { by: None }) => "opened again",
            Output::Entry(Entry::Flapping) => "flapping",
            Output::Entry(Entry::Held { .. }) => "held",
            Output::Gone => "gone",
            Output::Tell { .. } | Output::Entry(_) => continue,
        };
        met.insert(format!("{kind} {what}"));
    }
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn from_results_to_pages(fleet in fleet()) {
        run(&fleet);
    }
}

/// What a generator never meets, no property over it can hold. Of 1,500 fleets, always the same, some meet each of these.
#[test]
fn fleets_are_rich() {
    let mut met: BTreeMap<String, u32> = BTreeMap::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..1_500 {
        for what in run(&fleet().new_tree(&mut runner).unwrap().current()) {
            *met.entry(what).or_default() += 1;
        }
    }
    let kinds =
        ["paged", "escalated", "taken", "resolved", "held", "gone", "flapping", "opened again", "opened again by hand"];
    let kinds = kinds.iter().flat_map(|what| KINDS.map(|(kind, _)| format!("{kind} {what}")));
    let holds =
        HoldReason::ALL.iter().flat_map(|reason| [format!("bad in {reason}"), format!("paged when {reason} ends")]);
    let others = [
        "a backlog",
        "down, and something came late",
        "bad while an agent is cut off",
        "bad in a window after the clocks changed",
        "taken at the instant of a step",
        "paged right after the collector was away",
        "a clock set back while open",
        "a clock set ahead while open",
    ];
    let wanted = kinds.chain(holds).chain(others.map(str::to_string));
    let rare: Vec<String> = wanted.filter(|what| met.get(what).is_none_or(|count| *count < 2)).collect();
    assert!(rare.is_empty(), "{rare:?} {met:#?}");
}
