//! A certificate or a domain's registration ends soon.
//!
//! A fact, no statistics: what was seen last ends in so many days. The thresholds are those of the product's own assertions (`degraded if certificate.days < 14`,
//! `domain.days < 30`), critical at a weekend and a week. Of a certificate that lives for less than six weeks in all (ACME's short-lived ones live for six days) a third of its life is taken
//! instead: it is renewed when two thirds are over, as Let's Encrypt advises.
//!
//! How long a certificate lives is not told by its end alone. It is known from how it was renewed ([`lifetime_us`]): what two renewals in a row brought, each when it was seen first, and that
//! agrees to a tenth. That is somewhat less than the whole life, for it was made before it was seen.
//!
//! **Confidence** is 1000 for what was seen within the last day; later it falls as one by the days since, for it may have been renewed meanwhile.

use super::found::{Evidence, Expires, Found};
use super::input::{Expiring, Sight};
use super::thresholds::Expiry;
use super::{DAY_US, Severity, robust};
use crate::time::UtcMicros;

/// What ends soon, at `now`.
pub fn find(expiring: &Expiring, thresholds: &Expiry, now: UtcMicros) -> Option<Found> {
    let (warning_us, critical_us) = match expiring.what {
        Expires::Certificate => (thresholds.certificate_warning_us, thresholds.certificate_critical_us),
        Expires::Domain => (thresholds.domain_warning_us, thresholds.domain_critical_us),
    };
    let lifetime_us = expiring.lifetime_us.filter(|lifetime_us| *lifetime_us > 0);
    let told_from_us = lifetime_us.map_or(warning_us, |lifetime_us| warning_us.min(lifetime_us / 3));
    let critical_us = critical_us.min(told_from_us / 2);
    let left_us = expiring.ends_at.us_since(now);
    // As whole days are counted elsewhere: 14 days left are 14 until the last of their hours is over.
    if left_us >= told_from_us {
        return None;
    }
    let severity = if left_us < critical_us { Severity::Critical } else { Severity::Warning };
    let age_us = now.us_since(expiring.seen_at).max(DAY_US);
    let evidence = Evidence::Expiry {
        what: expiring.what,
        ends_at: expiring.ends_at,
        left_us,
        seen_at: expiring.seen_at,
        told_from_us,
    };
    let since = expiring.ends_at.plus_us(-told_from_us);
    Some(Found::new(expiring.subject.clone(), severity, robust::share(DAY_US as f64 / age_us as f64), evidence, since))
}

/// How long certificates live that were seen one after the other; `None` before two renewals agree. The first that was seen may have been old then: it tells nothing.
pub fn lifetime_us(seen: &[Sight]) -> Option<i64> {
    let mut seen = seen.to_vec();
    seen.sort_unstable_by_key(|sight| (sight.seen_at, sight.ends_at));
    let [before, first, second] = seen.last_chunk()?;
    // Where several servers show several certificates, what ends sooner follows what ends later: that is no renewal.
    let renewed = before.ends_at < first.ends_at && first.ends_at < second.ends_at;
    let lives = [first, second].map(|sight| sight.ends_at.us_since(sight.seen_at));
    let (shorter, longer) = (lives[0].min(lives[1]), lives[0].max(lives[1]));
    (renewed && shorter > 0 && longer - shorter <= longer / 10).then_some(longer)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::insight::Subject;

    const NOW: UtcMicros = UtcMicros(1_000 * DAY_US);

    fn expiring(what: Expires, left_us: i64, lifetime_us: Option<i64>) -> Expiring {
        let subject = Subject::Check { check: "shop".to_string(), part: "certificate".to_string() };
        Expiring { subject, what, ends_at: NOW.plus_us(left_us), seen_at: NOW.plus_us(-60), lifetime_us }
    }

    fn severity(what: Expires, left_us: i64, lifetime_us: Option<i64>) -> Option<Severity> {
        find(&expiring(what, left_us, lifetime_us), &Expiry::default(), NOW).map(|found| found.severity)
    }

    #[test]
    fn days_left_decide() {
        use Expires::{Certificate, Domain};
        for (what, days, says) in [
            (Certificate, 14, None),
            (Certificate, 13, Some(Severity::Warning)),
            (Certificate, 3, Some(Severity::Warning)),
            (Certificate, 2, Some(Severity::Critical)),
            (Certificate, -5, Some(Severity::Critical)),
            (Domain, 30, None),
            (Domain, 29, Some(Severity::Warning)),
            (Domain, 6, Some(Severity::Critical)),
        ] {
            assert_eq!(severity(what, days * DAY_US, None), says, "{what:?} {days}");
        }
        assert_eq!(severity(Certificate, 14 * DAY_US - 1, None), Some(Severity::Warning));
    }

    #[test]
    fn what_lives_shortly_is_told_by_a_third_of_its_life() {
        let six = Some(6 * DAY_US);
        assert_eq!(severity(Expires::Certificate, 5 * DAY_US, six), None);
        assert_eq!(severity(Expires::Certificate, 2 * DAY_US - 1, six), Some(Severity::Warning));
        assert_eq!(severity(Expires::Certificate, DAY_US - 1, six), Some(Severity::Critical));
        assert_eq!(severity(Expires::Certificate, 13 * DAY_US, Some(90 * DAY_US)), Some(Severity::Warning));
    }

    #[test]
    fn a_life_is_known_from_two_renewals_that_agree() {
        // Seen on a day, ends on another.
        let of = |sights: &[(i64, i64)]| {
            let sight = |(seen, ends): &(i64, i64)| Sight {
                seen_at: UtcMicros(seen * DAY_US),
                ends_at: UtcMicros(ends * DAY_US),
            };
            lifetime_us(&sights.iter().map(sight).collect::<Vec<_>>()).map(|us| us / DAY_US)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[(0, 2), (1, 61)]), None, "one renewal");
        assert_eq!(of(&[(0, 2), (1, 61), (40, 100)]), Some(60));
        assert_eq!(of(&[(40, 100), (0, 2), (1, 61)]), Some(60), "in whatever order they come");
        assert_eq!(of(&[(0, 2), (1, 61), (40, 130)]), None, "lives that do not agree");
        assert_eq!(of(&[(0, 2), (1, 61), (40, 130), (100, 190)]), Some(90), "the newest two count");
        assert_eq!(of(&[(0, 50), (1, 20), (2, 50), (3, 20)]), None, "two servers in turns");
        assert_eq!(of(&[(0, 2), (10, 5), (20, 9)]), None, "what was over when it was seen");
    }

    #[test]
    fn what_was_seen_long_ago_is_less_sure() {
        let mut old = expiring(Expires::Certificate, DAY_US, None);
        old.seen_at = NOW.plus_us(-4 * DAY_US);
        assert_eq!(find(&old, &Expiry::default(), NOW).unwrap().confidence.0, 250);
        let new = find(&expiring(Expires::Certificate, DAY_US, None), &Expiry::default(), NOW).unwrap();
        assert_eq!((new.confidence.0, new.since), (1000, NOW.plus_us(-13 * DAY_US)));
    }

    proptest! {
        #[test]
        fn less_time_is_never_milder(days in -40_i64..60, lifetime in prop::option::of(1_i64..400)) {
            for what in [Expires::Certificate, Expires::Domain] {
                let of = |days: i64| severity(what, days * DAY_US, lifetime.map(|days| days * DAY_US));
                prop_assert!(of(days) >= of(days + 1));
            }
        }
    }
}
