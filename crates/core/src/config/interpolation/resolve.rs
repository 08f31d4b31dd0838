//! Replaces interpolations by what they refer to.

use std::collections::{BTreeMap, HashMap};

use super::parse::{self, Argument, Key, Piece, Reference};
use super::resolvers;
use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::node::{Map, Node, Value};
use crate::config::origin::Origin;
use crate::config::text::python_text;

/// The longest chain of interpolations that refer to one another.
const MAX_CHAIN: usize = 32;
/// The deepest nesting of values, references included.
const MAX_DEPTH: usize = 128;
/// What all values that interpolations bring in may weigh: 64 a value, and its text.
const MAX_WEIGHT: usize = 32 << 20;

/// The tree with every interpolation replaced.
///
/// # Errors
/// A reference to nothing, to itself, or to a value that is not set; an unknown resolver; an
/// expansion past the limits.
pub(crate) fn resolve(
    root: &Node,
    environment: &BTreeMap<String, String>,
) -> Result<Node, ConfigError> {
    Resolver::new(root, environment).deep(root, &[])
}

/// A text with its interpolations replaced, referring to keys of `root`.
pub(crate) fn resolve_text(text: &Node, root: &Node) -> Result<Node, ConfigError> {
    Resolver::new(root, &BTreeMap::new()).deep(text, &["".to_string()])
}

/// Resolves one tree.
pub(super) struct Resolver<'a> {
    root: &'a Node,
    pub(super) environment: &'a BTreeMap<String, String>,
    /// Results by the path of the text that has the interpolation.
    done: HashMap<Vec<String>, Node>,
    /// The paths that are being resolved, outermost first.
    active: Vec<Vec<String>>,
    depth: usize,
    weight: usize,
}

/// Where a text stands, for relative references and errors.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// Keys from the root to the text.
    pub(super) path: &'a [String],
    /// Origin of the text.
    pub(super) origin: &'a Origin,
}

fn interpolation_error(message: impl Into<String>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Interpolation, message)
}

impl<'a> Resolver<'a> {
    fn new(root: &'a Node, environment: &'a BTreeMap<String, String>) -> Self {
        Self {
            root,
            environment,
            done: HashMap::new(),
            active: Vec::new(),
            depth: 0,
            weight: 0,
        }
    }

    /// `node`, which stands at `path`, with everything below it resolved.
    fn deep(&mut self, node: &Node, path: &[String]) -> Result<Node, ConfigError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(too_large("values are nested too deeply").at(&node.origin));
        }
        let resolved = self.deep_unchecked(node, path);
        self.depth -= 1;
        resolved
    }

    fn deep_unchecked(&mut self, node: &Node, path: &[String]) -> Result<Node, ConfigError> {
        let below = |key: &str| [path, &[key.to_string()]].concat();
        let value = match &node.value {
            Value::Map(map) => {
                let mut resolved = Map::with_capacity(map.len());
                for (key, child) in map {
                    resolved.insert(key.clone(), self.deep(child, &below(key))?);
                }
                Value::Map(resolved)
            }
            Value::List(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    resolved.push(self.deep(item, &below(&index.to_string()))?);
                }
                Value::List(resolved)
            }
            value if super::is_interpolation(value) => return self.interpolated(node, path),
            scalar => scalar.clone(),
        };
        Ok(Node::new(value, node.origin.clone()))
    }

    /// The value of a text that has interpolations.
    fn interpolated(&mut self, node: &Node, path: &[String]) -> Result<Node, ConfigError> {
        if let Some(done) = self.done.get(path) {
            let done = done.clone();
            self.add_weight(&done)?;
            return Ok(done);
        }
        if self.active.iter().any(|active| active == path) {
            return Err(self.circle(path).at(&node.origin));
        }
        if self.active.len() >= MAX_CHAIN {
            return Err(too_large("too many interpolations refer to one another").at(&node.origin));
        }
        self.active.push(path.to_vec());
        let place = Place {
            path,
            origin: &node.origin,
        };
        let text = node.as_text().unwrap_or_default();
        let resolved = parse::text(text)
            .and_then(|pieces| self.pieces(&pieces, place))
            .map_err(|error| error.at(&node.origin))?;
        self.active.pop();
        self.add_weight(&resolved)?;
        self.done.insert(path.to_vec(), resolved.clone());
        Ok(resolved)
    }

    fn circle(&self, path: &[String]) -> ConfigError {
        let keys: Vec<_> = self
            .active
            .iter()
            .skip_while(|active| *active != path)
            .map(|active| format!("`{}`", active.join(".")))
            .collect();
        interpolation_error(format!(
            "{} refers to itself{}",
            keys[0],
            if keys.len() > 1 {
                format!(" by way of {}", keys[1..].join(", "))
            } else {
                String::new()
            }
        ))
    }

    fn add_weight(&mut self, node: &Node) -> Result<(), ConfigError> {
        self.weight += weight(node);
        if self.weight > MAX_WEIGHT {
            return Err(too_large("interpolations expand to more than 32 MiB").at(&node.origin));
        }
        Ok(())
    }

    /// A single interpolation is its value; several pieces are a text.
    pub(super) fn pieces(
        &mut self,
        pieces: &[Piece],
        place: Place<'_>,
    ) -> Result<Node, ConfigError> {
        if let [piece] = pieces {
            return self.piece(piece, place);
        }
        self.joined(pieces, place)
    }

    fn joined(&mut self, pieces: &[Piece], place: Place<'_>) -> Result<Node, ConfigError> {
        let mut text = String::new();
        for piece in pieces {
            let node = self.piece(piece, place)?;
            let part = python_text(&node.value).ok_or_else(|| {
                interpolation_error(format!("{} cannot be part of a text", node.value.kind()))
                    .with_hint("refer to a single value, or let the interpolation stand alone")
            })?;
            text.push_str(&part);
        }
        Ok(Node::new(Value::Text(text), place.origin.clone()))
    }

    fn piece(&mut self, piece: &Piece, place: Place<'_>) -> Result<Node, ConfigError> {
        match piece {
            Piece::Text(text) => Ok(Node::new(Value::Text(text.clone()), place.origin.clone())),
            Piece::Reference(reference) => {
                let keys = self.reference_keys(reference, place)?;
                self.follow(reference.dots, &keys, place)
            }
            Piece::Call(call) => {
                let name = self.key_texts(&call.name, place)?.join(".");
                let mut arguments = Vec::with_capacity(call.arguments.len());
                for argument in &call.arguments {
                    arguments.push(self.argument(argument, place)?);
                }
                resolvers::call(self, &name, &arguments, place)
            }
        }
    }

    fn reference_keys(
        &mut self,
        reference: &Reference,
        place: Place<'_>,
    ) -> Result<Vec<String>, ConfigError> {
        let texts = self.key_texts(&reference.keys, place)?;
        // A computed key may have dots itself.
        Ok(texts
            .iter()
            .flat_map(|text| text.split('.'))
            .map(str::to_string)
            .collect())
    }

    fn key_texts(&mut self, keys: &[Key], place: Place<'_>) -> Result<Vec<String>, ConfigError> {
        let mut texts = Vec::with_capacity(keys.len());
        for key in keys {
            texts.push(match key {
                Key::Name(name) => name.clone(),
                Key::Computed(piece) => match self.piece(piece, place)?.value {
                    Value::Text(text) => text,
                    other => {
                        return Err(interpolation_error(format!(
                            "an interpolation that names a key must be a text, not {}",
                            other.kind()
                        )));
                    }
                },
            });
        }
        Ok(texts)
    }

    /// The value that a reference with its keys leads to; it must be there and set.
    fn follow(
        &mut self,
        dots: usize,
        keys: &[String],
        place: Place<'_>,
    ) -> Result<Node, ConfigError> {
        let shown = format!("{}{}", ".".repeat(dots), keys.join("."));
        match self.select(dots, keys, place)? {
            Some(node) if is_missing(&node.value) => Err(ConfigError::new(
                ConfigErrorKind::Missing,
                format!("`${{{shown}}}` refers to a value that is not set (`???`)"),
            )
            .with_hint(format!("set `{}`", keys.join(".")))),
            // The value is copied here, so its origin is here; what it contains keeps its own.
            Some(node) => Ok(Node::new(
                node.value,
                self.origin_of_copy(&node.origin, place),
            )),
            None => Err(self.not_found(&shown, dots, keys)),
        }
    }

    fn origin_of_copy(&self, origin: &Origin, place: Place<'_>) -> Origin {
        match origin {
            Origin::Environment { .. } => origin.clone(),
            _ => place.origin.clone(),
        }
    }

    fn not_found(&self, shown: &str, dots: usize, keys: &[String]) -> ConfigError {
        let error = interpolation_error(format!("`${{{shown}}}` refers to nothing"));
        let parent = keys.split_last().and_then(|(last, parents)| {
            let parent = (dots == 0).then(|| self.root.select(&parents.join(".")))??;
            let known = parent.as_map()?.keys().map(String::as_str);
            Some((parents, crate::name::nearest(last, known)?))
        });
        match parent {
            Some((parents, nearest)) => {
                let mut path = parents.to_vec();
                path.push(nearest.to_string());
                error.with_hint(format!("did you mean `${{{}}}`?", path.join(".")))
            }
            None => error,
        }
    }

    /// The resolved value at the end of the keys, if there is one.
    pub(super) fn select(
        &mut self,
        dots: usize,
        keys: &[String],
        place: Place<'_>,
    ) -> Result<Option<Node>, ConfigError> {
        let Some(mut path) = start(dots, place.path) else {
            return Ok(None);
        };
        let root = self.root;
        let Some(mut raw) = root.select_path(&path) else {
            return Ok(None);
        };
        for (index, key) in keys.iter().enumerate() {
            if super::is_interpolation(&raw.value) {
                let resolved = self.interpolated(raw, &path)?;
                return Ok(resolved.select_path(&keys[index..]).cloned());
            }
            let Some(child) = raw.child(key) else {
                return Ok(None);
            };
            path.push(key.clone());
            raw = child;
        }
        if path.len() < place.path.len() && place.path.starts_with(&path) {
            return Err(interpolation_error(format!(
                "`{}` refers to what contains it",
                place.path.join(".")
            )));
        }
        let resolved = self.deep(raw, &path)?;
        self.add_weight(&resolved)?;
        Ok(Some(resolved))
    }

    pub(super) fn argument(
        &mut self,
        argument: &Argument,
        place: Place<'_>,
    ) -> Result<Node, ConfigError> {
        let value = match argument {
            Argument::Scalar(value) => value.clone(),
            Argument::Unquoted(pieces) => return self.pieces(pieces, place),
            Argument::Quoted(pieces) => return self.joined(pieces, place),
            Argument::List(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for item in items {
                    resolved.push(self.argument(item, place)?);
                }
                Value::List(resolved)
            }
            Argument::Map(entries) => {
                let mut resolved = Map::with_capacity(entries.len());
                for (key, item) in entries {
                    let key = self.joined(key, place)?;
                    let item = self.argument(item, place)?;
                    resolved.insert(key.as_text().unwrap_or_default().to_string(), item);
                }
                Value::Map(resolved)
            }
        };
        Ok(Node::new(value, place.origin.clone()))
    }
}

/// The container that a reference starts from: the root, or as many levels up as it has dots.
fn start(dots: usize, path: &[String]) -> Option<Vec<String>> {
    if dots == 0 {
        return Some(Vec::new());
    }
    let length = path.len().checked_sub(dots)?;
    Some(path[..length].to_vec())
}

/// Whether a value is OmegaConf's mark for one that must be given.
pub(crate) fn is_missing(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text == "???")
}

fn too_large(message: &str) -> ConfigError {
    ConfigError::new(ConfigErrorKind::TooLarge, message)
}

fn weight(node: &Node) -> usize {
    64 + match &node.value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Map(map) => map
            .iter()
            .map(|(key, child)| key.len() + weight(child))
            .sum(),
        _ => 0,
    }
}
