//! Incidents: what is open on top, the rest by filters, how long they took; and what people do to them.
//!
//! Every act is a form that works without scripts. The page of one incident is [`super::incident`].

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::{AgentNo, CheckNo};
use sitepulse_model::incident::{IncidentKind, IncidentState, Severity};
use sitepulse_model::time::{Span, UtcMicros};

use super::acts::{self, Doer, Until};
use super::frame::{Frame, Place};
use super::incident;
use super::parts::{Chip, Chips, Field, Input, Pager, Stat, StatLine};
use super::sheet::{Sheet, choice, line, until_fields};
use super::{class_of_incident, clock_text};
use crate::alert::people::Act;
use crate::app::Access;
use crate::present::dto::incidents::{IncidentView, OpenBody, SilenceBody, SummaryView};
use crate::present::problem::{Answer, Problem};
use crate::present::text::Texts;
use crate::present::text::alerting::AlertingTexts;
use crate::present::text::desk::DeskTexts;
use crate::present::text::incidents::IncidentTexts;
use crate::present::{Present, api, figure, incidents};
use crate::store::incidents::{Asked, Which};

/// How many incidents a page shows: of those that are not over, and of those that are.
const SHOWN: usize = 100;

/// The list.
#[derive(Template)]
#[template(path = "incidents.html")]
struct List<'a> {
    t: &'a Texts,
    w: &'a AlertingTexts,
    i: &'a IncidentTexts,
    d: &'a DeskTexts,
    may_act: bool,
    stats: Vec<Stat>,
    states: Chips,
    fields: Vec<Field>,
    all: bool,
    /// Whether some filter is set.
    filtered: bool,
    /// Whether it is a later page, of those alone that are over.
    older: bool,
    open: Vec<Row>,
    over: Vec<Row>,
    /// How many are over in all.
    over_count: String,
    /// From one page of those that are not over to the next, and of those that are.
    open_pager: Option<Pager>,
    pager: Option<Pager>,
    /// Whether incidents of checks would be told to nobody.
    silent: bool,
    as_of: String,
}

/// An incident, as lists and its own page tell it.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) class: &'static str,
    pub(super) state: String,
    pub(super) severity: String,
    pub(super) severity_class: String,
    pub(super) kind: String,
    pub(super) about: String,
    pub(super) link: String,
    pub(super) since: String,
    pub(super) length: String,
    pub(super) notes: Vec<String>,
    /// Its place in the queue, and why; empty where it has none.
    pub(super) rank: String,
    pub(super) rank_why: String,
}

/// What is shown of the list.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct ListQuery {
    state: String,
    kind: String,
    severity: String,
    check: String,
    agent: String,
    /// How many of those that are not over stand before the first one that is shown.
    from: String,
    /// The place in the list that the page before ended with, of those that are over: `1763913600000000.20251123-abcde`.
    before: String,
}

/// What a page of the list tells.
struct Found {
    /// Those that are not over, in the order of the queue.
    open: Vec<IncidentView>,
    /// Those of this page that are, the newest first.
    over: Vec<IncidentView>,
    /// How many are over in all.
    over_count: usize,
    /// The place of the last one, where there are more.
    next: Option<(i64, String)>,
}

/// A form's fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ActForm {
    pub(super) text: String,
    title: String,
    check: String,
    severity: String,
    to: String,
    reason: String,
    step: String,
    channel: String,
    r#for: String,
    until: String,
}

/// `GET /incidents`
pub async fn incidents_page(
    State(present): State<Present>,
    frame: Frame,
    Query(query): Query<ListQuery>,
) -> Answer<Response> {
    let now = clock::now();
    let (check, agent) = query.subjects(&present)?;
    let found = found(&present, &query, (check, agent), now).await?;
    let summary = incidents::summary(present.app(), incidents::period(None, None, now), check).await?;
    let silent = !present.app().book().objects().escalations.living().any(|(_, policy)| policy.body.default);
    let content = List::of(&found, &summary, &query, silent, &frame, now);
    frame.page(Place::Incidents, frame.t.incidents.incidents, Some("incident check"), &content)
}

/// Reads what a page of the list tells: of whatever age, from the store.
async fn found(
    present: &Present,
    query: &ListQuery,
    (check, agent): (Option<CheckNo>, Option<AgentNo>),
    now: UtcMicros,
) -> Answer<Found> {
    let (kind, severity) = (IncidentKind::parse(&query.kind), Severity::parse(&query.severity));
    let period = Span::new(UtcMicros::MIN, UtcMicros::MAX);
    let asked = |which, limit| Asked { period, which, check, agent, kind, severity, limit };
    let mut open = incidents::list(present, asked(Which::Open, incidents::LIST_MAX), now).await?;
    present.rank(&mut open, now).await?;
    // What to take first: severity, then the score, then age.
    open.sort_by_key(|one| one.rank.as_ref().map_or(usize::MAX, |rank| rank.position));
    let over_count = incidents::count(present, asked(Which::Over, 0)).await?;
    let (mut over, mut next) = (Vec::new(), None);
    if query.all() {
        // One more tells whether there is another page.
        let page = incidents::page(present, asked(Which::Over, SHOWN + 1), query.place(), now).await?;
        let more = page.len() > SHOWN;
        let shown = || page.iter().take(SHOWN);
        next = shown().next_back().filter(|_| more).map(|(place, _)| place.clone());
        over = shown().map(|(_, one)| one.clone()).collect();
    }
    Ok(Found { open, over, over_count, next })
}

/// `GET /incidents/new`: the form.
pub async fn new_incident(frame: Frame, Query(query): Query<ListQuery>) -> Answer<Response> {
    new_sheet(&frame, &ActForm { check: query.check, ..ActForm::default() })
}

/// `POST /incidents/new`: opens one, then its page.
pub async fn open_incident(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Form(form): Form<ActForm>,
) -> Answer<Response> {
    let told = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let body = OpenBody { title: form.title.clone(), check: told(&form.check), severity: told(&form.severity) };
    match acts::open(&present, &doer, body).await {
        Ok(made) => Ok(acts::see(&format!("/incidents/{}", made.id))),
        Err(why) => new_sheet(&frame.refused("/incidents/new", why), &form),
    }
}

fn new_sheet(frame: &Frame, form: &ActForm) -> Answer<Response> {
    let (t, d) = (frame.t, frame.t.desk);
    let check =
        Field { label: d.which_check.into(), hint: d.which_check_what.into(), ..Field::text("check", &form.check) };
    let severities = severities(t, d.any).into_iter().skip(1).collect();
    let chosen = if form.severity.is_empty() { "major" } else { &form.severity };
    let severity =
        Field { label: d.severity.into(), input: Input::Select(severities), ..Field::text("severity", chosen) };
    let sheet = Sheet {
        title: d.new_incident.into(),
        intro: d.new_incident_what.into(),
        from: ("/incidents".into(), t.incidents.incidents.into()),
        action: "/incidents/new".into(),
        fields: vec![line("title", d.what_is_wrong, &form.title), severity, check],
        submit: d.new_incident,
        ..Sheet::default()
    };
    sheet.page(frame, Place::Incidents)
}

/// Every severity with a first choice for none of them.
pub(super) fn severities(t: &Texts, any: &str) -> Vec<super::parts::Choice> {
    let words = Severity::ALL.iter().rev().map(|one| choice(one.as_str(), &(t.incidents.severity)(one.as_str())));
    std::iter::once(choice("", any)).chain(words).collect()
}

/// `GET /incidents/{id}/{action}`: the form of an act that has one.
pub async fn act_page(
    State(present): State<Present>,
    frame: Frame,
    Path((id, action)): Path<(String, String)>,
) -> Answer<Response> {
    let found = incidents::one(present.app(), &id, clock::now()).await?;
    let form = match action.as_str() {
        "assign" => ActForm { to: found.incident.assignee.unwrap_or_default(), ..ActForm::default() },
        "post-mortem" => ActForm { text: found.post_mortem.unwrap_or_default(), ..ActForm::default() },
        _ => ActForm::default(),
    };
    let names = user_ids(&present);
    act_sheet(&frame, &id, &action, &form, &names)
}

fn user_ids(present: &Present) -> Vec<String> {
    present.app().book().objects().users.living().map(|(id, _)| id.to_owned()).collect()
}

fn act_sheet(frame: &Frame, id: &str, action: &str, form: &ActForm, users: &[String]) -> Answer<Response> {
    let (t, d) = (frame.t, frame.t.desk);
    let (title, intro, fields, submit) = match action {
        "assign" => {
            let hint =
                if users.is_empty() { d.assign_what.into() } else { format!("{} {}", users.join(", "), d.assign_what) };
            let to = Field { label: d.assign_to.into(), wide: true, hint, ..Field::text("to", &form.to) };
            (d.assign, "", vec![to], d.assign)
        }
        "post-mortem" => {
            let text = Field { input: Input::Lines(12), ..line("text", t.incidents.post_mortem, &form.text) };
            (d.write_post_mortem, d.post_mortem_what, vec![text], d.save)
        }
        "silence" => {
            let [lasts, until] = until_fields(&form.r#for, &form.until, t);
            (d.silence, d.silence_what, vec![line("reason", d.reason, &form.reason), lasts, until], d.silence)
        }
        other => return Err(Problem::not_found("action", other)),
    };
    let sheet = Sheet {
        title: format!("{title} · {id}"),
        intro: intro.into(),
        from: (format!("/incidents/{id}"), id.to_owned()),
        action: format!("/incidents/{id}/{action}"),
        fields,
        submit,
        ..Sheet::default()
    };
    sheet.page(frame, Place::Incidents)
}

/// `POST /incidents/{id}/{action}`: `ack`, `resolve`, `reopen`, `comment`, `assign`, `post-mortem`, `silence` or `retry` (a message); then the page again.
pub async fn act(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Path((id, action)): Path<(String, String)>,
    Form(form): Form<ActForm>,
) -> Answer<Response> {
    let own = format!("/incidents/{id}");
    match done(&present, &doer, &id, &action, &form).await {
        Ok(()) => Ok(acts::see(&own)),
        Err(why) if ["assign", "post-mortem", "silence"].contains(&action.as_str()) => {
            act_sheet(&frame.refused(own, why), &id, &action, &form, &user_ids(&present))
        }
        Err(why) => incident::show(&present, &frame.refused(own, why), &id, &form.text).await,
    }
}

async fn done(present: &Present, doer: &Doer, id: &str, action: &str, form: &ActForm) -> Answer<()> {
    let told = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let act = match action {
        "ack" => Act::Acknowledge { by: None },
        "resolve" => Act::Resolve { by: None },
        "reopen" => Act::Reopen { by: None },
        "comment" => Act::Comment { text: form.text.clone() },
        "assign" => Act::Assign { to: told(&form.to) },
        "post-mortem" => Act::PostMortem { text: form.text.clone() },
        "retry" => return acts::retry(present, doer, id, &form.step, &form.channel).await,
        "silence" => {
            let until = Until { r#for: form.r#for.clone(), until: form.until.clone() }.instant(clock::now())?;
            let about = incidents::one(present.app(), id, clock::now()).await?.incident;
            let (checks, agents) = (about.check.into_iter().collect(), about.agent.into_iter().collect());
            let body = SilenceBody { checks, agents, until, reason: form.reason.clone(), ..SilenceBody::default() };
            return acts::silence(present, doer, body).await;
        }
        _ => return Err(Problem::not_found("action", action)),
    };
    acts::incident(present, doer, id, act).await
}

impl<'a> List<'a> {
    fn of(
        found: &Found,
        summary: &SummaryView,
        query: &ListQuery,
        silent: bool,
        frame: &'a Frame,
        now: UtcMicros,
    ) -> Self {
        let (t, i, d) = (frame.t, frame.t.incidents, frame.t.desk);
        let kinds = IncidentKind::ALL.iter().map(|kind| choice(kind.as_str(), &(i.kind)(kind.as_str())));
        let kinds = std::iter::once(choice("", d.any)).chain(kinds).collect();
        let fields = vec![
            Field {
                label: d.severity.into(),
                input: Input::Select(severities(t, d.any)),
                ..Field::text("severity", &query.severity)
            },
            Field { label: d.kind.into(), input: Input::Select(kinds), ..Field::text("kind", &query.kind) },
            Field { label: t.check.into(), ..Field::text("check", &query.check) },
            Field { label: t.agent.into(), ..Field::text("agent", &query.agent) },
        ];
        let count = |number: usize| figure::count(number as u64);
        let first = query.from.parse().ok().filter(|first| !query.all() && *first < found.open.len()).unwrap_or(0);
        let shown = &found.open[first..found.open.len().min(first + SHOWN)];
        let last = first + shown.len();
        let at = |first: usize| format!("{}&from={first}", query.href("open"));
        let open_pager = (found.open.len() > shown.len()).then(|| Pager {
            text: (t.list.shown)(&count(first + 1), &count(last), &count(found.open.len())),
            previous: (first > 0).then(|| (at(first.saturating_sub(SHOWN)), t.list.previous)),
            next: (last < found.open.len()).then(|| (at(last), t.list.next)),
        });
        let chip = |state: &str, label: &str, number: usize| Chip {
            label: label.to_owned(),
            href: query.href(state),
            current: (state == "all") == query.all(),
            count: count(number),
            class: "",
        };
        let (open, over) = (found.open.len(), found.over_count);
        let older = query.place().is_some();
        let next = found.next.as_ref().map(|(at, id)| format!("{}&before={at}.{id}", query.href("all")));
        let pager = (older || next.is_some()).then(|| Pager {
            text: t.alerting.over.to_owned(),
            previous: older.then(|| (query.href("all"), d.newest)),
            next: next.map(|href| (href, t.access.older)),
        });
        Self {
            t,
            w: t.alerting,
            i,
            d,
            may_act: frame.may(Access::Respond),
            stats: stats(summary, query, t),
            states: Chips {
                label: t.alerting.state.into(),
                chips: vec![chip("open", d.only_open, open), chip("all", d.over_too, open + over)],
                tabs: true,
            },
            fields,
            all: query.all(),
            filtered: query.filters().iter().any(|(_, text)| !text.is_empty()),
            older,
            open: shown.iter().map(|one| Row::of(one, now, t)).collect(),
            over: found.over.iter().map(|one| Row::of(one, now, t)).collect(),
            over_count: count(over),
            open_pager,
            pager,
            silent,
            as_of: clock_text(UtcMicros(now.0 - now.0.rem_euclid(1_000_000))),
        }
    }
}

impl ListQuery {
    /// Whether those that are over are shown, too.
    fn all(&self) -> bool {
        self.state == "all"
    }

    /// The check and the agent that are named.
    fn subjects(&self, present: &Present) -> Answer<(Option<CheckNo>, Option<AgentNo>)> {
        let (check, agent) = (self.check.trim(), self.agent.trim());
        let book = present.app().book();
        let check = if check.is_empty() { None } else { Some(api::check_of(&book, check)?.number) };
        let agent = if agent.is_empty() { None } else { Some(api::agent_of(&book, agent)?) };
        Ok((check, agent))
    }

    /// The place that the page before ended with; `None` on the first one, and where it is none.
    fn place(&self) -> Option<(i64, String)> {
        let (at, id) = self.before.split_once('.').filter(|_| self.all())?;
        Some((at.parse().ok()?, id.to_owned()))
    }

    fn filters(&self) -> [(&'static str, &str); 4] {
        [("kind", &self.kind), ("severity", &self.severity), ("check", &self.check), ("agent", &self.agent)]
    }

    /// The first page of the list with these filters in another state.
    fn href(&self, state: &str) -> String {
        // Words of ours and ids need no escaping; anything else finds nothing.
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        let told = self.filters().into_iter().filter(|(_, text)| !text.is_empty() && plain(text));
        let told = told.map(|(name, text)| format!("&{name}={text}"));
        format!("/incidents?state={state}{}", told.collect::<String>())
    }
}

/// How long incidents took, with a way to those that are counted.
fn stats(summary: &SummaryView, query: &ListQuery, t: &Texts) -> Vec<Stat> {
    let d = t.desk;
    let counted = query.href("all");
    let time = |seconds: Option<f64>| {
        seconds.map_or_else(|| d.none_yet.to_owned(), |seconds| figure::length(seconds, t.slo.day))
    };
    let critical = |seconds: Option<f64>| {
        vec![StatLine {
            text: d.of_critical.into(),
            value: time(seconds),
            href: "/incidents?state=all&severity=critical".into(),
        }]
    };
    let (all, worst) = (&summary.all, &summary.critical);
    vec![
        Stat {
            title: d.mtta.into(),
            value: time(all.mtta_seconds),
            measured: all.mtta_seconds.is_some(),
            tone: "plain",
            note: (d.of_acknowledged)(all.acknowledged),
            href: counted.clone(),
            lines: critical(worst.mtta_seconds),
            ..Stat::default()
        },
        Stat {
            title: d.mttr.into(),
            value: time(all.mttr_seconds),
            measured: all.mttr_seconds.is_some(),
            tone: "plain",
            note: (d.of_resolved)(all.resolved),
            href: counted.clone(),
            lines: critical(worst.mttr_seconds),
            ..Stat::default()
        },
        Stat {
            title: d.opened_30.into(),
            value: figure::count(u64::from(all.opened)),
            measured: true,
            tone: "plain",
            note: d.in_30.into(),
            href: counted,
            lines: vec![StatLine {
                text: d.of_critical.into(),
                value: figure::count(u64::from(worst.opened)),
                href: "/incidents?state=all&severity=critical".into(),
            }],
            ..Stat::default()
        },
    ]
}

impl Row {
    pub(super) fn of(one: &IncidentView, now: UtcMicros, t: &Texts) -> Self {
        let w = t.incidents;
        let state = IncidentState::parse(&one.state).unwrap_or(IncidentState::Open);
        let severity = Severity::parse(&one.severity).unwrap_or(Severity::Info);
        let (about, link) = match (&one.check, &one.agent, &one.slo, &one.title) {
            (Some(check), _, _, None) => (check.clone(), format!("/checks/{check}")),
            (_, Some(agent), _, None) => (agent.clone(), format!("/agents/{agent}")),
            (_, _, Some(slo), None) => (slo.clone(), "/slos".to_owned()),
            (check, _, _, title) => {
                let link = check.as_ref().map(|check| format!("/checks/{check}")).unwrap_or_default();
                (title.clone().unwrap_or_default(), link)
            }
        };
        let notes = [
            one.flapping.then(|| w.flapping.to_owned()),
            (one.reopened > 0).then(|| (w.reopened)(one.reopened)),
            one.held.as_ref().map(|held| (w.held)(&held.reason)),
            one.acknowledged_by
                .as_ref()
                .filter(|_| one.state == "acknowledged")
                .map(|by| format!("{} {}", t.by, who(by, w))),
            one.assignee.as_ref().map(|who| format!("{}{}{who}", w.assignee, t.colon)),
        ];
        Self {
            id: one.id.clone(),
            class: class_of_incident(state, severity),
            state: (w.state)(&one.state),
            severity: (w.severity)(&one.severity),
            severity_class: format!("severity {severity}"),
            kind: (w.kind)(&one.kind),
            about,
            link,
            since: moment(&one.since, now),
            length: figure::length(one.duration_seconds, t.slo.day),
            notes: notes.into_iter().flatten().collect(),
            rank: one.rank.as_ref().map(|rank| (t.impact.rank_of)(rank.position)).unwrap_or_default(),
            rank_why: one.rank.as_ref().map(|rank| t.of_both(&rank.reason).to_owned()).unwrap_or_default(),
        }
    }
}

/// Who did something, for people.
pub(super) fn who(author: &str, i: &IncidentTexts) -> String {
    let who = (i.author)(author);
    who.strip_prefix("collector:").unwrap_or(&who).to_owned()
}

/// An instant of ours for people, to the second.
pub(in crate::present) fn moment(at: &str, now: UtcMicros) -> String {
    instant::parse(at, now)
        .map_or_else(|_| at.to_owned(), |at| clock_text(UtcMicros(at.0 - at.0.rem_euclid(1_000_000))))
}
