//! The assertion language (bodies follow).
use crate::record::{Phases, ProbeState};
use crate::time::UtcMicros;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Longest source text, in bytes.
pub const EXPECTATION_BYTES_MAX: usize = 1000;

/// An assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    source: String,
}
/// Why a text is no assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectError {
    /// The text as given.
    pub text: String,
    /// Where, counted in characters from 1.
    pub column: usize,
    /// What is wrong there, with the remedy.
    pub message: String,
}
impl fmt::Display for ExpectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl core::error::Error for ExpectError {}
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}
/// Response headers.
pub trait Headers {
    /// Value of a header by its name in any case; several lines are joined with ", ".
    fn value(&self, name: &str) -> Option<Cow<'_, str>>;
}
/// What a run saw.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    /// Status.
    pub status: Option<u16>,
    /// Decoded body as far as it was kept; empty when no assertion needs it.
    pub body: &'a [u8],
    /// Decoded body bytes received.
    pub body_bytes: u64,
    /// Whether the body went on after what was received.
    pub body_truncated: bool,
    /// Headers.
    pub headers: &'a dyn Headers,
    /// Phases.
    pub phases: Phases,
    /// Leaf certificate's expiry.
    pub certificate_expires: Option<UtcMicros>,
    /// Now.
    pub now: UtcMicros,
}
/// The first broken assertion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its index in the list given.
    pub index: usize,
    /// Such as "status 503 is not in 200..399".
    pub explanation: String,
}
/// What a list of assertions says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `Up`, `Degraded` or `Down`.
    pub state: ProbeState,
    /// The first broken one of that state; `None` exactly when up.
    pub broken: Option<Broken>,
}
impl Expectation {
    /// Parses for a kind of check (by [`crate::check::CheckKind::as_str`]).
    pub fn parse(text: &str, kind: &str) -> Result<Self, ExpectError> {
        unimplemented!("{text}{kind}")
    }
    /// Source.
    pub fn source(&self) -> &str {
        &self.source
    }
}
/// The list that a run is judged by: adds the kind's defaults in front.
pub fn with_defaults(kind: &str, list: &[Expectation]) -> Vec<Expectation> {
    unimplemented!("{kind}{list:?}")
}
/// Whether the body must be kept.
pub fn needs_body(list: &[Expectation]) -> bool {
    unimplemented!("{list:?}")
}
/// Judges.
pub fn evaluate(list: &[Expectation], observed: &Observed<'_>) -> Outcome {
    unimplemented!("{list:?}{}", observed.body_bytes)
}
