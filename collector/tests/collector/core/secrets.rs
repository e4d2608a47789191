//! Secrets: sealed on the disk, pushed to exactly the agents that need them, given back to nobody.

use std::path::Path;

use sitepulse_collector::app::{Access, AppError};
use sitepulse_collector::engine::Engine;
use sitepulse_collector::receive::{Action, CONTROL, ReceiveSession};
use sitepulse_model::id::{AgentNo, Incarnation, Region};
use sitepulse_wire::frame::Message;
use sitepulse_wire::message::{Hello, SECRETS_MAX, ToAgent, ToCollector};

use super::world::*;

const VALUE: &str = "hunter2-correct-horse";

pub(super) fn sent(session: &mut ReceiveSession) -> Vec<ToAgent> {
    let mut sent = Vec::new();
    while let Some(action) = session.poll_action() {
        if let Action::Send(CONTROL, message) = action {
            sent.push(message);
        }
    }
    sent
}

pub(super) fn welcomed(engine: &sitepulse_collector::engine::Engine, agent: AgentNo) -> (ReceiveSession, Vec<ToAgent>) {
    let mut session = ReceiveSession::new(Some(certificate(engine, agent)), "0.0.0", Vec::new(), START);
    let hello = Hello {
        protocol_min: 1,
        protocol_max: 1,
        build: "0.0.0".into(),
        incarnation: Incarnation(7),
        sent_at: START,
        assignment_revision: 0,
        spool_records: 0,
    };
    session.handle_frame(CONTROL, ToCollector::Hello(hello), &engine.shared().book(), START);
    let sent = sent(&mut session);
    assert!(matches!(sent[0], ToAgent::Welcome(_)), "{sent:?}");
    (session, sent)
}

pub(super) fn secrets_of(message: &ToAgent) -> Vec<(String, String)> {
    let ToAgent::Secrets(part) = message else { panic!("{message:?}") };
    part.secrets.clone()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.into(), value.into())
}

/// Whether some file of the folder holds these bytes.
fn found_on_disk(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        bytes.windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn each_agent_gets_exactly_the_secrets_its_checks_refer_to_before_its_assignment() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let east = enrol(&mut engine, "eu-east", None).agent;
    let west = enrol(&mut engine, "eu-west", None).agent;
    let mut eastern = with_secret("blog", "east");
    eastern.regions = Some([Region::parse("eu-east").unwrap()].into());
    let plan = engine.apply_as(Access::Admin, vec![with_secret("shop", "both"), eastern], &options(), at(1)).unwrap();
    assert_eq!(plan.warnings.len(), 2, "{:?}", plan.warnings);
    assert!(plan.warnings[0].contains("check blog refers to secret east, which is not set"), "{:?}", plan.warnings);
    for name in ["both", "east", "unused"] {
        engine.set_secret(name, format!("{name} {VALUE}\n").as_bytes(), at(2)).unwrap();
    }
    assert_eq!(
        engine.apply_as(Access::Admin, vec![with_secret("shop", "both")], &options(), at(3)).unwrap().warnings,
        [""; 0]
    );

    let (mut western, first) = welcomed(&engine, west);
    assert_eq!(secrets_of(&first[1]), [pair("both", &format!("both {VALUE}"))]);
    assert!(matches!(first[2], ToAgent::Assignment(_)));
    let (mut eastern, first) = welcomed(&engine, east);
    let both = pair("both", &format!("both {VALUE}"));
    assert_eq!(secrets_of(&first[1]), [both, pair("east", &format!("east {VALUE}"))]);

    // A new value reaches those that use it, and nobody else hears of anything.
    engine.set_secret("east", b"new", at(4)).unwrap();
    western.handle_book(&engine.shared().book());
    eastern.handle_book(&engine.shared().book());
    assert!(sent(&mut western).is_empty());
    assert_eq!(secrets_of(&sent(&mut eastern)[0])[1], pair("east", "new"));

    // A check that stops referring to it takes it away, before the assignment.
    engine.apply(vec![definition("shop")], &options(), at(5)).unwrap();
    western.handle_book(&engine.shared().book());
    let told = sent(&mut western);
    assert!(secrets_of(&told[0]).is_empty() && matches!(told[1], ToAgent::Assignment(_)), "{told:?}");
}

/// What the configuration needs could be removed without a word: nobody could sign in by the provider any more.
#[test]
fn a_secret_that_the_configuration_refers_to_stays_unless_it_is_forced() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    engine.set_secret("idp", VALUE.as_bytes(), at(1)).unwrap();
    let refers = |key: &str| [(key.to_owned(), "idp".to_owned())].into();
    engine.note_configured_secrets(refers("oidc.client_secret")).unwrap();
    drop(engine);
    // Also beside a service that is stopped.
    let mut engine = on_disk(dir.path());
    let refused = engine.remove_secret("idp", false).unwrap_err().to_string();
    assert!(
        refused.contains("oidc.client_secret of the configuration") && refused.contains("does not work"),
        "{refused}"
    );
    engine.note_configured_secrets(refers("watchdog.url")).unwrap();
    let refused = engine.remove_secret("idp", false).unwrap_err().to_string();
    assert!(refused.contains("watchdog.url") && !refused.contains("oidc"), "{refused}");
    engine.note_configured_secrets(std::collections::BTreeMap::new()).unwrap();
    engine.remove_secret("idp", false).unwrap();
}

#[test]
fn many_secrets_come_in_parts_that_can_be_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let agent = enrol(&mut engine, "eu-west", None).agent;
    let count = SECRETS_MAX * 2 + 3;
    let names: Vec<String> = (0..count).map(|n| format!("secret-{n:03}")).collect();
    let checks: Vec<_> = names.iter().enumerate().map(|(n, name)| with_secret(&format!("check-{n}"), name)).collect();
    engine.apply_as(Access::Admin, checks, &options(), START).unwrap();
    for name in &names {
        engine.set_secret(name, "x".repeat(8192).as_bytes(), START).unwrap();
    }
    let (_, sent) = welcomed(&engine, agent);
    let parts: Vec<_> = sent.iter().filter(|message| matches!(message, ToAgent::Secrets(_))).collect();
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().all(|part| part.encode().is_ok()));
    assert_eq!(parts.iter().flat_map(|part| secrets_of(part)).map(|(name, _)| name).collect::<Vec<_>>(), names);
}

#[test]
fn a_value_is_on_the_disk_sealed_alone_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply_as(Access::Admin, vec![with_secret("shop", "ops")], &options(), START).unwrap();
    engine.set_secret("ops", VALUE.as_bytes(), at(1)).unwrap();
    assert!(found_on_disk(dir.path(), b"secret:ops"), "the search must see the write-ahead log");
    assert!(!found_on_disk(dir.path(), VALUE.as_bytes()));
    engine.store().checkpoint().unwrap();
    assert!(!found_on_disk(dir.path(), VALUE.as_bytes()));
    assert!(!format!("{:?}", engine.shared().book().vault()).contains(VALUE));
    drop(engine);
    let engine = on_disk(dir.path());
    assert_eq!(secrets_of(&welcomed(&engine, agent).1[1]), [pair("ops", VALUE)]);
    drop(engine);

    // Without its key the value is lost, the collector runs on, and the list says what to do.
    std::fs::remove_file(dir.path().join("seal.key")).unwrap();
    let mut engine = on_disk(dir.path());
    assert!(engine.shared().book().vault().contains("ops") && !engine.shared().book().vault().opens("ops"));
    assert!(secrets_of(&welcomed(&engine, agent).1[1]).is_empty());
    assert!(matches!(engine.set_secret("ops", b"anew", at(2)), Err(AppError::Conflict(_))));
    engine.remove_secret("ops", true).unwrap();
    // The next start of the service begins with a new key.
    engine.adopt_seal_key().unwrap();
    engine.set_secret("ops", b"anew", at(3)).unwrap();
    assert!(engine.shared().book().vault().opens("ops"));
}

/// The key moves between the data directory and a place beside it, as systemd hands one to the service alone.
#[test]
fn a_command_line_without_the_service_s_key_makes_no_second_one() {
    let (dir, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (here, there) = (dir.path().join("seal.key"), beside.path().join("seal.key"));
    let refused = |engine: &mut Engine, name: &str| match engine.set_secret(name, VALUE.as_bytes(), at(5)) {
        Err(AppError::Conflict(what)) => assert!(what.contains("seal.key") && !what.contains(VALUE), "{what}"),
        other => panic!("{other:?}"),
    };
    std::fs::write(&here, [7; 32]).unwrap();
    let mut service = on_disk(dir.path());
    service.adopt_seal_key().unwrap();
    drop(service);

    // The first secret: no key, and an older key that nobody uses any more.
    std::fs::rename(&here, &there).unwrap();
    let mut command = on_disk(dir.path());
    refused(&mut command, "ops");
    drop(command);
    assert!(!here.exists(), "no second key");
    std::fs::write(&here, [8; 32]).unwrap();
    refused(&mut on_disk(dir.path()), "ops");

    // A second secret.
    std::fs::rename(&there, &here).unwrap();
    let mut service = on_disk(dir.path());
    service.set_secret("ops", VALUE.as_bytes(), at(6)).unwrap();
    drop(service);
    std::fs::rename(&here, &there).unwrap();
    refused(&mut on_disk(dir.path()), "dev");
    assert!(!here.exists(), "no second key");
    std::fs::write(&here, [8; 32]).unwrap();
    refused(&mut on_disk(dir.path()), "dev");
    std::fs::rename(&there, &here).unwrap();
    let service = on_disk(dir.path());
    assert!(service.shared().book().vault().opens("ops") && !service.shared().book().vault().contains("dev"));
}

#[test]
fn a_secret_in_use_stays_and_a_bad_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    engine.apply_as(Access::Admin, vec![with_secret("shop", "ops")], &options(), START).unwrap();
    engine.set_secret("ops", VALUE.as_bytes(), START).unwrap();
    match engine.remove_secret("ops", false) {
        Err(AppError::Conflict(what)) => assert!(what.contains("used by shop"), "{what}"),
        other => panic!("{other:?}"),
    }
    engine.remove_secret("ops", true).unwrap();
    assert!(matches!(engine.remove_secret("ops", true), Err(AppError::NotFound(_))));
    for (name, value) in [("a b", "x"), ("", "x"), ("ops", ""), ("ops", "\n"), ("ops", &"x".repeat(8193))] {
        match engine.set_secret(name, value.as_bytes(), START) {
            Err(AppError::Invalid(what)) => assert!(!what.contains("xx"), "{what}"),
            other => panic!("{name:?}: {other:?}"),
        }
    }
    assert!(matches!(engine.set_secret("ops", &[0xff, 0xfe], START), Err(AppError::Invalid(_))));
    assert!(matches!(in_memory().set_secret("ops", b"x", START), Err(AppError::Unavailable(_))));
}
