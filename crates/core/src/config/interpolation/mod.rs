//! OmegaConf's interpolations: `${a.b}`, `${.sibling}`, `${oc.env:NAME,default}`.

mod parse;
mod resolve;
mod resolvers;

pub(crate) use resolve::{is_missing, resolve, resolve_text};

use super::node::Value;

/// Whether a value has an interpolation in it (or an escaped one, which must be unescaped).
pub(crate) fn is_interpolation(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text.contains("${"))
}

/// The text that resolves to `literal`: each `${` is escaped.
pub(crate) fn escape(literal: &str) -> String {
    let mut escaped = String::with_capacity(literal.len());
    let mut backslashes = 0;
    let mut rest = literal.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '$' && rest.peek() == Some(&'{') {
            escaped.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        escaped.push(c);
    }
    escaped
}
