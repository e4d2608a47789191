//! The list of checks: filtered, sorted and searched by its address alone, so that every view of it is a link.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_model::time::UtcMicros;
use sitepulse_model::vote::Verdict;

use super::frame::{Frame, Place};
use super::parts::{Chip, Chips, Choice, Pager, Ribbon};
use super::row::{CheckRow, Seen, class, ribbon, scores_by_id};
use crate::app::Access;
use crate::impact::CheckScore;
use crate::impact::board::Scores;
use crate::present::http::escape;
use crate::present::impact::Badge;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;
use crate::present::view::Snapshot;
use crate::present::view::list::{Facets, Filter, InGroup, Row, Slice, Sort, Totals, WORST_FIRST};
use crate::present::{Present, figure};

/// Rows of a page: a page stays below 150 KiB with them.
const ROWS: usize = 100;
/// Most values of one filter that are offered; the search finds the others.
const OFFERED_MAX: usize = 100;
/// The group of the checks that are in none; no group can be called so.
const UNGROUPED: &str = "-";
/// Longest text that is searched for, in bytes.
const TEXT_BYTES_MAX: usize = 200;

/// What the list is asked. Empty values ask for nothing: forms send them.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// A verdict, or `suspended`.
    state: String,
    group: String,
    tag: String,
    region: String,
    kind: String,
    q: String,
    /// `name`, `availability`, `weight`, `impact`; `-` before it turns it around.
    sort: String,
    after: String,
}

impl Asked {
    fn filter(&self) -> Filter {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let states = Verdict::ALL.iter().copied().filter(|verdict| verdict.as_str() == self.state).collect();
        let mut end = self.q.len().min(TEXT_BYTES_MAX);
        while !self.q.is_char_boundary(end) {
            end -= 1;
        }
        Filter {
            states,
            suspended: (self.state == "suspended").then_some(true),
            group: match self.group.as_str() {
                "" => InGroup::Any,
                UNGROUPED => InGroup::Ungrouped,
                name => InGroup::Named(name.to_owned()),
            },
            tags: some(&self.tag).into_iter().collect(),
            region: some(&self.region),
            kind: some(&self.kind),
            text: self.q[..end].to_owned(),
        }
    }

    fn slice(&self) -> Answer<Slice> {
        let (reverse, name) = match self.sort.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, self.sort.as_str()),
        };
        let sort = match name {
            "name" => Sort::Name,
            "availability" => Sort::Availability,
            "weight" => Sort::Weight,
            "impact" => Sort::Impact,
            _ => Sort::Severity,
        };
        let bad = |error: crate::present::view::list::BadCursor| Problem::new(Code::BadRequest, error.to_string());
        let after = if self.after.is_empty() { None } else { Some(self.after.parse().map_err(bad)?) };
        Ok(Slice { sort, reverse, after, rows: Some(ROWS), ..Slice::default() })
    }

    /// The address of the list as it is asked, with `change` made; the first page of it unless `change` says more.
    fn link(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut asked = Self { after: String::new(), ..self.clone() };
        change(&mut asked);
        let pairs = [
            ("state", &asked.state),
            ("group", &asked.group),
            ("tag", &asked.tag),
            ("region", &asked.region),
            ("kind", &asked.kind),
            ("q", &asked.q),
            ("sort", &asked.sort),
            ("after", &asked.after),
        ];
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        let query: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", escape(value))).collect();
        if query.is_empty() { "/checks".to_owned() } else { format!("/checks?{}", query.join("&")) }
    }
}

#[derive(Template)]
#[template(path = "checks.html")]
struct Content<'a> {
    t: &'a Texts,
    /// How many checks there are at all.
    all: String,
    none: bool,
    may_edit: bool,
    states: Chips,
    asked: &'a Asked,
    selects: Vec<Select>,
    /// What is filtered by, each with the list without it.
    filters: Vec<Chip>,
    heads: [Head; 4],
    rows: Vec<Line>,
    pager: Pager,
}

/// A filter to choose from.
struct Select {
    name: &'static str,
    label: &'static str,
    any: &'static str,
    chosen: String,
    choices: Vec<Choice>,
}

/// A column by which the list can be sorted.
struct Head {
    label: &'static str,
    href: String,
    /// `ascending`, `descending`; empty: it is not.
    sorted: &'static str,
}

struct Line {
    check: CheckRow,
    labels: Vec<String>,
    seen: Vec<Seen>,
    told: String,
    /// Whether there is a latency.
    measured: bool,
    latency: String,
    impact: Badge,
    ribbon: Ribbon,
}

impl Line {
    fn of(row: &Row<'_>, score: Option<&CheckScore>, now: UtcMicros, t: &Texts) -> Self {
        let (check, strip) = (row.check, row.strip);
        let seen = Seen::all(check, t);
        let shown = CheckRow::of(check, now, t);
        // The middle one of those who see it up.
        let mut latencies: Vec<f64> = check
            .agents
            .iter()
            .filter(|pair| ["up", "degraded"].contains(&pair.state.as_str()))
            .filter_map(|pair| pair.latency_seconds)
            .collect();
        latencies.sort_by(f64::total_cmp);
        let latency = latencies.get(latencies.len() / 2).map(|seconds| (t.number)(figure::latency(*seconds)));
        let labels = check.group.iter().cloned().chain(check.tags.iter().take(4).map(|tag| format!("#{tag}")));
        Self {
            labels: labels.collect(),
            impact: Badge::of(score.and_then(|check| check.score.as_ref()), t),
            told: Seen::told(&seen),
            seen,
            measured: latency.is_some(),
            latency: latency.unwrap_or_else(|| "–".to_owned()),
            ribbon: ribbon(strip, (t.list.ribbon)(&shown.availability)),
            check: shown,
        }
    }
}

/// `GET /checks`
pub async fn checks_page(State(present): State<Present>, frame: Frame, Query(asked): Query<Asked>) -> Answer<Response> {
    let snapshot = present.snapshot().await?;
    let scores = present.scores().await?;
    let content = Content::of(&snapshot, &scores, &asked, &frame)?;
    frame.page(Place::Checks, frame.t.list.title, Some("check figures"), &content)
}

impl<'a> Content<'a> {
    fn of(snapshot: &Snapshot, scores: &Scores, asked: &'a Asked, frame: &Frame) -> Answer<Self> {
        let (t, w) = (frame.t, frame.t.list);
        let slice = asked.slice()?;
        let points = if slice.sort == Sort::Impact { scores.points() } else { Default::default() };
        let page = snapshot.query(&asked.filter(), &Slice { scores: points, ..slice });
        let facets = snapshot.facets();
        let scores = scores_by_id(scores);
        let count = |number: usize| figure::count(number as u64);
        let (first, last) = (page.before + 1, page.before + page.rows.len());
        let pager = Pager {
            text: if page.rows.is_empty() {
                String::new()
            } else {
                (w.shown)(&count(first), &count(last), &count(page.found))
            },
            previous: page.previous.map(|after| {
                let after = after.map_or_else(String::new, |cursor| cursor.to_string());
                (asked.link(|to| to.after = after), w.previous)
            }),
            next: page.next.map(|after| (asked.link(|to| to.after = after.to_string()), w.next)),
        };
        Ok(Self {
            t,
            all: count(facets.totals.checks()),
            none: facets.totals.checks() == 0,
            may_edit: frame.may(Access::Edit),
            states: states(asked, &page.totals, t),
            asked,
            selects: selects(asked, facets, t),
            filters: filters(asked, t),
            heads: heads(asked, t),
            rows: page
                .rows
                .iter()
                .map(|row| Line::of(row, scores.get(row.check.id.as_str()).copied(), snapshot.now, t))
                .collect(),
            pager,
        })
    }
}

/// A chip for each state that there is, and the one that is chosen.
fn states(asked: &Asked, totals: &Totals, t: &Texts) -> Chips {
    let chip = |label: &str, state: &str, count: usize, class: &'static str| Chip {
        label: label.to_owned(),
        href: asked.link(|to| to.state = state.to_owned()),
        current: asked.state == state,
        count: figure::count(count as u64),
        class,
    };
    let mut chips = vec![chip(t.list.all, "", totals.checks(), "")];
    for verdict in WORST_FIRST {
        let name = verdict.as_str();
        if totals.of(verdict) > 0 || asked.state == name {
            chips.push(chip(t.state(name), name, totals.of(verdict), class(name)));
        }
    }
    if totals.suspended > 0 || asked.state == "suspended" {
        chips.push(chip(t.list.suspended, "suspended", totals.suspended, ""));
    }
    Chips { label: t.list.states.to_owned(), chips, tabs: false }
}

fn selects(asked: &Asked, facets: &Facets, t: &Texts) -> Vec<Select> {
    let w = t.list;
    let offered = |by: &std::collections::BTreeMap<String, Totals>, chosen: &str| {
        let mut most: Vec<(&String, usize)> = by.iter().map(|(name, totals)| (name, totals.checks())).collect();
        most.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        most.truncate(OFFERED_MAX);
        most.sort();
        let mut choices: Vec<Choice> = most
            .into_iter()
            .map(|(name, count)| Choice {
                value: name.clone(),
                label: format!("{name} ({})", figure::count(count as u64)),
            })
            .collect();
        if !chosen.is_empty() && chosen != UNGROUPED && choices.iter().all(|choice| choice.value != chosen) {
            choices.push(Choice { value: chosen.to_owned(), label: chosen.to_owned() });
        }
        choices
    };
    let select = |name, label, chosen: &str, choices: Vec<Choice>| Select {
        name,
        label,
        any: w.any,
        chosen: chosen.to_owned(),
        choices,
    };
    let mut groups = offered(&facets.groups, &asked.group);
    if facets.ungrouped.checks() > 0 && !groups.is_empty() {
        groups.push(Choice { value: UNGROUPED.to_owned(), label: w.no_group.to_owned() });
    }
    let selects = [
        select("group", w.group, &asked.group, groups),
        select("tag", w.tag, &asked.tag, offered(&facets.tags, &asked.tag)),
        select("region", t.region, &asked.region, offered(&facets.regions, &asked.region)),
        select("kind", w.kind, &asked.kind, offered(&facets.kinds, &asked.kind)),
    ];
    selects.into_iter().filter(|select| !select.choices.is_empty()).collect()
}

fn filters(asked: &Asked, t: &Texts) -> Vec<Chip> {
    let w = t.list;
    let mut chips = Vec::new();
    let mut chip = |name: &str, value: &str, href: String| {
        if !value.is_empty() {
            let value = if value == UNGROUPED { w.no_group } else { value };
            chips.push(Chip { label: format!("{name}{}{value}", t.colon), href, ..Chip::default() });
        }
    };
    chip(w.group, &asked.group, asked.link(|to| to.group.clear()));
    chip(w.tag, &asked.tag, asked.link(|to| to.tag.clear()));
    chip(t.region, &asked.region, asked.link(|to| to.region.clear()));
    chip(w.kind, &asked.kind, asked.link(|to| to.kind.clear()));
    chip(w.search, &asked.q, asked.link(|to| to.q.clear()));
    chips
}

fn heads(asked: &Asked, t: &Texts) -> [Head; 4] {
    let (reverse, name) = match asked.sort.strip_prefix('-') {
        Some("severity") => (true, ""),
        Some(name) => (true, name),
        None => (false, asked.sort.as_str()),
    };
    let head = |label, sort: &'static str| {
        let current = name == sort;
        // Once more turns it around.
        let to = if current && !reverse { format!("-{sort}") } else { sort.to_owned() };
        // Worst first, highest weight first: what stands on top is what one asks for first, whichever way that counts.
        let sorted = match (current, reverse) {
            (false, _) => "",
            (true, false) => "ascending",
            (true, true) => "descending",
        };
        Head { label, href: asked.link(|asked| asked.sort = if to == "-" { "-severity".into() } else { to }), sorted }
    };
    [head(t.verdict, ""), head(t.check, "name"), head(t.list.sla_24h, "availability"), head(t.impact.title, "impact")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_what_was_asked_and_begins_at_the_first_page() {
        let asked = Asked { state: "down".into(), q: "a b&c".into(), after: "0.x".into(), ..Asked::default() };
        assert_eq!(asked.link(|_| ()), "/checks?state=down&q=a%20b%26c");
        assert_eq!(asked.link(|to| *to = Asked::default()), "/checks");
    }

    #[test]
    fn a_filter_of_empty_values_lets_everything_pass() {
        assert_eq!(Asked::default().filter(), Filter::default());
        let asked = Asked { group: UNGROUPED.into(), q: "é".repeat(150), ..Asked::default() };
        assert_eq!(asked.filter().group, InGroup::Ungrouped);
        assert_eq!(asked.filter().text.len(), TEXT_BYTES_MAX, "cut between letters");
    }

    #[test]
    fn a_column_turns_around_when_it_is_asked_for_again() {
        let sorts = |sort: &str| {
            let asked = Asked { sort: sort.into(), ..Asked::default() };
            heads(&asked, crate::present::text::Language::English.texts()).map(|head| (head.href, head.sorted))
        };
        assert_eq!(sorts("")[0], ("/checks?sort=-severity".into(), "ascending"));
        assert_eq!(sorts("name")[1], ("/checks?sort=-name".into(), "ascending"));
        assert_eq!(sorts("-name")[1], ("/checks?sort=name".into(), "descending"));
        assert_eq!(sorts("-severity")[0], ("/checks".into(), "descending"));
    }
}
