use alloc::string::ToString as _;

use super::*;
use crate::escalation::Level;
use crate::id::CheckNo;

const S: i64 = 1_000_000;
const YEAR: i64 = 365 * 86_400;

fn level(after: &str, at_least: Option<Severity>) -> Level {
    Level { after: after.into(), notify: alloc::vec!["ops".into()], at_least }
}

/// At once and after 10 min; twice.
fn policy() -> EscalationPolicy {
    let levels = alloc::vec![level("0s", None), level("10m", None)];
    EscalationPolicy { id: "p".into(), default: true, levels, repeat: 1, ack_pause: "60m".into() }
}

fn at(seconds: i64) -> UtcMicros {
    UtcMicros(seconds * S)
}

const BAD: Input<'_> = Input::Condition(Condition::Bad { since: UtcMicros(0), severity: Severity::Major });
const WORSE: Input<'_> = Input::Condition(Condition::Bad { since: UtcMicros(0), severity: Severity::Critical });
const GOOD: Input<'_> = Input::Condition(Condition::Good);
const HOLD: Input<'_> = Input::Hold(Some(HoldReason::Maintenance));
const RELEASE: Input<'_> = Input::Hold(None);
const ACK: Input<'_> = Input::Acknowledge { by: "ana" };
const RESOLVE: Input<'_> = Input::Resolve { by: "ana" };
const REOPEN: Input<'_> = Input::Reopen { by: "ana" };

/// An incident and what it is judged by.
struct Stage {
    incident: Incident,
    policy: Option<EscalationPolicy>,
}

impl Stage {
    fn new(policy: EscalationPolicy) -> Self {
        let (id, subject) = (IncidentId("i".into()), Subject::Check(CheckNo(1)));
        let incident = Incident::suspected(id, subject, IncidentKind::Down, Severity::Major, at(0), Vec::new(), at(0));
        Self { incident, policy: Some(policy) }
    }

    fn rules(&self) -> Rules<'_> {
        Rules { reopen_window_us: REOPEN_WINDOW_US, policy: self.policy.as_ref() }
    }

    fn all(&mut self, seconds: i64, input: Input<'_>) -> Vec<Output> {
        let mut incident = self.incident.clone();
        let out = incident.handle(input, &self.rules(), at(seconds)).unwrap();
        self.incident = incident;
        out
    }

    /// The messages that go out: `opened 0.1` (round and level), `resolved`.
    fn go(&mut self, seconds: i64, input: Input<'_>) -> String {
        let told = self.all(seconds, input).into_iter().filter_map(|output| match output {
            Output::Page { event, level, round, .. } => Some(alloc::format!("{event} {round}.{level}")),
            Output::Tell { event, .. } => Some(event.to_string()),
            Output::Entry(_) | Output::Gone => None,
        });
        told.collect::<Vec<_>>().join(", ")
    }

    fn due(&self) -> Option<i64> {
        self.incident.poll_timeout(&self.rules()).map(|due| due.0 / S)
    }

    fn state(&self) -> IncidentState {
        self.incident.life.state
    }
}

#[test]
fn an_acknowledgement_pauses_the_ladder_at_the_level_it_had_reached() {
    let mut stage = Stage::new(policy());
    assert_eq!(stage.go(10, BAD), "opened 0.0");
    assert_eq!(stage.go(609, Input::Time), "");
    assert_eq!(stage.go(610, Input::Time), "escalated 0.1");
    assert_eq!(stage.go(700, ACK), "acknowledged");
    assert_eq!(stage.go(700 + 3_599, Input::Time), "");
    assert_eq!(stage.go(700 + 3_600, Input::Time), "escalated 0.1");
    assert_eq!(stage.go(5_000, GOOD), "resolved");
}

#[test]
fn a_suspicion_that_is_not_confirmed_is_gone() {
    assert_eq!(Stage::new(policy()).all(1, GOOD), [Output::Gone]);
}

#[test]
fn a_step_that_is_due_at_the_instant_of_an_acknowledgement_does_not_go_out() {
    let mut stage = Stage::new(policy());
    stage.go(0, BAD);
    assert_eq!(stage.go(600, ACK), "acknowledged");
    assert_eq!(stage.go(4_200, Input::Time), "escalated 0.0");
    assert_eq!(stage.go(4_800, Input::Time), "escalated 0.1");
}

#[test]
fn an_acknowledgement_as_the_one_before_is_over_counts() {
    let mut stage = Stage::new(policy());
    stage.go(0, BAD);
    stage.go(10, ACK);
    assert_eq!(stage.go(3_610, ACK), "acknowledged");
    assert_eq!(stage.due(), Some(7_210));
}

#[test]
fn a_pause_that_is_over_within_a_hold_is_told_when_the_hold_ends() {
    let mut stage = Stage::new(policy());
    stage.go(0, BAD);
    stage.go(50, ACK);
    stage.go(100, HOLD);
    assert_eq!(stage.go(3_650, BAD), "");
    assert_eq!(stage.state(), IncidentState::Open);
    stage.go(5_000, RELEASE);
    assert_eq!(stage.go(5_000, BAD), "escalated 0.0");
    assert_eq!(stage.due(), Some(5_600));
}

#[test]
fn a_hold_that_ends_as_all_is_fine_pages_nobody() {
    let mut stage = Stage::new(policy());
    stage.go(0, HOLD);
    stage.go(0, BAD);
    assert_eq!(stage.go(1_000, RELEASE), "");
    assert_eq!(stage.go(1_000, GOOD), "");
    assert_eq!(stage.state(), IncidentState::Resolved);
}

#[test]
fn what_opens_within_a_hold_says_so_in_its_history() {
    let mut stage = Stage::new(policy());
    stage.go(0, HOLD);
    let held = Entry::Held { reason: HoldReason::Maintenance };
    let opened = Entry::Opened { severity: Severity::Major };
    assert_eq!(stage.all(0, BAD), [Output::Entry(opened), Output::Entry(held)]);
}

#[test]
fn who_was_not_told_that_it_is_open_again_hears_of_no_acknowledgement_and_no_end() {
    let mut stage = Stage::new(policy());
    stage.go(0, BAD);
    assert_eq!(stage.go(10, GOOD), "resolved");
    stage.go(20, HOLD);
    assert_eq!(stage.go(20, BAD), "");
    assert_eq!(stage.go(30, ACK), "");
    assert_eq!(stage.go(40, GOOD), "");
}

#[test]
fn a_fifth_edge_that_is_good_flaps_and_keeps_it_open() {
    let mut stage = Stage::new(policy());
    stage.incident.life.edges = [900, 950].map(at).to_vec();
    stage.go(1_000, BAD);
    assert_eq!(stage.go(1_010, GOOD), "resolved");
    // The first two are of the incident before.
    stage.go(1_100, BAD);
    assert!(stage.incident.life.flapping);
    assert_eq!(stage.go(1_110, GOOD), "");
    let mut other = Stage::new(policy());
    other.incident.life.edges = [800, 850, 900].map(at).to_vec();
    other.go(1_000, BAD);
    assert!(!other.incident.life.flapping);
    assert_eq!(other.go(1_010, GOOD), "");
    assert!(other.incident.life.flapping && other.state() == IncidentState::Open);
}

#[test]
fn flapping_pages_once_and_ends_when_it_settles() {
    let mut stage = Stage::new(policy());
    let mut told = Vec::new();
    for edge in 0..20 {
        let message = stage.go(30 * edge, if edge % 2 == 0 { BAD } else { GOOD });
        told.extend((!message.is_empty()).then_some((edge, message)));
    }
    let told: Vec<(i64, &str)> = told.iter().map(|(edge, message)| (*edge, message.as_str())).collect();
    assert_eq!(told, [(0, "opened 0.0"), (1, "resolved"), (2, "opened 0.0"), (3, "resolved"), (4, "opened 0.0")]);
    assert_eq!(stage.go(719, ACK), "acknowledged");
    // The fifth edge from the end leaves the window: 15 x 30 s and 30 min.
    assert_eq!(stage.due(), Some(2_250));
    assert_eq!(stage.go(2_249, GOOD), "");
    assert_eq!(stage.go(2_250, Input::Time), "resolved");
}

#[test]
fn one_that_is_opened_again_by_hand_while_all_is_fine_stays_until_it_was_bad_once() {
    let mut stage = Stage::new(policy());
    stage.go(0, BAD);
    stage.go(10, GOOD);
    assert_eq!(stage.go(20, REOPEN), "opened 0.0");
    assert_eq!(stage.go(21, GOOD), "");
    assert_eq!(stage.go(22, BAD), "");
    assert_eq!(stage.go(23, GOOD), "resolved");
}

#[test]
fn one_that_is_resolved_by_hand_while_it_is_bad_stays_so_until_it_was_fine_once() {
    let mut stage = Stage::new(policy());
    stage.go(0, BAD);
    assert_eq!(stage.go(10, RESOLVE), "resolved");
    assert_eq!(stage.go(11, BAD), "");
    assert!(stage.incident.concerns(&stage.rules(), at(86_400)));
    stage.go(12, GOOD);
    assert_eq!(stage.go(13, BAD), "opened 0.0");
}

#[test]
fn edges_of_long_ago_make_nothing_flap_that_is_opened_again_by_hand() {
    let mut stage = Stage::new(policy());
    for edge in 0..4 {
        stage.go(30 * edge, if edge % 2 == 0 { BAD } else { GOOD });
    }
    stage.incident.life.edges.insert(0, at(0));
    assert_eq!(stage.go(3_000, REOPEN), "opened 0.0");
    assert!(!stage.incident.life.flapping);
    assert_eq!(stage.state(), IncidentState::Open);
}

#[test]
fn of_an_overdue_ladder_each_level_is_told_once() {
    let mut stage = Stage::new(EscalationPolicy { repeat: 100, ..policy() });
    stage.go(0, BAD);
    // The second level of the first round, and both of a hundred rounds after it.
    assert_eq!(stage.go(YEAR, Input::Time), "escalated 100.0, escalated 100.1");
    assert_eq!(stage.due(), None);
    let mut late = Stage::new(policy());
    let policy = late.policy.take();
    assert_eq!(late.go(0, BAD), "");
    late.policy = policy;
    assert_eq!(late.go(700, Input::Time), "opened 0.0, escalated 0.1");
    assert_eq!(late.due(), Some(1_200), "the next round keeps its time");
    assert_eq!(late.go(1_200, Input::Time), "escalated 1.0");
}

#[test]
fn a_clock_that_is_set_back_by_years_leaves_nothing_stuck() {
    let mut stage = Stage::new(policy());
    stage.go(YEAR, BAD);
    assert_eq!(stage.go(0, Input::Time), "");
    assert_eq!(stage.due(), Some(600));
    assert_eq!(stage.go(600, Input::Time), "escalated 0.1");

    let mut taken = Stage::new(policy());
    taken.go(YEAR, BAD);
    taken.go(YEAR + 10, ACK);
    taken.go(0, Input::Time);
    assert_eq!(taken.due(), Some(3_600));

    let mut flapping = Stage::new(policy());
    for edge in 0..6 {
        flapping.go(YEAR + 30 * edge, if edge % 2 == 0 { BAD } else { GOOD });
    }
    flapping.go(0, GOOD);
    assert!(flapping.incident.life.flapping);
    assert_eq!(flapping.go(1_800, GOOD), "resolved");
    assert!(!flapping.incident.concerns(&flapping.rules(), at(2_101)));
}

#[test]
fn a_policy_that_is_gone_while_it_is_acknowledged_makes_no_busy_loop() {
    let mut stage = Stage::new(policy());
    stage.go(0, BAD);
    stage.go(10, ACK);
    let policy = stage.policy.take();
    assert_eq!(stage.due(), None);
    assert_eq!(stage.go(10_000, Input::Time), "");
    stage.policy = policy;
    assert_eq!(stage.due(), Some(3_610));
    assert_eq!(stage.go(10_001, Input::Time), "escalated 0.0");
}

#[test]
fn fewer_levels_than_it_had_reached_go_on_with_the_next_round() {
    let mut stage = Stage::new(policy());
    stage.go(0, BAD);
    stage.go(600, Input::Time);
    stage.policy = Some(EscalationPolicy { levels: alloc::vec![level("0s", None)], ..policy() });
    // One level alone: rounds are 5 min apart.
    assert_eq!(stage.go(601, Input::Time), "escalated 1.0");
    stage.policy = Some(EscalationPolicy { levels: Vec::new(), ..policy() });
    assert_eq!(stage.due(), None);
}

#[test]
fn more_rounds_after_the_last_one_go_on() {
    let mut stage = Stage::new(EscalationPolicy { repeat: 0, ..policy() });
    stage.go(0, BAD);
    stage.go(600, Input::Time);
    assert_eq!(stage.due(), None);
    stage.policy = Some(policy());
    assert_eq!(stage.due(), Some(1_200));
    assert_eq!(stage.go(1_200, Input::Time), "escalated 1.0");
}

#[test]
fn a_severity_that_rises_tells_the_levels_it_passed_by() {
    let levels = alloc::vec![level("0s", None), level("10m", Some(Severity::Critical)), level("20m", None)];
    let mut stage = Stage::new(EscalationPolicy { levels, repeat: 0, ..policy() });
    stage.go(0, BAD);
    assert_eq!(stage.go(600, Input::Time), "");
    assert_eq!(stage.go(1_200, Input::Time), "escalated 0.2");
    assert_eq!(stage.go(5_000, WORSE), "escalated 0.1");
    assert_eq!(stage.go(5_001, WORSE), "");
    assert_eq!(stage.due(), None);
}

#[test]
fn a_ladder_resumes_at_the_level_that_was_told_not_at_one_that_was_passed_by() {
    let levels = alloc::vec![level("0s", None), level("10m", Some(Severity::Critical))];
    let mut stage = Stage::new(EscalationPolicy { levels, repeat: 0, ..policy() });
    stage.go(0, BAD);
    stage.go(600, Input::Time);
    stage.go(700, ACK);
    assert_eq!(stage.go(4_300, Input::Time), "escalated 0.0");
}

#[test]
fn what_is_refused_changes_nothing() {
    let mut stage = Stage::new(policy());
    stage.go(0, BAD);
    stage.go(10, ACK);
    let before = stage.incident.clone();
    let mut after = before.clone();
    assert_eq!(after.handle(REOPEN, &stage.rules(), at(YEAR)), Err(Refusal::Open));
    assert_eq!(after, before);
}
