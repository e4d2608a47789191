//! Figures of groups and of all checks: weighted, and of the past for ever the same.

use sitepulse_collector::book::Filter;
use sitepulse_collector::checkfile::{self, Source};
use sitepulse_collector::engine::Engine;
use sitepulse_model::id::{CheckNo, Group};
use sitepulse_model::record::ProbeState;
use sitepulse_model::sla::Together;

use super::world::*;

fn apply(engine: &mut Engine, text: &str, second: i64) {
    let written = checkfile::parse(&[Source { name: "all.toml".into(), text: text.into() }]).unwrap();
    let mut how = options();
    how.prune = true;
    engine.apply(written, &how, at(second)).unwrap();
}

fn check(id: &str, labels: &str) -> String {
    format!("[[check]]\nid = \"{id}\"\nkind = \"http\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"30s\"\n{labels}\n")
}

fn figures(engine: &Engine, group: Option<&str>, to: i64) -> Together {
    let group = group.map(|group| Group::parse(group).unwrap());
    let period = (Some(at(60)), Some(at(660)));
    let gathered = engine.shared().book().gathered(group.as_ref(), &Filter::All, None, period, at(to));
    if group.is_some() { gathered.groups().next().map(|(_, one)| one).unwrap_or_default() } else { gathered.whole() }
}

#[test]
fn groups_have_weighted_means_that_later_changes_leave_alone() {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    let good = check("good", "group = \"web\"\nweight = 3");
    let bad = check("bad", "group = \"web\"");
    let others = check("blind", "group = \"other\"") + &check("watched", "group = \"web\"\nweight = 0");
    apply(&mut engine, &(good.clone() + &bad + &others), 0);
    let number = |engine: &Engine, id: &str| -> CheckNo {
        engine.shared().book().checks().find(|check| check.id.as_str() == id).unwrap().number
    };
    let (good_no, bad_no) = (number(&engine, "good"), number(&engine, "bad"));
    let mut entries = Vec::new();
    for (check, state) in [(good_no, ProbeState::Up), (bad_no, ProbeState::Down)] {
        entries.extend((0..40_i64).map(|n| (check, n, state)));
    }
    let mut next = std::collections::BTreeMap::new();
    let entries = entries.into_iter().map(|(check, n, state)| {
        let bucket = engine.shared().book().check(check).unwrap().bucket();
        let seq: &mut u64 = next.entry(bucket).or_default();
        *seq += 1;
        entry(&engine, *seq - 1, result(check, n * 30, state))
    });
    let entries: Vec<_> = entries.collect();
    engine.ingest(vec![job(agent, entries)]).unwrap();

    let web = figures(&engine, Some("web"), 1000);
    assert_eq!((web.checks, web.measured), (2, 2));
    assert_eq!((web.availability, web.completeness), (Some(0.75), Some(1.0)));
    let whole = figures(&engine, None, 1000);
    assert_eq!((whole.checks, whole.measured), (3, 2));
    assert_eq!((whole.availability, whole.completeness), (Some(0.75), Some(0.8)));
    assert_eq!((whole.lower, whole.upper), (Some(0.6), Some(0.8)));

    // After the period one check weighs less, the other moves and retires: the period's figures stay.
    apply(&mut engine, &(good.replace("weight = 3", "weight = 1") + &others), 1100);
    assert_eq!(figures(&engine, Some("web"), 2000), web);
    assert_eq!(figures(&engine, None, 2000), whole);
}
