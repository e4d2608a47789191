//! Who is on call, who is told: `/api/v1/oncall`, `/api/v1/schedules`, `/api/v1/users`, `/api/v1/escalations`.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::escalation::EscalationPolicy;
use sitepulse_model::incident::Severity;
use sitepulse_model::oncall::Schedule;
use sitepulse_model::oncall::roster::{By, Shift};
use sitepulse_model::time::{Span, UtcMicros};
use sitepulse_model::user::User;
use sitepulse_model::wall::{WallMicros, Zone as _};

use crate::alert::recipients::of_target;
use crate::book::{Book, Revised};
use crate::oncall::duty::SpotOverride;
use crate::oncall::feed::{self, Event};
use crate::present::Present;
use crate::present::api::{Ask, Body, ask, body, instant_of};
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::oncall::{
    ByView, CalendarView, EscalationView, FeedBody, FeedView, LevelView, OnCallView, OverrideBody, OverrideView,
    ReachView, ScheduleView, ShiftView, TargetView, UserName, UserView,
};
use crate::present::list::{List, Listed, Nothing};
use crate::present::openapi::signature::{Gives, Operation};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text;

const DAY_US: i64 = 86_400 * 1_000_000;
/// How far ahead a calendar is told where nothing else is asked.
const AHEAD_US: i64 = 31 * DAY_US;
/// The longest calendar.
const CALENDAR_US_MAX: i64 = 400 * DAY_US;
/// The years that calendars are told of.
const YEARS: Span = Span::new(UtcMicros(946_684_800_000_000), UtcMicros(7_258_118_400_000_000));
/// How far back and ahead a feed tells.
const FEED_US: (i64, i64) = (31 * DAY_US, 184 * DAY_US);
/// How far a shift is followed.
const WHOLE_US: i64 = 800 * DAY_US;

/// What is asked of `/api/v1/oncall`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnCallQuery {
    schedule: Option<String>,
    at: Option<String>,
}

/// What is asked of a calendar.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalendarQuery {
    from: Option<String>,
    to: Option<String>,
}

/// What a feed's address holds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeedQuery {
    token: String,
    user: Option<String>,
}

/// What is asked of escalation policies.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalationQuery {
    severity: Option<String>,
}

/// `GET /api/v1/oncall`
pub async fn oncall(State(present): State<Present>, list: List<OnCallQuery>) -> Answer<Listed<OnCallView>> {
    let List { query, page } = list;
    let now = clock::now();
    let asked = move |book: &Book| -> Answer<Vec<OnCallView>> {
        match &query.schedule {
            Some(id) => on_call(book, schedule_of(book, id)?, query.at.as_deref(), now).map(|view| vec![view]),
            None => {
                let all = book.objects().schedules.living();
                all.map(|(_, revised)| on_call(book, revised, query.at.as_deref(), now)).collect()
            }
        }
    };
    page.of_all(present.read(asked).await??, |one| one.schedule.clone())
}

/// `GET /api/v1/schedules`
pub async fn schedules(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<ScheduleView>> {
    let now = clock::now();
    let all = move |book: &Book| {
        let living = book.objects().schedules.living();
        living.map(|(id, revised)| (id.to_owned(), schedule_view(book, revised, now))).collect()
    };
    let schedules: Vec<_> = present.read(all).await?;
    Ok(list.page.of_all(schedules, |(id, _)| id.clone())?.map(|(_, schedule)| schedule))
}

/// `GET /api/v1/schedules/{id}`
pub async fn schedule(State(present): State<Present>, Path(id): Path<String>) -> Answer<Json<ScheduleView>> {
    let now = clock::now();
    present.read(move |book| Ok(schedule_view(book, schedule_of(book, &id)?, now))).await?.map(Json)
}

/// `GET /api/v1/schedules/{id}/calendar`
pub async fn calendar(
    State(present): State<Present>,
    Path(id): Path<String>,
    query: Ask<CalendarQuery>,
) -> Answer<Json<CalendarView>> {
    let query = ask(query)?;
    let now = clock::now();
    let asked = move |book: &Book| {
        let schedule = &schedule_of(book, &id)?.body;
        let at =
            |text: &Option<String>| text.as_deref().map(|text| wall_or_instant(book, schedule, text, now)).transpose();
        let from = at(&query.from)?.unwrap_or(now);
        let span = Span::new(from, at(&query.to)?.unwrap_or(from.plus_us(AHEAD_US)));
        if span.is_empty() || span.us() > CALENDAR_US_MAX || span.clip(YEARS) != span {
            let what = "`from` must lie before `to`, by 400 days at most, within the years 2000 to 2199";
            return Err(Problem::new(Code::BadRequest, what));
        }
        Ok(calendar_view(book, schedule, span))
    };
    present.read(asked).await?.map(Json)
}

/// `GET /api/v1/schedules/{id}/overrides`
pub async fn overrides(
    State(present): State<Present>,
    Path(id): Path<String>,
    list: List<Nothing>,
) -> Answer<Listed<OverrideView>> {
    let now = clock::now();
    let book = present.app().book();
    schedule_of(&book, &id)?;
    let all = book.duty().overrides(&id).iter().map(|one| override_view(&book, one, now)).collect();
    list.page.of_all(all, |one| one.number)
}

/// `POST /api/v1/schedules/{id}/overrides`
pub async fn give_override(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    note: Note,
    Path(id): Path<String>,
    request: Body<OverrideBody>,
) -> Answer<Json<OverrideView>> {
    let request = body(request)?;
    note.tell(format!("{} from {} to {}", request.user, request.from.as_deref().unwrap_or("now"), request.to));
    let now = clock::now();
    let span = {
        let book = present.app().book();
        let schedule = &schedule_of(&book, &id)?.body;
        let at = |text: &str| wall_or_instant(&book, schedule, text, now);
        Span::new(request.from.as_deref().map(at).transpose()?.unwrap_or(now), at(&request.to)?)
    };
    let one = present.app().override_on_call((id, request.user), span, caller.author, now).await?;
    Ok(Json(override_view(&present.app().book(), &one, now)))
}

/// `DELETE /api/v1/schedules/{id}/overrides/{number}`
pub async fn end_override(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path((id, number)): Path<(String, u32)>,
) -> Answer<StatusCode> {
    present.app().end_override(id, number, caller.author, clock::now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/schedules/{id}/feed`
pub async fn feed_address(
    State(present): State<Present>,
    Path(id): Path<String>,
    request: Body<FeedBody>,
) -> Answer<Json<FeedView>> {
    let request = body(request)?;
    let user = request.user.as_deref();
    if let Some(user) = user
        && present.app().book().objects().users.current(user).is_none()
    {
        return Err(Problem::not_found("user", user));
    }
    let key = present.app().feed_key(id.clone(), request.rotate, clock::now()).await?;
    let whose = user.map(|user| format!("user={user}&")).unwrap_or_default();
    let path = format!("/api/v1/schedules/{id}/calendar.ics?{whose}token={}", feed::token(&key, &id, user));
    Ok(Json(FeedView { url: present.console_url().map(|console| format!("{console}{path}")), path }))
}

/// `GET /api/v1/schedules/{id}/calendar.ics`: the token is what its reader shows.
pub async fn feed(State(present): State<Present>, Path(id): Path<String>, query: Ask<FeedQuery>) -> Answer<Calendar> {
    let FeedQuery { token, user } = ask(query)?;
    let now = clock::now();
    let asked = move |book: &Book| {
        let known = book.duty().feed(&id).is_some_and(|key| feed::opens(key, &id, user.as_deref(), &token));
        let schedule = book.objects().schedules.current(&id).filter(|_| known).ok_or_else(|| {
            let what = "no calendar has this address: `sitepulse-collector oncall feed` prints the one that is good";
            Problem::new(Code::NotFound, what)
        })?;
        Ok(ics(book, schedule, user.as_deref(), now))
    };
    let text: Answer<String> = present.read(asked).await?;
    text.map(Calendar)
}

/// A calendar for other programs (iCalendar, RFC 5545).
pub struct Calendar(String);

impl IntoResponse for Calendar {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("text/calendar; charset=utf-8"))], self.0).into_response()
    }
}

impl Gives for Calendar {
    fn tell(operation: &mut Operation<'_>) {
        operation.answer(200, "The calendar.", Some(("text/calendar", json!({"type": "string"}))));
    }
}

/// `GET /api/v1/users`
pub async fn users(State(present): State<Present>, list: List<Nothing>) -> Answer<Listed<UserView>> {
    let now = clock::now();
    let all = move |book: &Book| {
        let objects = book.objects();
        let duty: Vec<(&str, Option<String>)> =
            objects.schedules.living().map(|(id, _)| (id, book.on_call(id, now).map(|one| one.user))).collect();
        objects.users.living().map(|(_, revised)| user_view(book, &revised.body, &duty, now)).collect()
    };
    list.page.of_all(present.read(all).await?, |user: &UserView| user.id.clone())
}

/// `GET /api/v1/escalations`
pub async fn escalations(
    State(present): State<Present>,
    list: List<EscalationQuery>,
) -> Answer<Listed<EscalationView>> {
    let List { query, page } = list;
    let severity = severity_of(query)?;
    let now = clock::now();
    let all = move |book: &Book| {
        let living = book.objects().escalations.living();
        living.map(|(_, revised)| escalation_view(book, revised, severity, now)).collect()
    };
    page.of_all(present.read(all).await?, |policy: &EscalationView| policy.id.clone())
}

/// `GET /api/v1/escalations/{id}`
pub async fn escalation(
    State(present): State<Present>,
    Path(id): Path<String>,
    query: Ask<EscalationQuery>,
) -> Answer<Json<EscalationView>> {
    let severity = severity_of(ask(query)?)?;
    let now = clock::now();
    let one = move |book: &Book| {
        let found = book.objects().escalations.current(&id);
        let found = found.ok_or_else(|| Problem::not_found("escalation policy", &id))?;
        Ok(escalation_view(book, found, severity, now))
    };
    present.read(one).await?.map(Json)
}

fn severity_of(query: EscalationQuery) -> Answer<Severity> {
    let Some(text) = query.severity else { return Ok(Severity::Critical) };
    Severity::parse(&text).ok_or_else(|| {
        let words: Vec<&str> = Severity::ALL.iter().map(|severity| severity.as_str()).collect();
        Problem::new(Code::BadRequest, format!("{text:?} is no severity: write one of {}", words.join(", ")))
    })
}

fn schedule_of<'b>(book: &'b Book, id: &str) -> Answer<&'b Revised<Schedule>> {
    book.objects().schedules.current(id).ok_or_else(|| Problem::not_found("schedule", id))
}

/// A time on the wall of a schedule's zone, or an instant.
fn wall_or_instant(book: &Book, schedule: &Schedule, text: &str, now: UtcMicros) -> Answer<UtcMicros> {
    match WallMicros::parse(text) {
        Ok(wall) => Ok(book.duty().zone(Some(&schedule.zone)).instant(wall)),
        Err(_) => instant_of(text, now),
    }
}

/// What people call a user.
pub fn user_name(book: &Book, id: &str) -> UserName {
    let name = book.objects().users.versions(id).last().map(|revised| revised.body.display_name().to_owned());
    UserName { id: id.to_owned(), name: name.unwrap_or_else(|| id.to_owned()) }
}

/// A shift; its ends are told where they lie inside `within`.
fn shift_view(book: &Book, shift: &Shift, within: Span) -> ShiftView {
    let by = |by: By| {
        let (kind, number) = match by {
            By::Layer(number) => ("layer", number),
            By::Override(number) => ("override", number),
            By::OnTheSpot(number) => ("on_the_spot", number as usize),
        };
        ByView { kind: kind.to_owned(), number: u32::try_from(number).unwrap_or(u32::MAX) }
    };
    ShiftView {
        user: shift.on_call.as_ref().map(|on_call| user_name(book, &on_call.user)),
        by: shift.on_call.as_ref().map(|on_call| by(on_call.by)),
        from: (shift.span.from > within.from).then(|| instant::format(shift.span.from)),
        until: (shift.span.to < within.to).then(|| instant::format(shift.span.to)),
    }
}

fn on_call(book: &Book, schedule: &Revised<Schedule>, at: Option<&str>, now: UtcMicros) -> Answer<OnCallView> {
    let schedule = &schedule.body;
    let at = at.map(|text| wall_or_instant(book, schedule, text, now)).transpose()?.unwrap_or(now);
    if !YEARS.contains(at) {
        return Err(Problem::new(Code::BadRequest, "`at` must lie within the years 2000 to 2199"));
    }
    Ok(on_call_view(book, schedule, at))
}

fn on_call_view(book: &Book, schedule: &Schedule, at: UtcMicros) -> OnCallView {
    let within = Span::new(at.plus_us(-WHOLE_US), at.plus_us(WHOLE_US));
    let (shift, next) = book.shift_at(&schedule.id, at);
    OnCallView {
        schedule: schedule.id.clone(),
        zone: schedule.zone.clone(),
        at: instant::format(at),
        shift: shift_view(book, &shift, within),
        next: next.map(|next| shift_view(book, &next, within)),
    }
}

fn schedule_view(book: &Book, revised: &Revised<Schedule>, now: UtcMicros) -> ScheduleView {
    let id = &revised.body.id;
    let living = book.duty().overrides(id).iter().filter(|one| one.counts().to > now);
    ScheduleView {
        id: id.clone(),
        version: revised.version,
        since: instant::format(revised.effective_from),
        schedule: revised.body.clone(),
        on_the_spot: living.map(|one| override_view(book, one, now)).collect(),
        on_call: on_call_view(book, &revised.body, now),
    }
}

fn calendar_view(book: &Book, schedule: &Schedule, span: Span) -> CalendarView {
    // Both ends are told: they are those of the question, or of the shift.
    let all = Span::new(UtcMicros::MIN, UtcMicros::MAX);
    CalendarView {
        schedule: schedule.id.clone(),
        zone: schedule.zone.clone(),
        from: instant::format(span.from),
        to: instant::format(span.to),
        shifts: book.shifts(&schedule.id, span).iter().map(|shift| shift_view(book, shift, all)).collect(),
    }
}

/// An override that was given on the spot.
pub fn override_view(book: &Book, one: &SpotOverride, now: UtcMicros) -> OverrideView {
    let counts = one.counts();
    let state = match counts {
        span if span.is_empty() || span.to <= now => "past",
        span if span.from <= now => "now",
        _ => "coming",
    };
    OverrideView {
        schedule: one.schedule.clone(),
        number: one.number,
        user: user_name(book, &one.user),
        state: state.to_owned(),
        from: instant::format(one.span.from),
        to: instant::format(counts.to.max(one.span.from)),
        given: instant::format(one.given),
        author: one.author.clone(),
        ended: one.ended.as_ref().map(|(at, _)| instant::format(*at)),
        ended_by: one.ended.as_ref().map(|(_, by)| by.clone()),
    }
}

fn user_view(book: &Book, user: &User, duty: &[(&str, Option<String>)], now: UtcMicros) -> UserView {
    let on_call = duty.iter().filter(|(_, on_call)| on_call.as_deref() == Some(&user.id));
    UserView {
        id: user.id.clone(),
        name: user.display_name().to_owned(),
        email: user.email.clone(),
        notify: user.notify.clone(),
        language: user.language.clone(),
        zone: user.zone.clone(),
        team: user.team.clone(),
        quiet: user.quiet.clone(),
        quiet_until: book.quiet_until(user, Severity::Info, now).map(instant::format),
        on_call: on_call.map(|(schedule, _)| (*schedule).to_owned()).collect(),
    }
}

/// Where a target leads at an instant, for an incident of a severity.
pub fn target_view(book: &Book, text: &str, severity: Severity, at: UtcMicros) -> TargetView {
    let reached = of_target(book, text, severity, at);
    let reaches = reached.to.iter().map(|reach| ReachView {
        channel: reach.channel.clone(),
        user: reach.user.as_deref().map(|user| user_name(book, user)),
        held_until: (reach.due > at).then(|| instant::format(reach.due)),
    });
    TargetView { target: text.to_owned(), reaches: reaches.collect(), unreached: reached.unreached }
}

/// A policy, and whom it would tell now of an incident of a severity.
pub fn escalation_view(
    book: &Book,
    revised: &Revised<EscalationPolicy>,
    severity: Severity,
    now: UtcMicros,
) -> EscalationView {
    let policy = &revised.body;
    let target = |text: &String| target_view(book, text, severity, now);
    let levels = policy.levels.iter().map(|level| LevelView {
        after: level.after.clone(),
        at_least: level.at_least.map(|least| least.as_str().to_owned()),
        passed_by: level.at_least.is_some_and(|least| severity < least),
        targets: level.notify.iter().map(target).collect(),
    });
    EscalationView {
        id: policy.id.clone(),
        version: revised.version,
        default: policy.default,
        repeat: policy.repeat,
        ack_pause: policy.ack_pause.clone(),
        severity: severity.as_str().to_owned(),
        levels: levels.collect(),
    }
}

/// The calendar of a schedule for other programs: whole shifts, of one user or of all.
fn ics(book: &Book, revised: &Revised<Schedule>, user: Option<&str>, now: UtcMicros) -> String {
    let schedule = &revised.body;
    let within = Span::new(now.plus_us(-FEED_US.0), now.plus_us(FEED_US.1));
    let mut shifts = book.shifts(&schedule.id, within);
    // An event is the same each time it is told: those that reach out of the time told of are told whole.
    for place in [0, shifts.len().saturating_sub(1)] {
        if let Some(shift) = shifts.get_mut(place) {
            *shift = book.shift_at(&schedule.id, shift.span.from).0;
        }
    }
    shifts.dedup();
    let overrides = book.duty().overrides(&schedule.id).iter();
    let changed = overrides.flat_map(|one| [Some(one.given), one.ended.as_ref().map(|(at, _)| *at)]).flatten();
    let revised_at = changed.chain([revised.effective_from]).max().unwrap_or(revised.effective_from);
    let events = shifts.iter().filter_map(|shift| {
        let on_call = shift.on_call.as_ref().filter(|on_call| user.is_none_or(|user| user == on_call.user))?;
        let known = book.objects().users.versions(&on_call.user).last().map(|revised| &revised.body);
        let name = known.map_or(on_call.user.as_str(), User::display_name);
        // Whoever reads the calendar of one user is that user.
        let french = user.is_some() && known.and_then(|user| user.language.as_deref()) == Some("fr");
        let summary = if french { "d'astreinte" } else { "on call" };
        let colon = if french { text::FR.colon } else { text::EN.colon };
        let why = match (on_call.by, french) {
            (By::Layer(number), false) => format!("Layer {number}"),
            (By::Layer(number), true) => format!("Couche {number}"),
            (By::Override(_) | By::OnTheSpot(_), false) => "Stands in".to_owned(),
            (By::Override(_) | By::OnTheSpot(_), true) => "Remplacement".to_owned(),
        };
        Some(Event {
            uid: format!("{}-{}-{}@oncall.sitepulse", schedule.id, feed::stamp(shift.span.from), on_call.user),
            span: shift.span,
            summary: format!("{name}{colon}{summary} ({})", schedule.id),
            description: why,
        })
    });
    let name = format!("SitePulse: {}", schedule.id);
    feed::calendar(&name, &events.collect::<Vec<_>>(), revised_at)
}
