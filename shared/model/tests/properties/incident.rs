//! Incidents and escalations beside a naive model, over random timelines: flaps, people who act at any instant, holds, policies that are mended, clocks that step,
//! a collector that is away or restarted.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sitepulse_model::escalation::{EscalationPolicy, Level};
use sitepulse_model::id::CheckNo;
use sitepulse_model::incident::machine::{Entry, Incident, Input, Output, Refusal, Rules};
use sitepulse_model::incident::{
    Condition, HoldReason, IncidentId, IncidentKind, IncidentState, NoticeEvent, Severity, Subject,
};
use sitepulse_model::time::{SECOND_US, UtcMicros};

use crate::cases;
use naive::{Naive, Plan, Terms};

mod fleet;
mod naive;

/// A tick, in seconds.
const TICK_S: i64 = 30;
/// A timeline, in ticks: 80 min.
const END: i64 = 160;
/// Ticks in a year.
const YEAR: i64 = 365 * 2880;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Acknowledge,
    Resolve,
    Reopen,
}

#[derive(Debug, Clone)]
struct Timeline {
    /// What the present says, for so many ticks.
    evidence: Vec<(Condition, i64)>,
    /// From, length.
    holds: Vec<(i64, i64, HoldReason)>,
    /// When, what, and whether before the look of that tick.
    acts: Vec<(i64, Act, bool)>,
    /// Policies, and which is in force from when.
    plans: Vec<Option<Plan>>,
    mends: Vec<(i64, usize)>,
    /// The clock on the wall is moved by so many ticks.
    steps: Vec<(i64, i64)>,
    /// The collector is away: from, length.
    away: Vec<(i64, i64)>,
    reopen_window: i64,
}

fn severity() -> impl Strategy<Value = Severity> {
    select(&[Severity::Minor, Severity::Major, Severity::Major, Severity::Critical][..])
}

fn condition() -> impl Strategy<Value = Condition> {
    let since = UtcMicros(0);
    prop_oneof![
        5 => severity().prop_map(move |severity| Condition::Bad { since, severity }),
        2 => severity().prop_map(move |severity| Condition::Suspect { since, severity }),
        5 => Just(Condition::Good),
        1 => Just(Condition::Unknown),
    ]
}

fn plan() -> impl Strategy<Value = Option<Plan>> {
    let level = (1..25_i64, prop::option::weighted(0.3, severity()));
    let plan = (any::<bool>(), vec(level, 0..5), 0..4_u32, 2..50_i64).prop_map(|(at_once, levels, repeat, pause)| {
        let mut after = if at_once { -levels.first().map_or(0, |level| level.0) } else { 0 };
        let levels = levels.into_iter().map(|(gap, least)| {
            after += gap;
            (after, least)
        });
        Some(Plan { levels: levels.collect(), repeat, pause })
    });
    prop_oneof![12 => plan, 1 => Just(None)]
}

fn act() -> impl Strategy<Value = Act> {
    select(&[Act::Acknowledge, Act::Acknowledge, Act::Acknowledge, Act::Resolve, Act::Reopen][..])
}

impl Act {
    fn input(self) -> Input<'static> {
        match self {
            Self::Acknowledge => Input::Acknowledge { by: "ana" },
            Self::Resolve => Input::Resolve { by: "ana" },
            Self::Reopen => Input::Reopen { by: "ana" },
        }
    }
}

/// Something that not every timeline has.
fn rarely<T: Clone + std::fmt::Debug + 'static>(
    strategy: impl Strategy<Value = Vec<T>> + 'static,
) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![2 => Just(Vec::new()), 1 => strategy]
}

/// By how much the clock on the wall is set, at ticks before `end`.
fn steps(end: i64) -> impl Strategy<Value = Vec<(i64, i64)>> {
    let step = prop_oneof![4 => -80..80_i64, 1 => Just(YEAR), 1 => Just(-YEAR)];
    rarely(vec((0..end, step), 1..4))
}

fn timeline() -> impl Strategy<Value = Timeline> {
    let length = prop_oneof![3 => 1..5_i64, 2 => 5..20_i64, 2 => 20..80_i64];
    let hold = (0..END, 1..60_i64, select(HoldReason::ALL));
    (
        vec((condition(), length), 1..30),
        vec(hold, 0..4),
        vec((0..END, act(), any::<bool>()), 0..8),
        vec(plan(), 1..3),
        rarely(vec((0..END, 0..2_usize), 1..4)),
        steps(END),
        rarely(vec((0..END, 1..80_i64), 1..3)),
        select(&[10, 10, 10, 1, 0, 90][..]),
    )
        .prop_map(|(evidence, holds, acts, plans, mends, steps, away, reopen_window)| Timeline {
            evidence,
            holds,
            acts,
            plans,
            mends,
            steps,
            away,
            reopen_window,
        })
}

fn policy(plan: &Plan) -> EscalationPolicy {
    let level = |(after, at_least): &(i64, Option<Severity>)| Level {
        after: format!("{}s", after * TICK_S),
        notify: vec!["ops".into()],
        at_least: *at_least,
    };
    EscalationPolicy {
        id: "p".into(),
        default: true,
        levels: plan.levels.iter().map(level).collect(),
        repeat: plan.repeat,
        ack_pause: format!("{}s", plan.pause * TICK_S),
    }
}

fn instant(wall: i64) -> UtcMicros {
    UtcMicros(1_795_341_600 * SECOND_US + wall * TICK_S * SECOND_US)
}

/// The incidents of one (subject, kind), as a shell has them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub(crate) incidents: Vec<Incident>,
}

impl Line {
    pub(crate) fn look(
        &mut self,
        hold: Option<HoldReason>,
        condition: Condition,
        rules: &Rules<'_>,
        now: UtcMicros,
    ) -> Vec<Output> {
        if !self.incidents.last().is_some_and(|last| last.concerns(rules, now)) {
            let (Condition::Bad { since, severity } | Condition::Suspect { since, severity }) = condition else {
                return Vec::new();
            };
            let edges = self.incidents.last().map(|last| last.life.edges.clone()).unwrap_or_default();
            let id = IncidentId(format!("{}", self.incidents.len()));
            let (subject, kind) = (Subject::Check(CheckNo(1)), IncidentKind::Down);
            self.incidents.push(Incident::suspected(id, subject, kind, severity, since, edges, now));
        }
        let incident = self.incidents.last_mut().unwrap();
        let mut out = incident.handle(Input::Hold(hold), rules, now).unwrap();
        out.extend(incident.handle(Input::Condition(condition), rules, now).unwrap());
        if out.contains(&Output::Gone) {
            self.incidents.pop();
        }
        out
    }

    pub(crate) fn take(&mut self, input: Input<'_>, rules: &Rules<'_>, now: UtcMicros) -> Result<Vec<Output>, Refusal> {
        self.incidents.last_mut().map_or(Ok(Vec::new()), |incident| incident.handle(input, rules, now))
    }

    /// Time has passed for all of them. Those before the last one are over, and only hear of the clock.
    fn pass(&mut self, rules: &Rules<'_>, now: UtcMicros) -> Vec<Output> {
        let out = self.incidents.iter_mut().map(|incident| incident.handle(Input::Time, rules, now).unwrap());
        out.collect::<Vec<_>>().pop().unwrap_or_default()
    }

    /// As it comes back from the store.
    fn restart(&mut self) {
        for incident in &mut self.incidents {
            let stored = serde_json::to_string(&incident.life).unwrap();
            incident.life = serde_json::from_str(&stored).unwrap();
        }
    }
}

/// What holds whatever happens, said without a model: watched from outside.
#[derive(Debug, Default)]
struct Watcher {
    step: u32,
    told: BTreeSet<(u32, u32)>,
    announced: bool,
    opened: bool,
    /// The furthest step since it opened, or opened again.
    furthest: Option<(u32, u32)>,
    resumed: bool,
}

impl Watcher {
    fn watch(&mut self, out: &[Output], held: bool, mended: bool) {
        let mut over = false;
        for output in out {
            match output {
                Output::Entry(Entry::Opened { .. }) => *self = Self { opened: true, ..Self::default() },
                Output::Entry(Entry::Reopened { .. }) => {
                    assert!(!over || !self.announced, "it was over and nobody says so: {out:?}");
                    over = false;
                    *self = Self { opened: true, step: self.step, ..Self::default() };
                }
                Output::Entry(Entry::AcknowledgementExpired) => {
                    self.opened = true;
                    self.resumed = true;
                    self.told.clear();
                }
                Output::Entry(Entry::Acknowledged { .. }) => self.opened = false,
                Output::Entry(Entry::Resolved { .. }) => {
                    self.opened = false;
                    over = true;
                }
                Output::Entry(
                    Entry::Severity { .. } | Entry::Flapping | Entry::Settled | Entry::Held { .. } | Entry::Released,
                )
                | Output::Gone => {}
                Output::Page { step, event, level, round } => {
                    assert_eq!(*step, self.step + 1, "steps ascend");
                    assert!(self.opened && !held, "a page while nobody is to be told: {out:?}");
                    assert!(self.told.insert((*round, *level)), "told twice: {out:?}");
                    assert_eq!(*event == NoticeEvent::Opened, !self.announced, "{out:?}");
                    // It resumes where it had got to; levels that it passed by may be told first.
                    if self.resumed && !mended {
                        let step = Some((*round, *level));
                        assert!(
                            self.furthest.is_none() || step <= self.furthest,
                            "it resumes further than {:?}: {out:?}",
                            self.furthest
                        );
                        self.resumed = step < self.furthest;
                    }
                    self.furthest = self.furthest.max(Some((*round, *level)));
                    (self.announced, self.step) = (true, *step);
                }
                Output::Tell { step, event } => {
                    assert_eq!(*step, self.step + 1, "steps ascend");
                    assert!(self.announced, "told the end of what it was not told of: {out:?}");
                    assert_eq!(*event == NoticeEvent::Resolved, over);
                    self.step = *step;
                    if over {
                        self.announced = false;
                    }
                }
            }
        }
        assert!(!over || !self.announced, "it is over and nobody says so: {out:?}");
    }
}

/// What a timeline met.
type Met = BTreeSet<&'static str>;

fn run(timeline: &Timeline) -> Met {
    let (mut line, mut naive, mut watcher, mut met) =
        (Line::default(), Naive::default(), Watcher::default(), Met::new());
    let policies: Vec<Option<EscalationPolicy>> = timeline.plans.iter().map(|plan| plan.as_ref().map(policy)).collect();
    let evidence: Vec<Condition> = timeline
        .evidence
        .iter()
        .flat_map(|(condition, ticks)| std::iter::repeat_n(*condition, *ticks as usize))
        .collect();
    let mended = !timeline.mends.is_empty();
    let (mut wall, mut seen, mut which) = (0, 0, 0);
    for tick in 0..END {
        wall += 1 + timeline.steps.iter().filter(|(at, _)| *at == tick).map(|(_, by)| by).sum::<i64>();
        if let Some((_, plan)) = timeline.mends.iter().rfind(|(at, _)| *at == tick) {
            which = plan % timeline.plans.len();
        }
        if timeline.away.iter().any(|(from, length)| (*from..from + length).contains(&tick)) {
            continue;
        }
        let now = instant(wall);
        let went_back = wall < seen;
        naive.pass(wall - seen);
        seen = wall;
        if tick % 7 == 3 {
            line.restart();
        }
        let rules =
            Rules { reopen_window_us: timeline.reopen_window * TICK_S * SECOND_US, policy: policies[which].as_ref() };
        let terms = Terms { plan: timeline.plans[which].as_ref(), reopen_window: timeline.reopen_window };
        if let Some(incident) = line.incidents.last()
            && !went_back
        {
            let mut other = incident.clone();
            let due = incident.poll_timeout(&rules).is_some_and(|due| due <= now);
            let out = other.handle(Input::Time, &rules, now).unwrap();
            assert_eq!(other.life != incident.life, due, "{tick}: time alone does {out:?}, {:?}", incident.life);
            assert!(due || out.is_empty());
            // Once it was done there is nothing to do until later: no busy loop.
            assert!(other.poll_timeout(&rules).is_none_or(|due| due > now), "{tick}: {:?}", other.life);
        }
        let hold = timeline
            .holds
            .iter()
            .find(|(from, length, _)| (*from..from + length).contains(&tick))
            .map(|(_, _, reason)| *reason);
        let condition = evidence[tick as usize % evidence.len()];
        let act = |line: &mut Line, naive: &mut Naive, before: bool| {
            let mut all = Vec::new();
            for (_, act, _) in timeline.acts.iter().filter(|(at, _, first)| *at == tick && *first == before) {
                let input = act.input();
                let untouched = line.clone();
                let got = line.take(input, &rules, now);
                assert_eq!(got, naive.take(input, &terms), "{tick}: {act:?}");
                match got {
                    Ok(out) => all.extend(out),
                    Err(_) => assert_eq!(untouched.incidents, line.incidents),
                }
            }
            all
        };
        let held_before = line.incidents.last().is_some_and(|incident| incident.life.held.is_some());
        let out = act(&mut line, &mut naive, true);
        watcher.watch(&out, held_before, mended);
        notes(&out, &line, &mut met);
        let out = line.look(hold, condition, &rules, now);
        assert_eq!(
            out,
            naive.look(hold, condition, &terms),
            "{tick}: {condition:?} {hold:?} {:?}",
            line.incidents.last()
        );
        watcher.watch(&out, hold.is_some(), mended);
        notes(&out, &line, &mut met);
        // One that is past is given no hold any more.
        let held = line.incidents.last().is_some_and(|incident| incident.life.held.is_some());
        let out = act(&mut line, &mut naive, false);
        watcher.watch(&out, held, mended);
        notes(&out, &line, &mut met);
        let out = line.pass(&rules, now);
        assert_eq!(out, naive.take(Input::Time, &terms).unwrap(), "{tick}");
        watcher.watch(&out, held, mended);
        notes(&out, &line, &mut met);
        same(&line, &naive);
        if went_back && line.incidents.last().is_some_and(|incident| incident.life.state == IncidentState::Open) {
            met.insert("a clock set back while open");
        }
    }
    met
}

fn same(line: &Line, naive: &Naive) {
    assert_eq!(line.incidents.len(), naive.episodes.len());
    for (incident, episode) in line.incidents.iter().zip(&naive.episodes) {
        let life = &incident.life;
        assert_eq!(
            (life.state, life.severity, life.step, life.reopened, life.flapping),
            (episode.state, episode.severity, episode.step, episode.reopened, episode.flapping)
        );
        assert_eq!((life.acknowledged_at.is_some(), life.acknowledged_by.is_some()), (episode.taken, episode.taken));
        assert_eq!(life.resolved_at.is_some(), episode.state == IncidentState::Resolved);
        assert_eq!(life.resolved_by.is_some(), episode.by_hand);
    }
}

fn notes(out: &[Output], line: &Line, met: &mut Met) {
    let life = line.incidents.last().map(|incident| &incident.life);
    let pages = out.iter().filter(|output| matches!(output, Output::Page { .. })).count();
    for output in out {
        met.insert(match output {
            Output::Entry(Entry::Opened { .. }) if line.incidents.len() > 1 => "a second incident",
            Output::Entry(Entry::Opened { .. }) => "opened",
            Output::Entry(Entry::Reopened { by: Some(_) }) => "opened again by hand",
            Output::Entry(Entry::Reopened { by: None }) => "opened again",
            Output::Entry(Entry::Severity { .. }) if pages > 0 => "a severity that rises tells",
            Output::Entry(Entry::Severity { .. }) => "a severity that rises",
            Output::Entry(Entry::Flapping) if out.iter().any(|o| matches!(o, Output::Entry(Entry::Opened { .. }))) => {
                "flapping when it opens"
            }
            Output::Entry(Entry::Flapping) if life.is_some_and(|life| !life.bad) => "flapping at a good edge",
            Output::Entry(Entry::Flapping) => "flapping",
            Output::Entry(Entry::Settled) if life.is_some_and(|life| life.state.is_open()) => "settled bad",
            Output::Entry(Entry::Settled) => "settled fine",
            Output::Entry(Entry::Held { .. }) => "held",
            Output::Entry(Entry::Released) if pages > 0 => "released with a page",
            Output::Entry(Entry::Released) => "released",
            Output::Entry(Entry::Acknowledged { .. }) if life.is_some_and(|life| life.held.is_some()) => {
                "taken while held"
            }
            Output::Entry(Entry::Acknowledged { .. }) if life.is_some_and(|life| life.flapping) => {
                "taken while flapping"
            }
            Output::Entry(Entry::Acknowledged { .. }) => "taken",
            Output::Entry(Entry::AcknowledgementExpired) if life.is_some_and(|life| life.held.is_some()) => {
                "a pause over while held"
            }
            Output::Entry(Entry::AcknowledgementExpired) if pages > 0 => "resumed",
            Output::Entry(Entry::AcknowledgementExpired) => "a pause over",
            Output::Entry(Entry::Resolved { by: Some(_) }) => "over by hand",
            Output::Entry(Entry::Resolved { by: None }) if life.is_some_and(|life| !life.announced) => "over, untold",
            Output::Entry(Entry::Resolved { by: None }) => "over",
            Output::Page { round, .. } if *round > 0 => "a later round",
            Output::Page { event: NoticeEvent::Escalated, .. } => "escalated",
            Output::Page { .. } => "paged",
            Output::Tell { .. } => "told",
            Output::Gone => "gone",
        });
    }
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn as_the_definitions_say(timeline in timeline()) {
        run(&timeline);
    }
}

/// What a generator never meets, no property over it can hold. Of a few hundred timelines, always the same, some meet each of these.
#[test]
fn timelines_are_rich() {
    let mut met: BTreeMap<&str, u32> = BTreeMap::new();
    let mut runner = TestRunner::deterministic();
    for _ in 0..400 {
        for what in run(&timeline().new_tree(&mut runner).unwrap().current()) {
            *met.entry(what).or_default() += 1;
        }
    }
    assert!(met.len() == 29 && met.values().all(|count| *count >= 4), "{} {met:#?}", met.len());
}
