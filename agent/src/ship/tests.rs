//! The session against a collector played by hand, on virtual time.

use sitepulse_model::control::{Change, Scope, Weight};
use sitepulse_model::id::{Bucket, CheckNo, Revision, Seq};
use sitepulse_model::record::{Missed, MissedCause, Provenance, Record};
use sitepulse_wire::message::{Ack, AssignmentPart, Entry, Welcome};

use super::*;

const INCARNATION: Incarnation = Incarnation(9);

fn settings(boundary: u64) -> Settings {
    Settings {
        opening: Opening::Hello,
        agent: AgentNo(3),
        build: "1".into(),
        incarnation: INCARNATION,
        boundary,
        spool_records: boundary,
        assignment_revision: 0,
        events: Vec::new(),
        renew_at: UtcMicros::MAX,
        csr_der: vec![1, 2],
    }
}

fn welcome(backlog_per_s: u32) -> ToAgent {
    ToAgent::Welcome(Welcome {
        protocol: PROTOCOL,
        build: "c".into(),
        received_at: UtcMicros(1_000_500),
        sent_at: UtcMicros(1_000_700),
        agent: AgentNo(3),
        addresses: vec!["c:1".into()],
        assignment_follows: false,
        backlog_per_s,
    })
}

/// A session that was welcomed 1 ms after its hello.
fn open(boundary: u64, backlog_per_s: u32) -> (ShipSession, Vec<Action>) {
    let mut session = ShipSession::new(settings(boundary), UtcMicros(0), Monotonic(0));
    assert!(matches!(session.poll_action(), Some(Action::Send(Stream::Control, ToCollector::Hello(_)))));
    assert_eq!(session.poll_action(), None);
    session.handle_frame(Stream::Control, welcome(backlog_per_s), UtcMicros(1000), Monotonic(1000));
    let actions = drain(&mut session);
    (session, actions)
}

fn drain(session: &mut ShipSession) -> Vec<Action> {
    std::iter::from_fn(|| session.poll_action()).collect()
}

fn page(ids: std::ops::RangeInclusive<u64>) -> Page {
    let entries = ids.clone().map(|id| Entry {
        bucket: Bucket(1),
        seq: Seq(id),
        provenance: 0,
        record: Record::Missed(Missed {
            check: CheckNo(1),
            revision: Revision(1),
            first: UtcMicros(0),
            last: UtcMicros(0),
            count: 1,
            cause: MissedCause::Suspended,
        }),
    });
    Page {
        incarnation: INCARNATION,
        ids: (!ids.is_empty()).then(|| (*ids.start(), *ids.end())),
        provenances: vec![Provenance::default()],
        entries: entries.collect(),
    }
}

fn empty() -> Page {
    Page { incarnation: INCARNATION, ids: None, provenances: Vec::new(), entries: Vec::new() }
}

fn reads(actions: &[Action]) -> Vec<(Lane, u64, u64, usize)> {
    actions
        .iter()
        .filter_map(|action| {
            if let Action::ReadPage { lane, after, up_to, records_max, .. } = action {
                Some((*lane, *after, *up_to, *records_max))
            } else {
                None
            }
        })
        .collect()
}

fn deletes(actions: &[Action]) -> Vec<RangeInclusive<u64>> {
    actions
        .iter()
        .filter_map(|action| if let Action::Delete { ids, .. } = action { Some(ids.clone()) } else { None })
        .collect()
}

fn ack(number: u64) -> ToAgent {
    ToAgent::Ack(Ack { number, backlog_per_s: 1000 })
}

fn event(number: u64) -> ControlEvent {
    ControlEvent {
        id: EventId { author: "agent:a".into(), number },
        at: UtcMicros(1),
        scope: Scope::Agent(AgentNo(3)),
        change: Change::Weight(Weight::ONE),
    }
}

#[test]
fn the_welcome_opens_lanes_and_measures_the_clock() {
    let (session, actions) = open(0, 1000);
    assert!(session.is_open());
    // There 1,000,500 us ahead, back 999,700: the clocks differ by their mean.
    assert!(actions.contains(&Action::Clock { offset_us: 1_000_100, uncertainty_us: 400 }), "{actions:?}");
    assert!(actions.contains(&Action::StoreAddresses(vec!["c:1".into()])));
    for lane in [Lane::Fresh, Lane::Backlog] {
        assert!(actions.contains(&Action::Send(Stream::Lane(lane), ToCollector::LaneOpen(lane))));
    }
    assert!(actions.contains(&Action::WantStatus));
    assert!(reads(&actions).is_empty());
}

#[test]
fn fresh_records_overtake_the_backlog_and_acks_delete_exactly_their_ids() {
    let (mut session, actions) = open(5000, 1000);
    assert_eq!(reads(&actions), [(Lane::Backlog, 0, 5000, 1000)]);
    session.handle_durable(INCARNATION, 5003, Monotonic(2000));
    assert_eq!(reads(&drain(&mut session)), [(Lane::Fresh, 5000, 5003, BATCH_RECORDS)]);
    session.handle_records(Lane::Fresh, page(5001..=5003), Monotonic(2000));
    session.handle_records(Lane::Backlog, page(1..=1000), Monotonic(2000));
    let actions = drain(&mut session);
    assert!(
        matches!(&actions[0], Action::Send(Stream::Lane(Lane::Fresh), ToCollector::Batch(batch)) if batch.number == 1)
    );
    assert!(
        matches!(&actions[1], Action::Send(Stream::Lane(Lane::Backlog), ToCollector::Batch(batch)) if batch.entries.len() == 1000)
    );
    assert!(reads(&actions).is_empty(), "the granted rate is used up");
    session.handle_frame(Stream::Lane(Lane::Fresh), ack(1), UtcMicros(0), Monotonic(3000));
    assert_eq!(deletes(&drain(&mut session)), [5001..=5003]);
    session.handle_frame(Stream::Lane(Lane::Backlog), ack(1), UtcMicros(0), Monotonic(4000));
    assert_eq!(deletes(&drain(&mut session)), [1..=1000]);
    session.handle_frame(Stream::Lane(Lane::Backlog), ack(1), UtcMicros(0), Monotonic(4000));
    assert!(deletes(&drain(&mut session)).is_empty(), "an ack counts once");
}

#[test]
fn the_backlog_keeps_to_the_granted_rate() {
    let (mut session, actions) = open(1_000_000, 400);
    let mut pending = reads(&actions);
    let mut sent = 0;
    let mut number = 0;
    let mut now = 1000;
    while now < 10_001_000 {
        while let Some((lane, after, _, records_max)) = pending.pop() {
            let records = records_max as u64;
            session.handle_records(lane, page(after + 1..=after + records), Monotonic(now));
            sent += records;
            number += 1;
            pending.extend(reads(&drain(&mut session)));
            let ack = ToAgent::Ack(Ack { number, backlog_per_s: 400 });
            session.handle_frame(Stream::Lane(Lane::Backlog), ack, UtcMicros(0), Monotonic(now));
            pending.extend(reads(&drain(&mut session)));
        }
        let next = session.poll_timeout().unwrap();
        assert!(next.0 > now, "no progress at {now}");
        now = next.0;
        session.handle_timeout(UtcMicros(0), Monotonic(now));
        let actions = drain(&mut session);
        if actions.contains(&Action::WantStatus) {
            session.handle_status(Status::default(), Monotonic(now));
        }
        pending.extend(reads(&actions));
        pending.extend(reads(&drain(&mut session)));
    }
    assert!((4000..=4500).contains(&sent), "{sent} in 10 s");
}

#[test]
fn the_window_bounds_what_is_under_way() {
    let (mut session, _) = open(0, 0);
    let mut last = 0;
    for round in 1..=10 {
        let now = Monotonic(2000 + round * FRESH_PAUSE_US);
        session.handle_durable(INCARNATION, round * 10, now);
        for (lane, after, up_to, _) in reads(&drain(&mut session)) {
            session.handle_records(lane, page(after + 1..=up_to), now);
            last = up_to;
        }
    }
    assert_eq!(last, 40, "four batches wait for their ack");
    drain(&mut session);
    let now = Monotonic(2000 + 10 * FRESH_PAUSE_US);
    session.handle_frame(Stream::Lane(Lane::Fresh), ack(2), UtcMicros(0), now);
    let actions = drain(&mut session);
    assert_eq!(deletes(&actions), [1..=10, 11..=20]);
    assert_eq!(reads(&actions), [(Lane::Fresh, 40, 100, BATCH_RECORDS)]);
    session.handle_timeout(UtcMicros(0), now.plus_us(ACK_US_MAX));
    assert!(matches!(drain(&mut session)[..], [Action::Stop(Stop::Broken(_))]));
}

#[test]
fn small_fresh_batches_keep_their_distance_and_full_ones_do_not() {
    let (mut session, _) = open(0, 0);
    session.handle_durable(INCARNATION, 10, Monotonic(2000));
    assert_eq!(reads(&drain(&mut session)), [(Lane::Fresh, 0, 10, BATCH_RECORDS)], "the first goes at once");
    session.handle_records(Lane::Fresh, page(1..=10), Monotonic(2000));
    let next = Monotonic(2000 + FRESH_PAUSE_US);
    assert_eq!(session.indifferent_until(), next);
    session.handle_durable(INCARNATION, 3000, Monotonic(100_000));
    session.handle_frame(Stream::Lane(Lane::Fresh), ack(1), UtcMicros(0), Monotonic(110_000));
    session.handle_status(Status::default(), Monotonic(110_000));
    assert!(reads(&drain(&mut session)).is_empty());
    assert_eq!(session.poll_timeout(), Some(next));
    session.handle_timeout(UtcMicros(0), next);
    assert_eq!(reads(&drain(&mut session)), [(Lane::Fresh, 10, 3000, BATCH_RECORDS)]);
    session.handle_records(Lane::Fresh, page(11..=1034), next);
    assert_eq!(reads(&drain(&mut session)), [(Lane::Fresh, 1034, 3000, BATCH_RECORDS)], "more is there: no pause");
}

#[test]
fn a_batch_too_big_for_a_frame_is_halved_and_a_record_too_big_is_given_up() {
    let mut records_max = BATCH_RECORDS;
    let mut rounds = 0;
    loop {
        rounds += 1;
        assert!(rounds < 20, "it turns in circles");
        let mut session = ShipSession::new(settings(2000), UtcMicros(0), Monotonic(0));
        session.limit_records(Lane::Backlog, records_max);
        session.handle_frame(Stream::Control, welcome(100_000), UtcMicros(1000), Monotonic(1000));
        let actions = drain(&mut session);
        assert_eq!(reads(&actions), [(Lane::Backlog, 0, 2000, records_max)]);
        session.handle_records(Lane::Backlog, page(1..=records_max as u64), Monotonic(2000));
        drain(&mut session);
        session.handle_unsendable(Lane::Backlog, 1, "too long");
        let actions = drain(&mut session);
        assert!(matches!(actions.last(), Some(Action::Stop(Stop::Broken(_)))), "{actions:?}");
        assert_eq!(session.records_max(Lane::Fresh), BATCH_RECORDS);
        if records_max == 1 {
            assert_eq!(deletes(&actions), [1..=1]);
            assert_eq!(session.records_max(Lane::Backlog), BATCH_RECORDS);
            break;
        }
        assert!(deletes(&actions).is_empty());
        assert_eq!(session.records_max(Lane::Backlog), records_max / 2);
        records_max /= 2;
    }
}

#[test]
fn records_dropped_meanwhile_do_not_stall_a_lane() {
    let (mut session, _) = open(50, 1000);
    session.handle_records(Lane::Backlog, empty(), Monotonic(2000));
    assert!(!session.has_backlog());
    session.handle_durable(INCARNATION, 60, Monotonic(2000));
    drain(&mut session);
    session.handle_records(Lane::Fresh, empty(), Monotonic(2000));
    session.handle_durable(INCARNATION, 61, Monotonic(2000));
    assert_eq!(reads(&drain(&mut session)), [(Lane::Fresh, 60, 61, BATCH_RECORDS)]);
}

#[test]
fn an_assignment_counts_when_all_its_parts_have_come() {
    let (mut session, _) = open(0, 0);
    let part = |revision, part| ToAgent::Assignment(AssignmentPart { revision, part, parts: 2, checks: Vec::new() });
    for (revision, number) in [(7, 0), (8, 1), (8, 0)] {
        assert!(drain(&mut session).is_empty());
        session.handle_frame(Stream::Control, part(revision, number), UtcMicros(0), Monotonic(2000));
    }
    assert_eq!(drain(&mut session), [Action::Assign { revision: 8, checks: Vec::new() }]);
}

#[test]
fn control_events_go_both_ways() {
    let mut settings = settings(0);
    settings.events = (1..=300).map(event).collect();
    let mut session = ShipSession::new(settings, UtcMicros(0), Monotonic(0));
    session.handle_event(event(301));
    session.handle_frame(Stream::Control, welcome(0), UtcMicros(1000), Monotonic(1000));
    let sent: Vec<usize> = drain(&mut session)
        .iter()
        .filter_map(|action| {
            let Action::Send(Stream::Control, ToCollector::Control(events)) = action else { return None };
            Some(events.len())
        })
        .collect();
    assert_eq!(sent, [256, 45]);
    session.handle_frame(Stream::Control, ToAgent::ControlAck(vec![event(1).id]), UtcMicros(0), Monotonic(2000));
    session.handle_frame(Stream::Control, ToAgent::Control(vec![event(9)]), UtcMicros(0), Monotonic(2000));
    session.handle_stored(vec![event(9).id]);
    assert_eq!(
        drain(&mut session),
        [
            Action::EventsAcked(vec![event(1).id]),
            Action::StoreEvents(vec![event(9)]),
            Action::Send(Stream::Control, ToCollector::ControlAck(vec![event(9).id])),
        ]
    );
}

#[test]
fn certificates_renew_at_half_life_and_after_expiry() {
    let mut with = settings(0);
    with.renew_at = UtcMicros(5_000_000);
    let mut session = ShipSession::new(with.clone(), UtcMicros(0), Monotonic(0));
    session.handle_frame(Stream::Control, welcome(0), UtcMicros(1000), Monotonic(1000));
    drain(&mut session);
    session.handle_timeout(UtcMicros(5_000_000), Monotonic(5_000_000));
    assert!(drain(&mut session).contains(&Action::Send(Stream::Control, ToCollector::Renew { csr_der: vec![1, 2] })));
    let renewed = ToAgent::Renewed { certificate_der: vec![3], expires: UtcMicros(99_000_000) };
    session.handle_frame(Stream::Control, renewed.clone(), UtcMicros(6_000_000), Monotonic(6_000_000));
    assert_eq!(
        drain(&mut session),
        [Action::StoreCertificate { certificate_der: vec![3], expires: UtcMicros(99_000_000) }]
    );

    let refusal = |code| ToAgent::Refusal(Refusal { code, message: "no".into() });
    let mut session = ShipSession::new(with.clone(), UtcMicros(0), Monotonic(0));
    drain(&mut session);
    session.handle_frame(Stream::Control, refusal(RefusalCode::CertificateExpired), UtcMicros(0), Monotonic(1));
    assert_eq!(drain(&mut session), [Action::Stop(Stop::CertificateExpired)]);

    with.opening = Opening::Renew;
    let mut session = ShipSession::new(with, UtcMicros(0), Monotonic(0));
    assert!(matches!(drain(&mut session)[..], [Action::Send(Stream::Control, ToCollector::Renew { .. })]));
    session.handle_frame(Stream::Control, renewed, UtcMicros(0), Monotonic(1));
    assert!(matches!(drain(&mut session)[..], [Action::StoreCertificate { .. }, Action::Stop(Stop::Renewed)]));
}

/// As by a collector that is older than the agent and has no name for something in the batch.
#[test]
fn a_refused_batch_stays_and_goes_out_again_on_the_next_connection() {
    let message =
        "a result tells a fact that this collector does not know, for the agent is newer: upgrade the collector first";
    let sent = |session: &mut ShipSession| {
        session.handle_durable(INCARNATION, 3, Monotonic(2000));
        assert_eq!(reads(&drain(session)), [(Lane::Fresh, 0, 3, BATCH_RECORDS)]);
        session.handle_records(Lane::Fresh, page(1..=3), Monotonic(2000));
        let actions = drain(session);
        let [Action::Send(Stream::Lane(Lane::Fresh), ToCollector::Batch(batch))] = &actions[..] else {
            panic!("{actions:?}")
        };
        batch.clone()
    };
    let (mut session, _) = open(0, 0);
    let first = sent(&mut session);
    let refusal = Refusal { code: RefusalCode::BadMessage, message: message.to_owned() };
    session.handle_frame(Stream::Control, ToAgent::Refusal(refusal.clone()), UtcMicros(0), Monotonic(3000));
    assert_eq!(drain(&mut session), [Action::Stop(Stop::Refused(refusal))], "nothing is deleted");
    let (mut session, _) = open(0, 0);
    assert_eq!(sent(&mut session), first);
    session.handle_frame(Stream::Lane(Lane::Fresh), ack(1), UtcMicros(0), Monotonic(4000));
    assert_eq!(deletes(&drain(&mut session)), [1..=3]);
}

#[test]
fn nonsense_and_silence_end_the_connection() {
    let (mut session, _) = open(0, 0);
    session.handle_frame(Stream::Lane(Lane::Fresh), ack(1), UtcMicros(0), Monotonic(2000));
    assert!(
        matches!(&drain(&mut session)[..], [Action::Stop(Stop::Broken(text))] if text.contains("before it was sent"))
    );
    let (mut session, _) = open(0, 0);
    session.handle_frame(Stream::Control, ack(0), UtcMicros(0), Monotonic(2000));
    assert!(matches!(&drain(&mut session)[..], [Action::Stop(Stop::Broken(text))] if text.contains("message ack")));
    let mut session = ShipSession::new(settings(0), UtcMicros(0), Monotonic(0));
    drain(&mut session);
    session.handle_timeout(UtcMicros(0), Monotonic(WELCOME_US_MAX));
    assert!(matches!(drain(&mut session)[..], [Action::Stop(Stop::Broken(_))]));
    let (mut session, _) = open(0, 0);
    session.handle_durable(Incarnation(10), 1, Monotonic(2000));
    assert_eq!(drain(&mut session), [Action::Stop(Stop::SpoolReplaced)]);
    assert_eq!(session.poll_timeout(), None);
}

fn secrets(part: u32, parts: u32, names: &[&str]) -> ToAgent {
    let secrets = names.iter().map(|name| ((*name).to_owned(), format!("value of {name}"))).collect();
    ToAgent::Secrets(SecretsPart { part, parts, secrets })
}

#[test]
fn secrets_count_once_all_parts_have_come() {
    let (mut session, _) = open(0, 10);
    let mut hear = |frame| {
        session.handle_frame(Stream::Control, frame, UtcMicros(2000), Monotonic(2000));
        drain(&mut session)
    };
    assert_eq!(hear(secrets(0, 3, &["a"])), []);
    assert_eq!(hear(secrets(1, 3, &["b"])), []);
    // A newer set begins before this one was whole: nothing of the old one stays.
    assert_eq!(hear(secrets(0, 2, &["c"])), []);
    let actions = hear(secrets(1, 2, &["d"]));
    let [Action::StoreSecrets(values)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(values.0.keys().collect::<Vec<_>>(), ["c", "d"]);
    assert!(!format!("{actions:?}").contains("value of"), "actions are traced; values must not show");
    let actions = hear(secrets(0, 1, &[]));
    assert_eq!(actions, [Action::StoreSecrets(SecretValues::default())]);
    for (part, parts) in [(0, 0), (1, 1), (0, SECRETS_PARTS_MAX + 1)] {
        let (mut session, _) = open(0, 10);
        session.handle_frame(Stream::Control, secrets(part, parts, &[]), UtcMicros(2000), Monotonic(2000));
        assert!(matches!(drain(&mut session).as_slice(), [Action::Stop(Stop::Broken(_))]), "{part} of {parts}");
    }
}

#[test]
fn a_run_that_the_collector_asks_for_is_answered_on_the_control_stream() {
    let (mut session, _) = open(0, 10);
    let ask = ToAgent::RunNow { ask: 7, check: CheckNo(5) };
    session.handle_frame(Stream::Control, ask, UtcMicros(2000), Monotonic(2000));
    assert_eq!(drain(&mut session), [Action::RunNow { ask: 7, check: CheckNo(5) }]);
    session.handle_ran(7, Err("x".repeat(1000)));
    let actions = drain(&mut session);
    let [Action::Send(Stream::Control, ToCollector::Ran { ask: 7, outcome: Err(reason) })] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!(reason.len(), sitepulse_wire::message::RUN_REFUSED_BYTES_MAX, "as much as the wire takes");
    // Who asked is gone with the connection.
    session.handle_frame(Stream::Control, secrets(0, 0, &[]), UtcMicros(2000), Monotonic(2000));
    drain(&mut session);
    session.handle_ran(8, Err("late".to_owned()));
    assert_eq!(drain(&mut session), []);
}

#[test]
fn a_status_is_sent_at_once_when_somebody_asks_for_the_collector() {
    let (mut session, _) = open(0, 1000);
    session.handle_status(Status::default(), Monotonic(1000));
    drain(&mut session);
    session.hurry_status(Monotonic(2000));
    assert_eq!(session.poll_timeout(), Some(Monotonic(2000)));
    session.handle_timeout(UtcMicros(2000), Monotonic(2000));
    session.hurry_status(Monotonic(2000));
    session.handle_timeout(UtcMicros(2000), Monotonic(2000));
    assert_eq!(drain(&mut session), [Action::WantStatus], "once");
    session.handle_status(Status::default(), Monotonic(3000));
    assert_eq!(session.poll_timeout(), Some(Monotonic(3000 + STATUS_US)));
}
