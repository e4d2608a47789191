//! How long a run takes at most, and whether that fits: all of it into [`TIMEOUT_US_MAX`], what it surely waits for into the timeout.

use alloc::borrow::ToOwned as _;
use alloc::format;

use super::{CheckKind, Interact, TIMEOUT_US_MAX, TargetError};
use crate::duration;

impl CheckKind {
    /// How often an attempt may use up the timeout: once for each load of a page.
    const fn deadlines(&self) -> u8 {
        match self {
            Self::WebVitals(target) => target.runs,
            Self::Http(_)
            | Self::Tcp(_)
            | Self::Tls(_)
            | Self::Dns(_)
            | Self::Icmp(_)
            | Self::Udp(_)
            | Self::Websocket(_)
            | Self::Grpc(_)
            | Self::Smtp(_)
            | Self::Imap(_)
            | Self::Domain(_)
            | Self::Heartbeat(_)
            | Self::Flow(_) => 1,
        }
    }

    /// How long one attempt takes at most, in microseconds: the timeout, of a page once for each load.
    pub const fn attempt_us(&self, timeout_us: u64) -> u64 {
        timeout_us.saturating_mul(self.deadlines() as u64)
    }

    /// Whether all attempts of a run together end in time, and the echoes or the waits of one.
    ///
    /// # Errors
    /// What takes too long, with the key at fault and the remedy.
    pub fn ends_in_time(&self, timeout_us: u64, retries: u8) -> Result<(), TargetError> {
        let whole_us = self.attempt_us(timeout_us).saturating_mul(u64::from(retries) + 1);
        if whole_us > TIMEOUT_US_MAX {
            let [timeout, whole, max] = [timeout_us, whole_us, TIMEOUT_US_MAX].map(duration::format);
            let (field, what, lower) = match (self.deadlines(), retries) {
                (1, _) => ("retries", format!("{retries} retries after a timeout of {timeout}"), "retries or timeout"),
                (runs, 0) => ("runs", format!("{runs} loads with a timeout of {timeout} each"), "runs or timeout"),
                (runs, _) => {
                    let what = format!("{retries} retries of {runs} loads with a timeout of {timeout} each");
                    ("retries", what, "retries, runs or timeout")
                }
            };
            let message = format!("{what} take up to {whole}: at most {max} are allowed, so lower {lower}");
            return Err(TargetError { field: field.to_owned(), message });
        }
        if let Self::Icmp(target) = self {
            let sending_us = target.spacing.0.saturating_mul(u64::from(target.count.saturating_sub(1)));
            if sending_us >= timeout_us {
                let [sending, timeout] = [sending_us, timeout_us].map(duration::format);
                let message = format!(
                    "{} echoes take {sending} to send, the timeout is {timeout}: lower count or spacing, or raise timeout",
                    target.count
                );
                return Err(TargetError { field: "count".to_owned(), message });
            }
        }
        if let Self::WebVitals(target) = self {
            let waits = target.interact.iter().map(|action| match action {
                Interact::Wait(duration) => duration.0,
                Interact::Click(_) | Interact::Type(..) | Interact::Press(_) | Interact::Scroll(_) => 0,
            });
            let waiting_us = waits.fold(target.settle.0, u64::saturating_add);
            if waiting_us >= timeout_us {
                let [waiting, timeout] = [waiting_us, timeout_us].map(duration::format);
                let message = format!(
                    "settle and the waits of interact take {waiting}, the timeout of a load is {timeout}: lower them, or raise timeout"
                );
                return Err(TargetError { field: "interact".to_owned(), message });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::string::ToString as _;

    use super::*;
    use crate::check::WebVitalsTarget;

    #[test]
    fn each_load_of_a_page_has_the_timeout() {
        const SECOND_US: u64 = 1_000_000;
        let page =
            |runs: u8| CheckKind::WebVitals(Box::new(WebVitalsTarget { runs, ..WebVitalsTarget::page("https://a/") }));
        assert_eq!(page(3).attempt_us(30 * SECOND_US), 90 * SECOND_US);
        assert_eq!(CheckKind::http("https://a/").attempt_us(30 * SECOND_US), 30 * SECOND_US);
        assert_eq!(page(5).ends_in_time(30 * SECOND_US, 1), Ok(()));
        for (runs, timeout_s, retries, says) in [
            (
                3,
                30,
                3,
                "retries: 3 retries of 3 loads with a timeout of 30s each take up to 6m: at most 5m are allowed, so lower retries, runs or timeout",
            ),
            (
                9,
                60,
                0,
                "runs: 9 loads with a timeout of 1m each take up to 9m: at most 5m are allowed, so lower runs or timeout",
            ),
            (
                1,
                200,
                1,
                "retries: 1 retries after a timeout of 3m20s take up to 6m40s: at most 5m are allowed, so lower retries or timeout",
            ),
        ] {
            let fault = page(runs).ends_in_time(timeout_s * SECOND_US, retries).unwrap_err();
            assert_eq!(fault.to_string(), says);
        }
    }
}
