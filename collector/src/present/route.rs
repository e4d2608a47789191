//! The table of all routes. Each declares its method, path, scope and longest body; a test walks the table.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use sitepulse_daemon::clock;
use sitepulse_wire::message::SECRET_BYTES_MAX;

use crate::access::password;
use crate::checkfile;
use crate::present::door::{Door, Scope, authorize, secure};
use crate::present::http::Standing;
use crate::present::openapi::signature::{Documented, Operation};
use crate::present::problem::{Code, Problem};
use crate::present::{
    Present, acknowledge, api, audit, backtest, channels, console, etag, explain, groups, health, idempotency, jobs,
    live, metrics, oncall, openapi, ping, policy, problem, results, sla_report, status, weight, windows,
};

/// Longest body of most requests, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest body of `apply`: check files as JSON text.
pub const APPLY_BYTES_MAX: usize = 2 * checkfile::FILE_BYTES_MAX;

/// Longest body of `import`: the histories of a whole collector, or a batch of records.
pub const IMPORT_BYTES_MAX: usize = 64 << 20;

/// Longest body of a secret: its value and a line's end.
pub const SECRET_BODY_BYTES_MAX: usize = SECRET_BYTES_MAX + 2;

/// Longest body of a password: its text and a line's end.
pub const PASSWORD_BODY_BYTES_MAX: usize = password::BYTES_MAX + 2;

/// Longest body of a form that anybody may send.
pub const FORM_BYTES_MAX: usize = 4 << 10;

/// One route.
pub struct Route {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'static str,
    /// Path with `{name}` where a name goes.
    pub path: &'static str,
    /// Who may pass.
    pub scope: Scope,
    /// Longest body, in bytes.
    pub body_max: usize,
    /// Of the API's: what it takes and gives, as its handler's signature tells.
    pub tell: Option<Tell>,
    handler: MethodRouter<Present>,
}

/// Tells an operation.
pub type Tell = fn(&mut Operation<'_>);

fn read<H, T>(path: &'static str, scope: Scope, handler: H) -> Route
where
    H: Handler<T, Present>,
    T: 'static,
{
    Route { method: "GET", path, scope, body_max: 0, tell: None, handler: get(handler) }
}

fn change<H, T>(path: &'static str, scope: Scope, handler: H) -> Route
where
    H: Handler<T, Present>,
    T: 'static,
{
    Route { method: "POST", path, scope, body_max: BODY_BYTES_MAX, tell: None, handler: post(handler) }
}

fn set<H, T>(path: &'static str, scope: Scope, body_max: usize, handler: H) -> Route
where
    H: Handler<T, Present>,
    T: 'static,
{
    Route { method: "PUT", path, scope, body_max, tell: None, handler: put(handler) }
}

fn remove<H, T>(path: &'static str, scope: Scope, handler: H) -> Route
where
    H: Handler<T, Present>,
    T: 'static,
{
    Route { method: "DELETE", path, scope, body_max: 0, tell: None, handler: delete(handler) }
}

/// [`read`] of the API: its handler's signature tells what it takes and gives.
fn api_read<H, T>(path: &'static str, scope: Scope, handler: H) -> Route
where
    H: Handler<T, Present> + Documented<T>,
    T: 'static,
{
    Route { tell: Some(H::tell), ..read(path, scope, handler) }
}

/// [`change`] of the API: its handler's signature tells what it takes and gives.
fn api_change<H, T>(path: &'static str, scope: Scope, handler: H) -> Route
where
    H: Handler<T, Present> + Documented<T>,
    T: 'static,
{
    Route { tell: Some(H::tell), ..change(path, scope, handler) }
}

/// [`set`] of the API: its handler's signature tells what it takes and gives.
fn api_set<H, T>(path: &'static str, scope: Scope, body_max: usize, handler: H) -> Route
where
    H: Handler<T, Present> + Documented<T>,
    T: 'static,
{
    Route { tell: Some(H::tell), ..set(path, scope, body_max, handler) }
}

/// [`remove`] of the API: its handler's signature tells what it takes and gives.
fn api_remove<H, T>(path: &'static str, scope: Scope, handler: H) -> Route
where
    H: Handler<T, Present> + Documented<T>,
    T: 'static,
{
    Route { tell: Some(H::tell), ..remove(path, scope, handler) }
}

/// Every route of the collector.
pub fn routes() -> Vec<Route> {
    vec![
        read("/healthz", Scope::Public, health::healthz),
        read("/readyz", Scope::Public, health::readyz),
        read("/metrics", Scope::Machine, metrics::metrics),
        read("/", Scope::Read, console::page),
        read("/events", Scope::Read, live::events),
        api_read("/api/v1/events", Scope::Read, live::events),
        change("/appearance", Scope::Public, console::appearance),
        read("/sign-in", Scope::Public, console::sign_in),
        change("/sign-out", Scope::Read, console::sign_out),
        read("/assets/console.css", Scope::Public, console::css),
        read("/assets/console.js", Scope::Public, console::js),
        read("/assets/icon.svg", Scope::Public, console::icon),
        read("/checks", Scope::Read, console::checks_page),
        read("/new-check", Scope::Edit, console::new_page),
        change("/new-check", Scope::Edit, console::write_new),
        read("/checks/{id}/edit", Scope::Edit, console::edit_page),
        change("/checks/{id}/edit", Scope::Edit, console::write_edit),
        read("/checks/{id}/suspend", Scope::Respond, console::suspend_check_page),
        change("/checks/{id}/suspend", Scope::Respond, console::suspend_check),
        change("/checks/{id}/resume", Scope::Respond, console::resume_check),
        read("/checks/{id}/retire", Scope::Edit, console::retiring_page),
        change("/checks/{id}/retire", Scope::Edit, console::retire_defined),
        read("/checks/{id}", Scope::Read, console::check_page),
        change("/checks/{id}/agents/{agent}/weight", Scope::Edit, console::weigh_pair),
        read("/agents", Scope::Read, console::agents_page),
        read("/new-agent", Scope::Admin, console::join_page),
        change("/new-agent", Scope::Admin, console::join),
        change("/join-tokens/{id}/revoke", Scope::Admin, console::revoke_join_token),
        read("/agents/{name}", Scope::Read, console::agent_page),
        read("/agents/{name}/suspend", Scope::Respond, console::suspend_page),
        read("/agents/{name}/revoke", Scope::Admin, console::revoke_page),
        change("/agents/{name}/suspend", Scope::Respond, console::act_on_agent),
        change("/agents/{name}/resume", Scope::Respond, console::act_on_agent),
        change("/agents/{name}/weight", Scope::Edit, console::act_on_agent),
        change("/agents/{name}/revoke", Scope::Admin, console::act_on_agent),
        read("/slos", Scope::Read, console::slos_page),
        read("/incidents", Scope::Read, console::incidents_page),
        read("/incidents/{id}", Scope::Read, console::incident_page),
        read("/incidents/new", Scope::Respond, console::new_incident),
        change("/incidents/new", Scope::Respond, console::open_incident),
        read("/incidents/{id}/{action}", Scope::Respond, console::act_page),
        change("/incidents/{id}/{action}", Scope::Respond, console::act_on_incident),
        read("/on-call", Scope::Read, console::oncall_page),
        read("/on-call/{id}/override", Scope::Respond, console::override_page),
        change("/on-call/{id}/override", Scope::Respond, console::give_override),
        change("/on-call/{id}/override/{number}/end", Scope::Respond, console::end_override),
        change("/on-call/{id}/feed", Scope::Edit, console::feed_shown),
        read("/escalations", Scope::Read, console::escalations_page),
        read("/escalations/new", Scope::Edit, console::new_escalation),
        change("/escalations/new", Scope::Edit, console::write_escalation),
        read("/escalations/{id}/edit", Scope::Edit, console::edit_escalation),
        change("/escalations/{id}/edit", Scope::Edit, console::write_escalation),
        read("/escalations/{id}/retire", Scope::Edit, console::retiring_page),
        change("/escalations/{id}/retire", Scope::Edit, console::retire_defined),
        read("/channels", Scope::Read, console::channels_page),
        read("/channels/new", Scope::Edit, console::new_channel),
        change("/channels/new", Scope::Edit, console::apply_channel),
        read("/channels/{id}/edit", Scope::Edit, console::edit_channel),
        change("/channels/{id}/edit", Scope::Edit, console::apply_channel),
        read("/channels/{id}/retire", Scope::Edit, console::retiring_page),
        change("/channels/{id}/retire", Scope::Edit, console::retire_defined),
        change("/channels/{id}/test", Scope::Respond, console::test_channel),
        change("/channels/{id}/retry", Scope::Respond, console::retry_delivery),
        read("/silences", Scope::Read, console::silences_page),
        read("/silences/new", Scope::Respond, console::new_silence),
        change("/silences/new", Scope::Respond, console::make_silence),
        change("/silences/{id}/end", Scope::Respond, console::end_silence),
        read("/windows", Scope::Read, console::windows_page),
        read("/windows/new", Scope::Edit, console::new_window),
        change("/windows/new", Scope::Edit, console::write_window),
        read("/windows/{id}/edit", Scope::Edit, console::edit_window),
        change("/windows/{id}/edit", Scope::Edit, console::write_window),
        read("/windows/{id}/end", Scope::Edit, console::ending_page),
        change("/windows/{id}/end", Scope::Edit, console::end_window),
        read("/windows/{id}/cancel", Scope::Edit, console::ending_page),
        change("/windows/{id}/cancel", Scope::Edit, console::end_window),
        read("/checks/{id}/explain", Scope::Read, console::explain_page),
        read("/terms/{figure}", Scope::Read, console::terms_page),
        read("/checks/{id}/backtest", Scope::Read, console::backtest_page),
        // A run-now looks and changes nothing, so who may look may ask for it: the console's sessions above all.
        change("/checks/{id}/run", Scope::Read, console::run_page),
        // A ping's own token is what it shows.
        read("/ping/{token}", Scope::Public, ping::success),
        change("/ping/{token}", Scope::Public, ping::success),
        read("/ping/{token}/{action}", Scope::Public, ping::action),
        change("/ping/{token}/{action}", Scope::Public, ping::action),
        // The signed token in the path is the authority.
        read("/a/{token}", Scope::Public, acknowledge::show),
        change("/a/{token}", Scope::Public, acknowledge::take),
        // What the owner chose to publish.
        read("/status/{id}", Scope::Public, status::page),
        read("/status/{id}/look.css", Scope::Public, status::look),
        read("/status/{id}/card", Scope::Public, status::card),
        read("/status/{id}/feed.atom", Scope::Public, status::feed),
        read("/status/{id}/badge/{item}", Scope::Public, status::badge),
        read("/status/{id}/subscribe", Scope::Public, status::subscribe_page),
        Route { body_max: FORM_BYTES_MAX, ..change("/status/{id}/subscribe", Scope::Public, status::subscribe) },
        // The signed token in the path is the authority.
        read("/status/{id}/confirm/{token}", Scope::Public, status::confirm_page),
        Route { body_max: FORM_BYTES_MAX, ..change("/status/{id}/confirm/{token}", Scope::Public, status::confirm) },
        read("/status/{id}/unsubscribe/{token}", Scope::Public, status::unsubscribe_page),
        Route {
            body_max: FORM_BYTES_MAX,
            ..change("/status/{id}/unsubscribe/{token}", Scope::Public, status::unsubscribe)
        },
        read("/oembed", Scope::Public, status::oembed),
        read("/assets/status.css", Scope::Public, status::css),
        api_read("/api/v1/status-pages", Scope::Read, api::status_pages::status_pages),
        api_read("/api/v1/status-pages/{id}", Scope::Read, api::status_pages::status_page),
        api_read("/api/v1/impact", Scope::Read, api::impact::impacts),
        // A trial looks and changes nothing; it is a POST for it brings a model along. Not below `impact/`: a check may be called anything.
        api_change("/api/v1/impact-trials", Scope::Read, api::impact::trial),
        api_read("/api/v1/impact/{id}", Scope::Read, api::impact::impact),
        api_read("/api/v1/impact-history", Scope::Read, api::impact::history),
        api_read("/api/v1/impact-history.csv", Scope::Read, api::impact::history_csv),
        api_read("/api/v1/impact-scores.csv", Scope::Read, api::impact::impacts_csv),
        read("/impact", Scope::Read, console::impact_page),
        read("/impact/model", Scope::Edit, console::scoring_page),
        change("/impact/model", Scope::Edit, console::write_scoring),
        read("/indicators", Scope::Read, console::indicators_page),
        api_read("/api/v1/indicators", Scope::Read, api::indicators::indicators),
        api_read("/api/v1/indicators/{figure}", Scope::Read, api::indicators::counted),
        api_read("/api/v1/kpi", Scope::Read, api::kpi::kpi),
        api_read("/api/v1/playbooks", Scope::Read, api::playbooks::list),
        api_read("/api/v1/playbooks/{id}", Scope::Read, api::playbooks::one),
        api_read("/api/v1/playbook-offers", Scope::Read, api::playbooks::offers),
        api_read("/api/v1/playbook-rates", Scope::Read, api::playbooks::rates),
        api_read("/api/v1/playbook-runs", Scope::Read, api::playbooks::runs),
        api_change("/api/v1/playbook-runs", Scope::Respond, api::playbooks::start),
        api_read("/api/v1/playbook-runs/{id}", Scope::Read, api::playbooks::run),
        api_change("/api/v1/playbook-runs/{id}/acts", Scope::Respond, api::playbooks::act),
        read("/playbooks", Scope::Read, console::playbooks_page),
        read("/playbooks/{id}", Scope::Read, console::playbook_page),
        change("/playbooks/{id}/start", Scope::Respond, console::start_playbook),
        read("/playbook-runs/{id}", Scope::Read, console::playbook_run_page),
        change("/playbook-runs/{id}/{action}", Scope::Respond, console::act_on_playbook),
        // A page for people: not in the document.
        read("/api/v1/docs", Scope::Read, console::api_docs::page),
        api_read(openapi::PATH, Scope::Public, openapi::openapi),
        api_read("/api/v1/checks", Scope::Read, api::checks),
        api_read("/api/v1/checks/{id}", Scope::Read, api::check),
        api_read("/api/v1/checks/{id}/heartbeat", Scope::Admin, api::heartbeat),
        api_read("/api/v1/checks/{id}/latency", Scope::Read, api::latency::latency),
        api_read("/api/v1/checks/{id}/vitals", Scope::Read, api::vitals::vitals),
        api_read("/api/v1/checks/{id}/screenshots/{agent}/{slot}", Scope::Read, api::vitals::screenshot),
        api_change("/api/v1/checks/{id}/run", Scope::Read, api::run),
        api_read("/api/v1/secrets", Scope::Admin, api::secrets),
        api_read("/api/v1/secrets/{name}", Scope::Admin, api::secret),
        api_set("/api/v1/secrets/{name}", Scope::Admin, SECRET_BODY_BYTES_MAX, api::set_secret),
        api_remove("/api/v1/secrets/{name}", Scope::Admin, api::remove_secret),
        api_read("/api/v1/agents", Scope::Read, api::agents),
        api_read("/api/v1/agents/{name}", Scope::Read, api::agent),
        api_read("/api/v1/sla", Scope::Read, api::sla),
        api_read("/api/v1/policies", Scope::Read, policy::policies),
        api_change("/api/v1/policy-trials", Scope::Read, policy::try_policy),
        api_read("/api/v1/sla-reports", Scope::Read, sla_report::list),
        api_change("/api/v1/sla-reports", Scope::Edit, sla_report::store),
        api_read("/api/v1/sla-reports/{name}", Scope::Read, sla_report::one),
        api_read("/api/v1/sla-reports/{name}/verify", Scope::Read, sla_report::verify),
        api_read("/api/v1/sla/groups", Scope::Read, groups::groups),
        api_read("/api/v1/channels", Scope::Read, channels::channels),
        api_change("/api/v1/channels/{id}/test", Scope::Respond, channels::test),
        api_read("/api/v1/deliveries", Scope::Read, channels::deliveries),
        api_change("/api/v1/deliveries/{incident}/{step}/{channel}/retry", Scope::Respond, channels::retry),
        read("/jobs", Scope::Read, console::jobs_page),
        change("/jobs", Scope::Edit, console::ask_job),
        read("/jobs/{id}", Scope::Read, console::job_page),
        change("/jobs/{id}/{action}", Scope::Edit, console::act_on_job),
        api_read("/api/v1/jobs", Scope::Read, jobs::jobs),
        api_change("/api/v1/jobs", Scope::Edit, jobs::ask),
        api_read("/api/v1/jobs/summary", Scope::Read, jobs::summary),
        api_read("/api/v1/jobs/{id}", Scope::Read, jobs::job),
        // A backup's is for admins alone.
        api_read("/api/v1/jobs/{id}/file", Scope::Edit, jobs::file),
        api_change("/api/v1/jobs/{id}/cancel", Scope::Edit, jobs::cancel),
        api_change("/api/v1/jobs/{id}/retry", Scope::Edit, jobs::retry),
        api_change("/api/v1/jobs/{id}/priority", Scope::Edit, jobs::prioritise),
        api_read("/api/v1/windows", Scope::Read, windows::windows),
        api_read("/api/v1/explain", Scope::Read, explain::explain),
        api_read("/api/v1/results", Scope::Read, results::results),
        api_read("/api/v1/incidents", Scope::Read, api::incidents::incidents),
        api_read("/api/v1/incidents/summary", Scope::Read, api::incidents::summary),
        api_read("/api/v1/incidents/{id}", Scope::Read, api::incidents::incident),
        api_change("/api/v1/incidents", Scope::Respond, api::incidents::open),
        api_change("/api/v1/incidents/{id}/acts", Scope::Respond, api::incidents::act),
        read("/findings", Scope::Read, console::findings_page),
        read("/findings/{id}", Scope::Read, console::finding_page),
        change("/findings/{id}/acknowledge", Scope::Respond, console::acknowledge_finding),
        change("/findings/{id}/take-back", Scope::Respond, console::take_back_finding),
        api_read("/api/v1/findings", Scope::Read, api::findings::findings),
        api_read("/api/v1/findings/{id}", Scope::Read, api::findings::finding),
        api_change("/api/v1/findings/{id}/acknowledgement", Scope::Respond, api::findings::acknowledge),
        api_remove("/api/v1/findings/{id}/acknowledgement", Scope::Respond, api::findings::take_back),
        api_read("/api/v1/silences", Scope::Read, api::silences::silences),
        api_change("/api/v1/silences", Scope::Respond, api::silences::silence),
        api_remove("/api/v1/silences/{id}", Scope::Respond, api::silences::unsilence),
        // One definition by itself. They may name addresses that only those who edit should see.
        api_read("/api/v1/definitions", Scope::Edit, api::definitions::definitions),
        api_read("/api/v1/definitions/{kind}/{id}", Scope::Edit, api::definitions::definition),
        api_set("/api/v1/definitions/{kind}/{id}", Scope::Edit, BODY_BYTES_MAX, api::definitions::write),
        api_remove("/api/v1/definitions/{kind}/{id}", Scope::Edit, api::definitions::retire),
        api_read("/api/v1/checks/{id}/timeline", Scope::Read, api::timeline::timeline),
        api_read("/api/v1/regions", Scope::Read, api::timeline::regions),
        api_read("/api/v1/join-tokens", Scope::Admin, api::join_tokens::join_tokens),
        api_remove("/api/v1/join-tokens/{id}", Scope::Admin, api::join_tokens::revoke_join_token),
        api_set("/api/v1/agents/{name}/weight", Scope::Edit, BODY_BYTES_MAX, api::steer::weigh_agent),
        api_set("/api/v1/agents/{name}/suspension", Scope::Respond, BODY_BYTES_MAX, api::steer::suspend_agent),
        api_remove("/api/v1/agents/{name}/suspension", Scope::Respond, api::steer::resume_agent),
        api_set("/api/v1/checks/{id}/suspension", Scope::Respond, BODY_BYTES_MAX, api::steer::suspend_check),
        api_remove("/api/v1/checks/{id}/suspension", Scope::Respond, api::steer::resume_check),
        api_set("/api/v1/checks/{id}/agents/{agent}/weight", Scope::Edit, BODY_BYTES_MAX, api::steer::weigh_pair),
        api_set(
            "/api/v1/checks/{id}/agents/{agent}/suspension",
            Scope::Respond,
            BODY_BYTES_MAX,
            api::steer::suspend_pair,
        ),
        api_remove("/api/v1/checks/{id}/agents/{agent}/suspension", Scope::Respond, api::steer::resume_pair),
        api_read("/api/v1/amendments", Scope::Read, api::amendments::amendments),
        api_read("/api/v1/slos", Scope::Read, api::slo::slos),
        api_read("/api/v1/slos/{id}", Scope::Read, api::slo::slo),
        api_read("/api/v1/slos/{id}/history", Scope::Read, api::slo::history),
        api_read("/api/v1/backtest", Scope::Read, backtest::backtest),
        api_read("/api/v1/history", Scope::Read, api::history),
        api_read("/api/v1/oncall", Scope::Read, oncall::oncall),
        api_read("/api/v1/schedules", Scope::Read, oncall::schedules),
        api_read("/api/v1/schedules/{id}", Scope::Read, oncall::schedule),
        api_read("/api/v1/schedules/{id}/calendar", Scope::Read, oncall::calendar),
        // A calendar's token is what its reader shows.
        api_read("/api/v1/schedules/{id}/calendar.ics", Scope::Public, oncall::feed),
        api_change("/api/v1/schedules/{id}/feed", Scope::Edit, oncall::feed_address),
        api_read("/api/v1/schedules/{id}/overrides", Scope::Read, oncall::overrides),
        api_change("/api/v1/schedules/{id}/overrides", Scope::Respond, oncall::give_override),
        api_remove("/api/v1/schedules/{id}/overrides/{number}", Scope::Respond, oncall::end_override),
        api_read("/api/v1/users", Scope::Read, oncall::users),
        api_read("/api/v1/escalations", Scope::Read, oncall::escalations),
        api_read("/api/v1/escalations/{id}", Scope::Read, oncall::escalation),
        Route { body_max: APPLY_BYTES_MAX, ..api_change("/api/v1/apply", Scope::Edit, api::apply) },
        Route { body_max: IMPORT_BYTES_MAX, ..api_change("/api/v1/import", Scope::Admin, api::exchange::import) },
        api_change("/api/v1/control", Scope::Edit, api::control),
        api_change("/api/v1/agents/{name}/revoke", Scope::Admin, api::revoke),
        api_change("/api/v1/join-tokens", Scope::Admin, api::join_token),
        api_change("/api/v1/sign-in-links", Scope::Admin, api::sign_in_link),
        // Who may do what.
        change("/sign-in", Scope::Public, console::sign_in_by_password),
        // By an identity provider: to it, and back with a code that the state and the browser's cookie vouch for.
        read("/sign-in/provider", Scope::Public, console::to_provider),
        read("/sign-in/provider/back", Scope::Public, console::from_provider),
        read("/invite", Scope::Public, console::invited),
        change("/invite", Scope::Public, console::accept_invitation),
        read("/settings", Scope::Read, console::settings_page),
        change("/settings/password", Scope::Read, console::change_password),
        change("/settings/sessions/{id}/end", Scope::Read, console::end_session),
        change("/settings/tokens", Scope::Admin, console::make_token),
        change("/settings/tokens/{id}/revoke", Scope::Admin, console::revoke_token),
        change("/settings/users/{id}/{action}", Scope::Admin, console::act_on_user),
        read("/settings/users/new", Scope::Admin, console::new_user),
        change("/settings/users/new", Scope::Admin, console::write_user),
        read("/settings/users/{id}/edit", Scope::Admin, console::edit_user),
        change("/settings/users/{id}/edit", Scope::Admin, console::write_user),
        read("/settings/users/{id}/retire", Scope::Admin, console::retiring_user),
        change("/settings/users/{id}/retire", Scope::Admin, console::retire_user),
        read("/settings/policies", Scope::Read, console::policies_page),
        read("/settings/policies/new", Scope::Edit, console::new_policy),
        change("/settings/policies/new", Scope::Edit, console::write_policy),
        read("/settings/policies/{id}/edit", Scope::Edit, console::edit_policy),
        change("/settings/policies/{id}/edit", Scope::Edit, console::write_policy),
        read("/settings/policies/{id}/end", Scope::Edit, console::policy_ending_page),
        change("/settings/policies/{id}/end", Scope::Edit, console::end_policy),
        read("/settings/audit", Scope::Admin, console::audit_page),
        api_read("/api/v1/tokens", Scope::Admin, api::access::tokens),
        api_change("/api/v1/tokens", Scope::Admin, api::access::make_token),
        // As it was called before.
        api_change("/api/v1/api-tokens", Scope::Admin, api::access::make_token),
        api_remove("/api/v1/tokens/{id}", Scope::Admin, api::access::revoke_token),
        api_read("/api/v1/sessions", Scope::Read, api::access::sessions),
        api_remove("/api/v1/sessions/{id}", Scope::Read, api::access::end_session),
        api_read("/api/v1/accounts", Scope::Admin, api::access::accounts),
        api_set("/api/v1/accounts/{id}/password", Scope::Admin, PASSWORD_BODY_BYTES_MAX, api::access::set_password),
        api_remove("/api/v1/accounts/{id}/password", Scope::Admin, api::access::remove_password),
        api_remove("/api/v1/accounts/{id}/identity", Scope::Admin, api::access::unlink),
        api_change("/api/v1/accounts/{id}/invite", Scope::Admin, api::access::invite),
        api_change("/api/v1/accounts/{id}/sign-out", Scope::Admin, api::access::sign_out),
        api_read("/api/v1/audit", Scope::Admin, api::access::audit),
        api_read("/api/v1/audit/verify", Scope::Admin, api::access::audit_verify),
    ]
}

/// The one router. A request without a [`Door`] among its extensions is refused.
pub fn router(present: Present) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let guard = middleware::from_fn_with_state((present.clone(), route.scope, route.path), guard);
        let limit = DefaultBodyLimit::max(route.body_max);
        let mut handler = route.handler.route_layer(limit);
        // Of the API: answers have tags, and changes may be sent twice.
        if route.tell.is_some() && route.method == "GET" {
            handler = handler.route_layer(middleware::from_fn(etag::tagged));
        } else if route.tell.is_some() && route.method == "POST" {
            let state = (present.clone(), route.body_max);
            handler = handler.route_layer(middleware::from_fn_with_state(state, idempotency::once));
        }
        if route.tell.is_some() {
            handler = handler.route_layer(middleware::from_fn(problem::as_problem));
        }
        router = router.route(route.path, handler.route_layer(guard));
    }
    router
        .fallback(|| async { Problem::new(Code::NotFound, "there is no such path: docs/api.md lists them") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Code::MethodNotAllowed, "docs/api.md lists paths and methods")
        })
        .layer(middleware::from_fn_with_state(present.clone(), console::as_page))
        .layer(middleware::from_fn(headers))
        .layer(middleware::from_fn(weight::lighten))
        .with_state(present)
}

async fn guard(
    State((present, scope, path)): State<(Present, Scope, &'static str)>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(door) = request.extensions().get::<Door>().copied() else {
        return Problem::new(Code::Internal, "the request came in by no door").into_response();
    };
    let now = clock::now();
    match authorize(present.app(), scope, door, request.method(), request.headers(), now) {
        Ok(caller) => {
            audit::note_use(present.app(), caller.as_ref(), request.headers(), path, now);
            if let Some(caller) = caller.clone() {
                if is_page(request.method(), request.uri().path())
                    && let Some(told) = present.told_so_far().await
                {
                    request.extensions_mut().insert(told);
                }
                if let Some(standing) = request.extensions().get::<Standing>() {
                    standing.known();
                }
                request.extensions_mut().insert(caller);
            }
            audit::told(present.app(), door, caller.as_ref(), path, request, next).await
        }
        Err(problem) => {
            audit::refused(present.app(), door, path, &problem, &request, now);
            if is_page(request.method(), request.uri().path()) {
                return console::refused(&present, request, &problem);
            }
            problem.into_response()
        }
    }
}

/// Whether people see this path in their browser.
fn is_page(method: &Method, path: &str) -> bool {
    // All that is read, but for what programs read.
    method == Method::GET && console::is_for_people(path)
}

/// What the cards of status pages carry instead: pages of others may frame them, and they do nothing.
const FRAMABLE: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors *";

/// What every answer carries: nothing may be framed (but cards), sniffed, cached or loaded from elsewhere.
async fn headers(request: Request, next: Next) -> Response {
    let secure = request.extensions().get::<Door>().is_some_and(|door| secure(*door));
    let mut response = next.run(request).await;
    let framable = response.extensions().get::<status::Framable>().is_some();
    let headers = response.headers_mut();
    let set = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if framable {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(FRAMABLE));
        headers.remove(header::X_FRAME_OPTIONS);
    }
    if secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
