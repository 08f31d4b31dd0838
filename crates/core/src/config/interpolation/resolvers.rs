//! OmegaConf's built-in resolvers: `oc.env`, `oc.select`, `oc.decode`, `oc.dict.keys`, `oc.dict.values`.

use super::parse;
use super::resolve::{Place, Resolver, is_missing};
use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::node::{Map, Node, Value};
use crate::config::origin::Origin;
use crate::config::text::python_text;

const NAMES: [&str; 5] = [
    "oc.decode",
    "oc.dict.keys",
    "oc.dict.values",
    "oc.env",
    "oc.select",
];

/// Evaluates `${name:arguments}`.
pub(super) fn call(
    resolver: &mut Resolver<'_>,
    name: &str,
    arguments: &[Node],
    place: Place<'_>,
) -> Result<Node, ConfigError> {
    match name {
        "oc.env" => environment(resolver, arguments, place),
        "oc.select" => select(resolver, arguments, place),
        "oc.decode" => decode(resolver, arguments, place),
        "oc.dict.keys" => dictionary(resolver, name, arguments, place).map(|map| {
            let text = |key: &String| Node::new(Value::Text(key.clone()), place.origin.clone());
            list(map.keys().map(text).collect(), place)
        }),
        "oc.dict.values" => dictionary(resolver, name, arguments, place)
            .map(|map| list(map.values().cloned().collect(), place)),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> ConfigError {
    ConfigError::unsupported(format!("the resolver `{name}`"))
        .with_hint(format!("resolvers are {}", NAMES.join(", ")))
}

fn list(items: Vec<Node>, place: Place<'_>) -> Node {
    Node::new(Value::List(items), place.origin.clone())
}

fn error(message: impl Into<String>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Interpolation, message)
}

/// The first argument as a text, and the optional second one.
fn key_and_default<'n>(
    name: &str,
    arguments: &'n [Node],
) -> Result<(&'n str, Option<&'n Node>), ConfigError> {
    let (first, default) = match arguments {
        [first] => (first, None),
        [first, default] => (first, Some(default)),
        _ => return Err(error(format!("`{name}` takes one or two arguments"))),
    };
    let key = first
        .as_text()
        .ok_or_else(|| error(format!("`{name}` takes a text, not {}", first.value.kind())))?;
    Ok((key, default))
}

/// `${oc.env:NAME,default}`: always a text, or null when the default is.
fn environment(
    resolver: &Resolver<'_>,
    arguments: &[Node],
    place: Place<'_>,
) -> Result<Node, ConfigError> {
    let (variable, default) = key_and_default("oc.env", arguments)?;
    if let Some(text) = resolver.environment.get(variable) {
        let origin = Origin::Environment {
            variable: variable.into(),
            at: Box::new(place.origin.clone()),
        };
        return Ok(Node::new(Value::Text(text.clone()), origin));
    }
    let default = default.ok_or_else(|| {
        error(format!("the environment variable `{variable}` is not set")).with_hint(format!(
            "set it, or give a default: `${{oc.env:{variable},…}}`"
        ))
    })?;
    let value = match &default.value {
        Value::Null => Value::Null,
        value => Value::Text(
            python_text(value)
                .ok_or_else(|| error(format!("the default of `{variable}` is {}", value.kind())))?,
        ),
    };
    Ok(Node::new(value, place.origin.clone()))
}

/// `${oc.select:key,default}`: null or the default where there is nothing.
fn select(
    resolver: &mut Resolver<'_>,
    arguments: &[Node],
    place: Place<'_>,
) -> Result<Node, ConfigError> {
    let (key, default) = key_and_default("oc.select", arguments)?;
    let found = select_key(resolver, key, place)?.filter(|node| !is_missing(&node.value));
    let value = found
        .or_else(|| default.cloned())
        .map_or(Value::Null, |node| node.value);
    Ok(Node::new(value, place.origin.clone()))
}

fn select_key(
    resolver: &mut Resolver<'_>,
    key: &str,
    place: Place<'_>,
) -> Result<Option<Node>, ConfigError> {
    let keys = key.trim_start_matches('.');
    let dots = key.len() - keys.len();
    let keys: Vec<String> = keys.split('.').map(str::to_string).collect();
    resolver.select(dots, &keys, place)
}

/// `${oc.decode:text}`: the value that the text stands for.
fn decode(
    resolver: &mut Resolver<'_>,
    arguments: &[Node],
    place: Place<'_>,
) -> Result<Node, ConfigError> {
    let [argument] = arguments else {
        return Err(error("`oc.decode` takes one argument"));
    };
    match &argument.value {
        Value::Null => Ok(Node::new(Value::Null, place.origin.clone())),
        Value::Text(text) => {
            let parsed = parse::argument(text)?;
            let decoded = resolver.argument(&parsed, place)?;
            let origin = match &argument.origin {
                from @ Origin::Environment { .. } => from.clone(),
                _ => decoded.origin,
            };
            Ok(Node::new(decoded.value, origin))
        }
        other => Err(error(format!(
            "`oc.decode` takes a text, not {}",
            other.kind()
        ))),
    }
}

fn dictionary(
    resolver: &mut Resolver<'_>,
    name: &str,
    arguments: &[Node],
    place: Place<'_>,
) -> Result<Map, ConfigError> {
    let (key, None) = key_and_default(name, arguments)? else {
        return Err(error(format!("`{name}` takes one argument")));
    };
    match select_key(resolver, key, place)?.map(|node| node.value) {
        Some(Value::Map(map)) => Ok(map),
        Some(other) => Err(error(format!(
            "`{name}` takes the key of a mapping, `{key}` is {}",
            other.kind()
        ))),
        None => Err(error(format!("`{name}`: there is no key `{key}`"))),
    }
}
