//! Merging trees, as OmegaConf does: mappings key by key, everything else is replaced.

use super::error::{ConfigError, ConfigErrorKind};
use super::interpolation::{self, is_missing};
use super::node::{Map, Node, Value};
use super::rules::alternative_to;

/// The most names in a package.
const MAX_NAMES: usize = 32;

/// Merges `source` into `target`.
///
/// # Errors
/// A mapping over an interpolation, as what it stands for is known only later; a list over a
/// mapping or the other way round.
pub(super) fn merge(target: &mut Node, source: Node) -> Result<(), ConfigError> {
    // A value that must be given does not undo one that is.
    if is_missing(&source.value) {
        return Ok(());
    }
    match (&mut target.value, source.value) {
        (Value::Map(map), Value::Map(entries)) => {
            for key in entries.keys() {
                replace_alternative(map, key, |other| entries.contains_key(other));
            }
            for (key, node) in entries {
                match map.get_mut(&key) {
                    Some(known) => merge(known, node)?,
                    None => {
                        map.insert(key, node);
                    }
                }
            }
        }
        (known, Value::Map(_)) if interpolation::is_interpolation(known) => {
            return Err(
                ConfigError::unsupported("merging a mapping into an interpolation")
                    .at(&source.origin)
                    .with_hint("write the mapping out instead of interpolating it"),
            );
        }
        (Value::Map(_), Value::List(_)) | (Value::List(_), Value::Map(_)) => {
            return Err(ConfigError::new(
                ConfigErrorKind::Composition,
                "a list and a mapping cannot be merged",
            )
            .at(&source.origin));
        }
        (_, value) => {
            target.value = value;
            target.origin = source.origin;
        }
    }
    Ok(())
}

/// Takes the alternative to a key, by which the same would be said twice, out of what the key is
/// about to be put into; not one that `is_given` beside it, which is a mistake to be told.
pub(super) fn replace_alternative(map: &mut Map, key: &str, is_given: impl Fn(&str) -> bool) {
    if let Some(other) = alternative_to(key).filter(|other| !is_given(other)) {
        map.shift_remove(other);
    }
}

/// A mapping with `content` under the dotted key `package`; `content` itself for the root.
///
/// # Errors
/// The package has too many names.
pub(super) fn embed(content: Node, package: &str) -> Result<Node, ConfigError> {
    if package.is_empty() {
        return Ok(content);
    }
    if package.split('.').count() > MAX_NAMES {
        return Err(ConfigError::new(
            ConfigErrorKind::TooLarge,
            format!("a package of more than {MAX_NAMES} names"),
        )
        .at(&content.origin));
    }
    Ok(package.rsplit('.').fold(content, |node, key| {
        let origin = node.origin.clone();
        let map = Map::from_iter([(key.to_string(), node)]);
        Node::new(Value::Map(map), origin)
    }))
}
