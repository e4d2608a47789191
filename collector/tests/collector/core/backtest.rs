//! Back-tests over the book: maintenance windows and the figures of the account.

use sitepulse_collector::book::{Altered, Filter};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_daemon::instant;
use sitepulse_model::backtest::{Change, Knobs, REOPEN_US_DEFAULT};
use sitepulse_model::id::CheckNo;
use sitepulse_model::record::ProbeState;
use sitepulse_model::time::Span;

use super::world::*;

#[test]
fn an_outage_in_a_window_pages_nobody() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    let from = instant::format(at(600).plus_us(19_000));
    let text = format!(
        "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"30s\"\n\
         [[maintenance]]\nid = \"release\"\nchecks = [\"shop\"]\nfrom = {from}\nlasts = \"10m\"\n"
    );
    let written = checkfile::parse(&[Source { name: "all.toml".into(), text }]).unwrap();
    engine.apply(written, &options(), START).unwrap();
    // Down in the window from minute 11 to 15, and after it from minute 30 to 32.
    let state = |n: i64| {
        if (22..30).contains(&n) || (60..64).contains(&n) { ProbeState::Down } else { ProbeState::Up }
    };
    let shop = CheckNo(1);
    let entries = (0..120_i64).map(|n| entry(&engine, n.cast_unsigned(), result(shop, n * 30, state(n)))).collect();
    engine.ingest(vec![job(agent, entries)]).unwrap();

    let book = engine.shared().book();
    let period = Span::new(START, at(3600));
    let knobs = Knobs { confirmations: Some(3), ..Knobs::default() };
    let altered = Altered { knobs, ..Altered::default() };
    let tested = book.evidence(shop, period).unwrap().backtest(&altered, REOPEN_US_DEFAULT);
    assert_eq!(Some(tested.before), book.account(shop, &Filter::All, period));
    assert_eq!(tested.before, tested.after, "votes are dated back");
    let [Change::Kept { before, after }] = tested.changes[..] else { panic!("{:?}", tested.changes) };
    let slot = |n: i64| Some(before.span.from.plus_us(n * 30 * SECOND));
    assert_eq!((before.known, after.known), (slot(1), slot(2)));
    assert_eq!((before.span, before.bad_us), (after.span, 120 * SECOND));
    assert!(before.span.from >= at(1800) && before.span.us() == 120 * SECOND, "{before:?}");
    assert!(book.evidence(CheckNo(9), period).is_none());
}

#[test]
fn a_backtest_computes_without_the_book() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    let shop = CheckNo(1);
    let down = |n: i64| if (60..64).contains(&n) { ProbeState::Down } else { ProbeState::Up };
    let entries = (0..120_i64).map(|n| entry(&engine, n.cast_unsigned(), result(shop, n * 30, down(n)))).collect();
    engine.ingest(vec![job(agent, entries)]).unwrap();
    let period = Span::new(START, at(3600));
    let evidence = engine.shared().book().evidence(shop, period).unwrap();
    let altered = Altered { knobs: Knobs { confirmations: Some(1), ..Knobs::default() }, ..Altered::default() };
    // Nobody who takes results in waits for it, and it tells what it took out.
    let late = entry(&engine, 120, result(shop, 30, ProbeState::Down));
    let tested = std::thread::scope(|scope| {
        let tested = scope.spawn(|| evidence.backtest(&altered, REOPEN_US_DEFAULT));
        engine.ingest(vec![job(agent, vec![late])]).unwrap();
        tested.join().unwrap()
    });
    assert_eq!(tested.changes.len(), 1);
    let again = engine.shared().book().evidence(shop, period).unwrap().backtest(&altered, REOPEN_US_DEFAULT);
    assert_eq!(again.changes.len(), 2);
}
