//! Join tokens are single use, bound, and idempotent for their key; revocation is final.

use sitepulse_collector::present::view::revocation_view;
use sitepulse_model::id::{AgentName, Region};
use sitepulse_wire::message::{RefusalCode, ToAgent};

use super::world::*;

#[test]
fn tokens_are_for_one_key_and_an_hour() {
    let mut engine = in_memory();
    let region = Region::parse("eu-west").unwrap();
    let new = engine.create_join_token(region.clone(), 60 * 1_000_000, START).unwrap();
    assert_eq!(new.token.ca_pin, engine.authority().pin());
    assert_eq!(new.token.addresses, ["127.0.0.1:8443"]);
    let secret = new.token.secret;
    let (_, csr) = key_and_csr();
    let (_, other) = key_and_csr();

    let forged = engine.join(&request([7; 32], None, &csr), START).unwrap().unwrap_err();
    assert_eq!(forged.code, RefusalCode::TokenUnknown);
    let damaged = engine.join(&request(secret, None, b"no request"), START).unwrap().unwrap_err();
    assert_eq!(damaged.code, RefusalCode::BadMessage);
    let late = engine.join(&request(secret, None, &csr), at(60)).unwrap().unwrap_err();
    assert_eq!(late.code, RefusalCode::TokenExpired);

    let joined = engine.join(&request(secret, None, &csr), at(59)).unwrap().unwrap();
    assert_eq!((joined.name.as_str(), &joined.region), ("eu-west-1", &region));
    let again = engine.join(&request(secret, None, &csr), at(7200)).unwrap().unwrap();
    assert_eq!((again.agent, again.name), (joined.agent, joined.name.clone()));
    assert_eq!(engine.shared().book().agents().count(), 1);
    let stolen = engine.join(&request(secret, None, &other), at(59)).unwrap().unwrap_err();
    assert_eq!(stolen.code, RefusalCode::TokenUsed);

    engine.revoke_agent(&joined.name, at(8000)).unwrap();
    let back = engine.join(&request(secret, None, &csr), at(8001)).unwrap().unwrap_err();
    assert_eq!(back.code, RefusalCode::Revoked);
}

#[test]
fn names_are_given_once() {
    let mut engine = in_memory();
    assert_eq!(enrol(&mut engine, "eu-west", None).name.as_str(), "eu-west-1");
    assert_eq!(enrol(&mut engine, "eu-west", Some("eu-west-3")).name.as_str(), "eu-west-3");
    assert_eq!(enrol(&mut engine, "eu-west", None).name.as_str(), "eu-west-2");
    assert_eq!(enrol(&mut engine, "eu-west", None).name.as_str(), "eu-west-4");
    let token = engine.create_join_token(Region::parse("x").unwrap(), 1_000_000, START).unwrap().token;
    let (_, csr) = key_and_csr();
    let taken = engine.join(&request(token.secret, Some("eu-west-2"), &csr), START).unwrap().unwrap_err();
    assert_eq!(taken.code, RefusalCode::NameTaken);
    // The token is not used up by a name that was taken.
    assert!(engine.join(&request(token.secret, Some("free"), &csr), START).unwrap().is_ok());
    let long = "r".repeat(64);
    assert_eq!(enrol(&mut engine, &long, None).name.as_str().len(), 64);
}

#[test]
fn tokens_live_an_hour_at_most_and_only_their_hash_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = on_disk(dir.path());
    let region = Region::parse("eu-west").unwrap();
    for ttl in [0, 3600 * 1_000_000 + 1, u64::MAX] {
        let error = engine.create_join_token(region.clone(), ttl, START).unwrap_err();
        assert!(error.to_string().contains("1 hour at most"), "{error}");
    }
    let secret = engine.create_join_token(region, 3600 * 1_000_000, START).unwrap().token.secret;
    engine.store().checkpoint().unwrap();
    drop(engine);
    let bytes = std::fs::read(dir.path().join("collector.db")).unwrap();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret));
}

#[test]
fn renewal_needs_the_registered_key() {
    let mut engine = in_memory();
    let token = engine.create_join_token(Region::parse("x").unwrap(), 1_000_000, START).unwrap().token;
    let (_, csr) = key_and_csr();
    let (_, other) = key_and_csr();
    let joined = engine.join(&request(token.secret, None, &csr), START).unwrap().unwrap();
    // A month later: long expired.
    let renewed = engine.renew(joined.agent, &csr, at(30 * 86_400)).unwrap();
    assert!(matches!(renewed, ToAgent::Renewed { expires, .. } if expires > at(30 * 86_400)));
    assert_eq!(engine.renew(joined.agent, &other, at(1)).unwrap_err().code, RefusalCode::UnknownAgent);
    engine.revoke_agent(&joined.name, at(2)).unwrap();
    assert_eq!(engine.renew(joined.agent, &csr, at(3)).unwrap_err().code, RefusalCode::Revoked);
    assert!(engine.revoke_agent(&AgentName::parse("nobody").unwrap(), at(3)).is_err());
}

#[test]
fn revocations_stand_in_the_history() {
    let mut engine = in_memory();
    let joined = enrol(&mut engine, "eu-west", None);
    let view = |engine: &sitepulse_collector::engine::Engine| {
        revocation_view(engine.shared().book().agent(joined.agent).unwrap())
    };
    assert_eq!(view(&engine), None);
    engine.revoke_agent(&joined.name, at(2)).unwrap();
    let event = view(&engine).unwrap();
    assert_eq!((event.action.as_str(), event.agent.as_deref()), ("revoke", Some("eu-west-1")));
    assert_eq!(event.at, sitepulse_daemon::instant::format(at(2)));
}
