//! The ground the corpus plays on: a canary on the loopback that counts whoever comes, a server on another loopback address that stands for the
//! Internet, and a name server whose answers are written in the names themselves.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::svcb::{Alpn, SVCB, SvcParamKey, SvcParamValue};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HTTPS};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// The one address that stands for the Internet.
pub(crate) const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const CANARIES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Everything that listens.
pub(crate) struct Ground {
    /// The canary's port, on both its addresses, TCP and UDP; the public server has the same.
    pub(crate) port: u16,
    /// The name server.
    pub(crate) names: SocketAddr,
    canary: Arc<Canary>,
}

#[derive(Default)]
struct Canary {
    visits: Mutex<usize>,
    came: Condvar,
}

impl Canary {
    fn visit(&self) {
        *self.visits.lock().unwrap() += 1;
        self.came.notify_all();
    }
}

impl Ground {
    pub(crate) fn new() -> Self {
        let canary = Arc::new(Canary::default());
        // A port that is free on all of them.
        let (listeners, sockets, public) =
            (0..100).find_map(|_| bind().ok()).expect("some port is free on every address");
        let port = public.local_addr().unwrap().port();
        for listener in listeners {
            let canary = canary.clone();
            thread::spawn(move || listener.incoming().for_each(|_| canary.visit()));
        }
        for socket in sockets {
            let canary = canary.clone();
            thread::spawn(move || {
                while socket.recv_from(&mut [0; 2048]).is_ok() {
                    canary.visit();
                }
            });
        }
        thread::spawn(move || {
            for stream in public.incoming() {
                // A client that is gone already needs no answer.
                thread::spawn(move || stream.and_then(serve).unwrap_or_default());
            }
        });
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let names = socket.local_addr().unwrap();
        thread::spawn(move || answer_names(&socket));
        Self { port, names, canary }
    }

    /// How often the canary was visited until now. Visits of our own, in at every door, tell that all earlier ones are counted: doors are queues.
    pub(crate) fn visits(&self) -> usize {
        let before = *self.canary.visits.lock().unwrap();
        let doors = CANARIES.map(|address| SocketAddr::new(address, self.port));
        for door in doors {
            drop(TcpStream::connect(door).unwrap());
            let any: SocketAddr = (if door.is_ipv4() { CANARIES[0] } else { CANARIES[1] }, 0).into();
            UdpSocket::bind(any).unwrap().send_to(b"barrier", door).unwrap();
        }
        let ours = 2 * doors.len();
        let waiting = |visits: &mut usize| *visits < before + ours;
        let visits = self.canary.visits.lock().unwrap();
        let (mut visits, timeout) =
            self.canary.came.wait_timeout_while(visits, Duration::from_secs(10), waiting).unwrap();
        assert!(!timeout.timed_out(), "the canary does not count");
        *visits -= ours;
        *visits
    }
}

type Doors = (Vec<TcpListener>, Vec<UdpSocket>, TcpListener);

fn bind() -> std::io::Result<Doors> {
    let public = TcpListener::bind((PUBLIC, 0))?;
    let port = public.local_addr()?.port();
    let listeners = CANARIES.iter().map(|address| TcpListener::bind((*address, port))).collect::<Result<_, _>>()?;
    let sockets = CANARIES.iter().map(|address| UdpSocket::bind((*address, port))).collect::<Result<_, _>>()?;
    Ok((listeners, sockets, public))
}

/// The public server: `/to/STATUS/HEX` redirects to the location that the digits spell, everything else is fine.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let told = path.strip_prefix("/to/").and_then(|rest| rest.split_once('/'));
    let answer = match told.and_then(|(status, digits)| Some((status, unhex(digits)?))) {
        Some((status, location)) => {
            format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        None => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".to_owned(),
    };
    stream.write_all(answer.as_bytes())
}

/// The path at the public server that redirects to `location`.
pub(crate) fn redirect(status: u16, location: &str) -> String {
    let digits: String = location.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("/to/{status}/{digits}")
}

fn unhex(digits: &str) -> Option<String> {
    let bytes = digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}

/// A name that has all these addresses, in this order.
pub(crate) fn set(addresses: &[IpAddr]) -> String {
    format!("{}.set.test", labels(addresses))
}

/// A name that has the first address when asked first, the second when asked again, and so on; `tag` makes it unique.
pub(crate) fn rebinding(tag: &str, addresses: &[IpAddr]) -> String {
    format!("{}.{tag}.rebind.test", labels(addresses))
}

/// A name that is an alias of an alias (and so on, `links` times) of a name with this address.
pub(crate) fn chain(links: usize, address: IpAddr) -> String {
    format!("{}.{links}.chain.test", labels(&[address]))
}

/// A name whose HTTPS records, at whatever port, offer HTTP/3 at `target` and `port`.
pub(crate) fn service(target: &str, port: u16) -> String {
    format!("{}.{port}.service.test", spelt(target))
}

/// A name whose HTTPS records are an alias of `target`.
pub(crate) fn alias(target: &str) -> String {
    format!("{}.alias.test", spelt(target))
}

/// A name as the digits of its bytes, in labels that are not too long.
fn spelt(name: &str) -> String {
    let digits: Vec<String> = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    digits.chunks(30).map(<[String]>::concat).collect::<Vec<_>>().join(".")
}

fn labels(addresses: &[IpAddr]) -> String {
    let label = |address: &IpAddr| match address {
        IpAddr::V4(v4) => format!("a{:08x}", v4.to_bits()),
        IpAddr::V6(v6) => format!("q{:032x}", v6.to_bits()),
    };
    addresses.iter().map(label).collect::<Vec<_>>().join(".")
}

fn answer_names(socket: &UdpSocket) {
    let mut asked_before = HashMap::<(String, RecordType), usize>::new();
    let mut buffer = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
        let asked = &question.queries[0];
        let name = asked.name.to_ascii().to_ascii_lowercase();
        let mut labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
        let zone = labels.split_off(labels.len().saturating_sub(2)).join(".");
        let mut addresses: Vec<IpAddr> = labels
            .iter()
            .filter_map(|label| match (label.len(), label.split_at_checked(1)?) {
                (9, ("a", digits)) => Some(Ipv4Addr::from_bits(u32::from_str_radix(digits, 16).ok()?).into()),
                (33, ("q", digits)) => Some(Ipv6Addr::from_bits(u128::from_str_radix(digits, 16).ok()?).into()),
                _ => None,
            })
            .collect();
        let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        answer.add_query(asked.clone());
        let mut owner = asked.name.clone();
        match zone.as_str() {
            "set.test" => {}
            "rebind.test" => {
                let turn = asked_before.entry((name.clone(), asked.query_type)).or_default();
                let last = addresses.len() - 1;
                addresses = vec![addresses[last.min(*turn)]];
                *turn += 1;
            }
            // The hosts themselves are public: only their records lead elsewhere.
            "service.test" | "alias.test" => {
                addresses = vec![IpAddr::V4(PUBLIC)];
                if asked.query_type == RecordType::HTTPS {
                    let (priority, port) = match zone.as_str() {
                        "service.test" => (1, Some(labels.pop().unwrap().parse().unwrap())),
                        _ => (0, None),
                    };
                    let digits: String = labels.iter().filter(|label| !label.starts_with('_')).copied().collect();
                    let target =
                        Name::from_ascii(format!("{}.", unhex(&digits).unwrap().trim_end_matches('.'))).unwrap();
                    let offer = |port| {
                        let alpn = SvcParamValue::Alpn(Alpn(vec!["h3".to_owned()]));
                        vec![(SvcParamKey::Alpn, alpn), (SvcParamKey::Port, SvcParamValue::Port(port))]
                    };
                    let params = port.map(offer).unwrap_or_default();
                    let record = RData::HTTPS(HTTPS(SVCB::new(priority, target, params)));
                    answer.add_answer(Record::from_rdata(owner.clone(), 60, record));
                }
            }
            "chain.test" => {
                let links: usize = labels.last().unwrap().parse().unwrap();
                for link in 0..links {
                    let next = Name::from_ascii(format!("link{link}.test.")).unwrap();
                    answer.add_answer(Record::from_rdata(owner, 60, RData::CNAME(CNAME(next.clone()))));
                    owner = next;
                }
            }
            _ => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        for address in addresses {
            match (asked.query_type, address) {
                (RecordType::A, IpAddr::V4(v4)) => {
                    answer.add_answer(Record::from_rdata(owner.clone(), 60, RData::A(A(v4))));
                }
                (RecordType::AAAA, IpAddr::V6(v6)) => {
                    answer.add_answer(Record::from_rdata(owner.clone(), 60, RData::AAAA(AAAA(v6))));
                }
                _ => {}
            }
        }
        socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
    }
}
