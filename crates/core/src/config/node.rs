//! A tree of configuration values in which every value knows where it came from.

use indexmap::IndexMap;

use super::origin::Origin;

/// Keys and values in the order they were written.
pub type Map = IndexMap<String, Node>;

/// A value and its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it was written. For a value in a mapping: where its key is.
    pub origin: Origin,
}

/// A configuration value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number from `i64::MIN` to `u64::MAX`.
    Int(i128),
    /// A number with a fraction or an exponent, infinity, or not a number.
    Float(f64),
    /// A text, in which `${…}` may still be unresolved.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

impl Value {
    /// What the value is, in the user's words, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// YAML on one line.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&super::yaml::inline(self))
    }
}

impl Node {
    /// A value with its origin.
    pub const fn new(value: Value, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// An empty mapping made by the program.
    pub fn empty_map() -> Self {
        Self::new(Value::Map(Map::new()), Origin::Program)
    }

    /// Line in its file, from 1; 0 for a value that comes from no file.
    pub fn line(&self) -> u32 {
        self.origin.line().unwrap_or(0)
    }

    /// Column in its file in characters, from 1; 0 for a value that comes from no file.
    pub fn column(&self) -> u32 {
        self.origin.column().unwrap_or(0)
    }

    /// Whether this is null.
    pub const fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The text, if this is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The keys and values, if this is a mapping.
    pub const fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The keys and values, if this is a mapping.
    pub const fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The value under `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key)
    }

    /// The value under a dotted key such as `train.optimizer.name`; a list's items are
    /// numbered from 0. The empty key is the node itself.
    pub fn select(&self, dotted_key: &str) -> Option<&Self> {
        if dotted_key.is_empty() {
            return Some(self);
        }
        dotted_key
            .split('.')
            .try_fold(self, |node, key| node.child(key))
    }

    /// The value at the end of a path of keys.
    pub(crate) fn select_path(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.child(key))
    }

    /// The value under a key of a mapping or an index of a list.
    pub(crate) fn child(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(map) => map.get(key),
            Value::List(items) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        }
    }

    /// The tree as JSON, without origins. Infinities and not-a-number, which JSON does not have,
    /// become the texts that YAML writes for them (`.inf`, `-.inf`, `.nan`).
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => int_to_json(*value),
            Value::Float(value) => serde_json::Number::from_f64(*value).map_or_else(
                || Json::String(super::yaml::float_text(*value)),
                Json::Number,
            ),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(map) => Json::Object(
                map.iter()
                    .map(|(key, node)| (key.clone(), node.to_json()))
                    .collect(),
            ),
        }
    }

    /// A tree from JSON, all of it with one origin.
    pub fn from_json(json: &serde_json::Value, origin: &Origin) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => number_from_json(number),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(
                items
                    .iter()
                    .map(|item| Self::from_json(item, origin))
                    .collect(),
            ),
            Json::Object(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, item)| (key.clone(), Self::from_json(item, origin)))
                    .collect(),
            ),
        };
        Self::new(value, origin.clone())
    }
}

fn int_to_json(value: i128) -> serde_json::Value {
    if let Ok(value) = i64::try_from(value) {
        value.into()
    } else if let Ok(value) = u64::try_from(value) {
        value.into()
    } else {
        (value as f64).into()
    }
}

fn number_from_json(number: &serde_json::Number) -> Value {
    number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from))
        .map_or_else(
            || Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            Value::Int,
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_survives_json() {
        let json = serde_json::json!({
            "a": [1, -2, 18_446_744_073_709_551_615_u64, 0.5, null, true],
            "b": {"c": "text", "d": {}},
        });
        assert_eq!(Node::from_json(&json, &Origin::Program).to_json(), json);
    }

    #[test]
    fn a_number_that_json_does_not_have_becomes_a_text() {
        let node = Node::new(Value::Float(f64::NEG_INFINITY), Origin::Program);
        assert_eq!(node.to_json(), serde_json::json!("-.inf"));
    }

    #[test]
    fn a_dotted_key_walks_through_mappings_and_lists() {
        let json = serde_json::json!({"a": {"b": [10, {"c": 20}]}});
        let node = Node::from_json(&json, &Origin::Program);
        let value = |key| node.select(key).map(|found| found.value.clone());
        assert_eq!(value("a.b.1.c"), Some(Value::Int(20)));
        assert_eq!(value("a.b.0"), Some(Value::Int(10)));
        assert_eq!(value("a.b.2"), None);
        assert_eq!(value("a.x"), None);
    }
}
