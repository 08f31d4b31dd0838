//! The parser of OmegaConf's interpolation grammar (`OmegaConfGrammar.g4`, OmegaConf 2.3).

use crate::config::cursor::Cursor;
use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::node::Value;
use crate::config::token::{self, Token, first_token};

/// The deepest nesting of interpolations, lists and mappings in one text.
const MAX_DEPTH: usize = 32;

/// A part of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Literal text, escapes replaced.
    Text(String),
    /// `${a.b}`
    Reference(Reference),
    /// `${oc.env:NAME}`
    Call(Call),
}

/// `${a.b}`, `${.b}`, `${a[b]}`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reference {
    /// Leading dots: 0 for a key from the root, 1 for a sibling, 2 for a sibling of the parent.
    pub(super) dots: usize,
    /// The keys on the way.
    pub(super) keys: Vec<Key>,
}

/// A key or a part of a resolver's name.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    /// Written out.
    Name(String),
    /// Itself an interpolation.
    Computed(Box<Piece>),
}

/// `${name:arguments}`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    /// The name's parts between dots.
    pub(super) name: Vec<Key>,
    /// The arguments.
    pub(super) arguments: Vec<Argument>,
}

/// An argument of a resolver.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Argument {
    /// A number, a boolean or null.
    Scalar(Value),
    /// Unquoted text; a single interpolation keeps its type.
    Unquoted(Vec<Piece>),
    /// Quoted text; always a text.
    Quoted(Vec<Piece>),
    /// `[a,b]`
    List(Vec<Argument>),
    /// `{a:b}`
    Map(Vec<(Vec<Piece>, Argument)>),
}

/// Parses a text with interpolations in it.
pub(super) fn text(source: &str) -> Result<Vec<Piece>, ConfigError> {
    let mut parser = Parser {
        cursor: Cursor::new(source),
    };
    parser.pieces_until(None, 0)
}

/// Parses a text as one value, as an argument of a resolver is (for `oc.decode`).
pub(super) fn argument(source: &str) -> Result<Argument, ConfigError> {
    let mut parser = Parser {
        cursor: Cursor::new(source),
    };
    let argument = parser.argument(0)?;
    if parser.cursor.is_at_end() {
        Ok(argument)
    } else {
        Err(parser.unexpected())
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
}

impl Parser<'_> {
    fn unexpected(&self) -> ConfigError {
        let message = match self.cursor.rest().chars().next() {
            None => format!(
                "the interpolation in `{}` is not closed",
                self.cursor.text()
            ),
            Some(c) => format!(
                "unexpected `{c}` at character {} of `{}`",
                self.cursor.character(),
                self.cursor.text()
            ),
        };
        ConfigError::new(ConfigErrorKind::Syntax, message)
            .with_hint("write `\\${` for a `${` that is no interpolation")
    }

    fn check_depth(&self, depth: usize) -> Result<(), ConfigError> {
        if depth > MAX_DEPTH {
            return Err(ConfigError::new(
                ConfigErrorKind::TooLarge,
                format!("more than {MAX_DEPTH} levels of interpolations in one text"),
            ));
        }
        Ok(())
    }

    /// Literal text and interpolations up to the end, or up to the closing `quote`, which is taken.
    /// Backslashes are halved before an interpolation, a quote and the end of a quoted text.
    fn pieces_until(
        &mut self,
        quote: Option<char>,
        depth: usize,
    ) -> Result<Vec<Piece>, ConfigError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        loop {
            let backslashes = self.cursor.take_all('\\');
            let is_escaped = backslashes % 2 == 1;
            let rest = self.cursor.rest();
            let next = rest.chars().next();
            let is_interpolation = rest.starts_with("${");
            let is_quote = next.is_some() && next == quote;
            let kept = if is_interpolation || is_quote {
                backslashes / 2
            } else {
                backslashes
            };
            literal.extend(std::iter::repeat_n('\\', kept));
            match next {
                None if quote.is_some() => return Err(self.unexpected()),
                None => break,
                Some(_) if is_interpolation && is_escaped => {
                    self.cursor.take_text("${");
                    literal.push_str("${");
                }
                Some(_) if is_interpolation => {
                    push_literal(&mut pieces, &mut literal);
                    pieces.push(self.interpolation(depth + 1)?);
                }
                Some(c) => {
                    self.cursor.advance(c.len_utf8());
                    if is_quote && !is_escaped {
                        break;
                    }
                    literal.push(c);
                }
            }
        }
        push_literal(&mut pieces, &mut literal);
        Ok(pieces)
    }

    /// What starts with `${`.
    fn interpolation(&mut self, depth: usize) -> Result<Piece, ConfigError> {
        self.check_depth(depth)?;
        self.cursor.take_text("${");
        self.cursor.skip_blanks();
        let dots = self.cursor.take_all('.');
        let (keys, has_brackets) = self.keys(depth)?;
        if self.cursor.take(Token::BraceClose) {
            return Ok(Piece::Reference(Reference { dots, keys }));
        }
        if dots == 0 && !has_brackets && self.cursor.take(Token::Colon) {
            let arguments = self.arguments(depth)?;
            return Ok(Piece::Call(Call {
                name: keys,
                arguments,
            }));
        }
        Err(self.unexpected())
    }

    fn keys(&mut self, depth: usize) -> Result<(Vec<Key>, bool), ConfigError> {
        let mut keys = Vec::new();
        let mut has_brackets = false;
        loop {
            if self.cursor.take_text("[") {
                has_brackets = true;
                keys.push(self.key(depth)?);
                if !self.cursor.take_text("]") {
                    return Err(self.unexpected());
                }
            } else if keys.is_empty() || self.cursor.take_text(".") {
                keys.push(self.key(depth)?);
            } else {
                return Ok((keys, has_brackets));
            }
        }
    }

    fn key(&mut self, depth: usize) -> Result<Key, ConfigError> {
        let rest = self.cursor.rest();
        if rest.starts_with("${") {
            return Ok(Key::Computed(Box::new(self.interpolation(depth + 1)?)));
        }
        let length = rest
            .find(|c| "\\{}()[]:. \t'\"".contains(c))
            .unwrap_or(rest.len());
        if length == 0 {
            return Err(self.unexpected());
        }
        Ok(Key::Name(self.cursor.advance(length).to_string()))
    }

    /// Arguments up to the closing brace, which is taken. A missing one is the empty text.
    fn arguments(&mut self, depth: usize) -> Result<Vec<Argument>, ConfigError> {
        let mut arguments = Vec::new();
        if self.cursor.take(Token::BraceClose) {
            return Ok(arguments);
        }
        loop {
            let is_missing = matches!(self.cursor.peek(), Some(Token::Comma | Token::BraceClose));
            arguments.push(if is_missing {
                Argument::Quoted(Vec::new())
            } else {
                self.argument(depth + 1)?
            });
            if self.cursor.take(Token::BraceClose) {
                return Ok(arguments);
            }
            if !self.cursor.take(Token::Comma) {
                return Err(self.unexpected());
            }
        }
    }

    fn argument(&mut self, depth: usize) -> Result<Argument, ConfigError> {
        self.check_depth(depth)?;
        if let Some(quote) = self.cursor.peek_quote() {
            self.cursor.advance(quote.len_utf8());
            return Ok(Argument::Quoted(self.pieces_until(Some(quote), depth)?));
        }
        match self.cursor.peek() {
            Some(Token::BracketOpen) => self.list(depth),
            Some(Token::BraceOpen) => self.map(depth),
            _ => self.unquoted(true, depth),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Argument, ConfigError> {
        self.cursor.take(Token::BracketOpen);
        let mut items = Vec::new();
        if self.cursor.take(Token::BracketClose) {
            return Ok(Argument::List(items));
        }
        loop {
            items.push(self.argument(depth + 1)?);
            if self.cursor.take(Token::BracketClose) {
                return Ok(Argument::List(items));
            }
            if !self.cursor.take(Token::Comma) {
                return Err(self.unexpected());
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Argument, ConfigError> {
        self.cursor.take(Token::BraceOpen);
        let mut entries = Vec::new();
        if self.cursor.take(Token::BraceClose) {
            return Ok(Argument::Map(entries));
        }
        loop {
            let key = match self.unquoted(false, depth)? {
                Argument::Unquoted(pieces) => pieces,
                _ => {
                    return Err(ConfigError::unsupported("a key that is not a text"));
                }
            };
            if !self.cursor.take(Token::Colon) {
                return Err(self.unexpected());
            }
            entries.push((key, self.argument(depth + 1)?));
            if self.cursor.take(Token::BraceClose) {
                return Ok(Argument::Map(entries));
            }
            if !self.cursor.take(Token::Comma) {
                return Err(self.unexpected());
            }
        }
    }

    /// Tokens and interpolations that stand for themselves; a token alone may be a number, a
    /// boolean or null. A mapping's key has neither a colon nor an interpolation.
    fn unquoted(&mut self, is_value: bool, depth: usize) -> Result<Argument, ConfigError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut tokens = Vec::new();
        loop {
            let rest = self.cursor.rest();
            if is_value && rest.starts_with("${") {
                push_literal(&mut pieces, &mut literal);
                pieces.push(self.interpolation(depth + 1)?);
                continue;
            }
            match first_token(rest) {
                Some((token, length)) if token.stands_for_itself(is_value) => {
                    let text = self.cursor.advance(length);
                    match token {
                        Token::Escape => literal.push_str(&token::unescape(text)),
                        _ => literal.push_str(text),
                    }
                    tokens.push((token, text));
                }
                _ => break,
            }
        }
        if let ([(token, text)], true) = (tokens.as_slice(), pieces.is_empty())
            && let Some(scalar) = scalar(*token, text)?
        {
            return Ok(Argument::Scalar(scalar));
        }
        push_literal(&mut pieces, &mut literal);
        if pieces.is_empty() {
            return Err(self.unexpected());
        }
        Ok(Argument::Unquoted(pieces))
    }
}

fn push_literal(pieces: &mut Vec<Piece>, literal: &mut String) {
    if !literal.is_empty() {
        pieces.push(Piece::Text(std::mem::take(literal)));
    }
}

/// The value of a token that is alone, unless it is a text.
fn scalar(token: Token, text: &str) -> Result<Option<Value>, ConfigError> {
    Ok(match token {
        Token::Null => Some(Value::Null),
        Token::Bool => Some(Value::Bool(text.eq_ignore_ascii_case("true"))),
        Token::Int => Some(Value::Int(token::int_value(text)?)),
        Token::Float => Some(Value::Float(token::float_value(text))),
        _ => None,
    })
}
