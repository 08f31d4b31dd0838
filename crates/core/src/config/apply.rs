//! Applies the overrides of values to the merged tree.

use super::check::check_key;
use super::error::{ConfigError, ConfigErrorKind};
use super::interpolation::is_missing;
use super::merge::{merge, replace_alternative};
use super::node::{Map, Node, Value};
use super::origin::Origin;
use super::overrides::{Action, Element, Override};
use super::source::Repository;

/// Applies one override.
pub(super) fn apply(
    root: &mut Node,
    given: &Override,
    repository: &Repository<'_>,
) -> Result<(), ConfigError> {
    let origin = given.origin();
    if given.package.is_some() || given.key.contains('/') {
        return Err(no_such_group(&given.key, repository).at(&origin));
    }
    let keys: Vec<&str> = given.key.split('.').collect();
    let result = match (given.action, given.element()?) {
        (Action::Delete, expected) => delete(root, given, &keys, expected),
        (Action::Change, Some(element)) => {
            change(root, &keys, element.to_node(&origin), repository)
        }
        (Action::Add, Some(element)) => add(root, given, &keys, element.to_node(&origin)),
        (Action::ForceAdd, Some(element)) => force_add(root, &keys, element.to_node(&origin)),
        (_, None) => Err(ConfigError::new(
            ConfigErrorKind::Syntax,
            format!("`{}` has no value", given.text),
        )),
    };
    result.map_err(|error| error.at(&origin))
}

fn no_such_group(group: &str, repository: &Repository<'_>) -> ConfigError {
    let error = ConfigError::new(
        ConfigErrorKind::NotFound,
        format!("there is no group `{group}`"),
    );
    match repository.nearest_group(group) {
        Some(nearest) => error.with_hint(format!("did you mean `{nearest}`?")),
        None => error,
    }
}

/// `a.b=c`: every key on the way must be there.
fn change(
    root: &mut Node,
    keys: &[&str],
    value: Node,
    repository: &Repository<'_>,
) -> Result<(), ConfigError> {
    let existing = Existing { root, repository };
    existing.refuse_new_path(keys)?;
    existing.refuse_new_keys(&mut keys.to_vec(), &value)?;
    match keys.iter().try_fold(root, |node, key| child_mut(node, key)) {
        Some(node) => set(node, value),
        None => Ok(()),
    }
}

/// Puts a value in place of another; mappings are merged.
fn set(node: &mut Node, value: Node) -> Result<(), ConfigError> {
    let is_container = |node: &Node| matches!(node.value, Value::Map(_) | Value::List(_));
    if is_container(node) && is_container(&value) {
        return merge(node, value);
    }
    *node = value;
    Ok(())
}

/// What there is for an override to change.
struct Existing<'a> {
    root: &'a Node,
    repository: &'a Repository<'a>,
}

impl Existing<'_> {
    fn refuse_new_path(&self, keys: &[&str]) -> Result<(), ConfigError> {
        let mut node = self.root;
        for (index, key) in keys.iter().enumerate() {
            node = node
                .child(key)
                .ok_or_else(|| self.not_there(keys, index, node))?;
        }
        Ok(())
    }

    /// Refuses keys that a mapping over a mapping would add.
    fn refuse_new_keys<'k>(
        &self,
        path: &mut Vec<&'k str>,
        value: &'k Node,
    ) -> Result<(), ConfigError> {
        let known = path
            .iter()
            .try_fold(self.root, |node, key| node.child(key))
            .filter(|known| known.as_map().is_some());
        let (Some(known), Some(entries)) = (known, value.as_map()) else {
            return Ok(());
        };
        for (key, entry) in entries {
            path.push(key);
            if known.child(key).is_none() {
                return Err(self.not_there(path, path.len() - 1, known));
            }
            self.refuse_new_keys(path, entry)?;
            path.pop();
        }
        Ok(())
    }

    /// The error for a path of which `parent` has all but the keys from `index` on.
    fn not_there(&self, path: &[&str], index: usize, parent: &Node) -> ConfigError {
        let error = ConfigError::new(
            ConfigErrorKind::UnknownKey,
            format!("there is no `{}` to change", path.join(".")),
        );
        let hint = if path[0] == "hydra" {
            Some("Hydra's own settings have no counterpart here".to_string())
        } else {
            self.group_meant(path)
                .or_else(|| self.key_meant(path, index, parent))
        };
        error.with_hint(
            hint.unwrap_or_else(|| format!("to add the key write `+{}=…`", path.join("."))),
        )
    }

    /// `modle=small` may mean a group as well as a key.
    fn group_meant(&self, path: &[&str]) -> Option<String> {
        let [key] = path else { return None };
        let group = self.repository.nearest_group(key)?;
        Some(format!("did you mean `{group}`?"))
    }

    /// What the rules have instead of the key, or without rules the tree.
    fn key_meant(&self, path: &[&str], index: usize, parent: &Node) -> Option<String> {
        if self.repository.has_built_ins() {
            return check_key(self.root, path).err()?.hint();
        }
        let known = known_keys(parent);
        let nearest = crate::name::nearest(path[index], known.iter().map(String::as_str))?;
        let meant: Vec<&str> = path[..index].iter().copied().chain([nearest]).collect();
        Some(format!("did you mean `{}`?", meant.join(".")))
    }
}

fn known_keys(node: &Node) -> Vec<String> {
    node.as_map()
        .map(|map| map.keys().cloned().collect())
        .unwrap_or_default()
}

fn child_mut<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    match &mut node.value {
        Value::Map(map) => map.get_mut(key),
        Value::List(items) => items.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    }
}

/// `+a.b=c`: there must be nothing yet, except for a mapping or a list, which is merged.
fn add(root: &mut Node, given: &Override, keys: &[&str], value: Node) -> Result<(), ConfigError> {
    let known = root.select(&given.key);
    let is_container = matches!(value.value, Value::Map(_) | Value::List(_));
    let is_set = known.is_some_and(|node| !node.is_null() && !is_missing(&node.value));
    if is_set && !is_container {
        return Err(ConfigError::new(
            ConfigErrorKind::Composition,
            format!("`{}` has a value already", given.key),
        )
        .with_hint(format!(
            "to replace it write `{0}`, to set it in any case `++{0}`",
            &given.text[1..]
        )));
    }
    force_add(root, keys, value)
}

/// `++a.b=c`: mappings are made on the way, in place of anything that is none.
fn force_add(root: &mut Node, keys: &[&str], value: Node) -> Result<(), ConfigError> {
    let Some((key, deeper)) = keys.split_first() else {
        return set(root, value);
    };
    if let Value::List(items) = &mut root.value {
        let count = items.len();
        let item = key
            .parse::<usize>()
            .ok()
            .and_then(|index| items.get_mut(index));
        return match item {
            Some(item) => force_add(item, deeper, value),
            None => Err(ConfigError::new(
                ConfigErrorKind::UnknownKey,
                format!("`{key}` is no item of a list of {count}"),
            )
            .with_hint("a list grows only as a whole: `key=[…]`")),
        };
    }
    if root.as_map().is_none() {
        *root = Node::new(Value::Map(Map::new()), value.origin.clone());
    }
    let Some(map) = root.as_map_mut() else {
        return Ok(());
    };
    replace_alternative(map, key, |_| false);
    let child = map
        .entry((*key).to_string())
        .or_insert_with(|| Node::new(Value::Null, value.origin.clone()));
    force_add(child, deeper, value)
}

/// `~a.b`: the key must be there, with the value if one is given.
fn delete(
    root: &mut Node,
    given: &Override,
    keys: &[&str],
    expected: Option<&Element>,
) -> Result<(), ConfigError> {
    let Some(found) = root.select(&given.key) else {
        let (parents, last) = keys.split_at(keys.len() - 1);
        let parent = parents.join(".");
        let known = root.select(&parent).map(known_keys).unwrap_or_default();
        let error = ConfigError::new(
            ConfigErrorKind::UnknownKey,
            format!("there is no `{}` to delete", given.key),
        );
        return Err(
            match crate::name::nearest(last[0], known.iter().map(String::as_str)) {
                Some(nearest) => error.with_hint(format!("did you mean `~{}`?", {
                    let mut path: Vec<&str> = parents.to_vec();
                    path.push(nearest);
                    path.join(".")
                })),
                None => error,
            },
        );
    };
    if let Some(expected) = expected.filter(|expected| **expected != Element::Null) {
        let expected = expected.to_node(&Origin::Program);
        if expected.to_json() != found.to_json() {
            return Err(ConfigError::new(
                ConfigErrorKind::Composition,
                format!(
                    "`{}` is `{}`, not `{}`",
                    given.key,
                    found.to_json(),
                    expected.to_json()
                ),
            )
            .with_hint(format!(
                "to delete it whatever it is write `~{}`",
                given.key
            )));
        }
    }
    remove(root, keys)
}

fn remove(root: &mut Node, keys: &[&str]) -> Result<(), ConfigError> {
    let (parents, last) = keys.split_at(keys.len() - 1);
    let mut node = root;
    for key in parents {
        match child_mut(node, key) {
            Some(child) => node = child,
            None => return Ok(()),
        }
    }
    match &mut node.value {
        Value::Map(map) => {
            map.shift_remove(last[0]);
            Ok(())
        }
        _ => Err(ConfigError::unsupported("deleting an item of a list")
            .with_hint("write the list anew: `key=[…]`")),
    }
}
