//! What the types of a handler's signature say about its operation.
//!
//! A type that a handler takes tells by [`Takes`] (a query its parameters, a body its schema, the others nothing), one that it gives by
//! [`Gives`]. [`Documented`] holds for every asynchronous function of such types.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::{BytesRejection, JsonRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::{Schemas, security, tag, words};
use crate::present::audit::Note;
use crate::present::door::Scope;
use crate::present::problem::Problem;
use crate::present::route::Route;

/// An operation, while it is told.
pub struct Operation<'a> {
    schemas: &'a mut Schemas,
    method: &'static str,
    path: &'static str,
    scope: Scope,
    body_max: usize,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Value>,
    refusals: BTreeMap<u16, &'static str>,
}

impl<'a> Operation<'a> {
    /// That of a route.
    pub(super) fn new(schemas: &'a mut Schemas, route: &Route) -> Self {
        let Route { method, path, scope, body_max, .. } = *route;
        let (parameters, answers) = (words::path_parameters(path), BTreeMap::new());
        let mut refusals = BTreeMap::new();
        if scope != Scope::Public {
            refusals.insert(401, "No credentials, or bad ones.");
            refusals.insert(403, "The credentials do not reach so far, or another site asks.");
        }
        if !parameters.is_empty() {
            refusals.insert(404, "There is no such thing.");
        }
        if method != "GET" {
            refusals.insert(409, "Something is in the way.");
        }
        Self { schemas, method, path, scope, body_max, parameters, body: None, answers, refusals }
    }

    /// It reads a query. Of parameters that are well known the meaning is told once for all.
    pub fn query<T: JsonSchema>(&mut self) {
        let schema = self.schemas.asked::<T>();
        let needed: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let mut property = property.clone();
            without_null(&mut property);
            let told = property.as_object_mut().and_then(|property| property.remove("description"));
            let told = told.or_else(|| words::parameter(name).map(Value::from)).unwrap_or_default();
            let required = needed.contains(&name.as_str());
            self.parameter(json!({
                "name": name, "in": "query", "required": required, "description": told, "schema": property,
            }));
        }
        self.refusals.insert(400, "The request makes no sense.");
    }

    /// It has a parameter.
    pub fn parameter(&mut self, parameter: Value) {
        self.parameters.push(parameter);
    }

    /// It reads JSON.
    pub fn json<T: JsonSchema>(&mut self) {
        let schema = self.schemas.taken::<T>();
        self.takes_body("application/json", schema);
    }

    /// It reads a body.
    pub fn takes_body(&mut self, kind: &str, schema: Value) {
        let described = format!("{} bytes at most.", self.body_max);
        self.body = Some(json!({"required": true, "description": described, "content": {kind: {"schema": schema}}}));
        self.refuses(400, "The request makes no sense.");
        self.refuses(413, "The body is too long.");
    }

    /// It reads such a body as well.
    pub fn takes_also(&mut self, kind: &str, schema: Value) {
        if let Some(body) = &mut self.body {
            body["content"][kind] = json!({"schema": schema});
        }
    }

    /// It is done only where what is there is what the client saw.
    pub fn conditional(&mut self) {
        if self.refusals.contains_key(&412) {
            return;
        }
        self.conditional_on(
            "If-Match",
            "The `ETag` of what was read: the change is refused where it changed meanwhile.",
        );
        self.conditional_on("If-None-Match", "`*`: the change is refused where there is one already.");
    }

    /// It is done only where what this header says holds.
    pub fn conditional_on(&mut self, name: &str, what: &str) {
        self.parameter(header(name, what));
        self.refuses(412, "It changed meanwhile.");
    }

    /// It answers with JSON.
    pub fn gives_json<T: JsonSchema>(&mut self) {
        let schema = self.schemas.given::<T>();
        self.answer(200, "What was asked for.", Some(("application/json", schema)));
    }

    /// It answers so.
    pub fn answer(&mut self, status: u16, what: &str, content: Option<(&str, Value)>) {
        let mut answer = Map::from_iter([("description".to_owned(), Value::from(what))]);
        if let Some((kind, schema)) = content {
            answer.insert("content".into(), json!({kind: {"schema": schema}}));
        }
        self.answers.insert(status, Value::Object(answer));
    }

    /// Its good answers have a header.
    pub fn answer_header(&mut self, name: &str, what: &str) {
        for answer in self.answers.values_mut() {
            answer["headers"][name] = json!({"description": what, "schema": {"type": "string"}});
        }
    }

    /// It may refuse so.
    pub fn refuses(&mut self, status: u16, what: &'static str) {
        self.refusals.insert(status, what);
    }

    /// What every operation of its method has: tags of answers, keys of requests.
    fn common(&mut self) {
        if self.method == "GET" && !self.streams() {
            self.answer_header("ETag", "The answer's tag: a hash of its body.");
            self.parameter(header(
                "If-None-Match",
                "Tags of answers that are known: one that is not changed is not sent.",
            ));
            self.answer(304, "It is as it was.", None);
        }
        if self.method == "POST" {
            self.parameter(header(
                "Idempotency-Key",
                "1 to 255 characters. The request is done once, however often it is sent within 24 h with this key.",
            ));
            self.refuses(422, "The key stands for another request, or what is written is wrong.");
            self.refuses(429, "Asked too often.");
        }
    }

    fn streams(&self) -> bool {
        self.answers.get(&200).is_some_and(|answer| answer["content"].get("text/event-stream").is_some())
    }

    /// The finished operation; `row` is what the documentation says of it.
    pub(super) fn finish(mut self, row: &str) -> Value {
        self.common();
        let (method, path) = (self.method, self.path);
        let (summary, description) = words::told(row);
        let mut responses = Map::new();
        for (status, answer) in self.answers {
            responses.insert(status.to_string(), answer);
        }
        for (status, what) in self.refusals {
            let content = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemView"}}});
            responses.insert(status.to_string(), json!({"description": what, "content": content}));
        }
        responses.insert("default".into(), json!({"$ref": "#/components/responses/Problem"}));
        let mut operation = json!({
            "operationId": words::operation_id(method, path),
            "tags": [tag(path)],
            "summary": summary,
            "description": format!("{description}\n\nScope: `{}`.", self.scope.as_str()),
            "parameters": std::mem::take(&mut self.parameters),
            "responses": responses,
            "security": security(self.scope).unwrap_or_else(|| json!([])),
        });
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        operation
    }
}

fn header(name: &str, what: &str) -> Value {
    json!({"name": name, "in": "header", "required": false, "description": what, "schema": {"type": "string"}})
}

/// A parameter that is absent is not `null`.
fn without_null(schema: &mut Value) {
    if let Some(types) = schema["type"].as_array_mut() {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            schema["type"] = one.clone();
        }
    } else if let Some(schema) = schema.as_object_mut() {
        // Indexing above made it.
        if schema.get("type").is_some_and(Value::is_null) {
            schema.remove("type");
        }
    }
}

/// What a handler takes.
pub trait Takes {
    /// Tells it.
    fn tell(_: &mut Operation<'_>) {}
}

/// What a handler gives.
pub trait Gives {
    /// Tells it.
    fn tell(operation: &mut Operation<'_>);
}

/// A handler whose signature tells what it takes and gives; `T` is [`axum::handler::Handler`]'s.
pub trait Documented<T> {
    /// Tells it.
    fn tell(operation: &mut Operation<'_>);
}

impl<F, Told, R> Documented<((),)> for F
where
    F: FnOnce() -> Told,
    Told: Future<Output = R>,
    R: Gives,
{
    fn tell(operation: &mut Operation<'_>) {
        R::tell(operation);
    }
}

macro_rules! documented {
    ($($taken:ident),+) => {
        impl<F, Told, R, M, $($taken),+> Documented<(M, $($taken,)+)> for F
        where
            F: FnOnce($($taken),+) -> Told,
            Told: Future<Output = R>,
            R: Gives,
            $($taken: Takes,)+
        {
            fn tell(operation: &mut Operation<'_>) {
                $($taken::tell(operation);)+
                R::tell(operation);
            }
        }
    };
}

documented!(A);
documented!(A, B);
documented!(A, B, C);
documented!(A, B, C, D);
documented!(A, B, C, D, E);
documented!(A, B, C, D, E, G);

impl<T> Takes for State<T> {}
impl<T> Takes for Extension<T> {}
/// Its names stand in the path.
impl<T> Takes for Path<T> {}
impl Takes for HeaderMap {}
/// What a handler tells the audit log.
impl Takes for Note {}

impl<T: JsonSchema> Takes for Result<Query<T>, QueryRejection> {
    fn tell(operation: &mut Operation<'_>) {
        operation.query::<T>();
    }
}

impl<T: JsonSchema> Takes for Result<Json<T>, JsonRejection> {
    fn tell(operation: &mut Operation<'_>) {
        operation.json::<T>();
    }
}

impl Takes for Result<Bytes, BytesRejection> {
    fn tell(operation: &mut Operation<'_>) {
        operation.takes_body("application/octet-stream", json!({}));
    }
}

impl<T: JsonSchema> Gives for Json<T> {
    fn tell(operation: &mut Operation<'_>) {
        operation.gives_json::<T>();
    }
}

/// Handlers that answer with a status alone have nothing to tell.
impl Gives for StatusCode {
    fn tell(operation: &mut Operation<'_>) {
        operation.answer(204, "It is done.", None);
    }
}

impl<T: Gives> Gives for Result<T, Problem> {
    fn tell(operation: &mut Operation<'_>) {
        T::tell(operation);
    }
}
