//! The console: one file a page, [`frame`] around each. Live pages hear of changes by server-sent events ([`crate::present::live`]) and fetch what changed.
//!
//! It works without scripts (then it shows the state at loading). Everything is escaped by the templates; the pages load nothing
//! from elsewhere.

mod acts;
mod agents;
pub mod api_docs;
mod backtest;
mod calendar;
mod channels;
mod check;
mod checks;
mod editor;
mod escalations;
mod explain;
mod facts;
mod faults;
mod findings;
pub mod frame;
mod home;
mod impact;
mod incident;
mod incidents;
mod indicators;
mod jobs;
mod join;
mod latency;
mod ledger;
mod oncall;
pub mod parts;
mod plan;
mod playbooks;
mod policies;
mod policy;
mod provider;
mod retire;
mod row;
mod scoring;
mod settings;
mod sheet;
mod sign_in;
mod silences;
mod slo;
mod suspend;
mod terms;
mod trouble;
mod users;
mod vitals;
mod windows;

use std::sync::LazyLock;

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sitepulse_model::incident::{IncidentState, Severity};

pub use agents::{act_on_agent, agent_page, agents_page, revoke_page, suspend_page};
pub use backtest::backtest_page;
pub use channels::{apply_channel, channels_page, edit_channel, new_channel, retry_delivery, test_channel};
pub use check::{check_page, run_page, weigh_pair};
pub use checks::checks_page;
pub use editor::{edit_page, new_page, write_edit, write_new};
pub use escalations::{edit_escalation, escalations_page, new_escalation, write_escalation};
pub use explain::explain_page;
pub use findings::{acknowledge_finding, finding_page, findings_page, take_back_finding};
pub use frame::appearance;
pub(super) use frame::language;
pub use home::page;
pub use impact::impact_page;
pub use incident::incident_page;
pub(super) use incidents::moment;
pub use incidents::{act as act_on_incident, act_page, incidents_page, new_incident, open_incident};
pub use indicators::indicators_page;
pub use jobs::{act_on_job, ask_job, job_page, jobs_page};
pub use join::{join, join_page, revoke_join_token};
pub use oncall::{end_override, feed_shown, give_override, oncall_page, override_page};
pub use playbooks::{act_on_playbook, playbook_page, playbook_run_page, playbooks_page, start_playbook};
pub use policies::{edit_policy, end_policy, new_policy, policies_page, policy_ending_page, write_policy};
pub use provider::{from_provider, to_provider};
pub use retire::{retire_defined, retiring_page};
use row::{age, class, clock_text, suspension};
pub use scoring::{scoring_page, write_scoring};
pub use settings::{act_on_user, audit_page, change_password, end_session, make_token, revoke_token, settings_page};
pub use sign_in::{accept_invitation, invited, refused, sign_in, sign_in_by_password, sign_out};
pub use silences::{end_silence, make_silence, new_silence, silences_page};
pub use slo::slos_page;
pub use suspend::{resume_check, suspend_check, suspend_check_page};
pub use terms::terms_page;
pub use trouble::{as_page, is_for_people};
pub use users::{edit_user, new_user, retire_user, retiring_user, write_user};
pub use windows::{edit_window, end_window, ending_page, new_window, windows_page, write_window};

use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Language;

const CSS: &str = concat!(
    include_str!("../../templates/css/tokens.css"),
    include_str!("../../templates/css/frame.css"),
    include_str!("../../templates/css/pages.css"),
    include_str!("../../templates/css/parts.css"),
    include_str!("../../templates/css/home.css"),
    include_str!("../../templates/css/checks.css"),
    include_str!("../../templates/css/desk.css"),
    include_str!("../../templates/css/check.css"),
    include_str!("../../templates/css/settings.css"),
    include_str!("../../templates/css/indicators.css"),
    include_str!("../../templates/css/jobs.css"),
    include_str!("../../templates/css/api.css"),
    include_str!("../../templates/css/playbooks.css"),
);
const JS: &str = concat!(
    include_str!("../../templates/js/live.js"),
    include_str!("../../templates/js/dialog.js"),
    include_str!("../../templates/js/keys.js"),
    include_str!("../../templates/js/zone.js"),
);
const ICON: &str = include_str!("../../templates/icon.svg");

/// What a page may be asked.
#[derive(Debug, Default, Deserialize)]
pub struct PageQuery {
    span: Option<String>,
    policy: Option<String>,
    /// Of an explanation: the votes of this agent alone.
    agent: Option<String>,
    /// Of an explanation: the votes of this region alone.
    region: Option<String>,
    /// Of an explanation: its first instant, and the first after it, instead of a span.
    from: Option<String>,
    to: Option<String>,
}

/// `GET /assets/console.css`
pub async fn css() -> Response {
    asset("text/css; charset=utf-8", CSS)
}

/// `GET /assets/console.js`
pub async fn js() -> Response {
    asset("text/javascript; charset=utf-8", JS)
}

/// `GET /assets/icon.svg`
pub async fn icon() -> Response {
    asset("image/svg+xml", ICON)
}

/// Names the contents of the assets: their addresses in pages end with it, so that browsers keep them until they change.
pub fn assets_version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let hash = crate::enrol::sha256([CSS, JS, ICON].concat().as_bytes());
        hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    });
    &VERSION
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=300")], text).into_response()
}

pub(super) fn html(status: StatusCode, lang: Language, page: &impl Template) -> Answer<Response> {
    let text = page.render().map_err(|_| broken_template())?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_LANGUAGE, lang.tag()),
        (header::VARY, "Accept-Language, Cookie"),
    ];
    Ok((status, headers, text).into_response())
}

fn broken_template() -> Problem {
    Problem::new(Code::Internal, "the page could not be rendered")
}

/// The colour of an incident.
fn class_of_incident(state: IncidentState, severity: Severity) -> &'static str {
    match state {
        IncidentState::Resolved => "up",
        IncidentState::Suspected => "unknown",
        IncidentState::Acknowledged => "maintenance",
        IncidentState::Open if severity >= Severity::Major => "down",
        IncidentState::Open => "degraded",
    }
}

#[cfg(test)]
mod tests;
