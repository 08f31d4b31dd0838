//! The page that documents the interface, made from the OpenAPI document.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Html;
use serde::Serialize;
use serde_json::Value;

use crate::error::ApiError;
use crate::state::AppState;

/// How deep the shape of an answer is written out.
const MAX_DEPTH: usize = 6;

#[derive(Debug, Serialize)]
struct Group {
    name: String,
    description: String,
    operations: Vec<Operation>,
}

#[derive(Debug, Serialize)]
struct Operation {
    method: String,
    path: String,
    summary: String,
    description: String,
    parameters: Vec<Parameter>,
    example: String,
    answers: Vec<Answer>,
    shape: String,
}

#[derive(Debug, Serialize)]
struct Parameter {
    name: String,
    place: String,
    kind: String,
    description: String,
}

#[derive(Debug, Serialize)]
struct Answer {
    status: String,
    description: String,
    kind: String,
}

#[derive(Debug, Serialize)]
struct DocsPage {
    groups: Vec<Group>,
}

/// `GET /docs`
pub(super) async fn page(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<Html<String>, ApiError> {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost:8000");
    let page = DocsPage {
        groups: groups(&state.document, host),
    };
    state.templates.render(&state, "docs.html", "/docs", &page)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_string()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The operations by tag, in the document's order.
fn groups(document: &Value, host: &str) -> Vec<Group> {
    items(&document["tags"])
        .map(|tag| {
            let name = text(tag, "name");
            let operations = fields(&document["paths"])
                .flat_map(|(path, methods)| fields(methods).map(move |(m, o)| (path, m, o)))
                .filter(|(_, _, operation)| items(&operation["tags"]).any(|t| *t == name.as_str()))
                .map(|(path, method, operation)| {
                    Operation::new(document, host, path, method, operation)
                })
                .collect();
            Group {
                name,
                description: text(tag, "description"),
                operations,
            }
        })
        .collect()
}

impl Operation {
    fn new(document: &Value, host: &str, path: &str, method: &str, operation: &Value) -> Self {
        let answers = fields(&operation["responses"]);
        let success = fields(&operation["responses"])
            .find(|(status, _)| status.starts_with('2'))
            .map(|(_, answer)| &answer["content"]["application/json"]["schema"]);
        Self {
            method: method.to_string(),
            path: path.to_string(),
            summary: text(operation, "summary"),
            description: text(operation, "description"),
            parameters: items(&operation["parameters"])
                .map(|parameter| Parameter {
                    name: text(parameter, "name"),
                    place: text(parameter, "in"),
                    kind: kind(&parameter["schema"]),
                    description: text(parameter, "description"),
                })
                .collect(),
            example: example(host, path, method, operation),
            answers: answers
                .map(|(status, answer)| Answer {
                    status: status.clone(),
                    description: text(answer, "description"),
                    kind: fields(&answer["content"])
                        .map(|(content_type, _)| content_type.clone())
                        .collect::<Vec<_>>()
                        .join(", "),
                })
                .collect(),
            shape: success
                .filter(|schema| !schema.is_null())
                .map(|schema| shape(document, schema, 0))
                .unwrap_or_default(),
        }
    }
}

/// A command line that calls the operation.
fn example(host: &str, path: &str, method: &str, operation: &Value) -> String {
    let mut address = format!("http://{host}{path}");
    let mut query = Vec::new();
    for parameter in items(&operation["parameters"]) {
        let name = text(parameter, "name");
        let example = match &parameter["example"] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if parameter["in"] == "path" {
            address = address.replace(&format!("{{{name}}}"), &example);
        } else {
            query.push(format!("{name}={example}"));
        }
    }
    if !query.is_empty() {
        address = format!("'{address}?{}'", query.join("&"));
    }
    let form = &operation["requestBody"]["content"]["multipart/form-data"]["schema"]["$ref"];
    let body = match form.as_str().and_then(|name| name.rsplit('/').next()) {
        Some("PictureForm") => " -F file=@photo.jpg",
        Some("PicturesForm") => " -F files=@a.jpg -F files=@b.jpg",
        _ => "",
    };
    match method {
        "get" | "post" => format!("curl{body} {address}"),
        other => format!("curl -X {}{body} {address}", other.to_uppercase()),
    }
}

/// The schema that a reference names, or the schema itself.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"]
        .as_str()
        .and_then(|reference| reference.strip_prefix("#/components/schemas/"));
    match name {
        Some(name) => &document["components"]["schemas"][name],
        None => schema,
    }
}

/// A schema's type in a word.
fn kind(schema: &Value) -> String {
    match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
            kinds.join(" or ")
        }
        _ => "any".to_string(),
    }
}

/// A schema written out as JSON with types in the place of values.
fn shape(document: &Value, schema: &Value, depth: usize) -> String {
    if depth > MAX_DEPTH {
        return "…".to_string();
    }
    let schema = resolved(document, schema);
    let alternatives = items(&schema["oneOf"]).find(|one| one["type"] != "null");
    if let Some(alternative) = alternatives {
        return format!("{} or null", shape(document, alternative, depth));
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let lines: Vec<String> = parts
            .iter()
            .flat_map(|part| property_lines(document, resolved(document, part), depth))
            .collect();
        return braced(&lines, depth);
    }
    if schema["properties"].is_object() {
        return braced(&property_lines(document, schema, depth), depth);
    }
    if schema["items"].is_object() {
        return format!("[ {}, … ]", shape(document, &schema["items"], depth));
    }
    kind(schema)
}

fn property_lines(document: &Value, schema: &Value, depth: usize) -> Vec<String> {
    let mut lines: Vec<String> = items(&schema["allOf"])
        .flat_map(|part| property_lines(document, resolved(document, part), depth))
        .collect();
    lines.extend(
        fields(&schema["properties"]).map(|(name, property)| {
            format!("\"{name}\": {}", shape(document, property, depth + 1))
        }),
    );
    lines
}

fn braced(lines: &[String], depth: usize) -> String {
    let indent = "  ".repeat(depth + 1);
    let inner = lines.join(&format!(",\n{indent}"));
    format!("{{\n{indent}{inner}\n{}}}", "  ".repeat(depth))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Limits;
    use crate::router::documented;

    #[test]
    fn every_operation_is_on_the_page_with_an_example() {
        let (_, document) = documented(&Limits::default());
        let groups = groups(&document, "localhost:8000");
        let shown: usize = groups.iter().map(|group| group.operations.len()).sum();
        let documented: usize = fields(&document["paths"])
            .map(|(_, methods)| fields(methods).count())
            .sum();
        assert_eq!(shown, documented);
        let predict = groups[0]
            .operations
            .iter()
            .find(|operation| operation.path == "/predict")
            .unwrap();
        assert_eq!(
            predict.example,
            "curl -F file=@photo.jpg 'http://localhost:8000/predict?model=demo@production&top=3'"
        );
        assert!(
            predict.shape.contains("\"confidence\": number"),
            "{}",
            predict.shape
        );
        for operation in groups.iter().flat_map(|group| &group.operations) {
            assert!(!operation.summary.is_empty(), "{}", operation.path);
            assert!(operation.example.starts_with("curl"), "{}", operation.path);
        }
    }
}
