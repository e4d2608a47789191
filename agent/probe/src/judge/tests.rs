//! Large bodies are judged beside the thread of all runs; the outcome is the same.

use std::sync::mpsc;
use std::thread::{self, ThreadId};

use sitepulse_model::record::ProbeState;

use super::*;
use crate::testing::{COSTLY, irregular};

fn case(body: Vec<u8>) -> Case {
    let expect = ["body contains 'end'", "html 'h1' == 'a'"].map(|text| Expectation::parse(text, "http").unwrap());
    Case {
        expect: expect.into(),
        facts: Arc::new(Facts::default()),
        answer: Answer { body_bytes: body.len() as u64, body, ..Answer::default() },
        phases: Phases::default(),
        now: UtcMicros(0),
        thresholds: None,
    }
}

fn page(words: usize) -> Vec<u8> {
    format!("<h1>a</h1>{}end", "word ".repeat(words)).into_bytes()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn in_a_minute() -> Monotonic {
    clock::monotonic().plus_us(60_000_000)
}

/// The thread that judges a body of this length, and what comes of it.
fn judged(words: usize, reads_body: bool) -> (ThreadId, Outcome) {
    let look = |case: &Case| (thread::current().id(), case.evaluate());
    block_on(Bench::default().judge(case(page(words)), in_a_minute(), reads_body, look)).ok().unwrap().0
}

#[test]
fn large_bodies_that_somebody_looks_into_are_judged_beside_and_alike() {
    let here = thread::current().id();
    for (words, reads_body, is_here) in
        [(1, true, true), (6_000, true, true), (7_000, true, false), (7_000, false, true)]
    {
        let (judge, outcome) = judged(words, reads_body);
        assert_eq!(judge == here, is_here, "{words} words");
        assert_eq!(outcome, Outcome { state: ProbeState::Up, broken: None });
    }
}

#[test]
fn a_panic_is_caught_wherever_it_happens() {
    for words in [1, 7_000] {
        let bench = Bench::default();
        let broken = |_: &Case| -> () { panic!("a parser of somebody else's") };
        let result = block_on(bench.judge(case(page(words)), in_a_minute(), true, broken));
        assert_eq!(result.err(), Some(Unjudged::Panicked));
        assert_eq!(bench.0.available_permits(), SEATS, "the seat is free again");
    }
}

#[test]
fn a_judgement_that_takes_too_long_is_the_senders_doing_and_keeps_its_seat() {
    let bench = Bench::default();
    let (go_on, held) = mpsc::channel::<()>();
    let soon = || clock::monotonic().plus_us(100_000);
    let held = Arc::new(std::sync::Mutex::new(held));
    block_on(async {
        for _ in 0..SEATS {
            let held = held.clone();
            let wait = move |_: &Case| held.lock().unwrap().recv().unwrap();
            let result = bench.judge(case(page(7_000)), soon(), true, wait).await.err();
            assert!(matches!(result, Some(Unjudged::TooLong(_))), "{result:?}");
            let failure = result.unwrap().failure(|| unreachable!());
            assert_eq!((failure.cause, failure.phase), (Cause::ProtocolError, Phase::Transfer));
            assert_eq!(failure.detail, "body: takes longer than 100 ms to judge");
        }
        // Who finds no seat is not to blame.
        let result = bench.judge(case(page(7_000)), soon(), true, |_| ()).await.err();
        assert_eq!(result, Some(Unjudged::NoSeat(100_000)));
        assert_eq!(result.unwrap().failure(|| unreachable!()).cause, Cause::AgentFault);
        // Small ones need none.
        assert!(bench.judge(case(page(1)), soon(), true, |_| ()).await.is_ok());
        for _ in 0..SEATS {
            go_on.send(()).unwrap();
        }
        assert!(bench.judge(case(page(7_000)), in_a_minute(), true, |_| ()).await.is_ok(), "the seats are free again");
    });
}

#[test]
fn the_thread_of_all_runs_goes_on_while_a_large_body_is_judged() {
    let (go_on, held) = mpsc::channel::<()>();
    block_on(async {
        let bench = Bench::default();
        let look = move |_: &Case| held.recv().unwrap();
        let other = async {
            // Only a run on this thread lets the judgement end.
            tokio::task::yield_now().await;
            go_on.send(()).unwrap();
        };
        let (judged, ()) = tokio::join!(bench.judge(case(page(7_000)), in_a_minute(), true, look), other);
        assert!(judged.is_ok());
    });
}

#[test]
fn an_answer_that_came_late_has_its_time_too() {
    let now = clock::monotonic();
    assert!(until(now).us_since(now) >= LEAST_US);
    assert_eq!(until(now.plus_us(60_000_000)), now.plus_us(60_000_000));
}

#[test]
fn a_search_waits_for_no_seat_and_gives_the_body_back() {
    let expect = [Expectation::parse("body contains 'end'", "tcp").unwrap()];
    let bench = Bench::default();
    block_on(async {
        for (words, lacks) in [(1, None), (7_000, None)] {
            let mut body = page(words);
            assert_eq!(bench.search(&expect, &mut body, words > 1, in_a_minute()).await, Ok(lacks));
            body.truncate(body.len() - 1);
            assert_eq!(bench.search(&expect, &mut body, words > 1, in_a_minute()).await, Ok(Some(0)));
            assert_eq!(body, page(words)[..body.len()]);
        }
        assert_eq!(bench.0.available_permits(), SEATS, "the seat is free again");
        let taken = bench.0.clone().acquire_many_owned(SEATS as u32).await;
        let mut body = page(7_000);
        assert_eq!(bench.search(&expect, &mut body, true, in_a_minute()).await, Err(NotSearched));
        assert_eq!(body, page(7_000));
        assert_eq!(bench.search(&expect, &mut page(1), false, in_a_minute()).await, Ok(None), "a small one needs none");
        drop(taken);
        // Nobody waits for longer than there is time; the body is there all the same.
        let (costly, mut body) = ([Expectation::parse(COSTLY, "tcp").unwrap()], irregular(400_000));
        assert_eq!(bench.search(&costly, &mut body, true, Monotonic(0)).await, Err(NotSearched));
        assert_eq!(body, irregular(400_000));
    });
}
