//! A short form as a page of its own. Where scripts run, a link with `data-dialog` shows it above the page one is on.

use askama::Template;
use axum::response::Response;

use super::frame::{Frame, Place};
use super::parts::{Choice, Field, Input};
use crate::present::problem::Answer;
use crate::present::text::Texts;

/// The form.
#[derive(Debug, Default, Template)]
#[template(path = "desk/sheet.html")]
pub(super) struct Sheet {
    pub(super) title: String,
    /// What it does, in a sentence or two; may be empty.
    pub(super) intro: String,
    /// The page it belongs to: its address and name.
    pub(super) from: (String, String),
    /// Where it is sent to.
    pub(super) action: String,
    /// What goes with it unseen.
    pub(super) hidden: Vec<(&'static str, String)>,
    pub(super) fields: Vec<Field>,
    /// What its button says.
    pub(super) submit: &'static str,
    /// Whether what it does cannot be undone.
    pub(super) danger: bool,
}

impl Sheet {
    /// The page.
    ///
    /// # Errors
    /// When a template fails, which only a broken build does.
    pub(super) fn page(&self, frame: &Frame, place: Place) -> Answer<Response> {
        frame.page(place, &self.title, None, self)
    }
}

/// Until when: one of some lengths, or a time of one's own.
pub(super) fn until_fields(lasts: &str, until: &str, t: &Texts) -> [Field; 2] {
    let d = t.desk;
    let lengths = d.spans.iter().map(|(value, label)| choice(value, label)).collect();
    let lasts = if lasts.is_empty() { "1h" } else { lasts };
    [
        Field { label: d.lasts_for.into(), input: Input::Select(lengths), ..Field::text("for", lasts) },
        Field { label: d.or_until.into(), input: Input::When, ..Field::text("until", until) },
    ]
}

/// A line that must be written.
pub(super) fn line(name: &'static str, label: &str, value: &str) -> Field {
    Field { label: label.to_owned(), required: true, wide: true, ..Field::text(name, value) }
}

/// A value to choose.
pub(super) fn choice(value: &str, label: &str) -> Choice {
    Choice { value: value.to_owned(), label: label.to_owned() }
}
