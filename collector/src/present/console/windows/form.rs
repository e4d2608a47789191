//! The form of a maintenance window: its fields, the table that they write, and the plan of it with the dates on which it would be open.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::Response;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sitepulse_model::maintenance::MaintenanceWindow;
use sitepulse_model::time::{Span, UtcMicros};

use super::repeats::{DAYS, FREQUENCIES, NTHS, Repeats};
use crate::book::Book;
use crate::maintenance::{self, Timetable};
use crate::present::console::acts::quoted;
use crate::present::console::faults::Fault;
use crate::present::console::frame::{Frame, Place};
use crate::present::console::parts::{Choice, Field, Input};
use crate::present::console::plan;
use crate::present::console::sheet::choice;
use crate::present::dto::PlanView;
use crate::present::problem::Answer;
use crate::present::text::Texts;
use crate::present::text::desk::DeskTexts;
use crate::present::text::windows::WindowTexts;

/// Most dates that a plan tells.
const DATES_SHOWN: usize = 6;
/// Most checks that a plan names.
const CHECKS_SHOWN: usize = 12;
/// Most groups and tags that a hint names.
const KNOWN_SHOWN: usize = 12;

/// What a form says of a window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) id: String,
    pub(super) checks: String,
    pub(super) groups: String,
    pub(super) tags: String,
    /// On the wall of its zone.
    pub(super) from: String,
    pub(super) lasts: String,
    pub(super) zone: String,
    pub(super) repeats: Repeats,
    /// The zone of who writes, where their browser tells it.
    pub(super) reader: String,
}

/// The page.
#[derive(Template)]
#[template(path = "desk/window_edit.html")]
struct Editor<'a> {
    t: &'a Texts,
    d: &'a DeskTexts,
    w: &'a WindowTexts,
    title: String,
    action: String,
    /// What is wrong and stands at no field.
    faults: Vec<String>,
    notice: &'static str,
    scope: Vec<Field>,
    when: Vec<Field>,
    frequency: Field,
    interval: Field,
    weekdays: Vec<(&'static str, &'static str, bool)>,
    monthly: Vec<Field>,
    ends: Vec<Field>,
    rule: Field,
    reader: String,
    /// What the form was opened with, and the table whose plan was shown.
    tag: String,
    seen: String,
    plan: Option<Plan>,
}

/// What applying would do.
pub(super) struct Plan {
    zone: String,
    /// Another zone that is the reader's.
    reader: Option<String>,
    /// On the wall of its zone, and of the reader's.
    dates: Vec<(String, String)>,
    covers: String,
    checks: Vec<String>,
    more: String,
    open: bool,
    lines: Vec<String>,
    warnings: Vec<String>,
    toml: String,
}

impl Draft {
    /// What a form says.
    pub(super) fn read(id: Option<&str>, form: &BTreeMap<String, String>) -> Self {
        let told = |key: &str| form.get(key).map(|text| text.trim().to_owned()).unwrap_or_default();
        Self {
            id: id.map_or_else(|| told("id"), str::to_owned),
            checks: told("checks"),
            groups: told("groups"),
            tags: told("tags"),
            from: told("from"),
            lasts: told("lasts"),
            zone: told("zone"),
            repeats: Repeats::read(form),
            reader: told("reader"),
        }
    }

    /// The form of a window that there is.
    pub(super) fn of(window: &MaintenanceWindow) -> Self {
        Self {
            id: window.id.clone(),
            checks: window.checks.join(", "),
            groups: window.groups.join(", "),
            tags: window.tags.join(", "),
            from: wall_of(window),
            lasts: window.lasts.clone(),
            zone: window.zone.clone().unwrap_or_default(),
            repeats: window.rrule.as_deref().map(Repeats::of_rule).unwrap_or_default(),
            reader: String::new(),
        }
    }

    /// The same as code. What says the same as before is written as it was.
    pub(super) fn toml(&self, before: Option<&MaintenanceWindow>) -> String {
        let was = before.map(Self::of);
        let mut out = format!("[[maintenance]]\nid = {}\n", quoted(&self.id));
        for (key, text) in [("checks", &self.checks), ("groups", &self.groups), ("tags", &self.tags)] {
            let names: Vec<String> = names(text).map(quoted).collect();
            if !names.is_empty() {
                out.push_str(&format!("{key} = [{}]\n", names.join(", ")));
            }
        }
        let same_wall = was.as_ref().is_some_and(|was| (&was.from, &was.zone) == (&self.from, &self.zone));
        let from = before.filter(|_| same_wall).map_or(&self.from, |before| &before.from);
        out.push_str(&format!("from = {}\nlasts = {}\n", quoted(from), quoted(&self.lasts)));
        if !self.zone.is_empty() {
            out.push_str(&format!("zone = {}\n", quoted(&self.zone)));
        }
        let same_rule = was.as_ref().is_some_and(|was| was.repeats.rule() == self.repeats.rule());
        let kept = before.filter(|_| same_rule).and_then(|before| before.rrule.clone());
        if let Some(rule) = kept.or_else(|| self.repeats.rule()) {
            out.push_str(&format!("rrule = {}\n", quoted(&rule)));
        }
        out
    }
}

/// When a window begins for the first time, as a browser's field of a day and a time writes it.
fn wall_of(window: &MaintenanceWindow) -> String {
    let wall = Timetable::of(window).map(|timetable| timetable.first_wall().to_string());
    let wall = wall.unwrap_or_else(|_| window.from.clone());
    wall.strip_suffix(":00").filter(|short| short.len() == 16).map_or(wall.clone(), str::to_owned)
}

/// Names that are separated by commas or spaces.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|one: char| one == ',' || one.is_whitespace()).filter(|name| !name.is_empty())
}

/// What the page shows beside the fields.
#[derive(Default)]
pub(super) struct Beside {
    pub(super) faults: Vec<Fault>,
    /// Said above the form; may be empty.
    pub(super) notice: &'static str,
    /// The tag of what the form was opened with; empty: there was none.
    pub(super) tag: String,
    pub(super) plan: Option<Plan>,
}

/// The page.
///
/// # Errors
/// When a template fails, which only a broken build does.
pub(super) fn page(book: &Book, frame: &Frame, id: Option<&str>, draft: &Draft, beside: Beside) -> Answer<Response> {
    let (t, w) = (frame.t, frame.t.windows);
    let at = |field: &str| {
        let of = beside.faults.iter().filter(|fault| field_of(fault, draft) == field);
        of.map(|fault| (t.tell)(&fault.message)).collect::<Vec<_>>().join(" ")
    };
    let line = |name: &'static str, label: &str, hint: &str, value: &str| Field {
        label: label.to_owned(),
        hint: hint.to_owned(),
        error: at(name),
        ..Field::text(name, value)
    };
    let select = |name: &'static str, label: &str, value: &str, choices: Vec<Choice>| Field {
        input: Input::Select(choices),
        ..line(name, label, "", value)
    };
    let (groups, tags) = known(book, t);
    let mut scope = vec![
        line("checks", t.checks, t.desk.names_what, &draft.checks),
        line("groups", t.desk.groups, &groups, &draft.groups),
        line("tags", t.desk.tags, &tags, &draft.tags),
    ];
    if id.is_none() {
        scope.insert(0, Field { required: true, wide: true, ..line("id", t.page.id, w.id_what, &draft.id) });
    }
    let when = vec![
        Field { required: true, input: Input::When, ..line("from", w.from, w.from_what, &draft.from) },
        Field { required: true, placeholder: "2h".into(), ..line("lasts", w.lasts, w.lasts_what, &draft.lasts) },
        Field { placeholder: "Europe/Paris".into(), ..line("zone", w.zone, w.zone_what, &draft.zone) },
    ];
    let r = &draft.repeats;
    let frequencies = FREQUENCIES.map(|name| choice(name, (w.frequency)(name))).into();
    let weekdays = DAYS.iter().enumerate().map(|(at, day)| (*day, (t.desk.weekday)(at), r.days[at])).collect();
    let nths = NTHS.map(|nth| choice(nth, (w.nth_word)(nth))).into();
    let days = DAYS.iter().enumerate().map(|(at, day)| choice(day, (w.weekday_long)(at))).collect();
    let monthly = vec![
        select("by", w.by, &r.by, vec![choice("", w.by_date), choice("weekday", w.by_weekday)]),
        line("month_days", w.month_days, w.month_days_what, &r.month_days),
        select("nth", w.nth, &r.nth, nths),
        select("weekday", w.weekday, &r.weekday, days),
    ];
    let all_ends = [("", w.never), ("count", w.after_times), ("until", w.on_day)];
    let ends = vec![
        select("ends", w.ends, &r.ends, all_ends.map(|(value, label)| choice(value, label)).into()),
        line("count", w.times, "", &r.count),
        Field { input: Input::Day, ..line("until", w.last_day, "", &r.until) },
    ];
    let mut fields: Vec<&str> =
        scope.iter().chain(&when).chain(&monthly).chain(&ends).map(|field| field.name).collect();
    fields.extend(["frequency", "interval", "rule"]);
    let content = Editor {
        t,
        d: t.desk,
        w,
        title: id.map_or_else(|| w.new.to_owned(), |id| (w.edit_title)(id)),
        action: id.map_or_else(|| "/windows/new".to_owned(), |id| format!("/windows/{id}/edit")),
        faults: beside
            .faults
            .iter()
            .filter(|fault| !fields.contains(&field_of(fault, draft)))
            .map(|fault| (t.tell)(&fault.message))
            .collect(),
        notice: beside.notice,
        scope,
        when,
        frequency: select("frequency", w.repeats, &r.frequency, frequencies),
        interval: line("interval", w.interval, w.interval_what, &r.interval),
        weekdays,
        monthly,
        ends,
        rule: Field { wide: true, ..line("rule", w.rule, w.rule_what, &r.rule) },
        reader: draft.reader.clone(),
        tag: beside.tag,
        seen: beside.plan.as_ref().map(|plan| plan.toml.clone()).unwrap_or_default(),
        plan: beside.plan,
    };
    frame.page(Place::Windows, &content.title, None, &content)
}

/// The field of the form that a fault stands at.
fn field_of<'f>(fault: &'f Fault, draft: &Draft) -> &'f str {
    if fault.key == "rrule" { draft.repeats.field_of(&fault.message) } else { &fault.key }
}

/// The groups and tags that there are, for hints.
fn known(book: &Book, t: &Texts) -> (String, String) {
    let mut groups = std::collections::BTreeSet::new();
    let mut tags = std::collections::BTreeSet::new();
    for labels in book.checks().filter_map(|check| Some(&check.current()?.labels)) {
        groups.extend(labels.group.as_ref().map(ToString::to_string));
        tags.extend(labels.tags.iter().map(ToString::to_string));
    }
    let told = |names: std::collections::BTreeSet<String>| {
        let all: Vec<String> = names.into_iter().take(KNOWN_SHOWN).collect();
        if all.is_empty() { String::new() } else { (t.windows.known)(&all.join(", ")) }
    };
    (told(groups), told(tags))
}

impl Plan {
    /// What the table would do that the draft writes.
    pub(super) fn of(
        book: &Book,
        window: &MaintenanceWindow,
        plan: &PlanView,
        (toml, reader): (String, &str),
        now: UtcMicros,
        t: &Texts,
    ) -> Self {
        let timetable = Timetable::of(window).ok();
        let own = timetable.as_ref().map_or(TimeZone::UTC, |timetable| timetable.zone().clone());
        let name = window.zone.clone().unwrap_or_else(|| "UTC".to_owned());
        let reader = if reader.is_empty() { "UTC" } else { reader };
        let theirs = maintenance::zone(reader).ok().filter(|_| reader != name);
        let open: Vec<Span> = timetable.iter().flat_map(|it| it.open_after(now).take(DATES_SHOWN)).collect();
        let date = |span: &Span| {
            let other = theirs.as_ref().map(|zone| on_wall(*span, zone, t)).unwrap_or_default();
            (on_wall(*span, &own, t), other)
        };
        let mut covered: Vec<String> = book.named_by(window).map(|check| check.id.to_string()).collect();
        covered.sort();
        Self {
            zone: name,
            reader: theirs.is_some().then(|| reader.to_owned()),
            dates: open.iter().map(date).collect(),
            covers: (t.windows.would_cover)(covered.len()),
            more: match covered.len().saturating_sub(CHECKS_SHOWN) {
                0 => String::new(),
                more => (t.ledger.more)(more as u64),
            },
            checks: covered.into_iter().take(CHECKS_SHOWN).collect(),
            open: open.first().is_some_and(|first| first.from <= now),
            lines: plan::lines(plan, t),
            warnings: plan.warnings.iter().map(|warning| (t.tell)(warning)).collect(),
            toml,
        }
    }
}

/// `Sun 2026-12-06 02:00 – 04:00 CET`; with the second day where it is another.
pub(super) fn on_wall(span: Span, zone: &TimeZone, t: &Texts) -> String {
    let at = |at: UtcMicros| Timestamp::from_microsecond(at.0).ok().map(|at| at.to_zoned(zone.clone()));
    let Some((from, to)) = at(span.from).zip(at(span.to)) else { return String::new() };
    let day = |at: &jiff::Zoned| {
        let weekday = usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or_default();
        format!("{} {}", (t.desk.weekday)(weekday), at.date())
    };
    let (begins, ends) = (from.strftime("%H:%M").to_string(), to.strftime("%H:%M %Z").to_string());
    let ends = if from.date() == to.date() { ends } else { format!("{} {ends}", day(&to)) };
    format!("{} {begins} – {ends}", day(&from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::Object;

    fn window(toml: &str) -> MaintenanceWindow {
        let Ok(Object::Maintenance(window)) = plan::object(toml) else { panic!("{toml}") };
        window
    }

    #[test]
    fn a_window_is_the_same_after_its_form() {
        for sample in [
            "[[maintenance]]\nid = \"night\"\nchecks = [\"a\", \"b\"]\nfrom = \"2026-12-06T02:00\"\nlasts = \"2h\"\nzone = \"Europe/Paris\"\nrrule = \"FREQ=WEEKLY;BYDAY=SU\"\n",
            "[[maintenance]]\nid = \"once\"\ngroups = [\"web\"]\ntags = [\"eu\"]\nfrom = \"2026-12-01T02:00:30Z\"\nlasts = \"90m\"\n",
            "[[maintenance]]\nid = \"odd\"\ntags = [\"eu\"]\nfrom = \"2026-12-06T02:00\"\nlasts = \"1d\"\nrrule = \"RRULE:BYDAY=1SU,3SU;FREQ=MONTHLY\"\n",
        ] {
            let window = window(sample);
            let draft = Draft::of(&window);
            assert_eq!(self::window(&draft.toml(Some(&window))), window, "{sample}");
            // Somebody who writes it anew means the same instants.
            let anew = self::window(&draft.toml(None));
            let all = Span::new(UtcMicros(1_790_000_000_000_000), UtcMicros(1_830_000_000_000_000));
            let open = |window: &MaintenanceWindow| Timetable::of(window).unwrap().open(all);
            assert_eq!(open(&anew), open(&window), "{sample}");
        }
    }

    #[test]
    fn a_form_cannot_write_another_table() {
        let form = BTreeMap::from([
            ("id".to_owned(), "x\"\n[[user]]\nid = \"me".to_owned()),
            ("from".to_owned(), "2026-12-06T02:00\"\n".to_owned()),
        ]);
        let toml = Draft::read(None, &form).toml(None);
        let table: toml::Table = toml.parse().unwrap();
        assert_eq!(table.keys().collect::<Vec<_>>(), ["maintenance"], "{toml}");
    }

    #[test]
    fn a_date_is_told_on_the_wall_of_a_zone() {
        use crate::present::text::FR;
        let span = Span::new(UtcMicros(1_796_518_800_000_000), UtcMicros(1_796_526_000_000_000));
        let paris = maintenance::zone("Europe/Paris").unwrap();
        assert_eq!(on_wall(span, &paris, &FR), "dim 2026-12-06 02:00 – 04:00 CET");
        let far = maintenance::zone("America/New_York").unwrap();
        assert_eq!(on_wall(span, &far, &FR), "sam 2026-12-05 20:00 – 22:00 EST");
    }
}
