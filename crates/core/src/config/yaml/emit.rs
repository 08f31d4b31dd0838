//! From a [`Node`] to YAML text that reads back as the same tree.

use std::fmt::Write;

use super::scalar;
use crate::config::node::{Map, Node, Value};

/// Block-style YAML with a newline at the end. Short lists of scalars stay on one line.
pub fn to_yaml(node: &Node) -> String {
    let mut out = String::new();
    match &node.value {
        Value::Map(map) if !map.is_empty() => write_map(&mut out, map, 0),
        Value::List(items) if !is_inline_list(items) => write_list(&mut out, items, 0),
        _ => {
            out.push_str(&inline(&node.value));
            out.push('\n');
        }
    }
    out
}

fn write_map(out: &mut String, map: &Map, indent: usize) {
    for (key, node) in map {
        let _ = write!(out, "{:indent$}{}:", "", text(key));
        write_value(out, node, indent);
    }
}

fn write_list(out: &mut String, items: &[Node], indent: usize) {
    for node in items {
        let _ = write!(out, "{:indent$}-", "");
        match &node.value {
            Value::Map(map) if !map.is_empty() => {
                let mut block = String::new();
                write_map(&mut block, map, indent + 2);
                out.push(' ');
                out.push_str(block.trim_start_matches(' '));
            }
            _ => write_value(out, node, indent),
        }
    }
}

/// Writes what follows a `key:` or a `-`.
fn write_value(out: &mut String, node: &Node, indent: usize) {
    match &node.value {
        Value::Map(map) if !map.is_empty() => {
            out.push('\n');
            write_map(out, map, indent + 2);
        }
        Value::List(items) if !is_inline_list(items) => {
            out.push('\n');
            write_list(out, items, indent + 2);
        }
        _ => {
            let _ = writeln!(out, " {}", inline(&node.value));
        }
    }
}

fn is_inline_list(items: &[Node]) -> bool {
    items.len() <= 8
        && items
            .iter()
            .all(|item| !matches!(item.value, Value::List(_) | Value::Map(_)))
}

/// The value on one line.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::Null => "null".to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float_text(*value),
        Value::Text(value) => text(value),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| inline(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => {
            let entries: Vec<_> = map
                .iter()
                .map(|(key, node)| format!("{}: {}", text(key), inline(&node.value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// The shortest text that reads back as the same number, with a point or an exponent in it.
pub(crate) fn float_text(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_string();
    }
    format!("{value:?}")
}

/// A text as YAML: plain where it reads back as itself, otherwise in double quotes.
fn text(value: &str) -> String {
    if is_plain(value) {
        return value.to_string();
    }
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if is_printable(c) => quoted.push(c),
            c if u32::from(c) <= 0xff => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c if u32::from(c) <= 0xffff => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

/// YAML 1.1's printable characters, less those that break lines.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

fn is_plain(value: &str) -> bool {
    let first_is_safe = value
        .starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | '$' | '+'));
    let rest_is_safe = value.chars().all(|c| {
        c.is_alphanumeric()
            || matches!(
                c,
                '_' | '/' | '.' | '-' | '@' | '+' | '=' | ' ' | '(' | ')' | '$'
            )
    });
    first_is_safe
        && rest_is_safe
        && !value.ends_with(' ')
        && matches!(scalar::resolve(value), Ok(Value::Text(_)))
}
