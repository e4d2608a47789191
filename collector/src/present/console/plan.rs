//! Forms that write one object as code: what they write is judged, planned and applied as every file is.
//!
//! Nothing is applied that was not shown (`seen`), nor over what somebody else changed since the form was opened (`tag`).

use std::collections::BTreeMap;

use axum::http::StatusCode;

use super::faults::Fault;
use crate::book::{Book, Object, ObjectKind};
use crate::checkfile::{self, Source};
use crate::present::Present;
use crate::present::api::definitions::{self, Seen};
use crate::present::audit::Note;
use crate::present::door::Caller;
use crate::present::dto::PlanView;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;

/// What the table is called in errors.
const FILE: &str = "console";

/// What a form wrote.
pub(super) struct Draft<'f> {
    pub(super) kind: ObjectKind,
    /// The id that it says.
    pub(super) id: &'f str,
    /// Whether there was nothing of that id when the form was opened.
    pub(super) is_new: bool,
    /// Its table.
    pub(super) toml: &'f str,
    /// The fields: `do`, `seen` and `tag` among them.
    pub(super) fields: &'f BTreeMap<String, String>,
}

/// What came of it.
pub(super) enum Outcome {
    /// It is applied.
    Applied,
    /// Applying would do this.
    Planned(Planned),
    /// It is wrong; the tag is that of what the form was opened with.
    Wrong(Vec<Fault>, String),
}

/// A plan that is to be shown.
pub(super) struct Planned {
    pub(super) view: PlanView,
    /// What it starts from.
    pub(super) tag: String,
    /// Said above it; may be empty.
    pub(super) notice: &'static str,
}

impl Draft<'_> {
    /// Plans it, or applies it where that was asked for and this very table was shown.
    ///
    /// # Errors
    /// When what somebody else wrote meanwhile does not go with it.
    pub(super) async fn write(
        &self,
        present: &Present,
        caller: &Caller,
        note: &Note,
        t: &'static Texts,
    ) -> Answer<Outcome> {
        let told = |key: &str| self.fields.get(key).map(|text| text.replace('\r', "")).unwrap_or_default();
        let (tag, asked) = (told("tag"), told("do") == "apply");
        let applies = asked && told("seen") == self.toml;
        note.tell(format!("{}{} {}", if applies { "" } else { "plan of " }, self.kind.table(), self.id));
        match self.put(present, caller, &tag, !applies).await {
            Ok(_) if applies => Ok(Outcome::Applied),
            Ok(view) => {
                let notice = if asked { t.desk.plan_not_shown } else { "" };
                Ok(Outcome::Planned(Planned { view, tag, notice }))
            }
            Err(why) if why.status() == StatusCode::PRECONDITION_FAILED && self.is_new => {
                Ok(Outcome::Wrong(vec![Fault::at("id", (t.desk.plan_taken)(self.id))], tag))
            }
            // Somebody else was faster: what they wrote is what the plan begins from now.
            Err(why) if why.status() == StatusCode::PRECONDITION_FAILED => {
                let tag = tag_of(&present.app().book(), self.kind, self.id);
                let view = self.put(present, caller, &tag, true).await?;
                Ok(Outcome::Planned(Planned { view, tag, notice: t.desk.plan_changed }))
            }
            Err(why) => Ok(Outcome::Wrong(Fault::all(&why, FILE, self.toml), tag)),
        }
    }

    async fn put(&self, present: &Present, caller: &Caller, tag: &str, dry_run: bool) -> Answer<PlanView> {
        let seen = if tag.is_empty() { Seen::Nothing } else { Seen::Tag(tag.to_owned()) };
        definitions::put(present, caller, (self.kind, self.id), &seen, file(self.toml), dry_run).await
    }
}

/// The tag of what there is; empty where there is nothing.
pub(super) fn tag_of(book: &Book, kind: ObjectKind, id: &str) -> String {
    definitions::tag_of(book, kind, id).unwrap_or_default()
}

/// The one object that a table is.
///
/// # Errors
/// What is wrong with the table.
pub(super) fn object(toml: &str) -> Answer<Object> {
    let written =
        checkfile::parse(&[file(toml)]).map_err(|faults| Problem::new(Code::BadRequest, faults.to_string()))?;
    let object = written.objects.into_iter().next().map(|written| written.object);
    object.ok_or_else(|| Problem::new(Code::Internal, "the table holds no object"))
}

fn file(toml: &str) -> Source {
    Source { name: FILE.to_owned(), text: toml.to_owned() }
}

/// What a plan changes, in lines: each object, and each key with its value before and after.
pub(super) fn lines(plan: &PlanView, t: &Texts) -> Vec<String> {
    let mut lines = Vec::new();
    for item in plan.objects.iter().filter(|item| item.action != "unchanged") {
        lines.push(format!("{}{}{}", item.id, t.colon, (t.desk.plan_action)(&item.action)));
        let changed =
            |field: &crate::present::dto::FieldView| format!("{}{}{} → {}", field.field, t.colon, field.from, field.to);
        lines.extend(item.fields.iter().map(changed));
    }
    lines
}
