//! Maintenance windows: what is planned and was, a form that plans one, and their early ends.
//!
//! A window is a `[[maintenance]]` table however it is made: the form writes one, and it is judged, planned and applied as every other ([`super::plan`]).

mod form;
mod repeats;

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::maintenance::MaintenanceWindow;
use sitepulse_model::time::UtcMicros;

use self::form::{Beside, Draft, Plan, on_wall};
use self::repeats::Repeats;
use super::acts;
use super::frame::{Frame, Place};
use super::incidents::moment;
use super::plan::{self, Outcome, Planned};
use super::sheet::Sheet;
use crate::app::Access;
use crate::book::{Book, Object, ObjectKind, Revised};
use crate::checkfile::write;
use crate::maintenance::{Timetable, rest};
use crate::present::api::definitions::{self, Seen};
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;
use crate::present::text::windows::WindowTexts;
use crate::present::windows::{self, WindowView};
use crate::present::{Present, figure};

/// What the table is called in errors.
const FILE: &str = "console";
const KIND: ObjectKind = ObjectKind::Maintenance;
/// Most times that windows were open, and are shown.
const TIMES_SHOWN: usize = 200;
/// Most windows that are shown.
const WINDOWS_SHOWN: usize = 500;
/// Most times ahead that are in sight at once: the others fold away.
const AHEAD_SHOWN: usize = 12;
/// Most checks that a time names on the page.
const CHECKS_SHOWN: usize = 8;

#[derive(Template)]
#[template(path = "desk/windows.html")]
struct List<'a> {
    t: &'a Texts,
    w: &'a WindowTexts,
    may_edit: bool,
    defined: Vec<Defined>,
    /// Those that open never again.
    over: Vec<Defined>,
    ahead: Vec<TimeRow>,
    later: Vec<TimeRow>,
    later_told: String,
    past: Vec<TimeRow>,
}

/// A window.
struct Defined {
    id: String,
    version: u32,
    scope: Vec<String>,
    repeats: String,
    next: String,
    open: bool,
    /// Whether it is open and comes again.
    ends: bool,
    order: UtcMicros,
}

/// A time that a window was, is or will be open.
struct TimeRow {
    name: String,
    version: u32,
    class: &'static str,
    state: &'static str,
    from: String,
    to: String,
    length: String,
    checks: Vec<String>,
    more: String,
    all: String,
}

/// `GET /windows`
pub async fn windows_page(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    list(&present, &frame).await
}

async fn list(present: &Present, frame: &Frame) -> Answer<Response> {
    let (now, t) = (clock::now(), frame.t);
    let read = move |book: &Book| {
        let living = book.objects().windows.living().take(WINDOWS_SHOWN);
        let defined: Vec<Defined> = living.map(|(_, revised)| Defined::of(revised, now, t)).collect();
        windows::around(book, now).map(|all| (defined, all))
    };
    let (mut defined, all) = present.read(read).await??;
    defined.sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
    let (over, defined) = defined.into_iter().partition(|one| one.next.is_empty());
    let (past, ahead): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.state == "past");
    let mut ahead: Vec<TimeRow> = ahead.iter().take(TIMES_SHOWN).map(|one| TimeRow::of(one, now, t)).collect();
    let later = ahead.split_off(ahead.len().min(AHEAD_SHOWN));
    let content = List {
        t,
        w: t.windows,
        may_edit: frame.may(Access::Edit),
        defined,
        over,
        later_told: (t.ledger.more)(later.len() as u64),
        ahead,
        later,
        past: past.iter().rev().take(TIMES_SHOWN).map(|one| TimeRow::of(one, now, t)).collect(),
    };
    frame.page(Place::Windows, t.windows.title, Some("objects figures"), &content)
}

/// `GET /windows/new`
pub async fn new_window(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    let draft = Draft { lasts: "2h".into(), ..Draft::default() };
    form::page(&present.app().book(), &frame, None, &draft, Beside::default())
}

/// `GET /windows/{id}/edit`
pub async fn edit_window(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    let book = present.app().book();
    let window = current(&book, &id)?;
    let beside = Beside { tag: plan::tag_of(&book, KIND, &id), ..Beside::default() };
    form::page(&book, &frame, Some(&id), &Draft::of(&window), beside)
}

/// `POST /windows/new` and `/windows/{id}/edit`: the plan, or applies it.
pub async fn write_window(
    State(present): State<Present>,
    frame: Frame,
    Extension(caller): Extension<Caller>,
    path: Option<Path<String>>,
    note: Note,
    Form(form): Form<BTreeMap<String, String>>,
) -> Answer<Response> {
    let id = path.map(|Path(id)| id);
    let own = id.as_ref().map_or_else(|| "/windows/new".to_owned(), |id| format!("/windows/{id}/edit"));
    let draft = Draft::read(id.as_deref(), &form);
    let before = id.as_deref().map(|id| current(&present.app().book(), id)).transpose()?;
    let toml = draft.toml(before.as_ref());
    let written = plan::Draft { kind: KIND, id: &draft.id, is_new: id.is_none(), toml: &toml, fields: &form };
    let outcome = written.write(&present, &caller, &note, frame.t).await?;
    let (frame, id) = (frame.once(own), id.as_deref());
    match outcome {
        Outcome::Applied => Ok(acts::see("/windows")),
        Outcome::Planned(plan) => planned(&present, &frame, id, &draft, (plan, toml)),
        Outcome::Wrong(faults, tag) => {
            let beside = Beside { faults, tag, ..Beside::default() };
            let mut page = form::page(&present.app().book(), &frame, id, &draft, beside)?;
            *page.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(page)
        }
    }
}

fn planned(
    present: &Present,
    frame: &Frame,
    id: Option<&str>,
    draft: &Draft,
    (planned, toml): (Planned, String),
) -> Answer<Response> {
    let Object::Maintenance(window) = plan::object(&toml)? else {
        return Err(Problem::new(Code::Internal, "the window is not in its own table"));
    };
    let (book, Planned { view, tag, notice }) = (present.app().book(), planned);
    let plan = Plan::of(&book, &window, &view, (toml, &draft.reader), clock::now(), frame.t);
    form::page(&book, frame, id, draft, Beside { faults: Vec::new(), notice, tag, plan: Some(plan) })
}

fn current(book: &Book, id: &str) -> Answer<MaintenanceWindow> {
    let found = book.objects().windows.current(id).ok_or_else(|| Problem::not_found("maintenance window", id))?;
    Ok(found.body.clone())
}

/// `GET /windows/{id}/cancel` and `/windows/{id}/end`: what would come of it, and the button.
pub async fn ending_page(
    State(present): State<Present>,
    frame: Frame,
    Path(id): Path<String>,
    uri: Uri,
) -> Answer<Response> {
    let window = current(&present.app().book(), &id)?;
    ending(&frame, &window, uri.path().ends_with("/end"), clock::now())
}

/// `POST /windows/{id}/cancel` and `/windows/{id}/end`
pub async fn end_window(
    State(present): State<Present>,
    frame: Frame,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    uri: Uri,
    note: Note,
) -> Answer<Response> {
    let only_this = uri.path().ends_with("/end");
    note.tell(format!("{} {id}", KIND.table()));
    let (window, seen, now) = {
        let book = present.app().book();
        (current(&book, &id)?, plan::tag_of(&book, KIND, &id), clock::now())
    };
    let done = if only_this {
        ended(&present, &caller, &window, &seen, now, frame.t).await
    } else {
        definitions::end(&present, &caller, KIND.table(), &id).await
    };
    match done {
        Ok(()) => Ok(acts::see("/windows")),
        Err(why) => ending(&frame.refused("/windows", why), &window, only_this, now),
    }
}

/// Applies the window without the time that is open now.
async fn ended(
    present: &Present,
    caller: &Caller,
    window: &MaintenanceWindow,
    seen: &str,
    now: UtcMicros,
    t: &Texts,
) -> Answer<()> {
    let rest = rest::after_this_one(window, now);
    let rest = rest.ok_or_else(|| Problem::new(Code::Conflict, t.windows.not_open))?;
    let keys = write::object(&Object::Maintenance(rest));
    let file = write::file(FILE, KIND.table(), keys).map_err(|error| Problem::new(Code::Internal, error))?;
    let seen = Seen::Tag(seen.to_owned());
    definitions::put(present, caller, (KIND, &window.id), &seen, file, false).await.map(|_| ())
}

fn ending(frame: &Frame, window: &MaintenanceWindow, only_this: bool, now: UtcMicros) -> Answer<Response> {
    let (t, w) = (frame.t, frame.t.windows);
    let timetable = Timetable::of(window).ok();
    let times = timetable
        .iter()
        .flat_map(|it| it.open_after(now).take(64).map(move |span| (span, on_wall(span, it.zone(), t))));
    let (open, next): (Vec<_>, Vec<_>) = times.partition(|(span, _)| span.from <= now);
    let id = &window.id;
    let (title, intro) = match (only_this, next.first()) {
        (true, Some((_, next))) if !open.is_empty() => ((w.end_title)(id), (w.end_what)(next)),
        (true, _) => ((w.end_title)(id), w.not_open.to_owned()),
        (false, _) if open.is_empty() => ((w.cancel_title)(id), w.cancel_what.to_owned()),
        (false, _) => ((w.cancel_title)(id), format!("{} {}", w.cancel_open, w.cancel_what)),
    };
    let sheet = Sheet {
        submit: if only_this { w.end } else { w.cancel },
        action: format!("/windows/{id}/{}", if only_this { "end" } else { "cancel" }),
        title,
        intro,
        from: ("/windows".into(), w.title.into()),
        danger: true,
        ..Sheet::default()
    };
    sheet.page(frame, Place::Windows)
}

impl Defined {
    fn of(revised: &Revised<MaintenanceWindow>, now: UtcMicros, t: &Texts) -> Self {
        let window = &revised.body;
        let part = |word: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{word}{}{}", t.colon, names.join(", ")))
        };
        let scope =
            [part(t.checks, &window.checks), part(t.desk.groups, &window.groups), part(t.desk.tags, &window.tags)];
        let timetable = Timetable::of(window).ok();
        let next = timetable.as_ref().and_then(|timetable| Some((timetable.open_after(now).next()?, timetable.zone())));
        let open = next.is_some_and(|(span, _)| span.from <= now);
        Self {
            id: window.id.clone(),
            version: revised.version,
            scope: scope.into_iter().flatten().collect(),
            repeats: window.rrule.as_deref().map(Repeats::of_rule).unwrap_or_default().words(t),
            next: next.map(|(span, zone)| on_wall(span, zone, t)).unwrap_or_default(),
            open,
            ends: open && rest::after_this_one(window, now).is_some(),
            order: next.map_or(UtcMicros::MAX, |(span, _)| span.from),
        }
    }
}

impl TimeRow {
    fn of(one: &WindowView, now: UtcMicros, t: &Texts) -> Self {
        let w = t.windows;
        let (class, state) = match one.state.as_str() {
            "open" => ("maintenance", w.open_word),
            "coming" => ("degraded", w.coming),
            _ => ("unknown", w.over),
        };
        let seconds = match (instant::parse(&one.from, now), instant::parse(&one.to, now)) {
            (Ok(from), Ok(to)) => to.us_since(from) as f64 / 1e6,
            (Ok(_) | Err(_), _) => 0.0,
        };
        Self {
            name: one.window.clone(),
            version: one.version,
            class,
            state,
            from: moment(&one.from, now),
            to: moment(&one.to, now),
            length: figure::length(seconds, t.slo.day),
            checks: one.checks.iter().take(CHECKS_SHOWN).cloned().collect(),
            more: match one.checks.len().saturating_sub(CHECKS_SHOWN) {
                0 => String::new(),
                more => (t.ledger.more)(more as u64),
            },
            all: (w.covers_checks)(one.checks.len()),
        }
    }
}
