//! Which families a scrape asks for: `?collect=checks,agents`, `?exclude=phases,latency`.
//!
//! What a collector with 5,000 checks and 10 agents tells whole is 91 MB, most of it a line for each check, agent and phase, quantile or state. Whoever asks for nothing gets all.

use std::collections::BTreeSet;

use super::MetricsQuery;
use crate::present::problem::{Answer, Code, Problem};

/// What a scrape may ask for, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Area {
    /// Verdicts and figures of checks.
    Checks,
    /// What each agent sees of each check.
    Probes,
    /// The phases of the newest runs.
    Phases,
    /// Quantiles of the last hour.
    Latency,
    /// Of pages.
    Vitals,
    /// Objectives and their budgets.
    Slos,
    /// Agents and their spools.
    Agents,
    /// Messages about incidents, by channel.
    Outbox,
    /// Mails to the subscribers of status pages.
    Mails,
    /// The job queue.
    Jobs,
    /// Runs of playbooks.
    Playbooks,
    /// Incidents by kind, severity and state.
    Incidents,
    /// Impact scores.
    Impact,
    /// Findings by kind and severity.
    Findings,
    /// The collector itself: its build, what it takes in, its store, its watchdog.
    Collector,
}

impl Area {
    const ALL: [Self; 15] = [
        Self::Checks,
        Self::Probes,
        Self::Phases,
        Self::Latency,
        Self::Vitals,
        Self::Slos,
        Self::Agents,
        Self::Outbox,
        Self::Mails,
        Self::Jobs,
        Self::Playbooks,
        Self::Incidents,
        Self::Impact,
        Self::Findings,
        Self::Collector,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::Probes => "probes",
            Self::Phases => "phases",
            Self::Latency => "latency",
            Self::Vitals => "vitals",
            Self::Slos => "slos",
            Self::Agents => "agents",
            Self::Outbox => "outbox",
            Self::Mails => "mails",
            Self::Jobs => "jobs",
            Self::Playbooks => "playbooks",
            Self::Incidents => "incidents",
            Self::Impact => "impact",
            Self::Findings => "findings",
            Self::Collector => "collector",
        }
    }
}

/// What a scrape asks for.
#[derive(Debug)]
pub(super) struct Chosen(BTreeSet<Area>);

impl Chosen {
    pub(super) fn of(query: &MetricsQuery) -> Answer<Self> {
        let mut chosen = match &query.collect {
            Some(names) => areas("collect", names)?,
            None => Area::ALL.into(),
        };
        if let Some(names) = &query.exclude {
            let excluded = areas("exclude", names)?;
            chosen.retain(|area| !excluded.contains(area));
        }
        Ok(Self(chosen))
    }

    pub(super) fn has(&self, area: Area) -> bool {
        self.0.contains(&area)
    }
}

fn areas(key: &str, names: &str) -> Answer<BTreeSet<Area>> {
    let one = |name: &str| {
        let found = Area::ALL.into_iter().find(|area| area.as_str() == name);
        found.ok_or_else(|| {
            let known = Area::ALL.map(Area::as_str).join(", ");
            Problem::new(Code::BadRequest, format!("{key}={name}: write some of {known}, with commas between"))
        })
    };
    names.split(',').map(str::trim).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(collect: Option<&str>, exclude: Option<&str>) -> Answer<Vec<&'static str>> {
        let query = MetricsQuery { collect: collect.map(Into::into), exclude: exclude.map(Into::into) };
        Chosen::of(&query).map(|chosen| chosen.0.into_iter().map(Area::as_str).collect())
    }

    #[test]
    fn a_scrape_gets_what_it_asks_for_and_without_a_word_all() {
        assert_eq!(chosen(None, None).unwrap(), Area::ALL.map(Area::as_str));
        assert_eq!(chosen(Some("agents, checks"), None).unwrap(), ["checks", "agents"]);
        assert_eq!(chosen(Some("checks,phases,agents"), Some("phases")).unwrap(), ["checks", "agents"]);
        assert_eq!(chosen(None, Some("phases,latency")).unwrap().len(), Area::ALL.len() - 2);
        for bad in ["", "check", "checks,,agents", "Checks"] {
            assert!(chosen(Some(bad), None).is_err() && chosen(None, Some(bad)).is_err(), "{bad:?}");
        }
    }
}
