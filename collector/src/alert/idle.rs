//! Whether what the present says is nothing new to an incident: then it need not be asked. A thousand incidents that are open are told so every second.

use sitepulse_model::incident::machine::Incident;
use sitepulse_model::incident::{Condition, HoldReason, IncidentState};

/// Whether neither the condition nor the hold changes an incident. Its timers are another matter.
pub(super) fn is_idle(incident: &Incident, condition: Condition, hold: Option<HoldReason>) -> bool {
    let life = &incident.life;
    if life.held.map(|(reason, _)| reason) != hold {
        return false;
    }
    match (life.state, condition) {
        (IncidentState::Suspected, Condition::Suspect { since, severity }) => {
            (since, severity) == (life.since, life.severity)
        }
        (IncidentState::Suspected, Condition::Bad { .. } | Condition::Good | Condition::Unknown) => false,
        (IncidentState::Open | IncidentState::Acknowledged, Condition::Bad { severity, .. }) => {
            life.bad && severity <= life.severity
        }
        (IncidentState::Open | IncidentState::Acknowledged | IncidentState::Resolved, Condition::Good) => !life.bad,
        (IncidentState::Resolved, Condition::Bad { .. } | Condition::Suspect { .. }) => life.is_dismissed(),
        (IncidentState::Open | IncidentState::Acknowledged, Condition::Suspect { .. } | Condition::Unknown)
        | (IncidentState::Resolved, Condition::Unknown) => true,
    }
}

#[cfg(test)]
mod tests {
    use sitepulse_model::escalation::{EscalationPolicy, Level};
    use sitepulse_model::id::CheckNo;
    use sitepulse_model::incident::machine::{Input, REOPEN_WINDOW_US, Rules};
    use sitepulse_model::incident::{IncidentId, IncidentKind, Severity, Subject};
    use sitepulse_model::time::UtcMicros;

    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A plain generator: the same numbers each run.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % n
        }
    }

    fn policy() -> EscalationPolicy {
        let level = |after: &str| Level { after: after.into(), notify: vec!["ops".into()], at_least: None };
        let levels = vec![level("0s"), level("10m")];
        EscalationPolicy { id: "p".into(), default: true, levels, repeat: 2, ack_pause: "60m".into() }
    }

    fn say(dice: &mut Dice, now: UtcMicros) -> (Condition, Option<HoldReason>) {
        let severity = Severity::ALL[dice.below(4) as usize];
        let since = now.plus_us(-(dice.below(3).cast_signed()) * SECOND);
        let condition = match dice.below(5) {
            0 | 1 => Condition::Bad { since, severity },
            2 => Condition::Suspect { since, severity },
            3 => Condition::Good,
            _ => Condition::Unknown,
        };
        let hold = (dice.below(5) == 0).then_some(HoldReason::ALL[dice.below(3) as usize]);
        (condition, hold)
    }

    #[test]
    fn who_is_not_asked_would_have_said_nothing() {
        let policy = policy();
        let rules = Rules { reopen_window_us: REOPEN_WINDOW_US, policy: Some(&policy) };
        let mut skipped = 0;
        for seed in 0..1_000 {
            let mut dice = Dice(seed);
            let mut now = UtcMicros(1_000 * SECOND);
            let (id, subject) = (IncidentId("i".into()), Subject::Check(CheckNo(1)));
            let mut incident =
                Incident::suspected(id, subject, IncidentKind::Down, Severity::Minor, now, Vec::new(), now);
            for _ in 0..60 {
                now = now.plus_us(dice.below(400).cast_signed() * SECOND);
                // What time alone does is done by the timers.
                incident.handle(Input::Time, &rules, now).unwrap();
                let (condition, hold) = say(&mut dice, now);
                if is_idle(&incident, condition, hold) && incident.concerns(&rules, now) {
                    skipped += 1;
                    let mut asked = incident.clone();
                    for input in [Input::Hold(hold), Input::Condition(condition)] {
                        assert_eq!(asked.handle(input, &rules, now).unwrap(), [], "seed {seed}: {condition:?}");
                    }
                    assert_eq!(asked, incident, "seed {seed}: {condition:?}");
                    continue;
                }
                let mut gone = false;
                for input in [Input::Hold(hold), Input::Condition(condition)] {
                    let out = incident.handle(input, &rules, now).unwrap();
                    gone |= out.contains(&sitepulse_model::incident::machine::Output::Gone);
                }
                if gone {
                    break;
                }
                match dice.below(8) {
                    0 => drop(incident.handle(Input::Acknowledge { by: "ana" }, &rules, now)),
                    1 => drop(incident.handle(Input::Resolve { by: "ana" }, &rules, now)),
                    _ => {}
                }
            }
        }
        assert!(skipped > 1_000, "{skipped}");
    }
}
