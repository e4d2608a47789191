//! A new agent: makes a join token, shows the command to paste, once, and waits until the agent is there.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use sitepulse_daemon::{clock, instant};
use sitepulse_model::duration;
use sitepulse_model::time::UtcMicros;

use super::acts::{self, Doer};
use super::clock_text;
use super::frame::{Frame, Place};
use super::parts::{Field, Input};
use super::sheet::choice;
use crate::present::Present;
use crate::present::dto::TokenView;
use crate::present::problem::{Answer, Code, Problem};
use crate::present::text::Texts;
use crate::present::text::desk::DeskTexts;
use crate::store::join_tokens::Given;

/// How long a token is good for where nothing is chosen.
const TTL: &str = "15m";
/// Most join tokens that are listed: the newest.
const TOKENS_SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "desk/join.html")]
struct Content<'a> {
    t: &'a Texts,
    d: &'a DeskTexts,
    made: Option<Made>,
    fields: [Field; 2],
    /// Agents that joined after this are the one that is waited for; microseconds of UTC.
    since: i64,
    waiting: bool,
    joined: Vec<Joined>,
    tokens: Vec<TokenRow>,
}

struct Made {
    token: String,
    region: String,
    expires: String,
}

/// A join token that was given out.
struct TokenRow {
    id: String,
    region: String,
    state: &'static str,
    open: bool,
    made: String,
    until: String,
    agent: String,
}

struct Joined {
    name: String,
    region: String,
    class: &'static str,
    connection: &'static str,
}

/// What the page is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct JoinQuery {
    since: Option<i64>,
    region: Option<String>,
}

/// The form's fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct JoinForm {
    region: String,
    ttl: String,
}

/// `GET /new-agent`; with `since` it tells who joined after that.
pub async fn join_page(
    State(present): State<Present>,
    frame: Frame,
    Query(query): Query<JoinQuery>,
) -> Answer<Response> {
    let form = JoinForm { region: query.region.unwrap_or_default(), ttl: TTL.to_owned() };
    show(&present, &frame, query.since, None, form).await
}

/// `POST /new-agent`: the same page with the command.
pub async fn join(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Query(query): Query<JoinQuery>,
    Form(form): Form<JoinForm>,
) -> Answer<Response> {
    let seconds = duration::parse(&form.ttl).map(|us| us / 1_000_000);
    let made = match seconds.map_err(|error| Problem::new(Code::BadRequest, error.to_string())) {
        Ok(seconds) => acts::join_token(&present, &doer, form.region.trim().to_owned(), seconds).await,
        Err(problem) => Err(problem),
    };
    match made {
        // The page asks for itself by the address of the form, so `since` of that is the one that counts.
        Ok(made) => show(&present, &frame, query.since.or(Some(clock::now().0)), Some(made), form).await,
        Err(why) => show(&present, &frame.refused("/new-agent", why), None, None, form).await,
    }
}

/// `POST /join-tokens/{id}/revoke`: no agent joins with it any more.
pub async fn revoke_join_token(
    State(present): State<Present>,
    frame: Frame,
    doer: Doer,
    Path(id): Path<String>,
) -> Answer<Response> {
    doer.note.tell(format!("join token {id} revoked"));
    match present.app().revoke_join_token(id).await {
        Ok(()) => Ok(acts::see("/new-agent#join-tokens")),
        Err(why) => {
            let form = JoinForm { ttl: TTL.to_owned(), ..JoinForm::default() };
            show(&present, &frame.refused("/new-agent", why.into()), None, None, form).await
        }
    }
}

async fn show(
    present: &Present,
    frame: &Frame,
    since: Option<i64>,
    made: Option<TokenView>,
    form: JoinForm,
) -> Answer<Response> {
    let (t, now) = (frame.t, clock::now());
    let mut tokens = present.app().join_tokens().await?;
    tokens.sort_by_key(|token| (std::cmp::Reverse(token.created), token.id.clone()));
    let (regions, joined) = {
        let book = present.app().book();
        let mut regions: Vec<String> =
            book.agents().filter(|agent| !agent.internal).map(|agent| agent.region.to_string()).collect();
        regions.sort();
        regions.dedup();
        let after = |at: UtcMicros| since.is_some_and(|since| at.0 >= since);
        let new = book.agents().filter(|agent| !agent.internal && after(agent.enrolled_at));
        let joined: Vec<Joined> = new
            .map(|agent| {
                let connected = agent.presence.is_connected();
                Joined {
                    name: agent.name.to_string(),
                    region: agent.region.to_string(),
                    class: if connected { "up" } else { "unknown" },
                    connection: if connected { t.connected } else { t.desk.joined_not_running },
                }
            })
            .collect();
        (regions, joined)
    };
    let d = t.desk;
    let known = if regions.is_empty() { String::new() } else { (d.regions_known)(&regions.join(", ")) };
    let region = Field {
        label: t.region.into(),
        hint: format!("{} {known}", d.region_what),
        placeholder: "eu-west".into(),
        required: true,
        ..Field::text("region", &form.region)
    };
    let spans = d.token_spans.iter().map(|(value, label)| choice(value, label)).collect();
    let lasts = Field { label: d.token_lasts.into(), input: Input::Select(spans), ..Field::text("ttl", &form.ttl) };
    let content = Content {
        t,
        d: t.desk,
        made: made.map(|made| Made {
            token: made.token,
            region: made.region.unwrap_or_default(),
            expires: instant::parse(&made.expires, now)
                .map_or(made.expires, |at| clock_text(UtcMicros(at.0 - at.0.rem_euclid(1_000_000)))),
        }),
        fields: [region, lasts],
        since: since.unwrap_or(now.0),
        waiting: since.is_some(),
        joined,
        tokens: {
            let book = present.app().book();
            let minute =
                |at: UtcMicros| clock_text(UtcMicros(at.0 - at.0.rem_euclid(60_000_000))).replace(":00 UTC", " UTC");
            let row = |token: Given| {
                let state = match token.used {
                    Some(_) => "used",
                    None if token.expires <= now => "expired",
                    None => "open",
                };
                let agent = token.used.and_then(|(_, agent)| book.agent(agent)).map(|agent| agent.name.to_string());
                TokenRow {
                    open: state == "open",
                    state: (t.users.token_state)(state),
                    region: token.region,
                    made: minute(token.created),
                    until: minute(token.expires),
                    agent: agent.unwrap_or_default(),
                    id: token.id,
                }
            };
            tokens.into_iter().take(TOKENS_SHOWN).map(row).collect()
        },
    };
    frame.page(Place::Agents, t.desk.add_agent, Some("agent objects"), &content)
}
