use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const T0: UtcMicros = UtcMicros(1_790_000_000_000_000);
const RULES: Rules = Rules { concurrency: 1, tries: 3, deaths: DEATHS_MAX };

fn priority(value: u16) -> Priority {
    Priority::new(value).unwrap()
}

#[test]
fn an_id_is_read_as_it_was_written() {
    for id in [0, 1, 35, 36, T0.0, i64::from(u32::MAX)] {
        assert_eq!(JobId::parse(&alloc::format!("{}", JobId(id))), Some(JobId(id)));
    }
    for text in ["", "A", "-1", "0123456789abc", "a b", "zzzzzzzzzzzzz"] {
        assert_eq!(JobId::parse(text), None, "{text}");
    }
    // A day's jobs have ids of one length: they sort as they were asked for.
    let (earlier, later) = (alloc::format!("{}", JobId(T0.0)), alloc::format!("{}", JobId(T0.0 + 86_400_000_000)));
    assert!(earlier < later && earlier.len() == later.len());
    assert_eq!(JobId::next(Some(JobId(T0.0 + 5)), T0), JobId(T0.0 + 6), "a clock that was set back gives no id twice");
}

#[test]
fn of_two_that_were_due_together_the_higher_priority_goes_first() {
    assert!(Rank::of(priority(501), T0) < Rank::of(priority(500), T0));
    assert!(Rank::of(priority(500), T0) < Rank::of(priority(500), T0.plus_us(1)));
}

/// However high what comes anew is, it goes before a job that waits for less than three hours.
#[test]
fn nothing_starves() {
    let waiting = Rank::of(priority(0), T0);
    let bound = i64::from(PRIORITY_MAX) * AGE_US;
    assert!(Rank::of(priority(PRIORITY_MAX), T0.plus_us(bound - 1)) < waiting);
    assert!(Rank::of(priority(PRIORITY_MAX), T0.plus_us(bound + 1)) > waiting);
}

#[test]
fn an_attempt_that_failed_is_made_again_until_the_tries_are_used_up() {
    let mut job = Standing::new(priority(500), T0);
    let mut now = T0;
    for tries in 1..=3 {
        assert!(!job.start(job.due.plus_us(-1)), "not before it is due");
        now = now.max(job.due);
        assert!(job.start(now));
        assert!(job.end(JobId(7), job.epoch, Ended::Failed, RULES, now));
        assert_eq!((job.tries, job.epoch), (tries, tries));
        assert_eq!(job.state, if tries == 3 { State::Failed } else { State::Waiting });
    }
    assert!(job.retry(now));
    assert_eq!((job.state, job.tries, job.due), (State::Waiting, 0, now));
    assert!(job.start(now));
    assert!(job.end(JobId(7), job.epoch, Ended::Refused, RULES, now));
    assert_eq!(job.state, State::Failed, "what cannot work is not tried again");
}

#[test]
fn who_lost_the_lease_is_not_heard() {
    let mut job = Standing::new(priority(500), T0);
    assert!(job.start(T0));
    let lost = job.epoch;
    assert!(job.end(JobId(1), lost, Ended::Interrupted, RULES, T0));
    assert_eq!((job.state, job.tries, job.due), (State::Waiting, 0, T0), "an interruption uses no try up");
    assert!(job.start(T0));
    let before = job;
    assert!(!job.end(JobId(1), lost, Ended::Done, RULES, T0));
    assert_eq!(job, before);
    assert!(job.end(JobId(1), job.epoch, Ended::Done, RULES, T0));
    assert!(!job.end(JobId(1), job.epoch, Ended::Failed, RULES, T0), "what is over stays over");
}

/// The defect: what killed the collector was run again at once, for ever.
#[test]
fn a_job_that_kills_its_process_is_held_back_and_given_up_in_the_end() {
    let mut job = Standing::new(priority(500), T0);
    let rank = job.rank();
    let (mut now, mut deaths) = (T0, 0);
    while job.state != State::Failed {
        now = now.max(job.ready());
        assert!(job.start(now));
        now = now.plus_us(1_000);
        assert!(job.end(JobId(7), job.epoch, Ended::Died, RULES, now));
        deaths += 1;
        assert!(job.state == State::Failed || (job.tries, job.rank()) == (0, rank), "no try, and its place");
        // The first death is nothing to wait for.
        assert_eq!(job.held.is_some_and(|held| held > now), deaths > 1 && job.state == State::Waiting, "{deaths}");
    }
    assert_eq!((deaths, job.tries), (DEATHS_MAX, 1));
    let half_an_hour = 1_800_000_000;
    assert!(now.us_since(T0) > half_an_hour * 9 / 10, "{}", now.us_since(T0));
    // Somebody mended what it was, and takes it up again.
    assert!(job.retry(now));
    assert_eq!((job.deaths, job.held, job.ready()), (0, None, now));
}

/// The other side of it: 500 kills within ten minutes, each of which meets the job if it runs, are no reason to give it up.
#[test]
fn honest_kills_fail_no_job() {
    for id in 0..200 {
        let mut job = Standing::new(priority(500), T0);
        for kill in 0..500 {
            let now = T0.plus_us(kill * 1_200_000);
            if job.start(now) {
                assert!(job.end(JobId(id), job.epoch, Ended::Died, RULES, now.plus_us(400_000)));
            }
            assert_eq!(job.state, State::Waiting, "job {id} after {kill} kills");
        }
        assert!(job.start(job.ready()) && job.end(JobId(id), job.epoch, Ended::Done, RULES, job.ready()));
        assert_eq!((job.state, job.tries), (State::Done, 1));
    }
}

/// Deaths count in a row: an attempt that the process outlived begins the count anew.
#[test]
fn an_attempt_that_the_process_outlived_forgives_its_deaths() {
    let mut job = Standing::new(priority(500), T0);
    let mut now = T0;
    for ended in [Ended::Died, Ended::Died, Ended::Died, Ended::Interrupted] {
        now = job.ready().max(now);
        assert!(job.start(now) && job.end(JobId(7), job.epoch, ended, RULES, now));
    }
    assert_eq!(job.deaths, 3, "a shutdown says nothing");
    assert!(job.start(now) && job.end(JobId(7), job.epoch, Ended::Failed, RULES, now));
    assert_eq!((job.deaths, job.held), (0, None));
}

#[test]
fn what_is_cancelled_while_it_runs_ends_cancelled_however_its_attempt_ends_but_well() {
    for (ended, state) in [
        (Ended::Done, State::Done),
        (Ended::Failed, State::Cancelled),
        (Ended::Refused, State::Cancelled),
        (Ended::Interrupted, State::Cancelled),
        (Ended::Died, State::Cancelled),
        (Ended::Cancelled, State::Cancelled),
    ] {
        let mut job = Standing::new(priority(500), T0);
        assert!(job.start(T0) && job.cancel());
        assert_eq!((job.state, job.cancelling), (State::Running, true));
        assert!(job.end(JobId(1), job.epoch, ended, RULES, T0));
        assert_eq!((job.state, job.cancelling), (state, false), "{ended:?}");
        assert!(!job.cancel());
    }
}

#[test]
fn who_asks_again_raises_and_hurries_but_never_lowers_or_delays() {
    let mut job = Standing::new(priority(500), T0);
    assert!(!job.join(priority(400), T0.plus_us(5)));
    assert!(job.join(priority(600), T0.plus_us(-5)));
    assert_eq!((job.priority, job.due), (priority(600), T0.plus_us(-5)));
    // What waits to be tried again waits for what failed.
    job.tries = 1;
    job.due = T0.plus_us(1_000);
    assert!(!job.join(priority(600), T0));
    assert_eq!(job.due, T0.plus_us(1_000));
}

#[test]
fn a_job_is_late_past_its_deadline_or_15_min_after_it_was_due() {
    assert!(!is_late(T0, None, T0.plus_us(LATE_US)));
    assert!(is_late(T0, None, T0.plus_us(LATE_US + 1)));
    assert!(is_late(T0, Some(T0.plus_us(5)), T0.plus_us(6)));
    assert!(!is_late(T0, Some(T0.plus_us(2 * LATE_US)), T0.plus_us(LATE_US + 1)));
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Start,
    End(u8, u8),
    Cancel,
    Retry,
    Prioritise(u16),
    Join(u16),
    Wait(i64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Start),
        4 => (0_u8..6, 0_u8..3).prop_map(|(ended, back)| Act::End(ended, back)),
        1 => Just(Act::Cancel),
        1 => Just(Act::Retry),
        1 => (0_u16..=1000).prop_map(Act::Prioritise),
        1 => (0_u16..=1000).prop_map(Act::Join),
        2 => (0_i64..600_000_000).prop_map(Act::Wait),
    ]
}

proptest! {
    /// Whatever happens to a job: leases grow, an old one changes nothing, tries stay within their bound, and what is over comes back by somebody's hand alone.
    #[test]
    fn a_life_is_sound(acts in prop::collection::vec(act(), 1..80)) {
        let (mut job, mut now) = (Standing::new(priority(500), T0), T0);
        for act in acts {
            let before = job;
            match act {
                Act::Start => {
                    let started = job.start(now);
                    prop_assert_eq!(started, before.state == State::Waiting && before.ready() <= now);
                    prop_assert_eq!(job.epoch, before.epoch + u32::from(started));
                }
                Act::End(ended, back) => {
                    let all = [Ended::Done, Ended::Failed, Ended::Refused, Ended::Cancelled, Ended::Interrupted, Ended::Died];
                    let ended = all[usize::from(ended)];
                    let heard = job.end(JobId(9), before.epoch.wrapping_sub(u32::from(back)), ended, RULES, now);
                    prop_assert_eq!(heard, before.state == State::Running && back == 0);
                    if !heard {
                        prop_assert_eq!(job, before);
                    } else if job.state == State::Waiting {
                        prop_assert!(!before.cancelling, "somebody wanted it to end");
                    }
                }
                Act::Cancel => {
                    prop_assert_eq!(job.cancel(), !before.state.is_over());
                    prop_assert!(job.state.is_over() || job.cancelling);
                }
                Act::Retry => {
                    if job.retry(now) {
                        prop_assert_eq!((job.state, job.tries), (State::Waiting, 0));
                    } else {
                        prop_assert_eq!(job, before);
                    }
                }
                Act::Prioritise(value) => {
                    prop_assert_eq!(job.prioritise(priority(value)), before.state == State::Waiting);
                }
                Act::Join(value) => {
                    job.join(priority(value), now);
                    prop_assert!(job.priority >= before.priority && job.due <= before.due.max(now));
                }
                Act::Wait(us) => now = now.plus_us(us),
            }
            prop_assert!(job.epoch >= before.epoch);
            prop_assert!(job.tries <= RULES.tries && job.deaths <= RULES.deaths);
            prop_assert!(job.held.is_none() || (job.state != State::Running && job.deaths > 1));
            prop_assert!(!job.cancelling || job.state == State::Running);
            if before.state.is_over() && job.state != before.state {
                prop_assert!(matches!(act, Act::Retry));
            }
        }
    }

    /// The order by rank is the order by what people are told: priority less what a newer one waited less.
    #[test]
    fn the_order_does_not_turn_while_jobs_wait(jobs in prop::collection::vec((0_u16..=1000, 0_i64..20_000_000_000), 2..40)) {
        let effective = |(value, due): &(u16, i64), at: i64| i64::from(*value) * AGE_US + (at - due);
        let mut sorted: Vec<(u16, i64)> = jobs;
        sorted.sort_by_key(|(value, due)| Rank::of(priority(*value), T0.plus_us(*due)));
        for at in [20_000_000_000_i64, 90_000_000_000] {
            prop_assert!(sorted.windows(2).all(|pair| effective(&pair[0], at) >= effective(&pair[1], at)));
        }
    }
}
