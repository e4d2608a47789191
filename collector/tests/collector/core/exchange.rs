//! What leaves a collector as a file comes into another one with the same figures.

use sitepulse_collector::book::Filter;
use sitepulse_collector::exchange::export::{Exported, Wanted, export};
use sitepulse_collector::exchange::files::{Item, Reader};
use sitepulse_collector::exchange::row::Named;
use sitepulse_collector::exchange::{Format, Histories};
use sitepulse_collector::ingest::import::{ImportedHistories, ImportedRecords};
use sitepulse_model::control::{Change, Scope, Weight};
use sitepulse_model::id::{AgentNo, CheckId};
use sitepulse_model::time::Span;

use super::world::*;
use sitepulse_collector::engine::Engine;
use sitepulse_model::id::CheckNo;
use sitepulse_model::record::ProbeState;
use sitepulse_model::time::UtcMicros;

/// Two checks, an agent that saw an outage, was away, lost records, was suspended and weighs 2.
fn lived(engine: &mut Engine) {
    let agent = enrol(engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop"), definition("blog")], &options(), START).unwrap();
    let window = sitepulse_daemon::instant::format(at(1200).plus_us(19_000));
    let objects = format!(
        "[[policy]]\nid = \"contract\"\nobjective = \"99%\"\nregional = \"by_share\"\n\
         [[maintenance]]\nid = \"patch\"\nchecks = [\"shop\"]\nfrom = \"{window}\"\nlasts = \"5m\"\n"
    );
    engine.apply(written(&objects), &options(), at(1)).unwrap();
    let until = at(3000);
    let suspend = Change::Suspend { until, reason: "moving".into() };
    engine.control(Scope::Agent(agent), suspend, "collector:cli", at(2400)).unwrap();
    engine
        .control(Scope::AgentCheck(agent, CheckNo(1)), Change::Weight(Weight(2000)), "collector:cli", at(60))
        .unwrap();
    let mut entries = Vec::new();
    for (seq, check) in [CheckNo(1), CheckNo(2)].into_iter().enumerate() {
        let mut seq = seq as u64 * 1000;
        let mut add = |engine: &Engine, record| {
            entries.push(entry(engine, seq, record));
            seq += 1;
        };
        for slot in 0..60 {
            let state = if (20..25).contains(&slot) { ProbeState::Down } else { ProbeState::Up };
            add(engine, result(check, slot * 30, state));
        }
        add(engine, missed(check, 1800, 10));
        add(engine, dropped(check, 2100, 5, &[]));
    }
    engine.ingest(vec![job(agent, entries)]).unwrap();
}

/// What people see: seconds by verdict of each check over an hour, by id.
fn figures(engine: &Engine) -> Vec<(String, String, u64)> {
    let book = engine.shared().book();
    let mut all: Vec<_> = book
        .checks()
        .map(|check| {
            let period = book.period(check, Some(START), Some(at(3600)), at(3600));
            let account = book.account(check.number, &Filter::All, period).unwrap();
            let accounted = check.pairs.values().map(|pair| pair.ledger.accounted()).sum();
            (check.id.to_string(), format!("{account:?}"), accounted)
        })
        .collect();
    all.sort();
    all
}

fn written(text: &str) -> sitepulse_collector::checkfile::Written {
    let source = sitepulse_collector::checkfile::Source { name: "objects.toml".into(), text: text.into() };
    sitepulse_collector::checkfile::parse(&[source]).unwrap()
}

fn read(path: &std::path::Path) -> (Option<Histories>, Vec<Named>) {
    let mut reader = Reader::open(path, Format::of(path).unwrap()).unwrap();
    let (mut histories, mut records) = (None, Vec::new());
    while let Some(item) = reader.read().unwrap() {
        match item {
            Item::Histories(read) => histories = Some(*read),
            Item::Row(row) => records.push(row.into_named().unwrap()),
        }
    }
    (histories, records)
}

fn wanted(checks: &[&str], span: Span) -> Wanted {
    Wanted { checks: checks.iter().map(|id| CheckId::parse(id).unwrap()).collect(), span }
}

const ALWAYS: Span = Span::new(UtcMicros::MIN, UtcMicros::MAX);

#[test]
fn an_export_gives_the_same_figures_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    lived(&mut engine);
    let before = figures(&engine);
    assert!(before[0].1.contains("down_us: 150000000,"), "{before:?}");
    assert!(before[1].1.contains("maintenance_us: 300000000,"), "{before:?}");
    for name in ["all.jsonl", "all.parquet"] {
        let path = dir.path().join(name);
        let exported =
            export(dir.path(), &wanted(&[], ALWAYS), &path, Format::of(&path).unwrap(), at(3600), &mut |_, _| {
                std::ops::ControlFlow::Continue(())
            });
        assert_eq!(
            exported.unwrap(),
            Exported { checks: 2, records: 124, unreadable: 0, gone: 0, set_aside: 0 },
            "{name}"
        );
        let (histories, records) = read(&path);
        let histories = histories.unwrap();

        // Into the collector it came from: nothing is new.
        let same = engine.import_histories(&histories, "collector:cli", at(4000)).unwrap();
        assert_eq!(same, ImportedHistories::default(), "{name}");
        let known = engine.import_records(records.clone(), at(4000)).unwrap();
        assert_eq!(known, ImportedRecords { known: 124, ..ImportedRecords::default() }, "{name}");
        assert_eq!(figures(&engine), before);

        // Into another one, twice, and that one started again.
        let elsewhere = tempfile::tempdir().unwrap();
        let mut other = on_disk(elsewhere.path());
        for (round, stored) in [(0, 124), (1, 0)] {
            let new = other.import_histories(&histories, "collector:cli", at(4000)).unwrap();
            let expected = if round == 0 { (2, 1, 2) } else { (0, 0, 0) };
            assert_eq!((new.checks, new.agents, new.objects), expected, "{name}");
            let imported = other.import_records(records.clone(), at(4000)).unwrap();
            assert_eq!((imported.stored, imported.known, imported.refused.len()), (stored, 124 - stored, 0), "{name}");
        }
        assert_eq!(figures(&other), before, "{name}");
        assert!(
            other.shared().book().checks().all(|check| check.retired()),
            "nothing starts to be probed by an import"
        );
        drop(other);
        assert_eq!(figures(&on_disk(elsewhere.path())), before, "{name}");
    }
}

/// Whom incidents are told goes along, without any secret; a collector that has its own keeps it.
#[test]
fn whom_incidents_are_told_goes_along() {
    let told = |url: &str| {
        format!(
            "[[channel]]\nid = \"ops\"\nkind = \"slack\"\nurl = \"secret:{url}\"\n\
             [[user]]\nid = \"ana\"\nnotify = [\"ops\"]\n\
             [[schedule]]\nid = \"primary\"\nzone = \"Europe/Paris\"\nlayers = [ {{ users = [\"ana\"], rotation = \"weekly\", handoff = \"mon 09:00\", start = \"2026-11-02\" }} ]\n\
             [[escalation]]\nid = \"default\"\ndefault = true\nlevels = [ {{ after = \"0s\", notify = [\"oncall:primary\"] }} ]\n"
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    lived(&mut engine);
    engine.set_secret("hook", b"https://hooks.example/hunter2", at(10)).unwrap();
    engine.apply(written(&told("hook")), &options(), at(20)).unwrap();
    let path = dir.path().join("all.jsonl");
    export(dir.path(), &wanted(&[], ALWAYS), &path, Format::of(&path).unwrap(), at(3600), &mut |_, _| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert!(!std::fs::read_to_string(&path).unwrap().contains("hunter2"));
    let histories = read(&path).0.unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    let mut other = on_disk(elsewhere.path());
    let new = other.import_histories(&histories, "collector:cli", at(4000)).unwrap();
    assert_eq!(new.objects, 6, "a policy, a window, and whom incidents are told");
    {
        let book = other.shared().book();
        let objects = book.objects();
        assert_eq!(objects.users.versions("ana").len(), 2, "what it was, and its end with the export");
        assert!(objects.channels.current("ops").is_none(), "nobody is told by an import");
        assert_eq!(objects.escalations.versions("default")[0].body.levels.len(), 1);
        assert_eq!(objects.schedules.versions("primary").len(), 2);
    }

    let with_its_own = tempfile::tempdir().unwrap();
    let mut own = on_disk(with_its_own.path());
    own.apply(written(&told("another")), &options(), at(5)).unwrap();
    let new = own.import_histories(&histories, "collector:cli", at(4000)).unwrap();
    assert_eq!(new.objects, 2);
    assert!(own.shared().book().objects().channels.current("ops").is_some(), "its own is in force still");
}

#[test]
fn a_part_and_a_table_of_records_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    lived(&mut engine);
    let path = dir.path().join("shop.csv");
    let span = Span::new(at(0), at(300));
    let exported = export(dir.path(), &wanted(&["shop"], span), &path, Format::Csv, at(3600), &mut |_, _| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(exported, Exported { checks: 1, records: 10, unreadable: 0, gone: 0, set_aside: 0 });
    let (histories, records) = read(&path);
    assert!(histories.is_none());
    let elsewhere = tempfile::tempdir().unwrap();
    let mut other = on_disk(elsewhere.path());
    let refused = other.import_records(records.clone(), at(4000)).unwrap();
    assert_eq!((refused.stored, refused.refused.len()), (0, 10));
    assert!(refused.refused[0].1.contains("CSV does not"), "{:?}", refused.refused[0]);
    // Without a check of that name, nothing is written.
    let none = export(
        dir.path(),
        &wanted(&["nothing"], ALWAYS),
        &dir.path().join("x.csv"),
        Format::Csv,
        at(0),
        &mut |_, _| std::ops::ControlFlow::Continue(()),
    );
    assert!(none.unwrap_err().to_string().contains("there is no check nothing"));
    assert!(!dir.path().join("x.csv").exists());
}

#[test]
fn another_history_of_the_same_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    lived(&mut engine);
    let path = dir.path().join("all.jsonl");
    export(dir.path(), &wanted(&[], ALWAYS), &path, Format::Jsonl, at(3600), &mut |_, _| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    let (histories, _) = read(&path);
    let histories = histories.unwrap();
    let mut check = in_memory();
    check.apply(vec![definition("shop")], &options(), at(10)).unwrap();
    let error = check.import_histories(&histories, "collector:cli", at(4000)).unwrap_err().to_string();
    assert!(error.contains("check shop has another history here"), "{error}");
    let mut agent = in_memory();
    enrol(&mut agent, "eu-west", None);
    let error = agent.import_histories(&histories, "collector:cli", at(4000)).unwrap_err().to_string();
    assert!(error.contains("agent eu-west-1 is another one here"), "{error}");
    assert_eq!(agent.shared().book().checks().count(), 0, "all or nothing");
    let error = in_memory().import_histories(&histories, "collector:cli", at(0)).unwrap_err().to_string();
    assert!(error.contains("of the future"), "{error}");
}

/// A tombstone was settled where it was stored: it neither hides a record that stands behind it in the file, nor is it counted down again.
#[test]
fn a_tombstone_hides_nothing_and_is_not_settled_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    // The ack of number 5 was lost: its agent dropped 3 to 7, though 5 had come in.
    let stored = entry(&engine, 5, result(CheckNo(1), 150, ProbeState::Down));
    engine.ingest(vec![job(agent, vec![stored])]).unwrap();
    let tombstone = entry(&engine, 20, dropped(CheckNo(1), 90, 5, &[(3, 7)]));
    engine.ingest(vec![job(agent, vec![tombstone])]).unwrap();
    let before = figures(&engine);
    let path = dir.path().join("all.jsonl");
    export(dir.path(), &wanted(&[], ALWAYS), &path, Format::Jsonl, at(3600), &mut |_, _| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    let (histories, records) = read(&path);
    assert_eq!(records.len(), 2);
    let elsewhere = tempfile::tempdir().unwrap();
    let mut other = on_disk(elsewhere.path());
    other.import_histories(&histories.unwrap(), "collector:cli", at(4000)).unwrap();
    for record in records {
        let imported = other.import_records(vec![record], at(4000)).unwrap();
        assert_eq!((imported.stored, imported.known), (1, 0));
    }
    assert_eq!(figures(&other), before);
    let ledger = other.shared().book().pair(CheckNo(1), AgentNo(1)).unwrap().ledger;
    assert_eq!((ledger.stored, ledger.dropped), (1, 4));
}

/// A window would rewrite the past of checks that the file does not know.
#[test]
fn a_window_that_covers_others_here_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    lived(&mut engine);
    let path = dir.path().join("blog.jsonl");
    export(dir.path(), &wanted(&["blog"], ALWAYS), &path, Format::Jsonl, at(3600), &mut |_, _| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    let (histories, _) = read(&path);
    let mut other = in_memory();
    other.apply(vec![definition("shop")], &options(), at(10)).unwrap();
    let error = other.import_histories(&histories.unwrap(), "collector:cli", at(4000)).unwrap_err().to_string();
    assert!(error.contains("maintenance window patch covers check shop here too"), "{error}");
}

#[test]
fn an_export_tells_once_what_it_leaves_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    lived(&mut engine);
    let path = |name: &str| dir.path().join(name);
    let export = |name: &str| {
        export(dir.path(), &wanted(&[], ALWAYS), &path(name), Format::Jsonl, at(3600), &mut |_, _| {
            std::ops::ControlFlow::Continue(())
        })
        .unwrap()
    };
    garble(&mut engine, 4);
    let expected = Exported { checks: 2, records: 123, unreadable: 0, gone: 0, set_aside: 1 };
    assert_eq!(export("waiting.jsonl"), expected, "of whichever check it was");
    engine.seal_now().unwrap();
    assert_eq!(export("sealed.jsonl"), expected, "it lies in the table quarantine");
    let records = |name: &str| {
        let mut records: Vec<String> = read(&path(name)).1.iter().map(|record| format!("{record:?}")).collect();
        records.sort();
        records
    };
    assert_eq!(records("waiting.jsonl"), records("sealed.jsonl"));
}
