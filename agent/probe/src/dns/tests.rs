use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;

use hickory_proto::op::{MessageType, OpCode, Query as Asked, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CAA, CNAME, MX, NS, PTR, SOA, SRV, TXT};
use sitepulse_daemon::address::Policy;
use sitepulse_model::check::CheckKind;
use sitepulse_model::record::{ProbeResult, ProbeState};

use super::*;
use crate::resolve::Resolver;
use crate::testing::{check, run, some_roots, tools};
use crate::tls::Tls;
use crate::tools::Tools;

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn target(server: SocketAddr, record: DnsType) -> DnsTarget {
    DnsTarget {
        name: "shop.example".to_owned(),
        record,
        server: Some(server.to_string()),
        transport: DnsTransport::Udp,
        dnssec: false,
        family: Family::Any,
    }
}

fn ask(target: &DnsTarget) -> ProbeResult {
    run(&check(CheckKind::Dns(target.clone()), 2_000_000, &[]), &tools(some_roots()))
}

fn reply(asked: &Message, records: &[(&str, u32, RData)]) -> Message {
    let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
    answer.add_queries(asked.queries.iter().cloned());
    for (owner, ttl, data) in records {
        answer.add_answer(Record::from_rdata(name(owner), *ttl, data.clone()));
    }
    answer
}

fn v4(text: &str) -> RData {
    RData::A(A(text.parse().unwrap()))
}

/// Answers the next datagram with what `answers` gives, in order, each from the server's own socket or (`true`) from another one.
fn over_udp(answers: impl FnOnce(Message) -> Vec<(bool, Vec<u8>)> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap();
    thread::spawn(move || {
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut buffer = [0; 4096];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        for (strange, answer) in answers(Message::from_vec(&buffer[..length]).unwrap()) {
            // The asker may be gone already.
            let sender = if strange { &stranger } else { &socket };
            if sender.send_to(&answer, from).is_err() {
                break;
            }
        }
    });
    server
}

/// Answers one question over TCP with raw bytes.
fn over_tcp(listener: TcpListener, answer: impl FnOnce(Message) -> Vec<u8> + Send + 'static) {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut question).unwrap();
        stream.write_all(&answer(Message::from_vec(&question).unwrap())).unwrap();
    });
}

fn framed(message: &Message) -> Vec<u8> {
    let bytes = message.to_vec().unwrap();
    let mut framed = (bytes.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(&bytes);
    framed
}

fn number(result: &ProbeResult, key: FactKey) -> Option<i64> {
    result.facts.number_of(key)
}

fn values(result: &ProbeResult) -> Vec<&str> {
    result.facts.texts_of(FactKey::DnsAnswer).collect()
}

fn is_clean(result: &ProbeResult) {
    assert_eq!((result.state, result.cause, result.detail.as_str()), (ProbeState::Up, None, ""), "{result:?}");
}

#[test]
fn every_type_is_told_as_people_write_it() {
    let soa = SOA::new(name("ns.example"), name("hostmaster.example"), 2026, 3600, 600, 86400, 300);
    for (record, data, told) in [
        (DnsType::A, v4("192.0.2.7"), "192.0.2.7"),
        (DnsType::Aaaa, RData::AAAA(AAAA("2001:db8::7".parse().unwrap())), "2001:db8::7"),
        (DnsType::Cname, RData::CNAME(CNAME(name("www.example"))), "www.example."),
        (DnsType::Mx, RData::MX(MX::new(10, name("mail.example"))), "10 mail.example."),
        (DnsType::Ns, RData::NS(NS(name("ns.example"))), "ns.example."),
        (DnsType::Txt, RData::TXT(TXT::new(vec!["v=spf1 ".to_owned(), "-all".to_owned()])), "v=spf1 -all"),
        (DnsType::Soa, RData::SOA(soa), "ns.example. hostmaster.example. 2026 3600 600 86400 300"),
        (DnsType::Srv, RData::SRV(SRV::new(1, 2, 443, name("a.example"))), "1 2 443 a.example."),
        (
            DnsType::Caa,
            RData::CAA(CAA::new_issue(true, Some(Name::from_ascii("ca.example").unwrap()), vec![])),
            "128 issue \"ca.example\"",
        ),
        (DnsType::Ptr, RData::PTR(PTR(name("host.example"))), "host.example."),
    ] {
        let server = over_udp(move |asked| {
            assert_eq!(asked.queries[0].query_type, record_type(record));
            assert_eq!(
                asked.edns.as_ref().map(|edns| (edns.max_payload(), edns.flags().dnssec_ok)),
                Some((1232, false))
            );
            vec![(false, reply(&asked, &[("shop.example", 300, data)]).to_vec().unwrap())]
        });
        let result = ask(&target(server, record));
        is_clean(&result);
        assert_eq!(values(&result), [told]);
        assert_eq!(result.address, Some(server));
        assert_eq!((number(&result, FactKey::DnsAnswers), number(&result, FactKey::DnsTtl)), (Some(1), Some(300)));
        assert_eq!(result.facts.texts_of(FactKey::DnsRcode).collect::<Vec<_>>(), ["NOERROR"]);
        let phases = result.phases;
        assert!(phases.send.is_some() && phases.first_byte.is_some() && phases.total.is_some(), "{phases:?}");
        assert_eq!((phases.dns, phases.connect, phases.tls, phases.transfer), (None, None, None, None));
    }
}

#[test]
fn aliases_lead_to_the_records_and_strangers_do_not_count() {
    let server = over_udp(|asked| {
        let records = [
            ("shop.example", 300, RData::CNAME(CNAME(name("cdn.example")))),
            ("CDN.example", 60, v4("192.0.2.8")),
            ("cdn.example", 20, v4("192.0.2.7")),
            ("stranger.example", 1, v4("192.0.2.66")),
        ];
        let mut answer = reply(&asked, &records);
        answer.add_additional(Record::from_rdata(name("cdn.example"), 5, v4("192.0.2.67")));
        answer.metadata.authentic_data = true;
        vec![(false, answer.to_vec().unwrap())]
    });
    let result = ask(&DnsTarget { dnssec: true, ..target(server, DnsType::A) });
    is_clean(&result);
    assert_eq!(values(&result), ["192.0.2.8", "192.0.2.7"]);
    assert_eq!(number(&result, FactKey::DnsTtl), Some(20));
    assert_eq!(number(&result, FactKey::DnsAd), Some(1));
}

#[test]
fn a_refusal_is_an_answer() {
    for (code, told) in
        [(ResponseCode::NXDomain, "NXDOMAIN"), (ResponseCode::ServFail, "SERVFAIL"), (ResponseCode::Refused, "REFUSED")]
    {
        let server = over_udp(move |asked| {
            let mut answer = reply(&asked, &[]);
            answer.metadata.response_code = code;
            vec![(false, answer.to_vec().unwrap())]
        });
        let result = ask(&target(server, DnsType::A));
        assert_eq!(result.facts.texts_of(FactKey::DnsRcode).collect::<Vec<_>>(), [told]);
        assert_eq!((number(&result, FactKey::DnsAnswers), number(&result, FactKey::DnsTtl)), (Some(0), None));
    }
}

#[test]
fn what_answers_another_question_is_passed_over() {
    let server = over_udp(|asked| {
        let lie = |id: u16, record, host: &str| {
            let mut lie = reply(&asked, &[("shop.example", 1, v4("192.0.2.66"))]);
            lie.metadata.id = id;
            lie.queries = vec![Asked::query(name(host), record)];
            lie.to_vec().unwrap()
        };
        let id = asked.metadata.id;
        let truth = reply(&asked, &[("SHOP.example", 300, v4("192.0.2.7"))]).to_vec().unwrap();
        vec![
            (true, lie(id, RecordType::A, "shop.example")),
            (false, lie(id ^ 1, RecordType::A, "shop.example")),
            (false, lie(id, RecordType::AAAA, "shop.example")),
            (false, lie(id, RecordType::A, "other.example")),
            (false, vec![]),
            (false, vec![0; 11]),
            (false, truth),
        ]
    });
    let result = ask(&target(server, DnsType::A));
    is_clean(&result);
    assert_eq!(values(&result), ["192.0.2.7"]);
}

#[test]
fn hostile_answers_end_the_run_with_a_reason() {
    let raw = |make: fn(u16) -> Vec<u8>| over_udp(move |asked| vec![(false, make(asked.metadata.id))]);
    let header = |id: u16, questions: u8, answers: u8| {
        let [high, low] = id.to_be_bytes();
        vec![high, low, 0x81, 0x80, 0, questions, 0, answers, 0, 0, 0, 0]
    };
    let [points_to_itself, endless_pointers, claims_much, cut]: [fn(u16) -> Vec<u8>; 4] = [
        |id| [&id.to_be_bytes()[..], &[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]].concat(),
        |id| [&id.to_be_bytes()[..], &[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 14, 0xc0, 12, 0, 1, 0, 1]].concat(),
        |id| [&id.to_be_bytes()[..], &[0x81, 0x80, 255, 255, 255, 255, 255, 255, 255, 255]].concat(),
        |id| [&id.to_be_bytes()[..], &[0x81]].concat(),
    ];
    for make in [points_to_itself, endless_pointers, claims_much, cut] {
        let result = ask(&target(raw(make), DnsType::A));
        assert_eq!(
            (result.cause, result.failed_phase),
            (Some(Cause::ProtocolError), Some(Phase::FirstByte)),
            "{result:?}"
        );
        assert!(result.detail.starts_with("dns: the answer of 127.0.0.1 cannot be read ("), "{}", result.detail);
    }
    // A flood of answers to another question: given up after a while, long before the deadline would.
    let flood =
        over_udp(move |asked| vec![(false, header(asked.metadata.id ^ 1, 0, 0)); 100 * crate::query::STRAYS_MAX]);
    let result = ask(&target(flood, DnsType::A));
    assert_eq!(result.cause, Some(Cause::ProtocolError));
    assert!(result.detail.contains("1000 messages came that answer another question"), "{}", result.detail);
}

#[test]
fn a_truncated_answer_is_asked_for_over_tcp() {
    let server = over_udp(|asked| {
        let mut answer = reply(&asked, &[("shop.example", 1, v4("192.0.2.66"))]);
        answer.metadata.truncation = true;
        vec![(false, answer.to_vec().unwrap()); 3]
    });
    over_tcp(TcpListener::bind(server).unwrap(), |asked| {
        framed(&reply(&asked, &[("shop.example", 300, v4("192.0.2.7"))]))
    });
    let result = ask(&target(server, DnsType::A));
    is_clean(&result);
    assert_eq!(values(&result), ["192.0.2.7"]);
    assert!(result.phases.connect.is_some() && result.phases.transfer.is_some(), "{:?}", result.phases);
}

#[test]
fn tcp_is_spoken_from_the_start_where_asked() {
    let of = |answer: fn(Message) -> Vec<u8>| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        over_tcp(listener, answer);
        ask(&DnsTarget { transport: DnsTransport::Tcp, ..target(server, DnsType::A) })
    };
    let result = of(|asked| framed(&reply(&asked, &[("shop.example", 300, v4("192.0.2.7"))])));
    is_clean(&result);
    assert!(result.phases.connect.is_some() && result.phases.transfer.is_some());
    let result = of(|_| vec![]);
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::ConnectionReset), Some(Phase::FirstByte)));
    let result = of(|_| vec![0xff, 0xff, 1]);
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::ConnectionReset), Some(Phase::Transfer)));
    assert_eq!(result.detail, "dns: 127.0.0.1 closed the connection early");
}

#[test]
fn silence_is_a_timeout_and_a_closed_port_is_told_at_once() {
    let silent = over_udp(|_| vec![]);
    let result = run(&check(CheckKind::Dns(target(silent, DnsType::A)), 100_000, &[]), &tools(some_roots()));
    assert_eq!((result.cause, result.failed_phase), (Some(Cause::Timeout), Some(Phase::FirstByte)));
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let result = ask(&target(closed, DnsType::A));
    assert_eq!(result.cause, Some(Cause::ConnectionRefused));
    assert_eq!(result.detail, "dns: 127.0.0.1 refuses: nothing listens there");
}

#[test]
fn the_policy_holds_for_named_servers_and_not_for_the_machines_own() {
    let mut public = Tools::new(Tls::with_roots(some_roots()).unwrap(), Policy::default());
    let server =
        over_udp(|asked| vec![(false, reply(&asked, &[("shop.example", 300, v4("192.0.2.7"))]).to_vec().unwrap())]);
    let named = check(CheckKind::Dns(target(server, DnsType::A)), 1_000_000, &[]);
    assert_eq!(run(&named, &public).cause, Some(Cause::PolicyRefused));
    public.resolver = Resolver::with_server(server);
    let own = check(CheckKind::Dns(DnsTarget { server: None, ..target(server, DnsType::A) }), 1_000_000, &[]);
    let result = run(&own, &public);
    is_clean(&result);
    assert_eq!(result.address, Some(server));
}

/// A stub on the loopback that died is the agent's own loss, as for every other kind that resolves names.
#[test]
fn the_machines_own_name_server_that_dies_is_no_failure_of_the_name() {
    let ask = |server: SocketAddr, transport, timeout_us| {
        let mut tools = tools(some_roots());
        tools.resolver = Resolver::with_server(server);
        let own = DnsTarget { server: None, transport, ..target(server, DnsType::A) };
        run(&check(CheckKind::Dns(own), timeout_us, &[]), &tools)
    };
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (server, transport, told) in [
        (gone, DnsTransport::Udp, "nothing listens there"),
        (gone, DnsTransport::Tcp, "refused the connection"),
        (silent.local_addr().unwrap(), DnsTransport::Udp, "no answer"),
    ] {
        let result = ask(server, transport, 500_000);
        assert_eq!((result.state, result.cause), (ProbeState::Unknown, Some(Cause::NetworkLost)), "{}", result.detail);
        let begin = "network: this agent's name servers do not answer for shop.example. (";
        assert!(result.detail.starts_with(begin) && result.detail.contains(told), "{}", result.detail);
    }
    // It answers other questions: the silence is the name's.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let (length, from) = silent.recv_from(&mut buffer).unwrap();
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            if asked.queries[0].name.is_root() {
                silent.send_to(&reply(&asked, &[]).to_vec().unwrap(), from).unwrap();
                return;
            }
        }
    });
    let result = ask(server, DnsTransport::Udp, 500_000);
    assert_eq!((result.state, result.cause), (ProbeState::Down, Some(Cause::Timeout)), "{}", result.detail);
}

#[test]
fn servers_and_names_are_read_or_refused() {
    let of = |text: &str| server(text).map(|(host, port)| format!("{host} {port}"));
    for (text, read) in [
        ("192.0.2.53", "192.0.2.53 53"),
        ("192.0.2.53:5353", "192.0.2.53 5353"),
        ("2001:db8::53", "2001:db8::53 53"),
        ("[2001:db8::53]:54", "2001:db8::53 54"),
        ("[2001:db8::53]", "2001:db8::53 53"),
        ("ns.example", "ns.example 53"),
        ("ns.example:54", "ns.example 54"),
    ] {
        assert_eq!(of(text), Ok(read.to_owned()));
    }
    for wrong in ["", ":53", "ns.example:", "ns.example:70000", "[::1", "[]:53"] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
    let asked = |text: &str, record| question_name(text, record).map(|name| name.to_ascii());
    assert_eq!(asked("192.0.2.7", DnsType::Ptr).unwrap(), "7.2.0.192.in-addr.arpa.");
    assert_eq!(asked(".", DnsType::Ns).unwrap(), ".");
    assert_eq!(asked("_sip._tcp.example", DnsType::Srv).unwrap(), "_sip._tcp.example.");
    assert!(asked("", DnsType::A).is_err());
    assert!(asked("bücher.example", DnsType::A).is_err());
    assert!(asked("a..b", DnsType::A).is_err());
}

#[test]
fn assertions_see_answers_whole_and_all_of_them() {
    let key = "A1b2".repeat(100);
    let dkim = RData::TXT(TXT::new(
        key.as_bytes().chunks(250).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect(),
    ));
    let mut records = vec![("shop.example", 300, dkim)];
    for host in 0..600 {
        records.push(("shop.example", 300, RData::TXT(TXT::new(vec![format!("host {host} is good")]))));
    }
    for (assertion, state) in [
        (format!("answer contains '{key}'"), ProbeState::Up),
        ("answer contains 'host 599 is'".to_owned(), ProbeState::Up),
        ("answer not contains 'host 599 is'".to_owned(), ProbeState::Down),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let records = records.clone();
        over_tcp(listener, move |asked| framed(&reply(&asked, &records)));
        let target = DnsTarget { transport: DnsTransport::Tcp, ..target(server, DnsType::Txt) };
        let result = run(&check(CheckKind::Dns(target), 5_000_000, &[&assertion]), &tools(some_roots()));
        assert_eq!(result.state, state, "{assertion}: {}", result.detail);
        assert_eq!(number(&result, FactKey::DnsAnswers), Some(601));
        assert_eq!(values(&result).len(), 16, "a record keeps the first of them");
        assert_eq!(values(&result)[0], &key[..200]);
    }
}
