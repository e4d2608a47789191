//! Accounting policies in the settings: what there is, with every version, and a form that writes the next one. Its plan tells which figures the draft
//! would have changed, before anything is saved.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use sitepulse_daemon::clock;
use sitepulse_model::accounting::AccountingPolicy;
use sitepulse_model::terms::Reckoned;

use super::acts::{self, quoted};
use super::faults::Fault;
use super::frame::{Frame, Place};
use super::incidents::moment;
use super::parts::{Choice, Field, Input};
use super::plan::{self, Outcome, Planned};
use super::sheet::{Sheet, choice};
use crate::app::Access;
use crate::book::{Book, Object, ObjectKind};
use crate::policy::trial::{DAYS, Differs, Trial};
use crate::present::api::definitions;
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::PlanView;
use crate::present::dto::policy::{PolicyVersionView, PolicyView};
use crate::present::policy::{self, policy_views};
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;
use crate::present::text::desk::DeskTexts;
use crate::present::text::policy::PolicyTexts;
use crate::present::{Present, figure};

const KIND: ObjectKind = ObjectKind::Policy;
/// The kinds of time whose counting is chosen, as the table names them.
const TIMES: [&str; 4] = ["maintenance", "unknown", "degraded", "regional"];
/// How they may count.
const COUNTINGS: [&str; 4] = ["excluded", "up", "down", "by_share"];
/// Most checks whose figures a plan tells.
const DIFFER_SHOWN: usize = 20;

#[derive(Template)]
#[template(path = "policies.html")]
struct List<'a> {
    t: &'a Texts,
    w: &'a PolicyTexts,
    may_edit: bool,
    policies: Vec<Row>,
}

struct Row {
    id: String,
    /// Whether it can be changed.
    own: bool,
    ended: bool,
    now: Version,
    earlier: Vec<Version>,
    used_by: String,
}

struct Version {
    name: String,
    objective: String,
    hours: String,
    /// A kind of time and how it counts.
    counts: Vec<(&'static str, &'static str)>,
    author: String,
}

/// What a form says of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Draft {
    id: String,
    objective: String,
    /// In the order of [`TIMES`].
    counts: [String; 4],
    zone: String,
    weekly: String,
    except: String,
}

#[derive(Template)]
#[template(path = "policy_edit.html")]
struct Editor<'a> {
    d: &'a DeskTexts,
    w: &'a PolicyTexts,
    t: &'a Texts,
    title: String,
    action: String,
    faults: Vec<String>,
    notice: &'static str,
    promise: Vec<Field>,
    counts: Vec<Field>,
    hours: Vec<Field>,
    tag: String,
    plan: Option<Plan>,
}

/// What applying would do.
struct Plan {
    lines: Vec<String>,
    warnings: Vec<String>,
    toml: String,
    title: String,
    what: &'static str,
    differ: Vec<Differing>,
    notes: Vec<String>,
}

struct Differing {
    check: String,
    before: Figure,
    after: Figure,
    change: String,
}

struct Figure {
    availability: String,
    /// Whether the objective was kept: the colour and the word.
    met: (&'static str, &'static str),
    budget_left: String,
}

/// `GET /settings/policies`
pub async fn policies_page(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    list(&present, &frame)
}

fn list(present: &Present, frame: &Frame) -> Answer<Response> {
    let t = frame.t;
    let book = present.app().book();
    let policies = policy_views(&book).iter().filter_map(|view| Row::of(view, &book, t)).collect();
    let content = List { t, w: t.policies, may_edit: frame.may(Access::Edit), policies };
    frame.page(Place::Settings, t.policies.all, Some("objects"), &content)
}

/// `GET /settings/policies/new`
pub async fn new_policy(frame: Frame) -> Answer<Response> {
    let draft = Draft { id: String::new(), ..Draft::of(&AccountingPolicy::built_in()) };
    page(&frame, None, &draft, Vec::new(), ("", ""), None)
}

/// `GET /settings/policies/{id}/edit`
pub async fn edit_policy(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    let (draft, tag) = {
        let book = present.app().book();
        (Draft::of(&current(&book, &id)?), plan::tag_of(&book, KIND, &id))
    };
    page(&frame, Some(&id), &draft, Vec::new(), (&tag, ""), None)
}

/// `POST /settings/policies/new` and `/settings/policies/{id}/edit`: the plan, or applies it.
pub async fn write_policy(
    State(present): State<Present>,
    frame: Frame,
    Extension(caller): Extension<Caller>,
    path: Option<Path<String>>,
    note: Note,
    Form(form): Form<BTreeMap<String, String>>,
) -> Answer<Response> {
    let id = path.map(|Path(id)| id);
    let own = id.as_ref().map_or_else(|| "/settings/policies/new".into(), |id| format!("/settings/policies/{id}/edit"));
    if let Some(id) = &id {
        current(&present.app().book(), id)?;
    }
    let draft = Draft::read(id.as_deref(), &form);
    let toml = draft.toml();
    let written = plan::Draft { kind: KIND, id: &draft.id, is_new: id.is_none(), toml: &toml, fields: &form };
    let outcome = written.write(&present, &caller, &note, frame.t).await?;
    let (frame, id) = (frame.once(own), id.as_deref());
    match outcome {
        Outcome::Applied => Ok(acts::see("/settings/policies")),
        Outcome::Planned(Planned { view, tag, notice }) => {
            let plan = planned(&present, &view, toml, frame.t).await?;
            page(&frame, id, &draft, Vec::new(), (&tag, notice), Some(plan))
        }
        Outcome::Wrong(faults, tag) => {
            let mut page = page(&frame, id, &draft, faults, (&tag, ""), None)?;
            *page.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(page)
        }
    }
}

/// `GET /settings/policies/{id}/end`
pub async fn policy_ending_page(
    State(present): State<Present>,
    frame: Frame,
    Path(id): Path<String>,
) -> Answer<Response> {
    current(&present.app().book(), &id)?;
    ending(&frame, &id)
}

/// `POST /settings/policies/{id}/end`
pub async fn end_policy(
    State(present): State<Present>,
    frame: Frame,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    note: Note,
) -> Answer<Response> {
    note.tell(format!("{} {id}", KIND.table()));
    match definitions::end(&present, &caller, KIND.table(), &id).await {
        Ok(()) => Ok(acts::see("/settings/policies")),
        Err(why) => ending(&frame.refused("/settings/policies", why), &id),
    }
}

fn ending(frame: &Frame, id: &str) -> Answer<Response> {
    let w = frame.t.policies;
    let sheet = Sheet {
        title: (w.retire_title)(id),
        intro: w.retire_what.into(),
        from: ("/settings/policies".into(), w.all.into()),
        action: format!("/settings/policies/{id}/end"),
        submit: w.retire,
        danger: true,
        ..Sheet::default()
    };
    sheet.page(frame, Place::Settings)
}

fn current(book: &Book, id: &str) -> Answer<AccountingPolicy> {
    let found = book.objects().policies.current(id).ok_or_else(|| Problem::not_found("accounting policy", id))?;
    Ok(found.body.clone())
}

/// What the table would do, which was judged already.
async fn planned(present: &Present, view: &PlanView, toml: String, t: &'static Texts) -> Answer<Plan> {
    let Object::Policy(draft) = plan::object(&toml)? else {
        return Err(Problem::new(Code::Internal, "the policy is not in its own table"));
    };
    let trial = policy::trial(present, draft).await?;
    Ok(Plan::of(plan::lines(view, t), view.warnings.clone(), toml, &trial, t))
}

impl Plan {
    fn of(lines: Vec<String>, warnings: Vec<String>, toml: String, trial: &Trial, t: &Texts) -> Self {
        let w = t.policies;
        let unshown = trial.differ.len().saturating_sub(DIFFER_SHOWN);
        let notes = [
            (trial.differ.is_empty()).then(|| w.trial_same.to_owned()),
            (unshown > 0).then(|| (t.ledger.more)(unshown as u64)),
            (trial.same > 0 && !trial.differ.is_empty()).then(|| (w.trial_others)(trial.same)),
            (trial.left_out > 0).then(|| (w.trial_left_out)(trial.left_out)),
            (!trial.slos.is_empty()).then(|| (w.trial_slos)(&trial.slos.join(", "))),
        ];
        Self {
            lines,
            warnings: warnings.iter().map(|warning| (t.tell)(warning)).collect(),
            toml,
            title: (w.trial)(DAYS),
            what: if trial.before.is_some() { w.trial_what } else { w.trial_new },
            differ: trial.differ.iter().take(DIFFER_SHOWN).map(|one| Differing::of(one, t)).collect(),
            notes: notes.into_iter().flatten().collect(),
        }
    }
}

impl Differing {
    fn of(one: &Differs, t: &Texts) -> Self {
        let time = |us: i64| {
            let text = (t.number)(figure::coarse(us.unsigned_abs() as f64 / 1e6, t.slo.day));
            if us < 0 { format!("\u{2212}{text}") } else { text }
        };
        let figure = |counted: &Reckoned| Figure {
            availability: figure::availability(counted.counts.availability(), t),
            met: match counted.met() {
                Some(true) => ("up", t.policies.met),
                Some(false) => ("down", t.policies.missed),
                None => ("", ""),
            },
            budget_left: time(counted.budget().left_us),
        };
        let change = match one.before.counts.availability().zip(one.after.counts.availability()) {
            Some(_) => {
                let points = one.change() * 100.0;
                let sign = if points < -0.0005 {
                    "\u{2212}"
                } else if points > 0.0005 {
                    "+"
                } else {
                    "±"
                };
                (t.policies.points)(&(t.number)(format!("{sign}{:.3}", points.abs())))
            }
            None => String::new(),
        };
        Self { check: one.check.clone(), before: figure(&one.before), after: figure(&one.after), change }
    }
}

impl Row {
    fn of(view: &PolicyView, book: &Book, t: &Texts) -> Option<Self> {
        let (newest, earlier) = view.versions.split_last()?;
        let slos = book.objects().slos.living();
        let counts = |policy: Option<&str>| policy.map_or(view.built_in, |policy| policy == view.id);
        let slos = slos.filter(|(_, slo)| counts(slo.body.policy.as_deref())).map(|(id, _)| id);
        let slos = slos.collect::<Vec<_>>().join(", ");
        let w = t.policies;
        Some(Self {
            id: view.id.clone(),
            own: !view.built_in && !newest.retired,
            ended: newest.retired,
            now: Version::of(newest, t),
            earlier: earlier.iter().rev().map(|version| Version::of(version, t)).collect(),
            used_by: if slos.is_empty() { w.unused.to_owned() } else { (w.used_by)(&slos) },
        })
    }
}

impl Version {
    fn of(version: &PolicyVersionView, t: &Texts) -> Self {
        let (w, policy, now) = (t.policies, &version.policy, clock::now());
        let rules = [policy.maintenance, policy.unknown, policy.degraded, policy.regional];
        let hours = policy.hours.as_ref().map(|hours| {
            let weekly: Vec<String> = hours.weekly.iter().map(ToString::to_string).collect();
            format!("{} ({})", weekly.join(", "), hours.zone)
        });
        Self {
            name: match &version.from {
                Some(from) => (w.version_since)(version.version, &moment(from, now)),
                None => w.since_ever.to_owned(),
            },
            objective: (t.number)(policy.objective.to_string().replace('%', " %")),
            hours: hours.unwrap_or_else(|| w.always.to_owned()),
            counts: TIMES.iter().zip(rules).map(|(kind, rule)| ((w.time)(kind), (w.counting)(rule.as_str()))).collect(),
            author: version.author.strip_prefix("collector:").unwrap_or(&version.author).to_owned(),
        }
    }
}

impl Draft {
    fn of(policy: &AccountingPolicy) -> Self {
        let rules = [policy.maintenance, policy.unknown, policy.degraded, policy.regional];
        let lines = |texts: Vec<String>| texts.join("\n");
        let hours = policy.hours.as_ref();
        Self {
            id: policy.id.clone(),
            objective: policy.objective.to_string(),
            counts: rules.map(|rule| rule.as_str().to_owned()),
            zone: hours.map(|hours| hours.zone.clone()).unwrap_or_default(),
            weekly: lines(hours.iter().flat_map(|hours| hours.weekly.iter().map(ToString::to_string)).collect()),
            except: lines(hours.iter().flat_map(|hours| hours.except.iter().map(ToString::to_string)).collect()),
        }
    }

    /// What a form says. Whoever reads French writes a decimal comma.
    fn read(id: Option<&str>, form: &BTreeMap<String, String>) -> Self {
        let told = |key: &str| form.get(key).map(|text| text.trim().replace('\r', "")).unwrap_or_default();
        let objective: String = told("objective").replace(',', ".").split_whitespace().collect();
        let bare = !objective.is_empty() && !objective.ends_with('%');
        Self {
            id: id.map_or_else(|| told("id"), str::to_owned),
            objective: if bare { objective + "%" } else { objective },
            counts: TIMES.map(told),
            zone: told("zone"),
            weekly: told("weekly"),
            except: told("except"),
        }
    }

    /// The same as code.
    fn toml(&self) -> String {
        let mut out = format!("[[policy]]\nid = {}\nobjective = {}\n", quoted(&self.id), quoted(&self.objective));
        for (key, counting) in TIMES.iter().zip(&self.counts).filter(|(_, counting)| !counting.is_empty()) {
            out.push_str(&format!("{key} = {}\n", quoted(counting)));
        }
        let list = |text: &str| {
            let entries = text.split(['\n', ',']).map(str::trim).filter(|entry| !entry.is_empty()).map(quoted);
            entries.collect::<Vec<_>>().join(", ")
        };
        if !(self.zone.is_empty() && self.weekly.is_empty() && self.except.is_empty()) {
            let except = list(&self.except);
            let except = if except.is_empty() { except } else { format!(", except = [{except}]") };
            let (zone, weekly) = (quoted(&self.zone), list(&self.weekly));
            out.push_str(&format!("hours = {{ zone = {zone}, weekly = [{weekly}]{except} }}\n"));
        }
        out
    }
}

/// The field of the form that a fault stands at.
fn field_of(fault: &Fault) -> &str {
    match fault.key.as_str() {
        "hours.zone" => "zone",
        "hours.except" => "except",
        "hours.weekly" => "weekly",
        "hours" if fault.message.contains("time zone") => "zone",
        "hours" if fault.message.contains("no day") => "except",
        "hours" => "weekly",
        other => other,
    }
}

/// The form. `tag`: of what it was opened with; `notice`: said above it.
fn page(
    frame: &Frame,
    id: Option<&str>,
    draft: &Draft,
    faults: Vec<Fault>,
    (tag, notice): (&str, &'static str),
    plan: Option<Plan>,
) -> Answer<Response> {
    let (t, w) = (frame.t, frame.t.policies);
    let at = |field: &str| {
        let of = faults.iter().filter(|fault| field_of(fault) == field);
        of.map(|fault| (t.tell)(&fault.message)).collect::<Vec<_>>().join(" ")
    };
    let field = |name: &'static str, label: &str, hint: &str, value: &str| Field {
        label: label.to_owned(),
        hint: hint.to_owned(),
        error: at(name),
        ..Field::text(name, value)
    };
    let mut promise = vec![Field {
        required: true,
        placeholder: "99.9%".into(),
        ..field("objective", w.objective, w.objective_what, &draft.objective)
    }];
    if id.is_none() {
        promise.insert(0, Field { required: true, ..field("id", t.page.id, w.id_what, &draft.id) });
    }
    let counting = |(kind, value): (&'static str, &String)| {
        // Nobody votes down in time that is unknown or degraded.
        let shareless = ["unknown", "degraded"].contains(&kind);
        let offered = COUNTINGS.iter().filter(|counting| !(shareless && **counting == "by_share"));
        let choices: Vec<Choice> = offered.map(|counting| choice(counting, (w.counting)(counting))).collect();
        Field { input: Input::Select(choices), ..field(kind, (w.time)(kind), "", value) }
    };
    let counts: Vec<Field> = TIMES.into_iter().zip(&draft.counts).map(counting).collect();
    let lines = |rows: u32, field: Field| Field { input: Input::Lines(rows), ..field };
    let hours = vec![
        Field { placeholder: "Europe/Paris".into(), ..field("zone", w.zone, w.zone_what, &draft.zone) },
        lines(3, field("weekly", w.weekly, w.weekly_what, &draft.weekly)),
        lines(3, field("except", w.except, w.except_what, &draft.except)),
    ];
    let shown: Vec<&str> = promise.iter().chain(&counts).chain(&hours).map(|field| field.name).collect();
    let content = Editor {
        d: t.desk,
        w,
        t,
        title: id.map_or_else(|| w.new.to_owned(), |id| (w.edit_title)(id)),
        action: id.map_or_else(|| "/settings/policies/new".into(), |id| format!("/settings/policies/{id}/edit")),
        faults: faults
            .iter()
            .filter(|fault| !shown.contains(&field_of(fault)))
            .map(|fault| (t.tell)(&fault.message))
            .collect(),
        notice,
        promise,
        counts,
        hours,
        tag: tag.to_owned(),
        plan,
    };
    frame.page(Place::Settings, &content.title, None, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_the_same_after_its_form() {
        for sample in [
            "[[policy]]\nid = \"gold\"\nobjective = \"99.95%\"\n",
            "[[policy]]\nid = \"gold\"\nobjective = \"99%\"\nmaintenance = \"by_share\"\nunknown = \"down\"\nregional = \"by_share\"\n\
             hours = { zone = \"Europe/Paris\", weekly = [\"mon-fri 08:00-20:00\", \"fri 22:00-sat 06:00\"], except = [\"2026-12-25\"] }\n",
        ] {
            let read = |text: &str| {
                let Ok(Object::Policy(policy)) = plan::object(text) else { panic!("{text}") };
                policy
            };
            let policy = read(sample);
            assert_eq!(read(&Draft::of(&policy).toml()), policy);
        }
    }

    #[test]
    fn an_objective_may_have_a_comma_and_no_sign() {
        let form = |text: &str| BTreeMap::from([("objective".to_owned(), text.to_owned())]);
        for (said, means) in [("99,9 %", "99.9%"), ("99.95", "99.95%"), (" 99 ", "99%"), ("", ""), ("most", "most%")] {
            assert_eq!(Draft::read(None, &form(said)).objective, means);
        }
    }
}
