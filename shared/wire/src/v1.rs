//! Protocol 1: the messages as they travel. One DTO per message, encoded by bincode (little endian, variable-length integers).
//!
//! The domain's types are converted here, in both directions, and every field is checked in both: what this side would not accept
//! it does not send either.

pub(crate) mod to_agent;
pub(crate) mod to_collector;

mod batch;
mod check;
mod columns;
mod control;

use bincode::config::{Configuration, Limit};
use bincode::enc::EncoderImpl;
use bincode::enc::write::Writer;
use bincode::{Decode, Encode};

use crate::frame::{BODY_BYTES_MAX, DecodeError, EncodeError, FieldError, HEADER_BYTES, seal};
use crate::message::ADDRESSES_MAX;
use crate::token::ADDRESS_BYTES_MAX;

/// Most memory that decoding one message may claim at a time.
const DECODE_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;
/// Longest build text, in bytes.
const BUILD_BYTES_MAX: usize = 100;
/// Longest certificate or certificate request, in bytes.
const DER_BYTES_MAX: usize = 8192;
/// Longest explanation of a refusal, in bytes.
const REFUSAL_BYTES_MAX: usize = 1000;

const fn config() -> Configuration<bincode::config::LittleEndian, bincode::config::Varint, Limit<DECODE_BYTES_MAX>> {
    bincode::config::standard().with_limit::<DECODE_BYTES_MAX>()
}

/// A frame that grows behind room for its header.
struct FrameWriter(Vec<u8>);

impl Writer for FrameWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn encode_frame(kind: u16, dto: &impl Encode) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = EncoderImpl::new(FrameWriter(vec![0; HEADER_BYTES]), config());
    dto.encode(&mut encoder).map_err(|error| EncodeError::Encoder(error.to_string()))?;
    seal(kind, encoder.into_writer().0)
}

fn decode_body<T: Decode<()>>(body: &[u8]) -> Result<T, DecodeError> {
    let (dto, consumed) =
        bincode::decode_from_slice(body, config()).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    if consumed == body.len() { Ok(dto) } else { Err(DecodeError::Trailing { bytes: body.len() - consumed }) }
}

fn field(field: &str, message: impl Into<String>) -> FieldError {
    FieldError { field: field.to_owned(), message: message.into() }
}

/// Checks a text of 1 to `bytes_max` bytes without control characters.
fn text(name: &str, text: &str, bytes_max: usize) -> Result<(), FieldError> {
    if text.is_empty() || text.len() > bytes_max {
        return Err(field(name, format!("{} bytes, 1 to {bytes_max} are allowed", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(field(name, "control characters are not allowed"));
    }
    Ok(())
}

fn der(name: &str, der: &[u8]) -> Result<(), FieldError> {
    if der.is_empty() || der.len() > DER_BYTES_MAX {
        return Err(field(name, format!("{} bytes, 1 to {DER_BYTES_MAX} are allowed", der.len())));
    }
    Ok(())
}

fn addresses(name: &str, addresses: &[String]) -> Result<(), FieldError> {
    if addresses.len() > ADDRESSES_MAX {
        return Err(field(name, format!("{} addresses, at most {ADDRESSES_MAX} are allowed", addresses.len())));
    }
    addresses.iter().try_for_each(|address| text(name, address, ADDRESS_BYTES_MAX))
}

fn protocols(min: u16, max: u16) -> Result<(), FieldError> {
    if min == 0 || max < min {
        return Err(field("protocol_min..protocol_max", format!("{min}..={max} is no range of protocols")));
    }
    Ok(())
}
