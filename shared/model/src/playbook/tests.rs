use alloc::string::ToString;
use alloc::vec;

use super::*;

pub(super) fn step(id: &str) -> Step {
    Step {
        id: id.into(),
        title: "Look".into(),
        title_fr: Some("Regarder".into()),
        text: Some("How.".into()),
        text_fr: None,
        minutes: 5,
        role: None,
        role_fr: None,
        link: Some("/checks/{check}".into()),
        command: Some("sitepulse-collector explain {check}".into()),
        done_when: Some("check up for 5m".into()),
    }
}

pub(super) fn book() -> Playbook {
    Playbook {
        id: "shop-down".into(),
        title: "The shop is down".into(),
        title_fr: None,
        incidents: vec!["down".into(), "regional".into()],
        findings: Vec::new(),
        checks: Vec::new(),
        groups: vec!["front".into()],
        tags: Vec::new(),
        classes: Vec::new(),
        check_kinds: Vec::new(),
        steps: vec![step("look"), step("mend")],
    }
}

#[test]
fn a_playbook_is_judged_key_by_key_with_the_remedy() {
    assert_eq!(book().faults(), vec![]);
    let told = |change: &dyn Fn(&mut Playbook)| -> String {
        let mut book = book();
        change(&mut book);
        book.faults().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (change, why) in [
        (&(|book: &mut Playbook| book.title = " ".into()) as &dyn Fn(&mut Playbook), "title: write 1 to 200 bytes"),
        (&|book| book.incidents.clear(), "incidents: say what it is for"),
        (
            &|book| book.incidents[1] = "fire".into(),
            "incidents[1]: \"fire\" is no kind of incident: write some of down",
        ),
        (&|book| book.findings = vec!["slow".into()], "findings[0]: \"slow\" is no kind of finding"),
        (
            &|book| book.classes = vec!["vip".into()],
            "classes[0]: \"vip\" is no class of checks: write some of critical",
        ),
        (&|book| book.check_kinds = vec!["ftp".into()], "check_kinds[0]: \"ftp\" is no kind of checks"),
        (&|book| book.groups.push("front".into()), "groups[1]: \"front\" is named twice"),
        (&|book| book.steps.clear(), "steps: 0 steps: write 1 to 50"),
        (&|book| book.steps[1].id = "look".into(), "steps[1].id: \"look\" is another step's id already"),
        (&|book| book.steps[0].id = "Look!".into(), "steps[0].id: "),
        (&|book| book.steps[0].minutes = 0, "steps[0].minutes: write 1 to 1440"),
        (&|book| book.steps[0].text = None, ""),
        (&|book| book.steps[0].role_fr = Some("x".into()), "steps[0].role_fr: it translates `role`"),
        (&|book| book.steps[0].link = Some("javascript:x".into()), "steps[0].link: write a page"),
        (&|book| book.steps[1].command = Some("dig '{host}'".into()), "steps[1].command: {host} stands within quotes"),
        (&|book| book.steps[1].done_when = Some("moon full".into()), "steps[1].done_when: \"moon full\" is no fact"),
    ] {
        let found = told(change);
        assert!(found.contains(why) && found.is_empty() == why.is_empty(), "{why}: {found}");
    }
}

#[test]
fn it_fits_what_it_names_and_nothing_else() {
    let down = Trouble::Incident(IncidentKind::Down);
    let front = About { check: Some("shop"), group: Some("front"), ..About::default() };
    let fit = |change: &dyn Fn(&mut Playbook), trouble, about: &About<'_>| {
        let mut book = book();
        change(&mut book);
        book.fits(trouble, about)
    };
    assert_eq!(fit(&|_| (), down, &front), Some(Fit::Label));
    assert_eq!(fit(&|_| (), down, &About { group: Some("back"), ..front }), None);
    assert_eq!(fit(&|_| (), down, &About::default()), None);
    assert_eq!(fit(&|_| (), Trouble::Incident(IncidentKind::Degraded), &front), None);
    assert_eq!(fit(&|_| (), Trouble::Finding(insight::Kind::Flapping), &front), None);
    assert_eq!(fit(&|book| book.checks = vec!["shop".into()], down, &front), Some(Fit::Check));
    assert_eq!(fit(&|book| book.groups.clear(), down, &About::default()), Some(Fit::General));
    let critical = |book: &mut Playbook| book.classes = vec!["critical".into()];
    assert_eq!(fit(&critical, down, &front), None);
    let class = Some(CheckClass::Critical);
    assert_eq!(fit(&critical, down, &About { class, ..front }), Some(Fit::Label));
    let general = |book: &mut Playbook| {
        book.groups.clear();
        critical(book);
    };
    assert_eq!(fit(&general, down, &About { class, ..About::default() }), Some(Fit::Class));
}

#[test]
fn own_ones_come_first_then_the_closest_then_by_id() {
    let named = |id: &str, groups: &[&str]| Playbook {
        id: id.into(),
        groups: groups.iter().map(|group| (*group).into()).collect(),
        ..book()
    };
    let own = [named("b", &[]), named("a", &[]), named("z", &["front"])];
    let built_in = [named("built", &["front"])];
    let about = About { group: Some("front"), ..About::default() };
    let found = offers(own.iter(), &built_in, Trouble::Incident(IncidentKind::Down), &about);
    let ids: Vec<(&str, bool)> = found.iter().map(|(book, built_in)| (book.id.as_str(), *built_in)).collect();
    assert_eq!(ids, [("z", false), ("a", false), ("b", false), ("built", true)]);
}

#[test]
fn an_unknown_key_is_refused_and_what_is_written_is_read_again() {
    let json = serde_json::to_string(&book()).unwrap();
    assert_eq!(serde_json::from_str::<Playbook>(&json).unwrap(), book());
    let odd = json.replacen("\"minutes\"", "\"minuts\"", 1);
    assert!(serde_json::from_str::<Playbook>(&odd).is_err());
}
