//! `ControlLog` against the definition: at an instant, the last event of a scope decides.

use proptest::collection::vec;
use proptest::prelude::*;
use sitepulse_model::control::{Change, ControlEvent, ControlLog, EventId, Scope, Weight};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::time::{Span, UtcMicros};

use crate::cases;

const END: i64 = 60;

fn scope() -> impl Strategy<Value = Scope> {
    let agent = (0..2_u32).prop_map(AgentNo);
    let check = (0..2_u32).prop_map(CheckNo);
    prop_oneof![
        agent.clone().prop_map(Scope::Agent),
        (agent, check.clone()).prop_map(|(agent, check)| Scope::AgentCheck(agent, check)),
        check.prop_map(Scope::Check),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (0..END + 10).prop_map(|until| Change::Suspend { until: UtcMicros(until), reason: format!("until {until}") }),
        1 => Just(Change::Resume),
        2 => (0..3_u32).prop_map(|n| Change::Weight(Weight(n * 500))),
    ]
}

/// Events of two authors, each numbered by its author.
fn events() -> impl Strategy<Value = Vec<ControlEvent>> {
    vec((0..2_usize, 0..END, scope(), change()), 0..14).prop_map(|events| {
        let mut numbers = [0; 2];
        let event = |(author, at, scope, change): (usize, i64, Scope, Change)| {
            numbers[author] += 1;
            let id = EventId { author: ["agent:a", "collector:cli"][author].to_string(), number: numbers[author] };
            ControlEvent { id, at: UtcMicros(at), scope, change }
        };
        events.into_iter().map(event).collect()
    })
}

/// The events of a scope up to an instant, in order.
fn until(events: &[ControlEvent], scope: Scope, at: i64) -> Vec<&ControlEvent> {
    let mut events: Vec<_> = events.iter().filter(|event| event.scope == scope && event.at.0 <= at).collect();
    events.sort_by_key(|event| (event.at, &event.id));
    events
}

fn suspended(events: &[ControlEvent], scope: Scope, at: i64) -> bool {
    let events = until(events, scope, at);
    let last = events.iter().rev().find(|event| !matches!(event.change, Change::Weight(_)));
    matches!(last.map(|event| &event.change), Some(Change::Suspend { until, .. }) if at < until.0)
}

fn weight(events: &[ControlEvent], scope: Scope, at: i64) -> Option<Weight> {
    until(events, scope, at).iter().rev().find_map(|event| match event.change {
        Change::Weight(weight) => Some(weight),
        Change::Suspend { .. } | Change::Resume => None,
    })
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn folds_as_defined_in_any_order(
        (events, shuffled) in events().prop_flat_map(|events| {
            let twice: Vec<ControlEvent> = events.iter().chain(&events).cloned().collect();
            (Just(events), Just(twice).prop_shuffle())
        }),
    ) {
        let mut log = ControlLog::new();
        let new = shuffled.into_iter().filter(|event| log.insert(event.clone())).count();
        prop_assert_eq!(new, events.len());
        let mut sorted = events.clone();
        sorted.sort_by_key(|event| (event.at, event.id.clone()));
        prop_assert_eq!(log.events().collect::<Vec<_>>(), sorted);
        for (agent, check) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let (agent, check) = (AgentNo(agent), CheckNo(check));
            let scopes = [Scope::Agent(agent), Scope::AgentCheck(agent, check), Scope::Check(check)];
            let spans = log.suspended_spans(agent, check);
            prop_assert!(spans.windows(2).all(|pair| pair[0].to < pair[1].from));
            let steps = log.weights(agent, check);
            prop_assert_eq!(steps[0].0, UtcMicros::MIN);
            for at in -1..END + 15 {
                let expected = scopes.iter().any(|scope| suspended(&events, *scope, at));
                let instant = UtcMicros(at);
                prop_assert_eq!(spans.iter().any(|span: &Span| span.contains(instant)), expected, "at {}", at);
                let found = log.suspended_at(agent, check, instant);
                prop_assert_eq!(found.is_some(), expected);
                prop_assert!(found.is_none_or(|found| found.span.contains(instant)));
                let expected = weight(&events, scopes[1], at).or(weight(&events, scopes[0], at)).unwrap_or(Weight::ONE);
                prop_assert_eq!(log.weight_at(agent, check, instant), expected);
                let step = steps.iter().rev().find(|(from, _)| *from <= instant).unwrap();
                prop_assert_eq!(step.1, expected, "at {}", at);
            }
        }
    }
}
