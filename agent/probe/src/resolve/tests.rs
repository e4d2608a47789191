use std::future::Future;
use std::io::Write as _;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{MessageType, OpCode, Query as Asked};
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::{A, CNAME, HTTPS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn soon() -> Monotonic {
    clock::monotonic().plus_us(5_000_000)
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn reply(asked: &Message, code: ResponseCode, records: &[(&str, RData)]) -> Message {
    let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.response_code = code;
    answer.add_queries(asked.queries.iter().cloned());
    for (owner, data) in records {
        answer.add_answer(Record::from_rdata(name(owner), 60, data.clone()));
    }
    answer
}

fn a(text: &str) -> RData {
    RData::A(A(text.parse().unwrap()))
}

/// Runs `client` beside a server that answers each datagram with what `answers` gives, raw.
async fn beside<T>(
    answers: impl Fn(&Message) -> Vec<Vec<u8>>,
    client: impl AsyncFnOnce(Resolver, SocketAddr) -> T,
) -> T {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = socket.local_addr().unwrap();
    let serving = async {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            for answer in answers(&Message::from_vec(&buffer[..length]).unwrap()) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    };
    tokio::select! {
        never = serving => never,
        done = client(Resolver::with_server(server), server) => done,
    }
}

fn is(asked: &Message, record: RecordType) -> bool {
    asked.queries[0].query_type == record
}

#[test]
fn ipv6_is_asked_for_only_where_there_is_no_ipv4() {
    block_on(async {
        let asked = AtomicUsize::new(0);
        let answers = |question: &Message| {
            asked.fetch_add(1, Ordering::Relaxed);
            let v6 = || RData::AAAA("2a00::1".parse::<Ipv6Addr>().unwrap().into());
            let host = question.queries[0].name.to_ascii();
            let records = match (host.as_str(), is(question, RecordType::A)) {
                ("both.example.", true) => vec![("both.example", a("192.0.2.1")), ("both.example", a("192.0.2.2"))],
                ("both.example.", false) => vec![("both.example", v6())],
                ("six.example.", false) => vec![("six.example", v6())],
                _ => vec![],
            };
            vec![reply(question, ResponseCode::NoError, &records).to_vec().unwrap()]
        };
        beside(answers, async |resolver: Resolver, _| {
            let look_up = async |name: &str, family| {
                asked.store(0, Ordering::Relaxed);
                let found = resolver.addresses(name, false, family, soon()).await;
                (
                    found.map(|found| found[0].to_string()).map_err(|failure| failure.detail),
                    asked.load(Ordering::Relaxed),
                )
            };
            assert_eq!(look_up("both.example", Family::Any).await, (Ok("192.0.2.1".to_owned()), 1));
            assert_eq!(look_up("both.example", Family::Ipv6).await, (Ok("2a00::1".to_owned()), 1));
            assert_eq!(look_up("six.example", Family::Any).await, (Ok("2a00::1".to_owned()), 2));
            let none = Err("dns: six.example has no IPv4 address".to_owned());
            assert_eq!(look_up("six.example", Family::Ipv4).await, (none, 1));
            assert_eq!(
                look_up("none.example", Family::Any).await,
                (Err("dns: none.example has no address".to_owned()), 2)
            );
            let local = |family| look_up("a.localhost", family);
            assert_eq!(local(Family::Any).await, (Ok("127.0.0.1".to_owned()), 0), "nobody is asked for localhost");
            assert_eq!(local(Family::Ipv6).await, (Ok("::1".to_owned()), 0));
        })
        .await;
    });
}

#[test]
fn an_answer_that_says_no_is_the_names_fault() {
    block_on(async {
        for (code, detail) in [
            (ResponseCode::NXDomain, "dns: a.example does not exist (NXDOMAIN)"),
            (ResponseCode::ServFail, "dns: a.example does not resolve (SERVFAIL)"),
            (ResponseCode::Refused, "dns: a.example does not resolve (REFUSED)"),
        ] {
            let answers = |question: &Message| vec![reply(question, code, &[]).to_vec().unwrap()];
            let failure = beside(answers, async |resolver: Resolver, _| {
                resolver.addresses("a.example", false, Family::Any, soon()).await.unwrap_err()
            });
            let failure = failure.await;
            assert_eq!((failure.cause, failure.phase, failure.detail.as_str()), (Cause::DnsFailed, Phase::Dns, detail));
        }
    });
}

#[test]
fn silence_for_all_names_is_the_agents_loss_and_for_one_name_is_the_names() {
    block_on(async {
        let short = || clock::monotonic().plus_us(300_000);
        let failure = beside(
            |_| vec![],
            async |resolver: Resolver, _| {
                resolver.addresses("a.example", false, Family::Any, short()).await.unwrap_err()
            },
        );
        let failure = failure.await;
        assert_eq!(failure.cause, Cause::NetworkLost);
        assert!(
            failure.detail.starts_with("network: this agent's name servers do not answer for a.example ("),
            "{failure:?}"
        );
        let answers = |question: &Message| match is(question, RecordType::NS) {
            true => vec![reply(question, ResponseCode::NoError, &[]).to_vec().unwrap()],
            false => vec![],
        };
        let failure = beside(answers, async |resolver: Resolver, _| {
            resolver.addresses("a.example", false, Family::Any, short()).await.unwrap_err()
        });
        let failure = failure.await;
        assert_eq!(failure.cause, Cause::DnsFailed);
        assert!(failure.detail.ends_with("the name server answers other questions)"), "{failure:?}");
    });
}

/// Answers for `db.good.example` alone; `broken` is what comes for names under `bad.example`.
async fn with_a_broken_domain(resolv: &str, broken: Option<ResponseCode>, name: &str) -> Result<Vec<IpAddr>, Failure> {
    let answers = |question: &Message| {
        let asked = question.queries[0].name.to_ascii();
        let code = match asked.as_str() {
            "db.bad.example." | "none.bad.example." => broken,
            "." | "db.good.example." => Some(ResponseCode::NoError),
            _ => Some(ResponseCode::NXDomain),
        };
        let known = asked == "db.good.example." && is(question, RecordType::A);
        let records = if known { vec![("db.good.example", a("192.0.2.1"))] } else { vec![] };
        Vec::from_iter(code.map(|code| reply(question, code, &records).to_vec().unwrap()))
    };
    beside(answers, async |_, server| {
        let resolver = Resolver::with_resolv(server, resolv);
        resolver.addresses(name, false, Family::Any, clock::monotonic().plus_us(900_000)).await
    })
    .await
}

#[test]
fn one_broken_domain_of_the_search_list_does_not_break_every_lookup() {
    block_on(async {
        let search = "search bad.example good.example";
        for (broken, told) in [
            (Some(ResponseCode::ServFail), "SERVFAIL)"),
            (Some(ResponseCode::Refused), "REFUSED)"),
            (None, "the name server answers other questions)"),
        ] {
            let found = with_a_broken_domain(search, broken, "db").await;
            assert_eq!(found, Ok(vec!["192.0.2.1".parse().unwrap()]), "{broken:?}");
            // Where nobody knows the name, the trouble is told: it may be the domain that did.
            let failure = with_a_broken_domain(search, broken, "none").await.unwrap_err();
            assert_eq!(failure.cause, Cause::DnsFailed, "{failure:?}");
            let begin = "dns: none (as none.bad.example.) does not resolve (";
            assert!(failure.detail.starts_with(begin) && failure.detail.ends_with(told), "{failure:?}");
        }
        // The name itself counts as before: no other name may stand in for it.
        let itself = with_a_broken_domain("search good.example\noptions ndots:0", None, "db.bad.example").await;
        assert_eq!(itself.unwrap_err().cause, Cause::DnsFailed);
    });
}

/// What HTTPS records `name` has at port 8443. There is one of `db.good.example`; `bad.example` tells `broken`, and `empty.example` has the names
/// without a record.
async fn services_by(resolv: &str, broken: Option<ResponseCode>, name: &str) -> Result<Vec<String>, Failure> {
    let answers = |question: &Message| {
        let asked = question.queries[0].name.to_ascii();
        let is_known = asked == "_8443._https.db.good.example.";
        let code = match asked.as_str() {
            _ if is_known => Some(ResponseCode::NoError),
            "." => Some(ResponseCode::NoError),
            _ if asked.ends_with(".bad.example.") => broken,
            _ if asked.ends_with(".empty.example.") => Some(ResponseCode::NoError),
            _ => Some(ResponseCode::NXDomain),
        };
        let service = RData::HTTPS(HTTPS(SVCB::new(1, Name::root(), vec![])));
        let records = if is_known { vec![("_8443._https.db.good.example", service)] } else { vec![] };
        Vec::from_iter(code.map(|code| reply(question, code, &records).to_vec().unwrap()))
    };
    beside(answers, async |_, server| {
        let resolver = Resolver::with_resolv(server, resolv);
        let found = resolver.services(name, false, 8443, clock::monotonic().plus_us(2_000_000)).await?;
        Ok(found.iter().map(|(owner, _)| owner.to_ascii()).collect())
    })
    .await
}

#[test]
fn services_are_searched_for_like_addresses() {
    block_on(async {
        let search = "search bad.example empty.example good.example";
        for (broken, told) in [
            (Some(ResponseCode::ServFail), "SERVFAIL)"),
            // A third of the time is this domain's.
            (None, "the name server answers other questions)"),
        ] {
            let found = services_by(search, broken, "db").await;
            assert_eq!(found, Ok(vec!["_8443._https.db.good.example.".to_owned()]), "{broken:?}");
            let failure = services_by(search, broken, "none").await.unwrap_err();
            let begin = "dns: the HTTPS record of none (as none.bad.example.) does not resolve (";
            assert!(failure.detail.starts_with(begin) && failure.detail.ends_with(told), "{failure:?}");
            // The name itself counts as it is.
            let itself = services_by("search good.example", broken, "db.bad.example").await.unwrap_err();
            let begin = "dns: the HTTPS record of db.bad.example does not resolve (";
            assert!(itself.detail.starts_with(begin) && itself.detail.ends_with(told), "{itself:?}");
        }
        assert_eq!(services_by("search empty.example", None, "db").await, Ok(vec![]));
        let long = format!("{}.example", ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(45)].join("."));
        assert_eq!(services_by("search good.example", None, &long).await, Ok(vec![]), "too long to have any");
    });
}

#[test]
fn nobody_listening_is_told_at_once() {
    block_on(async {
        let server = {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.local_addr().unwrap()
        };
        let resolver = Resolver::with_server(server);
        let failure = resolver.addresses("a.example", false, Family::Any, soon()).await.unwrap_err();
        assert_eq!(failure.cause, Cause::NetworkLost);
        assert!(failure.detail.contains("connection refused"), "{failure:?}");
    });
}

#[test]
fn aliases_are_followed_inside_the_answer_and_strangers_are_not_believed() {
    block_on(async {
        let alias = |to: &str| RData::CNAME(CNAME(name(to)));
        let answers = |question: &Message| {
            let records = match question.queries[0].name.to_ascii().as_str() {
                "www.example." => vec![
                    ("B.example", a("192.0.2.9")),
                    ("www.example", alias("b.example")),
                    ("other.example", a("192.0.2.66")),
                ],
                "loop.example." => {
                    vec![("loop.example", alias("pool.example")), ("pool.example", alias("loop.example"))]
                }
                _ => vec![("other.example", a("192.0.2.66"))],
            };
            vec![reply(question, ResponseCode::NoError, &records).to_vec().unwrap()]
        };
        beside(answers, async |resolver: Resolver, _| {
            let look_up = async |name: &str| resolver.addresses(name, false, Family::Ipv4, soon()).await;
            assert_eq!(look_up("www.example").await.unwrap(), ["192.0.2.9".parse::<IpAddr>().unwrap()]);
            for lie in ["loop.example", "x.example"] {
                assert_eq!(look_up(lie).await.unwrap_err().detail, format!("dns: {lie} has no IPv4 address"));
            }
        })
        .await;
    });
}

#[test]
fn answers_to_other_questions_are_passed_over() {
    block_on(async {
        let answers = |question: &Message| {
            let lie = |id: u16, record, host: &str| {
                let mut lie = reply(question, ResponseCode::NoError, &[("a.example", a("192.0.2.66"))]);
                lie.metadata.id = id;
                lie.queries = vec![Asked::query(name(host), record)];
                lie.to_vec().unwrap()
            };
            let id = question.metadata.id;
            let mut echo = question.clone();
            echo.add_answer(Record::from_rdata(name("a.example"), 60, a("192.0.2.66")));
            let truth = reply(question, ResponseCode::NoError, &[("A.EXAMPLE", a("192.0.2.1"))]);
            vec![
                lie(id.wrapping_add(1), RecordType::A, "a.example"),
                lie(id, RecordType::AAAA, "a.example"),
                lie(id, RecordType::A, "b.example"),
                vec![],
                vec![7],
                echo.to_vec().unwrap(),
                truth.to_vec().unwrap(),
            ]
        };
        beside(answers, async |resolver: Resolver, _| {
            let found = resolver.addresses("a.example", false, Family::Ipv4, soon()).await.unwrap();
            assert_eq!(found, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        })
        .await;
    });
}

#[test]
fn a_truncated_answer_is_asked_for_again_over_tcp() {
    block_on(async {
        let truncated = |question: &Message| {
            let mut answer = reply(question, ResponseCode::NoError, &[]);
            answer.metadata.truncation = true;
            vec![answer.to_vec().unwrap()]
        };
        beside(truncated, async |resolver: Resolver, server| {
            let listener = TcpListener::bind(server).await.unwrap();
            let serving = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut question).await.unwrap();
                let question = Message::from_vec(&question).unwrap();
                let answer =
                    reply(&question, ResponseCode::NoError, &[("a.example", a("192.0.2.1"))]).to_vec().unwrap();
                stream.write_u16(answer.len() as u16).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            };
            let (found, ()) = tokio::join!(resolver.addresses("a.example", false, Family::Ipv4, soon()), serving);
            assert_eq!(found.unwrap(), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        })
        .await;
    });
}

#[test]
fn changed_files_are_read_again_and_missing_ones_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (resolv, hosts) = (dir.path().join("resolv.conf"), dir.path().join("hosts"));
    let resolver = Resolver::with_files(&resolv, &hosts);
    let failure = resolver.system().unwrap_err();
    assert_eq!(failure.cause, Cause::AgentFault);
    assert!(failure.detail.contains("resolv.conf: cannot be read (no such file"), "{failure:?}");
    let look = || {
        // As if a second had passed.
        if let Source::Files { read, .. } = &resolver.source
            && let Some(reading) = &mut *read.lock().unwrap()
        {
            reading.look_at = Monotonic(0);
        }
        resolver.system()
    };
    let write = |path: &Path, text: &str, age: u64| {
        let mut file = fs::File::create(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age)).unwrap();
    };
    write(&resolv, "nameserver 192.0.2.53\n", 1);
    assert_eq!(look().unwrap().servers, ["192.0.2.53:53".parse().unwrap()]);
    write(&resolv, "nameserver 192.0.2.54\n", 2);
    write(&hosts, "10.0.0.7 db\n", 1);
    assert_eq!(resolver.system().unwrap().servers, ["192.0.2.53:53".parse().unwrap()], "not looked at each time");
    let system = look().unwrap();
    assert_eq!(system.servers, ["192.0.2.54:53".parse().unwrap()]);
    let of_the_file = (vec!["10.0.0.7".parse().unwrap()], Answerer::HostsFile);
    assert_eq!(answerer::known(&system, "db", Family::Any), Some(of_the_file));
    assert_eq!(answerer::known(&system, "db", Family::Ipv6), None);
}
