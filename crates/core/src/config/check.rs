//! From the resolved tree to the typed configuration: every key known, every value in its range.

use super::builtin;
use super::compose::refuse_missing;
use super::error::{ConfigError, ConfigErrorKind};
use super::node::{Map, Node, Value};
use super::rules::{CONFIG, Field, Range, Rule};
use super::schema::{Config, ScheduleConfig};
use super::text::python_text;
use super::yaml;
use crate::graph::zoo;
use crate::name::{Reference, nearest};

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
fn value(node: Node, rule: &Rule, key: &str) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    match rule {
        Rule::Map(fields) => map(node, fields, key),
        Rule::Variants(variants) => variant(node, variants, key),
        Rule::Whole(low, high) => whole(node, *low, *high, key),
        Rule::Number(range) => number(node, range, key),
        Rule::Numbers(count, range) => numbers(node, *count, range, key),
        Rule::Flag => flag(node, key),
        Rule::Text => text(node, key),
        Rule::Reference => reference(node, key),
        Rule::OneOf(choices) => one_of(node, choices, key),
        Rule::List => match node.value {
            Value::List(_) => Ok(node),
            _ => Err(wrong_type(&node, "a list", key)),
        },
    }
    .map_err(|error| error.at(&origin))
}

fn wrong_type(node: &Node, expected: &str, key: &str) -> ConfigError {
    let shown = match &node.value {
        Value::List(_) | Value::Map(_) | Value::Null => node.value.kind().to_string(),
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

fn path(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_string()
    } else {
        format!("{parent}.{name}")
    }
}

fn entries(node: Node, key: &str) -> Result<Map, ConfigError> {
    match node.value {
        Value::Map(map) => Ok(map),
        _ => {
            let group = key.replace('.', "/");
            let options: Vec<_> = builtin::options(&group).collect();
            let error = wrong_type(&node, "a mapping", key);
            Err(if options.is_empty() {
                error
            } else {
                error.with_hint(format!(
                    "a group is chosen with a slash: `{group}=…` ({})",
                    options.join(", ")
                ))
            })
        }
    }
}

fn map(node: Node, fields: &[Field], key: &str) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    let mut entries = entries(node, key)?;
    for (name, entry) in &entries {
        if !fields.iter().any(|field| field.name == name) {
            return Err(unknown_key(name, fields, key).at(&entry.origin));
        }
    }
    check_fields(&mut entries, fields, key)?;
    Ok(Node::new(Value::Map(entries), origin))
}

fn unknown_key(name: &str, fields: &[Field], key: &str) -> ConfigError {
    let error = ConfigError::new(
        ConfigErrorKind::UnknownKey,
        format!("unknown key `{}`", path(key, name)),
    );
    if key.is_empty() && name == "hydra" {
        return error.with_hint("Hydra's own settings have no counterpart here; remove them");
    }
    let known = || fields.iter().map(|field| field.name);
    match nearest(name, known()) {
        Some(nearest) => error.with_hint(format!("did you mean `{}`?", path(key, nearest))),
        None => error.with_hint(format!(
            "known keys are {}",
            known().collect::<Vec<_>>().join(", ")
        )),
    }
}

fn check_fields(entries: &mut Map, fields: &[Field], key: &str) -> Result<(), ConfigError> {
    for field in fields {
        let field_key = path(key, field.name);
        match entries.get_mut(field.name) {
            Some(entry) if !entry.is_null() => {
                let taken = std::mem::replace(entry, Node::empty_map());
                *entry = value(taken, &field.rule, &field_key)?;
            }
            _ if field.is_optional => {}
            entry => {
                let error = ConfigError::new(
                    ConfigErrorKind::Missing,
                    format!("`{field_key}` must be set"),
                )
                .with_hint(format!("write `++{field_key}=…`"));
                return Err(match entry {
                    Some(entry) => error.at(&entry.origin),
                    None => error,
                });
            }
        }
    }
    Ok(())
}

fn variant(node: Node, variants: &[(&str, &[Field])], key: &str) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    let mut entries = entries(node, key)?;
    let name_key = path(key, "name");
    let Some(name) = entries.shift_remove("name").filter(|name| !name.is_null()) else {
        return Err(ConfigError::new(
            ConfigErrorKind::Missing,
            format!("`{name_key}` must be set"),
        ));
    };
    let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
    let name_origin = name.origin.clone();
    let name = one_of(name, &names, &name_key).map_err(|error| error.at(&name_origin))?;
    let chosen = name.as_text().unwrap_or_default().to_string();
    let fields = variants
        .iter()
        .find(|(known, _)| *known == chosen)
        .map_or(&[][..], |(_, fields)| *fields);
    for (entry_name, entry) in &entries {
        if !fields.iter().any(|field| field.name == entry_name) {
            let error = foreign_key(entry_name, &chosen, variants, fields, key);
            return Err(error.at(&entry.origin));
        }
    }
    check_fields(&mut entries, fields, key)?;
    entries.shift_insert(0, "name".to_string(), name);
    Ok(Node::new(Value::Map(entries), origin))
}

/// A key that the chosen variant does not have, but perhaps another.
fn foreign_key(
    name: &str,
    chosen: &str,
    variants: &[(&str, &[Field])],
    fields: &[Field],
    key: &str,
) -> ConfigError {
    let is_another = variants
        .iter()
        .any(|(_, fields)| fields.iter().any(|field| field.name == name));
    if !is_another {
        return unknown_key(name, fields, key);
    }
    ConfigError::new(
        ConfigErrorKind::UnknownKey,
        format!("`{}` is no key of `{chosen}`", path(key, name)),
    )
    .with_hint(format!(
        "choose another with its keys: `{}={chosen}`",
        key.replace('.', "/")
    ))
}

/// A text as the number or boolean that it stands for.
fn decoded(node: &Node) -> Value {
    match &node.value {
        Value::Text(text) => yaml::resolve(text.trim()).unwrap_or(Value::Null),
        value => value.clone(),
    }
}

fn whole(node: Node, low: u64, high: u64, key: &str) -> Result<Node, ConfigError> {
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

fn number(node: Node, range: &Range, key: &str) -> Result<Node, ConfigError> {
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

fn numbers(node: Node, count: usize, range: &Range, key: &str) -> Result<Node, ConfigError> {
    let expected = format!("a list of {count} numbers");
    let items = match node.value {
        Value::List(items) if items.len() == count => items,
        _ => return Err(wrong_type(&node, &expected, key)),
    };
    let items = items
        .into_iter()
        .enumerate()
        .map(|(index, item)| {
            let origin = item.origin.clone();
            number(item, range, &format!("{key}.{index}")).map_err(|error| error.at(&origin))
        })
        .collect::<Result<_, _>>()?;
    Ok(Node::new(Value::List(items), node.origin))
}

fn flag(node: Node, key: &str) -> Result<Node, ConfigError> {
    match decoded(&node) {
        Value::Bool(value) => Ok(Node::new(Value::Bool(value), node.origin)),
        _ => Err(wrong_type(&node, "`true` or `false`", key)),
    }
}

fn text(node: Node, key: &str) -> Result<Node, ConfigError> {
    match python_text(&node.value) {
        Some(text) => Ok(Node::new(Value::Text(text), node.origin)),
        None => Err(wrong_type(&node, "a text", key)),
    }
}

fn reference(node: Node, key: &str) -> Result<Node, ConfigError> {
    let node = text(node, key)?;
    match node.as_text().unwrap_or_default().parse::<Reference>() {
        Ok(_) => Ok(node),
        Err(error) => Err(ConfigError::new(
            ConfigErrorKind::OutOfRange,
            format!("`{key}`: {error}"),
        )),
    }
}

fn one_of(node: Node, choices: &[&str], key: &str) -> Result<Node, ConfigError> {
    let found = node.as_text().unwrap_or_default();
    if choices.contains(&found) {
        return Ok(node);
    }
    let names: Vec<_> = choices.iter().map(|name| format!("`{name}`")).collect();
    let error = wrong_type(&node, &names.join(", "), key);
    Err(match nearest(found, choices.iter().copied()) {
        Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
        None => error,
    })
}

/// Architectures go by name, except the user's own.
fn check_architecture(tree: &Node, config: &Config) -> Result<(), ConfigError> {
    let name = config.model.name.as_str();
    if config.model.layers.is_some() || zoo::NAMES.contains(&name) {
        return Ok(());
    }
    let error = ConfigError::new(
        ConfigErrorKind::NotFound,
        format!("there is no architecture `{name}`"),
    )
    .with_hint(match nearest(name, zoo::NAMES.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!(
            "built in are {}; `model.layers` describes one of your own",
            zoo::NAMES.join(", ")
        ),
    });
    Err(match tree.select("model.name") {
        Some(node) => error.at(&node.origin),
        None => error,
    })
}

/// What holds between values.
fn check_relations(tree: &Node, config: &Config) -> Result<(), ConfigError> {
    let refuse = |key: &str, message: String, hint: &str| {
        let error = ConfigError::new(ConfigErrorKind::OutOfRange, message).with_hint(hint);
        Err(match tree.select(key) {
            Some(node) => error.at(&node.origin),
            None => error,
        })
    };
    let warmup_epochs = match config.train.schedule {
        ScheduleConfig::Constant { warmup_epochs }
        | ScheduleConfig::Cosine { warmup_epochs, .. }
        | ScheduleConfig::Step { warmup_epochs, .. } => warmup_epochs,
    };
    if warmup_epochs > f64::from(config.train.epochs) {
        return refuse(
            "train.schedule.warmup_epochs",
            format!(
                "`train.schedule.warmup_epochs` is `{warmup_epochs}`, more than `train.epochs`, which is `{}`",
                config.train.epochs
            ),
            "set `train.schedule.warmup_epochs=0` for a short run",
        );
    }
    let crop_padding = config
        .data
        .augment
        .as_ref()
        .map_or(0, |augment| augment.crop_padding);
    if crop_padding >= config.data.image_size {
        return refuse(
            "data.augment.crop_padding",
            format!(
                "`data.augment.crop_padding` is `{crop_padding}`, expected less than `data.image_size`, which is `{}`",
                config.data.image_size
            ),
            "set `data.augment.crop_padding=0` for images this small",
        );
    }
    Ok(())
}
