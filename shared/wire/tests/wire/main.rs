//! The protocol from outside: golden bytes, sizes, and properties that hold for every message.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "helpers of tests; a panic is their error")]

mod arbitrary;
mod damage;
mod golden;
mod roundtrip;
mod samples;
mod size;
