//! ICMP echoes as bytes (RFC 792, RFC 4443).
//!
//! What tells an answer is its payload: eight random bytes that name the run, and the echo's number. The identifier of the header would
//! not do: Linux puts its own there on unprivileged sockets, and anybody can guess sixteen bits.

/// Bytes of an echo's header.
pub(super) const HEADER_BYTES: usize = 8;
/// Bytes at the payload's beginning that name the run and the echo.
pub(super) const NAME_BYTES: usize = 10;
/// Room for the longest answer: an IPv4 header with options, the header, the payload.
pub(super) const ANSWER_BYTES_MAX: usize = 60 + HEADER_BYTES + 1400;

/// Which ICMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// Over IPv4.
    V4,
    /// Over IPv6.
    V6,
}

impl Version {
    const fn request(self) -> u8 {
        match self {
            Self::V4 => 8,
            Self::V6 => 128,
        }
    }

    const fn reply(self) -> u8 {
        match self {
            Self::V4 => 0,
            Self::V6 => 129,
        }
    }
}

/// An echo request whose number can be changed.
#[derive(Debug)]
pub(super) struct Request {
    version: Version,
    bytes: Vec<u8>,
}

impl Request {
    /// A request of the run `nonce` with `size` bytes of payload, at least [`NAME_BYTES`].
    pub(super) fn new(version: Version, nonce: u64, size: usize) -> Self {
        let size = size.max(NAME_BYTES);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + size);
        bytes.extend([version.request(), 0, 0, 0]);
        bytes.extend(&nonce.to_le_bytes()[..2]);
        bytes.extend([0, 0]);
        bytes.extend(nonce.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend((NAME_BYTES..size).map(|at| at as u8));
        Self { version, bytes }
    }

    /// The bytes of echo `number`.
    pub(super) fn numbered(&mut self, number: u16) -> &[u8] {
        let number = number.to_be_bytes();
        self.bytes[6..8].copy_from_slice(&number);
        self.bytes[HEADER_BYTES + 8..HEADER_BYTES + NAME_BYTES].copy_from_slice(&number);
        // Over IPv6 the kernel does it: the sum covers addresses that are not known here.
        if self.version == Version::V4 {
            self.bytes[2..4].fill(0);
            let sum = checksum(&self.bytes).to_be_bytes();
            self.bytes[2..4].copy_from_slice(&sum);
        }
        &self.bytes
    }
}

/// What an answer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    /// The run.
    pub(super) nonce: u64,
    /// The echo.
    pub(super) number: u16,
    /// Bytes of payload.
    pub(super) size: usize,
}

/// Reads an answer; `None` for everything else that a socket may receive. `ip_header`: an IPv4 header stands in front.
pub(super) fn reply(version: Version, ip_header: bool, bytes: &[u8]) -> Option<Reply> {
    let bytes = if ip_header { bytes.get(usize::from(bytes.first()? & 0x0f) * 4..)? } else { bytes };
    let (header, payload) = bytes.split_at_checked(HEADER_BYTES)?;
    let (nonce, rest) = payload.split_first_chunk::<8>()?;
    let number = rest.first_chunk::<2>()?;
    (header[0] == version.reply() && header[1] == 0 && header[6..8] == number[..]).then(|| Reply {
        nonce: u64::from_be_bytes(*nonce),
        number: u16::from_be_bytes(*number),
        size: payload.len(),
    })
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_sums_to_zero_and_names_its_echo() {
        for (size, length) in [(56, 64), (17, 25), (0, 18)] {
            let mut request = Request::new(Version::V4, 0x0102_0304_0506_0708, size);
            let bytes = request.numbered(513).to_vec();
            assert_eq!(bytes.len(), length);
            assert_eq!(checksum(&bytes), 0, "a receiver's sum over all");
            assert_eq!(bytes[..2], [8, 0]);
            let mut answer = bytes;
            answer[0] = 0;
            let named = Reply { nonce: 0x0102_0304_0506_0708, number: 513, size: length - HEADER_BYTES };
            assert_eq!(reply(Version::V4, false, &answer), Some(named));
            assert_eq!(reply(Version::V6, false, &answer), None, "the other protocol's type");
            let mut behind = vec![0x46; 24];
            behind.extend(&answer);
            assert_eq!(reply(Version::V4, true, &behind), Some(named), "behind an address header with options");
        }
    }

    #[test]
    fn what_is_no_answer_is_none() {
        let request = Request::new(Version::V4, 7, 56).numbered(0).to_vec();
        assert_eq!(reply(Version::V4, false, &request), None, "a request, ours or another's");
        let mut other = request.clone();
        other[0] = 0;
        other[7] = 9;
        assert_eq!(reply(Version::V4, false, &other), None, "the numbers differ");
        let mut coded = request;
        coded[..2].copy_from_slice(&[0, 1]);
        assert_eq!(reply(Version::V4, false, &coded), None, "a code");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), ip_header: bool) {
            for version in [Version::V4, Version::V6] {
                if let Some(found) = reply(version, ip_header, &bytes) {
                    prop_assert!(found.size >= NAME_BYTES);
                }
            }
        }
    }
}
