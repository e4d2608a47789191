//! Several HTTP requests in order, with values captured from one and used in the next.
//!
//! Reading order: here a run goes from step to step; `step` is one step, prepared once; `template` puts variables in their places; `captured` takes
//! their values out of what is told; `jar` keeps the cookies of a run.
//!
//! Each step is an attempt of its own, judged by its own assertions with its own phases; the run's phases are their sums, its status and body
//! those of the last step, its certificate the first to expire. A step that fails ends the run; a step that degrades does not, and its
//! explanation is kept unless something fails later.
//!
//! Limits: the attempt's deadline over all steps; those of [`crate::http`] for each; captured values of 16 KiB.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sitepulse_daemon::clock::{self, Monotonic};
use sitepulse_model::check::FlowTarget;
use sitepulse_model::record::{Cause, FactKey, FactValue, Facts, Phase, Phases, ProbeState};

pub(crate) use self::captured::{redact, redact_facts};
use self::jar::Cookies;
use self::step::Step;
use crate::attempt::{Answer, Attempt, Failure};
use crate::http::Route;
use crate::judge::{self, Case};
use crate::run::{measured, timeout_text};
use crate::{BODY_BYTES_MAX, human_us};

mod captured;
mod jar;
mod step;
mod template;

/// How long before the run's deadline the step under way is given up, so that the explanation can name it.
const NAMING: Duration = Duration::from_millis(2);

/// Captured values, by name.
type Variables = BTreeMap<String, String>;

/// A `flow` check, prepared once and run many times.
#[derive(Debug)]
pub(crate) struct FlowProbe {
    steps: Vec<Step>,
    route: Route,
}

impl FlowProbe {
    pub(crate) fn new(target: &FlowTarget) -> Result<Self, String> {
        let mut known = Vec::new();
        let mut steps = Vec::new();
        for step in &target.steps {
            let prepared = Step::new(step, &known).map_err(|reason| format!("step {}: {reason}", step.name))?;
            known.extend(step.capture.keys().cloned());
            steps.push(prepared);
        }
        if steps.is_empty() {
            return Err("a flow needs a step".to_owned());
        }
        Ok(Self { steps, route: Route::new(target.http, target.family, None, &target.tls)? })
    }

    pub(crate) async fn talk(&self, attempt: &mut Attempt<'_>) -> Result<Answer, Failure> {
        let begun = clock::monotonic();
        let mut cookies = Cookies::default();
        let mut degraded = None;
        let mut answer = Answer::default();
        for (at, step) in self.steps.iter().enumerate() {
            // What the whole flow is judged by looks at the last answer.
            let wants_body = step.wants_body || (attempt.wants_body && at + 1 == self.steps.len());
            let named =
                |failure: Failure| Failure { detail: format!("step {}: {}", step.name, failure.detail), ..failure };
            let mut running = Running::new(attempt, step, wants_body);
            let outcome = running.go(&self.route, &mut cookies).await.map_err(named)?;
            drop(running);
            answer = outcome.answer;
            if degraded.is_none()
                && let Some(text) = outcome.degraded
            {
                degraded = Some((format!("step {}: {text}", step.name), attempt.evidence.clone()));
            }
        }
        let Some((detail, evidence)) = degraded else { return Ok(answer) };
        let mut phases = attempt.phases;
        phases.total = Some(clock::monotonic().us_since(begun));
        let facts = Arc::new(std::mem::take(&mut attempt.facts));
        let case = Case {
            expect: attempt.expect.into(),
            facts: facts.clone(),
            answer,
            phases,
            now: clock::now(),
            thresholds: None,
        };
        let bench = &attempt.tools.bench;
        let whole = bench.judge(case, judge::until(attempt.deadline), attempt.wants_body, Case::evaluate).await;
        let whole = whole.map(|(outcome, case)| (outcome.state, case.answer));
        attempt.facts = Arc::unwrap_or_clone(facts);
        let (state, answer) = whole.map_err(|unjudged| unjudged.failure(|| panicked(&attempt.host)))?;
        // What fails outranks what degrades.
        if state == ProbeState::Down {
            Ok(answer)
        } else {
            attempt.evidence = evidence;
            Err(Failure::new(Cause::SoftAssertion, Phase::Total, detail))
        }
    }
}

/// What looks into the answer of `host` panicked.
fn panicked(host: &str) -> Failure {
    let text = format!("agent: the prober failed on what {host} sent; please report it");
    Failure::new(Cause::AgentFault, Phase::Total, text)
}

/// What a step that did not fail came to.
struct Outcome {
    answer: Answer,
    /// Why it is not quite good.
    degraded: Option<String>,
}

/// A step under way. What it measured goes to the run when it ends, however it ends.
struct Running<'r, 'a, 's> {
    run: &'r mut Attempt<'a>,
    step: &'s Step,
    attempt: Attempt<'s>,
    /// The step for people, once it has an answer.
    line: Option<String>,
}

impl<'r, 'a: 's, 's> Running<'r, 'a, 's> {
    fn new(run: &'r mut Attempt<'a>, step: &'s Step, wants_body: bool) -> Self {
        let mut attempt = Attempt::new(run.tools, &step.expect, wants_body, run.deadline);
        attempt.note_all = run.note_all;
        attempt.secrets.clone_from(&run.secrets);
        attempt.captured = std::mem::take(&mut run.captured);
        Self { run, step, attempt, line: None }
    }

    async fn go(&mut self, route: &Route, cookies: &mut Cookies) -> Result<Outcome, Failure> {
        let begun = clock::monotonic();
        let left = self.run.deadline.since(begun).saturating_sub(NAMING);
        let answered = tokio::time::timeout(left, self.step.ask(&mut self.attempt, route, cookies)).await;
        let Ok(answered) = answered else { return Err(self.out_of_time(left)) };
        let answer = answered?;
        self.attempt.end();
        let mut phases = self.attempt.phases;
        phases.total = Some(clock::monotonic().us_since(begun));
        self.line = Some(line(&self.step.name, &self.attempt.facts, phases));
        let facts = Arc::new(std::mem::take(&mut self.attempt.facts));
        let case = Case {
            expect: self.step.expect.clone(),
            facts: facts.clone(),
            answer,
            phases,
            now: clock::now(),
            thresholds: None,
        };
        // Within the run's deadline, as all of the step.
        let until = Monotonic(self.run.deadline.0.saturating_sub(NAMING.as_micros() as u64));
        let bench = &self.attempt.tools.bench;
        let judged = bench.judge(case, until, self.step.wants_body, self.step.judgement()).await;
        let judged = judged.map(|((outcome, found), case)| (outcome, found, case.answer));
        self.attempt.facts = Arc::unwrap_or_clone(facts);
        let (judged, found, answer) = judged.map_err(|unjudged| unjudged.failure(|| panicked(&self.attempt.host)))?;
        let broken = judged.broken.as_ref().and_then(|broken| self.step.expect.get(broken.index));
        let phase = broken.map_or(Phase::Total, |broken| measured(broken.phase("http"), &phases));
        self.attempt.evidence.is_about_tls = broken.is_some_and(|broken| broken.phase("http") == Phase::Tls);
        let explanation = judged.broken.map(|broken| match answer.truncated {
            true => format!("{} (body cut after {BODY_BYTES_MAX} bytes)", broken.explanation),
            false => broken.explanation,
        });
        if judged.state == ProbeState::Down {
            self.answered(answer);
            return Err(Failure::new(Cause::AssertionFailed, phase, explanation.unwrap_or_default()));
        }
        if let Err(failure) = self.step.keep(found, &phases, &mut self.attempt.captured) {
            self.answered(answer);
            return Err(failure);
        }
        if explanation.is_some() {
            self.answered(answer.clone());
        }
        Ok(Outcome { answer, degraded: explanation })
    }

    /// The answer explains why the step is not up.
    fn answered(&mut self, answer: Answer) {
        let body_bytes = self.attempt.facts.body_bytes;
        self.attempt.evidence.answered(answer, body_bytes);
    }

    fn out_of_time(&self, left: Duration) -> Failure {
        let attempt = &self.attempt;
        let left_us = u64::try_from(left.as_micros()).unwrap_or(u64::MAX).next_multiple_of(1_000);
        let phase = attempt.phase();
        Failure::new(Cause::Timeout, phase, timeout_text(phase, attempt, left_us))
    }
}

impl Drop for Running<'_, '_, '_> {
    fn drop(&mut self) {
        self.attempt.end();
        let Self { run, attempt, line, .. } = self;
        for phase in [Phase::Dns, Phase::Connect, Phase::Tls, Phase::Send, Phase::FirstByte, Phase::Transfer] {
            if let Some(us) = attempt.phases.get(phase) {
                run.phases.add(phase, us);
            }
        }
        run.address = attempt.address.or(run.address);
        run.host = std::mem::take(&mut attempt.host);
        run.captured = std::mem::take(&mut attempt.captured);
        run.evidence = std::mem::take(&mut attempt.evidence);
        let mut facts = std::mem::take(&mut attempt.facts);
        facts.certificate_expires = match (facts.certificate_expires, run.facts.certificate_expires) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        // The run's own facts and the steps' lines first: facts are limited in number.
        let own = std::mem::take(&mut facts.more);
        facts.more = std::mem::take(&mut run.facts.more);
        facts.more.retain(|fact| [FactKey::Attempts, FactKey::FailedAttempt, FactKey::Step].contains(&fact.key));
        if let Some(line) = line {
            facts.text(FactKey::Step, line);
        }
        for fact in own {
            match fact.value {
                FactValue::Number(value) => facts.number(fact.key, value),
                FactValue::Text(value) => facts.text(fact.key, &value),
            }
        }
        run.facts = facts;
    }
}

/// A step for people: `login: 200 in 132 ms (dns 1, connect 2, tls 20, first_byte 90)`, phases in milliseconds.
fn line(name: &str, facts: &Facts, phases: Phases) -> String {
    let ms = |us: u64| if us < 10_000 { format!("{:.1}", us as f64 / 1e3) } else { format!("{}", us.div_ceil(1_000)) };
    let parts: Vec<String> = [Phase::Dns, Phase::Connect, Phase::Tls, Phase::Send, Phase::FirstByte, Phase::Transfer]
        .into_iter()
        .filter_map(|phase| phases.get(phase).map(|us| format!("{phase} {}", ms(us))))
        .collect();
    let status = facts.status.map_or_else(|| "no status".to_owned(), |status| status.to_string());
    format!("{name}: {status} in {} ({})", human_us(phases.total.unwrap_or_default()), parts.join(", "))
}

#[cfg(test)]
mod tests;
