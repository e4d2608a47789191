//! From playbooks and their runs to the shapes that the API, the console and the command line show.
//!
//! For other pages: [`offers`] is what to do about an incident, a finding or a check, and what is under way; [`rates`] is what runs come to in a period.

use std::collections::BTreeMap;

use sitepulse_daemon::instant;
use sitepulse_model::incident::IncidentId;
use sitepulse_model::playbook::condition::{Condition, Seen};
use sitepulse_model::playbook::fill;
use sitepulse_model::playbook::rates::{Outcome, Rates, rates as rates_of};
use sitepulse_model::playbook::run::{Entry, Mark, Occasion, Run, Told};
use sitepulse_model::playbook::{self as model, Playbook, Step};
use sitepulse_model::time::{Span, UtcMicros};

use crate::app::App;
use crate::playbook::acts::Asked as About;
use crate::playbook::facts::{self, Labels};
use crate::playbook::{self, Offered, finding};
use crate::present::Present;
use crate::present::dto::impact::ReasonView;
use crate::present::dto::playbooks::{
    NamedRateView, OfferView, OffersView, PlaybookRunDetailView, PlaybookRunView, PlaybookStepView, PlaybookView,
    RateView, RatesView, RunEntryView, RunStepView, TeamRateView,
};
use crate::present::problem::{Answer, Problem};
use crate::present::text::playbooks::{EN, FR};
use crate::store::incidents;
use crate::store::playbooks::{self as stored, Asked};

/// How far back rates look where nothing is said, in microseconds: 90 d.
pub const PERIOD_US: i64 = 90 * 86_400_000_000;
/// Most runs that are told with what they are about.
const RUNS_OF_MAX: usize = 20;

/// What the runs that were started in a period come to: all of them, by playbook, by team, and by who started them.
///
/// # Errors
/// When the store cannot be read.
pub async fn rates(present: &Present, period: Span) -> Answer<RatesView> {
    let all = present.app().read_store(move |tables| stored::outcomes(tables, period)).await?;
    let mut playbooks: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
    let mut people: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
    let mut teams: BTreeMap<Option<String>, BTreeMap<String, Vec<Outcome>>> = BTreeMap::new();
    let whole = rates_of(all.iter().map(|one| one.outcome), period);
    let book = present.app().book();
    for one in all {
        let team = playbook::team_of(book.objects(), &one.by, one.outcome.started_at);
        teams.entry(team).or_default().entry(one.playbook.clone()).or_default().push(one.outcome);
        playbooks.entry(one.playbook).or_default().push(one.outcome);
        people.entry(one.by).or_default().push(one.outcome);
    }
    let named = |of: BTreeMap<String, Vec<Outcome>>| -> Vec<NamedRateView> {
        let view = |(name, outcomes)| NamedRateView { name, rate: rate_view(&rates_of(outcomes, period)) };
        of.into_iter().map(view).collect()
    };
    drop(book);
    let nobody = teams.remove_entry(&None);
    let teams = teams.into_iter().chain(nobody).map(|(team, playbooks)| TeamRateView {
        team,
        rate: rate_view(&rates_of(playbooks.values().flatten().copied(), period)),
        playbooks: named(playbooks),
    });
    Ok(RatesView {
        from: instant::format(period.from),
        to: instant::format(period.to),
        all: rate_view(&whole),
        teams: teams.collect(),
        playbooks: named(playbooks),
        people: named(people),
    })
}

/// The period of rates where nothing is said.
pub fn period(now: UtcMicros) -> Span {
    Span::new(now.plus_us(-PERIOD_US), now.plus_us(1))
}

fn rate_view(rates: &Rates) -> RateView {
    RateView {
        runs: rates.runs as u64,
        running: rates.running as u64,
        finished: rates.finished as u64,
        abandoned: rates.abandoned as u64,
        completion: rates.completion,
        steps_done: rates.steps_done,
        by_itself: rates.by_itself,
        median_seconds: rates.median_us.map(|us| us / 1e6),
        against_estimate: rates.against_estimate,
    }
}

/// Every playbook with what its runs come to, own ones first.
///
/// # Errors
/// When the store cannot be read.
pub async fn library(present: &Present, now: UtcMicros) -> Answer<Vec<PlaybookView>> {
    let all = playbook::all(present.app().book().objects());
    let rates = rates(present, period(now)).await?;
    Ok(all.iter().map(|offered| playbook_view(offered, &rates)).collect())
}

/// One of them.
///
/// # Errors
/// When there is none, or the store cannot be read.
pub async fn one(present: &Present, id: &str, now: UtcMicros) -> Answer<PlaybookView> {
    let found = playbook::one(present.app().book().objects(), id);
    let found = found.ok_or_else(|| Problem::not_found("playbook", id))?;
    Ok(playbook_view(&found, &rates(present, period(now)).await?))
}

/// What to do about an incident, a finding or a check, and the runs about it: for those pages.
///
/// # Errors
/// When it is not there, or the store cannot be read.
pub async fn offers(present: &Present, about: &About, now: UtcMicros) -> Answer<OffersView> {
    let asked = about.clone();
    let occasion = match about {
        About::Incident(id) => ("incident", id.clone()),
        About::Finding(id) => ("finding", id.clone()),
        About::Check(id) => ("check", id.clone()),
    };
    let question = Asked { ended: true, occasion: Some(occasion.clone()), limit: RUNS_OF_MAX, ..Asked::default() };
    let (standing, finding, runs) = present
        .app()
        .read_store(move |tables| {
            let (mut standing, mut found) = (None, None);
            match &asked {
                About::Incident(id) => standing = incidents::one(tables, &IncidentId(id.clone()))?,
                About::Finding(id) => found = finding::find(tables, id)?,
                About::Check(_) => {}
            }
            Ok((standing, found, stored::page(tables, &question, None)?))
        })
        .await?;
    let book = present.app().book();
    let (trouble, names) = match about {
        About::Incident(id) => {
            let standing = standing.ok_or_else(|| Problem::not_found("incident", id))?;
            let (trouble, names) = facts::names_of_incident(&book, &standing, now);
            (Some(trouble), names)
        }
        About::Finding(id) => {
            let finding = finding.ok_or_else(|| Problem::not_found("finding", id))?;
            let (trouble, names) = facts::names_of_finding(&book, id, &finding, now);
            (Some(trouble), names)
        }
        About::Check(id) => {
            let names = facts::names(&book, Some(id), None, now);
            if names.check.is_none() {
                return Err(Problem::not_found("check", id));
            }
            (None, names)
        }
    };
    let labels = Labels::of(&book, names.check.as_deref());
    let own: Vec<&Playbook> = book.objects().playbooks.living().map(|(_, revised)| &revised.body).collect();
    let hidden = |book: &Playbook| own.iter().any(|one| one.id == book.id);
    let built_in: Vec<Playbook> = playbook::built_in().iter().filter(|book| !hidden(book)).cloned().collect();
    let offers = match trouble {
        Some(trouble) => labels.with(|about| {
            let found = model::offers(own.iter().copied(), &built_in, trouble, about);
            found.into_iter().map(|(book, is_built_in)| offer_view(book, is_built_in)).collect()
        }),
        None => Vec::new(),
    };
    let runs = runs.iter().map(|run| run_view(run, now)).collect();
    Ok(OffersView { about: occasion.0.to_owned(), id: occasion.1, offers, runs })
}

fn offer_view(book: &Playbook, built_in: bool) -> OfferView {
    OfferView {
        playbook: book.id.clone(),
        built_in,
        title: words(&book.title, book.title_fr.as_deref()),
        steps: book.steps.len() as u64,
        minutes: book.minutes(),
    }
}

/// A page of runs, the newest first, each with its place in the list.
///
/// # Errors
/// When the store cannot be read.
pub async fn runs(
    present: &Present,
    asked: Asked,
    after: Option<(i64, String)>,
    now: UtcMicros,
) -> Answer<Vec<((i64, String), PlaybookRunView)>> {
    let found = present.app().read_store(move |tables| stored::page(tables, &asked, after.as_ref())).await?;
    Ok(found.iter().map(|run| ((run.head.started_at, run.head.id.clone()), run_view(run, now))).collect())
}

/// A run with all that belongs to it.
///
/// # Errors
/// When there is none, or the store cannot be read.
pub async fn run(app: &App, id: &str, now: UtcMicros) -> Answer<PlaybookRunDetailView> {
    let asked = id.to_owned();
    let found = app.read_store(move |tables| stored::one(tables, &asked)).await?;
    Ok(detail_view(&found.ok_or_else(|| Problem::not_found("run", id))?, now))
}

/// A text in both languages; the English one where nobody translated it.
fn words(english: &str, french: Option<&str>) -> ReasonView {
    ReasonView { en: english.to_owned(), fr: french.unwrap_or(english).to_owned() }
}

fn playbook_view(offered: &Offered, rates: &RatesView) -> PlaybookView {
    let Playbook { id, title, title_fr, incidents, findings, checks, groups, tags, classes, check_kinds, steps } =
        offered.body.clone();
    let rate = rates.playbooks.iter().find(|one| one.name == id).map(|one| one.rate.clone());
    PlaybookView {
        version: offered.version.clone(),
        built_in: offered.built_in,
        title: words(&title, title_fr.as_deref()),
        minutes: offered.body.minutes(),
        steps: steps.iter().map(step_view).collect(),
        rate: rate.unwrap_or_default(),
        id,
        incidents,
        findings,
        checks,
        groups,
        tags,
        classes,
        check_kinds,
    }
}

fn step_view(step: &Step) -> PlaybookStepView {
    PlaybookStepView {
        id: step.id.clone(),
        title: words(&step.title, step.title_fr.as_deref()),
        text: step.text.as_deref().map(|text| words(text, step.text_fr.as_deref())),
        minutes: step.minutes,
        role: step.role.as_deref().map(|role| words(role, step.role_fr.as_deref())),
        link: step.link.clone(),
        command: step.command.clone(),
        done_when: step.done_when.clone(),
    }
}

/// A run as lists tell it.
pub fn run_view(run: &Run, now: UtcMicros) -> PlaybookRunView {
    let counts = run.counts();
    let head = &run.head;
    let kind = match &head.occasion {
        Occasion::Incident { kind, .. } => Some(kind.clone()),
        Occasion::Finding { kind, .. } => Some(kind.as_str().to_owned()),
        Occasion::Check { .. } => None,
    };
    PlaybookRunView {
        id: head.id.clone(),
        playbook: head.playbook.clone(),
        version: head.version.clone(),
        title: words(&head.title, head.title_fr.as_deref()),
        about: head.occasion.word().to_owned(),
        about_id: head.occasion.id().to_owned(),
        kind,
        check: head.names.check.clone(),
        state: run.state.as_str().to_owned(),
        started_at: instant::format(UtcMicros(head.started_at)),
        started_by: head.started_by.clone(),
        ended_at: run.ended_at().map(instant::format),
        steps: counts.steps as u64,
        done: counts.done as u64,
        by_itself: counts.by_itself as u64,
        skipped: counts.skipped as u64,
        took_seconds: run.took_us(now) as f64 / 1e6,
        estimate_minutes: run.estimate_minutes(),
    }
}

/// A run with all that belongs to it.
pub fn detail_view(run: &Run, now: UtcMicros) -> PlaybookRunDetailView {
    let marks = run.head.steps.iter().zip(&run.marks).map(|(step, mark)| run_step(run, step, mark)).collect();
    PlaybookRunDetailView { run: run_view(run, now), marks, entries: run.entries.iter().map(entry_view).collect() }
}

fn run_step(run: &Run, step: &Step, mark: &Mark) -> RunStepView {
    let names = &run.head.names;
    let link = step.link.as_deref().map(|link| fill::link(link, names));
    let command = step.command.as_deref().map(|command| fill::command(command, names));
    let mut view = RunStepView {
        missing: command.as_ref().map(|(_, missing)| missing.clone()).unwrap_or_default(),
        step: PlaybookStepView {
            // A page of something that nobody knows is none.
            link: link.filter(|(_, missing)| missing.is_empty()).map(|(link, _)| link),
            command: command.map(|(command, _)| command),
            ..step_view(step)
        },
        waits_for: step.condition().map(|condition| condition_words(&condition)),
        state: "open".to_owned(),
        at: mark.at().map(instant::format),
        by: None,
        reason: None,
        seen: None,
    };
    match mark {
        Mark::Open => {}
        Mark::Done { by, seen, .. } => {
            "done".clone_into(&mut view.state);
            view.by = Some(by.clone());
            view.seen = seen.as_ref().map(seen_words);
        }
        Mark::Skipped { by, reason, .. } => {
            "skipped".clone_into(&mut view.state);
            view.by = Some(by.clone());
            view.reason = Some(reason.clone());
        }
    }
    view
}

fn entry_view(told: &Told) -> RunEntryView {
    let (what, step, text, seen) = match &told.entry {
        Entry::Done { step, seen } => ("done", Some(step), None, seen.as_ref()),
        Entry::Skipped { step, reason } => ("skipped", Some(step), Some(reason), None),
        Entry::Undone { step } => ("undone", Some(step), None, None),
        Entry::Noted { text } => ("noted", None, Some(text), None),
        Entry::Finished => ("finished", None, None, None),
        Entry::Abandoned { reason } => ("abandoned", None, Some(reason), None),
    };
    RunEntryView {
        at: instant::format(told.at),
        by: told.by.clone(),
        what: what.to_owned(),
        step: step.cloned(),
        text: text.cloned(),
        seen: seen.map(seen_words),
    }
}

/// What a condition waits for, in both languages.
pub fn condition_words(condition: &Condition) -> ReasonView {
    ReasonView { en: (EN.condition)(condition), fr: (FR.condition)(condition) }
}

/// What was seen, in both languages.
fn seen_words(seen: &Seen) -> ReasonView {
    ReasonView { en: (EN.seen)(seen), fr: (FR.seen)(seen) }
}
