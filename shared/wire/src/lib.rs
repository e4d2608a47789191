//! Bytes in, bytes out: the messages between agent and collector, their framing, limits and versions.
//!
//! A frame is a 16-byte header (magic, protocol version, message kind, length, CRC-32C) and a body. The header is checked, and the
//! length against [`frame::BODY_BYTES_MAX`], before a byte of the body is stored; the CRC before it is decoded. `docs/wire.md` has
//! the byte layout, `golden/` the bytes of every released version.
//!
//! Architecture invariant: this is the only crate that names bincode, and no type of the model derives its traits: each protocol
//! version has DTOs of its own in `v1`.

pub mod frame;
pub mod message;
pub mod record;
pub mod token;

mod head;
mod leb;
mod v1;
