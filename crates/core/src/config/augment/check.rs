//! Checks of the rules that only the random changes need: short forms, limits, colours, lists of
//! transforms.

use super::TRANSFORMS;
use crate::config::check::{check_fields, entries, field, number, path, value, whole, wrong_type};
use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::node::{Map, Node, Value};
use crate::config::rules::{ALTERNATIVES, Alone, Field, Range};

/// A mapping whose entries keep their order; those that are null are left out.
pub(in crate::config) fn ordered(
    node: Node,
    fields: &[Field],
    key: &str,
) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    let mut checked = Map::new();
    for (name, entry) in entries(node, key)? {
        let found = field(fields, &name, key).map_err(|error| error.at(&entry.origin))?;
        if !entry.is_null() {
            let entry = value(entry, &found.rule, &path(key, &name))?;
            checked.insert(name, entry);
        }
    }
    Ok(Node::new(Value::Map(checked), origin))
}

/// The parameters of a transform, or its main one alone.
pub(in crate::config) fn shorthand(
    node: Node,
    main: &str,
    fields: &[Field],
    key: &str,
) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    let short = match &node.value {
        Value::Map(_) => None,
        Value::List(_) => fields.iter().find(|field| field.name == "transforms"),
        _ => fields.iter().find(|field| field.name == main),
    };
    if let Some(short) = short {
        let has_more = fields.len() > 1 && short.name != "transforms";
        return value(node, &short.rule, key).map_err(|error| match error.hint() {
            None if has_more => {
                error.with_hint(format!("or a mapping of its parameters: {}", names(fields)))
            }
            _ => error,
        });
    }
    let entries = entries(node, key)?;
    for (name, entry) in &entries {
        field(fields, name, key).map_err(|error| error.at(&entry.origin))?;
    }
    let set = entries.into_iter().filter(|(_, entry)| !entry.is_null());
    let set: Map = set.collect();
    refuse_alternatives(&set, key)?;
    let fields = check_fields(set, fields, key)?;
    Ok(Node::new(Value::Map(fields), origin))
}

/// Refuses two parameters that say the same in two ways.
fn refuse_alternatives(set: &Map, key: &str) -> Result<(), ConfigError> {
    for [one, other] in ALTERNATIVES {
        if let (Some(_), Some(second)) = (set.get(one), set.get(other)) {
            return Err(ConfigError::new(
                ConfigErrorKind::OutOfRange,
                format!("`{key}` has both `{one}` and `{other}`, which say the same in two ways"),
            )
            .at(&second.origin)
            .with_hint("leave one of them out"));
        }
    }
    Ok(())
}

fn names(fields: &[Field]) -> String {
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    names.join(", ")
}

/// A list of transforms, each a name or a mapping of one name to its parameters.
pub(in crate::config) fn transforms(node: Node, key: &str) -> Result<Node, ConfigError> {
    let origin = node.origin.clone();
    let Value::List(items) = node.value else {
        return Err(wrong_type(&node, "a list of transforms", key));
    };
    let mut checked = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let item_key = path(key, &index.to_string());
        let item = match item.value {
            Value::Text(name) => {
                let empty = Node::new(Value::Map(Map::new()), item.origin.clone());
                Node::new(Value::Map(Map::from_iter([(name, empty)])), item.origin)
            }
            _ => item,
        };
        if item.as_map().is_some_and(|map| map.len() != 1) {
            let expected = "one transform: its name, or a mapping from its name to its parameters";
            return Err(wrong_type(&item, expected, &item_key).at(&item.origin));
        }
        checked.push(ordered(item, TRANSFORMS, &item_key)?);
    }
    Ok(Node::new(Value::List(checked), origin))
}

impl Alone {
    /// What one number is short for, after "or".
    fn words(self) -> String {
        match self {
            Self::Point => "one number for both".to_string(),
            Self::Symmetric => "a number x for -x to x".to_string(),
            Self::UpFrom(low) => format!("a number x for {low} to x"),
            Self::AroundOne => "a number x for 1 - x to 1 + x".to_string(),
        }
    }

    /// The two limits that one number is short for.
    fn limits(self, number: f64) -> [f64; 2] {
        match self {
            Self::Point => [number, number],
            Self::Symmetric => [-number, number],
            Self::UpFrom(low) => [f64::from(low).min(number), number],
            Self::AroundOne => [(1.0 - number).max(0.0), 1.0 + number],
        }
    }
}

/// The two items of a list of two.
fn pair(node: &Node) -> Option<[Node; 2]> {
    let [low, high] = node.as_list()? else {
        return None;
    };
    Some([low.clone(), high.clone()])
}

fn list<const N: usize>(items: [Value; N], node: &Node) -> Node {
    let items = items.map(|item| Node::new(item, node.origin.clone()));
    Node::new(Value::List(items.into()), node.origin.clone())
}

fn order(low: f64, high: f64, key: &str) -> Result<(), ConfigError> {
    if low <= high {
        return Ok(());
    }
    Err(ConfigError::new(
        ConfigErrorKind::OutOfRange,
        format!("`{key}` is `[{low}, {high}]`, expected the lower limit first"),
    ))
}

/// Two numbers in a range, the lower first, or one that stands for two.
pub(in crate::config) fn limits(
    node: Node,
    range: &Range,
    alone: Alone,
    key: &str,
) -> Result<Node, ConfigError> {
    let (low, high) = match pair(&node) {
        Some([low, high]) => (
            number(low, range, &path(key, "0"))?,
            number(high, range, &path(key, "1"))?,
        ),
        None if node.as_list().is_some() => {
            let expected = format!("two numbers, or {}", alone.words());
            return Err(wrong_type(&node, &expected, key));
        }
        None => {
            let one = number(node.clone(), &alone_range(range, alone), key)
                .map_err(|error| error.with_hint(format!("or two numbers: `{key}=[low,high]`")))?;
            let Value::Float(one) = one.value else {
                return Err(wrong_type(&node, "a number", key));
            };
            let [low, high] = alone.limits(one);
            return Ok(list([Value::Float(low), Value::Float(high)], &node));
        }
    };
    if let (Value::Float(low), Value::Float(high)) = (&low.value, &high.value) {
        order(*low, *high, key)?;
    }
    Ok(list([low.value, high.value], &node))
}

/// The range of a number that stands for two limits.
fn alone_range(range: &Range, alone: Alone) -> Range {
    match alone {
        Alone::Symmetric => Range {
            low: 0.0,
            has_low: true,
            ..*range
        },
        Alone::AroundOne => Range {
            low: 0.0,
            has_low: true,
            high: range.high - 1.0,
            ..*range
        },
        Alone::Point | Alone::UpFrom(_) => *range,
    }
}

/// Two whole numbers in a range, the lower first, or one that stands for two.
pub(in crate::config) fn whole_limits(
    node: Node,
    [low, high]: [u64; 2],
    alone: Alone,
    key: &str,
) -> Result<Node, ConfigError> {
    let limits = whole_pair(node, [low, high], key)?;
    let Some([Value::Int(first), Value::Int(second)]) =
        pair(&limits).map(|pair| pair.map(|node| node.value))
    else {
        return Ok(limits);
    };
    order(first as f64, second as f64, key)?;
    // One number was taken for both.
    match alone {
        Alone::UpFrom(least) if first == second => {
            let first = i128::from(least).min(second);
            Ok(list([Value::Int(first), Value::Int(second)], &limits))
        }
        _ => Ok(limits),
    }
}

/// Two whole numbers in a range, or one for both.
pub(in crate::config) fn whole_pair(
    node: Node,
    [low, high]: [u64; 2],
    key: &str,
) -> Result<Node, ConfigError> {
    let [first, second] = match pair(&node) {
        Some([first, second]) => [
            whole(first, low, high, &path(key, "0"))?,
            whole(second, low, high, &path(key, "1"))?,
        ],
        None => {
            let one = whole(node.clone(), low, high, key)
                .map_err(|error| error.with_hint(format!("or two numbers: `{key}=[low,high]`")))?;
            [one.clone(), one]
        }
    };
    Ok(list([first.value, second.value], &node))
}

/// Red, green and blue, or one number for all three, or a word.
pub(in crate::config) fn color(
    node: Node,
    word: Option<&str>,
    key: &str,
) -> Result<Node, ConfigError> {
    if word.is_some() && node.as_text() == word {
        return Ok(node);
    }
    let channels = match node.as_list() {
        Some([red, green, blue]) => [red.clone(), green.clone(), blue.clone()],
        Some(_) => {
            return Err(wrong_type(
                &node,
                "a colour: one number from 0 to 255, or three",
                key,
            ));
        }
        None => [node.clone(), node.clone(), node.clone()],
    };
    let mut checked = Vec::with_capacity(3);
    for channel in channels {
        let channel = whole(channel, 0, 255, key).map_err(|error| match word {
            Some(word) => error.with_hint(format!("or three numbers, or `{word}`")),
            None => error.with_hint("or three numbers: red, green and blue"),
        })?;
        checked.push(channel);
    }
    Ok(Node::new(Value::List(checked), node.origin))
}
