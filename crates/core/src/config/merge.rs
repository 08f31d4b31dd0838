//! Merging trees, as OmegaConf does: mappings key by key, everything else is replaced.

use super::error::{ConfigError, ConfigErrorKind};
use super::interpolation::{self, is_missing};
use super::node::{Map, Node, Value};

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
            return Err(ConfigError::new(
                ConfigErrorKind::Unsupported,
                "a mapping is merged into an interpolation",
            )
            .at(&source.origin)
            .with_hint("write the mapping out instead of interpolating it"));
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

/// A mapping with `content` under the dotted key `package`; `content` itself for the root.
pub(super) fn embed(content: Node, package: &str) -> Node {
    if package.is_empty() {
        return content;
    }
    package.rsplit('.').fold(content, |node, key| {
        let origin = node.origin.clone();
        Node::new(
            Value::Map(Map::from_iter([(key.to_string(), node)])),
            origin,
        )
    })
}
