//! When a page is at rest: it is loaded, something was painted, nothing is on its way, and for a while nothing moved, was painted larger or kept the processor busy.

use sitepulse_daemon::clock::Monotonic;

/// What is known of a page's rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settle {
    /// How long nothing may happen, in microseconds.
    rest_us: u64,
    loaded: bool,
    painted: bool,
    in_flight: usize,
    last: Monotonic,
}

/// Whether to wait on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It is at rest.
    Now,
    /// It may be then, if nothing happens until then.
    At(Monotonic),
    /// Something must happen first.
    NotYet,
}

impl Settle {
    /// A page that is about to be loaded.
    pub(crate) const fn new(rest_us: u64, now: Monotonic) -> Self {
        Self { rest_us, loaded: false, painted: false, in_flight: 0, last: now }
    }

    /// Its load event fired, or it stopped loading.
    pub(crate) fn loaded(&mut self, now: Monotonic) {
        if !self.loaded {
            self.loaded = true;
            self.unrest(now);
        }
    }

    /// Whether it is loaded.
    pub(crate) const fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Something of it was painted: a page that makes itself by script is blank until then, and not at rest.
    pub(crate) const fn painted(&mut self) {
        self.painted = true;
    }

    /// Whether something was painted.
    pub(crate) const fn is_painted(&self) -> bool {
        self.painted
    }

    /// A paint, a shift, a long task, input.
    pub(crate) fn unrest(&mut self, now: Monotonic) {
        self.last = self.last.max(now);
    }

    /// So many requests are on their way now.
    pub(crate) fn in_flight(&mut self, requests: usize, now: Monotonic) {
        if requests != self.in_flight {
            self.in_flight = requests;
            self.unrest(now);
        }
    }

    /// Whether it is at rest.
    pub(crate) fn rest(&self, now: Monotonic) -> Rest {
        if !self.loaded || !self.painted || self.in_flight > 0 {
            return Rest::NotYet;
        }
        let at = self.last.plus_us(self.rest_us);
        if now >= at { Rest::Now } else { Rest::At(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Monotonic = Monotonic;

    #[test]
    fn a_page_is_at_rest_when_loaded_and_nothing_happened_for_a_while() {
        let mut settle = Settle::new(1_000, AT(0));
        assert_eq!(settle.rest(AT(50_000)), Rest::NotYet, "not loaded");
        settle.in_flight(1, AT(100));
        settle.loaded(AT(60_000));
        settle.painted();
        assert_eq!(settle.rest(AT(90_000)), Rest::NotYet, "a request is on its way");
        settle.in_flight(0, AT(90_000));
        assert_eq!(settle.rest(AT(90_500)), Rest::At(AT(91_000)));
        settle.unrest(AT(90_900));
        assert_eq!(settle.rest(AT(91_000)), Rest::At(AT(91_900)));
        assert_eq!(settle.rest(AT(91_900)), Rest::Now);
    }

    #[test]
    fn time_told_late_does_not_shorten_the_wait() {
        let mut settle = Settle::new(1_000, AT(5_000));
        settle.loaded(AT(6_000));
        assert_eq!(settle.rest(AT(9_000)), Rest::NotYet, "blank");
        settle.painted();
        settle.unrest(AT(5_500));
        assert_eq!(settle.rest(AT(6_900)), Rest::At(AT(7_000)));
        settle.loaded(AT(6_900));
        assert_eq!(settle.rest(AT(7_000)), Rest::Now, "a page is loaded once");
    }
}
