//! Composition: from the sources and the command line to the resolved, checked configuration.

use std::collections::BTreeMap;

use super::apply::apply;
use super::check;
use super::defaults::{Choices, defaults_list};
use super::error::{ConfigError, ConfigErrorKind};
use super::interpolation::{self, is_missing};
use super::merge::{embed, merge};
use super::node::{Map, Node, Value};
use super::origin::Origin;
use super::overrides;
use super::schema::Config;
use super::source::{ConfigSource, Repository};
use super::yaml;

/// A composed configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Composed {
    /// The typed configuration.
    pub config: Config,
    /// The same as a tree of values with their origins, every interpolation replaced.
    pub tree: Node,
    /// The option chosen of each group, by group or `group@package`; none for `null`.
    pub choices: BTreeMap<String, Option<String>>,
}

/// Composes the configuration of a project over the built-in one, applies the overrides of the
/// command line, resolves interpolations and checks every value.
///
/// # Errors
/// Anything that is wrong in a file or an override, with its place; see [`ConfigErrorKind`].
pub fn compose(
    source: &dyn ConfigSource,
    overrides: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<Composed, ConfigError> {
    let repository = Repository::new(source, true);
    let (tree, choices) = compose_tree(&repository, overrides, environment)?;
    let (tree, config) = check::check(tree)?;
    Ok(Composed {
        config,
        tree,
        choices,
    })
}

/// Composes without the built-in configurations and without types: what Hydra itself would give
/// for these files. Values that must be given (`???`) may be left.
///
/// # Errors
/// As [`compose`], except for unknown keys and wrong values.
pub fn compose_untyped(
    source: &dyn ConfigSource,
    overrides: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<Node, ConfigError> {
    let repository = Repository::new(source, false);
    compose_tree(&repository, overrides, environment).map(|(tree, _)| tree)
}

fn compose_tree(
    repository: &Repository<'_>,
    overrides: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<(Node, BTreeMap<String, Option<String>>), ConfigError> {
    let overrides = overrides::parse_all(overrides)?;
    let mut choices = Choices::new(overrides, repository)?;
    let mut tree = Node::empty_map();
    for part in defaults_list(repository, &mut choices)? {
        let content = embed(part.loaded.content.clone(), &part.package)?;
        merge(&mut tree, content)?;
    }
    for given in &choices.values {
        apply(&mut tree, given, repository)?;
    }
    let resolved = interpolation::resolve(&tree, environment)?;
    Ok((resolved, choices.known_choices()))
}

/// Refuses a tree in which a value that must be given is not.
pub(super) fn refuse_missing(tree: &Node) -> Result<(), ConfigError> {
    let mut missing = Vec::new();
    walk(tree, &mut String::new(), &mut |key, node| {
        if is_missing(&node.value) {
            missing.push((key.to_string(), node.origin.clone()));
        }
    });
    let Some((first, origin)) = missing.first() else {
        return Ok(());
    };
    let keys: Vec<_> = missing.iter().map(|(key, _)| format!("`{key}`")).collect();
    Err(ConfigError::new(
        ConfigErrorKind::Missing,
        format!("{} must be set", keys.join(", ")),
    )
    .at(origin)
    .with_hint(format!("write `{first}=…`")))
}

/// Visits every leaf with its dotted key, in order. An empty list or mapping is a leaf.
fn walk(node: &Node, key: &mut String, visit: &mut dyn FnMut(&str, &Node)) {
    let length = key.len();
    let mut child = |name: &str, child: &Node| {
        if !key.is_empty() {
            key.push('.');
        }
        key.push_str(name);
        walk(child, key, visit);
        key.truncate(length);
    };
    match &node.value {
        Value::Map(map) if !map.is_empty() => {
            for (name, node) in map {
                child(name, node);
            }
        }
        // A list of scalars is one value to its user.
        Value::List(items) if items.iter().any(is_container) => {
            for (index, node) in items.iter().enumerate() {
                child(&index.to_string(), node);
            }
        }
        _ => visit(key, node),
    }
}

const fn is_container(node: &Node) -> bool {
    matches!(node.value, Value::List(_) | Value::Map(_))
}

impl Composed {
    /// The resolved configuration as YAML. As a `ferrotype.yaml` it composes to the same
    /// configuration: its defaults list chooses nothing from the built-in groups.
    pub fn to_yaml(&self) -> String {
        let nothing = |group: &str| {
            let choice = (group.to_string(), program(Value::Null));
            program(Value::Map(Map::from_iter([choice])))
        };
        let defaults = vec![
            nothing("model"),
            nothing("data"),
            nothing("train"),
            program(Value::Text("_self_".to_string())),
        ];
        let defaults = Map::from_iter([("defaults".to_string(), program(Value::List(defaults)))]);
        format!(
            "# Every value is written out below; nothing is taken from the built-in groups.\n{}\n{}",
            yaml::to_yaml(&program(Value::Map(defaults))),
            yaml::to_yaml(&escape_texts(&self.tree))
        )
    }

    /// Where the value of a dotted key comes from, if it has one.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.tree.select(key).map(|node| &node.origin)
    }

    /// Every value with its dotted key and origin, in the order of the tree. A list of scalars is
    /// one value.
    pub fn origins(&self) -> Vec<(String, Value, Origin)> {
        let mut origins = Vec::new();
        walk(&self.tree, &mut String::new(), &mut |key, node| {
            origins.push((key.to_string(), node.value.clone(), node.origin.clone()));
        });
        origins
    }
}

const fn program(value: Value) -> Node {
    Node::new(value, Origin::Program)
}

/// The tree with what looks like an interpolation escaped, so that it reads back as text.
fn escape_texts(node: &Node) -> Node {
    let value = match &node.value {
        Value::Text(text) => Value::Text(interpolation::escape(text)),
        Value::List(items) => Value::List(items.iter().map(escape_texts).collect()),
        Value::Map(map) => Value::Map(
            map.iter()
                .map(|(key, node)| (key.clone(), escape_texts(node)))
                .collect(),
        ),
        scalar => scalar.clone(),
    };
    Node::new(value, node.origin.clone())
}
