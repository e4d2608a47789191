//! One fixed message of each kind, and records.

use std::net::SocketAddr;

use sitepulse_model::check::{AssignedCheck, CheckDefinition, CheckKind};
use sitepulse_model::control::{Change, ControlEvent, EventId, Scope, Weight};
use sitepulse_model::expect::Expectation;
use sitepulse_model::id::{AgentName, AgentNo, Bucket, CheckId, CheckNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::{
    CHAIN_MAX, Cause, ChainCertificate, DETAIL_BYTES_MAX, DropReason, Dropped, FACTS_MAX, FactKey, Facts, Missed,
    MissedCause, Phase, Phases, ProbeResult, ProbeState, Provenance, Record,
};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vitals::{Spread, Vital};
use sitepulse_wire::message::*;

pub(crate) const AT: UtcMicros = UtcMicros(1_795_341_600_000_000);

/// A plain success over TLS, as a real probe measures it.
pub(crate) fn success() -> ProbeResult {
    ProbeResult {
        check: CheckNo(1234),
        revision: Revision(3),
        scheduled: AT,
        started: AT.plus_us(1_432),
        phases: Phases {
            dns: Some(2_310),
            connect: Some(30_221),
            tls: Some(60_930),
            send: Some(57),
            first_byte: Some(80_422),
            transfer: Some(1_204),
            total: Some(175_390),
        },
        state: ProbeState::Up,
        cause: None,
        failed_phase: None,
        detail: String::new(),
        address: Some("203.0.113.7:443".parse().unwrap()),
        facts: Facts {
            status: Some(200),
            body_bytes: Some(14_230),
            certificate_expires: Some(UtcMicros(1_800_000_000_000_000)),
            more: Vec::new(),
        },
    }
}

/// A failure with all the evidence that a record carries.
pub(crate) fn with_evidence() -> ProbeResult {
    let mut facts = Facts { status: Some(500), ..success().facts };
    facts.text(FactKey::Resolver, "192.0.2.53:53");
    for answer in ["203.0.113.7", "203.0.113.8", "2001:db8::7"] {
        facts.text(FactKey::ResolverAnswer, answer);
    }
    for (subject, issuer) in [("shop.example", "R3 (Let's Encrypt)"), ("R3 (Let's Encrypt)", "ISRG Root X1")] {
        let one = ChainCertificate {
            sha256: "0f".repeat(32).into(),
            not_after: Some("2026-12-01T00:00:00Z".into()),
            subject: subject.into(),
            issuer: issuer.into(),
        };
        facts.text(FactKey::CertificateChain, &one.line());
    }
    facts.text(FactKey::ResponseSha256, &"e3".repeat(32));
    facts.number(FactKey::ResponseCut, 1);
    ProbeResult {
        state: ProbeState::Down,
        cause: Some(Cause::AssertionFailed),
        failed_phase: Some(Phase::FirstByte),
        detail: "status 500 is not in 200..399".into(),
        facts,
        ..success()
    }
}

/// A soft failure with facts of both types, and a list among them.
pub(crate) fn with_facts() -> ProbeResult {
    let mut facts = Facts { status: Some(503), ..success().facts };
    facts.number(FactKey::Attempts, 2);
    facts.text(FactKey::FailedAttempt, "connect: 203.0.113.7:443 refused the connection");
    facts.text(FactKey::HttpVersion, "HTTP/2");
    facts.text(FactKey::TlsVersion, "TLSv1.3");
    facts.text(FactKey::CertificateIssuer, "CN=R3, O=Let's Encrypt, C=US");
    facts.text(FactKey::DnsAnswer, "192.0.2.1");
    facts.text(FactKey::DnsAnswer, "192.0.2.2");
    facts.number(FactKey::ExitStatus, -1);
    ProbeResult {
        state: ProbeState::Degraded,
        cause: Some(Cause::SoftAssertion),
        detail: "attempts 2 is > 1".into(),
        facts,
        ..success()
    }
}

pub(crate) fn records() -> Vec<(&'static str, Record)> {
    let failure = ProbeResult {
        state: ProbeState::Down,
        cause: Some(Cause::Timeout),
        failed_phase: Some(Phase::FirstByte),
        detail: "no answer within 10 s".into(),
        address: Some("[2001:db8::7]:8080".parse::<SocketAddr>().unwrap()),
        phases: Phases { connect: Some(31_000), total: Some(10_000_412), ..Phases::default() },
        facts: Facts::default(),
        ..success()
    };
    let missed = Missed {
        check: CheckNo(7),
        revision: Revision(1),
        first: AT,
        last: AT.plus_us(600_000_000),
        count: 11,
        cause: MissedCause::AgentStopped,
    };
    let dropped = Dropped {
        check: CheckNo(7),
        revision: Revision(2),
        first: AT.plus_us(-3_600_000_000),
        last: AT,
        count: 61,
        reason: DropReason::SpoolFull,
        seqs: vec![(Seq(100), Seq(150)), (Seq(200), Seq(209))],
    };
    vec![
        ("record-success", Record::Result(success())),
        ("record-failure", Record::Result(failure)),
        ("record-missed", Record::Missed(missed)),
        ("record-dropped", Record::Dropped(dropped)),
        ("record-facts", Record::Result(with_facts())),
    ]
}

/// What a page's run came to: measured, with its report; and failed, with a picture too.
pub(crate) fn pages() -> Vec<(&'static str, Record)> {
    let mut facts = Facts { status: Some(200), ..Facts::default() };
    for (vital, median, min, max) in [
        (Vital::Lcp, 2_513_400, 2_401_000, 2_888_000),
        (Vital::Cls, 1_042, 0, 1_042),
        (Vital::Inp, 184_000, 176_000, 240_000),
        (Vital::Tbt, 0, 0, 12_000),
        (Vital::Fcp, 1_204_000, 1_180_000, 1_260_000),
        (Vital::Ttfb, 310_200, 301_000, 333_000),
    ] {
        Spread { median, min, max }.note(vital, &mut facts);
    }
    for (key, value) in [
        (FactKey::LoadsCounted, 3),
        (FactKey::LoadsLowConfidence, 1),
        (FactKey::Requests, 84),
        (FactKey::TransferBytes, 1_510_233),
        (FactKey::FailedRequests, 1),
        (FactKey::JsErrors, 0),
        (FactKey::Dialogs, 0),
    ] {
        facts.number(key, value);
    }
    facts.text(FactKey::Profile, "mobile");
    facts.text(FactKey::Browser, "HeadlessChrome/156.0.8078.79");
    facts.text(FactKey::LcpElement, "main > img.hero");
    facts.text(FactKey::LcpUrl, "https://cdn.shop.example/hero.avif");
    let report =
        r#"{"browser":"HeadlessChrome/156.0.8078.79","loads":[{"values":{"lcp":2513400},"ended":"quiet"}],"shown":0}"#;
    facts.text(FactKey::VitalsReport, report);
    let measured = ProbeResult {
        state: ProbeState::Degraded,
        cause: Some(Cause::SoftAssertion),
        detail: "lcp 2.51 s is > good (2.5 s)".into(),
        facts,
        ..success()
    };
    let mut facts = Facts { status: Some(500), ..Facts::default() };
    facts.text(FactKey::Profile, "mobile");
    facts.text(FactKey::VitalsReport, r#"{"loads":[{"ended":"failed","failure":"page: HTTP 500"}]}"#);
    facts.text(FactKey::Screenshot, "/9j/4AAQSkZJRgABAQAAAQABAAD/2Q==");
    let failed = ProbeResult {
        state: ProbeState::Down,
        cause: Some(Cause::HttpStatus),
        failed_phase: Some(Phase::FirstByte),
        detail: "page: https://shop.example/ answered with HTTP 500".into(),
        facts,
        ..success()
    };
    vec![("record-page", Record::Result(measured)), ("record-page-failed", Record::Result(failed))]
}

/// A page whose record has all that fits into one.
pub(crate) fn largest() -> Record {
    let mut facts = Facts { status: Some(503), ..success().facts };
    facts.number(FactKey::Attempts, i64::MIN);
    facts.text(FactKey::VitalsReport, &"r".repeat(FactKey::VitalsReport.bytes_max()));
    facts.text(FactKey::Screenshot, &"s".repeat(FactKey::Screenshot.bytes_max()));
    for _ in 0..FACTS_MAX {
        facts.text(FactKey::FailedAttempt, &"f".repeat(300));
        facts.text(FactKey::CertificateChain, &"c".repeat(400));
        facts.text(FactKey::ResolverAnswer, &"a".repeat(100));
    }
    facts.text(FactKey::Resolver, &"r".repeat(100));
    facts.text(FactKey::ResponseSha256, &"h".repeat(100));
    facts.number(FactKey::ResponseCut, i64::MIN);
    facts.shorten();
    assert_eq!(facts.texts_of(FactKey::CertificateChain).count(), CHAIN_MAX);
    let longest = |_| Some(u64::MAX);
    let [dns, connect, tls, send, first_byte, transfer, total] = [(); 7].map(longest);
    Record::Result(ProbeResult {
        check: CheckNo(u32::MAX),
        revision: Revision(u32::MAX),
        scheduled: UtcMicros(i64::MAX),
        started: UtcMicros(0),
        phases: Phases { dns, connect, tls, send, first_byte, transfer, total },
        state: ProbeState::Down,
        cause: Some(Cause::InteractionFailed),
        failed_phase: Some(Phase::Total),
        detail: "d".repeat(DETAIL_BYTES_MAX),
        address: Some("[2001:db8::7]:8080".parse().unwrap()),
        facts,
    })
}

fn page_batch() -> Batch {
    let entries = (0..).zip(pages()).map(|(at, (_, record))| Entry {
        bucket: Bucket(9),
        seq: Seq(20 + at),
        provenance: 0,
        record,
    });
    Batch { number: 6, entries: entries.collect(), ..batch() }
}

fn batch() -> Batch {
    let entry = |(at, (_, record)): (usize, (&str, Record))| Entry {
        bucket: Bucket((at % 2) as u8 * 7),
        seq: Seq(1000 + at as u64),
        provenance: (at % 2) as u16,
        record,
    };
    Batch {
        number: 5,
        incarnation: Incarnation(0x0123_4567_89ab_cdef),
        provenances: vec![
            Provenance { build: "0.1.0+abc1234".into(), clock_offset_us: Some(-1_520), clock_uncertainty_us: 800 },
            Provenance { build: "0.1.0+abc1234".into(), clock_offset_us: None, clock_uncertainty_us: 0 },
        ],
        entries: records().into_iter().enumerate().map(entry).collect(),
    }
}

fn events() -> Vec<ControlEvent> {
    let event = |number, scope, change| ControlEvent {
        id: EventId { author: "agent:eu-west-1".into(), number },
        at: AT.plus_us(number as i64),
        scope,
        change,
    };
    let suspend = Change::Suspend { until: AT.plus_us(7_200_000_000), reason: "upgrade of the router".into() };
    vec![
        event(1, Scope::Agent(AgentNo(3)), suspend),
        event(2, Scope::AgentCheck(AgentNo(3), CheckNo(9)), Change::Weight(Weight(2500))),
        event(3, Scope::Check(CheckNo(9)), Change::Resume),
    ]
}

fn ids() -> Vec<EventId> {
    events().into_iter().map(|event| event.id).collect()
}

pub(crate) fn check() -> AssignedCheck {
    AssignedCheck {
        number: CheckNo(42),
        revision: Revision(2),
        definition: CheckDefinition {
            id: CheckId::parse("shop").unwrap(),
            kind: CheckKind::http("https://shop.example/"),
            interval_us: 30_000_000,
            timeout_us: 10_000_000,
            retries: 0,
            weight: Weight(2000),
            regions: Some(["eu-west", "us-east"].iter().map(|region| Region::parse(region).unwrap()).collect()),
            quorum: Quorum::Share(600_000),
            confirmations: 2,
            recoveries: 1,
            expect: ["status in 200..399", "latency < 2s"]
                .iter()
                .map(|text| Expectation::parse(text, "http").unwrap())
                .collect(),
        },
    }
}

/// A check of another kind, with nested keys, a secret and retries.
fn flow() -> AssignedCheck {
    let target = r#"{"steps":[{"name":"log in","url":"https://shop.example/login","method":"POST","body":"secret:login",
        "expect":["status == 200"],"capture":{"token":"json '$.token'"}},
        {"name":"cart","url":"https://shop.example/cart?t={{token}}","headers":{"x-token":"{{token}}"}}]}"#;
    let plain = check();
    AssignedCheck {
        number: CheckNo(43),
        definition: CheckDefinition {
            id: CheckId::parse("shop-flow").unwrap(),
            kind: CheckKind::from_target_json("flow", target).unwrap(),
            retries: 2,
            expect: vec![Expectation::parse("degraded if attempts > 1", "flow").unwrap()],
            ..plain.definition
        },
        ..plain
    }
}

/// A page on a profile of its own, with actions.
fn page() -> AssignedCheck {
    let target = r##"{"url":"https://shop.example/","profile":{"name":"kiosk","width":1080,"height":1920,"dpr":1.25,"mobile":false,"touch":true,
        "cpu":2,"network":{"rtt":"20ms","down_kbps":50000,"up_kbps":10000.5},"thresholds":{"lcp":["1s","2s"],"cls":[0.05,0.1]}},"runs":5,
        "interact":[{"click":"#menu"},{"type":["#search","shoes"]},{"press":"Enter"},{"scroll":-300},{"wait":"200ms"}],"consent":{"click":"#accept"}}"##;
    let plain = check();
    AssignedCheck {
        number: CheckNo(44),
        definition: CheckDefinition {
            id: CheckId::parse("shop-vitals").unwrap(),
            kind: CheckKind::from_target_json("web_vitals", target).unwrap(),
            interval_us: 900_000_000,
            timeout_us: 30_000_000,
            expect: ["degraded if lcp > good", "down if cls > 0.25", "inp <= poor"]
                .iter()
                .map(|text| Expectation::parse(text, "web_vitals").unwrap())
                .collect(),
            ..plain.definition
        },
        ..plain
    }
}

pub(crate) fn to_collector() -> Vec<(&'static str, ToCollector)> {
    let hello = Hello {
        protocol_min: 1,
        protocol_max: 1,
        build: "0.1.0+abc1234".into(),
        incarnation: Incarnation(0x0123_4567_89ab_cdef),
        sent_at: AT,
        assignment_revision: 12,
        spool_records: 345,
    };
    let status = Status {
        spool_records: 10,
        spool_bytes: 1 << 20,
        spool_oldest: Some(AT),
        in_flight: 4,
        clock_offset_us: Some(-1_520),
        clock_uncertainty_us: 800,
        host: Some(Host { load_milli: 1_520, cores: 4, memory_used_bytes: 3 << 30, memory_total_bytes: 8 << 30 }),
    };
    let join = JoinRequest {
        protocol_min: 1,
        protocol_max: 1,
        secret: [7; 32],
        name: Some(AgentName::parse("eu-west-1").unwrap()),
        csr_der: vec![0x30, 0x01, 0x02],
        build: "0.1.0+abc1234".into(),
    };
    vec![
        ("hello", ToCollector::Hello(hello)),
        ("lane-open", ToCollector::LaneOpen(Lane::Backlog)),
        ("batch", ToCollector::Batch(batch())),
        ("control-to-collector", ToCollector::Control(events())),
        ("control-ack-to-collector", ToCollector::ControlAck(ids())),
        ("status", ToCollector::Status(status)),
        ("join", ToCollector::Join(join)),
        ("renew", ToCollector::Renew { csr_der: vec![0x30, 0x01, 0x02] }),
        ("ran", ToCollector::Ran { ask: 77, outcome: Ok(Box::new(with_facts())) }),
        ("batch-pages", ToCollector::Batch(page_batch())),
        ("ran-refused", ToCollector::Ran { ask: 78, outcome: Err("this agent does not run check 42".into()) }),
    ]
}

pub(crate) fn to_agent() -> Vec<(&'static str, ToAgent)> {
    let welcome = Welcome {
        protocol: 1,
        build: "0.1.0+def5678".into(),
        received_at: AT,
        sent_at: AT.plus_us(150),
        agent: AgentNo(3),
        addresses: vec!["collector.example:8443".into()],
        assignment_follows: true,
        backlog_per_s: 2000,
    };
    let secrets = SecretsPart {
        part: 0,
        parts: 1,
        secrets: vec![("mail.password".into(), "corréct horse".into()), ("shop-token".into(), "Bearer abc".into())],
    };
    let refusal = Refusal { code: RefusalCode::Revoked, message: "agent eu-west-1 was revoked: join again".into() };
    let pages = AssignmentPart { revision: 14, part: 0, parts: 1, checks: vec![page()] };
    let part = AssignmentPart { revision: 13, part: 0, parts: 1, checks: vec![check(), flow()] };
    let joined = Joined {
        agent: AgentNo(3),
        name: AgentName::parse("eu-west-1").unwrap(),
        region: Region::parse("eu-west").unwrap(),
        certificate_der: vec![0x30, 0x03],
        ca_der: vec![0x30, 0x04],
        expires: AT.plus_us(7 * 86_400_000_000),
        addresses: vec!["collector.example:8443".into(), "[2001:db8::1]:8443".into()],
    };
    vec![
        ("welcome", ToAgent::Welcome(welcome)),
        ("refusal", ToAgent::Refusal(refusal)),
        ("assignment", ToAgent::Assignment(part)),
        ("assignment-pages", ToAgent::Assignment(pages)),
        ("ack", ToAgent::Ack(Ack { number: 5, backlog_per_s: 2000 })),
        ("control-to-agent", ToAgent::Control(events())),
        ("control-ack-to-agent", ToAgent::ControlAck(ids())),
        ("joined", ToAgent::Joined(joined)),
        ("renewed", ToAgent::Renewed { certificate_der: vec![0x30, 0x03], expires: AT }),
        ("secrets", ToAgent::Secrets(secrets)),
        ("run-now", ToAgent::RunNow { ask: 77, check: CheckNo(42) }),
    ]
}
