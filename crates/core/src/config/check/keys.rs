//! Mappings: which keys there are, and which must be.

use super::values::one_of;
use super::{path, value, wrong_type};
use crate::config::builtin;
use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::node::{Map, Node, Value};
use crate::config::rules::{CONFIG, Field, Rule, Variants};
use crate::name::nearest;

pub(in crate::config) fn entries(node: Node, key: &str) -> Result<Map, ConfigError> {
    match node.value {
        Value::Map(map) => Ok(map),
        _ => {
            let error = wrong_type(&node, "a mapping", key).at(&node.origin);
            Err(match choosing(key) {
                Some(hint) => error.with_hint(hint),
                None => error,
            })
        }
    }
}

/// How an option is chosen for the mapping at `key`, if there is a group for it.
fn choosing(key: &str) -> Option<String> {
    let group = key.replace('.', "/");
    let options: Vec<_> = builtin::options(&group).collect();
    (!options.is_empty()).then(|| {
        format!(
            "an option of the group is chosen by `{group}=…` ({})",
            options.join(", ")
        )
    })
}

/// Whether the rules have a key, given the variants that the tree has chosen.
///
/// # Errors
/// They do not; the hint says what they have instead.
pub(in crate::config) fn check_key(tree: &Node, keys: &[&str]) -> Result<(), ConfigError> {
    let mut rule = CONFIG;
    let mut parent = String::new();
    for name in keys {
        let found = match rule {
            Rule::Map(fields) | Rule::Ordered(fields) | Rule::Shorthand { fields, .. } => {
                field(fields, name, &parent)?
            }
            Rule::Variants(variants) if *name != "name" => match chosen(tree, variants, &parent) {
                Some(chosen) => variant_field(variants, chosen, name, &parent)?,
                None => return Ok(()),
            },
            Rule::Variants(_)
            | Rule::List
            | Rule::Numbers(..)
            | Rule::AnyNumbers(_)
            | Rule::Texts
            | Rule::ScalarOrList(..)
            | Rule::Limits(..)
            | Rule::WholeLimits(..)
            | Rule::WholePair(..)
            | Rule::Color
            | Rule::ColorOr(_)
            | Rule::Transforms => return Ok(()),
            _ => return Err(no_mapping(&parent)),
        };
        parent = path(&parent, name);
        rule = found.rule;
    }
    Ok(())
}

fn no_mapping(key: &str) -> ConfigError {
    ConfigError::new(
        ConfigErrorKind::UnknownKey,
        format!("`{key}` has no keys of its own"),
    )
    .with_hint(format!("`{key}` is one value: write `{key}=…`"))
}

/// The variant that the tree has at `key`.
fn chosen<'t>(tree: &'t Node, variants: Variants, key: &str) -> Option<&'t str> {
    tree.select(&path(key, "name"))?
        .as_text()
        .filter(|name| variants.iter().any(|(known, _)| known == name))
}

pub(super) fn map(node: Node, fields: &[Field], key: &str) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    let entries = entries(node, key)?;
    for (name, entry) in &entries {
        field(fields, name, key).map_err(|error| error.at(&entry.origin))?;
    }
    let fields = check_fields(entries, fields, key)?;
    Ok(Node::new(Value::Map(fields), origin))
}

/// The rule of a key of a mapping.
pub(in crate::config) fn field<'f>(
    fields: &'f [Field],
    name: &str,
    key: &str,
) -> Result<&'f Field, ConfigError> {
    fields
        .iter()
        .find(|field| field.name == name)
        .ok_or_else(|| unknown_key(name, fields, key))
}

/// The rule of a key of the chosen variant.
fn variant_field(
    variants: Variants,
    chosen: &str,
    name: &str,
    key: &str,
) -> Result<&'static Field, ConfigError> {
    field(fields_of(variants, chosen), name, key)
        .map_err(|unknown| foreign_key(name, chosen, variants, key).unwrap_or(unknown))
}

fn fields_of(variants: Variants, chosen: &str) -> &'static [Field] {
    variants
        .iter()
        .find(|(known, _)| *known == chosen)
        .map_or(&[][..], |(_, fields)| *fields)
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

/// The entries in the order of the fields.
pub(in crate::config) fn check_fields(
    mut entries: Map,
    fields: &[Field],
    key: &str,
) -> Result<Map, ConfigError> {
    let mut checked = Map::with_capacity(entries.len());
    for field in fields {
        let field_key = path(key, field.name);
        match entries.shift_remove(field.name) {
            Some(entry) if !entry.is_null() => {
                let entry = value(entry, &field.rule, &field_key)?;
                checked.insert(field.name.to_string(), entry);
            }
            Some(null) if field.is_optional => {
                checked.insert(field.name.to_string(), null);
            }
            None if field.is_optional => {}
            unset => {
                let error = must_be_set(&field_key);
                return Err(unset.map_or(error.clone(), |null| error.at(&null.origin)));
            }
        }
    }
    Ok(checked)
}

fn must_be_set(key: &str) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Missing, format!("`{key}` must be set"))
        .with_hint(choosing(key).unwrap_or_else(|| format!("write `++{key}=…`")))
}

pub(super) fn variant(node: Node, variants: Variants, key: &str) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    let mut entries = entries(node, key)?;
    let name_key = path(key, "name");
    let name = entries
        .shift_remove("name")
        .filter(|name| !name.is_null())
        .ok_or_else(|| must_be_set(&name_key))?;
    let names: Vec<&str> = variants.iter().map(|(name, _)| *name).collect();
    let name_origin = name.origin.clone();
    let name = one_of(name, &names, &name_key).map_err(|error| error.at(&name_origin))?;
    let chosen = name.as_text().unwrap_or_default().to_string();
    for (entry_name, entry) in &entries {
        variant_field(variants, &chosen, entry_name, key)
            .map_err(|error| error.at(&entry.origin))?;
    }
    let mut checked = check_fields(entries, fields_of(variants, &chosen), key)?;
    checked.shift_insert(0, "name".to_string(), name);
    Ok(Node::new(Value::Map(checked), origin))
}

/// The error for a key that the chosen variant does not have, but another.
fn foreign_key(name: &str, chosen: &str, variants: Variants, key: &str) -> Option<ConfigError> {
    let (owner, _) = variants
        .iter()
        .find(|(_, fields)| fields.iter().any(|field| field.name == name))?;
    let error = ConfigError::new(
        ConfigErrorKind::UnknownKey,
        format!("`{chosen}` has no key `{}`", path(key, name)),
    );
    Some(error.with_hint(format!(
        "the key belongs to `{owner}`; choose one of the two with all its keys: `{0}={chosen}` or `{0}={owner}`",
        key.replace('.', "/")
    )))
}
