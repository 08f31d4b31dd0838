//! From YAML text to a [`Node`], with limits.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::scalar;
use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::node::{Map, Node, Value};
use crate::config::origin::Origin;

/// The longest text that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting of lists and mappings.
const MAX_DEPTH: usize = 64;
/// What a document may weigh after aliases are copied: [`NODE_WEIGHT`] a value, and its text.
const MAX_WEIGHT: usize = 32 << 20;
/// What a value weighs besides its text.
const NODE_WEIGHT: usize = 64;

/// Reads one YAML document. `source_name` is the path as the user knows it; it goes into every
/// value's origin and every error. An empty document is null.
///
/// # Errors
/// The text is not well-formed, passes a limit (1 MiB, 64 levels, 32 MiB after aliases are
/// copied), gives a key twice, or uses what is not supported: several documents, tags other than
/// `!!str`, keys that are no texts.
pub fn parse(text: &str, source_name: &str) -> Result<Node, ConfigError> {
    let start = Origin::File {
        name: Arc::from(source_name),
        line: 1,
        column: 1,
    };
    parse_at(text, &start)
}

/// As [`parse`], for a text that starts at `start`.
pub(crate) fn parse_at(text: &str, start: &Origin) -> Result<Node, ConfigError> {
    if text.len() > MAX_BYTES {
        return Err(too_large(&format!(
            "it has {} bytes, the limit is {MAX_BYTES}",
            text.len()
        ))
        .at(start));
    }
    let mut loader = Loader {
        parser: Parser::new_from_str(text),
        start,
        anchors: HashMap::new(),
        weight: 0,
    };
    loader.document()
}

fn too_large(reason: &str) -> ConfigError {
    ConfigError::new(
        ConfigErrorKind::TooLarge,
        format!("the YAML text is too large: {reason}"),
    )
}

fn too_deep() -> ConfigError {
    too_large(&format!("more than {MAX_DEPTH} levels of nesting"))
}

fn syntax(message: impl Into<String>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Syntax, message)
}

/// Pulls events and builds the tree; anchors are kept by the parser's numbers for them.
struct Loader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    start: &'a Origin,
    anchors: HashMap<usize, (Node, usize)>,
    weight: usize,
}

impl<'a> Loader<'a> {
    fn next_event(&mut self) -> Result<(Event<'a>, Origin), ConfigError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.origin(&span))),
            Some(Err(error)) => {
                let origin = self.origin(&Span::empty(*error.marker()));
                // The scanner has a limit of its own on nested brackets.
                let error = match error.info() {
                    "recursion limit exceeded" => too_deep(),
                    info => syntax(format!("not valid YAML: {info}")),
                };
                Err(error.at(&origin))
            }
            None => Ok((Event::StreamEnd, self.start.clone())),
        }
    }

    fn origin(&self, span: &Span) -> Origin {
        let line = u32::try_from(span.start.line()).unwrap_or(u32::MAX);
        let column = u32::try_from(span.start.col() + 1).unwrap_or(u32::MAX);
        self.start.at(line, column)
    }

    fn document(&mut self) -> Result<Node, ConfigError> {
        let mut root = None;
        loop {
            let (event, origin) = self.next_event()?;
            match event {
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_none() => {
                    let (event, origin) = self.next_event()?;
                    root = Some(self.node(event, origin, 0)?);
                }
                _ => {
                    return Err(
                        ConfigError::unsupported("a second YAML document in one text").at(&origin),
                    );
                }
            }
        }
        Ok(root.unwrap_or_else(|| Node::new(Value::Null, self.start.at(1, 1))))
    }

    /// Builds the value that starts with `event`.
    fn node(
        &mut self,
        event: Event<'a>,
        origin: Origin,
        depth: usize,
    ) -> Result<Node, ConfigError> {
        if depth > MAX_DEPTH {
            return Err(too_large(&format!("more than {MAX_DEPTH} levels of nesting")).at(&origin));
        }
        let weight_before = self.weight;
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.add_weight(NODE_WEIGHT + text.len(), &origin)?;
                (scalar_node(&text, style, tag.as_deref(), origin)?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), &origin)?;
                self.add_weight(NODE_WEIGHT, &origin)?;
                (self.list(origin, depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), &origin)?;
                self.add_weight(NODE_WEIGHT, &origin)?;
                (self.map(origin, depth)?, anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, &origin),
            _ => return Err(syntax("not valid YAML: a value is missing").at(&origin)),
        };
        if anchor > 0 {
            let weight = self.weight - weight_before;
            self.add_weight(weight, &node.origin)?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        Ok(node)
    }

    fn list(&mut self, origin: Origin, depth: usize) -> Result<Node, ConfigError> {
        let mut items = Vec::new();
        loop {
            let (event, item_origin) = self.next_event()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Node::new(Value::List(items), origin));
            }
            items.push(self.node(event, item_origin, depth + 1)?);
        }
    }

    fn map(&mut self, origin: Origin, depth: usize) -> Result<Node, ConfigError> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        loop {
            let (event, key_origin) = self.next_event()?;
            let (key, is_merge) = match event {
                Event::MappingEnd => break,
                Event::Scalar(text, style, _, tag) => {
                    refuse_tag(tag.as_deref(), &key_origin)?;
                    let is_plain = style == ScalarStyle::Plain;
                    (
                        text_key(&text, is_plain, &key_origin)?,
                        is_plain && text == "<<",
                    )
                }
                _ => {
                    return Err(ConfigError::unsupported(
                        "a key that is a list, a mapping or an alias",
                    )
                    .at(&key_origin));
                }
            };
            self.add_weight(key.len(), &key_origin)?;
            let (event, value_origin) = self.next_event()?;
            let mut value = self.node(event, value_origin, depth + 1)?;
            if is_merge {
                merged.push((value, key_origin));
                continue;
            }
            value.origin = key_origin;
            if let Some(first) = map.get(&key) {
                return Err(duplicate_key(&key, first, &value));
            }
            map.insert(key, value);
        }
        for (source, at) in merged {
            map = merge_keys(source, map, &at)?;
        }
        Ok(Node::new(Value::Map(map), origin))
    }

    fn alias(&mut self, anchor: usize, origin: &Origin) -> Result<Node, ConfigError> {
        let Some((node, weight)) = self.anchors.get(&anchor) else {
            return Err(
                ConfigError::unsupported("an alias inside the value that it names").at(origin),
            );
        };
        let (node, weight) = (node.clone(), *weight);
        self.add_weight(weight, origin)?;
        Ok(node)
    }

    fn add_weight(&mut self, weight: usize, origin: &Origin) -> Result<(), ConfigError> {
        self.weight += weight;
        if self.weight > MAX_WEIGHT {
            return Err(too_large("its values take more than 32 MiB").at(origin));
        }
        Ok(())
    }
}

fn duplicate_key(key: &str, first: &Node, second: &Node) -> ConfigError {
    syntax(format!(
        "key `{key}` is given twice, first on line {}",
        first.line()
    ))
    .at(&second.origin)
    .with_hint("keep one of the two")
}

/// Puts the entries of a `<<` value before those of `map`, which win.
fn merge_keys(source: Node, map: Map, at: &Origin) -> Result<Map, ConfigError> {
    let sources = match source.value {
        Value::Map(_) => vec![source],
        Value::List(items) => items,
        _ => Vec::new(),
    };
    let mut merged = Map::new();
    for source in sources {
        let Value::Map(entries) = source.value else {
            return Err(syntax("`<<` takes a mapping or a list of mappings").at(at));
        };
        for (key, node) in entries {
            merged.entry(key).or_insert(node);
        }
    }
    if merged.is_empty() {
        return Err(syntax("`<<` takes a mapping or a list of mappings").at(at));
    }
    merged.extend(map);
    Ok(merged)
}

fn text_key(text: &str, is_plain: bool, origin: &Origin) -> Result<String, ConfigError> {
    if is_plain && text != "<<" {
        let value = scalar::resolve(text).map_err(|error| error.at(origin))?;
        if !matches!(value, Value::Text(_)) {
            let what = format!(
                "the key `{text}`, which is {} and not a text,",
                value.kind()
            );
            return Err(ConfigError::unsupported(what)
                .at(origin)
                .with_hint(format!("put it in quotes: `\"{text}\"`")));
        }
    }
    Ok(text.to_string())
}

fn scalar_node(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    origin: Origin,
) -> Result<Node, ConfigError> {
    let is_text_tag = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    if !is_text_tag {
        refuse_tag(tag, &origin)?;
    }
    let value = if style == ScalarStyle::Plain && !is_text_tag {
        scalar::resolve(text).map_err(|error| error.at(&origin))?
    } else {
        Value::Text(text.to_string())
    };
    Ok(Node::new(value, origin))
}

fn refuse_tag(tag: Option<&Tag>, origin: &Origin) -> Result<(), ConfigError> {
    match tag {
        None => Ok(()),
        Some(tag) => Err(ConfigError::unsupported(format!("the YAML tag `{tag}`"))
            .at(origin)
            .with_hint("remove the tag; only `!!str` is read")),
    }
}
