//! One DNS question and its answer, over UDP or TCP: what the resolver and the `dns` kind share.
//!
//! One question has one id, drawn at random, and goes out once, from a socket of its own that is connected to the server: the kernel drops what
//! other senders send. What comes with another id or another question is not ours and is passed over, up to [`STRAYS_MAX`] times. Nothing is
//! cached, and nothing outlives the future.
//!
//! Limits: an answer is at most 4 KiB over UDP and 64 KiB over TCP; a chain of aliases [`ALIASES_MAX`].

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as Asked, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use ring::rand::{SecureRandom as _, SystemRandom};
use sitepulse_model::record::Phase;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// Messages that belong to no question of ours before the question is given up.
pub(crate) const STRAYS_MAX: usize = 1000;
/// Longest chain of aliases followed inside one answer.
const ALIASES_MAX: usize = 16;
/// Most bytes of an answer over UDP that we ask for: what passes everywhere unfragmented (DNS flag day 2020).
const UDP_PAYLOAD: u16 = 1232;
const UDP_BYTES_MAX: usize = 4096;

/// What the question says beyond its name and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    /// Nothing: the oldest form, which every server knows.
    None,
    /// EDNS: longer answers.
    Edns,
    /// EDNS, and DNSSEC records wanted.
    Dnssec,
}

/// A question, encoded.
#[derive(Debug)]
pub(crate) struct Query {
    id: u16,
    name: Name,
    record: RecordType,
    bytes: Vec<u8>,
}

/// Why a question has no answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The socket failed.
    Io(io::Error),
    /// The server sent something that is no DNS answer.
    Broken(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a message turned out to be.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Not an answer to this question.
    Stray,
    /// An answer that cannot be read.
    Broken(String),
    /// The answer.
    Answer(Box<Message>),
}

impl Query {
    /// A question with a random id.
    ///
    /// # Errors
    /// The system gives no randomness, or the name cannot be encoded.
    pub(crate) fn new(name: Name, record: RecordType, extension: Extension) -> io::Result<Self> {
        let mut id = [0; 2];
        SystemRandom::new().fill(&mut id).map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let id = u16::from_be_bytes(id);
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Asked::query(name.clone(), record));
        if extension != Extension::None {
            let mut edns = Edns::new();
            edns.set_max_payload(UDP_PAYLOAD).set_dnssec_ok(extension == Extension::Dnssec);
            message.set_edns(edns);
        }
        if extension == Extension::Dnssec {
            // RFC 6840 5.7: asks for the AD bit.
            message.metadata.authentic_data = true;
        }
        let bytes = message.to_vec().map_err(io::Error::other)?;
        Ok(Self { id, name, record, bytes })
    }

    /// What a message from the server is to this question.
    pub(crate) fn hear(&self, bytes: &[u8]) -> Heard {
        match bytes.first_chunk::<2>() {
            Some(id) if u16::from_be_bytes(*id) == self.id => {}
            Some(_) | None => return Heard::Stray,
        }
        let message = match Message::from_vec(bytes) {
            Ok(message) => message,
            Err(error) => return Heard::Broken(error.to_string()),
        };
        let ours = match message.queries.as_slice() {
            [asked] => asked.name == self.name && asked.query_type == self.record && asked.query_class == DNSClass::IN,
            // A server that could not read the question cannot repeat it.
            [] => message.metadata.response_code != ResponseCode::NoError && message.answers.is_empty(),
            _ => false,
        };
        if ours && message.metadata.message_type == MessageType::Response {
            Heard::Answer(Box::new(message))
        } else {
            Heard::Stray
        }
    }

    /// Asks over UDP. `begins` is told each phase as it begins: send, first byte.
    pub(crate) async fn over_udp(
        &self,
        server: SocketAddr,
        begins: &mut (dyn FnMut(Phase) + Send),
    ) -> Result<Message, Trouble> {
        begins(Phase::Send);
        let any: SocketAddr =
            if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        socket.send(&self.bytes).await?;
        begins(Phase::FirstByte);
        let mut buffer = vec![0; UDP_BYTES_MAX];
        for _ in 0..STRAYS_MAX {
            let length = socket.recv(&mut buffer).await?;
            match self.hear(&buffer[..length]) {
                Heard::Stray => {}
                Heard::Broken(reason) => return Err(Trouble::Broken(reason)),
                Heard::Answer(message) => return Ok(*message),
            }
        }
        Err(too_many_strays())
    }

    /// Asks over a connection. `begins` is told each phase as it begins: send, first byte, transfer.
    pub(crate) async fn over_tcp(
        &self,
        mut stream: TcpStream,
        begins: &mut (dyn FnMut(Phase) + Send),
    ) -> Result<Message, Trouble> {
        begins(Phase::Send);
        let length = u16::try_from(self.bytes.len()).map_err(io::Error::other)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend_from_slice(&self.bytes);
        stream.write_all(&framed).await?;
        begins(Phase::FirstByte);
        for _ in 0..STRAYS_MAX {
            let mut length = [0; 2];
            stream.read_exact(&mut length[..1]).await?;
            begins(Phase::Transfer);
            stream.read_exact(&mut length[1..]).await?;
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut answer).await?;
            match self.hear(&answer) {
                Heard::Stray => begins(Phase::FirstByte),
                Heard::Broken(reason) => return Err(Trouble::Broken(reason)),
                Heard::Answer(message) => return Ok(*message),
            }
        }
        Err(too_many_strays())
    }
}

fn too_many_strays() -> Trouble {
    Trouble::Broken(format!("{STRAYS_MAX} messages came that answer another question"))
}

/// The records of `record` that an answer gives for `name`, along its aliases.
#[allow(clippy::wildcard_enum_match_arm, reason = "not our enum: only aliases lead on")]
pub(crate) fn along_aliases<'a>(message: &'a Message, name: &Name, record: RecordType) -> Vec<&'a Record> {
    let mut name = name;
    for _ in 0..ALIASES_MAX {
        let ours = |found: &&Record| found.dns_class == DNSClass::IN && found.name == *name;
        let found: Vec<&Record> =
            message.answers.iter().filter(ours).filter(|found| found.record_type() == record).collect();
        if !found.is_empty() {
            return found;
        }
        let alias = message.answers.iter().filter(ours).find_map(|found| match &found.data {
            RData::CNAME(alias) => Some(&alias.0),
            _ => None,
        });
        match alias {
            Some(next) => name = next,
            None => break,
        }
    }
    Vec::new()
}

/// A response code's name, as dig prints it.
pub(crate) fn rcode_name(code: ResponseCode) -> String {
    let name = match u16::from(code) {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADVERS",
        other => return format!("RCODE{other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query() -> Query {
        Query::new(Name::from_ascii("shop.example.").unwrap(), RecordType::A, Extension::Dnssec).unwrap()
    }

    #[test]
    fn questions_have_ids_of_their_own() {
        let ids: std::collections::BTreeSet<u16> = (0..64).map(|_| query().id).collect();
        assert!(ids.len() > 32, "{} of 64 ids differ", ids.len());
    }

    #[test]
    fn our_own_question_is_no_answer() {
        let query = query();
        assert!(matches!(query.hear(&query.bytes), Heard::Stray));
    }

    #[test]
    fn a_server_that_could_not_read_the_question_has_answered() {
        let query = query();
        let told = |code, records: usize| {
            let mut answer = Message::new(query.id, MessageType::Response, OpCode::Query);
            answer.metadata.response_code = code;
            let record = Record::from_rdata(query.name.clone(), 60, RData::A(Ipv4Addr::LOCALHOST.into()));
            answer.add_answers(vec![record; records]);
            query.hear(&answer.to_vec().unwrap())
        };
        assert!(matches!(told(ResponseCode::FormErr, 0), Heard::Answer(_)));
        assert!(matches!(told(ResponseCode::NoError, 0), Heard::Stray));
        assert!(matches!(told(ResponseCode::FormErr, 1), Heard::Stray), "it knows no question, so it knows no answer");
    }

    proptest! {
        /// Whatever comes is a stray, broken or an answer; nothing panics, and no other id is ever heard.
        #[test]
        fn any_bytes_are_heard(bytes in proptest::collection::vec(any::<u8>(), 0..200), ours: bool, cut in 0_usize..60) {
            let query = query();
            let mut bytes = bytes;
            if ours && bytes.len() >= 2 {
                bytes[..2].copy_from_slice(&query.id.to_be_bytes());
            }
            let heard = query.hear(&bytes);
            if bytes.len() < 2 || bytes[..2] != query.id.to_be_bytes() {
                prop_assert!(matches!(heard, Heard::Stray));
            }
            // An answer that is cut anywhere is broken or short, never an answer.
            let mut answer = Message::new(query.id, MessageType::Response, OpCode::Query);
            answer.add_query(Asked::query(query.name.clone(), query.record));
            answer.add_answer(Record::from_rdata(query.name.clone(), 60, RData::A(Ipv4Addr::LOCALHOST.into())));
            let whole = answer.to_vec().unwrap();
            prop_assert!(matches!(query.hear(&whole), Heard::Answer(_)));
            prop_assert!(!matches!(query.hear(&whole[..cut.min(whole.len() - 1)]), Heard::Answer(_)));
        }
    }
}
