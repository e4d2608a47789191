//! Any valid message, for property tests.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use proptest::option;
use proptest::prelude::*;
use sitepulse_model::check::{AssignedCheck, CheckDefinition, CheckKind};
use sitepulse_model::control::{Change, ControlEvent, EventId, Scope, Weight};
use sitepulse_model::expect::Expectation;
use sitepulse_model::id::{AgentName, AgentNo, Bucket, CheckId, CheckNo, Incarnation, Region, Revision, Seq};
use sitepulse_model::quorum::Quorum;
use sitepulse_model::record::{
    Cause, ChainCertificate, DropReason, Dropped, FactKey, Facts, Missed, MissedCause, Phase, Phases, ProbeResult,
    ProbeState, Provenance, Record,
};
use sitepulse_model::time::UtcMicros;
use sitepulse_wire::message::*;

fn utc() -> impl Strategy<Value = UtcMicros> {
    prop_oneof![
        any::<i64>(),
        (0_i64..4_000_000_000).prop_map(|s| s * 1_000_000),
        (0_i64..4_000_000_000_000).prop_map(|ms| ms * 1000)
    ]
    .prop_map(UtcMicros)
}

/// Numbers of all magnitudes.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift)
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), port()).prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip), port)),
        (any::<[u8; 16]>(), port(), any::<u32>()).prop_map(|(ip, port, scope)| SocketAddr::V6(SocketAddrV6::new(
            Ipv6Addr::from(ip),
            port,
            0,
            scope
        ))),
    ]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![Just(443), Just(80), any::<u16>()]
}

fn outcome() -> impl Strategy<Value = (ProbeState, Option<Cause>)> {
    option::of(prop::sample::select(Cause::ALL)).prop_map(|cause| match cause.map(|cause| cause.code()) {
        None => (ProbeState::Up, None),
        Some(0..64) => (ProbeState::Down, cause),
        Some(64..96) => (ProbeState::Degraded, cause),
        Some(_) => (ProbeState::Unknown, cause),
    })
}

fn phases() -> impl Strategy<Value = Phases> {
    let phase = || option::of(number());
    (phase(), phase(), phase(), phase(), phase(), phase(), phase()).prop_map(
        |(dns, connect, tls, send, first_byte, transfer, total)| Phases {
            dns,
            connect,
            tls,
            send,
            first_byte,
            transfer,
            total,
        },
    )
}

fn facts() -> impl Strategy<Value = Facts> {
    let more = prop_oneof![2 => prop::collection::vec(fact(), 0..1), 1 => prop::collection::vec(fact(), 0..40)];
    (option::of(prop_oneof![Just(200), any::<u16>()]), option::of(number()), option::of(utc()), more).prop_map(
        |(status, body_bytes, certificate_expires, more)| {
            let mut facts = Facts { status, body_bytes, certificate_expires, more: Vec::new() };
            for (key, number, text) in more {
                if key.is_number() { facts.number(key, number) } else { facts.text(key, &text) }
            }
            // As a record carries them.
            facts.shorten();
            facts
        },
    )
}

fn fact() -> impl Strategy<Value = (FactKey, i64, String)> {
    let number = (any::<i64>(), 0_u32..63).prop_map(|(value, shift)| value >> shift);
    // Documents are longer than other texts; how long, where the bounds are tested.
    let text = ("\\PC{1,25}", 1..40_usize);
    let key_and_text = (prop::sample::select(FactKey::ALL), text).prop_map(|(key, (text, times))| {
        let text = if key.is_document() { text.repeat(times) } else { text.repeat(times.div_ceil(4)) };
        (key, text)
    });
    (key_and_text, number).prop_map(|((key, text), number)| (key, number, text))
}

/// A certificate as a target shows it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) sha256: String,
    pub(crate) not_after: Option<String>,
    pub(crate) subject: String,
    pub(crate) issuer: String,
}

/// A failure with evidence, and what it was made of.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) record: Record,
    pub(crate) chain: Vec<Shown>,
    pub(crate) addresses: usize,
}

fn shown() -> impl Strategy<Value = Shown> {
    // Names with arrows and parts of them, short and beyond the bound.
    let name = || "(<|-| |<-|é|\\PC){0,60}";
    ("[0-9a-f]{64}", option::of(Just("2026-12-01T00:00:00Z".to_owned())), name(), name())
        .prop_map(|(sha256, not_after, subject, issuer)| Shown { sha256, not_after, subject, issuer })
}

pub(crate) fn evidence() -> impl Strategy<Value = Evidence> {
    let addresses = prop::collection::vec(any::<std::net::IpAddr>(), 0..30);
    (result_alone(), prop::collection::vec(shown(), 0..12), addresses, option::of("[0-9a-f]{64}"), any::<bool>())
        .prop_map(|(mut result, chain, addresses, hash, is_cut)| {
            result.facts.more.retain(|fact| !fact.key.is_evidence());
            for one in &chain {
                let one = ChainCertificate {
                    sha256: one.sha256.as_str().into(),
                    not_after: one.not_after.as_deref().map(Into::into),
                    subject: one.subject.as_str().into(),
                    issuer: one.issuer.as_str().into(),
                };
                result.facts.text(FactKey::CertificateChain, &one.line());
            }
            for address in &addresses {
                result.facts.text(FactKey::ResolverAnswer, &address.to_string());
            }
            result.facts.text(FactKey::Resolver, "192.0.2.53:53");
            result.facts.text(FactKey::ResponseSha256, &hash.unwrap_or_default());
            if is_cut {
                result.facts.number(FactKey::ResponseCut, 1);
            }
            result.facts.shorten();
            Evidence { record: Record::Result(result), chain, addresses: addresses.len() }
        })
}

fn result_alone() -> impl Strategy<Value = ProbeResult> {
    result().prop_filter_map("a result", |record| match record {
        Record::Result(result) => Some(result),
        Record::Missed(_) | Record::Dropped(_) => None,
    })
}

fn result() -> impl Strategy<Value = Record> {
    let ids = (any::<u32>(), 1..=u32::MAX);
    let rest = (option::of(prop::sample::select(Phase::ALL)), "[a-zä ]{0,100}", option::of(address()), facts());
    (ids, utc(), utc(), phases(), outcome(), rest).prop_map(
        |((check, revision), scheduled, started, phases, (state, cause), (failed_phase, detail, address, facts))| {
            Record::Result(ProbeResult {
                check: CheckNo(check),
                revision: Revision(revision),
                scheduled,
                started,
                phases,
                state,
                cause,
                failed_phase,
                detail,
                address,
                facts,
            })
        },
    )
}

fn missed() -> impl Strategy<Value = Record> {
    (any::<u32>(), 1..=u32::MAX, utc(), utc(), 1..=u64::MAX, prop::sample::select(MissedCause::ALL)).prop_map(
        |(check, revision, a, b, count, cause)| {
            let (first, last) = (a.min(b), a.max(b));
            Record::Missed(Missed { check: CheckNo(check), revision: Revision(revision), first, last, count, cause })
        },
    )
}

fn dropped() -> impl Strategy<Value = Record> {
    let seqs = prop::collection::btree_set(number(), 0..40).prop_map(|set| {
        let ends: Vec<u64> = set.into_iter().collect();
        ends.chunks_exact(2).map(|pair| (Seq(pair[0]), Seq(pair[1]))).collect::<Vec<_>>()
    });
    (any::<u32>(), 1..=u32::MAX, utc(), utc(), 1..=u64::MAX, prop::sample::select(DropReason::ALL), seqs).prop_map(
        |(check, revision, a, b, count, reason, seqs)| {
            let (first, last) = (a.min(b), a.max(b));
            Record::Dropped(Dropped {
                check: CheckNo(check),
                revision: Revision(revision),
                first,
                last,
                count,
                reason,
                seqs,
            })
        },
    )
}

pub(crate) fn record() -> impl Strategy<Value = Record> {
    prop_oneof![6 => result(), 2 => missed(), 1 => dropped()]
}

fn batch() -> impl Strategy<Value = Batch> {
    let provenance = ("[a-z0-9.+]{1,100}", option::of(any::<i64>()), number()).prop_map(
        |(build, clock_offset_us, clock_uncertainty_us)| Provenance { build, clock_offset_us, clock_uncertainty_us },
    );
    let entry = (0_u8..64, number(), any::<prop::sample::Index>(), record());
    let lists = (prop::collection::vec(provenance, 1..4), prop::collection::vec(entry, 1..40));
    (1..=u64::MAX, any::<u64>(), lists).prop_map(|(number, incarnation, (provenances, entries))| Batch {
        number,
        incarnation: Incarnation(incarnation),
        entries: entries
            .into_iter()
            .map(|(bucket, seq, provenance, record)| Entry {
                bucket: Bucket(bucket),
                seq: Seq(seq),
                provenance: provenance.index(provenances.len()) as u16,
                record,
            })
            .collect(),
        provenances,
    })
}

fn event_id() -> impl Strategy<Value = EventId> {
    ("[a-z:]{1,100}", 1..=u64::MAX).prop_map(|(author, number)| EventId { author, number })
}

fn event() -> impl Strategy<Value = ControlEvent> {
    let scoped = prop_oneof![
        (any::<u32>(), any::<bool>(), 0_u32..=1_000_000).prop_map(|(agent, resume, weight)| {
            (Scope::Agent(AgentNo(agent)), if resume { Change::Resume } else { Change::Weight(Weight(weight)) })
        }),
        (any::<u32>(), any::<u32>(), "[a-z]{1,500}").prop_map(|(agent, check, reason)| {
            (Scope::AgentCheck(AgentNo(agent), CheckNo(check)), Change::Suspend { until: UtcMicros::MAX, reason })
        }),
        any::<u32>().prop_map(|check| (Scope::Check(CheckNo(check)), Change::Resume)),
    ];
    (event_id(), any::<i32>(), scoped).prop_map(|(id, at, (scope, change))| ControlEvent {
        id,
        at: UtcMicros(at.into()),
        scope,
        change,
    })
}

fn slug() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9._-]{0,63}"
}

/// Targets of several kinds; the model's own tests go through all that a target can hold.
fn kind() -> impl Strategy<Value = CheckKind> {
    let host = "[a-z]{1,20}";
    let of = |kind: &'static str, keys: String| CheckKind::from_target_json(kind, &keys).unwrap();
    prop_oneof![
        host.prop_map(|host| CheckKind::http(format!("https://{host}/"))),
        (host, 1..=u16::MAX).prop_map(move |(host, port)| of("tcp", format!(r#"{{"address":"{host}:{port}"}}"#))),
        host.prop_map(move |host| of("dns", format!(r#"{{"name":"{host}","record":"MX","dnssec":true}}"#))),
        (host, 1..=20_u8).prop_map(move |(host, count)| of("icmp", format!(r#"{{"host":"{host}","count":{count}}}"#))),
        (host, host).prop_map(move |(host, secret)| {
            let keys = r#"{"address":"HOST:25","security":"tls","login":{"user":"u","password":"secret:NAME"}}"#;
            of("smtp", keys.replace("HOST", &host).replace("NAME", &secret))
        }),
        host.prop_map(move |host| {
            let first = r#"{"name":"a","url":"http://HOST/","capture":{"x":"json '$.x'"}}"#.replace("HOST", &host);
            of("flow", format!(r#"{{"steps":[{first},{{"name":"b","url":"http://{host}/{{{{x}}}}"}}]}}"#))
        }),
    ]
}

fn check() -> impl Strategy<Value = AssignedCheck> {
    let regions = option::of(prop::collection::btree_set(slug().prop_map(|slug| Region::parse(&slug).unwrap()), 0..4));
    let quorum = prop_oneof![
        Just(Quorum::Any),
        Just(Quorum::Majority),
        Just(Quorum::All),
        (1_u32..=1_000_000).prop_map(Quorum::Share),
        (1_u32..=10_000).prop_map(Quorum::Agents),
    ];
    let texts = ["latency < 2s", "degraded if latency > 800ms", "attempts == 1", "down if latency.total > 1m"];
    let expect = prop::sample::subsequence(texts.to_vec(), 0..=4);
    let times = (1_000_u64..=604_800_000, 1_000_u64..=300_000_000, 0_u32..=1_000_000);
    let streaks = (1_u32..=1000, 1_u32..=1000);
    (any::<u32>(), 1..=u32::MAX, (slug(), kind()), times, (regions, quorum), (streaks, 0_u8..=5), expect).prop_map(
        |(
            number,
            revision,
            (id, kind),
            (interval_ms, timeout_us, weight),
            (regions, quorum),
            ((confirmations, recoveries), retries),
            expect,
        )| {
            AssignedCheck {
                number: CheckNo(number),
                revision: Revision(revision),
                definition: CheckDefinition {
                    expect: expect.iter().map(|text| Expectation::parse(text, kind.as_str()).unwrap()).collect(),
                    kind,
                    id: CheckId::parse(&id).unwrap(),
                    interval_us: interval_ms * 1000,
                    timeout_us,
                    retries,
                    weight: Weight(weight),
                    regions,
                    quorum,
                    confirmations,
                    recoveries,
                },
            }
        },
    )
}

fn der() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..600)
}

fn addresses() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-z0-9.:]{1,60}", 0..=ADDRESSES_MAX)
}

fn secrets() -> impl Strategy<Value = SecretsPart> {
    let secrets = prop::collection::btree_map("[a-z0-9._-]{1,64}", "\\PC{1,200}", 0..8);
    (0_u32..5, 5_u32..9, secrets).prop_map(|(part, parts, secrets)| SecretsPart {
        part,
        parts,
        secrets: secrets.into_iter().collect(),
    })
}

pub(crate) fn to_collector() -> impl Strategy<Value = ToCollector> {
    let hello = (1_u16..9, 9_u16..99, "[a-z0-9.+]{1,100}", any::<u64>(), utc(), number(), number()).prop_map(
        |(protocol_min, protocol_max, build, incarnation, sent_at, assignment_revision, spool_records)| {
            let incarnation = Incarnation(incarnation);
            ToCollector::Hello(Hello {
                protocol_min,
                protocol_max,
                build,
                incarnation,
                sent_at,
                assignment_revision,
                spool_records,
            })
        },
    );
    let host = (any::<u32>(), 1_u32..5000, number(), 1_u64..u64::from(u32::MAX)).prop_map(
        |(load_milli, cores, memory_used_bytes, more)| Host {
            load_milli,
            cores,
            memory_used_bytes,
            memory_total_bytes: memory_used_bytes.saturating_add(more),
        },
    );
    let clock = (option::of(any::<i64>()), number());
    let status = (number(), number(), option::of(utc()), any::<u32>(), clock, option::of(host)).prop_map(
        |(spool_records, spool_bytes, spool_oldest, in_flight, (clock_offset_us, clock_uncertainty_us), host)| {
            ToCollector::Status(Status {
                spool_records,
                spool_bytes,
                spool_oldest,
                in_flight,
                clock_offset_us,
                clock_uncertainty_us,
                host,
            })
        },
    );
    let join = (any::<[u8; 32]>(), option::of(slug()), der(), "[a-z0-9.+]{1,100}").prop_map(
        |(secret, name, csr_der, build)| {
            let name = name.map(|name| AgentName::parse(&name).unwrap());
            ToCollector::Join(JoinRequest { protocol_min: 1, protocol_max: 2, secret, name, csr_der, build })
        },
    );
    prop_oneof![
        1 => hello,
        1 => prop::sample::select(vec![Lane::Fresh, Lane::Backlog]).prop_map(ToCollector::LaneOpen),
        8 => batch().prop_map(ToCollector::Batch),
        1 => prop::collection::vec(event(), 0..8).prop_map(ToCollector::Control),
        1 => prop::collection::vec(event_id(), 0..8).prop_map(ToCollector::ControlAck),
        1 => status,
        1 => join,
        1 => der().prop_map(|csr_der| ToCollector::Renew { csr_der }),
        2 => (any::<u64>(), prop_oneof![
            result_alone().prop_map(|result| Ok(Box::new(result))),
            "[a-z ]{1,300}".prop_map(Err),
        ])
            .prop_map(|(ask, outcome)| ToCollector::Ran { ask, outcome }),
    ]
}

pub(crate) fn to_agent() -> impl Strategy<Value = ToAgent> {
    let welcome =
        (any::<u16>(), "[a-z0-9.+]{1,100}", utc(), utc(), any::<u32>(), addresses(), any::<bool>(), any::<u32>())
            .prop_map(
                |(protocol, build, received_at, sent_at, agent, addresses, assignment_follows, backlog_per_s)| {
                    let agent = AgentNo(agent);
                    ToAgent::Welcome(Welcome {
                        protocol,
                        build,
                        received_at,
                        sent_at,
                        agent,
                        addresses,
                        assignment_follows,
                        backlog_per_s,
                    })
                },
            );
    let refusal = (prop::sample::select(RefusalCode::ALL.to_vec()), "[a-z ]{1,1000}")
        .prop_map(|(code, message)| ToAgent::Refusal(Refusal { code, message }));
    let part = (any::<u64>(), 0_u32..5, 5_u32..9, prop::collection::vec(check(), 0..5)).prop_map(
        |(revision, part, parts, checks)| ToAgent::Assignment(AssignmentPart { revision, part, parts, checks }),
    );
    let joined = (any::<u32>(), slug(), slug(), der(), der(), utc(), addresses()).prop_map(
        |(agent, name, region, certificate_der, ca_der, expires, addresses)| {
            let (name, region) = (AgentName::parse(&name).unwrap(), Region::parse(&region).unwrap());
            ToAgent::Joined(Joined { agent: AgentNo(agent), name, region, certificate_der, ca_der, expires, addresses })
        },
    );
    prop_oneof![
        welcome,
        refusal,
        part,
        (any::<u64>(), any::<u32>()).prop_map(|(number, backlog_per_s)| ToAgent::Ack(Ack { number, backlog_per_s })),
        prop::collection::vec(event(), 0..8).prop_map(ToAgent::Control),
        prop::collection::vec(event_id(), 0..8).prop_map(ToAgent::ControlAck),
        joined,
        (der(), utc()).prop_map(|(certificate_der, expires)| ToAgent::Renewed { certificate_der, expires }),
        secrets().prop_map(ToAgent::Secrets),
        (any::<u64>(), any::<u32>()).prop_map(|(ask, check)| ToAgent::RunNow { ask, check: CheckNo(check) }),
    ]
}
