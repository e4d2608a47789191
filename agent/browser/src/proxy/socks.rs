//! The server's side of SOCKS version 5 (RFC 1928), as far as a browser needs it: no login, `CONNECT` alone.
//!
//! Pure: bytes in, what they ask for out. A message that is not whole yet says how many bytes are certainly missing, so that nothing of what comes after it is
//! taken. No message has more than [`MESSAGE_BYTES_MAX`] bytes.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest message of a handshake: version, command, reserved, type of address, length of the name, name, port.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 + 1 + 255 + 2;

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
const NO_LOGIN: u8 = 0;
const NO_METHOD: u8 = 0xff;

/// How far a message came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read<T> {
    /// At least so many bytes are missing; never 0.
    Missing(usize),
    /// The message ends with the last byte.
    Whole(T),
    /// It is no message of this protocol, or one that is not served.
    Wrong(Wrong),
}

/// Why a handshake ends without a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Not SOCKS 5 at all: nothing is answered.
    NotSocks,
    /// A login is demanded by the client.
    Login,
    /// `BIND`, `UDP ASSOCIATE` or none of the commands.
    Command,
    /// None of the three types of address.
    AddressType,
    /// A name that is none: empty, or with characters other than printable ASCII.
    Name,
}

impl Wrong {
    /// What the client is told before the connection is closed.
    pub(crate) fn answer(self) -> Vec<u8> {
        match self {
            Self::NotSocks => Vec::new(),
            Self::Login => vec![VERSION, NO_METHOD],
            Self::Command => reply(Reply::Command).into(),
            Self::AddressType => reply(Reply::AddressType).into(),
            Self::Name => reply(Reply::Failed).into(),
        }
    }
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// A name, or a literal address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The reply to a request (RFC 1928, 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Open = 0,
    Failed = 1,
    Policy = 2,
    Network = 3,
    Host = 4,
    Refused = 5,
    Expired = 6,
    Command = 7,
    AddressType = 8,
}

/// The greeting that has come so far: version, number of methods, methods.
pub(crate) fn greeting(bytes: &[u8]) -> Read<()> {
    match bytes {
        [] => Read::Missing(2),
        [version, ..] if *version != VERSION => Read::Wrong(Wrong::NotSocks),
        [_] => Read::Missing(1),
        [_, 0, ..] => Read::Wrong(Wrong::Login),
        [_, count, methods @ ..] if methods.len() < usize::from(*count) => {
            Read::Missing(usize::from(*count) - methods.len())
        }
        [_, _, methods @ ..] if methods.contains(&NO_LOGIN) => Read::Whole(()),
        [..] => Read::Wrong(Wrong::Login),
    }
}

/// The answer to a greeting that is taken.
pub(crate) const WELCOME: [u8; 2] = [VERSION, NO_LOGIN];

/// The request that has come so far: version, command, reserved, type of address, address, port.
pub(crate) fn request(bytes: &[u8]) -> Read<Request> {
    let (command, kind, rest) = match bytes {
        [] => return Read::Missing(4),
        [version, ..] if *version != VERSION => return Read::Wrong(Wrong::NotSocks),
        [_, command, _, kind, rest @ ..] => (*command, *kind, rest),
        some => return Read::Missing(4 - some.len()),
    };
    if command != CONNECT {
        return Read::Wrong(Wrong::Command);
    }
    let (length, rest) = match (kind, rest) {
        (1, rest) => (4, rest),
        (4, rest) => (16, rest),
        (3, []) => return Read::Missing(1),
        (3, [0, ..]) => return Read::Wrong(Wrong::Name),
        (3, [length, rest @ ..]) => (usize::from(*length), rest),
        _ => return Read::Wrong(Wrong::AddressType),
    };
    let missing = (length + 2).saturating_sub(rest.len());
    if missing > 0 {
        return Read::Missing(missing);
    }
    let (address, rest) = rest.split_at(length);
    let port = rest.first_chunk().map_or(0, |port| u16::from_be_bytes(*port));
    let host = match (kind, <[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (1, Ok(v4), _) => Ipv4Addr::from(v4).to_string(),
        (4, _, Ok(v6)) => Ipv6Addr::from(v6).to_string(),
        _ => match std::str::from_utf8(address) {
            Ok(name) if name.bytes().all(|byte| byte.is_ascii_graphic()) => name.to_owned(),
            Ok(_) | Err(_) => return Read::Wrong(Wrong::Name),
        },
    };
    Read::Whole(Request { host, port })
}

/// The bytes of a reply. The bound address is nobody's business.
pub(crate) const fn reply(reply: Reply) -> [u8; 10] {
    [VERSION, reply as u8, 0, 1, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(kind: u8, address: &[u8], port: u16) -> Vec<u8> {
        [&[5, 1, 0, kind], address, &port.to_be_bytes()].concat()
    }

    /// Feeds a parser exactly what it says is missing, as the connection does.
    fn feed<T>(bytes: &[u8], parse: impl Fn(&[u8]) -> Read<T>) -> (usize, Option<Read<T>>) {
        let mut taken = 0;
        loop {
            match parse(&bytes[..taken]) {
                Read::Missing(more) => {
                    assert!(more > 0);
                    taken += more;
                    if taken > bytes.len() {
                        return (taken, None);
                    }
                }
                done @ (Read::Whole(_) | Read::Wrong(_)) => return (taken, Some(done)),
            }
        }
    }

    #[test]
    fn the_three_types_of_address_are_read() {
        let whole = |host: &str, port| Read::Whole(Request { host: host.to_owned(), port });
        assert_eq!(request(&encoded(1, &[192, 0, 2, 7], 443)), whole("192.0.2.7", 443));
        assert_eq!(request(&encoded(3, b"\x0cshop.example", 80)), whole("shop.example", 80));
        assert_eq!(request(&encoded(4, &Ipv6Addr::LOCALHOST.octets(), 1)), whole("::1", 1));
        assert_eq!(request(&encoded(3, b"\x03::1", 0)), whole("::1", 0), "a browser names addresses as well");
    }

    #[test]
    fn what_is_not_served_is_told_apart() {
        for (bytes, wrong) in [
            (&b"\x04\x01\x00\x50"[..], Wrong::NotSocks),
            (b"GET / HTTP/1.1", Wrong::NotSocks),
            (b"\x16\x03\x01", Wrong::NotSocks),
            (b"\x05\x02\x00\x01", Wrong::Command),
            (b"\x05\x03\x00\x01", Wrong::Command),
            (b"\x05\x00\x00\x01", Wrong::Command),
            (b"\x05\x01\x00\x02", Wrong::AddressType),
            (b"\x05\x01\x00\x00", Wrong::AddressType),
            (b"\x05\x01\x00\x03\x00", Wrong::Name),
            (b"\x05\x01\x00\x03\x03a b\x00\x50", Wrong::Name),
            (b"\x05\x01\x00\x03\x02\xc3\xa4\x00\x50", Wrong::Name),
            (b"\x05\x01\x00\x03\x02a\x00\x00\x50", Wrong::Name),
            (b"\x05\x01\x00\x03\x02\xff\xfe\x00\x50", Wrong::Name),
        ] {
            assert_eq!(request(bytes), Read::Wrong(wrong), "{bytes:02x?}");
        }
        for (bytes, wrong) in [
            (&b"\x04\x01"[..], Wrong::NotSocks),
            (b"\x05\x00", Wrong::Login),
            (b"\x05\x01\x02", Wrong::Login),
            (b"\x05\x03\x01\x02\x80", Wrong::Login),
        ] {
            assert_eq!(greeting(bytes), Read::Wrong(wrong), "{bytes:02x?}");
        }
        assert_eq!(greeting(b"\x05\x02\x02\x00"), Read::Whole(()));
    }

    proptest! {
        /// A request is taken to its last byte and not beyond it, whatever follows.
        #[test]
        fn a_request_ends_where_it_ends(name in "[!-~]{1,255}", port: u16, after: Vec<u8>) {
            let mut bytes = encoded(3, &[&[name.len() as u8], name.as_bytes()].concat(), port);
            let length = bytes.len();
            bytes.extend(after);
            let (taken, read) = feed(&bytes, request);
            prop_assert_eq!(taken, length);
            prop_assert_eq!(read, Some(Read::Whole(Request { host: name, port })));
        }

        /// Any bytes: no panic, never more taken than the longest message has, and a host that is printable ASCII.
        #[test]
        fn any_bytes_are_judged_within_the_longest_message(
            head in prop::sample::select(vec![&b""[..], b"\x05", b"\x05\x01", b"\x05\x01\x00", b"\x05\x01\x00\x03", b"\x05\x01\x00\x04"]),
            tail in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let bytes = [head, &tail].concat();
            let (taken, read) = feed(&bytes, request);
            prop_assert!(taken <= MESSAGE_BYTES_MAX);
            if let Some(Read::Whole(request)) = read {
                prop_assert!(!request.host.is_empty() && request.host.bytes().all(|byte| byte.is_ascii_graphic()));
            }
            let (taken, _) = feed(&bytes, greeting);
            prop_assert!(taken <= MESSAGE_BYTES_MAX);
        }
    }
}
