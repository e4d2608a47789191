//! `/api/v1/definitions`: one check or one object, as a check file writes it; read, written and retired by itself.
//!
//! What `apply` does with files these do with one table: the same rules, the same plan, a new revision. `If-Match` with the `ETag` that
//! was read keeps two editors from overwriting each other, `If-None-Match: *` makes sure that nothing is there yet; both are looked at
//! in the transaction that writes.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, FromRequest, Path, Request, State};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sitepulse_daemon::{clock, instant};
use sitepulse_model::id::CheckId;

use super::{Ask, ask, bad_checks, parsed, plan_view};
use crate::app::{Access, ApplyOptions, Plan};
use crate::book::{Book, ObjectKind};
use crate::checkfile::{Source, Written, write};
use crate::engine::Engine;
use crate::present::Present;
use crate::present::door::Caller;
use crate::present::dto::PlanView;
use crate::present::etag;
use crate::present::list::{List, Listed};
use crate::present::openapi::signature::{Operation, Takes};
use crate::present::problem::{Answer, Code, Problem};

/// The table of checks; the others are [`ObjectKind::table`].
pub(in crate::present) const CHECK: &str = "check";

/// A check or an object as it is in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DefinitionView {
    /// Its table in check files: `check`, `policy`, `slo`, `maintenance`, `channel`, `escalation`, `schedule`, `user`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its revision or version.
    pub version: u32,
    /// Since when this one is in force.
    pub from: String,
    /// Who wrote it.
    pub author: String,
    /// Its keys, as docs/checks.md describes them.
    pub definition: Map<String, Value>,
}

/// What definitions are asked.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefinitionsQuery {
    /// The table: `check`, `policy`, `slo`, `maintenance`, `channel`, `escalation`, `schedule` or `user`.
    kind: Option<String>,
}

/// How a definition is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteQuery {
    /// Whether only the plan is told.
    #[serde(default)]
    dry_run: bool,
}

/// The keys of a table, as JSON or (`Content-Type: application/toml`) as TOML.
pub struct Keys(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Keys {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let toml = kind.starts_with("application/toml");
        let body: Result<Bytes, BytesRejection> = Bytes::from_request(request, state).await;
        let body = body.map_err(|_| Problem::new(Code::TooLarge, "a definition is longer than this path takes"))?;
        let bad = |what: String| Problem::new(Code::BadRequest, format!("the body is no table of keys: {what}"));
        if !toml {
            return serde_json::from_slice(&body).map(Self).map_err(|error| bad(error.to_string()));
        }
        let text = std::str::from_utf8(&body).map_err(|error| bad(error.to_string()))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| bad(error.to_string()))?;
        match serde_json::to_value(table) {
            Ok(Value::Object(keys)) => Ok(Self(keys)),
            Ok(_) => Err(bad("it is no table".into())),
            Err(error) => Err(bad(error.to_string())),
        }
    }
}

impl Takes for Keys {
    fn tell(operation: &mut Operation<'_>) {
        operation.takes_body(
            "application/json",
            json!({"type": "object", "description": "The keys, as docs/checks.md describes them."}),
        );
        operation.takes_also("application/toml", json!({"type": "string"}));
        operation.conditional();
        operation.refuses(422, "What is written is wrong: `errors` has every fault.");
    }
}

/// Of a retirement, which has no body.
pub struct Conditions(HeaderMap);

impl<S: Sync> axum::extract::FromRequestParts<S> for Conditions {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.headers.clone()))
    }
}

impl Takes for Conditions {
    fn tell(operation: &mut Operation<'_>) {
        operation.conditional();
        operation.refuses(422, "Something refers to it: `errors` tells what.");
    }
}

/// Of `apply`: on what is there as a whole.
#[derive(Default)]
pub struct AllConditions(HeaderMap);

impl<S: Sync> axum::extract::FromRequestParts<S> for AllConditions {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.headers.clone()))
    }
}

impl Takes for AllConditions {
    fn tell(operation: &mut Operation<'_>) {
        operation.conditional_on(
            "If-Match",
            "The `ETag` of `/api/v1/definitions` as it was read, whole: refused where anything changed meanwhile.",
        );
    }
}

impl AllConditions {
    /// Refuses where what is defined is no more what was read.
    ///
    /// # Errors
    /// [`Code::Changed`].
    pub(super) fn hold(&self, book: &Book) -> Answer<()> {
        if !self.0.contains_key(header::IF_MATCH) {
            return Ok(());
        }
        let mut all = all(book, None);
        all.sort_by_cached_key(order);
        etag::still(&self.0, &etag::of(&serde_json::to_vec(&all).unwrap_or_default()))
    }
}

/// The order in which definitions are told.
fn order(one: &DefinitionView) -> (String, String) {
    (one.kind.clone(), one.id.clone())
}

/// `GET /api/v1/definitions`: what lives, by kind and id.
pub async fn definitions(
    State(present): State<Present>,
    list: List<DefinitionsQuery>,
) -> Answer<Listed<DefinitionView>> {
    let List { query, page } = list;
    if let Some(kind) = &query.kind {
        known(kind)?;
    }
    let all = present.read(move |book| all(book, query.kind.as_deref())).await?;
    page.of_whole(all, order)
}

/// `GET /api/v1/definitions/{kind}/{id}`
pub async fn definition(
    State(present): State<Present>,
    Path((kind, id)): Path<(String, String)>,
) -> Answer<Json<DefinitionView>> {
    known(&kind)?;
    one(&present.app().book(), &kind, &id).map(Json).ok_or_else(|| Problem::not_found(&kind, &id))
}

/// `PUT /api/v1/definitions/{kind}/{id}`
pub async fn write(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path((kind, id)): Path<(String, String)>,
    query: Ask<WriteQuery>,
    Conditions(headers): Conditions,
    Keys(mut keys): Keys,
) -> Answer<Json<PlanView>> {
    known(&kind)?;
    let dry_run = ask(query)?.dry_run;
    match keys.insert("id".into(), id.clone().into()) {
        Some(other) if other != id.as_str() => {
            let what = format!("the body's id is {other}, the address names {id:?}: an id stays what it is");
            return Err(Problem::new(Code::BadRequest, what));
        }
        Some(_) | None => {}
    }
    let source: Source = write::file("body", &kind, keys).map_err(|error| bad_checks(vec![error]))?;
    let written = parsed(&[source])?;
    let options = ApplyOptions { prune: false, dry_run, author: caller.author };
    change(&present, caller.access, (kind, id), headers, move |_| Ok((written, options))).await
}

/// `DELETE /api/v1/definitions/{kind}/{id}`: its history stays.
pub async fn retire(
    State(present): State<Present>,
    Extension(caller): Extension<Caller>,
    Path((kind, id)): Path<(String, String)>,
    query: Ask<WriteQuery>,
    Conditions(headers): Conditions,
) -> Answer<Json<PlanView>> {
    known(&kind)?;
    let options = ApplyOptions { prune: true, dry_run: ask(query)?.dry_run, author: caller.author };
    let named = (kind.clone(), id.clone());
    change(&present, caller.access, named, headers, move |book| {
        one(book, &kind, &id).ok_or_else(|| Problem::not_found(&kind, &id))?;
        Ok((write::all_but(book, &kind, &id), options))
    })
    .await
    .map_err(of_no_file)
}

/// What is wrong with what would be left, without its place: it stands in no file.
fn of_no_file(why: Problem) -> Problem {
    let place = format!("{}: ", write::nowhere());
    let errors = why.view().errors.into_iter();
    let errors = errors.map(|error| error.strip_prefix(&place).map(ToOwned::to_owned).unwrap_or(error)).collect();
    why.with_errors(errors)
}

/// What a form of the console was opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::present) enum Seen {
    /// Nothing of that id.
    Nothing,
    /// What has this tag.
    Tag(String),
}

/// The tag of what there is of a kind and id.
pub(in crate::present) fn tag_of(book: &Book, kind: ObjectKind, id: &str) -> Option<String> {
    one(book, kind.table(), id).map(|view| tag(&view))
}

/// `PUT` of an object by a form, which wrote it as a file; or only the plan of it.
///
/// # Errors
/// What is wrong with the file, each fault with its line; [`Code::Changed`] where it is no more what was seen.
pub(in crate::present) async fn put(
    present: &Present,
    caller: &Caller,
    (kind, id): (ObjectKind, &str),
    seen: &Seen,
    file: Source,
    dry_run: bool,
) -> Answer<PlanView> {
    let written = parsed(&[file])?;
    let options = ApplyOptions { prune: false, dry_run, author: caller.author.clone() };
    let named = (kind.table().to_owned(), id.to_owned());
    let changed = change(present, caller.access, named, seen.headers(), move |_| Ok((written, options)));
    changed.await.map(|Json(plan)| plan)
}

/// The tag of a check that lives.
pub(in crate::present) fn tag_of_check(book: &Book, id: &str) -> Option<String> {
    one(book, CHECK, id).map(|view| tag(&view))
}

/// `PUT` of the checks of a form's file, where the one that it is about still is what was seen; or only the plan of it.
///
/// # Errors
/// What is wrong with the file, each fault with its line; [`Code::Changed`] where it is no more what was seen.
pub(in crate::present) async fn put_checks(
    present: &Present,
    caller: &Caller,
    (id, seen): (&str, &Seen),
    files: Vec<Source>,
    dry_run: bool,
) -> Answer<Plan> {
    let written = parsed(&files)?;
    let options = ApplyOptions { prune: false, dry_run, author: caller.author.clone() };
    let (id, headers, access, now) = (id.to_owned(), seen.headers(), caller.access, clock::now());
    let work = move |engine: &mut Engine| -> Answer<Plan> {
        let shared = std::sync::Arc::clone(engine.shared());
        conditions(&headers, one(&shared.book(), CHECK, &id).as_ref())?;
        Ok(engine.apply_as(access, written, &options, now)?)
    };
    present.app().writer().run(work).await.map_err(crate::app::AppError::from)?
}

/// Whether there is something of a kind and id.
pub(in crate::present) fn is_there(book: &Book, kind: &str, id: &str) -> bool {
    one(book, kind, id).is_some()
}

/// `DELETE` of a definition by a form.
///
/// # Errors
/// What still refers to it; [`Code::NotFound`].
pub(in crate::present) async fn end(present: &Present, caller: &Caller, kind: &str, id: &str) -> Answer<()> {
    let path = Path((kind.to_owned(), id.to_owned()));
    let (state, query) = (State(present.clone()), Ok(axum::extract::Query(WriteQuery::default())));
    retire(state, Extension(caller.clone()), path, query, Conditions(HeaderMap::new())).await.map(|_| ())
}

impl Seen {
    fn headers(&self) -> HeaderMap {
        let (name, value) = match self {
            Self::Nothing => (header::IF_NONE_MATCH, "*"),
            Self::Tag(tag) => (header::IF_MATCH, tag.as_str()),
        };
        // What is no header was nobody's tag either.
        let value = axum::http::HeaderValue::from_str(value).unwrap_or(axum::http::HeaderValue::from_static("\"\""));
        HeaderMap::from_iter([(name, value)])
    }
}

/// Applies, when the conditions hold; on the writer, so that nothing comes in between. The plan tells of what was named alone.
async fn change(
    present: &Present,
    access: Access,
    (kind, id): (String, String),
    headers: HeaderMap,
    wanted: impl FnOnce(&Book) -> Answer<(Written, ApplyOptions)> + Send + 'static,
) -> Answer<Json<PlanView>> {
    let now = clock::now();
    let work = move |engine: &mut Engine| -> Answer<PlanView> {
        let shared = std::sync::Arc::clone(engine.shared());
        let (written, options) = {
            let book = shared.book();
            conditions(&headers, one(&book, &kind, &id).as_ref())?;
            wanted(&book)?
        };
        let mut plan = plan_view(&engine.apply_as(access, written, &options, now)?);
        plan.items.retain(|item| kind == CHECK && item.check == id);
        plan.objects.retain(|object| object.kind == kind && object.id == id);
        Ok(plan)
    };
    present.app().writer().run(work).await.map_err(crate::app::AppError::from)?.map(Json)
}

fn conditions(headers: &HeaderMap, now: Option<&DefinitionView>) -> Answer<()> {
    let gone =
        || Problem::new(Code::Changed, "there is nothing of this id any more: send it without `If-Match` to make it");
    match now {
        Some(view) => {
            if headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == "*") {
                return Err(Problem::new(
                    Code::Changed,
                    "there is one of this id already: choose another, or send its `ETag` as `If-Match`",
                ));
            }
            etag::still(headers, &tag(view))
        }
        None if headers.contains_key(header::IF_MATCH) => Err(gone()),
        None => Ok(()),
    }
}

/// The tag that a definition is told with.
fn tag(view: &DefinitionView) -> String {
    etag::of(&serde_json::to_vec(view).unwrap_or_default())
}

fn known(kind: &str) -> Answer<()> {
    let tables = ObjectKind::ALL.iter().map(|kind| kind.table());
    let mut all = std::iter::once(CHECK).chain(tables);
    if all.any(|table| table == kind) { Ok(()) } else { Err(Problem::not_found("kind of definition", kind)) }
}

fn of_check(check: &crate::book::Check) -> DefinitionView {
    let newest = check.newest();
    DefinitionView {
        kind: CHECK.to_owned(),
        id: check.id.to_string(),
        version: newest.revision.0,
        from: instant::format(newest.effective_from),
        author: newest.author.clone(),
        definition: write::check(&newest.definition, &newest.labels),
    }
}

fn of_object(revised: &crate::book::Revised<crate::book::Object>) -> DefinitionView {
    DefinitionView {
        kind: revised.body.kind().table().to_owned(),
        id: revised.body.id().to_owned(),
        version: revised.version,
        from: instant::format(revised.effective_from),
        author: revised.author.clone(),
        definition: write::object(&revised.body),
    }
}

fn one(book: &Book, kind: &str, id: &str) -> Option<DefinitionView> {
    if kind == CHECK {
        let check = book.check_by_id(&CheckId::parse(id).ok()?)?;
        return (!check.retired()).then(|| of_check(check));
    }
    let kind = ObjectKind::ALL.iter().find(|one| one.table() == kind)?;
    book.objects().newest(*kind, id).filter(|newest| !newest.retired).map(|newest| of_object(&newest))
}

fn all(book: &Book, kind: Option<&str>) -> Vec<DefinitionView> {
    let wanted = |table: &str| kind.is_none_or(|kind| kind == table);
    let checks = book.checks().filter(|check| wanted(CHECK) && !check.retired()).map(of_check);
    let objects = book.objects().living();
    let objects = objects.iter().filter(|revised| wanted(revised.body.kind().table())).map(of_object);
    checks.chain(objects).collect()
}
