//! Writing a check: a form for the common settings beside the check file that they make. There is one truth, the file: the form writes
//! into it, and [`checkfile`] judges it as it judges every other.
//!
//! The file that a page shows comes back beside what was made of it (`base`): where the two differ, somebody wrote in the file, and it
//! counts; else the fields do. Nothing is applied that was not shown: the file that is applied must be the one whose plan was seen (`seen`).

mod profiles;

use askama::Template;
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use sitepulse_model::check::CheckKind;
use toml::{Table, Value};

use self::profiles::Profiles;
use super::acts::{self, Doer};
use super::broken_template;
use super::faults::Fault;
use super::frame::{Frame, Place};
use super::parts::{Choice, Field, Input, Notice};
use crate::app::{FieldDiff, Plan, PlanStep};
use crate::checkfile::compose::{ADDRESSES, number, table, text};
use crate::checkfile::{self, INTERVAL_US_DEFAULT, Source, TIMEOUT_US_DEFAULT, Written};
use crate::present::Present;
use crate::present::api::{check_of, definitions, plan_note};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;
use crate::present::view::plan_view;

/// What the file is called in errors.
const FILE: &str = "check";
/// The form's fields that are keys of the file as they are, in the form's order.
const TEXTS: [&str; 7] = ["id", "kind", "interval", "timeout", "group", "class", "quorum"];
/// Those that are numbers.
const NUMBERS: [&str; 3] = ["weight", "confirmations", "recoveries"];
/// Those that are lists.
const LISTS: [&str; 4] = ["tags", "regions", "parents", "expect"];

/// What the form says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Writing {
    id: String,
    kind: String,
    address: String,
    interval: String,
    timeout: String,
    group: String,
    tags: String,
    class: String,
    weight: String,
    regions: String,
    parents: String,
    quorum: String,
    confirmations: String,
    recoveries: String,
    expect: String,
    /// The device of a page's check; `None`: the form did not ask, and it stays as it is.
    profile: Option<String>,
    /// The file.
    toml: String,
    /// The file as the page showed it.
    base: String,
    /// The file whose plan was shown.
    seen: String,
    /// What the form was opened with; empty: no check of this id.
    tag: String,
}

/// What a new check begins with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Beginning {
    address: String,
}

#[derive(Template)]
#[template(path = "editor.html")]
struct Content<'a> {
    t: &'a Texts,
    title: String,
    path: String,
    back: String,
    notice: Option<Notice>,
    first: Vec<Field>,
    more: Vec<Field>,
    /// Whether something is said in the second half of the fields.
    open: bool,
    file: Field,
    base: String,
    tag: String,
    plan: Option<Shown>,
}

/// What applying would do.
struct Shown {
    /// That somebody changed the check meanwhile; may be empty.
    notice: &'static str,
    creates: bool,
    fields: Vec<FieldDiff>,
    warnings: Vec<String>,
    seen: String,
    unchanged: bool,
}

/// `GET /new-check`
pub async fn new_page(
    State(present): State<Present>,
    frame: Frame,
    Query(beginning): Query<Beginning>,
) -> Answer<Response> {
    let (form, own) = (begin(&beginning.address), Profiles::of(&present.app().book()));
    let file = form.file(&own).unwrap_or_default();
    page(&frame, (None, &own), &form, &file, &[], None)
}

/// A check for an address, as far as it tells what it is.
fn begin(address: &str) -> Writing {
    let address = address.trim();
    let bare = !address.contains("://");
    let (kind, address) = match address {
        "" => ("http", String::new()),
        _ if address.starts_with("ws://") || address.starts_with("wss://") => ("websocket", address.to_owned()),
        // A port that is no web server's.
        _ if bare && address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
            ("tcp", address.to_owned())
        }
        _ if bare => ("http", format!("https://{address}")),
        _ => ("http", address.to_owned()),
    };
    let host = address.split("://").last().unwrap_or_default().split(['/', ':', '?', '#']).next().unwrap_or_default();
    let host = host.strip_prefix("www.").unwrap_or(host).to_lowercase();
    let id: String = host.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '-' }).take(60).collect();
    Writing { id: id.trim_matches('-').to_owned(), kind: kind.to_owned(), address, ..Writing::default() }
}

/// `POST /new-check`
pub async fn write_new(
    State(present): State<Present>,
    doer: Doer,
    frame: Frame,
    Form(form): Form<Writing>,
) -> Answer<Response> {
    write(&present, &doer, &frame, None, form).await
}

/// `GET /checks/{id}/edit`
pub async fn edit_page(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    let (file, tag, own) = {
        let book = present.app().book();
        let check = check_of(&book, &id)?.current().ok_or_else(|| Problem::not_found("check", &id))?;
        let told = table(&check.definition, &check.labels);
        let (keys, others) = told.map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        let tag = definitions::tag_of_check(&book, &id).unwrap_or_default();
        (text(&keys, &others), tag, Profiles::of(&book))
    };
    page(&frame, (Some(&id), &own), &Writing { tag, ..Writing::of_file(&file) }, &file, &[], None)
}

/// `POST /checks/{id}/edit`
pub async fn write_edit(
    State(present): State<Present>,
    doer: Doer,
    frame: Frame,
    Path(id): Path<String>,
    Form(form): Form<Writing>,
) -> Answer<Response> {
    if check_of(&present.app().book(), &id)?.retired() {
        return Err(Problem::not_found("check", &id));
    }
    write(&present, &doer, &frame, Some(&id), form).await
}

/// Shows what the form would do; does it, where that was shown and the check still is what the form was opened with.
async fn write(present: &Present, doer: &Doer, frame: &Frame, id: Option<&str>, form: Writing) -> Answer<Response> {
    let own = Profiles::of(&present.app().book());
    let file = match form.file(&own) {
        Ok(file) => file,
        // What is no TOML at all is told by the same judge as everything else.
        Err(text) => text,
    };
    let mut form = Writing::of_file(&file).or(form);
    doer.note.tell(format!("check {}", id.unwrap_or(&form.id)));
    let sources = [Source { name: FILE.to_owned(), text: file.clone() }];
    let written = match checkfile::parse(&sources) {
        Ok(written) => written,
        Err(errors) => {
            let faults: Vec<Fault> =
                errors.0.iter().map(|error| Fault::told(&error.to_string(), FILE, &file)).collect();
            return page(frame, (id, &own), &form, &file, &faults, None);
        }
    };
    if let Err(fault) = belongs(present, id, &written, frame.t) {
        return page(frame, (id, &own), &form, &file, &[fault], None);
    }
    let first = written.checks.first().map(|check| check.definition.id.to_string()).unwrap_or_default();
    let about = id.unwrap_or(&first);
    let apply = !form_seen(&form).is_empty() && same(form_seen(&form), &file);
    let put = async |tag: &str, dry_run| {
        definitions::put_checks(present, &doer.caller, (about, &acts::seen(tag)), sources.clone().into(), dry_run).await
    };
    let mut done = put(&form.tag, !apply).await;
    let late = id.is_some() && done.as_ref().is_err_and(|why| why.code() == Code::Changed);
    if late {
        // Somebody else was faster: what they wrote is what the plan begins from now.
        form.tag = definitions::tag_of_check(&present.app().book(), about).unwrap_or_default();
        done = put(&form.tag, true).await;
    }
    match done {
        Ok(plan) => {
            doer.note.tell(plan_note(&plan_view(&plan)));
            if apply && !late {
                return Ok(acts::see(&format!("/checks/{about}")));
            }
            let notice = if late { frame.t.trouble.changed_meanwhile } else { "" };
            page(frame, (id, &own), &form, &file, &[], Some(Shown { notice, ..Shown::of(plan, &file, frame.t) }))
        }
        Err(why) if why.code() == Code::Changed => {
            page(frame, (id, &own), &form, &file, &[Fault::at("id", (frame.t.page.taken)(about))], None)
        }
        Err(why) if matches!(why.code(), Code::BadChecks | Code::BadRequest | Code::Forbidden) => {
            page(frame, (id, &own), &form, &file, &Fault::all(&why, FILE, &file), None)
        }
        Err(why) => Err(why),
    }
}

fn form_seen(form: &Writing) -> &str {
    &form.seen
}

/// Browsers send lines with a carriage return.
fn same(a: &str, b: &str) -> bool {
    a.replace('\r', "").trim_end() == b.replace('\r', "").trim_end()
}

/// Whether the file is about the check that is edited, or about a new one.
fn belongs(present: &Present, id: Option<&str>, written: &Written, t: &Texts) -> Result<(), Fault> {
    if !written.objects.is_empty() {
        return Err(Fault::whole(t.page.only_one));
    }
    let ids: Vec<String> = written.checks.iter().map(|check| check.definition.id.to_string()).collect();
    match (id, ids.as_slice()) {
        (Some(id), [one]) if one != id => Err(Fault::at("id", (t.page.same_id)(id))),
        (Some(id), ids) if !ids.iter().any(|one| one == id) => Err(Fault::whole((t.page.one_check)(id))),
        (None, ids) => {
            let book = present.app().book();
            let living = |id: &&String| check_of(&book, id).is_ok_and(|check| !check.retired());
            ids.iter().find(living).map_or(Ok(()), |id| Err(Fault::at("id", (t.page.taken)(id))))
        }
        (Some(_), _) => Ok(()),
    }
}

impl Shown {
    fn of(plan: Plan, file: &str, t: &Texts) -> Self {
        let mut shown = Self {
            notice: "",
            creates: false,
            fields: Vec::new(),
            warnings: plan.warnings.iter().map(|warning| (t.tell)(warning)).collect(),
            seen: file.to_owned(),
            unchanged: plan.items.iter().all(|item| item.step == PlanStep::Unchanged),
        };
        for item in plan.items {
            match item.step {
                PlanStep::Create => shown.creates = true,
                PlanStep::Change { fields, .. } => shown.fields.extend(fields),
                PlanStep::Unchanged | PlanStep::Retire => {}
            }
        }
        shown
    }
}

impl Writing {
    /// The fields of a file with one check; what the form has no field for stays in the file.
    fn of_file(file: &str) -> Self {
        let check = parsed(file).map(|(check, _)| check).unwrap_or_default();
        let one = |key: &str| check.get(key).map(plain).unwrap_or_default();
        let list = |key: &str, separator: &str| match check.get(key) {
            Some(Value::Array(values)) => values.iter().map(plain).collect::<Vec<_>>().join(separator),
            Some(value) => plain(value),
            None => String::new(),
        };
        let kind = one("kind");
        Self {
            id: one("id"),
            address: address_key(&kind).map(one).unwrap_or_default(),
            interval: one("interval"),
            timeout: one("timeout"),
            group: one("group"),
            tags: list("tags", ", "),
            class: one("class"),
            weight: one("weight"),
            regions: list("regions", ", "),
            parents: list("parents", ", "),
            quorum: one("quorum"),
            confirmations: one("confirmations"),
            recoveries: one("recoveries"),
            expect: list("expect", "\n"),
            profile: has_profile(&kind).then(|| one("profile")),
            kind,
            ..Self::default()
        }
    }

    /// The fields of a file; those that were sent where it is none. What was seen is kept either way.
    fn or(self, sent: Self) -> Self {
        let Self { toml, base, seen, tag, .. } = sent.clone();
        if self.kind.is_empty() && self.id.is_empty() { sent } else { Self { toml, base, seen, tag, ..self } }
    }

    /// The file: as it was written, where somebody wrote in it, else with the fields in it; `own` are the profiles that others have.
    ///
    /// # Errors
    /// The text that the fields cannot be written into, because it is not TOML.
    fn file(&self, own: &Profiles) -> Result<String, String> {
        if !same(&self.toml, &self.base) {
            return Ok(self.toml.replace('\r', ""));
        }
        let (mut check, mut others) = if self.toml.trim().is_empty() {
            (Table::new(), Table::new())
        } else {
            parsed(&self.toml).ok_or_else(|| self.toml.replace('\r', ""))?
        };
        let before = check.get("kind").map(plain).unwrap_or_default();
        if before != self.kind {
            // What belonged to the other kind means nothing to this one.
            let known = CheckKind::keys(&self.kind).unwrap_or_default();
            check.retain(|key, _| checkfile::KEYS.contains(&key) || known.contains(&key));
        }
        let mut set = |key: &str, value: Option<Value>| match value {
            Some(value) => drop(check.insert(key.to_owned(), value)),
            None => drop(check.remove(key)),
        };
        let trimmed = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        for (key, value) in TEXTS.iter().zip([
            &self.id,
            &self.kind,
            &self.interval,
            &self.timeout,
            &self.group,
            &self.class,
            &self.quorum,
        ]) {
            set(key, trimmed(value).map(Value::String));
        }
        if let Some(key) = address_key(&self.kind) {
            set(key, trimmed(&self.address).map(Value::String));
        }
        for (key, value) in NUMBERS.iter().zip([&self.weight, &self.confirmations, &self.recoveries]) {
            // What is no number is told by the judge of the file.
            set(key, trimmed(value).map(|text| number(&text.replace(',', ".")).unwrap_or(Value::String(text))));
        }
        for (key, value) in LISTS.iter().zip([&self.tags, &self.regions, &self.parents, &self.expect]) {
            let split: &[char] = if *key == "expect" { &['\n'] } else { &[',', ' ', '\n'] };
            let entries: Vec<Value> = value.split(split).filter_map(trimmed).map(Value::String).collect();
            set(key, (!entries.is_empty()).then_some(Value::Array(entries)));
        }
        if let Some(name) = self.profile.as_ref().filter(|_| has_profile(&self.kind)) {
            set("profile", trimmed(name).map(Value::String));
            own.describe(name.trim(), &mut others);
        }
        Ok(text(&check, &others))
    }
}

/// The check of a file and its other tables; `None` where it does not hold exactly one.
fn parsed(file: &str) -> Option<(Table, Table)> {
    let mut whole: Table = toml::from_str(file).ok()?;
    let Some(Value::Array(mut checks)) = whole.remove("check") else { return None };
    match (checks.pop(), checks.is_empty()) {
        (Some(Value::Table(check)), true) => Some((check, whole)),
        (Some(_) | None, _) => None,
    }
}

/// A value without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// The key of a kind's target that a plain address goes to.
fn address_key(kind: &str) -> Option<&'static str> {
    let known = CheckKind::keys(kind)?;
    ADDRESSES.into_iter().find(|key| known.contains(key) && kind != "flow")
}

/// Whether checks of a kind are run on a device profile.
fn has_profile(kind: &str) -> bool {
    CheckKind::keys(kind).is_some_and(|keys| keys.contains(&"profile"))
}

fn page(
    frame: &Frame,
    (id, own): (Option<&str>, &Profiles),
    form: &Writing,
    file: &str,
    faults: &[Fault],
    plan: Option<Shown>,
) -> Answer<Response> {
    let (t, w) = (frame.t, frame.t.page);
    let (mut first, more) = fields(form, id, faults, t);
    if let Some(name) = form.profile.as_deref().filter(|_| has_profile(&form.kind)) {
        let error = faults.iter().filter(|fault| fault.key == "profile").map(|fault| (t.tell)(&fault.message));
        first.push(Field { error: error.collect::<Vec<_>>().join(" "), ..own.field(name, file, t) });
    }
    let shown: Vec<&str> = first.iter().chain(&more).filter(|field| !field.error.is_empty()).map(|f| f.name).collect();
    // What stands at no field stands above them all.
    let lines = faults.iter().filter(|fault| !shown.contains(&field_of(&fault.key, &form.kind)));
    let notice = (!faults.is_empty()).then(|| Notice {
        tone: "critical",
        text: (w.wrong)(faults.len()),
        lines: lines.map(|fault| (t.tell)(&fault.message)).collect(),
    });
    let title = id.map_or_else(|| w.new_title.to_owned(), |id| (w.edit_title)(id));
    let content = Content {
        t,
        title: title.clone(),
        path: id.map_or_else(|| "/new-check".to_owned(), |id| format!("/checks/{id}/edit")),
        back: id.map_or_else(|| "/checks".to_owned(), |id| format!("/checks/{id}")),
        notice,
        open: more.iter().any(|field| !field.error.is_empty() || !field.value.is_empty()),
        first,
        more,
        file: Field {
            label: w.as_file.to_owned(),
            hint: w.as_file_hint.to_owned(),
            input: Input::Lines(14),
            wide: true,
            ..Field::text("toml", file)
        },
        base: file.to_owned(),
        tag: form.tag.clone(),
        plan,
    };
    let status = if faults.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let text = content.render().map_err(|_| broken_template())?;
    frame.around(status, Place::Checks, &title, None, text)
}

/// The field of the form that a key of the file is written in.
fn field_of<'k>(key: &'k str, kind: &str) -> &'k str {
    if address_key(kind) == Some(key) { "address" } else { key }
}

fn fields(form: &Writing, id: Option<&str>, faults: &[Fault], t: &Texts) -> (Vec<Field>, Vec<Field>) {
    let w = t.page;
    let errors = |name: &str| {
        let of = faults.iter().filter(|fault| field_of(&fault.key, &form.kind) == name);
        of.map(|fault| (t.tell)(&fault.message)).collect::<Vec<_>>().join(" ")
    };
    let field = |name: &'static str, label: &str, value: &str, hint: String| Field {
        label: label.to_owned(),
        hint,
        error: errors(name),
        ..Field::text(name, value)
    };
    let choice = |value: &str, label: &str| Choice { value: value.to_owned(), label: label.to_owned() };
    let kinds = CheckKind::NAMES.iter().map(|kind| choice(kind, kind)).collect();
    let classes = ["", "critical", "low"].map(|class| choice(class, (w.class_of)(class)));
    let by_default = |us: u64| (w.default)(&sitepulse_model::duration::format(us));
    let first = vec![
        Field {
            required: true,
            wide: true,
            placeholder: "https://shop.example/".to_owned(),
            ..field("address", w.address, &form.address, w.address_hint.to_owned())
        },
        Field { required: id.is_none(), ..field("id", w.id, &form.id, w.id_hint.to_owned()) },
        Field { input: Input::Select(kinds), ..field("kind", t.list.kind, &form.kind, String::new()) },
        Field {
            placeholder: "30s".to_owned(),
            ..field("interval", w.interval, &form.interval, by_default(INTERVAL_US_DEFAULT))
        },
        field("regions", t.regions, &form.regions, w.regions_hint.to_owned()),
        Field {
            wide: true,
            input: Input::Lines(3),
            placeholder: "status < 400\nlatency < 2s".to_owned(),
            ..field("expect", w.expect, &form.expect, w.expect_hint.to_owned())
        },
    ];
    let more = vec![
        field("group", t.list.group, &form.group, String::new()),
        field("tags", t.list.tag, &form.tags, w.list_hint.to_owned()),
        Field { input: Input::Select(classes.into()), ..field("class", w.class, &form.class, String::new()) },
        field("weight", t.weight, &form.weight, w.weight_hint.to_owned()),
        field("timeout", w.timeout, &form.timeout, by_default(TIMEOUT_US_DEFAULT)),
        field("quorum", w.quorum, &form.quorum, w.quorum_hint.to_owned()),
        field("confirmations", w.confirmations, &form.confirmations, (w.default)("2")),
        field("recoveries", w.recoveries, &form.recoveries, (w.default)("1")),
        Field { wide: true, ..field("parents", w.parents, &form.parents, w.list_hint.to_owned()) },
    ];
    let address = address_key(&form.kind).is_some();
    // A kind without an address has its target in the file alone.
    let first = first.into_iter().filter(|field| address || field.name != "address");
    (first.collect(), more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_enough_to_begin_with() {
        let of = |address: &str| {
            let form = begin(address);
            (form.kind, form.id, form.address)
        };
        let check = |kind: &str, id: &str, address: &str| (kind.to_owned(), id.to_owned(), address.to_owned());
        assert_eq!(of("https://www.shop.example/a?b"), check("http", "shop-example", "https://www.shop.example/a?b"));
        assert_eq!(of(" shop.example "), check("http", "shop-example", "https://shop.example"));
        assert_eq!(of("mail.shop.example:25"), check("tcp", "mail-shop-example", "mail.shop.example:25"));
        assert_eq!(of("wss://shop.example/live"), check("websocket", "shop-example", "wss://shop.example/live"));
        assert_eq!(of(""), check("http", "", ""));
    }

    #[test]
    fn fields_write_the_file_and_keep_what_they_do_not_know() {
        let file = "[[check]]\nid = \"shop\"\nkind = \"http\"\nurl = \"https://shop.example/\"\nmethod = \"HEAD\"\n";
        let form = Writing { toml: file.into(), base: file.into(), ..Writing::of_file(file) };
        assert_eq!(form.file(&Profiles::default()).unwrap(), file);
        let form = Writing { interval: " 10s ".into(), tags: "a, b".into(), weight: "2,5".into(), ..form };
        let written = form.file(&Profiles::default()).unwrap();
        assert_eq!(written, format!("{file}interval = \"10s\"\nweight = 2.5\ntags = [\"a\", \"b\"]\n"));
        let other = Writing { kind: "tcp".into(), address: "shop.example:443".into(), ..form };
        assert!(!other.file(&Profiles::default()).unwrap().contains("method"), "a key of the other kind");
    }

    #[test]
    fn what_was_written_in_the_file_counts() {
        let (base, toml) = ("[[check]]\r\nid = \"a\"\r\n", "[[check]]\r\nid = \"b\" # mine\r\n");
        let form = Writing { id: "a".into(), base: base.into(), toml: toml.into(), ..Writing::default() };
        assert_eq!(form.file(&Profiles::default()).unwrap(), "[[check]]\nid = \"b\" # mine\n");
        let broken = Writing { base: "[[".into(), toml: "[[".into(), ..Writing::default() };
        assert_eq!(broken.file(&Profiles::default()), Err("[[".to_owned()));
    }

    #[test]
    fn a_fault_stands_at_its_field() {
        let file = "[[check]]\nid = \"shop\"\nkind = \"http\"\ninterval = \"1 fortnight\"\n";
        let errors = checkfile::parse(&[Source { name: FILE.into(), text: file.into() }]).unwrap_err();
        let keys: Vec<String> = errors.0.iter().map(|error| Fault::told(&error.to_string(), FILE, file).key).collect();
        assert!(keys.contains(&"url".to_owned()) && keys.contains(&"interval".to_owned()), "{keys:?}");
        assert_eq!(field_of("url", "http"), "address");
    }
}
