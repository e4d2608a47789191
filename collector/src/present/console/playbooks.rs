//! Playbooks: the library with what its runs come to, one playbook, one run with its steps, and the offer on the pages of incidents and findings.

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Path, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::insight::Kind;
use sitepulse_model::playbook::run::ITSELF;
use sitepulse_model::time::UtcMicros;

use super::acts;
use super::broken_template;
use super::frame::{Frame, Place};
use super::incidents::{moment, who};
use crate::app::Access;
use crate::playbook::acts::Asked as About;
use crate::present::api::playbooks::entry_of;
use crate::present::door::Caller;
use crate::present::dto::impact::ReasonView;
use crate::present::dto::playbooks::{
    NamedRateView, OffersView, PlaybookRunDetailView, PlaybookRunView, PlaybookView, RateView, RunAct, RunStepView,
    TeamRateView,
};
use crate::present::problem::{Answer, Problem};
use crate::present::text::playbooks::PlaybookTexts;
use crate::present::text::{Language, Texts};
use crate::present::{Present, figure, playbooks};
use crate::store::playbooks::Asked;

/// Most runs of a list on a page: the newest.
const RUNS_SHOWN: usize = 20;
/// The topics that change these pages.
const LIVE: Option<&str> = Some("playbook incident check agent");

#[derive(Template)]
#[template(path = "playbooks.html")]
struct Library<'a> {
    t: &'a Texts,
    p: &'a PlaybookTexts,
    running: Vec<RunRow>,
    books: Vec<BookRow>,
    teams: Vec<TeamRow>,
    people: Vec<PersonRow>,
    recent: Vec<RunRow>,
}

#[derive(Template)]
#[template(path = "playbook.html")]
struct One<'a> {
    t: &'a Texts,
    p: &'a PlaybookTexts,
    book: BookRow,
    steps: Vec<Plain>,
    may_act: bool,
    check: String,
    runs: Vec<RunRow>,
}

#[derive(Template)]
#[template(path = "playbook_run.html")]
struct RunPage<'a> {
    t: &'a Texts,
    p: &'a PlaybookTexts,
    run: RunRow,
    running: bool,
    may_act: bool,
    open: u64,
    finish_when: String,
    steps: Vec<StepCard>,
    history: Vec<Line>,
    /// A note that was refused, and a reason to abandon it: nothing that was typed is lost.
    said: String,
    why: String,
}

#[derive(Template)]
#[template(path = "playbook_offer.html")]
struct Offer<'a> {
    p: &'a PlaybookTexts,
    /// The id of the section: one a page.
    id: &'static str,
    field: &'static str,
    about: String,
    may_act: bool,
    best: Option<Best>,
    others: Vec<Best>,
    others_words: String,
    runs: Vec<RunRow>,
    open: bool,
}

struct Best {
    id: String,
    title: String,
    terms: String,
    built_in: bool,
}

struct BookRow {
    id: String,
    title: String,
    source: String,
    kinds: Vec<String>,
    only: Vec<String>,
    steps: String,
    minutes: String,
    rate: Rate,
}

/// What runs come to, in words.
struct Rate {
    completion: String,
    measured: bool,
    runs: String,
    median: String,
    against: String,
}

struct PersonRow {
    name: String,
    rate: Rate,
}

struct TeamRow {
    name: String,
    rate: Rate,
    /// By playbook: its title and how many of its runs were carried through.
    playbooks: Vec<(String, String)>,
}

struct RunRow {
    id: String,
    title: String,
    playbook: String,
    class: &'static str,
    state: &'static str,
    about: &'static str,
    about_id: String,
    about_link: String,
    check: String,
    started: String,
    by: String,
    by_words: String,
    took: String,
    /// How long it takes or took, and how long it should, apart.
    length: String,
    estimate: String,
    progress: String,
    /// Steps that are marked, and all: for the bar.
    marked: u64,
    steps: u64,
}

struct Plain {
    title: String,
    text: String,
    terms: Vec<String>,
    command: String,
    link: String,
    waits: String,
}

struct StepCard {
    id: String,
    number: usize,
    title: String,
    text: String,
    terms: Vec<String>,
    class: &'static str,
    mark: &'static str,
    open: bool,
    marked: String,
    seen: String,
    reason: String,
    link: String,
    link_away: bool,
    command: String,
    fill_in: String,
    waits: String,
    /// A reason to skip it that was refused.
    why: String,
}

struct Line {
    at: String,
    who: String,
    what: String,
    detail: String,
    note: bool,
}

/// What a form says.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct RunForm {
    step: String,
    reason: String,
    text: String,
}

/// What a playbook is started about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StartForm {
    incident: String,
    finding: String,
    check: String,
}

/// `GET /playbooks`
pub async fn playbooks_page(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    let (now, t) = (clock::now(), frame.t);
    let books = playbooks::library(&present, now).await?;
    let rates = playbooks::rates(&present, playbooks::period(now)).await?;
    let asked = |ended| Asked { ended, limit: RUNS_SHOWN, ..Asked::default() };
    let running = playbooks::runs(&present, asked(false), None, now).await?;
    let recent = playbooks::runs(&present, asked(true), None, now).await?;
    let over = recent.into_iter().filter(|(_, run)| run.state != "running");
    let content = Library {
        t,
        p: t.playbooks,
        running: running.iter().map(|(_, run)| RunRow::of(run, &frame, now)).collect(),
        books: books.iter().map(|book| BookRow::of(book, &frame)).collect(),
        teams: rates.teams.iter().map(|one| TeamRow::of(one, &books, &frame)).collect(),
        people: rates.people.iter().map(|one| PersonRow::of(one, t)).collect(),
        recent: over.map(|(_, run)| RunRow::of(&run, &frame, now)).collect(),
    };
    frame.page(Place::Playbooks, t.playbooks.title, Some("playbook objects"), &content)
}

/// `GET /playbooks/{id}`
pub async fn playbook_page(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    show_book(&present, &frame, &id, "").await
}

async fn show_book(present: &Present, frame: &Frame, id: &str, check: &str) -> Answer<Response> {
    let (now, t) = (clock::now(), frame.t);
    let found = playbooks::one(present, id, now).await?;
    let asked = Asked { ended: true, playbook: Some(id.to_owned()), limit: RUNS_SHOWN, ..Asked::default() };
    let runs = playbooks::runs(present, asked, None, now).await?;
    let content = One {
        t,
        p: t.playbooks,
        book: BookRow::of(&found, frame),
        steps: found.steps.iter().map(|step| Plain::of(step, frame)).collect(),
        may_act: frame.may(Access::Respond),
        check: check.to_owned(),
        runs: runs.iter().map(|(_, run)| RunRow::of(run, frame, now)).collect(),
    };
    let title = said(&found.title, frame);
    frame.page(Place::Playbooks, &title, Some("playbook objects"), &content)
}

/// `POST /playbooks/{id}/start`: then the run's page.
pub async fn start_playbook(
    State(present): State<Present>,
    frame: Frame,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Form(form): Form<StartForm>,
) -> Answer<Response> {
    let about = match &form {
        StartForm { incident, .. } if !incident.is_empty() => About::Incident(incident.clone()),
        StartForm { finding, .. } if !finding.is_empty() => About::Finding(finding.clone()),
        StartForm { check, .. } => About::Check(check.trim().to_owned()),
    };
    match present.app().start_playbook(&id, about, &caller.author, clock::now()).await {
        Ok(run) => Ok(acts::see(&format!("/playbook-runs/{}", run.head.id))),
        Err(why) => {
            let own = format!("/playbooks/{id}");
            show_book(&present, &frame.refused(own, why.into()), &id, &form.check).await
        }
    }
}

/// `GET /playbook-runs/{id}`
pub async fn playbook_run_page(
    State(present): State<Present>,
    frame: Frame,
    Path(id): Path<String>,
) -> Answer<Response> {
    show_run(&present, &frame, &id, &RunForm::default()).await
}

/// `form`: what was typed and refused.
async fn show_run(present: &Present, frame: &Frame, id: &str, form: &RunForm) -> Answer<Response> {
    let (now, t) = (clock::now(), frame.t);
    let found = playbooks::run(present.app(), id, now).await?;
    let content = RunPage::of(&found, frame, form, now);
    let title = format!("{} · {}", t.playbooks.run, said(&found.run.title, frame));
    frame.page(Place::Playbooks, &title, LIVE, &content)
}

/// `POST /playbook-runs/{id}/{action}`: `tick`, `skip`, `undo`, `note`, `finish` or `abandon`; then the page again.
pub async fn act_on_playbook(
    State(present): State<Present>,
    frame: Frame,
    Extension(caller): Extension<Caller>,
    Path((id, action)): Path<(String, String)>,
    Form(form): Form<RunForm>,
) -> Answer<Response> {
    let RunForm { step, reason, text } = form.clone();
    let act = match action.as_str() {
        "tick" => RunAct::Tick { step },
        "skip" => RunAct::Skip { step, reason },
        "undo" => RunAct::Undo { step },
        "note" => RunAct::Note { text },
        "finish" => RunAct::Finish,
        "abandon" => RunAct::Abandon { reason },
        other => return Err(Problem::not_found("action", other)),
    };
    let own = format!("/playbook-runs/{id}");
    match present.app().act_on_playbook(&id, entry_of(act), &caller.author, clock::now()).await {
        Ok(_) => Ok(acts::see(&own)),
        Err(why) => show_run(&present, &frame.refused(own, why.into()), &id, &form).await,
    }
}

/// The offer on the page of an incident or a finding, rendered. `open`: whether something is to be done; else only its runs are told.
///
/// # Errors
/// When it is not there, or the store cannot be read.
pub(super) async fn offer(present: &Present, frame: &Frame, about: About, open: bool) -> Answer<String> {
    let now = clock::now();
    let found = playbooks::offers(present, &about, now).await?;
    let field = match about {
        About::Incident(_) => "incident",
        About::Finding(_) => "finding",
        About::Check(_) => "check",
    };
    Offer::of(&found, frame, field, open, now).render().map_err(|_| broken_template())
}

impl<'a> Offer<'a> {
    fn of(found: &OffersView, frame: &'a Frame, field: &'static str, open: bool, now: UtcMicros) -> Self {
        let p = frame.t.playbooks;
        let started = |id: &str| found.runs.iter().any(|run| run.playbook == id && run.state == "running");
        let mut offers = found.offers.iter().filter(|one| open && !started(&one.playbook)).map(|one| Best {
            id: one.playbook.clone(),
            title: said(&one.title, frame),
            terms: format!("{} · {}", (p.step_count)(one.steps), (p.minutes)(one.minutes.into())),
            built_in: one.built_in,
        });
        // While one is under way the others stand back.
        let under_way = found.runs.iter().any(|run| run.state == "running");
        let best = if under_way { None } else { offers.next() };
        let others: Vec<Best> = offers.collect();
        Self {
            p,
            id: "playbook-offer",
            field,
            about: found.id.clone(),
            may_act: frame.may(Access::Respond),
            others_words: (p.others)(others.len()),
            best,
            others,
            runs: found.runs.iter().map(|run| RunRow::of(run, frame, now)).collect(),
            open,
        }
    }
}

/// A text in the reader's language.
fn said(words: &ReasonView, frame: &Frame) -> String {
    match frame.lang {
        Language::English => words.en.clone(),
        Language::French => words.fr.clone(),
    }
}

fn said_if(words: Option<&ReasonView>, frame: &Frame) -> String {
    words.map(|words| said(words, frame)).unwrap_or_default()
}

fn percent(ratio: f64, t: &Texts) -> String {
    (t.number)(format!("{:.0} %", ratio * 100.0))
}

impl Rate {
    fn of(rate: &RateView, t: &Texts) -> Self {
        let p = t.playbooks;
        // Where some are under way and none ended there is nothing to tell yet, and more than no run.
        let none = if rate.runs == 0 { p.no_runs } else { "–" };
        Self {
            completion: rate.completion.map_or_else(|| none.to_owned(), |ratio| percent(ratio, t)),
            measured: rate.completion.is_some(),
            runs: if rate.runs > 0 { (p.runs_of)(rate.runs) } else { String::new() },
            median: rate.median_seconds.map_or_else(String::new, |seconds| figure::length(seconds, t.slo.day)),
            against: rate
                .against_estimate
                .map_or_else(String::new, |ratio| (p.against)(&(t.number)(format!("{ratio:.1}")))),
        }
    }
}

impl PersonRow {
    fn of(one: &NamedRateView, t: &Texts) -> Self {
        Self { name: who(&one.name, t.incidents), rate: Rate::of(&one.rate, t) }
    }
}

impl TeamRow {
    fn of(one: &TeamRateView, books: &[PlaybookView], frame: &Frame) -> Self {
        let p = frame.t.playbooks;
        let title = |id: &str| {
            let book = books.iter().find(|book| book.id == id);
            book.map_or_else(|| id.to_owned(), |book| said(&book.title, frame))
        };
        let carried = |rate: &RateView| {
            let ended = rate.finished + rate.abandoned;
            if ended == 0 { (p.runs_of)(rate.runs) } else { (p.carried)(rate.finished, ended) }
        };
        Self {
            name: one.team.clone().unwrap_or_else(|| p.no_team.to_owned()),
            rate: Rate::of(&one.rate, frame.t),
            playbooks: one.playbooks.iter().map(|of| (title(&of.name), carried(&of.rate))).collect(),
        }
    }
}

impl BookRow {
    fn of(book: &PlaybookView, frame: &Frame) -> Self {
        let t = frame.t;
        let p = t.playbooks;
        let incidents = book.incidents.iter().map(|kind| (t.incidents.kind)(kind));
        let findings = book
            .findings
            .iter()
            .map(|kind| Kind::parse(kind).map_or_else(|| kind.clone(), |kind| (t.findings.kind)(kind).to_owned()));
        let only = [&book.checks, &book.groups, &book.tags, &book.classes, &book.check_kinds];
        Self {
            id: book.id.clone(),
            title: said(&book.title, frame),
            source: if book.built_in { p.built_in.to_owned() } else { (p.version)(&book.version) },
            kinds: incidents.chain(findings).collect(),
            only: only.into_iter().flatten().cloned().collect(),
            steps: (p.step_count)(book.steps.len() as u64),
            minutes: (p.minutes)(book.minutes.into()),
            rate: Rate::of(&book.rate, t),
        }
    }
}

impl RunRow {
    fn of(run: &PlaybookRunView, frame: &Frame, now: UtcMicros) -> Self {
        let t = frame.t;
        let p = t.playbooks;
        let marked = run.done + run.skipped;
        let took = figure::length(run.took_seconds, t.slo.day);
        Self {
            id: run.id.clone(),
            title: said(&run.title, frame),
            playbook: run.playbook.clone(),
            class: match run.state.as_str() {
                "running" => "maintenance",
                "finished" => "up",
                _ => "unknown",
            },
            state: (p.state)(&run.state),
            about: (p.about)(&run.about),
            about_id: run.about_id.clone(),
            about_link: match run.about.as_str() {
                "incident" => format!("/incidents/{}", run.about_id),
                "finding" => format!("/findings/{}", run.about_id),
                _ => format!("/checks/{}", run.about_id),
            },
            check: run.check.clone().filter(|check| *check != run.about_id).unwrap_or_default(),
            started: moment(&run.started_at, now),
            by: who(&run.started_by, t.incidents),
            by_words: (p.started_by)(&who(&run.started_by, t.incidents)),
            took: (p.of_estimate)(&took, run.estimate_minutes),
            length: took,
            estimate: (p.minutes)(run.estimate_minutes.into()),
            progress: (p.progress)(marked, run.steps),
            marked,
            steps: run.steps.max(1),
        }
    }
}

impl Plain {
    fn of(step: &crate::present::dto::playbooks::PlaybookStepView, frame: &Frame) -> Self {
        let p = frame.t.playbooks;
        let condition = step
            .done_when
            .as_deref()
            .and_then(|text| sitepulse_model::playbook::condition::Condition::parse(text).ok());
        Self {
            title: said(&step.title, frame),
            text: said_if(step.text.as_ref(), frame),
            terms: terms(step.role.as_ref(), step.minutes, frame),
            command: step.command.clone().unwrap_or_default(),
            link: step.link.clone().unwrap_or_default(),
            waits: condition.map_or_else(String::new, |condition| (p.waits)(&(p.condition)(&condition))),
        }
    }
}

fn terms(role: Option<&ReasonView>, minutes: u32, frame: &Frame) -> Vec<String> {
    let role = role.map(|role| said(role, frame));
    role.into_iter().chain([(frame.t.playbooks.minutes)(minutes.into())]).collect()
}

impl<'a> RunPage<'a> {
    fn of(found: &PlaybookRunDetailView, frame: &'a Frame, form: &RunForm, now: UtcMicros) -> Self {
        let p = frame.t.playbooks;
        let running = found.run.state == "running";
        let open = found.run.steps - found.run.done - found.run.skipped;
        let numbered = (1..).zip(&found.marks);
        let title = |id: &str| {
            let mark = found.marks.iter().find(|mark| mark.step.id == id);
            mark.map(|mark| said(&mark.step.title, frame)).unwrap_or_default()
        };
        let line = |entry: &crate::present::dto::playbooks::RunEntryView| Line {
            at: moment(&entry.at, now),
            who: author(&entry.by, frame.t),
            what: (p.entry)(&entry.what, &title(entry.step.as_deref().unwrap_or_default())),
            detail: match &entry.text {
                // The one text that nobody wrote.
                Some(_) if entry.by == ITSELF => p.idle.to_owned(),
                Some(text) => text.clone(),
                None => said_if(entry.seen.as_ref(), frame),
            },
            note: entry.what == "noted",
        };
        Self {
            t: frame.t,
            p,
            run: RunRow::of(&found.run, frame, now),
            running,
            may_act: running && frame.may(Access::Respond),
            open,
            finish_when: (p.finish_when)(open),
            steps: numbered.map(|(number, step)| StepCard::of(number, step, form, frame, now)).collect(),
            history: found.entries.iter().rev().map(line).collect(),
            said: form.text.clone(),
            // Who skips names the step.
            why: if form.step.is_empty() { form.reason.clone() } else { String::new() },
        }
    }
}

fn author(by: &str, t: &Texts) -> String {
    if by == ITSELF { t.playbooks.nobody.to_owned() } else { who(by, t.incidents) }
}

impl StepCard {
    fn of(number: usize, mark: &RunStepView, form: &RunForm, frame: &Frame, now: UtcMicros) -> Self {
        let t = frame.t;
        let (p, step) = (t.playbooks, &mark.step);
        let open = mark.state == "open";
        let marked = match (&mark.at, &mark.by) {
            (Some(at), Some(by)) if mark.seen.is_some() && by == ITSELF => {
                format!("{} · {}", p.by_itself, moment(at, now))
            }
            (Some(at), Some(by)) => format!("{} · {}", author(by, t), moment(at, now)),
            (Some(_) | None, _) => String::new(),
        };
        let link = step.link.clone().unwrap_or_default();
        Self {
            id: step.id.clone(),
            number,
            title: said(&step.title, frame),
            text: said_if(step.text.as_ref(), frame),
            terms: terms(step.role.as_ref(), step.minutes, frame),
            class: match mark.state.as_str() {
                "done" => "up",
                "skipped" => "maintenance",
                _ => "unknown",
            },
            mark: match mark.state.as_str() {
                "done" => p.done,
                "skipped" => p.skipped,
                _ => p.open_step,
            },
            open,
            marked,
            seen: said_if(mark.seen.as_ref(), frame),
            reason: mark.reason.clone().unwrap_or_default(),
            link_away: link.starts_with("https://"),
            link,
            command: step.command.clone().unwrap_or_default(),
            fill_in: if mark.missing.is_empty() {
                String::new()
            } else {
                (p.fill_in)(&mark.missing.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>().join(", "))
            },
            waits: mark
                .waits_for
                .as_ref()
                .filter(|_| open)
                .map_or_else(String::new, |waits| (p.waits)(&said(waits, frame))),
            why: if form.step == step.id { form.reason.clone() } else { String::new() },
        }
    }
}
