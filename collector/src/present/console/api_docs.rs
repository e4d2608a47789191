//! `/api/v1/docs`: the API as its document tells it, to be read. Made from [`openapi::document`], so nothing is said twice.

use askama::Template;
use axum::response::Response;
use serde_json::Value;

use super::frame::{Frame, Place};
use crate::present::openapi;
use crate::present::problem::Answer;
use crate::present::text::Texts;

/// A family of paths.
struct Family<'d> {
    name: &'d str,
    operations: Vec<Operation<'d>>,
}

struct Operation<'d> {
    id: &'d str,
    method: String,
    path: &'d str,
    summary: &'d str,
    description: &'d str,
    scope: &'d str,
    parameters: Vec<Row<'d>>,
    /// The shape of the body.
    body: Option<&'d str>,
    answers: Vec<Row<'d>>,
}

/// A parameter, a key or an answer.
struct Row<'d> {
    name: &'d str,
    /// Where it stands, or its type.
    kind: String,
    /// Where its shape is told.
    shape: Option<&'d str>,
    told: &'d str,
    needed: bool,
}

struct Shape<'d> {
    name: &'d str,
    told: &'d str,
    keys: Vec<Row<'d>>,
}

#[derive(Template)]
#[template(path = "api_docs.html")]
struct Page<'d> {
    t: &'static Texts,
    families: Vec<Family<'d>>,
    shapes: Vec<Shape<'d>>,
}

/// `GET /api/v1/docs`
///
/// # Errors
/// When a template fails, which only a broken build does.
pub async fn page(frame: Frame) -> Answer<Response> {
    let document = openapi::document();
    let page = Page { t: frame.t, families: families(document), shapes: shapes(document) };
    frame.page(Place::Api, frame.t.api.title, None, &page)
}

fn text<'d>(value: &'d Value, key: &str) -> &'d str {
    value[key].as_str().unwrap_or_default()
}

/// The shape that a schema names, itself or as its items.
fn shape(schema: &Value) -> Option<&str> {
    let named = |schema: &Value| schema["$ref"].is_string();
    let found = if named(schema) { schema } else { &schema["items"] };
    let found = if named(found) { found } else { schema["anyOf"].as_array()?.iter().find(|one| named(one))? };
    found["$ref"].as_str()?.rsplit('/').next()
}

/// A schema's type in words: `string`, `array of number`, `string or null`.
fn kind(schema: &Value) -> String {
    let types = match &schema["type"] {
        Value::String(one) if one == "array" => {
            let of = kind(&schema["items"]);
            return if of.is_empty() { "array".to_owned() } else { format!("array of {of}") };
        }
        Value::String(one) => vec![one.as_str()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    types.join(" or ")
}

fn families(document: &Value) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for (path, operations) in document["paths"].as_object().into_iter().flatten() {
        for (method, told) in operations.as_object().into_iter().flatten() {
            let name = told["tags"][0].as_str().unwrap_or_default();
            let operation = operation(path, method, told);
            match families.iter_mut().find(|family| family.name == name) {
                Some(family) => family.operations.push(operation),
                None => families.push(Family { name, operations: vec![operation] }),
            }
        }
    }
    families
}

fn operation<'d>(path: &'d str, method: &str, told: &'d Value) -> Operation<'d> {
    let parameter = |one: &'d Value| Row {
        name: text(one, "name"),
        kind: text(one, "in").to_owned(),
        shape: None,
        told: text(one, "description"),
        needed: one["required"] == true,
    };
    let answer = |(status, one): (&'d String, &'d Value)| {
        let content = one["content"].as_object().and_then(|content| content.iter().next());
        Row {
            name: status,
            kind: content.map(|(kind, _)| kind.clone()).unwrap_or_default(),
            shape: content.and_then(|(_, media)| shape(&media["schema"])),
            told: text(one, "description"),
            needed: false,
        }
    };
    // What every operation has is told once, above.
    let answers = told["responses"].as_object().into_iter().flatten();
    let answers = answers.filter(|(status, _)| !["default", "304", "401", "403"].contains(&status.as_str()));
    let parameters = told["parameters"].as_array().into_iter().flatten();
    let parameters = parameters.filter(|one| !["If-None-Match", "Idempotency-Key"].contains(&text(one, "name")));
    Operation {
        id: text(told, "operationId"),
        method: method.to_uppercase(),
        path,
        summary: text(told, "summary"),
        description: text(told, "description").split("\n\nScope:").next().unwrap_or_default(),
        scope: told["security"][0]["token"][0].as_str().unwrap_or("public"),
        parameters: parameters.map(parameter).collect(),
        body: told["requestBody"]["content"]["application/json"].get("schema").and_then(shape),
        answers: answers.map(answer).collect(),
    }
}

fn shapes(document: &Value) -> Vec<Shape<'_>> {
    let all = document["components"]["schemas"].as_object().into_iter().flatten();
    all.map(|(name, schema)| Shape {
        name,
        told: text(schema, "description"),
        keys: schema["properties"].as_object().into_iter().flatten().map(|(key, of)| row(key, of, schema)).collect(),
    })
    .collect()
}

fn row<'d>(key: &'d str, of: &'d Value, schema: &'d Value) -> Row<'d> {
    let needed = schema["required"].as_array().is_some_and(|all| all.iter().any(|one| one == key));
    Row { name: key, kind: kind(of), shape: shape(of), told: text(of, "description"), needed }
}
