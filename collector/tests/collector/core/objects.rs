//! Objects as code: applied with the checks in one transaction, idempotent, effective-dated, loaded at start.

use sitepulse_collector::app::{AppError, Plan, PlanStep};
use sitepulse_collector::checkfile::{self, Source, Written};
use sitepulse_collector::engine::Engine;
use sitepulse_model::slo::Slo;

use super::world::*;

const CHECKS: &str =
    "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"https://shop.example/\"\ngroup = \"web\"\ntags = [\"eu\"]\n";
const OBJECTS: &str = "[[policy]]\nid = \"gold\"\nobjective = \"99.9%\"\n\
                       [[slo]]\nid = \"shop\"\nchecks = [\"shop\"]\ngroups = [\"web\"]\npolicy = \"gold\"\n\
                       [[maintenance]]\nid = \"night\"\ntags = [\"eu\"]\nfrom = \"2026-12-01T02:00:00Z\"\nlasts = \"2h\"\n";

fn written(text: &str) -> Written {
    checkfile::parse(&[Source { name: "all.toml".into(), text: text.into() }]).unwrap()
}

fn steps(plan: &Plan) -> Vec<String> {
    let name = |step: &PlanStep| match step {
        PlanStep::Create => "create".to_owned(),
        PlanStep::Change { revision, fields } => {
            let fields: Vec<String> =
                fields.iter().map(|diff| format!("{} {} -> {}", diff.field, diff.old, diff.new)).collect();
            format!("change to {revision}: {}", fields.join(", "))
        }
        PlanStep::Unchanged => "unchanged".to_owned(),
        PlanStep::Retire => "retire".to_owned(),
    };
    plan.objects.iter().map(|item| format!("{} {} {}", item.kind.table(), item.id, name(&item.step))).collect()
}

fn apply(engine: &mut Engine, text: &str, prune: bool, second: i64) -> Result<Plan, AppError> {
    let mut how = options();
    how.prune = prune;
    engine.apply(written(text), &how, at(second))
}

fn periods(engine: &Engine) -> Vec<(u32, bool, String)> {
    let book = engine.shared().book();
    let versions = book.objects().slos.versions("shop");
    versions.iter().map(|one| (one.version, one.retired, one.body.period.clone())).collect()
}

#[test]
fn objects_are_applied_with_their_checks_and_again_without_a_change() {
    let mut engine = in_memory();
    let all = format!("{OBJECTS}{CHECKS}");
    let mut dry = options();
    dry.dry_run = true;
    let plan = engine.apply(written(&all), &dry, START).unwrap();
    assert_eq!(steps(&plan), ["policy gold create", "slo shop create", "maintenance night create"]);
    assert_eq!(engine.shared().book().objects().slos.iter().count(), 0);

    apply(&mut engine, &all, false, 0).unwrap();
    let plan = apply(&mut engine, &all, true, 10).unwrap();
    assert_eq!(steps(&plan), ["policy gold unchanged", "slo shop unchanged", "maintenance night unchanged"]);
    assert_eq!(periods(&engine), [(1, false, "30d".to_owned())]);
    let rows: i64 =
        engine.store().connection().query_row("SELECT count(*) FROM object_revision", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 3);
}

#[test]
fn a_change_makes_a_version_and_the_old_one_stays() {
    let mut engine = in_memory();
    apply(&mut engine, &format!("{OBJECTS}{CHECKS}"), false, 0).unwrap();
    let changed = OBJECTS.replace("policy = \"gold\"", "period = \"7d\"");
    let plan = apply(&mut engine, &changed, false, 10).unwrap();
    assert_eq!(steps(&plan)[1], "slo shop change to 2: period 30d -> 7d, policy gold -> (default)");
    let plan = apply(&mut engine, CHECKS, true, 20).unwrap();
    assert_eq!(steps(&plan), ["policy gold retire", "slo shop retire", "maintenance night retire"]);
    let plan = apply(&mut engine, OBJECTS, false, 30).unwrap();
    assert_eq!(steps(&plan), ["policy gold create", "slo shop create", "maintenance night create"]);
    let week = |retired, version| (version, retired, "7d".to_owned());
    let month = |version| (version, false, "30d".to_owned());
    assert_eq!(periods(&engine), [month(1), week(false, 2), week(true, 3), month(4)]);
    let period = |at| -> Option<String> {
        let book = engine.shared().book();
        book.objects().slos.at("shop", at).map(|one: &sitepulse_collector::book::Revised<Slo>| one.body.period.clone())
    };
    let periods = [period(at(-1)), period(at(5)), period(at(15)), period(at(25)), period(at(35))];
    assert_eq!(periods.map(|period| period.unwrap_or_default()), ["", "30d", "7d", "", "30d"]);
    assert_eq!(engine.shared().book().objects().policies.version("gold", 3).unwrap().body.version, 3);
}

#[test]
fn names_must_lead_somewhere() {
    let mut engine = in_memory();
    let told = |error: AppError| {
        let AppError::BadFiles(faults) = error else { panic!("{error:?}") };
        faults
    };
    let broken = OBJECTS.replace("\"shop\"]", "\"shoq\"]").replace("policy = \"gold\"", "policy = \"silver\"");
    let faults = told(apply(&mut engine, &format!("{broken}{CHECKS}"), false, 0).unwrap_err());
    assert_eq!(
        faults,
        [
            r#"all.toml:6:11: slo "shop": checks[0]: there is no check "shoq": did you mean "shop"?"#,
            r#"all.toml:8:10: slo "shop": policy: there is no policy "silver": write it as a [[policy]], or leave it out"#,
        ]
    );
    assert_eq!(engine.shared().book().checks().count(), 0, "nothing is applied");

    apply(&mut engine, &format!("{OBJECTS}{CHECKS}"), false, 0).unwrap();
    // What is there already counts, and must not be taken away from under what stays.
    apply(&mut engine, OBJECTS, false, 10).unwrap();
    let faults = told(apply(&mut engine, OBJECTS, true, 20).unwrap_err());
    assert_eq!(faults.len(), 3, "{faults:?}");
    let moved = CHECKS.replace("group = \"web\"\n", "");
    let faults = told(apply(&mut engine, &moved, false, 20).unwrap_err());
    assert_eq!(
        faults,
        [
            r#"slo "shop", applied before: groups[0]: there is no group "web": put a check into it with group = "web", or leave it out"#
        ]
    );
}

#[test]
fn objects_and_labels_are_loaded_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let before = {
        let mut engine = on_disk(dir.path());
        apply(&mut engine, &format!("{OBJECTS}{CHECKS}"), false, 0).unwrap();
        apply(&mut engine, &OBJECTS.replace("2h", "3h"), false, 10).unwrap();
        let book = engine.shared().book();
        format!("{:?}", book.objects())
    };
    let engine = on_disk(dir.path());
    let book = engine.shared().book();
    assert_eq!(format!("{:?}", book.objects()), before);
    let labels = &book.checks().next().unwrap().newest().labels;
    assert_eq!((labels.group.as_ref().unwrap().as_str(), labels.tags.len()), ("web", 1));
}

#[test]
fn a_check_that_moves_to_another_group_gets_a_revision() {
    let mut engine = in_memory();
    apply(&mut engine, CHECKS, false, 0).unwrap();
    let plan = apply(&mut engine, &CHECKS.replace("web", "shops").replace("[\"eu\"]", "[]"), false, 10).unwrap();
    let PlanStep::Change { fields, .. } = &plan.items[0].step else { panic!("{plan:?}") };
    let fields: Vec<String> =
        fields.iter().map(|diff| format!("{} {} -> {}", diff.field, diff.old, diff.new)).collect();
    assert_eq!(fields, ["group web -> shops", r#"tags ["eu"] -> []"#]);
    let book = engine.shared().book();
    let check = book.checks().next().unwrap();
    assert_eq!(check.at(at(5)).unwrap().labels.group.as_ref().unwrap().as_str(), "web");
}
