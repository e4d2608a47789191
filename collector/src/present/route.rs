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

use crate::checkfile;
use crate::present::door::{Door, Scope, authorize, secure};
use crate::present::problem::{Code, Problem};
use crate::present::{
    Present, acknowledge, api, backtest, channels, console, explain, groups, health, live, metrics, oncall, ping,
    policy, results, sla_report, windows,
};

/// Longest body of most requests, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest body of `apply`: check files as JSON text.
pub const APPLY_BYTES_MAX: usize = 2 * checkfile::FILE_BYTES_MAX;

/// Longest body of `import`: the histories of a whole collector, or a batch of records.
pub const IMPORT_BYTES_MAX: usize = 64 << 20;

/// Longest body of a secret: its value and a line's end.
pub const SECRET_BODY_BYTES_MAX: usize = SECRET_BYTES_MAX + 2;

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
    handler: MethodRouter<Present>,
}

fn read<H, T>(path: &'static str, scope: Scope, handler: H) -> Route
where
    H: Handler<T, Present>,
    T: 'static,
{
    Route { method: "GET", path, scope, body_max: 0, handler: get(handler) }
}

fn change<H, T>(path: &'static str, scope: Scope, handler: H) -> Route
where
    H: Handler<T, Present>,
    T: 'static,
{
    Route { method: "POST", path, scope, body_max: BODY_BYTES_MAX, handler: post(handler) }
}

fn set<H, T>(path: &'static str, scope: Scope, body_max: usize, handler: H) -> Route
where
    H: Handler<T, Present>,
    T: 'static,
{
    Route { method: "PUT", path, scope, body_max, handler: put(handler) }
}

fn remove<H, T>(path: &'static str, scope: Scope, handler: H) -> Route
where
    H: Handler<T, Present>,
    T: 'static,
{
    Route { method: "DELETE", path, scope, body_max: 0, handler: delete(handler) }
}

/// Every route of the collector.
pub fn routes() -> Vec<Route> {
    vec![
        read("/healthz", Scope::Public, health::healthz),
        read("/readyz", Scope::Public, health::readyz),
        read("/metrics", Scope::Machine, metrics::metrics),
        read("/", Scope::Read, console::page),
        read("/events", Scope::Read, live::events),
        read("/api/v1/events", Scope::Read, live::events),
        change("/appearance", Scope::Public, console::appearance),
        read("/sign-in", Scope::Public, console::sign_in),
        change("/sign-out", Scope::Read, console::sign_out),
        read("/assets/console.css", Scope::Public, console::css),
        read("/assets/console.js", Scope::Public, console::js),
        read("/assets/icon.svg", Scope::Public, console::icon),
        read("/checks/{id}", Scope::Read, console::check_page),
        read("/agents", Scope::Read, console::agents_page),
        read("/agents/new", Scope::Admin, console::join_page),
        change("/agents/new", Scope::Admin, console::join),
        read("/agents/{name}", Scope::Read, console::agent_page),
        read("/agents/{name}/suspend", Scope::Respond, console::suspend_page),
        read("/agents/{name}/revoke", Scope::Admin, console::revoke_page),
        change("/agents/{name}/suspend", Scope::Respond, console::suspend_agent),
        change("/agents/{name}/resume", Scope::Respond, console::resume_agent),
        change("/agents/{name}/weight", Scope::Edit, console::weigh_agent),
        change("/agents/{name}/revoke", Scope::Admin, console::revoke_agent),
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
        read("/channels", Scope::Read, console::channels_page),
        read("/channels/new", Scope::Edit, console::new_channel),
        change("/channels/new", Scope::Edit, console::apply_channel),
        read("/channels/{id}/edit", Scope::Edit, console::edit_channel),
        change("/channels/{id}/edit", Scope::Edit, console::apply_channel),
        change("/channels/{id}/test", Scope::Respond, console::test_channel),
        change("/channels/{id}/retry", Scope::Respond, console::retry_delivery),
        read("/silences", Scope::Read, console::silences_page),
        read("/silences/new", Scope::Respond, console::new_silence),
        change("/silences/new", Scope::Respond, console::make_silence),
        change("/silences/{id}/end", Scope::Respond, console::end_silence),
        read("/windows", Scope::Read, console::windows_page),
        read("/checks/{id}/explain", Scope::Read, console::explain_page),
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
        read("/api/v1/checks", Scope::Read, api::checks),
        read("/api/v1/checks/{id}", Scope::Read, api::check),
        read("/api/v1/checks/{id}/heartbeat", Scope::Admin, api::heartbeat),
        read("/api/v1/checks/{id}/latency", Scope::Read, api::latency::latency),
        read("/api/v1/checks/{id}/vitals", Scope::Read, api::vitals::vitals),
        read("/api/v1/checks/{id}/screenshots/{agent}/{slot}", Scope::Read, api::vitals::screenshot),
        change("/api/v1/checks/{id}/run", Scope::Read, api::run),
        read("/api/v1/secrets", Scope::Admin, api::secrets),
        read("/api/v1/secrets/{name}", Scope::Admin, api::secret),
        set("/api/v1/secrets/{name}", Scope::Admin, SECRET_BODY_BYTES_MAX, api::set_secret),
        remove("/api/v1/secrets/{name}", Scope::Admin, api::remove_secret),
        read("/api/v1/agents", Scope::Read, api::agents),
        read("/api/v1/agents/{name}", Scope::Read, api::agent),
        read("/api/v1/sla", Scope::Read, api::sla),
        read("/api/v1/policies", Scope::Read, policy::policies),
        read("/api/v1/sla-reports", Scope::Read, sla_report::list),
        change("/api/v1/sla-reports", Scope::Edit, sla_report::store),
        read("/api/v1/sla-reports/{name}", Scope::Read, sla_report::one),
        read("/api/v1/sla-reports/{name}/verify", Scope::Read, sla_report::verify),
        read("/api/v1/sla/groups", Scope::Read, groups::groups),
        read("/api/v1/channels", Scope::Read, channels::channels),
        change("/api/v1/channels/{id}/test", Scope::Respond, channels::test),
        read("/api/v1/deliveries", Scope::Read, channels::deliveries),
        change("/api/v1/deliveries/{incident}/{step}/{channel}/retry", Scope::Respond, channels::retry),
        read("/api/v1/windows", Scope::Read, windows::windows),
        read("/api/v1/explain", Scope::Read, explain::explain),
        read("/api/v1/results", Scope::Read, results::results),
        read("/api/v1/incidents", Scope::Read, api::incidents::incidents),
        read("/api/v1/incidents/summary", Scope::Read, api::incidents::summary),
        read("/api/v1/incidents/{id}", Scope::Read, api::incidents::incident),
        change("/api/v1/incidents", Scope::Respond, api::incidents::open),
        change("/api/v1/incidents/{id}/acts", Scope::Respond, api::incidents::act),
        read("/api/v1/silences", Scope::Read, api::silences::silences),
        change("/api/v1/silences", Scope::Respond, api::silences::silence),
        remove("/api/v1/silences/{id}", Scope::Respond, api::silences::unsilence),
        read("/api/v1/amendments", Scope::Read, api::amendments::amendments),
        read("/api/v1/slos", Scope::Read, api::slo::slos),
        read("/api/v1/slos/{id}", Scope::Read, api::slo::slo),
        read("/api/v1/slos/{id}/history", Scope::Read, api::slo::history),
        read("/api/v1/backtest", Scope::Read, backtest::backtest),
        read("/api/v1/history", Scope::Read, api::history),
        read("/api/v1/oncall", Scope::Read, oncall::oncall),
        read("/api/v1/schedules", Scope::Read, oncall::schedules),
        read("/api/v1/schedules/{id}", Scope::Read, oncall::schedule),
        read("/api/v1/schedules/{id}/calendar", Scope::Read, oncall::calendar),
        // A calendar's token is what its reader shows.
        read("/api/v1/schedules/{id}/calendar.ics", Scope::Public, oncall::feed),
        change("/api/v1/schedules/{id}/feed", Scope::Edit, oncall::feed_address),
        read("/api/v1/schedules/{id}/overrides", Scope::Read, oncall::overrides),
        change("/api/v1/schedules/{id}/overrides", Scope::Respond, oncall::give_override),
        remove("/api/v1/schedules/{id}/overrides/{number}", Scope::Respond, oncall::end_override),
        read("/api/v1/users", Scope::Read, oncall::users),
        read("/api/v1/escalations", Scope::Read, oncall::escalations),
        read("/api/v1/escalations/{id}", Scope::Read, oncall::escalation),
        Route { body_max: APPLY_BYTES_MAX, ..change("/api/v1/apply", Scope::Edit, api::apply) },
        Route { body_max: IMPORT_BYTES_MAX, ..change("/api/v1/import", Scope::Admin, api::exchange::import) },
        change("/api/v1/control", Scope::Edit, api::control),
        change("/api/v1/agents/{name}/revoke", Scope::Admin, api::revoke),
        change("/api/v1/join-tokens", Scope::Admin, api::join_token),
        change("/api/v1/api-tokens", Scope::Admin, api::api_token),
        change("/api/v1/sign-in-links", Scope::Admin, api::sign_in_link),
    ]
}

/// The one router. A request without a [`Door`] among its extensions is refused.
pub fn router(present: Present) -> Router {
    let mut router = Router::new();
    for route in routes() {
        let guard = middleware::from_fn_with_state((present.clone(), route.scope), guard);
        let limit = DefaultBodyLimit::max(route.body_max);
        router = router.route(route.path, route.handler.route_layer(limit).route_layer(guard));
    }
    router
        .fallback(|| async { Problem::new(Code::NotFound, "there is no such path: docs/api.md lists them") })
        .method_not_allowed_fallback(|| async {
            Problem::new(Code::MethodNotAllowed, "docs/api.md lists paths and methods")
        })
        .layer(middleware::from_fn(headers))
        .with_state(present)
}

async fn guard(State((present, scope)): State<(Present, Scope)>, mut request: Request, next: Next) -> Response {
    let Some(door) = request.extensions().get::<Door>().copied() else {
        return Problem::new(Code::Internal, "the request came in by no door").into_response();
    };
    match authorize(present.app(), scope, door, request.method(), request.headers(), clock::now()) {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        // Who is signed in and may not is not asked to sign in.
        Err(problem) if problem.view().status == 401 && is_page(request.method(), request.uri().path()) => {
            console::refused(request.headers(), request.uri(), &problem)
        }
        Err(problem) => problem.into_response(),
    }
}

/// Whether people see this path in their browser.
fn is_page(method: &Method, path: &str) -> bool {
    // All that is read, but for what programs read.
    let programs = ["/api/", "/assets/", "/events", "/metrics", "/healthz", "/readyz", "/ping/"];
    method == Method::GET && !programs.iter().any(|program| path.starts_with(program))
}

/// What every answer carries: nothing may be framed, sniffed, cached or loaded from elsewhere.
async fn headers(request: Request, next: Next) -> Response {
    let secure = request.extensions().get::<Door>().is_some_and(|door| secure(*door));
    let mut response = next.run(request).await;
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
    if secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
