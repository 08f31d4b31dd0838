//! Single values and lists of them: their types and ranges.

use super::{out_of_range, value, wrong_type};
use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::node::{Node, Value};
use crate::config::rules::{Range, Rule};
use crate::config::schema::DeviceConfig;
use crate::config::text::python_text;
use crate::config::yaml;
use crate::name::{Reference, nearest};

/// A text as the number or boolean that it stands for.
fn decoded(node: &Node) -> Value {
    match &node.value {
        Value::Text(text) => yaml::resolve(text.trim()).unwrap_or(Value::Null),
        value => value.clone(),
    }
}

pub(in crate::config) fn whole(
    node: Node,
    low: u64,
    high: u64,
    key: &str,
) -> Result<Node, ConfigError> {
    let expected = match (low, high) {
        (0, u64::MAX) => "a whole number, 0 or more".to_string(),
        _ => format!("a whole number from {low} to {high}"),
    };
    match decoded(&node) {
        Value::Int(value) if (i128::from(low)..=i128::from(high)).contains(&value) => {
            Ok(Node::new(Value::Int(value), node.origin))
        }
        Value::Int(_) => Err(out_of_range(&node, &expected, key)),
        _ => Err(wrong_type(&node, &expected, key)),
    }
}

pub(in crate::config) fn number(node: Node, range: &Range, key: &str) -> Result<Node, ConfigError> {
    let value = match decoded(&node) {
        Value::Int(value) => value as f64,
        Value::Float(value) => value,
        _ => return Err(wrong_type(&node, &range.words(), key)),
    };
    if !range.contains(value) {
        return Err(out_of_range(&node, &range.words(), key));
    }
    Ok(Node::new(Value::Float(value), node.origin))
}

pub(super) fn number_or(
    node: Node,
    range: &Range,
    word: &str,
    key: &str,
) -> Result<Node, ConfigError> {
    if node.as_text() == Some(word) {
        return Ok(node);
    }
    number(node, range, key)
        .map_err(|error| error.with_hint(format!("or `{key}={word}`, or a list: `{key}=[…]`")))
}

pub(super) fn numbers(
    node: Node,
    count: usize,
    range: &Range,
    key: &str,
) -> Result<Node, ConfigError> {
    match &node.value {
        Value::List(items) if items.len() == count => any_numbers(node, range, key),
        _ => Err(wrong_type(
            &node,
            &format!("a list of {count} numbers"),
            key,
        )),
    }
}

pub(super) fn any_numbers(node: Node, range: &Range, key: &str) -> Result<Node, ConfigError> {
    list_of(node, "a list of numbers", key, |item, key| {
        number(item, range, key)
    })
}

pub(super) fn texts(node: Node, key: &str) -> Result<Node, ConfigError> {
    list_of(node, "a list of texts", key, text)
}

/// A list of one item or more, each as `check` has it.
fn list_of(
    node: Node,
    expected: &str,
    key: &str,
    check: impl Fn(Node, &str) -> Result<Node, ConfigError>,
) -> Result<Node, ConfigError> {
    let items = match node.value {
        Value::List(items) if !items.is_empty() => items,
        _ => return Err(wrong_type(&node, expected, key)),
    };
    let items = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            let origin = item.origin.clone();
            check(item, &format!("{key}.{index}")).map_err(|error| error.at(&origin))
        })
        .collect::<Result<_, _>>()?;
    Ok(Node::new(Value::List(items), node.origin))
}

pub(super) fn scalar_or_list(
    node: Node,
    scalar: &Rule,
    list: &Rule,
    key: &str,
) -> Result<Node, ConfigError> {
    if matches!(node.value, Value::List(_)) {
        return value(node, list, key);
    }
    value(node, scalar, key).map_err(|error| match error.hint() {
        Some(_) => error,
        None => error.with_hint(format!("or a list: `{key}=[…]`")),
    })
}

pub(super) fn flag(node: Node, key: &str) -> Result<Node, ConfigError> {
    match decoded(&node) {
        Value::Bool(value) => Ok(Node::new(Value::Bool(value), node.origin)),
        _ => Err(wrong_type(&node, "`true` or `false`", key)),
    }
}

pub(super) fn text(node: Node, key: &str) -> Result<Node, ConfigError> {
    match python_text(&node.value) {
        Some(text) => Ok(Node::new(Value::Text(text), node.origin)),
        None => Err(wrong_type(&node, "a text", key)),
    }
}

pub(super) fn reference(node: Node, key: &str) -> Result<Node, ConfigError> {
    let node = text(node, key)?;
    match node.as_text().unwrap_or_default().parse::<Reference>() {
        Ok(_) => Ok(node),
        Err(error) => Err(ConfigError::new(
            ConfigErrorKind::OutOfRange,
            format!("`{key}`: {error}"),
        )),
    }
}

pub(super) fn device(node: Node, key: &str) -> Result<Node, ConfigError> {
    match node.as_text().map(str::parse::<DeviceConfig>) {
        Some(Ok(_)) => Ok(node),
        _ => Err(wrong_type(&node, &quoted(&DeviceConfig::NAMES), key)
            .with_hint("`cuda` is an NVIDIA GPU, `wgpu` any GPU, `auto` the best that is there")),
    }
}

pub(super) fn one_of(node: Node, choices: &[&str], key: &str) -> Result<Node, ConfigError> {
    let found = node.as_text().unwrap_or_default();
    if choices.contains(&found) {
        return Ok(node);
    }
    let error = wrong_type(&node, &quoted(choices), key);
    Err(match nearest(found, choices.iter().copied()) {
        Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
        None => error,
    })
}

fn quoted(choices: &[&str]) -> String {
    let names: Vec<_> = choices.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
