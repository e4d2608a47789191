//! Maintenance windows in the accounts of checks: their own bounds, effective-dated, by id, group and tag.

use sitepulse_collector::app::{Plan, PlanStep};
use sitepulse_collector::book::{Book, Filter};
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_daemon::instant;
use sitepulse_model::id::{CheckId, CheckNo};
use sitepulse_model::record::ProbeState;
use sitepulse_model::sla::Account;
use sitepulse_model::time::{Span, UtcMicros};

use super::world::*;

/// A whole second, for windows begin at one: 19 ms after the world.
fn second(seconds: i64) -> UtcMicros {
    at(seconds).plus_us(19_000)
}

fn apply(engine: &mut Engine, text: &str, prune: bool, at: UtcMicros) -> Plan {
    let written = checkfile::parse(&[Source { name: "all.toml".into(), text: text.into() }]).unwrap();
    let mut how = options();
    how.prune = prune;
    engine.apply(written, &how, at).unwrap()
}

fn check(id: &str, labels: &str) -> String {
    format!("[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"30s\"\n{labels}\n")
}

fn window(id: &str, scope: &str, from: UtcMicros, lasts: &str) -> String {
    let from = instant::format(from);
    format!("[[maintenance]]\nid = \"{id}\"\n{scope}\nfrom = {from}\nlasts = \"{lasts}\"\n")
}

fn number(book: &Book, id: &str) -> CheckNo {
    book.check_by_id(&CheckId::parse(id).unwrap()).unwrap().number
}

/// Which seconds of the first hour maintenance takes out of a check's account.
fn taken(engine: &Engine, id: &str) -> Vec<(i64, i64)> {
    let book = engine.shared().book();
    let windows = book.windows(number(&book, id), Span::new(second(0), second(3600)));
    let seconds = |at: UtcMicros| at.us_since(second(0)) / SECOND;
    windows.spans().iter().map(|span| (seconds(span.from), seconds(span.to))).collect()
}

fn account(engine: &Engine, id: &str) -> Account {
    let book = engine.shared().book();
    book.account(number(&book, id), &Filter::All, Span::new(second(0), second(3600))).unwrap()
}

#[test]
fn a_window_takes_its_own_bounds_out_of_the_account() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    let all = check("shop", "") + &window("release", "checks = [\"shop\"]", second(607), "10m");
    apply(&mut engine, &all, false, START);
    let states = |n: i64| if (20..40).contains(&n) { ProbeState::Down } else { ProbeState::Up };
    let shop = CheckNo(1);
    let entries = (0..120_i64).map(|n| entry(&engine, n.cast_unsigned(), result(shop, n * 30, states(n)))).collect();
    engine.ingest(vec![job(agent, entries)]).unwrap();
    let account = account(&engine, "shop");
    // Down from 600 on, in the window from 607 to 1207; the 19 ms are those by which seconds differ from slots.
    assert_eq!(account.maintenance_us, 600 * SECOND);
    assert_eq!(account.down_us, 7 * SECOND + 19_000);
    assert_eq!(account.period_us(), 3600 * SECOND);

    let book = engine.shared().book();
    let explained = book.explain(shop, &Filter::All, Span::new(second(0), second(3600)), 10_000).unwrap();
    let spans: Vec<_> = explained.iter().map(|interval| interval.verdict).collect();
    assert_eq!(Account::of(&spans), account, "explain adds up to it");
}

#[test]
fn windows_find_checks_by_id_group_and_tag() {
    let mut engine = in_memory();
    let checks = check("a", "group = \"web\"") + &check("b", "tags = [\"eu\"]") + &check("c", "") + &check("d", "");
    let windows = window("one", "checks = [\"c\"]\ngroups = [\"web\"]", second(600), "10m")
        + &window("two", "tags = [\"eu\"]\ngroups = [\"web\"]", second(900), "10m");
    apply(&mut engine, &(checks + &windows), false, START);
    assert_eq!(taken(&engine, "a"), [(600, 1500)], "two that overlap are one span");
    assert_eq!(taken(&engine, "b"), [(900, 1500)]);
    assert_eq!(taken(&engine, "c"), [(600, 1200)]);
    assert_eq!(taken(&engine, "d"), []);

    let book = engine.shared().book();
    let all = book.occurrences(None, Span::new(second(0), second(3600)), 10).unwrap();
    let shown: Vec<(&str, usize)> = all.iter().map(|one| (one.window.as_str(), one.checks.len())).collect();
    assert_eq!(shown, [("one", 2), ("two", 2)]);
    let b = Some(number(&book, "b"));
    assert_eq!(book.occurrences(b, Span::new(second(0), second(3600)), 10).unwrap().len(), 1);
    assert_eq!(book.occurrences(None, Span::new(second(0), second(3600)), 1), None);
}

#[test]
fn a_change_never_rewrites_the_past() {
    let mut engine = in_memory();
    let shop = check("shop", "");
    let scope = "checks = [\"shop\"]";
    apply(&mut engine, &(shop.clone() + &window("w", scope, second(600), "10m")), false, START);
    assert_eq!(taken(&engine, "shop"), [(600, 1200)]);
    // Called off half way: what was taken out stays out.
    apply(&mut engine, &window("w", scope, second(3000), "5m"), false, second(900));
    assert_eq!(taken(&engine, "shop"), [(600, 900), (3000, 3300)]);
    // Applied late: it covers from then on.
    apply(&mut engine, &window("late", scope, second(960), "10m"), false, second(1080));
    assert_eq!(taken(&engine, "shop"), [(600, 900), (1080, 1560), (3000, 3300)]);
    // Made longer while it is open.
    apply(&mut engine, &window("late", scope, second(960), "15m"), false, second(1200));
    assert_eq!(taken(&engine, "shop"), [(600, 900), (1080, 1860), (3000, 3300)]);
    // Retired before it opens.
    apply(&mut engine, &shop, true, second(2000));
    assert_eq!(taken(&engine, "shop"), [(600, 900), (1080, 1860)]);
}

#[test]
fn a_check_that_changes_its_group_keeps_its_past() {
    let mut engine = in_memory();
    let windows = window("w", "groups = [\"web\"]", second(600), "20m");
    let keeper = check("keeper", "group = \"web\"");
    apply(&mut engine, &(check("shop", "group = \"web\"") + &keeper + &windows), false, START);
    apply(&mut engine, &check("shop", "group = \"other\""), false, second(900));
    assert_eq!(taken(&engine, "shop"), [(600, 900)]);
    assert_eq!(taken(&engine, "keeper"), [(600, 1800)]);
    apply(&mut engine, &check("shop", "group = \"web\""), false, second(1200));
    assert_eq!(taken(&engine, "shop"), [(600, 900), (1200, 1800)]);
    let ahead = window("ahead", "groups = [\"web\"]", second(3000), "5m");
    apply(&mut engine, &(keeper + &windows + &ahead), true, second(1500));
    let book = engine.shared().book();
    let of = |id: &str| {
        let found = book.occurrences(Some(number(&book, id)), Span::new(second(1801), second(3600)), 10).unwrap();
        found.into_iter().map(|one| one.window).collect::<Vec<_>>()
    };
    assert_eq!((of("shop"), of("keeper")), (vec![], vec!["ahead".to_owned()]), "nothing covers a retired check");
}

#[test]
fn windows_are_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let before = {
        let mut engine = on_disk(dir.path());
        let all = check("shop", "") + &window("w", "checks = [\"shop\"]", second(600), "10m");
        apply(&mut engine, &all, false, START);
        apply(&mut engine, &window("w", "checks = [\"shop\"]", second(700), "20m"), false, second(650));
        taken(&engine, "shop")
    };
    assert_eq!(before, [(600, 650), (700, 1900)]);
    assert_eq!(taken(&on_disk(dir.path()), "shop"), before);
}

#[test]
fn what_covers_nothing_is_warned_of() {
    let mut engine = in_memory();
    let scope = "checks = [\"shop\"]";
    let all = check("shop", "")
        + &window("over", scope, second(-7200), "1h")
        + &window("begun", scope, second(-600), "1h")
        + &window("ahead", scope, second(600), "1h");
    let plan = apply(&mut engine, &all, false, START);
    assert!(plan.objects.iter().all(|item| item.step == PlanStep::Create));
    assert_eq!(
        plan.warnings,
        [
            "maintenance begun began before it was applied: it covers from now on, the past stays as it was accounted",
            "maintenance over is over already: it covers nothing, for the past stays as it was accounted",
        ]
    );
    assert_eq!(apply(&mut engine, &all, false, second(60)).warnings, [""; 0], "told with a change alone");
}
