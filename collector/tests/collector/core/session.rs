//! The session machine, driven without a network over an engine in memory.

use sitepulse_collector::engine::Engine;
use sitepulse_collector::receive::{
    Action, BATCHES_WAITING_MAX, CONTROL, HANDSHAKE_US_MAX, PeerCertificate, ReceiveSession,
};
use sitepulse_model::control::{Change, ControlEvent, EventId, Scope};
use sitepulse_model::id::{AgentNo, CheckNo, Incarnation};
use sitepulse_model::record::{FactKey, ProbeState, Record};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::frame::{FrameDecoder, HEADER_BYTES, Message as _};
use sitepulse_wire::message::{Hello, Lane, RefusalCode, Status, ToAgent, ToCollector};

use super::world::*;

fn session(certificate: Option<PeerCertificate>) -> ReceiveSession {
    ReceiveSession::new(certificate, "0.0.0", vec!["127.0.0.1:8443".into()], START)
}

fn hello(assignment_revision: u64) -> ToCollector {
    ToCollector::Hello(Hello {
        protocol_min: 1,
        protocol_max: 1,
        build: "0.0.0".into(),
        incarnation: Incarnation(7),
        sent_at: START,
        assignment_revision,
        spool_records: 0,
    })
}

/// Carries the session's wishes out on the engine; what it sent, and whether it closed.
fn settle(engine: &mut Engine, session: &mut ReceiveSession, now: UtcMicros) -> (Vec<(u32, ToAgent)>, bool) {
    let mut sent = Vec::new();
    let mut closed = false;
    while let Some(action) = session.poll_action() {
        match action {
            Action::Send(stream, message) => sent.push((stream, message)),
            Action::Welcomed { agent, build, .. } => engine.note_handshake(agent, &build, now).unwrap(),
            Action::Ingest { stream, number, job } => {
                let durable = engine.ingest(vec![job]).is_ok();
                session.handle_ingested(stream, number, durable, &engine.shared().book());
            }
            Action::KeepEvents { agent, events } => {
                session.handle_events_kept(engine.take_agent_events(agent, events, now).ok())
            }
            Action::Join(request) => session.handle_joined(engine.join(&request, now).ok()),
            Action::Renew { agent, csr_der } => session.handle_renewed(engine.renew(agent, &csr_der, now)),
            Action::Status(_, _) | Action::Ran { .. } => {}
            Action::Close(_) => closed = true,
        }
    }
    (sent, closed)
}

fn say(
    engine: &mut Engine,
    session: &mut ReceiveSession,
    stream: u32,
    message: ToCollector,
    now: UtcMicros,
) -> (Vec<(u32, ToAgent)>, bool) {
    let shared = std::sync::Arc::clone(engine.shared());
    session.handle_frame(stream, message, &shared.book(), now);
    settle(engine, session, now)
}

fn refusal(sent: &[(u32, ToAgent)]) -> RefusalCode {
    match sent.last() {
        Some((CONTROL, ToAgent::Refusal(refusal))) => refusal.code,
        other => panic!("no refusal: {other:?}"),
    }
}

fn world() -> (Engine, AgentNo, CheckNo) {
    let mut engine = in_memory();
    let agent = enrol(&mut engine, "eu-west", None).agent;
    engine.apply(vec![definition("shop")], &options(), START).unwrap();
    (engine, agent, CheckNo(1))
}

fn welcomed(engine: &mut Engine, agent: AgentNo) -> ReceiveSession {
    let mut session = session(Some(certificate(engine, agent)));
    let (sent, closed) = say(engine, &mut session, CONTROL, hello(0), START);
    assert!(matches!(sent[0], (CONTROL, ToAgent::Welcome(_))) && !closed);
    session
}

#[test]
fn a_hello_is_welcomed_with_what_the_agent_lacks() {
    let (mut engine, agent, check) = world();
    engine.control(Scope::Check(check), Change::Resume, "collector:cli", at(-5)).unwrap();
    let mut session = session(Some(certificate(&engine, agent)));
    let (sent, closed) = say(&mut engine, &mut session, CONTROL, hello(0), at(1));
    let [
        (_, ToAgent::Welcome(welcome)),
        (_, ToAgent::Secrets(secrets)),
        (_, ToAgent::Assignment(part)),
        (_, ToAgent::Control(events)),
    ] = &sent[..]
    else {
        panic!("{sent:?}")
    };
    assert!(secrets.secrets.is_empty() && secrets.parts == 1);
    assert!(welcome.assignment_follows && welcome.agent == agent && welcome.received_at == at(1) && !closed);
    assert_eq!((part.parts, part.checks.len(), events.len()), (1, 1, 1));
    let held = part.revision;

    // A second connection that holds it all but the events.
    let mut again = self::session(Some(certificate(&engine, agent)));
    let (sent, _) = say(&mut engine, &mut again, CONTROL, hello(held), at(2));
    assert!(
        matches!(&sent[..], [(_, ToAgent::Welcome(welcome)), (_, ToAgent::Secrets(_)), (_, ToAgent::Control(_))] if !welcome.assignment_follows)
    );

    // Changes reach an open session.
    engine.apply(vec![definition("blog")], &options(), at(3)).unwrap();
    engine.control(Scope::Agent(agent), Change::Resume, "collector:cli", at(3)).unwrap();
    again.handle_book(&engine.shared().book());
    let (sent, _) = settle(&mut engine, &mut again, at(3));
    let [(_, ToAgent::Assignment(part)), (_, ToAgent::Control(events))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((part.checks.len(), events.len()), (2, 1));
    again.handle_book(&engine.shared().book());
    assert_eq!(settle(&mut engine, &mut again, at(3)).0, []);
}

#[test]
fn strangers_are_refused_by_name() {
    let (mut engine, agent, _) = world();
    let known = certificate(&engine, agent);
    let cases = [
        (None, RefusalCode::UnknownAgent),
        (Some(PeerCertificate { spki_sha256: [1; 32], ..known.clone() }), RefusalCode::UnknownAgent),
        (
            Some(PeerCertificate { name: sitepulse_model::id::AgentName::parse("other").unwrap(), ..known.clone() }),
            RefusalCode::UnknownAgent,
        ),
    ];
    for (certificate, code) in cases {
        let mut session = session(certificate);
        let (sent, closed) = say(&mut engine, &mut session, CONTROL, hello(0), START);
        assert_eq!((refusal(&sent), closed), (code, true));
    }
    let mut newer = session(Some(known));
    let ToCollector::Hello(mut hello) = hello(0) else { unreachable!() };
    (hello.protocol_min, hello.protocol_max) = (2, 3);
    let (sent, closed) = say(&mut engine, &mut newer, CONTROL, ToCollector::Hello(hello), START);
    assert_eq!((refusal(&sent), closed), (RefusalCode::Protocol, true));
}

#[test]
fn an_expired_certificate_can_only_be_renewed() {
    let (mut engine, _, _) = world();
    let token =
        engine.create_join_token(sitepulse_model::id::Region::parse("x").unwrap(), 1_000_000, START).unwrap().token;
    let (_, csr_der) = key_and_csr();
    let joined = engine.join(&request(token.secret, None, &csr_der), START).unwrap().unwrap();
    let certificate = certificate(&engine, joined.agent);
    let later = certificate.not_after;
    let mut session = session(Some(certificate));
    let (sent, closed) = say(&mut engine, &mut session, CONTROL, hello(0), later);
    assert_eq!((refusal(&sent), closed), (RefusalCode::CertificateExpired, false));
    let (sent, closed) = say(&mut engine, &mut session, CONTROL, ToCollector::Renew { csr_der }, later);
    assert!(matches!(&sent[..], [(CONTROL, ToAgent::Renewed { .. })]) && !closed);
    let (sent, _) = say(&mut engine, &mut session, 1, ToCollector::LaneOpen(Lane::Fresh), later);
    assert_eq!(refusal(&sent), RefusalCode::BadMessage);
}

#[test]
fn batches_are_acknowledged_once_durable_and_in_order() {
    let (mut engine, agent, check) = world();
    let mut session = welcomed(&mut engine, agent);
    for (stream, lane) in [(1, Lane::Fresh), (2, Lane::Backlog)] {
        assert_eq!(say(&mut engine, &mut session, stream, ToCollector::LaneOpen(lane), START).0, []);
    }
    let send = |engine: &Engine, number: u64, seq: u64| {
        let record = result(check, seq.cast_signed() * 30, ProbeState::Up);
        ToCollector::Batch(batch(number, vec![entry(engine, seq, record)]))
    };
    for (stream, number, seq) in [(1, 1, 10), (2, 1, 0), (1, 2, 11), (2, 2, 1)] {
        let message = send(&engine, number, seq);
        let (sent, _) = say(&mut engine, &mut session, stream, message, at(3600));
        let [(to, ToAgent::Ack(ack))] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((*to, ack.number), (stream, number));
        assert!(ack.backlog_per_s > 0);
    }
    assert_eq!(engine.awaited(agent), 8);
    let skipped = send(&engine, 4, 12);
    let (sent, closed) = say(&mut engine, &mut session, 1, skipped, at(3600));
    assert_eq!((refusal(&sent), closed), (RefusalCode::BadMessage, true));
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}

/// Collectors are upgraded first. Where they were not, an agent of tomorrow learns who is to be, and keeps what nobody acknowledged.
#[test]
fn a_fact_that_only_a_newer_agent_knows_is_refused_with_who_should_upgrade_and_its_batch_is_taken_then() {
    let (mut engine, agent, check) = world();
    let Record::Result(mut told) = result(check, 0, ProbeState::Down) else { panic!("a result") };
    told.facts.text(FactKey::CertificateSha256, "known today");
    let sent = ToCollector::Batch(batch(1, vec![entry(&engine, 1, Record::Result(told))]));
    let today = sent.encode().unwrap();
    let mut tomorrow = today.clone();
    let known = [1, FactKey::CertificateSha256.code(), 11];
    let at = tomorrow.windows(known.len()).position(|window| window == known).unwrap();
    tomorrow[at + 1] = (1..128).rev().find(|code| FactKey::from_code(*code).is_none()).unwrap();
    let crc = crc32c(&[&tomorrow[..12], &tomorrow[HEADER_BYTES..]].concat());
    tomorrow[12..16].copy_from_slice(&crc.to_le_bytes());

    // As the listener does with what a lane brings.
    let mut deliver = |frame: &[u8]| {
        let mut session = welcomed(&mut engine, agent);
        say(&mut engine, &mut session, 1, ToCollector::LaneOpen(Lane::Fresh), START);
        let mut decoder = FrameDecoder::new();
        decoder.push(frame).unwrap();
        let outcome = match decoder.next::<ToCollector>() {
            Ok(message) => say(&mut engine, &mut session, 1, message.unwrap(), START),
            Err(error) => {
                session.handle_bad_frame(&error.to_string());
                settle(&mut engine, &mut session, START)
            }
        };
        (outcome, engine.awaited(agent))
    };
    let ((sent, closed), before) = deliver(&tomorrow);
    let [(CONTROL, ToAgent::Refusal(refusal))] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((refusal.code, closed), (RefusalCode::BadMessage, true));
    assert!(refusal.message.contains("the agent is newer: upgrade the collector first"), "{}", refusal.message);
    // The upgraded collector takes the very same batch, which the agent had kept.
    let ((sent, closed), after) = deliver(&today);
    assert!(matches!(&sent[..], [(1, ToAgent::Ack(ack))] if ack.number == 1) && !closed, "{sent:?}");
    assert_eq!((before, after), (0, 1), "the refused batch left no trace; of the other one its gap is known");
}

#[test]
fn nothing_is_acknowledged_after_a_batch_that_was_not_stored() {
    let (mut engine, agent, check) = world();
    let mut session = welcomed(&mut engine, agent);
    say(&mut engine, &mut session, 1, ToCollector::LaneOpen(Lane::Fresh), START);
    let shared = std::sync::Arc::clone(engine.shared());
    for number in 1..=BATCHES_WAITING_MAX as u64 {
        assert!(session.can_take_batch());
        let record = result(check, number.cast_signed() * 30, ProbeState::Up);
        let message = ToCollector::Batch(batch(number, vec![entry(&engine, number, record)]));
        session.handle_frame(1, message, &shared.book(), at(3600));
        assert!(matches!(session.poll_action(), Some(Action::Ingest { .. })));
    }
    assert!(!session.can_take_batch());
    session.handle_ingested(1, 1, false, &shared.book());
    session.handle_ingested(1, 2, true, &shared.book());
    let (sent, closed) = settle(&mut engine, &mut session, at(3600));
    assert_eq!((sent.len(), refusal(&sent), closed), (1, RefusalCode::Unavailable, true));
}

#[test]
fn a_revoked_agent_is_cut_off_at_once_and_at_each_batch() {
    let (mut engine, agent, check) = world();
    let mut open = welcomed(&mut engine, agent);
    let mut sending = welcomed(&mut engine, agent);
    say(&mut engine, &mut sending, 1, ToCollector::LaneOpen(Lane::Fresh), START);
    let known = certificate(&engine, agent);
    engine.revoke_agent(&known.name, at(1)).unwrap();
    open.handle_book(&engine.shared().book());
    let (sent, closed) = settle(&mut engine, &mut open, at(1));
    assert_eq!((refusal(&sent), closed), (RefusalCode::Revoked, true));
    let message = ToCollector::Batch(batch(1, vec![entry(&engine, 0, result(check, 0, ProbeState::Up))]));
    let (sent, closed) = say(&mut engine, &mut sending, 1, message, at(1));
    assert_eq!((refusal(&sent), closed), (RefusalCode::Revoked, true));
    let mut new = session(Some(known));
    assert_eq!(refusal(&say(&mut engine, &mut new, CONTROL, hello(0), at(2)).0), RefusalCode::Revoked);
}

#[test]
fn control_events_of_the_agent_are_kept_then_acknowledged() {
    let (mut engine, agent, _) = world();
    let mut session = welcomed(&mut engine, agent);
    let id = EventId { author: "agent:eu-west-1".into(), number: 1 };
    let change = Change::Suspend { until: at(900), reason: "work".into() };
    let event = ControlEvent { id: id.clone(), at: at(5), scope: Scope::Agent(agent), change };
    let (sent, _) = say(&mut engine, &mut session, CONTROL, ToCollector::Control(vec![event]), at(9));
    assert_eq!(sent, [(CONTROL, ToAgent::ControlAck(vec![id]))]);
    assert!(engine.shared().book().control().suspended_at(agent, CheckNo(1), at(6)).is_some());
    // It is not sent back.
    session.handle_book(&engine.shared().book());
    assert_eq!(settle(&mut engine, &mut session, at(9)).0, []);
}

#[test]
fn joining_goes_through_the_session() {
    let (mut engine, _, _) = world();
    let token =
        engine.create_join_token(sitepulse_model::id::Region::parse("x").unwrap(), 1_000_000, START).unwrap().token;
    let (_, csr) = key_and_csr();
    let mut joining = session(None);
    let (sent, closed) =
        say(&mut engine, &mut joining, CONTROL, ToCollector::Join(request(token.secret, None, &csr)), START);
    assert!(matches!(&sent[..], [(CONTROL, ToAgent::Joined(joined))] if joined.name.as_str() == "x-1"));
    assert!(closed, "a stranger's place is free at once");
    assert_eq!(say(&mut engine, &mut joining, CONTROL, ToCollector::Status(Status::default()), START), (vec![], false));
}

#[test]
fn a_silent_peer_is_closed() {
    let mut session = session(None);
    let deadline = session.poll_timeout().unwrap();
    assert_eq!(deadline, START.plus_us(HANDSHAKE_US_MAX));
    session.handle_timeout(deadline.plus_us(-1));
    assert_eq!(session.poll_action(), None);
    session.handle_timeout(deadline);
    assert!(matches!(session.poll_action(), Some(Action::Close(_))));
    assert_eq!((session.poll_timeout(), session.is_closed()), (None, true));
}

#[test]
fn large_assignments_come_in_parts() {
    let (mut engine, agent, _) = world();
    let checks: Vec<_> = (0..1200).map(|n| definition(&format!("check-{n}"))).collect();
    engine.apply(checks, &options(), at(1)).unwrap();
    let mut session = session(Some(certificate(&engine, agent)));
    let (sent, _) = say(&mut engine, &mut session, CONTROL, hello(0), at(2));
    let mut total = 0;
    assert!(matches!(sent[1], (_, ToAgent::Secrets(_))));
    for (number, (_, message)) in (0_u32..).zip(&sent[2..]) {
        let ToAgent::Assignment(part) = message else { panic!("{message:?}") };
        assert_eq!((part.part, part.parts as usize), (number, sent.len() - 2));
        total += part.checks.len();
    }
    assert_eq!(total, 1201);
}
