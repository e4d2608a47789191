//! The head of a record: 33 bits that say what follows. Shared by the record encoding and the batch.
//!
//! | bits | of a result | of a missed or dropped record |
//! |---|---|---|
//! | 0-1 | 0 | 1 missed, 2 dropped |
//! | 2-3 | state - 1 | cause or reason (bits 2-9) |
//! | 4-10 | phases present, dns first | |
//! | 11-12 | address: 0 none, 1 IPv4, 2 IPv6 | |
//! | 13, 14, 15 | status, body bytes, certificate expiry present | |
//! | 16-20 | short forms, see [`crate::record`]; 0 in a batch | 16 likewise |
//! | 21 | detail present | |
//! | 22-24 | failed phase, 0 none | |
//! | 25-31 | cause, 0 none | |
//! | 32 | more facts present | |

use std::net::SocketAddr;

use sitepulse_model::record::{Cause, DropReason, MissedCause, Phase, Phases, ProbeResult, ProbeState, Record};

use crate::record::carried;

/// The bits that only [`crate::record`] uses.
pub(crate) const SHORT_MASK: u64 = 0x1f << 16;

/// What kind of record follows, and which of its optional fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    Result(ResultHead),
    Missed(MissedCause),
    Dropped(DropReason),
}

/// The head of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResultHead {
    pub(crate) state: ProbeState,
    /// Bit n: the phase with code n + 1 is present.
    pub(crate) phases: u8,
    pub(crate) address: AddressFamily,
    pub(crate) status: bool,
    pub(crate) body_bytes: bool,
    pub(crate) certificate: bool,
    pub(crate) detail: bool,
    pub(crate) more: bool,
    pub(crate) failed_phase: Option<Phase>,
    pub(crate) cause: Option<Cause>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressFamily {
    None = 0,
    V4 = 1,
    V6 = 2,
}

/// The phases of `phases` by code - 1.
pub(crate) fn phases_array(phases: &Phases) -> [Option<u64>; 7] {
    [phases.dns, phases.connect, phases.tls, phases.send, phases.first_byte, phases.transfer, phases.total]
}

/// The inverse of [`phases_array`].
pub(crate) fn phases_from(array: [Option<u64>; 7]) -> Phases {
    let [dns, connect, tls, send, first_byte, transfer, total] = array;
    Phases { dns, connect, tls, send, first_byte, transfer, total }
}

impl Head {
    pub(crate) fn of(record: &Record) -> Self {
        match record {
            Record::Result(result) => Self::Result(ResultHead::of(result)),
            Record::Missed(missed) => Self::Missed(missed.cause),
            Record::Dropped(dropped) => Self::Dropped(dropped.reason),
        }
    }

    pub(crate) fn bits(self) -> u64 {
        match self {
            Self::Result(head) => head.bits(),
            Self::Missed(cause) => 1 | u64::from(cause.code()) << 2,
            Self::Dropped(reason) => 2 | u64::from(reason.code()) << 2,
        }
    }

    /// Reads a head; the short bits are left aside.
    pub(crate) fn parse(bits: u64) -> Result<Self, &'static str> {
        let bits = bits & !SHORT_MASK;
        match bits & 3 {
            0 => ResultHead::parse(bits).map(Self::Result),
            1 => MissedCause::from_code(code(bits)?).map(Self::Missed).ok_or("unknown cause of a missed run"),
            2 => DropReason::from_code(code(bits)?).map(Self::Dropped).ok_or("unknown reason of a drop"),
            _ => Err("unknown kind of record"),
        }
    }
}

fn code(bits: u64) -> Result<u8, &'static str> {
    u8::try_from(bits >> 2).map_err(|_| "unused bits of a record's head are set")
}

impl ResultHead {
    pub(crate) fn of(result: &ProbeResult) -> Self {
        let phases = phases_array(&result.phases);
        Self {
            state: result.state,
            phases: phases.iter().enumerate().fold(0, |mask, (at, phase)| mask | u8::from(phase.is_some()) << at),
            address: match result.address {
                None => AddressFamily::None,
                Some(SocketAddr::V4(_)) => AddressFamily::V4,
                Some(SocketAddr::V6(_)) => AddressFamily::V6,
            },
            status: result.facts.status.is_some(),
            body_bytes: result.facts.body_bytes.is_some(),
            certificate: result.facts.certificate_expires.is_some(),
            detail: !result.detail.is_empty(),
            more: carried(&result.facts.more).next().is_some(),
            failed_phase: result.failed_phase,
            cause: result.cause,
        }
    }

    fn bits(self) -> u64 {
        u64::from(self.state.code() - 1) << 2
            | u64::from(self.phases) << 4
            | (self.address as u64) << 11
            | u64::from(self.status) << 13
            | u64::from(self.body_bytes) << 14
            | u64::from(self.certificate) << 15
            | u64::from(self.detail) << 21
            | u64::from(self.more) << 32
            | self.failed_phase.map_or(0, |phase| u64::from(phase.code())) << 22
            | self.cause.map_or(0, |cause| u64::from(cause.code())) << 25
    }

    fn parse(bits: u64) -> Result<Self, &'static str> {
        let at = |bit: u32| bits >> bit & 1 == 1;
        let failed_phase = (bits >> 22 & 7) as u8;
        let cause = (bits >> 25 & 0x7f) as u8;
        if bits >> 33 != 0 {
            return Err("unused bits of a record's head are set");
        }
        Ok(Self {
            state: ProbeState::from_code((bits >> 2 & 3) as u8 + 1).ok_or("unknown state")?,
            phases: (bits >> 4 & 0x7f) as u8,
            address: match bits >> 11 & 3 {
                0 => AddressFamily::None,
                1 => AddressFamily::V4,
                2 => AddressFamily::V6,
                _ => return Err("unknown address family"),
            },
            status: at(13),
            body_bytes: at(14),
            certificate: at(15),
            detail: at(21),
            more: at(32),
            failed_phase: match failed_phase {
                0 => None,
                code => Some(Phase::from_code(code).ok_or("unknown phase")?),
            },
            cause: match cause {
                0 => None,
                code => Some(Cause::from_code(code).ok_or("unknown cause of a result")?),
            },
        })
    }

    /// Whether the phase at index `at` (code - 1) is present.
    pub(crate) fn has_phase(self, at: usize) -> bool {
        self.phases >> at & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_fit_into_seven_bits() {
        assert!(Cause::ALL.iter().all(|cause| (1..128).contains(&cause.code())));
        assert!(Phase::ALL.len() == 7 && ProbeState::ALL.len() == 4);
    }

    #[test]
    fn every_readable_head_has_one_encoding() {
        for bits in (0..1_u64 << 16).chain((0..1_u64 << 18).map(|high| high << 16)) {
            if let Ok(head) = Head::parse(bits) {
                assert_eq!(head.bits(), bits & !SHORT_MASK);
            }
        }
    }
}
