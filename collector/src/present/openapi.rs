//! The OpenAPI 3.1 document of `/api/v1`, made from the table of routes and the handlers' signatures.
//!
//! Nothing is said twice: method, path, scope and the longest body are the table's ([`crate::present::route`]); parameters, bodies and
//! answers are read from the types that a handler takes and gives ([`signature`]), whose documentation comments become the
//! descriptions; what an operation does is its row in `docs/api.md`. The document is made once, when it is asked for first.
//!
//! Limits: the pages of the console are not in it.

pub mod signature;
mod words;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::present::door::Scope;
use crate::present::dto::ProblemView;
use crate::present::openapi::signature::{Gives, Operation};
use crate::present::route::{Route, routes};

/// Where the document is.
pub const PATH: &str = "/api/v1/openapi.json";
/// Where schemas are within it.
const SCHEMAS: &str = "/components/schemas";

static DOCUMENT: OnceLock<Value> = OnceLock::new();

/// The document.
pub fn document() -> &'static Value {
    DOCUMENT.get_or_init(|| build(&routes()))
}

/// The document as an answer.
pub struct Document(&'static Value);

impl IntoResponse for Document {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0.to_string()).into_response()
    }
}

impl Gives for Document {
    fn tell(operation: &mut Operation<'_>) {
        operation.answer(200, "The document.", Some(("application/json", json!({"type": "object"}))));
    }
}

/// `GET /api/v1/openapi.json`
pub async fn openapi() -> Document {
    Document(document())
}

/// The two ways that a shape is looked at: as it is sent to the collector, and as the collector sends it.
pub struct Schemas {
    taken: SchemaGenerator,
    given: SchemaGenerator,
    /// Queries are taken apart into parameters, so that nothing refers to them.
    asked: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            let mut settings = SchemaSettings::draft2020_12();
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
            settings
        };
        Self {
            taken: settings().for_deserialize().into_generator(),
            given: settings().for_serialize().into_generator(),
            asked: settings().for_deserialize().with(|settings| settings.inline_subschemas = true).into_generator(),
        }
    }

    /// Of something that clients send.
    pub fn taken<T: JsonSchema>(&mut self) -> Value {
        self.taken.subschema_for::<T>().to_value()
    }

    /// Of something that clients get.
    pub fn given<T: JsonSchema>(&mut self) -> Value {
        self.given.subschema_for::<T>().to_value()
    }

    /// Of a query.
    pub fn asked<T: JsonSchema>(&mut self) -> Value {
        T::json_schema(&mut self.asked).to_value()
    }

    /// All that were named.
    fn all(mut self) -> Map<String, Value> {
        let mut all = self.given.take_definitions(true);
        for (name, schema) in self.taken.take_definitions(true) {
            // A shape that goes both ways is told as it is given; a test holds that none of them differs.
            all.entry(name).or_insert(schema);
        }
        all
    }
}

fn build(routes: &[Route]) -> Value {
    let rows = words::rows();
    let mut schemas = Schemas::new();
    // Every refusal is one.
    schemas.given::<ProblemView>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in routes {
        let Some(tell) = route.tell else { continue };
        let mut operation = Operation::new(&mut schemas, route);
        tell(&mut operation);
        let row = rows.get(&(route.method, route.path)).copied().unwrap_or_default();
        let told = operation.finish(row);
        paths.entry(route.path).or_default().insert(route.method.to_lowercase(), told);
    }
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "SitePulse collector",
            "version": "v1",
            "summary": "What is watched, what was found, and everything that was counted of it.",
            "description": words::ABOUT,
            "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
        },
        "servers": [{"url": "/", "description": "This collector."}],
        "tags": tags(&paths),
        "paths": paths,
        "components": {
            "schemas": schemas.all(),
            "securitySchemes": {
                "token": {
                    "type": "http", "scheme": "bearer",
                    "description": "A token of `sitepulse-collector token create --api`.",
                },
                "session": {
                    "type": "apiKey", "in": "cookie", "name": crate::present::door::COOKIE_SECURE,
                    "description": "A session of the console; over plain HTTP its cookie is called `sitepulse_session`.",
                },
            },
            "responses": {
                "Problem": {
                    "description": "The request is refused: `detail` tells why, and what to do.",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemView"}}},
                },
            },
        },
    })
}

/// The families of paths, in order.
fn tags(paths: &BTreeMap<&str, Map<String, Value>>) -> Vec<Value> {
    let mut names: Vec<&str> = paths.keys().map(|path| tag(path)).collect();
    names.dedup();
    names.into_iter().map(|name| json!({"name": name})).collect()
}

/// The family of a path: what stands after `/api/v1/`.
fn tag(path: &str) -> &str {
    let rest = path.strip_prefix("/api/v1/").unwrap_or(path);
    rest.split('/').next().unwrap_or(rest)
}

/// Who may ask, as the document says it; `None`: whoever likes.
fn security(scope: Scope) -> Option<Value> {
    let word = scope.as_str();
    scope.access().map(|_| json!([{"token": [word]}, {"session": [word]}]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shape_goes_both_ways_with_two_meanings() {
        let mut schemas = Schemas::new();
        for route in routes() {
            if let Some(tell) = route.tell {
                tell(&mut Operation::new(&mut schemas, &route));
            }
        }
        let given = schemas.given.take_definitions(true);
        for (name, taken) in schemas.taken.take_definitions(true) {
            assert!(given.get(&name).is_none_or(|given| *given == taken), "{name}");
        }
    }
}
