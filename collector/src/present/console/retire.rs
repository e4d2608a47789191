//! Taking a check, a channel or an escalation policy out of use: a page with one button, which opens as a dialog where scripts run.
//!
//! It is what the API does by `DELETE` of a definition: the history stays, and what still refers to it is told.

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;

use super::acts::{self, Doer};
use super::frame::{Frame, Place};
use super::sheet::Sheet;
use crate::book::ObjectKind;
use crate::present::Present;
use crate::present::api::definitions;
use crate::present::problem::{Answer, Problem};
use crate::present::text::Texts;

/// What is taken out of use.
#[derive(Debug, Clone, Copy)]
enum What {
    Check,
    Channel,
    Escalation,
}

impl What {
    /// By the page's address: `/checks/{id}/retire`.
    fn of(uri: &Uri) -> Answer<Self> {
        match uri.path().split('/').nth(1).unwrap_or_default() {
            "checks" => Ok(Self::Check),
            "channels" => Ok(Self::Channel),
            "escalations" => Ok(Self::Escalation),
            other => Err(Problem::not_found("kind of definition", other)),
        }
    }

    /// The table of a file that it is written in.
    const fn table(self) -> &'static str {
        match self {
            Self::Check => definitions::CHECK,
            Self::Channel => ObjectKind::Channel.table(),
            Self::Escalation => ObjectKind::Escalation.table(),
        }
    }

    /// The page with all of them.
    const fn place(self) -> Place {
        match self {
            Self::Check => Place::Checks,
            Self::Channel => Place::Channels,
            Self::Escalation => Place::Escalations,
        }
    }

    const fn words(self, t: &Texts) -> &'static str {
        match self {
            Self::Check => t.desk.retire_check_what,
            Self::Channel | Self::Escalation => t.desk.retire_what,
        }
    }

    fn sheet(self, frame: &Frame, id: &str) -> Answer<Response> {
        let (t, place) = (frame.t, self.place());
        let all = place.path();
        let from = match self {
            Self::Check => (format!("{all}/{id}"), id.to_owned()),
            Self::Channel | Self::Escalation => (all.to_owned(), place.label(t).to_owned()),
        };
        let sheet = Sheet {
            title: format!("{} {id}", t.users.retire),
            intro: self.words(t).into(),
            from,
            action: format!("{all}/{id}/retire"),
            submit: t.users.retire,
            danger: true,
            ..Sheet::default()
        };
        sheet.page(frame, place)
    }
}

/// `GET /checks/{id}/retire`, `/channels/{id}/retire`, `/escalations/{id}/retire`: the button.
pub async fn retiring_page(
    State(present): State<Present>,
    frame: Frame,
    Path(id): Path<String>,
    uri: Uri,
) -> Answer<Response> {
    let what = What::of(&uri)?;
    if !definitions::is_there(&present.app().book(), what.table(), &id) {
        return Err(Problem::not_found(what.table(), &id));
    }
    what.sheet(&frame, &id)
}

/// `POST` there.
pub async fn retire_defined(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Path(id): Path<String>,
    uri: Uri,
) -> Answer<Response> {
    let what = What::of(&uri)?;
    doer.note.tell(format!("-{} {id}", what.table()));
    match definitions::end(&present, &doer.caller, what.table(), &id).await {
        Ok(()) => Ok(acts::see(what.place().path())),
        Err(why) if why.is_not_found() => Err(why),
        Err(why) => what.sheet(&frame.refused(uri.path(), why), &id),
    }
}
