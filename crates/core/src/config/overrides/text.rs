//! From an element back to the text that parses to it.

use super::Element;
use crate::config::text::python_number;

impl Element {
    /// The text of the element, as it may follow `key=`.
    pub(crate) fn to_override_text(&self) -> String {
        match self {
            Self::Null => "null".to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => python_number(*value),
            Self::Text(text) => unquoted(text),
            Self::Quoted { text, quote } => quoted(text, *quote),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::to_override_text).collect();
                format!("[{}]", items.join(","))
            }
            Self::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, item)| format!("{}:{}", escaped(key), item.to_override_text()))
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
        }
    }
}

/// The text with escapes where the grammar needs them, or in quotes where it would still read
/// back as something else (`true` as a text, an empty item of a list).
fn unquoted(text: &str) -> String {
    let escaped = escaped(text);
    let reads_back =
        matches!(super::parse::element(&escaped), Ok(Element::Text(back)) if back == text);
    if reads_back {
        escaped
    } else {
        quoted(text, '"')
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\()[]{}:=, \t".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Quotes are escaped, and so are the backslashes before a quote and at the end.
fn quoted(text: &str, quote: char) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    let mut backslashes = 0;
    for c in text.chars() {
        if c == quote {
            quoted.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        quoted.push(c);
    }
    quoted.extend(std::iter::repeat_n('\\', backslashes));
    quoted.push(quote);
    quoted
}
