//! Frames: a 16-byte header and a body. See `docs/wire.md` for the layout.
//!
//! [`FrameDecoder`] takes bytes as they come and gives messages. It holds at most one frame and one read more; it checks each header
//! before it keeps a byte of the body, and the checksum before anything is decoded. After an error it stays failed: there is no way
//! to find the next frame's start.

use thiserror::Error;

use crate::message::{PROTOCOL, PROTOCOL_MIN, ToAgent, ToCollector};

/// What each frame begins with ("SP", little endian).
pub const MAGIC: u16 = u16::from_le_bytes(*b"SP");
/// Bytes of a header.
pub const HEADER_BYTES: usize = 16;
/// Longest body: 1 MiB.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Most bytes that may be pushed at once.
pub const PUSH_BYTES_MAX: usize = 64 * 1024;

/// A set of messages that travel one way, and their bytes.
pub trait Message: Sized {
    /// The kind that travels in the header.
    fn kind(&self) -> u16;

    /// The whole frame. Refuses what the other side would refuse.
    fn encode(&self) -> Result<Vec<u8>, EncodeError>;

    /// A message from a body whose frame was checked. Every field is validated.
    fn decode(kind: u16, body: &[u8]) -> Result<Self, DecodeError>;
}

/// Why a message cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Its body is too long: send it in smaller parts.
    #[error("the message takes {bytes} bytes, at most {BODY_BYTES_MAX} fit into a frame: send it in smaller parts")]
    TooLong {
        /// The body's length.
        bytes: usize,
    },
    /// A field breaks a rule of the protocol.
    #[error("cannot send {0}")]
    Invalid(#[from] FieldError),
    /// The encoder failed.
    #[error("cannot encode the message: {0}")]
    Encoder(String),
}

/// Why a body is no message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// No message of this direction has this number.
    #[error("unknown message kind {kind} for {towards}: the peer does not follow protocol {PROTOCOL}")]
    UnknownKind {
        /// The number.
        kind: u16,
        /// Who reads ("a collector", "an agent").
        towards: &'static str,
    },
    /// The body goes on after the message.
    #[error("{bytes} bytes trail after the message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The body does not decode.
    #[error("the message is malformed: {0}")]
    Malformed(String),
    /// A field breaks a rule.
    #[error("the message has a bad field: {0}")]
    Field(#[from] FieldError),
}

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// Which field (`assignment.checks[3].url`).
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// Why a stream of bytes is no stream of frames.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Not our protocol at all.
    #[error("this is not a SitePulse peer: a frame begins with {found:#06x} instead of {MAGIC:#06x}")]
    Magic {
        /// What was found.
        found: u16,
    },
    /// A protocol that this build does not understand.
    #[error("peer speaks protocol {peer}, this build understands {PROTOCOL_MIN}..={PROTOCOL}: upgrade {}", if *.peer > PROTOCOL { "this side" } else { "the peer" })]
    Protocol {
        /// What the peer speaks.
        peer: u16,
    },
    /// The reserved bytes are not zero.
    #[error("a frame's reserved bytes are {found:#06x} instead of zero: the peer does not follow protocol {PROTOCOL}")]
    Reserved {
        /// What was found.
        found: u16,
    },
    /// The announced body is too long.
    #[error("a frame announces {bytes} bytes, at most {BODY_BYTES_MAX} are allowed")]
    TooLong {
        /// The announced length.
        bytes: u64,
    },
    /// The checksum does not fit.
    #[error("a frame is damaged: checksum {found:#010x} in the header, {computed:#010x} over its bytes")]
    Crc {
        /// In the header.
        found: u32,
        /// Over the bytes.
        computed: u32,
    },
    /// The stream ended within a frame.
    #[error("the stream ended within a frame, after {bytes} of its bytes")]
    Truncated {
        /// Bytes of the frame that came.
        bytes: usize,
    },
    /// More was pushed than the decoder holds: take the messages out first.
    #[error("more than {PUSH_BYTES_MAX} bytes were pushed before the messages were taken out")]
    Overfull,
    /// The body is no message.
    #[error(transparent)]
    Message(#[from] DecodeError),
}

/// A header's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    kind: u16,
    length: usize,
    crc: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if u16_at(0) != MAGIC {
            return Err(FrameError::Magic { found: u16_at(0) });
        }
        if !(PROTOCOL_MIN..=PROTOCOL).contains(&u16_at(2)) {
            return Err(FrameError::Protocol { peer: u16_at(2) });
        }
        if u16_at(6) != 0 {
            return Err(FrameError::Reserved { found: u16_at(6) });
        }
        let length = u32_at(8) as usize;
        if length > BODY_BYTES_MAX {
            return Err(FrameError::TooLong { bytes: u64::from(u32_at(8)) });
        }
        Ok(Self { kind: u16_at(4), length, crc: u32_at(12) })
    }
}

/// Puts a header before a body. `frame` holds [`HEADER_BYTES`] of anything and then the body.
pub(crate) fn seal(kind: u16, mut frame: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
    let length = frame.len() - HEADER_BYTES;
    if length > BODY_BYTES_MAX {
        return Err(EncodeError::TooLong { bytes: length });
    }
    frame[0..2].copy_from_slice(&MAGIC.to_le_bytes());
    frame[2..4].copy_from_slice(&PROTOCOL.to_le_bytes());
    frame[4..6].copy_from_slice(&kind.to_le_bytes());
    frame[6..8].copy_from_slice(&[0, 0]);
    frame[8..12].copy_from_slice(&(length as u32).to_le_bytes());
    let crc = checksum(&frame[..12], &frame[HEADER_BYTES..]);
    frame[12..16].copy_from_slice(&crc.to_le_bytes());
    Ok(frame)
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), body)
}

/// Takes bytes, gives messages.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that belong to frames already given.
    taken: usize,
    failed: Option<FrameError>,
}

impl FrameDecoder {
    /// An empty decoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes, at most [`PUSH_BYTES_MAX`]. Call [`FrameDecoder::next`] until it gives `None` before the next push.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if bytes.len() > PUSH_BYTES_MAX {
            return Err(self.fail(FrameError::Overfull));
        }
        self.buffer.drain(..self.taken);
        self.taken = 0;
        if self.buffer.len() > HEADER_BYTES + BODY_BYTES_MAX {
            return Err(self.fail(FrameError::Overfull));
        }
        self.buffer.extend_from_slice(bytes);
        if let Err(error) = self.header() {
            return Err(self.fail(error));
        }
        Ok(())
    }

    /// The next message, or `None` until more bytes come.
    #[allow(clippy::should_implement_trait, reason = "the type of the message is chosen per call")]
    pub fn next<M: Message>(&mut self) -> Result<Option<M>, FrameError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match self.decode() {
            Ok(message) => Ok(message),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// To be called when the stream has ended: an error if it ended within a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        match (&self.failed, self.buffer.len() - self.taken) {
            (Some(error), _) => Err(error.clone()),
            (None, 0) => Ok(()),
            (None, bytes) => Err(FrameError::Truncated { bytes }),
        }
    }

    /// Bytes held.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.taken
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        self.buffer = Vec::new();
        self.taken = 0;
        self.failed = Some(error.clone());
        error
    }

    fn header(&self) -> Result<Option<Header>, FrameError> {
        self.buffer[self.taken..].first_chunk().map(Header::parse).transpose()
    }

    fn decode<M: Message>(&mut self) -> Result<Option<M>, FrameError> {
        let Some(header) = self.header()? else { return Ok(None) };
        let end = self.taken + HEADER_BYTES + header.length;
        let Some(frame) = self.buffer.get(self.taken..end) else { return Ok(None) };
        let (head, body) = frame.split_at(HEADER_BYTES);
        let computed = checksum(&head[..12], body);
        if computed != header.crc {
            return Err(FrameError::Crc { found: header.crc, computed });
        }
        let message = M::decode(header.kind, body)?;
        self.taken = end;
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
            // A large frame's memory is not kept for the small ones that follow.
            self.buffer.shrink_to(PUSH_BYTES_MAX);
        }
        Ok(Some(message))
    }
}

impl Message for ToCollector {
    fn kind(&self) -> u16 {
        crate::v1::to_collector::kind(self)
    }

    fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        crate::v1::to_collector::encode(self)
    }

    fn decode(kind: u16, body: &[u8]) -> Result<Self, DecodeError> {
        crate::v1::to_collector::decode(kind, body)
    }
}

impl Message for ToAgent {
    fn kind(&self) -> u16 {
        crate::v1::to_agent::kind(self)
    }

    fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        crate::v1::to_agent::encode(self)
    }

    fn decode(kind: u16, body: &[u8]) -> Result<Self, DecodeError> {
        crate::v1::to_agent::decode(kind, body)
    }
}
