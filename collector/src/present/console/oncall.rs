//! Who is on call: by each schedule now and next, its calendar, who stands in, and the address of its calendar.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::oncall::roster::{By, Shift};
use sitepulse_model::time::UtcMicros;
use sitepulse_model::wall::{WallMicros, Zone as _};

use super::acts::{self, Doer};
use super::calendar::{Calendar, Days, wall_text};
use super::frame::{Frame, Place};
use super::parts::{Chip, Chips, Field, Input};
use super::sheet::{Sheet, choice};
use crate::app::Access;
use crate::book::Book;
use crate::oncall::zone::WallZone;
use crate::present::Present;
use crate::present::dto::oncall::{FeedBody, OverrideBody, OverrideView};
use crate::present::oncall::{override_view, user_name};
use crate::present::problem::{Answer, Problem};
use crate::present::text::Texts;
use crate::present::text::alerting::AlertingTexts;
use crate::present::text::desk::DeskTexts;

/// How many days a calendar shows.
const DAYS: [u32; 2] = [14, 28];
/// Overrides that are over and still shown, the newest.
const PAST_SHOWN: usize = 5;
/// The days since 1970 that calendars are shown of: the years 2000 to 2199.
const DAYS_KNOWN: std::ops::Range<i64> = 10_957..83_950;

#[derive(Template)]
#[template(path = "desk/oncall.html")]
struct Content<'a> {
    t: &'a Texts,
    w: &'a AlertingTexts,
    d: &'a DeskTexts,
    may_respond: bool,
    may_edit: bool,
    spans: Chips,
    earlier: String,
    later: String,
    today: String,
    schedules: Vec<One>,
}

struct One {
    id: String,
    description: String,
    zone: String,
    /// Who; empty: nobody.
    now: String,
    until: String,
    next: String,
    /// Rendered.
    calendar: String,
    overrides: Vec<StandIn>,
    /// The address of its calendar, where somebody asked.
    feed: String,
}

struct StandIn {
    number: u32,
    who: String,
    when: String,
    given: String,
    class: &'static str,
    state: &'static str,
    living: bool,
}

/// What is shown.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct CalendarQuery {
    days: Option<u32>,
    from: String,
}

/// The fields of the forms.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct OnCallForm {
    user: String,
    from: String,
    to: String,
}

/// `GET /on-call`
pub async fn oncall_page(
    State(present): State<Present>,
    frame: Frame,
    Query(query): Query<CalendarQuery>,
) -> Answer<Response> {
    show(&present, &frame, &query, None).await
}

/// `GET /on-call/{id}/override`: the form.
pub async fn override_page(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    override_sheet(&present, &frame, &id, &OnCallForm::default())
}

/// `POST /on-call/{id}/override`: somebody stands in.
pub async fn give_override(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Path(id): Path<String>,
    Form(form): Form<OnCallForm>,
) -> Answer<Response> {
    let from = Some(form.from.clone()).filter(|from| !from.is_empty());
    let body = OverrideBody { user: form.user.clone(), from, to: form.to.clone() };
    match acts::give_override(&present, &doer, &id, body).await {
        Ok(()) => Ok(acts::see("/on-call")),
        Err(why) => override_sheet(&present, &frame.refused("/on-call", why), &id, &form),
    }
}

/// `POST /on-call/{id}/override/{number}/end`
pub async fn end_override(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Path((id, number)): Path<(String, u32)>,
) -> Answer<Response> {
    match acts::end_override(&present, &doer, &id, number).await {
        Ok(()) => Ok(acts::see("/on-call")),
        Err(why) => show(&present, &frame.refused("/on-call", why), &CalendarQuery::default(), None).await,
    }
}

/// `POST /on-call/{id}/feed`: the same page with the address of the calendar.
pub async fn feed_shown(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    match acts::feed(&present, &id, FeedBody::default()).await {
        Ok(made) => {
            let address = made.url.unwrap_or(made.path);
            show(&present, &frame.once("/on-call"), &CalendarQuery::default(), Some((id, address))).await
        }
        Err(why) => show(&present, &frame.refused("/on-call", why), &CalendarQuery::default(), None).await,
    }
}

fn override_sheet(present: &Present, frame: &Frame, id: &str, form: &OnCallForm) -> Answer<Response> {
    let d = frame.t.desk;
    let (users, zone) = {
        let book = present.app().book();
        let schedule = book.objects().schedules.current(id).ok_or_else(|| Problem::not_found("schedule", id))?;
        let users = book.objects().users.living().map(|(id, user)| choice(id, user.body.display_name())).collect();
        (users, schedule.body.zone.clone())
    };
    let zone = (d.in_zone)(&zone);
    let fields = vec![
        Field { label: d.who.into(), wide: true, input: Input::Select(users), ..Field::text("user", &form.user) },
        Field {
            label: d.override_from.into(),
            hint: zone.clone(),
            input: Input::When,
            ..Field::text("from", &form.from)
        },
        Field {
            label: d.override_to.into(),
            hint: zone,
            input: Input::When,
            required: true,
            ..Field::text("to", &form.to)
        },
    ];
    let sheet = Sheet {
        title: format!("{} · {id}", d.give_override),
        intro: d.override_what.into(),
        from: ("/on-call".into(), frame.t.alerting.on_call.into()),
        action: format!("/on-call/{id}/override"),
        fields,
        submit: d.give_override,
        ..Sheet::default()
    };
    sheet.page(frame, Place::OnCall)
}

async fn show(
    present: &Present,
    frame: &Frame,
    query: &CalendarQuery,
    feed: Option<(String, String)>,
) -> Answer<Response> {
    let now = clock::now();
    let t = frame.t;
    let days = query.days.filter(|days| DAYS.contains(days)).unwrap_or(DAYS[0]);
    let asked = WallMicros::parse(&query.from).ok().map(WallMicros::day).filter(|day| DAYS_KNOWN.contains(day));
    let mut schedules = present.read(move |book| schedules(book, asked, days, now, t)).await??;
    if let Some((id, address)) = feed
        && let Some(one) = schedules.iter_mut().find(|one| one.id == id)
    {
        one.feed = address;
    }
    // Which day it is differs by zone: the links are of the one that UTC has.
    let first = asked.unwrap_or_else(|| monday(WallMicros(now.0).day()));
    let link = |first: i64, days: u32| {
        let text = instant::format(UtcMicros(WallMicros::of(first, 0).0));
        format!("/on-call?days={days}&from={}", text.get(..10).unwrap_or_default())
    };
    let spans = DAYS.iter().map(|count| Chip {
        label: (t.desk.days)(*count),
        href: asked.map_or_else(|| format!("/on-call?days={count}"), |first| link(first, *count)),
        current: *count == days,
        ..Chip::default()
    });
    let content = Content {
        t,
        w: t.alerting,
        d: t.desk,
        may_respond: frame.may(Access::Respond),
        may_edit: frame.may(Access::Edit),
        spans: Chips { label: t.desk.calendar.into(), chips: spans.collect(), tabs: false },
        earlier: link(first - i64::from(days), days),
        later: link(first + i64::from(days), days),
        today: format!("/on-call?days={days}"),
        schedules,
    };
    frame.page(Place::OnCall, t.alerting.on_call, Some("objects"), &content)
}

/// The Monday of a day's week.
fn monday(day: i64) -> i64 {
    day - sitepulse_model::wall::weekday(day) as i64
}

fn schedules(book: &Book, asked: Option<i64>, days: u32, now: UtcMicros, t: &Texts) -> Answer<Vec<One>> {
    let living: Vec<_> = book.objects().schedules.living().collect();
    let names: BTreeMap<String, String> =
        book.objects().users.living().map(|(id, user)| (id.to_owned(), user.body.display_name().to_owned())).collect();
    living.into_iter().map(|(id, revised)| one(book, id, &revised.body, &names, (asked, days, now), t)).collect()
}

fn one(
    book: &Book,
    id: &str,
    schedule: &sitepulse_model::oncall::Schedule,
    names: &BTreeMap<String, String>,
    (asked, count, now): (Option<i64>, u32, UtcMicros),
    t: &Texts,
) -> Answer<One> {
    let d = t.desk;
    let zone = WallZone::named(&schedule.zone).unwrap_or(WallZone::UTC);
    let first = asked.unwrap_or_else(|| monday(zone.wall(now).day()));
    let days = Days::of(&zone, first, count);
    let shifts = book.shifts(id, days.span());
    let by = |shift: &Shift| match shift.on_call.as_ref().map(|one| one.by) {
        None => String::new(),
        Some(By::Layer(number)) => (d.layer)(number),
        Some(By::Override(_) | By::OnTheSpot(_)) => d.on_the_spot.to_owned(),
    };
    let calendar = Calendar::of(schedule, &zone, &days, &shifts, names, &by, (now, t));
    let calendar = calendar.render().map_err(|_| super::broken_template())?;
    let (shift, next) = book.shift_at(id, now);
    let name = |shift: &Shift| shift.on_call.as_ref().map(|one| user_name(book, &one.user).name);
    // Shifts are followed some years at most.
    let far = |at: UtcMicros| at.us_since(now) > 700 * 86_400 * 1_000_000;
    let until = Some(shift.span.to).filter(|at| !far(*at)).map(|at| (t.alerting.until)(&wall_text(&zone, at)));
    let next = next.as_ref().and_then(|next| Some((t.alerting.next)(&name(next)?, &wall_text(&zone, next.span.from))));
    let all: Vec<OverrideView> =
        book.duty().overrides(id).iter().rev().map(|one| override_view(book, one, now)).collect();
    let (past, living): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.state == "past");
    let shown = living.iter().chain(past.iter().take(PAST_SHOWN));
    Ok(One {
        id: id.to_owned(),
        description: schedule.description.clone().unwrap_or_default(),
        zone: schedule.zone.clone(),
        now: name(&shift).unwrap_or_default(),
        until: until.unwrap_or_default(),
        next: next.unwrap_or_default(),
        calendar,
        overrides: shown.map(|one| StandIn::of(one, &zone, now, t)).collect(),
        feed: String::new(),
    })
}

impl StandIn {
    fn of(one: &OverrideView, zone: &WallZone, now: UtcMicros, t: &Texts) -> Self {
        let d = t.desk;
        let wall = |at: &str| instant::parse(at, now).map_or_else(|_| at.to_owned(), |at| wall_text(zone, at));
        let author = one.author.strip_prefix("collector:").unwrap_or(&one.author);
        let (class, state) = match one.state.as_str() {
            "now" => ("up", t.now),
            "coming" => ("maintenance", d.coming),
            _ => ("unknown", d.past),
        };
        let ended = one.ended_by.as_deref().map(|by| (d.ended_by)(by.strip_prefix("collector:").unwrap_or(by)));
        Self {
            number: one.number,
            who: one.user.name.clone(),
            when: format!("{} – {}", wall(&one.from), wall(&one.to)),
            given: ended.unwrap_or_else(|| format!("{} {author}", d.by_author)),
            class,
            state,
            living: one.state != "past",
        }
    }
}
