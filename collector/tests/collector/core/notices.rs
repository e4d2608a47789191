//! What messages of every kind of incident say, as the collector makes them: kept in `shared/notify/tests/notices`, from where the words of messages are tried out.
//! Run with `UPDATE_GOLDEN=1` to write them anew, and read what changed.

use std::path::Path;

use sitepulse_collector::alert::people::Manual;
use sitepulse_model::incident::machine::Input;
use sitepulse_model::incident::{IncidentKind, NoticeEvent};
use sitepulse_model::notice::{Found, Notice};
use sitepulse_model::record::{Cause, FactKey, Phase, ProbeResult, ProbeState};

use super::signals::{SLO, Site, check, down};
use super::world::at;

/// The notices of a kind that a site sent, the first of each event.
fn kept(site: &Site, kind: IncidentKind, name: &str) -> Vec<Notice> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/notify/tests/notices");
    let notices: Vec<&Notice> =
        site.sent.iter().map(|message| &message.notice).filter(|notice| notice.incident.kind == kind).collect();
    let mut found = Vec::new();
    for event in [NoticeEvent::Opened, NoticeEvent::Resolved] {
        let notice = notices.iter().find(|notice| notice.event == event);
        let notice = notice.unwrap_or_else(|| panic!("{kind} {event} was not sent: {:?}", site.told()));
        let text = serde_json::to_string_pretty(notice).unwrap() + "\n";
        let file = folder.join(format!("{name}.{event}.json"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(kept == text, "{} differs; set UPDATE_GOLDEN=1, and read what changed:\n{text}", file.display());
        found.push((*notice).clone());
    }
    found
}

/// What an agent tells of a server that answers with an error.
fn refused(result: &mut ProbeResult) {
    if result.state == ProbeState::Down {
        (result.cause, result.failed_phase) = (Some(Cause::HttpStatus), Some(Phase::FirstByte));
        result.detail = "HTTP 503".into();
    }
}

#[test]
fn an_outage_says_where_from_and_how() {
    let mut site = Site::new(3, &check("shop", ""));
    site.dress = refused;
    site.run(0, 400, |_, _, second| down(100, 200, second));
    let [opened, resolved] = &kept(&site, IncidentKind::Down, "down")[..] else { panic!() };
    assert_eq!((opened.context.regions.len(), opened.context.regions_of), (2, 3), "two of three found out");
    over(resolved);
    assert_eq!(opened.context.explanation.as_deref(), Some("HTTP 503"));

    let mut site = Site::new(3, &check("shop", ""));
    site.dress = refused;
    site.run(0, 400, |agent, _, second| if agent == 1 { down(100, 200, second) } else { Some(ProbeState::Up) });
    let [opened, resolved] = &kept(&site, IncidentKind::Regional, "regional")[..] else { panic!() };
    assert_eq!((&opened.context.regions[..], opened.context.regions_of), (&["region-1".to_owned()][..], 3));
    over(resolved);

    let mut site = Site::new(2, &check("shop", ""));
    site.run(0, 400, |_, _, second| {
        Some(if (100..200).contains(&second) { ProbeState::Degraded } else { ProbeState::Up })
    });
    over(&kept(&site, IncidentKind::Degraded, "degraded")[1]);
}

/// Somebody took it, and then the site was well again by itself: who took it did not end it.
#[test]
fn what_the_evidence_ends_is_not_told_as_ended_by_whoever_took_it() {
    let mut site = Site::new(1, &check("shop", ""));
    site.run(0, 200, |_, _, second| down(100, 200, second));
    let opened = site.sent.iter().find(|message| message.notice.event == NoticeEvent::Opened).expect("it is told");
    let id = opened.key.incident.clone();
    site.engine.act(&id, Input::Acknowledge { by: "ana" }, "ana", at(200)).unwrap();
    site.run(200, 400, |_, _, _| Some(ProbeState::Up));
    let by = |event| {
        let notice = site.sent.iter().map(|message| &message.notice).find(|notice| notice.event == event);
        notice.unwrap_or_else(|| panic!("{event} was not sent: {:?}", site.told())).context.by.clone()
    };
    assert_eq!(by(NoticeEvent::Acknowledged).as_deref(), Some("ana"));
    assert_eq!(by(NoticeEvent::Resolved), None);
}

/// The first region that is well again may end it: those that are not heard of yet are not named, nor why they failed.
fn over(resolved: &Notice) {
    let context = &resolved.context;
    assert_eq!((&context.regions[..], context.regions_of), (&[][..], 0), "{resolved:?}");
    assert_eq!((&context.cause, &context.phase, &context.explanation), (&None, &None, &None), "{resolved:?}");
}

#[test]
fn a_silent_agent_names_what_it_leaves_unwatched_and_a_person_what_they_know() {
    let checks: String = (0..3).map(|nth| check(&format!("shop-{nth}"), "")).collect();
    let mut site = Site::new(1, &checks);
    site.run(0, 100, |_, _, _| Some(ProbeState::Up));
    site.run(100, 300, |_, _, _| None);
    site.run(300, 400, |_, _, _| Some(ProbeState::Up));
    let opened = kept(&site, IncidentKind::AgentSilent, "agent_silent").remove(0);
    assert_eq!(opened.context.checks, ["shop-0", "shop-1", "shop-2"]);

    let mut site = Site::new(1, &check("shop", ""));
    let manual = Manual { title: "Payments are slow".into(), check: None, severity: None };
    let id = site.engine.open_manual(&manual, "ana", at(10)).unwrap();
    site.send(10);
    site.engine.act(&id, Input::Resolve { by: "ana" }, "ana", at(600)).unwrap();
    site.send(600);
    kept(&site, IncidentKind::Manual, "manual");
}

#[test]
fn what_expires_is_named_with_its_date() {
    let mut site = Site::new(2, &check("shop", ""));
    site.dress = |result| {
        let day = 86_400_000_000;
        let left = if result.scheduled < at(200) { 5 * day } else { 90 * day };
        result.facts.certificate_expires = Some(at(0).plus_us(left));
        result.facts.text(FactKey::CertificateSubject, "shop.example");
    };
    site.run(0, 1_000, |_, _, _| Some(ProbeState::Up));
    let [opened, resolved] = &kept(&site, IncidentKind::Certificate, "certificate")[..] else { panic!() };
    let expires = at(5 * 86_400);
    assert_eq!(opened.context.found, Some(Found::Certificate { name: Some("shop.example".into()), expires }));
    assert_eq!((opened.context.regions_of, &resolved.context.found), (0, &None));

    let domain = "[[check]]\nid = \"registration\"\nkind = \"domain\"\ndomain = \"shop.example\"\ninterval = \"30s\"\n";
    let mut site = Site::new(1, domain);
    site.dress = |result| {
        let left = if result.scheduled < at(200) { 20 } else { 300 };
        result.facts.number(FactKey::DomainExpires, at(left * 86_400).0 / 1_000_000);
    };
    site.run(0, 1_000, |_, _, _| Some(ProbeState::Up));
    let opened = kept(&site, IncidentKind::Certificate, "domain").remove(0);
    assert!(matches!(opened.context.found, Some(Found::Domain { name: Some(name), .. }) if name == "shop.example"));
}

#[test]
fn a_page_that_got_slower_says_by_which_measure_from_what_to_what() {
    let page = "[[check]]\nid = \"page\"\nkind = \"web_vitals\"\nurl = \"http://127.0.0.1:1/\"\ninterval = \"30s\"\n";
    let mut site = Site::new(2, page);
    site.dress = |result| {
        let slow = (at(400)..at(700)).contains(&result.scheduled);
        let (lcp, cls) = if slow { (2_600_000, 2_500) } else { (2_000_000, 500) };
        for (keys, value) in [
            ([FactKey::Lcp, FactKey::LcpMin, FactKey::LcpMax], lcp),
            ([FactKey::Cls, FactKey::ClsMin, FactKey::ClsMax], cls),
        ] {
            for key in keys {
                result.facts.number(key, value);
            }
        }
    };
    site.run(0, 900, |_, _, _| Some(ProbeState::Up));
    let opened = kept(&site, IncidentKind::WebVitals, "web_vitals").remove(0);
    let Some(Found::Vital { vital, baseline, median, .. }) = opened.context.found else { panic!("{opened:?}") };
    assert_eq!((vital.as_str(), baseline, median), ("cls", 500, 2_500), "the one that grew most");
    assert_eq!(opened.context.regions_of, 2);
}

#[test]
fn a_budget_that_burns_says_how_fast_and_what_is_left() {
    let mut site = Site::new(1, &format!("{}{SLO}", check("shop", "")));
    site.run(0, 600, |_, _, second| down(300, 600, second));
    let opened = site.sent.iter().find(|message| message.notice.incident.slo.is_some()).unwrap().notice.clone();
    let Some(Found::Burn { hours, rate_tenths, threshold_tenths, left_permille }) = opened.context.found else {
        panic!("{opened:?}")
    };
    assert_eq!((hours, threshold_tenths), (1, 144));
    assert!(
        rate_tenths.is_some_and(|rate| rate >= 144) && left_permille.is_some(),
        "{rate_tenths:?} {left_permille:?}"
    );
    site.run(600, 1_000, |_, _, _| Some(ProbeState::Up));
    site.run(8 * 3_600, 8 * 3_600 + 1_000, |_, _, _| Some(ProbeState::Up));
    kept(&site, IncidentKind::SloBurn, "slo_burn");
}
