//! Findings: what is open, the worst first, each with its evidence and where to look; what people know of; what is over. And the page of one.
//!
//! Who acknowledges says why: the form stands with the finding, and works without scripts.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::insight::{Kind, Severity};
use sitepulse_model::time::UtcMicros;

use super::acts;
use super::frame::{Frame, Place};
use super::incidents::{moment, who};
use super::parts::{Chip, Chips, Field, Input, Pill};
use super::playbooks;
use super::row::{age, clock_text};
use super::sheet::choice;
use crate::app::Access;
use crate::insight::life::State as Stands;
use crate::insight::shelf::Act;
use crate::insight::{Standing, StoredEntry, Worded};
use crate::playbook::acts::Asked as About;
use crate::present::door::Caller;
use crate::present::findings::{by_weight, links, percent, stored_one};
use crate::present::problem::Answer;
use crate::present::text::Texts;
use crate::present::text::findings::{FindingTexts, name_of};
use crate::present::{Present, api, figure};
use crate::store::findings::{self as stored, Asked, Which};

/// Most findings that are over and shown: the newest.
const OVER_MAX: usize = 200;
/// Most findings of one severity that are shown.
const SHOWN_MAX: usize = 200;
/// Most findings that the page of a check shows.
const OF_CHECK_MAX: usize = 8;

/// What is shown of the list.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct ListQuery {
    state: String,
    kind: String,
    check: String,
}

/// What is said with an acknowledgement.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NoteForm {
    note: String,
}

#[derive(Template)]
#[template(path = "findings.html")]
struct List<'a> {
    t: &'a Texts,
    f: &'a FindingTexts,
    states: Chips,
    all: bool,
    filtered: bool,
    /// Whether anything was looked at.
    looked: bool,
    fields: Vec<Field>,
    groups: Vec<Group>,
    over: Vec<Card>,
    as_of: String,
}

/// The findings of one severity.
struct Group {
    id: &'static str,
    title: &'static str,
    class: &'static str,
    cards: Vec<Card>,
}

#[derive(Template)]
#[template(path = "finding.html")]
struct One<'a> {
    t: &'a Texts,
    f: &'a FindingTexts,
    card: Card,
    worded: Option<Wording>,
    facts: Vec<(&'static str, String)>,
    checks: Vec<String>,
    /// What to do, rendered.
    playbook: String,
    history: Vec<Line>,
    as_of: String,
}

/// A finding, as lists and its own page tell it.
pub(super) struct Card {
    pub(super) id: String,
    pub(super) class: &'static str,
    pub(super) severity: &'static str,
    pub(super) state: Pill,
    pub(super) kind: &'static str,
    about: String,
    pub(super) sentence: String,
    /// How sure, since when, who knows.
    pub(super) notes: Vec<String>,
    rows: Vec<(String, String)>,
    /// Where to look: the address, the words.
    links: Vec<(String, String)>,
    /// What may be done by who looks.
    acknowledgeable: bool,
    acknowledged: bool,
    note: Field,
}

struct Wording {
    text: String,
    language: String,
    by: String,
}

struct Line {
    at: String,
    what: String,
    who: String,
}

/// `GET /findings`
pub async fn findings_page(
    State(present): State<Present>,
    frame: Frame,
    Query(query): Query<ListQuery>,
) -> Answer<Response> {
    let now = clock::now();
    let check = query.check.trim();
    if !check.is_empty() {
        api::check_of(&present.app().book(), check)?;
    }
    let kind = Kind::parse(&query.kind);
    let wanted = |one: &Standing| {
        kind.is_none_or(|kind| one.found.kind == kind) && (check.is_empty() || one.checks.contains(check))
    };
    let shelf = &present.app().shared().findings;
    let mut standing = by_weight(shelf.standing());
    let known = standing.len();
    standing.retain(|one| wanted(one));
    let mut over = Vec::new();
    if query.state == "all" {
        let check = (!check.is_empty()).then(|| check.to_owned());
        let asked = Asked { which: Which::Only(Stands::Closed), kind, severity: None, check, limit: OVER_MAX };
        over = present.app().read_store(move |tables| stored::page(tables, &asked, None, now)).await?;
    }
    let looked = !shelf.all_looks().is_empty();
    let content = List::of(&standing, &over, known, &query, looked, &frame, now);
    frame.page(Place::Findings, frame.t.findings.title, Some("finding playbook"), &content)
}

/// `GET /findings/{id}`
pub async fn finding_page(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    show(&present, &frame, &id, "").await
}

/// `POST /findings/{id}/acknowledge`: then its page.
pub async fn acknowledge_finding(
    State(present): State<Present>,
    frame: Frame,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Form(form): Form<NoteForm>,
) -> Answer<Response> {
    let act = Act::Acknowledge { note: form.note.clone() };
    act_on(&present, frame, &caller, &id, act, &form.note).await
}

/// `POST /findings/{id}/take-back`: then its page.
pub async fn take_back_finding(
    State(present): State<Present>,
    frame: Frame,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Answer<Response> {
    act_on(&present, frame, &caller, &id, Act::TakeBack, "").await
}

async fn act_on(present: &Present, frame: Frame, caller: &Caller, id: &str, act: Act, said: &str) -> Answer<Response> {
    let own = format!("/findings/{}", crate::present::http::escape(id));
    match present.app().act_on_finding(id, act, &caller.author, clock::now()).await {
        Ok(()) => Ok(acts::see(&own)),
        Err(why) => show(present, &frame.refused(own, why.into()), id, said).await,
    }
}

async fn show(present: &Present, frame: &Frame, id: &str, said: &str) -> Answer<Response> {
    let (now, t) = (clock::now(), frame.t);
    let (standing, entries) = stored_one(present.app(), id).await?;
    let (f, life) = (t.findings, &standing.life);
    let mut card = Card::of(&standing, frame, now);
    card.note.value = said.to_owned();
    let at = |at: UtcMicros| clock_text(UtcMicros(at.0 - at.0.rem_euclid(1_000_000)));
    let mut facts = vec![
        (f.since, at(standing.found.since)),
        (f.found_first, at(life.opened_at)),
        (f.found_last, at(life.seen_at)),
    ];
    facts.extend(life.closed_at.map(|closed| (f.closed, at(closed))));
    let line = |entry: &StoredEntry| Line {
        at: at(entry.at),
        what: (f.entry)(&entry.entry),
        who: who(&entry.author, t.incidents),
    };
    let content = One {
        t,
        f,
        card,
        worded: standing.wording.as_ref().map(|worded| Wording::of(worded, f)),
        facts,
        checks: standing.checks.iter().cloned().collect(),
        playbook: playbooks::offer(present, frame, About::Finding(id.to_owned()), life.state != Stands::Closed).await?,
        history: entries.iter().rev().map(line).collect(),
        as_of: at(now),
    };
    frame.page(Place::Findings, &content.card.sentence, Some("finding"), &content)
}

/// The findings of a check, for its page.
pub(super) fn of_check(present: &Present, check: &str, frame: &Frame, now: UtcMicros) -> Vec<Card> {
    let standing = by_weight(present.app().shared().findings.of_check(check));
    standing.iter().take(OF_CHECK_MAX).map(|one| Card::of(one, frame, now)).collect()
}

/// The colour of a severity.
pub(super) const fn class_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "unknown",
        Severity::Warning => "degraded",
        Severity::Critical => "down",
    }
}

impl Wording {
    fn of(worded: &Worded, f: &FindingTexts) -> Self {
        Self { text: worded.text.clone(), language: worded.language.clone(), by: (f.worded)(&worded.model) }
    }
}

impl<'a> List<'a> {
    fn of(
        standing: &[Arc<Standing>],
        over: &[Standing],
        known: usize,
        query: &ListQuery,
        looked: bool,
        frame: &'a Frame,
        now: UtcMicros,
    ) -> Self {
        let (t, f, d) = (frame.t, frame.t.findings, frame.t.desk);
        let kinds = Kind::ALL.iter().map(|kind| choice(kind.as_str(), (f.kind)(*kind)));
        let kinds = std::iter::once(choice("", d.any)).chain(kinds).collect();
        let fields = vec![
            Field { label: d.kind.into(), input: Input::Select(kinds), ..Field::text("kind", &query.kind) },
            Field { label: t.check.into(), ..Field::text("check", &query.check) },
        ];
        let all = query.state == "all";
        let chip = |state: &str, label: &str, count: String| Chip {
            label: label.to_owned(),
            href: query.href(state),
            current: (state == "all") == all,
            count,
            class: "",
        };
        let chips = vec![chip("standing", f.standing, figure::count(known as u64)), chip("all", f.all, String::new())];
        let group = |severity: Severity| Group {
            id: severity.as_str(),
            title: (f.severity)(severity),
            class: class_of(severity),
            cards: standing
                .iter()
                .filter(|one| one.life.severity == severity)
                .take(SHOWN_MAX)
                .map(|one| Card::of(one, frame, now))
                .collect(),
        };
        let groups = Severity::ALL.into_iter().rev().map(group).filter(|group| !group.cards.is_empty());
        Self {
            t,
            f,
            states: Chips { label: t.alerting.state.into(), chips, tabs: true },
            all,
            filtered: !query.kind.is_empty() || !query.check.is_empty(),
            looked,
            fields,
            groups: groups.collect(),
            over: over.iter().map(|one| Card::of(one, frame, now)).collect(),
            as_of: clock_text(UtcMicros(now.0 - now.0.rem_euclid(1_000_000))),
        }
    }
}

impl ListQuery {
    /// The list with these filters in another state.
    fn href(&self, state: &str) -> String {
        // Words of ours and ids need no escaping; anything else finds nothing.
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let filters = [("kind", &self.kind), ("check", &self.check)];
        let told = filters.into_iter().filter(|(_, text)| !text.is_empty() && plain(text));
        format!("/findings?state={state}{}", told.map(|(name, text)| format!("&{name}={text}")).collect::<String>())
    }
}

impl Card {
    pub(super) fn of(one: &Standing, frame: &Frame, now: UtcMicros) -> Self {
        let (t, f) = (frame.t, frame.t.findings);
        let (life, found) = (&one.life, &one.found);
        let (class, word) = match life.state {
            Stands::Open if life.stale(now) => ("regional", format!("{}, {}", (f.state)(life.state), f.stale)),
            Stands::Open => (class_of(life.severity), (f.state)(life.state).to_owned()),
            Stands::Acknowledged => ("maintenance", (f.state)(life.state).to_owned()),
            Stands::Closed => ("up", (f.state)(life.state).to_owned()),
        };
        let known = life.acknowledged.as_ref().filter(|_| life.state == Stands::Acknowledged);
        let acknowledged = known.map(|known| {
            let when = moment(&instant::format(known.at), now);
            format!("{}{}{}", (f.acknowledged_by)(&who(&known.by, t.incidents), &when), t.colon, known.note)
        });
        let missing = life.missing_since.filter(|_| life.state != Stands::Closed);
        let notes = [
            Some((f.confidence)(&percent(one))),
            acknowledged,
            missing.map(|since| (f.missing)(&figure::coarse(age(&instant::format(since), now), t.slo.day))),
        ];
        let place = |to: &str, href: &str| match to {
            "latency" => f.see_latency.to_owned(),
            "explain" => f.see_explain.to_owned(),
            "incidents" => f.see_incidents.to_owned(),
            "objective" => f.see_objective.to_owned(),
            "agent" => f.see_agent.to_owned(),
            "definition" => f.see_definition.to_owned(),
            _ => href.rsplit('/').next().unwrap_or_default().to_owned(),
        };
        let may_edit = frame.may(Access::Edit);
        let links = links(one).into_iter().filter(|link| link.to != "definition" || may_edit);
        let may_act = frame.may(Access::Respond);
        let note = Field {
            label: f.note.to_owned(),
            hint: f.acknowledge_what.to_owned(),
            required: true,
            wide: true,
            input: Input::Lines(2),
            ..Field::text("note", "")
        };
        Self {
            id: one.id.0.clone(),
            class: class_of(life.severity),
            severity: (f.severity)(life.severity),
            state: Pill { class, word },
            kind: (f.kind)(found.kind),
            about: name_of(&found.subject).to_owned(),
            sentence: (f.sentence)(found),
            notes: notes.into_iter().flatten().collect(),
            rows: (f.rows)(found),
            links: links.map(|link| (link.href.clone(), place(&link.to, &link.href))).collect(),
            acknowledgeable: may_act && life.state != Stands::Closed,
            acknowledged: may_act && life.state == Stands::Acknowledged,
            note,
        }
    }
}
