//! Whether a job is on time: a pure judgement of what it told so far.
//!
//! | in this order | the run says |
//! |---|---|
//! | the job's last word is a failure, or it failed since the last look though a success followed | down, `heartbeat_failed` |
//! | it started and did not end within the grace | down, `heartbeat_missing` |
//! | no success until due + grace | down, `heartbeat_missing` |
//! | it never succeeded, and its first success is not late yet | unknown, `heartbeat_waiting` |
//! | else | up |
//!
//! Due is the first due time after the last success, or after the check's life began. Before the first success nobody can tell
//! whether the job works, so that time is unknown: neither up nor down, outside of the SLA, and told in its completeness.
//!
//! A call that came while the collector was away is lost. Where the collector was away around the time a call should have come
//! (from due - grace to due + grace, or between a start and the end of its grace), its absence proves nothing: that too is unknown,
//! until the job was due once more after the collector's return. Only the newest such time is known.

use sitepulse_daemon::instant;
use sitepulse_model::duration;
use sitepulse_model::record::{Cause, FactKey, Facts, ProbeState, detail};
use sitepulse_model::time::{Span, UtcMicros};

use super::Memory;
use super::timing::Timing;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// When the job is due.
    pub timing: &'a Timing,
    /// What it told so far.
    pub memory: Memory,
    /// When the check's life began: what was told before is another life's.
    pub life_from: UtcMicros,
    /// When it was looked last; `None` for the first time.
    pub looked: Option<UtcMicros>,
    /// When the collector was away last.
    pub away: Option<Span>,
    /// The instant of this look.
    pub now: UtcMicros,
}

/// What a look finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The state.
    pub state: ProbeState,
    /// Why it is not up.
    pub cause: Option<Cause>,
    /// One line for people.
    pub detail: String,
    /// Last ping, duration and exit status, as far as they are known.
    pub facts: Facts,
}

/// Judges.
pub fn judge(question: &Question<'_>) -> Finding {
    let memory = question.memory.since(question.life_from);
    let (state, cause, text) = match found(question, &memory) {
        Ok(()) => (ProbeState::Up, None, String::new()),
        Err((cause, text)) if cause == Cause::HeartbeatWaiting => (ProbeState::Unknown, Some(cause), text),
        Err((cause, text)) => (ProbeState::Down, Some(cause), text),
    };
    let mut facts = Facts::default();
    if let Some(at) = memory.last_ping {
        facts.number(FactKey::LastPing, at.0.div_euclid(1_000_000));
    }
    if let Some(us) = memory.duration_us.and_then(|us| i64::try_from(us).ok()) {
        facts.number(FactKey::JobDuration, us);
    }
    if let Some(status) = memory.exit_status {
        facts.number(FactKey::ExitStatus, i64::from(status));
    }
    Finding { state, cause, detail: detail(&text), facts }
}

fn found(question: &Question<'_>, memory: &Memory) -> Result<(), (Cause, String)> {
    let Question { timing, now, .. } = *question;
    let grace = duration::format(timing.grace_us.unsigned_abs());
    if let Some(at) = memory.last_failure {
        let unseen = question.looked.is_none_or(|looked| looked < at);
        if memory.failed || unseen {
            let status = memory.exit_status.filter(|_| memory.failed);
            let status = status.map(|status| format!(" with exit status {status}")).unwrap_or_default();
            let since = if memory.failed { "" } else { ", and succeeded since" };
            return Err((Cause::HeartbeatFailed, format!("the job failed at {}{status}{since}", clock(at))));
        }
    }
    // The calendar's end is no deadline.
    let due_after = |at: UtcMicros| timing.due_after(at).unwrap_or(UtcMicros::MAX);
    let heard_again = |back: UtcMicros| due_after(back).plus_us(timing.grace_us);
    let excuse = |from: UtcMicros, to: UtcMicros| {
        let away = question.away.filter(|away| away.from <= to && from < away.to)?;
        (now <= heard_again(away.to)).then(|| {
            let (from, to) = (clock(away.from), clock(away.to));
            (
                Cause::HeartbeatWaiting,
                format!("the collector was away from {from} to {to}, when the job should have called"),
            )
        })
    };
    let mut excused = None;
    if let Some(started) = memory.started {
        let until = started.plus_us(timing.grace_us);
        if now > until {
            let text = format!("started {}, not finished within {grace}", clock(started));
            // What excuses the end of this run does not excuse that the job is overdue.
            excused = Some(excuse(started, until).ok_or((Cause::HeartbeatMissing, text))?);
        }
    }
    let due = due_after(memory.last_success.unwrap_or(question.life_from));
    let deadline = due.plus_us(timing.grace_us);
    if now > deadline {
        let last = memory
            .last_success
            .map_or_else(|| "the job has never called".to_owned(), |at| format!("no call since {}", clock(at)));
        let text = format!("{last}: it was due at {} with {grace} of grace", clock(due));
        let due_excused = excuse(due.plus_us(-timing.grace_us), deadline).ok_or((Cause::HeartbeatMissing, text))?;
        excused = excused.or(Some(due_excused));
    }
    if let Some(excused) = excused {
        return Err(excused);
    }
    if memory.last_success.is_none() {
        let text =
            format!("the job has not called yet: its first success is due at {} with {grace} of grace", clock(due));
        return Err((Cause::HeartbeatWaiting, text));
    }
    Ok(())
}

/// `2026-11-22 14:02:11 UTC`
fn clock(at: UtcMicros) -> String {
    let whole = UtcMicros(at.0 - at.0.rem_euclid(1_000_000));
    instant::format(whole).replace('T', " ").replace('Z', " UTC")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sitepulse_model::check::{DurationUs, HeartbeatTarget};

    use super::super::{Ping, PingKind};
    use super::*;

    const S: i64 = 1_000_000;
    const PERIOD: i64 = 60;
    const GRACE: i64 = 10;

    fn timing() -> Timing {
        let seconds = |seconds: i64| DurationUs((seconds * S).unsigned_abs());
        Timing::of(&HeartbeatTarget { period: Some(seconds(PERIOD)), cron: None, zone: None, grace: seconds(GRACE) })
            .unwrap()
    }

    fn ask(pings: &[(i64, PingKind)], looked: Option<i64>, away: Option<(i64, i64)>, now: i64) -> Finding {
        let mut memory = Memory::default();
        for (at, kind) in pings.iter().filter(|(at, _)| *at <= now) {
            memory.add(Ping { at: UtcMicros(at * S), kind: *kind, exit_status: None });
        }
        let at = |seconds: i64| UtcMicros(seconds * S);
        judge(&Question {
            timing: &timing(),
            memory,
            life_from: at(0),
            looked: looked.map(at),
            away: away.map(|(from, to)| Span::new(at(from), at(to))),
            now: at(now),
        })
    }

    fn cause(pings: &[(i64, PingKind)], now: i64) -> Option<Cause> {
        ask(pings, Some(now - 1), None, now).cause
    }

    #[test]
    fn a_new_heartbeat_waits_until_its_first_call_is_late() {
        let waiting = ask(&[], None, None, 0);
        assert_eq!((waiting.state, waiting.cause), (ProbeState::Unknown, Some(Cause::HeartbeatWaiting)));
        assert_eq!(
            waiting.detail,
            "the job has not called yet: its first success is due at 1970-01-01 00:01:00 UTC with 10s of grace"
        );
        assert_eq!(cause(&[], PERIOD + GRACE), Some(Cause::HeartbeatWaiting));
        let missing = ask(&[], None, None, PERIOD + GRACE + 1);
        assert_eq!((missing.state, missing.cause), (ProbeState::Down, Some(Cause::HeartbeatMissing)));
        assert_eq!(missing.detail, "the job has never called: it was due at 1970-01-01 00:01:00 UTC with 10s of grace");
    }

    #[test]
    fn a_start_without_an_end_is_down_after_the_grace() {
        let pings = [(5, PingKind::Success), (20, PingKind::Start)];
        assert_eq!(cause(&pings, 30), None);
        let down = ask(&pings, None, None, 31);
        assert_eq!((down.state, down.cause), (ProbeState::Down, Some(Cause::HeartbeatMissing)));
        assert_eq!(down.detail, "started 1970-01-01 00:00:20 UTC, not finished within 10s");
        let late = [(5, PingKind::Success), (20, PingKind::Start), (40, PingKind::Success)];
        let up = ask(&late, Some(39), None, 41);
        assert_eq!((up.state, up.facts.number_of(FactKey::JobDuration)), (ProbeState::Up, Some(20 * S)));
        assert_eq!(up.facts.number_of(FactKey::LastPing), Some(40));
    }

    #[test]
    fn a_failure_between_two_looks_is_seen_once() {
        let pings = [(10, PingKind::Success), (20, PingKind::Fail), (21, PingKind::Success)];
        let seen = ask(&pings, Some(15), None, 25);
        assert_eq!((seen.state, seen.cause), (ProbeState::Down, Some(Cause::HeartbeatFailed)));
        assert_eq!(seen.detail, "the job failed at 1970-01-01 00:00:20 UTC, and succeeded since");
        assert_eq!(ask(&pings, Some(25), None, 30).state, ProbeState::Up);
        // Without a success it stays, whatever else is told.
        let stays = [(20, PingKind::Fail), (22, PingKind::Log), (23, PingKind::Start)];
        assert_eq!(cause(&stays, 25), Some(Cause::HeartbeatFailed));
    }

    #[test]
    fn what_the_collector_could_not_hear_is_no_ones_fault_until_the_job_was_due_again() {
        let pings = [(5, PingKind::Success)];
        // Due at 65, late after 75; the collector was away from 60 to 70.
        let excused = ask(&pings, None, Some((60, 70)), 80);
        assert_eq!((excused.state, excused.cause), (ProbeState::Unknown, Some(Cause::HeartbeatWaiting)));
        assert!(
            excused.detail.contains("away from 1970-01-01 00:01:00 UTC to 1970-01-01 00:01:10 UTC"),
            "{}",
            excused.detail
        );
        assert_eq!(ask(&pings, None, Some((60, 70)), 70 + PERIOD + GRACE).state, ProbeState::Unknown);
        assert_eq!(ask(&pings, None, Some((60, 70)), 70 + PERIOD + GRACE + 1).state, ProbeState::Down);
        // Away long before the job was due excuses nothing.
        assert_eq!(ask(&pings, None, Some((20, 30)), 80).state, ProbeState::Down);
    }

    #[test]
    fn an_excused_start_does_not_hide_that_the_job_is_overdue() {
        // Due at 65, late after 75; it started at 100 and could not be heard from 105 to 115.
        let pings = [(5, PingKind::Success), (100, PingKind::Start)];
        let overdue = ask(&pings, None, Some((105, 115)), 120);
        assert_eq!((overdue.state, overdue.cause), (ProbeState::Down, Some(Cause::HeartbeatMissing)));
        // Where the job is not overdue the excuse stands.
        let pings = [(95, PingKind::Success), (100, PingKind::Start)];
        let waiting = ask(&pings, None, Some((105, 115)), 120);
        assert_eq!((waiting.state, waiting.cause), (ProbeState::Unknown, Some(Cause::HeartbeatWaiting)));
    }

    proptest! {
        /// The rules again, over the list of all pings.
        #[test]
        fn the_judgement_is_that_of_all_pings(
            steps in prop::collection::vec((0..40_i64, 0..4_usize), 0..12), later in 0..90_i64, before in 1..30_i64,
        ) {
            let kinds = [PingKind::Start, PingKind::Success, PingKind::Fail, PingKind::Log];
            let mut at = 0;
            let pings: Vec<(i64, PingKind)> =
                steps.into_iter().map(|(step, kind)| { at += step; (at, kinds[kind]) }).collect();
            let now = at + later;
            let looked = now - before;
            let newest = |wanted: &[PingKind]| pings.iter().rev().find(|(_, kind)| wanted.contains(kind)).copied();
            let ended = newest(&[PingKind::Success, PingKind::Fail]);
            let success = newest(&[PingKind::Success]).map(|(at, _)| at);
            let failing = ended.is_some_and(|(_, kind)| kind == PingKind::Fail)
                || pings.iter().any(|(at, kind)| *kind == PingKind::Fail && *at > looked);
            let open = pings.iter().rev().take_while(|(_, kind)| !matches!(kind, PingKind::Success | PingKind::Fail))
                .find(|(_, kind)| *kind == PingKind::Start).map(|(at, _)| *at);
            let expected = if failing {
                Some(Cause::HeartbeatFailed)
            } else if open.is_some_and(|at| now > at + GRACE) || now > success.unwrap_or(0) + PERIOD + GRACE {
                Some(Cause::HeartbeatMissing)
            } else if success.is_none() {
                Some(Cause::HeartbeatWaiting)
            } else {
                None
            };
            prop_assert_eq!(ask(&pings, Some(looked), None, now).cause, expected);
        }
    }
}
