//! English.

use sitepulse_model::insight::found::{
    AttributionOf, CannotFail, Disagreement, Evidence, Expires, Found, Gap, SlowPart, TraitOf,
};
use sitepulse_model::insight::{Kind, Severity};

use super::{FindingTexts, count, excess, latency, length, listed, minute, name_of, new_with_it, share, times, vital};
use crate::insight::life::{Entry, State};

/// English.
pub static EN: FindingTexts = FindingTexts {
    title: "Findings",
    what: "What the evidence says that no single result says. Each is found again from the ledger every hour, and closes by itself when it is over.",
    finding: "Finding",
    kind: |kind| match kind {
        Kind::LatencyRegression => "slower than before",
        Kind::RegionSlow => "slow region",
        Kind::Expiry => "expiry",
        Kind::Flapping => "flapping",
        Kind::CorrelatedFailures => "failures in common",
        Kind::BudgetForecast => "budget forecast",
        Kind::VitalsRegression => "page got worse",
        Kind::SlowResolver => "slow name server",
        Kind::AgentDisagrees => "agent disagrees",
        Kind::CannotFail => "cannot fail",
        Kind::CoverageGap => "coverage gap",
    },
    severity: |severity| match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    },
    state: |state| match state {
        State::Open => "open",
        State::Acknowledged => "acknowledged",
        State::Closed => "closed",
    },
    stale: "stale",
    sentence,
    confidence: |percent| format!("confidence {percent} %"),
    rows,
    entry: |entry| match entry {
        Entry::Opened { severity } => format!("Found, {}", (EN.severity)(*severity)),
        Entry::Reopened { severity } => format!("Found again, {}", (EN.severity)(*severity)),
        Entry::Severity { to } => format!("Now {}", (EN.severity)(*to)),
        Entry::Acknowledged { note } => format!("Acknowledged: {note}"),
        Entry::Outgrown => "Open again: it became worse than what was acknowledged".into(),
        Entry::TakenBack => "Acknowledgement taken back".into(),
        Entry::Closed => "Closed: it is not found any more".into(),
        Entry::Gone => "Closed: what it was about is gone".into(),
    },
    evidence: "Evidence",
    history: "History",
    found_first: "Found first",
    found_last: "Found last",
    since: "So since",
    closed: "Closed",
    counts_for: "Counts for",
    missing: |age| format!("not found any more for {age}"),
    acknowledge: "Acknowledge",
    acknowledge_what: "Say why it may stay, or what is done about it. It counts no more in scores and debt, until it gets worse or this is taken back.",
    acknowledged_by: |who, when| format!("acknowledged by {who}, {when}"),
    note: "Note",
    take_back: "Take back",
    none: "Nothing is found: no open findings.",
    none_match: "No finding matches.",
    none_yet: "Nothing was looked at yet. The first look at each check comes within an hour after the start.",
    none_of_check: "Nothing was found.",
    all: "All",
    standing: "Open",
    over: "Closed",
    worded: |model| format!("worded by {model}"),
    see: "See",
    see_latency: "latency",
    see_explain: "timeline and votes",
    see_incidents: "incidents",
    see_objective: "the objective",
    see_agent: "the agent",
    see_definition: "the definition",
    nobody: "nobody said anything yet",
};

fn sentence(found: &Found) -> String {
    let (name, since) = (name_of(&found.subject), minute(found.since));
    match &found.evidence {
        Evidence::LatencyRegression { before_us, after_us, ratio_per_mille, .. } => format!(
            "{name} takes {}x what these hours of the week used to take, since {since}: {} instead of {}",
            times((*ratio_per_mille).into()),
            latency(*after_us),
            latency(*before_us)
        ),
        Evidence::RegionSlow { region, region_us, expected_us, ratio_per_mille, part, .. } => format!(
            "{name} takes {}x in {region} what the other regions lead to expect, since {since}: {} instead of {}; {}",
            times((*ratio_per_mille).into()),
            latency(*region_us),
            latency(*expected_us),
            part_of(*part)
        ),
        Evidence::Expiry { what, ends_at, left_us, .. } => {
            let thing = expires(*what);
            let at = minute(*ends_at);
            if *left_us < 0 {
                format!("The {thing} of {name} ended {} ago, on {at}", length(*left_us, "d"))
            } else {
                format!("The {thing} of {name} ends in {}, on {at}", length(*left_us, "d"))
            }
        }
        Evidence::Flapping { turns, window_us, turns_half_hour, bad_us, down, .. } => format!(
            "{name} turned {turns} times between good and bad within {}, up to {turns_half_hour} times in half an hour; {} for {} in all",
            length(*window_us, "d"),
            if *down { "bad, down at times," } else { "degraded" },
            length(*bad_us, "d")
        ),
        Evidence::CorrelatedFailures { shared, checks, sharing, others_failing, others, within_us, .. } => format!(
            "{} failed within {} of each other and share {} {}: {} of {sharing} that share it failed, and {others_failing} of {others} others",
            listed(checks, "and", |more| format!("{more} more")),
            length(*within_us, "d"),
            trait_of(shared.of),
            shared.what,
            checks.len()
        ),
        Evidence::BudgetForecast {
            exhausted_at, exhausted_in_us, long_rate_per_mille, short_rate_per_mille, ..
        } => {
            if *exhausted_in_us <= 0 {
                format!("The error budget of {name} is spent")
            } else {
                format!(
                    "The error budget of {name} is spent in {} at this rate, on {}: it burns {}x and lately {}x as fast as it may",
                    length(*exhausted_in_us, "d"),
                    minute(*exhausted_at),
                    times(*long_rate_per_mille),
                    times(*short_rate_per_mille)
                )
            }
        }
        Evidence::VitalsRegression { vital: of, before, after, ratio_per_mille, changed, .. } => {
            let by = if *ratio_per_mille > 0 {
                format!("is {}x what it was", times((*ratio_per_mille).into()))
            } else {
                "got worse".to_owned()
            };
            let what = of.as_str().to_uppercase();
            let new = new_with_it(changed, "; new with it: ", " and ", |one| {
                let before =
                    if one.before.is_empty() { String::new() } else { format!(" (before mostly {})", one.before) };
                format!("{} {}{before}", attribution(one.of), one.after)
            });
            format!(
                "{what} of {name} {by}, since {since}: {} instead of {}{new}",
                vital(*of, *after),
                vital(*of, *before)
            )
        }
        Evidence::SlowResolver { agent_us, others_us, ratio_per_mille, checks, checks_slow, hours, hours_slow } => {
            format!(
                "Names take {}x as long to resolve at {name} as at the other agents: {} against {}, for {checks_slow} of {checks} checks in {hours_slow} of {hours} hours",
                times((*ratio_per_mille).into()),
                latency(*agent_us),
                latency(*others_us)
            )
        }
        Evidence::AgentDisagrees {
            why, compared, share_per_mille, usual_per_mille, checks, clock_offset_us, ..
        } => {
            let votes = format!(
                "{name} said something else than the other agents in {} of {} answers (usually {}), about {checks} checks",
                share(*share_per_mille),
                count(*compared),
                share(*usual_per_mille)
            );
            let clock = format!("its clock is off by {}", excess(clock_offset_us.unwrap_or_default()));
            match why {
                Disagreement::Votes => votes,
                Disagreement::Clock => {
                    format!("The clock of {name} is off by {}", excess(clock_offset_us.unwrap_or_default()))
                }
                Disagreement::VotesAndClock => format!("{votes}; {clock}"),
            }
        }
        Evidence::CannotFail { why, assertion, accepted_statuses, runs, watched_us, .. } => match why {
            CannotFail::AlwaysHolds => {
                format!("The assertion \"{assertion}\" of {name} holds whatever is answered: it can find nothing")
            }
            CannotFail::NeverMet => {
                format!("The condition \"{assertion}\" of {name} is never met: it can find nothing")
            }
            CannotFail::AcceptsErrorPage => format!(
                "{name} was up in all {} runs over {}, and would take an error page for good{}",
                count(*runs),
                length(*watched_us, "d"),
                statuses(accepted_statuses)
            ),
        },
        Evidence::CoverageGap { gaps, voters, quorum_agents, .. } => match gaps.first() {
            None | Some(Gap::NoAgent) => format!("{name} is watched by nobody: no agent is assigned to it"),
            Some(Gap::AllSuspended) => format!("{name} is watched by nobody: all of its agents are suspended for it"),
            Some(Gap::AllWeightless) => format!("Nobody counts for {name}: all of its agents have weight 0"),
            Some(Gap::QuorumOutOfReach) => {
                format!("The quorum of {name} asks for {quorum_agents} agents, and {voters} count: it is clamped")
            }
            Some(Gap::OneAgent) => format!("One agent alone watches {name}: what it sees is what is told"),
            Some(Gap::OneRegion) => format!("{name} is critical and seen from one region alone"),
        },
    }
}

fn statuses(accepted: &[u16]) -> String {
    if accepted.is_empty() {
        return String::new();
    }
    let list: Vec<String> = accepted.iter().map(u16::to_string).collect();
    format!(" (status {})", list.join(", "))
}

fn expires(what: Expires) -> &'static str {
    match what {
        Expires::Certificate => "certificate",
        Expires::Domain => "domain registration",
    }
}

fn part_of(part: SlowPart) -> &'static str {
    match part {
        SlowPart::Network => "the time is lost on the way (name, connection, TLS)",
        SlowPart::Server => "the time is lost in the answer",
        SlowPart::Both => "the time is lost on the way and in the answer",
        SlowPart::Untold => "its phases do not tell where",
    }
}

fn trait_of(of: TraitOf) -> &'static str {
    match of {
        TraitOf::Parent => "the parent",
        TraitOf::Address => "the address",
        TraitOf::Certificate => "the certificate",
        TraitOf::Domain => "the domain",
        TraitOf::Network => "the network",
        TraitOf::Provider => "the provider",
    }
}

fn attribution(of: AttributionOf) -> &'static str {
    match of {
        AttributionOf::LcpElement => "the largest element",
        AttributionOf::LcpUrl => "the largest element's source",
        AttributionOf::ShiftSource => "the element that moves",
    }
}

fn gap(gap: Gap) -> &'static str {
    match gap {
        Gap::NoAgent => "no agent is assigned",
        Gap::AllSuspended => "all agents are suspended for it",
        Gap::AllWeightless => "all agents have weight 0",
        Gap::QuorumOutOfReach => "the quorum asks for more agents than count",
        Gap::OneAgent => "one agent alone counts",
        Gap::OneRegion => "one region alone",
    }
}

fn rows(found: &Found) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |what: &str, value: String| rows.push((what.to_owned(), value));
    match &found.evidence {
        Evidence::LatencyRegression {
            before_us,
            after_us,
            ratio_per_mille,
            hours,
            hours_slower,
            noise_per_mille,
            baseline_hours,
        } => {
            row("median before, of the same hours of the week", latency(*before_us));
            row("median since", latency(*after_us));
            row("since against before", format!("{}x", times((*ratio_per_mille).into())));
            row("hours since, and those slower", format!("{hours}, {hours_slower}"));
            row("usual noise of six hours", share(*noise_per_mille));
            row("hours of the baseline", count((*baseline_hours).into()));
        }
        Evidence::RegionSlow {
            region,
            region_us,
            expected_us,
            others_us,
            ratio_per_mille,
            others,
            hours,
            network_us,
            server_us,
            part,
        } => {
            row("region", region.clone());
            row("median there", latency(*region_us));
            row("expected there by the other regions", latency(*expected_us));
            row("median of the other regions", latency(*others_us));
            row("against what is expected", format!("{}x", times((*ratio_per_mille).into())));
            row("other regions", others.to_string());
            row("hours since", hours.to_string());
            row("more on the way (name, connection, TLS)", excess(*network_us));
            row("more in the answer", excess(*server_us));
            row("where", part_of(*part).to_owned());
        }
        Evidence::Expiry { what, ends_at, left_us, seen_at, told_from_us } => {
            row("what", expires(*what).to_owned());
            row("ends", minute(*ends_at));
            row(if *left_us < 0 { "over for" } else { "left" }, length(*left_us, "d"));
            row("seen last", minute(*seen_at));
            row("told from", length(*told_from_us, "d"));
        }
        Evidence::Flapping { turns, window_us, turns_half_hour, episodes, episode_us, bad_us, .. } => {
            row("turns", turns.to_string());
            row("within", length(*window_us, "d"));
            row("most turns in half an hour", turns_half_hour.to_string());
            row("bad episodes", episodes.to_string());
            row("median length of one", length(*episode_us, "d"));
            row("bad time in all", length(*bad_us, "d"));
        }
        Evidence::CorrelatedFailures { shared, checks, sharing, others_failing, others, within_us, times_before } => {
            row("shared", format!("{} {}", trait_of(shared.of), shared.what));
            row("failed together", checks.join(", "));
            row("share it", sharing.to_string());
            row("others that failed then", format!("{others_failing} of {others}"));
            row("from the first to the last", length(*within_us, "d"));
            row("times before", times_before.to_string());
        }
        Evidence::BudgetForecast {
            exhausted_at,
            left_us,
            allowed_us,
            long_rate_per_mille,
            long_us,
            short_rate_per_mille,
            short_us,
            ..
        } => {
            row("nothing left at", minute(*exhausted_at));
            row(if *left_us < 0 { "overdrawn by" } else { "left" }, length(*left_us, "d"));
            row("allowed", length(*allowed_us, "d"));
            row(&format!("burn rate over {}", length(*long_us, "d")), format!("{}x", times(*long_rate_per_mille)));
            row(&format!("burn rate over {}", length(*short_us, "d")), format!("{}x", times(*short_rate_per_mille)));
        }
        Evidence::VitalsRegression { vital: of, before, after, ratio_per_mille, runs, baseline_runs, changed } => {
            row("vital", of.as_str().to_uppercase());
            row("median before", vital(*of, *before));
            row("median since", vital(*of, *after));
            row("since against before", format!("{}x", times((*ratio_per_mille).into())));
            row("runs since", runs.to_string());
            row("runs of the baseline", baseline_runs.to_string());
            for one in changed {
                let before = if one.before.is_empty() { "-" } else { &one.before };
                row(
                    attribution(one.of),
                    if one.runs_told == 0 {
                        format!("{} (before: {before}; {} runs)", one.after, one.runs)
                    } else {
                        format!(
                            "{} (in {} of {} runs since and {} of {} before, then mostly: {before})",
                            one.after, one.runs, one.runs_told, one.runs_before, one.runs_before_told
                        )
                    },
                );
            }
        }
        Evidence::SlowResolver { agent_us, others_us, ratio_per_mille, checks, checks_slow, hours, hours_slow } => {
            row("median there", latency(*agent_us));
            row("median at the other agents", latency(*others_us));
            row("there against the others", format!("{}x", times((*ratio_per_mille).into())));
            row("checks compared, and those slow", format!("{checks}, {checks_slow}"));
            row("hours compared, and those slow", format!("{hours}, {hours_slow}"));
        }
        Evidence::AgentDisagrees {
            compared,
            disagreed,
            share_per_mille,
            usual_per_mille,
            checks,
            hours,
            clock_offset_us,
            clock_uncertainty_us,
            ..
        } => {
            row("answers compared", count(*compared));
            row("said something else", format!("{} ({})", count(*disagreed), share(*share_per_mille)));
            row("usually", share(*usual_per_mille));
            row("checks it was about", checks.to_string());
            row("hours in which it was so", hours.to_string());
            if let Some(offset) = clock_offset_us {
                row("clock", format!("{} ± {}", excess(*offset), latency(*clock_uncertainty_us)));
            }
        }
        Evidence::CannotFail { assertion, accepted_statuses, runs, watched_us, .. } => {
            if !assertion.is_empty() {
                row("assertion", assertion.clone());
            }
            if !accepted_statuses.is_empty() {
                let list: Vec<String> = accepted_statuses.iter().map(u16::to_string).collect();
                row("statuses it takes for good", list.join(", "));
            }
            if *runs > 0 {
                row("runs, all up", count(*runs));
                row("over", length(*watched_us, "d"));
            }
        }
        Evidence::CoverageGap { gaps, agents, voters, regions, quorum_agents } => {
            for one in gaps {
                row("missing", gap(*one).to_owned());
            }
            row("agents assigned", agents.to_string());
            row("agents that count", voters.to_string());
            row("regions of those", regions.to_string());
            if *quorum_agents > 0 {
                row("the quorum asks for", quorum_agents.to_string());
            }
        }
    }
    rows
}
