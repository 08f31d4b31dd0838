//! From the resolved tree to the typed configuration: every key known, every value in its range.

mod keys;
#[cfg(test)]
mod tests;
mod values;

pub(super) use self::keys::{check_fields, check_key, entries, field};
use self::keys::{map, variant};
use self::values::{
    any_numbers, device, flag, number_or, numbers, one_of, reference, scalar_or_list, text, texts,
};
pub(super) use self::values::{number, whole};
use super::augment::check as augment;
use super::compose::refuse_missing;
use super::error::{ConfigError, ConfigErrorKind};
use super::node::{Node, Value};
use super::relations::{check_architecture, check_relations};
use super::rules::{CONFIG, Rule};
use super::schema::Config;
use super::text::python_text;

/// Checks a resolved tree. Texts become the numbers and booleans that are expected in their
/// place (environment variables are texts), numbers the texts.
pub(super) fn check(tree: Node) -> Result<(Node, Config), ConfigError> {
    refuse_missing(&tree)?;
    let tree = value(tree, &CONFIG, "")?;
    let config = serde_json::from_value(tree.to_json()).map_err(|error| {
        // The rules say all that the types ask for, so this is not reached.
        ConfigError::new(ConfigErrorKind::WrongType, error.to_string())
    })?;
    check_architecture(&tree, &config)?;
    check_relations(&tree, &config)?;
    Ok((tree, config))
}

/// The node as its rule has it.
pub(super) fn value(node: Node, rule: &Rule, key: &str) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    match rule {
        Rule::Map(fields) => return map(node, fields, key),
        Rule::Variants(variants) => return variant(node, variants, key),
        Rule::Ordered(fields) => return augment::ordered(node, fields, key),
        Rule::Shorthand { main, fields } => return augment::shorthand(node, main, fields, key),
        Rule::Transforms => augment::transforms(node, key),
        Rule::Limits(range, alone) => augment::limits(node, range, *alone, key),
        Rule::WholeLimits(low, high, alone) => {
            augment::whole_limits(node, [*low, *high], *alone, key)
        }
        Rule::WholePair(low, high) => augment::whole_pair(node, [*low, *high], key),
        Rule::Color => augment::color(node, None, key),
        Rule::ColorOr(word) => augment::color(node, Some(word), key),
        Rule::Whole(low, high) => whole(node, *low, *high, key),
        Rule::Number(range) => number(node, range, key),
        Rule::NumberOr(range, word) => number_or(node, range, word, key),
        Rule::Numbers(count, range) => numbers(node, *count, range, key),
        Rule::AnyNumbers(range) => any_numbers(node, range, key),
        Rule::Texts => texts(node, key),
        Rule::ScalarOrList(scalar, list) => return scalar_or_list(node, scalar, list, key),
        Rule::Flag => flag(node, key),
        Rule::Text => text(node, key),
        Rule::Reference => reference(node, key),
        Rule::Device => device(node, key),
        Rule::OneOf(choices) => one_of(node, choices, key),
        Rule::List => match node.value {
            Value::List(_) => Ok(node),
            _ => Err(wrong_type(&node, "a list", key)),
        },
    }
    .map_err(|error| error.at(&origin))
}

pub(super) fn wrong_type(node: &Node, expected: &str, key: &str) -> ConfigError {
    let shown = match &node.value {
        Value::List(items) => format!("a list of {}", items.len()),
        Value::Map(_) | Value::Null => node.value.kind().to_string(),
        value => format!("`{}`", python_text(value).unwrap_or_default()),
    };
    ConfigError::new(
        ConfigErrorKind::WrongType,
        format!("`{key}` is {shown}, expected {expected}"),
    )
}

fn out_of_range(node: &Node, expected: &str, key: &str) -> ConfigError {
    let shown = python_text(&node.value).unwrap_or_default();
    ConfigError::new(
        ConfigErrorKind::OutOfRange,
        format!("`{key}` is `{shown}`, expected {expected}"),
    )
}

pub(super) fn path(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_string()
    } else {
        format!("{parent}.{name}")
    }
}
