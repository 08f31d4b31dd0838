//! Our results against those of Hydra and OmegaConf, as `tools/golden_config.py` wrote them.
//!
//! `FERROTYPE_GOLDEN_CONFIG` names another folder of cases, for a longer hunt.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ferrotype_core::config::overrides::{
    self, Action, Element, Number, Override, OverrideValue, Sweep,
};
use ferrotype_core::config::{
    ConfigError, MemorySource, Node, SourceFile, Value, compose_untyped, yaml,
};
use serde_json::{Value as Json, json};

fn golden(name: &str) -> Json {
    let folder = std::env::var_os("FERROTYPE_GOLDEN_CONFIG").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/config")),
        PathBuf::from,
    );
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

/// A configuration value as the script writes it.
fn encode(node: &Node) -> Json {
    match &node.value {
        Value::Float(value) => float(*value),
        Value::List(items) => items.iter().map(encode).collect(),
        Value::Map(map) => {
            let entries: Vec<_> = map
                .iter()
                .map(|(key, node)| json!([key, encode(node)]))
                .collect();
            json!({ "map": entries })
        }
        _ => node.to_json(),
    }
}

fn float(value: f64) -> Json {
    json!({"float": format!("{value:?}")})
}

/// The script's values with numbers in our notation.
fn normalized(json: &Json) -> Json {
    match json {
        Json::Array(items) => items.iter().map(normalized).collect(),
        Json::Object(map) => match map.get("float").and_then(Json::as_str) {
            Some(text) => float(text.parse().unwrap()),
            None => map
                .iter()
                .map(|(key, item)| (key.clone(), normalized(item)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        },
        other => other.clone(),
    }
}

/// Compares every case of a list and tells of all that differ.
fn compare(cases: &Json, ours: impl Fn(&Json) -> Result<Json, ConfigError>) {
    let mut different = Vec::new();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() > 30);
    for case in cases {
        let name = case.get("text").or_else(|| case.get("name")).unwrap();
        let ours = ours(case);
        let is_same = match (case.get("value"), &ours) {
            (Some(value), Ok(ours)) => normalized(value) == *ours,
            (None, Err(error)) => !error.message().is_empty(),
            _ => false,
        };
        if !is_same {
            let ours = ours.map_or_else(|error| format!("error: {error}"), |json| json.to_string());
            different.push(format!("{name}\n  expected {case}\n  got {ours}"));
        }
    }
    assert!(
        different.is_empty(),
        "{} of {} cases differ:\n{}",
        different.len(),
        cases.len(),
        different.join("\n")
    );
}

fn text(case: &Json) -> &str {
    case["text"].as_str().unwrap()
}

fn texts(json: &Json) -> BTreeMap<String, String> {
    serde_json::from_value(json.clone()).unwrap()
}

#[test]
fn scalars_are_what_omegaconf_reads() {
    compare(&golden("scalars.json"), |case| {
        let list = yaml::parse(&format!("- {}", text(case)), "case.yaml")?;
        Ok(encode(&list.as_list().unwrap()[0]))
    });
}

#[test]
fn documents_are_what_omegaconf_reads() {
    compare(&golden("documents.json"), |case| {
        Ok(encode(&yaml::parse(text(case), "case.yaml")?))
    });
}

#[test]
fn a_document_that_is_written_reads_back() {
    for case in golden("documents.json").as_array().unwrap() {
        let Ok(node) = yaml::parse(text(case), "case.yaml") else {
            continue;
        };
        let written = yaml::to_yaml(&node);
        let back = yaml::parse(&written, "written.yaml").unwrap();
        assert_eq!(encode(&back), encode(&node), "{written}");
    }
}

#[test]
fn overrides_are_what_hydra_reads() {
    compare(&golden("overrides.json"), |case| {
        overrides::parse(text(case)).map(|parsed| encode_override(&parsed))
    });
}

fn encode_override(parsed: &Override) -> Json {
    let action = match parsed.action {
        Action::Change => "CHANGE",
        Action::Add => "ADD",
        Action::ForceAdd => "FORCE_ADD",
        Action::Delete => "DEL",
    };
    json!({
        "action": action,
        "key": parsed.key,
        "package": parsed.package,
        "value": parsed.value.as_ref().map(encode_value),
    })
}

fn encode_value(value: &OverrideValue) -> Json {
    match value {
        OverrideValue::Element(element) => json!({"element": encode_element(element)}),
        OverrideValue::Sweep(Sweep::Choice { items, is_simple }) => {
            let items: Vec<_> = items.iter().map(encode_element).collect();
            json!({"choice": items, "simple": is_simple})
        }
        OverrideValue::Sweep(Sweep::Range { start, stop, step }) => {
            json!({"range": [encode_number(*start), encode_number(*stop), encode_number(*step)]})
        }
        OverrideValue::Sweep(Sweep::Interval { start, end }) => {
            json!({"interval": [encode_number(*start), encode_number(*end)]})
        }
        OverrideValue::Sweep(Sweep::Glob { include, exclude }) => {
            json!({"glob": [include, exclude]})
        }
    }
}

fn encode_number(number: Number) -> Json {
    encode_element(&number.element())
}

fn encode_element(element: &Element) -> Json {
    match element {
        Element::Null => Json::Null,
        Element::Bool(value) => json!(value),
        Element::Int(value) => serde_json::from_str(&value.to_string()).unwrap(),
        Element::Float(value) => float(*value),
        Element::Text(text) => json!(text),
        Element::Quoted { text, quote } => json!({"quoted": text, "quote": quote}),
        Element::List(items) => items.iter().map(encode_element).collect(),
        Element::Map(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, item)| json!([key, encode_element(item)]))
                .collect();
            json!({ "map": entries })
        }
    }
}

#[test]
fn interpolations_are_what_omegaconf_resolves() {
    let golden = golden("interpolations.json");
    let environment = texts(&golden["environment"]);
    compare(&golden["cases"], |case| {
        let source = MemorySource {
            primary: Some(file("case.yaml", text(case))),
            ..MemorySource::default()
        };
        compose_untyped(&source, &[], &environment).map(|tree| encode(&tree))
    });
}

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile {
        name: name.to_string(),
        text: text.to_string(),
    }
}

#[test]
fn compositions_are_what_hydra_composes() {
    let golden = golden("compositions.json");
    let environment = texts(&golden["environment"]);
    let files = texts(&golden["files"]);
    compare(&golden["cases"], |case| {
        let primary = case["primary"].as_str().unwrap_or(&files["config"]);
        let source = MemorySource {
            primary: Some(file("config.yaml", primary)),
            files: files
                .iter()
                .map(|(path, text)| (path.clone(), file(&format!("{path}.yaml"), text)))
                .collect(),
        };
        let overrides: Vec<String> = serde_json::from_value(case["overrides"].clone()).unwrap();
        compose_untyped(&source, &overrides, &environment).map(|tree| encode(&tree))
    });
}
