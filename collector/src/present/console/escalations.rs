//! Escalation policies as ladders that say whom each level reaches, a form that writes one, and a dry run for an incident that is not.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::clock;
use sitepulse_model::escalation::{EscalationPolicy, LEVELS_MAX};
use sitepulse_model::incident::Severity;
use sitepulse_model::time::UtcMicros;

use super::acts::{self, Doer, quoted};
use super::frame::{Frame, Place};
use super::incident::{Reached, targets};
use super::incidents::severities;
use super::parts::{Choice, Field, Input};
use super::plan;
use super::sheet::choice;
use crate::app::Access;
use crate::book::{Book, ObjectKind};
use crate::present::api::definitions;
use crate::present::dto::PlanView;
use crate::present::dto::oncall::{EscalationView, LevelView};
use crate::present::oncall::escalation_view;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;
use crate::present::text::alerting::AlertingTexts;
use crate::present::text::desk::DeskTexts;
use crate::present::text::incidents::IncidentTexts;
use crate::present::{Present, api};

const KIND: ObjectKind = ObjectKind::Escalation;
/// Most checks that a policy names on the page.
const CHECKS_SHOWN: usize = 6;
/// Targets of a level that a form has room for beyond those there are.
const TARGETS_MORE: usize = 2;

#[derive(Template)]
#[template(path = "desk/escalations.html")]
struct List<'a> {
    t: &'a Texts,
    w: &'a AlertingTexts,
    d: &'a DeskTexts,
    may_edit: bool,
    policies: Vec<Ladder>,
    fields: Vec<Field>,
    /// Whom an incident would tell that somebody thought of.
    asked: Option<Asked>,
}

struct Asked {
    title: String,
    ladder: Option<Ladder>,
}

/// A policy.
struct Ladder {
    id: String,
    version: u32,
    default: bool,
    levels: Vec<Rung>,
    after: Vec<String>,
    checks: Vec<String>,
    used: String,
}

struct Rung {
    name: String,
    after: String,
    least: String,
    passed_by: bool,
    targets: Vec<Reached>,
}

/// The form of a policy.
#[derive(Template)]
#[template(path = "desk/escalation_edit.html")]
struct Editor<'a> {
    w: &'a AlertingTexts,
    d: &'a DeskTexts,
    /// Whether there is no such policy yet.
    new: bool,
    action: String,
    id: String,
    default: bool,
    repeat: String,
    ack_pause: String,
    levels: Vec<LevelForm>,
    channels: Vec<Choice>,
    users: Vec<Choice>,
    schedules: Vec<Choice>,
    severities: Vec<Choice>,
    plan: Option<Plan>,
    /// What the form was opened with; empty: there was none.
    tag: String,
    /// That somebody changed it meanwhile; may be empty.
    notice: &'static str,
}

struct LevelForm {
    number: usize,
    name: String,
    after: String,
    least: String,
    /// Those chosen, and some empty ones.
    targets: Vec<(usize, String)>,
}

/// What applying would do.
struct Plan {
    lines: Vec<String>,
    warnings: Vec<String>,
    toml: String,
}

/// What is asked of the dry run.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DryRunQuery {
    check: String,
    severity: String,
}

/// What a form says of a policy.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Draft {
    id: String,
    default: bool,
    repeat: String,
    ack_pause: String,
    /// When, for which severity on, whom.
    levels: Vec<(String, String, Vec<String>)>,
}

/// `GET /escalations`
pub async fn escalations_page(
    State(present): State<Present>,
    frame: Frame,
    Query(query): Query<DryRunQuery>,
) -> Answer<Response> {
    let (now, t) = (clock::now(), frame.t);
    let severity = Severity::parse(&query.severity).unwrap_or(Severity::Critical);
    let check = query.check.trim().to_owned();
    let dry = !query.severity.is_empty();
    let read = move |book: &Book| -> Answer<_> {
        let living = book.objects().escalations.living();
        let policies: Vec<Ladder> = living
            .map(|(id, revised)| Ladder::of(book, &escalation_view(book, revised, Severity::Critical, now), id, now, t))
            .collect();
        if !dry {
            return Ok((policies, None));
        }
        // Without a check it is an incident of an agent or an objective.
        let named = match check.as_str() {
            "" => None,
            id => api::check_of(book, id)?.newest().labels.escalation.as_ref().map(ToString::to_string),
        };
        let escalations = &book.objects().escalations;
        let policy = named
            .and_then(|id| escalations.current(&id))
            .or_else(|| escalations.living().map(|(_, policy)| policy).find(|policy| policy.body.default));
        let ladder = policy
            .map(|revised| Ladder::of(book, &escalation_view(book, revised, severity, now), &revised.body.id, now, t));
        let about = if check.is_empty() { String::new() } else { format!("{check}, ") };
        let title = format!("{about}{}", (t.incidents.severity)(severity.as_str()));
        Ok((policies, Some(Asked { title, ladder })))
    };
    let (frame, (policies, asked)) = match present.read(read).await? {
        Ok(found) => (frame, found),
        Err(why) => {
            let all = move |book: &Book| {
                let living = book.objects().escalations.living();
                let of = |(id, revised)| {
                    Ladder::of(book, &escalation_view(book, revised, Severity::Critical, now), id, now, t)
                };
                living.map(of).collect::<Vec<_>>()
            };
            (frame.refused("/escalations", why), (present.read(all).await?, None))
        }
    };
    let d = t.desk;
    let chosen = if query.severity.is_empty() { "critical" } else { &query.severity };
    let fields = vec![
        Field { label: t.check.into(), ..Field::text("check", &query.check) },
        Field {
            label: d.severity.into(),
            input: Input::Select(severities(t, "").into_iter().skip(1).collect()),
            ..Field::text("severity", chosen)
        },
    ];
    let may_edit = frame.may(Access::Edit);
    let content = List { t, w: t.alerting, d, may_edit, policies, fields, asked };
    frame.page(Place::Escalations, t.alerting.escalations, Some("objects figures"), &content)
}

/// `GET /escalations/new`
pub async fn new_escalation(State(present): State<Present>, frame: Frame) -> Answer<Response> {
    let default = !present.app().book().objects().escalations.living().any(|(_, policy)| policy.body.default);
    let draft = Draft {
        default,
        repeat: "2".into(),
        ack_pause: "60m".into(),
        levels: vec![("0s".into(), String::new(), Vec::new()), ("10m".into(), String::new(), Vec::new())],
        ..Draft::default()
    };
    editor(&present, &frame, None, &draft, Beside::default())
}

/// `GET /escalations/{id}/edit`
pub async fn edit_escalation(State(present): State<Present>, frame: Frame, Path(id): Path<String>) -> Answer<Response> {
    let (draft, tag) = {
        let book = present.app().book();
        let found = book.objects().escalations.current(&id);
        let draft = Draft::of(&found.ok_or_else(|| Problem::not_found("escalation policy", &id))?.body);
        (draft, definitions::tag_of(&book, KIND, &id).unwrap_or_default())
    };
    editor(&present, &frame, Some(&id), &draft, Beside { tag, ..Beside::default() })
}

/// `POST /escalations/new` and `/escalations/{id}/edit`: one more level, the plan, or applies it.
pub async fn write_escalation(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    path: Option<Path<String>>,
    Form(form): Form<BTreeMap<String, String>>,
) -> Answer<Response> {
    let id = path.map(|Path(id)| id);
    let own = id.as_ref().map_or_else(|| "/escalations/new".to_owned(), |id| format!("/escalations/{id}/edit"));
    let mut draft = Draft::read(id.as_deref(), &form);
    let (told, id, t) = (form.get("do").map(String::as_str), id.as_deref(), frame.t);
    let mut beside = Beside { tag: form.get("tag").cloned().unwrap_or_default(), ..Beside::default() };
    if told == Some("more") {
        doer.note.tell("nothing: one more level on the form");
        draft.levels.push(Default::default());
        return editor(&present, &frame.once(own), id, &draft, beside);
    }
    let (apply, toml) = (told == Some("apply"), draft.toml());
    let mut done = acts::put(&present, &doer, (KIND, &draft.id), &beside.tag, toml.clone(), !apply).await;
    let late = done.as_ref().is_err_and(|why| why.code() == Code::Changed);
    if late && id.is_some() {
        // Somebody else was faster: what they wrote is what the plan begins from now.
        (beside.notice, beside.tag) = (t.trouble.changed_meanwhile, acts::tag_of(&present, KIND, &draft.id));
        done = acts::put(&present, &doer, (KIND, &draft.id), &beside.tag, toml.clone(), true).await;
    } else if late {
        done = Err(Problem::new(Code::Conflict, (t.trouble.taken)(&draft.id)));
    }
    match done {
        Ok(_) if apply && !late => Ok(acts::see("/escalations")),
        Ok(plan) => {
            beside.plan = Some(Plan::of(&plan, toml, t));
            editor(&present, &frame.once(own), id, &draft, beside)
        }
        Err(why) => editor(&present, &frame.refused(own, why), id, &draft, beside),
    }
}

/// What the form shows beside its fields.
#[derive(Default)]
struct Beside {
    /// The tag of what it was opened with; empty: there was none.
    tag: String,
    /// Said above it; may be empty.
    notice: &'static str,
    plan: Option<Plan>,
}

fn editor(present: &Present, frame: &Frame, id: Option<&str>, draft: &Draft, beside: Beside) -> Answer<Response> {
    let (t, d) = (frame.t, frame.t.desk);
    let (channels, users, schedules) = {
        let book = present.app().book();
        let objects = book.objects();
        let channels = objects.channels.living().map(|(id, _)| choice(id, id)).collect();
        let users = objects.users.living().map(|(id, user)| choice(&format!("user:{id}"), user.body.display_name()));
        let schedules = objects.schedules.living().map(|(id, _)| choice(&format!("oncall:{id}"), id));
        (channels, users.collect(), schedules.collect())
    };
    let levels = draft.levels.iter().enumerate().map(|(at, (after, least, targets))| {
        let room = (targets.len() + TARGETS_MORE).max(3);
        let targets = (0..room).map(|nth| (nth, targets.get(nth).cloned().unwrap_or_default()));
        LevelForm {
            number: at,
            name: (d.level_fields)(at + 1),
            after: after.clone(),
            least: least.clone(),
            targets: targets.collect(),
        }
    });
    let content = Editor {
        w: t.alerting,
        d,
        new: id.is_none(),
        action: id.map_or_else(|| "/escalations/new".to_owned(), |id| format!("/escalations/{id}/edit")),
        id: draft.id.clone(),
        default: draft.default,
        repeat: draft.repeat.clone(),
        ack_pause: draft.ack_pause.clone(),
        levels: levels.collect(),
        channels,
        users,
        schedules,
        severities: severities(t, d.every_severity),
        plan: beside.plan,
        tag: beside.tag,
        notice: beside.notice,
    };
    let title = id.map_or_else(|| d.new_policy.to_owned(), |id| format!("{} {id}", d.edit));
    frame.page(Place::Escalations, &title, None, &content)
}

impl Draft {
    fn of(policy: &EscalationPolicy) -> Self {
        let least = |level: &sitepulse_model::escalation::Level| {
            level.at_least.map(|least| least.as_str().to_owned()).unwrap_or_default()
        };
        Self {
            id: policy.id.clone(),
            default: policy.default,
            repeat: policy.repeat.to_string(),
            ack_pause: policy.ack_pause.clone(),
            levels: policy
                .levels
                .iter()
                .map(|level| (level.after.clone(), least(level), level.notify.clone()))
                .collect(),
        }
    }

    /// What a form says; a level without a time is none.
    fn read(id: Option<&str>, form: &BTreeMap<String, String>) -> Self {
        let told = |key: &str| form.get(key).map(|text| text.trim().to_owned()).unwrap_or_default();
        let mut levels = Vec::new();
        for at in 0..=LEVELS_MAX {
            let after = told(&format!("after-{at}"));
            if after.is_empty() {
                continue;
            }
            let prefix = format!("to-{at}-");
            let mut targets: Vec<(usize, String)> = form
                .iter()
                .filter_map(|(key, text)| Some((key.strip_prefix(&prefix)?.parse().ok()?, text.trim().to_owned())))
                .filter(|(_, text): &(usize, String)| !text.is_empty())
                .collect();
            targets.sort_by_key(|(nth, _)| *nth);
            let mut chosen: Vec<String> = Vec::new();
            for (_, text) in targets {
                if !chosen.contains(&text) {
                    chosen.push(text);
                }
            }
            levels.push((after, told(&format!("least-{at}")), chosen));
        }
        Self {
            id: id.map_or_else(|| told("id"), str::to_owned),
            default: told("default") == "yes",
            repeat: told("repeat"),
            ack_pause: told("ack_pause"),
            levels,
        }
    }

    /// The same as code.
    fn toml(&self) -> String {
        let mut out = format!("[[escalation]]\nid = {}\n", quoted(&self.id));
        if self.default {
            out.push_str("default = true\n");
        }
        out.push_str("levels = [\n");
        for (after, least, targets) in &self.levels {
            let targets: Vec<String> = targets.iter().map(|target| quoted(target)).collect();
            let least = if least.is_empty() { String::new() } else { format!(", at_least = {}", quoted(least)) };
            out.push_str(&format!("    {{ after = {}, notify = [{}]{least} }},\n", quoted(after), targets.join(", ")));
        }
        out.push_str("]\n");
        if !self.repeat.is_empty() {
            // What is no number is told by whoever reads the file.
            let number = self.repeat.bytes().all(|b| b.is_ascii_digit());
            let repeat = if number { self.repeat.clone() } else { quoted(&self.repeat) };
            out.push_str(&format!("repeat = {repeat}\n"));
        }
        if !self.ack_pause.is_empty() {
            out.push_str(&format!("ack_pause = {}\n", quoted(&self.ack_pause)));
        }
        out
    }
}

impl Plan {
    fn of(plan: &PlanView, toml: String, t: &Texts) -> Self {
        let warnings = plan.warnings.iter().map(|warning| (t.tell)(warning)).collect();
        Self { lines: plan::lines(plan, t), warnings, toml }
    }
}

impl Ladder {
    fn of(book: &Book, view: &EscalationView, id: &str, now: UtcMicros, t: &Texts) -> Self {
        let (w, d) = (t.alerting, t.desk);
        let named = book.checks().filter(|check| !check.retired()).filter(|check| {
            check.newest().labels.escalation.as_ref().is_some_and(|escalation| escalation.as_str() == id)
        });
        let mut checks: Vec<String> = named.map(|check| check.id.to_string()).collect();
        checks.sort();
        let count = checks.len();
        checks.truncate(CHECKS_SHOWN);
        let used = match (view.default, count) {
            (true, 0) => d.used_by_all.to_owned(),
            (true, count) => format!("{}, {}", d.used_by_all, (d.used_by_checks)(count)),
            (false, 0) => d.unused_policy.to_owned(),
            (false, count) => (d.used_by_checks)(count),
        };
        let repeats = (view.repeat > 0).then(|| (w.repeats)(view.repeat));
        let after = [repeats, Some((d.pause)(&view.ack_pause))];
        Self {
            id: view.id.clone(),
            version: view.version,
            default: view.default,
            levels: view.levels.iter().enumerate().map(|(at, level)| Rung::of(at, level, now, t)).collect(),
            after: after.into_iter().flatten().collect(),
            checks,
            used,
        }
    }
}

impl Rung {
    fn of(at: usize, level: &LevelView, now: UtcMicros, t: &Texts) -> Self {
        let i: &IncidentTexts = t.incidents;
        Self {
            name: (t.alerting.level)(at + 1),
            after: (t.alerting.after)(&level.after),
            least: level.at_least.as_deref().map(|least| (t.desk.least)(&(i.severity)(least))).unwrap_or_default(),
            passed_by: level.passed_by,
            targets: targets(&level.targets, now, t),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkfile::{self, Source};

    fn form(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_form_reads_as_the_policy_it_was_made_of() {
        let read = form(&[
            ("id", "web"),
            ("default", "yes"),
            ("repeat", "3"),
            ("ack_pause", "30m"),
            ("after-0", "0s"),
            ("to-0-0", "oncall:primary"),
            ("to-0-1", ""),
            ("to-0-2", "ops"),
            ("to-0-10", "user:ana"),
            ("after-1", " "),
            ("to-1-0", "ops"),
            ("after-2", "10m"),
            ("least-2", "major"),
            ("to-2-0", "ops"),
            ("to-2-1", "ops"),
        ]);
        let draft = Draft::read(None, &read);
        let text = draft.toml()
            + "[[channel]]\nid = \"ops\"\nkind = \"webhook\"\nurl = \"https://ops.example/\"\n[[user]]\nid = \"ana\"\n\
               [[schedule]]\nid = \"primary\"\nzone = \"UTC\"\nlayers = [{ users = [\"ana\"], rotation = \"daily\", handoff = \"09:00\", start = \"2026-11-01\" }]\n";
        let written = checkfile::parse(&[Source { name: "x".into(), text: text.clone() }])
            .unwrap_or_else(|e| panic!("{e:?}\n{text}"));
        let found = written.objects.iter().find_map(|one| {
            let crate::book::Object::Escalation(policy) = one.object.clone() else { return None };
            Some(policy)
        });
        let policy = found.unwrap();
        assert_eq!(policy.levels.len(), 2, "a level without a time is dropped");
        assert_eq!(policy.levels[0].notify, ["oncall:primary", "ops", "user:ana"], "in the order of their numbers");
        assert_eq!(policy.levels[1].notify, ["ops"], "named once");
        assert_eq!(policy.levels[1].at_least, Some(Severity::Major));
        assert_eq!(Draft::of(&policy), draft);
    }
}
