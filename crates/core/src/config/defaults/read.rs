//! From the YAML of a `defaults:` list to its entries.

use super::entry::{Choice, Entry, Target};
use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::node::{Node, Value};

fn malformed(message: impl Into<String>, node: &Node) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Syntax, message)
        .at(&node.origin)
        .with_hint("an item of `defaults` is `- group: option`, `- file` or `- _self_`")
}

/// Reads a defaults list.
pub(in crate::config) fn read_defaults(list: &Node) -> Result<Vec<Entry>, ConfigError> {
    let items = list.as_list().ok_or_else(|| {
        malformed(
            format!("`defaults` is {}, not a list", list.value.kind()),
            list,
        )
    })?;
    items.iter().map(read_item).collect()
}

fn read_item(item: &Node) -> Result<Entry, ConfigError> {
    match &item.value {
        Value::Text(path) => read_config(path, item),
        Value::Map(map) => {
            let mut entries = map.iter();
            match (entries.next(), entries.next()) {
                (Some((key, choice)), None) => read_group(key, choice, item),
                _ => Err(malformed("an item of `defaults` names one group", item)),
            }
        }
        other => Err(malformed(
            format!("an item of `defaults` is {}", other.kind()),
            item,
        )),
    }
}

fn read_config(text: &str, item: &Node) -> Result<Entry, ConfigError> {
    let (path, package) = split_package(text, item)?;
    if path == "_self_" && package.is_some() {
        return Err(malformed("`_self_` takes no package", item));
    }
    if path.is_empty() || path.contains(' ') {
        return Err(malformed(
            format!("`{text}` is not the name of a file"),
            item,
        ));
    }
    Ok(Entry::new(
        Target::Config(path.to_string()),
        package,
        item.origin.clone(),
    ))
}

fn read_group(key: &str, choice: &Node, item: &Node) -> Result<Entry, ConfigError> {
    let (words, package) = split_package(key, item)?;
    let mut words: Vec<_> = words.split(' ').collect();
    let group = words.pop().unwrap_or_default();
    if group.is_empty() {
        return Err(malformed(format!("`{key}` names no group"), item));
    }
    let target = Target::Group {
        group: group.to_string(),
        choice: read_choice(choice)?,
    };
    let mut entry = Entry::new(target, package, choice.origin.clone());
    for word in words {
        match word {
            "optional" => entry.is_optional = true,
            "override" => entry.is_override = true,
            _ => {
                return Err(malformed(
                    format!("`{word}` before a group, known are `optional` and `override`"),
                    item,
                ));
            }
        }
    }
    Ok(entry)
}

fn read_choice(choice: &Node) -> Result<Choice, ConfigError> {
    match &choice.value {
        Value::Null => Ok(Choice::Nothing),
        Value::Text(name) if name == "_self_" => {
            Err(malformed("`_self_` is no option of a group", choice))
        }
        Value::Text(name) => Ok(Choice::One(name.clone())),
        Value::List(items) => items
            .iter()
            .map(|item| {
                item.as_text().map(str::to_string).ok_or_else(|| {
                    malformed(
                        format!("an option is a text, not {}", item.value.kind()),
                        item,
                    )
                })
            })
            .collect::<Result<_, _>>()
            .map(Choice::Many),
        other => Err(malformed(
            format!(
                "an option is a text, a list of texts or null, not {}",
                other.kind()
            ),
            choice,
        )),
    }
}

/// `path@package`
fn split_package<'t>(text: &'t str, item: &Node) -> Result<(&'t str, Option<String>), ConfigError> {
    let Some((path, package)) = text.split_once('@') else {
        return Ok((text, None));
    };
    if package.contains(':') || package.contains("_name_") {
        return Err(ConfigError::unsupported(format!("the package `{package}`"))
            .at(&item.origin)
            .with_hint("name one package, written out"));
    }
    Ok((path, Some(package.to_string())))
}
