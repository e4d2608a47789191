//! The frame around every page: who looks, in which language and colours, where in the console they are.
//!
//! A handler takes a [`Frame`] as its argument and answers with [`Frame::page`]. The choice of language and colours lies in two
//! cookies that hold nothing else, so it needs no account; `?lang=fr` in an address outweighs it.

use std::convert::Infallible;

use askama::Template;
use axum::extract::{Extension, Form, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::parts::Notice;
use super::{broken_template, html};
use crate::present::audit::Why;
use crate::present::door::{Caller, Door, cookie, secure};
use crate::present::live::Told;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::{Language, Texts};

/// The reader's language.
const LANGUAGE_COOKIE: &str = "sitepulse_lang";
/// The reader's colours.
const THEME_COOKIE: &str = "sitepulse_theme";
/// How long a choice is remembered, in seconds: a year.
const CHOICE_SECONDS: u64 = 365 * 86_400;
/// A request for the content alone, by the page itself, to stay live.
const PART: &str = "x-part";

/// A place in the console, as its navigation lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// What there is, at a glance.
    Home,
    /// Checks.
    Checks,
    /// Agents and where their runs went.
    Agents,
    /// Incidents.
    Incidents,
    /// What detectors found.
    Findings,
    /// Service level objectives.
    Objectives,
    /// Who is on call.
    OnCall,
    /// Escalation policies.
    Escalations,
    /// Playbooks and their runs.
    Playbooks,
    /// Channels and what went out by them.
    Channels,
    /// Silences.
    Silences,
    /// Maintenance windows.
    Windows,
    /// How alerting does.
    Indicators,
    /// Work that is done beside answering.
    Jobs,
    /// One's own account, tokens, users, the audit log.
    Settings,
    /// The API as its document tells it.
    Api,
}

impl Place {
    /// In the order of the navigation.
    pub const ALL: [Self; 16] = [
        Self::Home,
        Self::Checks,
        Self::Incidents,
        Self::Findings,
        Self::Agents,
        Self::Objectives,
        Self::OnCall,
        Self::Escalations,
        Self::Playbooks,
        Self::Channels,
        Self::Silences,
        Self::Windows,
        Self::Indicators,
        Self::Jobs,
        Self::Settings,
        Self::Api,
    ];

    /// Where it is.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Home => "/",
            Self::Checks => "/checks",
            Self::Agents => "/agents",
            Self::Incidents => "/incidents",
            Self::Findings => "/findings",
            Self::Objectives => "/slos",
            Self::OnCall => "/on-call",
            Self::Escalations => "/escalations",
            Self::Playbooks => "/playbooks",
            Self::Channels => "/channels",
            Self::Silences => "/silences",
            Self::Windows => "/windows",
            Self::Indicators => "/indicators",
            Self::Jobs => "/jobs",
            Self::Settings => "/settings",
            Self::Api => "/api/v1/docs",
        }
    }

    /// The part of the navigation that it stands in.
    const fn section(self) -> Section {
        match self {
            Self::Home | Self::Checks | Self::Agents => Section::Watch,
            Self::Incidents | Self::OnCall | Self::Escalations | Self::Playbooks | Self::Channels | Self::Silences => {
                Section::Respond
            }
            Self::Findings | Self::Objectives | Self::Indicators | Self::Windows => Section::Improve,
            Self::Jobs | Self::Settings | Self::Api => Section::System,
        }
    }

    /// What it is called.
    pub(super) const fn label(self, t: &Texts) -> &'static str {
        match self {
            Self::Home => t.frame.home,
            Self::Checks => t.checks,
            Self::Agents => t.agents,
            Self::Incidents => t.incidents.incidents,
            Self::Findings => t.findings.title,
            Self::Objectives => t.slo.short,
            Self::OnCall => t.alerting.on_call,
            Self::Escalations => t.alerting.escalations,
            Self::Playbooks => t.playbooks.title,
            Self::Channels => t.alerting.channels,
            Self::Silences => t.alerting.silences,
            Self::Windows => t.windows.title,
            Self::Indicators => t.indicators.title,
            Self::Jobs => t.jobs.title,
            Self::Settings => t.access.settings,
            Self::Api => t.api.title,
        }
    }
}

/// A part of the navigation: what its places are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// What there is, and how it does.
    Watch,
    /// What went wrong, and whom it calls.
    Respond,
    /// What was promised, what is planned, what to do better.
    Improve,
    /// The collector itself.
    System,
}

impl Section {
    /// In the order of the navigation.
    pub const ALL: [Self; 4] = [Self::Watch, Self::Respond, Self::Improve, Self::System];

    /// What it is called.
    const fn label(self, t: &Texts) -> &'static str {
        match self {
            Self::Watch => t.frame.watch,
            Self::Respond => t.frame.respond,
            Self::Improve => t.frame.improve,
            Self::System => t.frame.system,
        }
    }

    /// Its places, in the order of the navigation.
    fn places(self) -> impl Iterator<Item = Place> {
        Place::ALL.into_iter().filter(move |place| place.section() == self)
    }
}

/// Who looks, and how.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The language.
    pub lang: Language,
    /// Its words.
    pub t: &'static Texts,
    /// Who asks; nobody on public pages.
    pub caller: Option<Caller>,
    /// `light`, `dark`; else as the system says.
    theme: Option<&'static str>,
    /// The address of this page without its language, to come back to.
    back: String,
    /// Where the story of [`crate::present::live`] stood when this page was asked for.
    told: Option<Told>,
    /// Whether the content alone is asked for.
    part: bool,
    /// Why what was asked for was not done.
    refusal: Option<Problem>,
    /// Whether the page is none that its address would show again.
    once: bool,
    /// Whether something of the page is still being made.
    unfinished: bool,
}

struct Choosable {
    name: &'static str,
    label: &'static str,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    t: &'a Texts,
    lang: Language,
    theme: Option<&'static str>,
    themes: [Choosable; 3],
    place: Place,
    title: &'a str,
    back: &'a str,
    /// What is within, rendered.
    content: String,
    /// The topics of [`crate::present::live`] that change it.
    live: Option<&'static str>,
    /// The event that its stream goes on from.
    told: Option<u64>,
    signed_in: bool,
    /// Whether it is loaded again soon where no scripts run.
    unfinished: bool,
}

impl Frame {
    fn of(parts: &Parts) -> Self {
        let asked = parts.uri.query().unwrap_or_default();
        let given = asked.split('&').find_map(|pair| pair.strip_prefix("lang="));
        let lang = language(given, &parts.headers);
        let theme = cookie(&parts.headers, THEME_COOKIE).and_then(theme);
        let kept: Vec<&str> = asked.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("lang=")).collect();
        let path = parts.uri.path();
        let back = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
        let (caller, part) = (parts.extensions.get::<Caller>().cloned(), parts.headers.contains_key(PART));
        let told = parts.extensions.get::<Told>().copied();
        Self { lang, t: lang.texts(), caller, theme, back, told, part, refusal: None, once: false, unfinished: false }
    }

    /// Whether who looks may do what asks for this access.
    pub fn may(&self, access: crate::app::Access) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.access >= access)
    }

    /// The same reader on the page at `path`, which tells first why something was not done.
    #[must_use]
    pub fn refused(self, path: impl Into<String>, why: Problem) -> Self {
        Self { back: path.into(), part: false, refusal: Some(why), ..self }
    }

    /// The same reader on the page at `path`, which says something this once: it is not to be fetched again by itself.
    #[must_use]
    pub fn once(self, path: impl Into<String>) -> Self {
        Self { back: path.into(), part: false, once: true, ..self }
    }

    /// The same reader on a page of which something may still be made: without scripts, which hear when it is there, the page is loaded again soon.
    #[must_use]
    pub fn unfinished(self, unfinished: bool) -> Self {
        Self { unfinished, ..self }
    }

    /// The page. `live`: the topics of [`crate::present::live`], separated by spaces, that change what it shows; a live page's
    /// content is a row of elements with an id each, which are replaced one by one.
    ///
    /// # Errors
    /// When a template fails, which only a broken build does.
    pub fn page(
        &self,
        place: Place,
        title: &str,
        live: Option<&'static str>,
        content: &impl Template,
    ) -> Answer<Response> {
        let content = content.render().map_err(|_| broken_template())?;
        self.around(StatusCode::OK, place, title, live, content)
    }

    /// [`Self::page`] around content that is rendered already.
    ///
    /// # Errors
    /// When a template fails, which only a broken build does.
    pub fn around(
        &self,
        status: StatusCode,
        place: Place,
        title: &str,
        live: Option<&'static str>,
        content: String,
    ) -> Answer<Response> {
        if self.part {
            return Ok((status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], content).into_response());
        }
        let (t, f) = (self.t, self.t.frame);
        let (status, live, content) = match &self.refusal {
            None => (status, live.filter(|_| !self.once), content),
            Some(problem) => {
                let view = problem.view();
                let text = format!("{} {}", t.desk.not_done, self.lang.tell(&view.detail).0);
                let lines = view.errors.iter().map(|line| self.lang.tell(line).0).collect();
                let above = Notice { tone: "critical", text, lines };
                let above = above.render().map_err(|_| broken_template())?;
                // The address is that of a form: what it would be asked for again is not this page.
                (StatusCode::from_u16(view.status).unwrap_or(status), None, above + &content)
            }
        };
        let chosen = self.theme.unwrap_or("auto");
        let themes = [("auto", f.auto), ("light", f.light), ("dark", f.dark)].map(|(name, label)| Choosable {
            name,
            label,
            chosen: name == chosen,
        });
        let signed_in = self.caller.as_ref().is_some_and(|caller| caller.session.is_some());
        let Self { lang, theme, back, unfinished, .. } = self;
        let told = self.told.map(|Told(number)| number);
        let (lang, theme, unfinished) = (*lang, *theme, *unfinished);
        let page = Page { t, lang, theme, themes, place, title, back, content, live, told, signed_in, unfinished };
        let mut page = html(status, self.lang, &page)?;
        if let Some(why) = &self.refusal {
            page.extensions_mut().insert(Why(why.detail().to_owned()));
        }
        Ok(page)
    }
}

#[derive(Template)]
#[template(path = "narrow.html")]
struct Narrow<'a> {
    t: &'a Texts,
    lang: Language,
    theme: Option<&'static str>,
    title: &'a str,
    /// What is within, rendered.
    content: String,
}

impl Frame {
    /// The same for a request that reaches no handler.
    pub(super) fn of_request(parts: &Parts) -> Self {
        Self::of(parts)
    }

    /// The address of this page, to come back to.
    pub(super) fn back(&self) -> &str {
        &self.back
    }

    /// A page for people without a session: no navigation.
    ///
    /// # Errors
    /// When a template fails, which only a broken build does.
    pub(super) fn narrow(&self, status: StatusCode, title: &str, content: &impl Template) -> Answer<Response> {
        let content = content.render().map_err(|_| broken_template())?;
        html(status, self.lang, &Narrow { t: self.t, lang: self.lang, theme: self.theme, title, content })
    }

    /// The colours that were chosen: `light`, `dark`, `auto`.
    pub(super) fn chosen_theme(&self) -> &'static str {
        self.theme.unwrap_or("auto")
    }
}

impl<S: Sync> FromRequestParts<S> for Frame {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

fn theme(name: &str) -> Option<&'static str> {
    ["light", "dark"].into_iter().find(|known| *known == name)
}

/// The language asked for, else chosen before, else the browser's.
pub fn language(asked: Option<&str>, headers: &HeaderMap) -> Language {
    let chosen = || cookie(headers, LANGUAGE_COOKIE).and_then(Language::of_tag);
    asked.and_then(Language::of_tag).or_else(chosen).unwrap_or_else(|| {
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Language::negotiate(accepted.unwrap_or_default())
    })
}

/// A choice of language or colours.
#[derive(Debug, Deserialize)]
pub struct Choice {
    theme: Option<String>,
    lang: Option<String>,
    #[serde(default)]
    back: String,
}

/// `POST /appearance`: remembers a choice in a cookie and goes back.
///
/// # Errors
/// On a choice that the console does not offer.
pub async fn appearance(Extension(door): Extension<Door>, Form(choice): Form<Choice>) -> Answer<Response> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let flag = if secure(door) { "; Secure" } else { "" };
    let mut remember = |name: &str, value: Option<&str>| {
        let (value, seconds) = value.map_or(("", 0), |value| (value, CHOICE_SECONDS));
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{flag}");
        let value = HeaderValue::from_str(&text).map_err(|_| unknown("choice"))?;
        response.headers_mut().append(header::SET_COOKIE, value);
        Ok::<_, Problem>(())
    };
    if let Some(name) = &choice.theme {
        let known = theme(name);
        if known.is_none() && name != "auto" {
            return Err(unknown("theme: auto, light or dark"));
        }
        remember(THEME_COOKIE, known)?;
    }
    if let Some(tag) = &choice.lang {
        let known = Language::of_tag(tag).ok_or_else(|| unknown("language: en or fr"))?;
        remember(LANGUAGE_COOKIE, Some(known.tag()))?;
    }
    let location = HeaderValue::from_str(here(&choice.back)).unwrap_or(HeaderValue::from_static("/"));
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

fn unknown(what: &str) -> Problem {
    Problem::new(Code::BadRequest, format!("the console has no such {what}"))
}

/// A path of this very console; `/` in place of anything else.
pub fn here(back: &str) -> &str {
    // Browsers leave tabs and the like out: "/\t/evil.example" is "//evil.example" to them.
    let local =
        back.starts_with('/') && !back.starts_with("//") && !back.contains(|c: char| c == '\\' || c.is_control());
    if local { back } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_a_route() {
        let routes = crate::present::route::routes();
        for place in Place::ALL {
            let found = routes.iter().any(|route| route.method == "GET" && route.path == place.path());
            assert!(found, "{place:?} leads to {}, which is no route", place.path());
        }
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        assert_eq!(here("/checks?x=1"), "/checks?x=1");
        for other in ["https://evil.example", "//evil.example", "/\\evil.example", "", "checks", "/a\r\nSet-Cookie: x"]
        {
            assert_eq!(here(other), "/", "{other}");
        }
    }
}
