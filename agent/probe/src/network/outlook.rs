//! What the agent's own runs tell of its network, where no reference targets are configured: a pure core, handed events and the time.

use std::collections::VecDeque;

use sitepulse_daemon::clock::Monotonic;

use super::{HOSTS_MIN, QUIET_US, WINDOW_US};

/// The evidence so far.
#[derive(Debug, Default)]
pub(crate) struct Outlook {
    /// `None` until somebody tells: a program without a collector (a single probe by hand) judges nothing by its absence.
    link_up: Option<bool>,
    /// When something beyond this machine answered last.
    answered: Option<Monotonic>,
    /// The hosts that failed since, the latest last, each once; no more than are needed.
    failed: VecDeque<(String, Monotonic)>,
}

impl Outlook {
    /// The connection to the collector came up, or went away.
    pub(crate) fn collector_link(&mut self, up: bool) {
        self.link_up = Some(up);
    }

    /// Something beyond this machine answered.
    pub(crate) fn answered(&mut self, now: Monotonic) {
        self.answered = Some(now);
        self.failed.clear();
    }

    /// A host failed in a way that a lost network would look like. The reason, where the network counts as lost.
    pub(crate) fn failed(&mut self, host: &str, now: Monotonic) -> Option<String> {
        self.failed.retain(|(known, at)| !known.eq_ignore_ascii_case(host) && now.us_since(*at) < WINDOW_US);
        if self.failed.len() == HOSTS_MIN {
            self.failed.pop_front();
        }
        self.failed.push_back((host.to_owned(), now));
        let quiet = self.answered.is_none_or(|at| now.us_since(at) >= QUIET_US);
        if self.link_up != Some(false) || !quiet || self.failed.len() < HOSTS_MIN {
            return None;
        }
        let hosts: Vec<&str> = self.failed.iter().map(|(host, _)| host.as_str()).collect();
        Some(format!("this agent reaches neither its collector nor any host ({} failed alike)", hosts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn at(seconds: u64) -> Monotonic {
        Monotonic((1_000 + seconds) * SECOND)
    }

    fn away() -> Outlook {
        let mut outlook = Outlook::default();
        outlook.collector_link(true);
        outlook.collector_link(false);
        outlook
    }

    #[test]
    fn three_hosts_and_the_collector_make_a_lost_network() {
        let mut outlook = away();
        assert_eq!(outlook.failed("a", at(0)), None);
        assert_eq!(outlook.failed("b", at(1)), None);
        let reason = outlook.failed("c", at(2)).unwrap();
        assert_eq!(reason, "this agent reaches neither its collector nor any host (a, b, c failed alike)");
        assert!(outlook.failed("d", at(3)).unwrap().contains("(b, c, d failed"));
        assert!(outlook.failed("d", at(4)).is_some(), "and stays lost");
    }

    #[test]
    fn the_collectors_absence_alone_hides_nothing() {
        let mut outlook = away();
        for second in 0..100 {
            assert_eq!(outlook.failed("a", at(second)), None);
            assert_eq!(outlook.failed("A", at(second)), None);
            assert_eq!(outlook.failed("b", at(second)), None);
        }
    }

    #[test]
    fn without_a_collector_nothing_is_told_by_its_absence() {
        let mut outlook = Outlook::default();
        for host in ["a", "b", "c", "d"] {
            assert_eq!(outlook.failed(host, at(0)), None);
        }
    }

    #[test]
    fn with_the_collector_there_nothing_is_lost() {
        let mut outlook = Outlook::default();
        outlook.collector_link(true);
        for host in ["a", "b", "c", "d"] {
            assert_eq!(outlook.failed(host, at(0)), None);
        }
        outlook.collector_link(false);
        assert!(outlook.failed("e", at(1)).is_some());
    }

    #[test]
    fn an_answer_proves_the_network() {
        let mut outlook = away();
        for host in ["a", "b"] {
            outlook.failed(host, at(0));
        }
        outlook.answered(at(1));
        assert_eq!(outlook.failed("c", at(30)), None, "the failures before it count no more");
        assert_eq!(outlook.failed("d", at(31)), None);
        assert!(outlook.failed("e", at(32)).is_some());
        outlook.answered(at(40));
        for (second, host) in ["a", "b", "c", "d"].iter().enumerate() {
            assert_eq!(outlook.failed(host, at(41 + second as u64)), None, "too soon after an answer");
        }
        assert!(outlook.failed("e", at(60)).is_some());
    }

    #[test]
    fn old_failures_are_forgotten() {
        let mut outlook = away();
        outlook.failed("a", at(0));
        outlook.failed("b", at(1));
        assert_eq!(outlook.failed("c", at(60)), None, "a failed 60 s ago");
        assert!(outlook.failed("d", at(60)).is_some(), "b did not");
    }
}
