//! `policies`, and what `sla` and `explain` print of a policy.

use std::path::Path;

use super::{draft_of, length, print, print_json, whole, with};
use crate::book::Object;
use crate::cli::client::Need;
use crate::cli::table::Table;
use crate::cli::{CountedArgs, Failure, Global, PoliciesArgs};
use crate::present::dto::SlaView;
use crate::present::dto::policy::{
    CountedSecondsView, CountedView, IntervalCountedView, PolicyTrialBody, PolicyTrialView, PolicyVersionView,
    PolicyView, TriedView,
};
use crate::present::figure;
use crate::present::http::escape;

pub(super) async fn policies(global: &Global, args: PoliciesArgs) -> Result<(), Failure> {
    if let Some(file) = &args.draft {
        return tried(global, file).await;
    }
    let policies: Vec<PolicyView> =
        with(global, Need::Data, async |client| client.all("/api/v1/policies").await).await?;
    if global.json {
        return print_json(&policies);
    }
    let mut table = Table::new(&[
        "POLICY",
        "OBJECTIVE",
        "MAINTENANCE",
        "UNKNOWN",
        "DEGRADED",
        "REGIONAL",
        "HOURS",
        "FROM",
        "TO",
        "AUTHOR",
    ]);
    for policy in &policies {
        for version in &policy.versions {
            table.push(row(&policy.id, version));
        }
    }
    print(&table.text())
}

/// What a policy that is only written would have made of the last days.
async fn tried(global: &Global, file: &Path) -> Result<(), Failure> {
    let policy = |object| if let Object::Policy(policy) = object { Some(policy) } else { None };
    let body = PolicyTrialBody { policy: draft_of(file, "policy", policy)? };
    let trial: PolicyTrialView =
        with(global, Need::Data, async |client| client.post("/api/v1/policy-trials", &body).await).await?;
    if global.json { print_json(&trial) } else { print(&trial_text(&trial, &body.policy.id)) }
}

fn trial_text(trial: &PolicyTrialView, id: &str) -> String {
    let before =
        trial.version.map_or_else(|| "default, which stands in for it".to_owned(), |version| format!("{id}@{version}"));
    let mut text = format!("The last {} days by {id} as written, against {before}. Nothing was changed.\n", trial.days);
    if trial.checks.is_empty() {
        text.push_str("No figure differs.\n");
    } else {
        let mut table = Table::new(&["CHECK", "NOW", "MET", "LEFT", "AS WRITTEN", "MET", "LEFT"]);
        for one in &trial.checks {
            let told = |tried: &TriedView| {
                let availability =
                    tried.availability.map_or_else(|| "-".into(), |share| figure::percent_down(share, 4));
                [availability, met(tried.met).to_owned(), left(tried.budget_left_seconds)]
            };
            table.push([one.check.clone()].into_iter().chain(told(&one.now)).chain(told(&one.draft)).collect());
        }
        text.push_str(&table.text());
        text.push_str(&format!("{} other checks come to the same.\n", trial.same));
    }
    if trial.left_out > 0 {
        text.push_str(&format!("{} checks that weigh less were not compared.\n", trial.left_out));
    }
    if !trial.slos.is_empty() {
        text.push_str(&format!("Objectives that count by it: {}.\n", trial.slos.join(", ")));
    }
    text
}

fn row(id: &str, version: &PolicyVersionView) -> Vec<String> {
    let instant = |at: &Option<String>| at.as_deref().map_or_else(|| "-".to_owned(), whole);
    let name = format!("{id}@{}", version.version);
    let (from, to, author) = (instant(&version.from), instant(&version.to), version.author.clone());
    if version.retired {
        let ended = std::iter::repeat_n("-".to_owned(), 5);
        return [name, "ended".to_owned()].into_iter().chain(ended).chain([from, to, author]).collect();
    }
    let policy = &version.policy;
    let hours = policy.hours.as_ref().map_or_else(
        || "always".to_owned(),
        |hours| {
            let weekly: Vec<String> = hours.weekly.iter().map(ToString::to_string).collect();
            let except = match hours.except.len() {
                0 => String::new(),
                1 => ", but for 1 day".to_owned(),
                days => format!(", but for {days} days"),
            };
            format!("{} ({}{except})", weekly.join(", "), hours.zone)
        },
    );
    let kinds = [policy.maintenance, policy.unknown, policy.degraded, policy.regional];
    [name, policy.objective.to_string()]
        .into_iter()
        .chain(kinds.map(|counting| counting.as_str().to_owned()))
        .chain([hours, from, to, author])
        .collect()
}

/// A question with its policy.
pub(super) fn counted(path: String, counted: CountedArgs) -> String {
    let Some(policy) = counted.policy else { return path };
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}policy={}", escape(&policy))
}

/// What a policy made of figures; nothing without one.
pub(super) fn table(figures: &[SlaView]) -> String {
    let Some(first) = figures.iter().find_map(|one| one.policy.as_ref()) else { return String::new() };
    let mut table =
        Table::new(&["CHECK", "OBJECTIVE", "MET", "COUNTED", "DOWN", "EXCLUDED", "OUTSIDE", "BUDGET", "LEFT"]);
    for (one, counted) in figures.iter().filter_map(|one| Some((one, one.policy.as_ref()?))) {
        let seconds = &counted.seconds;
        table.push(vec![
            one.check.clone(),
            objective(counted),
            met(counted.met).to_owned(),
            length(seconds.counted),
            length(seconds.down),
            length(seconds.excluded),
            length(seconds.outside),
            length(counted.budget_seconds),
            left(counted.budget_left_seconds),
        ]);
    }
    format!("\nCounted by policy {}.\n{}", by(first), table.text())
}

/// Which versions counted.
fn by(counted: &CountedView) -> String {
    let id = &counted.id;
    match (counted.version, &counted.terms[..]) {
        (Some(version), _) => format!("{id}@{version}"),
        (None, []) => {
            format!("{id}, of which no version was in force then (its time is outside: ask for {id}@1 to count it)")
        }
        (None, terms) => {
            let term = |term: &crate::present::dto::policy::TermView| {
                format!("{id}@{} from {} to {}", term.version, whole(&term.from), whole(&term.to))
            };
            format!("{id}: {}", terms.iter().map(term).collect::<Vec<_>>().join(", "))
        }
    }
}

fn objective(counted: &CountedView) -> String {
    counted.objective.clone().unwrap_or_else(|| if counted.terms.is_empty() { "-".into() } else { "several".into() })
}

pub(super) const fn met(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "-",
    }
}

pub(super) fn left(seconds: f64) -> String {
    if seconds < 0.0 { format!("-{}", length(-seconds)) } else { length(seconds) }
}

/// The arithmetic of a policy's figures, in words.
pub(super) fn sum(figures: &SlaView, counted: &CountedView) -> String {
    let seconds = &counted.seconds;
    let percent =
        |value: Option<f64>| value.map_or_else(|| "nothing counts".into(), |value| figure::percent_down(value, 4));
    format!(
        "{}, {} to {}, by policy {}\n\
         counted       {:.3} s, of it {:.3} down\n\
         not counted   {:.3} s excluded, {:.3} s outside the service hours\n\
         unknown       {:.3} s within them{}\n\
         availability  1 - {:.3} / {:.3} = {}, objective {}: {}\n\
         completeness  {}, so it lies between {} and {}\n",
        figures.check,
        whole(&figures.from),
        whole(&figures.to),
        by(counted),
        seconds.counted,
        seconds.down,
        seconds.excluded,
        seconds.outside,
        seconds.unknown,
        causes(seconds),
        seconds.down,
        seconds.counted,
        percent(figures.availability),
        objective(counted),
        match counted.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "nothing to tell",
        },
        percent(figures.completeness),
        percent(figures.lower),
        figures.upper.map_or_else(|| "nothing counts".into(), |value| figure::percent_up(value, 4)),
    )
}

/// Why nothing is known of that time: `: 25 min 55 s agent_offline`; empty where all is known, or no cause is told.
pub(super) fn causes(seconds: &CountedSecondsView) -> String {
    let causes = seconds.unknown_by_cause.map_or_else(String::new, |causes| causes.text(length));
    if causes.is_empty() { causes } else { format!(": {causes}") }
}

/// How an interval counts.
pub(super) fn interval(counted: &[IntervalCountedView]) -> String {
    let part = |part: &IntervalCountedView| {
        let seconds = &part.seconds;
        let counts = part.counts.as_deref().unwrap_or_default();
        let mut texts = Vec::new();
        if seconds.counted > 0.0 && counts == "by_share" {
            texts.push(format!("{} of {} down", length(seconds.down), length(seconds.counted)));
        } else if seconds.counted > 0.0 {
            texts.push(format!("{} {counts}", length(seconds.counted)));
        }
        if seconds.excluded > 0.0 {
            texts.push(format!("{} excluded", length(seconds.excluded)));
        }
        if seconds.outside > 0.0 {
            texts.push(format!("{} outside", length(seconds.outside)));
        }
        texts.join(", ")
    };
    counted.iter().map(part).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
}
