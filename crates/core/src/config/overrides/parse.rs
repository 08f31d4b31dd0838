//! The parser of the override grammar (Hydra's `OverrideParser.g4`).

use super::functions::{self, Call};
use super::{Action, Element, Override, OverrideValue, Sweep};
use crate::config::cursor::Cursor;
use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::token::{self, Token, first_token};

/// The longest override, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// The deepest nesting of lists, mappings and functions.
const MAX_DEPTH: usize = 32;
/// The most names in a dotted key or a group.
const MAX_NAMES: usize = 32;

/// Parses one override.
///
/// # Errors
/// The text is no override; the message says at which character.
pub fn parse(text: &str) -> Result<Override, ConfigError> {
    override_parts(text).map_err(|error| {
        error.at(&crate::config::origin::Origin::CommandLine { text: text.into() })
    })
}

/// Parses overrides in order.
pub(crate) fn parse_all(texts: &[String]) -> Result<Vec<Override>, ConfigError> {
    texts.iter().map(|text| parse(text)).collect()
}

/// Parses one element that takes the whole text.
pub(super) fn element(text: &str) -> Result<Element, ConfigError> {
    match value(text)? {
        OverrideValue::Element(element) => Ok(element),
        OverrideValue::Sweep(_) => Err(syntax("a sweep where one value is expected")),
    }
}

pub(super) fn syntax(message: impl Into<String>) -> ConfigError {
    ConfigError::new(ConfigErrorKind::Syntax, message)
}

fn override_parts(text: &str) -> Result<Override, ConfigError> {
    if text.len() > MAX_BYTES {
        return Err(ConfigError::new(
            ConfigErrorKind::TooLarge,
            format!(
                "an override of {} bytes, the limit is {MAX_BYTES}",
                text.len()
            ),
        ));
    }
    let (action, rest) = action(text);
    let (key_text, value_text) = match rest.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (rest, None),
    };
    let (key, package) = key(key_text)?;
    let value = match value_text {
        Some(text) => {
            let text = &text[token::blanks(text)..];
            Some(if text.is_empty() {
                OverrideValue::Element(Element::Text(String::new()))
            } else {
                value(text)?
            })
        }
        None if action == Action::Delete => None,
        None => {
            return Err(syntax(format!("`{text}` has no `=`"))
                .with_hint("an override is `key=value`, `+key=value`, `++key=value` or `~key`"));
        }
    };
    Ok(Override {
        action,
        key,
        package,
        value,
        text: text.to_string(),
    })
}

fn action(text: &str) -> (Action, &str) {
    if let Some(rest) = text.strip_prefix("++") {
        (Action::ForceAdd, rest)
    } else if let Some(rest) = text.strip_prefix('+') {
        (Action::Add, rest)
    } else if let Some(rest) = text.strip_prefix('~') {
        (Action::Delete, rest)
    } else {
        (Action::Change, text)
    }
}

/// `package`, `group/sub` or `group@package`.
fn key(text: &str) -> Result<(String, Option<String>), ConfigError> {
    let (key, package) = match text.split_once('@') {
        Some((key, package)) => (key, Some(package)),
        None => (text, None),
    };
    let is_group = key.contains('/');
    let is_valid = if is_group {
        key.split('/').all(is_identifier)
    } else {
        is_package(key)
    };
    if text.split(['.', '/']).count() > MAX_NAMES {
        return Err(ConfigError::new(
            ConfigErrorKind::TooLarge,
            format!("a key of more than {MAX_NAMES} names"),
        ));
    }
    if key.is_empty() || !is_valid {
        return Err(syntax(format!("`{key}` is not a key")).with_hint(
            "a key is names with dots (`train.epochs`), a group names with slashes (`train/optimizer`)",
        ));
    }
    if let Some(package) = package.filter(|package| !package.is_empty() && !is_package(package)) {
        return Err(syntax(format!("`{package}` is not a package"))
            .with_hint("a package is names with dots, such as `train.optimizer`"));
    }
    Ok((key.to_string(), package.map(str::to_string)))
}

fn is_identifier(text: &str) -> bool {
    token::identifier(text) == Some(text.len())
}

/// An identifier, or several with dots; the parts of a dotted one may be numbers and have `$`.
fn is_package(text: &str) -> bool {
    let is_special = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$'))
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'))
    };
    let is_number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    if text.contains('.') {
        text.split('.')
            .all(|part| is_special(part) || is_number(part))
    } else {
        is_special(text)
    }
}

fn value(text: &str) -> Result<OverrideValue, ConfigError> {
    let mut parser = ValueParser {
        cursor: Cursor::new(text),
    };
    let first = parser.element(0)?;
    if parser.cursor.peek() != Some(Token::Comma) {
        parser.expect_end()?;
        return Ok(first);
    }
    let mut items = vec![plain(first)?];
    while parser.cursor.take(Token::Comma) {
        items.push(plain(parser.element(0)?)?);
    }
    parser.expect_end()?;
    Ok(OverrideValue::Sweep(Sweep::Choice {
        items,
        is_simple: true,
    }))
}

/// An element where no sweep may stand.
fn plain(value: OverrideValue) -> Result<Element, ConfigError> {
    match value {
        OverrideValue::Element(element) => Ok(element),
        OverrideValue::Sweep(_) => Err(ConfigError::unsupported("a sweep inside another value")),
    }
}

/// Walks over the text of a value.
struct ValueParser<'a> {
    cursor: Cursor<'a>,
}

impl ValueParser<'_> {
    fn expect_end(&self) -> Result<(), ConfigError> {
        match self.cursor.is_at_end() {
            true => Ok(()),
            false => Err(self.unexpected()),
        }
    }

    fn unexpected(&self) -> ConfigError {
        let text = self.cursor.text();
        let rest = self.cursor.rest().trim_start_matches([' ', '\t']);
        let Some(c) = rest.chars().next() else {
            return syntax(format!("the value `{text}` ends too early"));
        };
        let character = self.cursor.character();
        syntax(format!("unexpected `{c}` at character {character} of the value `{text}`")).with_hint(
            "put a text with special characters in quotes, as `key=\"…\"`, and the whole override in the shell's quotes",
        )
    }

    fn element(&mut self, depth: usize) -> Result<OverrideValue, ConfigError> {
        if depth > MAX_DEPTH {
            return Err(ConfigError::new(
                ConfigErrorKind::TooLarge,
                format!("more than {MAX_DEPTH} levels of nesting"),
            ));
        }
        match self.cursor.peek() {
            Some(Token::BracketOpen) => self.list(depth).map(OverrideValue::Element),
            Some(Token::BraceOpen) => self.map(depth).map(OverrideValue::Element),
            Some(Token::Id) if self.is_function() => self.function(depth),
            _ => self.primitive().map(OverrideValue::Element),
        }
    }

    fn is_function(&self) -> bool {
        let name = token::identifier(self.cursor.rest()).unwrap_or(0);
        matches!(
            first_token(&self.cursor.rest()[name..]),
            Some((Token::ParenthesisOpen, _))
        )
    }

    fn list(&mut self, depth: usize) -> Result<Element, ConfigError> {
        self.cursor.take(Token::BracketOpen);
        let mut items = Vec::new();
        if self.cursor.take(Token::BracketClose) {
            return Ok(Element::List(items));
        }
        loop {
            items.push(plain(self.element(depth + 1)?)?);
            if self.cursor.take(Token::BracketClose) {
                return Ok(Element::List(items));
            }
            if !self.cursor.take(Token::Comma) {
                return Err(self.unexpected());
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Element, ConfigError> {
        self.cursor.take(Token::BraceOpen);
        let mut entries: Vec<(String, Element)> = Vec::new();
        if self.cursor.take(Token::BraceClose) {
            return Ok(Element::Map(entries));
        }
        loop {
            let key = self.map_key()?;
            if !self.cursor.take(Token::Colon) {
                return Err(self.unexpected());
            }
            let item = plain(self.element(depth + 1)?)?;
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(syntax(format!("key `{key}` is given twice")));
            }
            entries.push((key, item));
            if self.cursor.take(Token::BraceClose) {
                return Ok(Element::Map(entries));
            }
            if !self.cursor.take(Token::Comma) {
                return Err(self.unexpected());
            }
        }
    }

    fn map_key(&mut self) -> Result<String, ConfigError> {
        match self.unquoted(false)? {
            Element::Text(text) => Ok(text),
            other => Err(ConfigError::unsupported(format!(
                "the key `{}`, which is not a text,",
                other.to_override_text()
            ))),
        }
    }

    fn function(&mut self, depth: usize) -> Result<OverrideValue, ConfigError> {
        let start = self.cursor;
        let length = token::identifier(self.cursor.rest()).unwrap_or(0);
        let name = self.cursor.advance(length);
        self.cursor.take(Token::ParenthesisOpen);
        let mut call = Call::new(name.to_string());
        if !self.cursor.take(Token::ParenthesisClose) {
            loop {
                let argument_name = self.argument_name();
                let argument = self.element(depth + 1)?;
                call.add(argument_name, argument)?;
                if self.cursor.take(Token::ParenthesisClose) {
                    break;
                }
                if !self.cursor.take(Token::Comma) {
                    return Err(self.unexpected());
                }
            }
        }
        let source = self.cursor.since(&start);
        functions::evaluate(call).map_err(|reason| {
            let message = format!("`{source}`: {}", reason.message());
            let error = ConfigError::new(reason.kind(), message);
            match reason.hint() {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        })
    }

    fn argument_name(&mut self) -> Option<String> {
        let length = token::identifier(self.cursor.rest())?;
        let mut after = self.cursor;
        let name = after.advance(length);
        if !after.take(Token::Equal) {
            return None;
        }
        self.cursor = after;
        Some(name.to_string())
    }

    fn primitive(&mut self) -> Result<Element, ConfigError> {
        let rest = self.cursor.rest();
        let Some(quote) = self.cursor.peek_quote() else {
            return self.unquoted(true);
        };
        let end = closing_quote(rest, quote)
            .ok_or_else(|| syntax(format!("the quote `{quote}` is not closed in `{rest}`")))?;
        self.cursor.advance(end + 1);
        Ok(Element::Quoted {
            text: unescape_quoted(&rest[1..end], quote),
            quote,
        })
    }

    /// Tokens that stand for themselves; one alone may be a number, a boolean or null. A mapping's
    /// key may have neither a colon nor an interpolation.
    fn unquoted(&mut self, is_value: bool) -> Result<Element, ConfigError> {
        let mut tokens: Vec<(Option<Token>, &str)> = Vec::new();
        loop {
            let rest = self.cursor.rest();
            let interpolation = interpolation_length(rest).filter(|_| is_value);
            let (token, length) = match (interpolation, first_token(rest)) {
                (Some(length), _) => (None, length),
                (None, Some((token, length))) if token.stands_for_itself(is_value) => {
                    (Some(token), length)
                }
                _ => break,
            };
            tokens.push((token, self.cursor.advance(length)));
        }
        if let [(Some(Token::Blank), _), ..] = tokens.as_slice() {
            tokens.remove(0);
        }
        if let [.., (Some(Token::Blank), _)] = tokens.as_slice() {
            tokens.pop();
        }
        match tokens.as_slice() {
            [] => Err(self.unexpected()),
            [(token, text)] => single(*token, text),
            several => Ok(Element::Text(
                several
                    .iter()
                    .map(|(token, text)| piece(*token, text))
                    .collect(),
            )),
        }
    }
}

/// The value of a token that is alone.
fn single(token: Option<Token>, text: &str) -> Result<Element, ConfigError> {
    Ok(match token {
        Some(Token::Null) => Element::Null,
        Some(Token::Bool) => Element::Bool(text.eq_ignore_ascii_case("true")),
        Some(Token::Int) => Element::Int(token::int_value(text)?),
        Some(Token::Float) => Element::Float(token::float_value(text)),
        _ => Element::Text(piece(token, text)),
    })
}

/// The text of a token among others.
fn piece(token: Option<Token>, text: &str) -> String {
    match token {
        Some(Token::Escape) => token::unescape(text),
        _ => text.to_string(),
    }
}

/// `${` up to the next `}`, with at least one character between.
fn interpolation_length(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("${")?;
    let end = inner.find('}')?;
    (end > 0).then_some(2 + end + 1)
}

/// Byte index of the quote that closes `text`, which starts with `quote`: the first that an even
/// number of backslashes precedes.
fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut backslashes = 0;
    for (index, c) in text.char_indices().skip(1) {
        if c == quote && backslashes % 2 == 0 {
            return Some(index);
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
    }
    None
}

/// Halves the backslashes that precede a quote or the end; others stay.
fn unescape_quoted(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut backslashes = 0;
    for c in text.chars() {
        if c == '\\' {
            backslashes += 1;
            continue;
        }
        let kept = if c == quote {
            backslashes / 2
        } else {
            backslashes
        };
        out.extend(std::iter::repeat_n('\\', kept));
        backslashes = 0;
        out.push(c);
    }
    out.extend(std::iter::repeat_n('\\', backslashes / 2));
    out
}
