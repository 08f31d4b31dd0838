//! The tokens of values, shared by Hydra's override grammar (`OverrideLexer.g4`, `VALUE_MODE`)
//! and OmegaConf's interpolation grammar, which have them in common.

use super::error::{ConfigError, ConfigErrorKind};

/// A token of a value. Quotes and `${` are the parsers' own business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    /// `(` with blanks around.
    ParenthesisOpen,
    /// `)` with blanks before.
    ParenthesisClose,
    /// `,` with blanks around.
    Comma,
    /// `[` with blanks after.
    BracketOpen,
    /// `]` with blanks before.
    BracketClose,
    /// `{` with blanks after.
    BraceOpen,
    /// `}` with blanks before.
    BraceClose,
    /// `:` with blanks around.
    Colon,
    /// `=` with blanks around.
    Equal,
    /// `1.5`, `1e-3`, `inf`, `nan`.
    Float,
    /// `10`, `-3`, `1_000`.
    Int,
    /// `true`, `False`.
    Bool,
    /// `null`.
    Null,
    /// One of `/-\+.$%*@?|`.
    Symbol,
    /// A letter or `_`, then letters, digits, `_`, `-`.
    Id,
    /// A run of escapes such as `\,` and `\\`.
    Escape,
    /// Blanks that no other token takes.
    Blank,
}

impl Token {
    /// Whether it is text as it stands, in a value or in a mapping's key (which has no colon).
    pub(crate) const fn stands_for_itself(self, is_value: bool) -> bool {
        match self {
            Self::Id
            | Self::Null
            | Self::Int
            | Self::Float
            | Self::Bool
            | Self::Symbol
            | Self::Escape
            | Self::Blank => true,
            Self::Colon => is_value,
            _ => false,
        }
    }
}

/// The longest token at the start of `text`, with its length in bytes; of two equally long ones
/// the first as listed. `None` at the end and at a character that starts no token.
pub(crate) fn first_token(text: &str) -> Option<(Token, usize)> {
    let candidates = [
        punctuation(text),
        float(text).map(|length| (Token::Float, length)),
        int(text).map(|length| (Token::Int, length)),
        keyword(text),
        symbol(text),
        identifier(text).map(|length| (Token::Id, length)),
        escape(text).map(|length| (Token::Escape, length)),
        Some(blanks(text))
            .filter(|length| *length > 0)
            .map(|length| (Token::Blank, length)),
    ];
    candidates
        .into_iter()
        .flatten()
        .reduce(|best, next| if next.1 > best.1 { next } else { best })
}

/// Length of the blanks (spaces and tabs) at the start.
pub(crate) fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

/// Length of the identifier at the start.
pub(crate) fn identifier(text: &str) -> Option<usize> {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return None;
    }
    Some(run(text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
    }))
}

fn run(text: &str, accept: impl Fn(char) -> bool) -> usize {
    text.find(|c| !accept(c)).unwrap_or(text.len())
}

fn punctuation(text: &str) -> Option<(Token, usize)> {
    let before = blanks(text);
    let character = text[before..].chars().next()?;
    let end = before + character.len_utf8();
    let after = blanks(&text[end..]);
    let (token, takes_before, takes_after) = match character {
        '(' => (Token::ParenthesisOpen, true, true),
        ')' => (Token::ParenthesisClose, true, false),
        ',' => (Token::Comma, true, true),
        '[' => (Token::BracketOpen, false, true),
        ']' => (Token::BracketClose, true, false),
        '{' => (Token::BraceOpen, false, true),
        '}' => (Token::BraceClose, true, false),
        ':' => (Token::Colon, true, true),
        '=' => (Token::Equal, true, true),
        _ => return None,
    };
    if before > 0 && !takes_before {
        return None;
    }
    Some((token, if takes_after { end + after } else { end }))
}

fn sign(text: &str) -> usize {
    usize::from(text.starts_with(['+', '-']))
}

/// `0`, or a digit from 1 and then digits that single underscores may separate.
fn unsigned_int(text: &str) -> Option<usize> {
    match text.bytes().next()? {
        b'0' => Some(1),
        b'1'..=b'9' => grouped_digits(text),
        _ => None,
    }
}

/// Digits that single underscores may separate.
fn grouped_digits(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    if !is_digit(0) {
        return None;
    }
    let mut length = 1;
    loop {
        if is_digit(length) {
            length += 1;
        } else if bytes.get(length) == Some(&b'_') && is_digit(length + 1) {
            length += 2;
        } else {
            return Some(length);
        }
    }
}

fn int(text: &str) -> Option<usize> {
    let sign = sign(text);
    Some(sign + unsigned_int(&text[sign..])?)
}

fn float(text: &str) -> Option<usize> {
    let sign = sign(text);
    let rest = &text[sign..];
    let word = rest
        .get(..3)
        .filter(|word| word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("nan"));
    if word.is_some() {
        return Some(sign + 3);
    }
    let point = point_float(rest);
    let mantissa = point.or_else(|| unsigned_int(rest))?;
    match exponent(&rest[mantissa..]) {
        Some(exponent) => Some(sign + mantissa + exponent),
        None => point.map(|length| sign + length),
    }
}

/// `1.`, `1.5`, `.5`
fn point_float(text: &str) -> Option<usize> {
    let whole = unsigned_int(text).unwrap_or(0);
    if !text[whole..].starts_with('.') {
        return None;
    }
    match grouped_digits(&text[whole + 1..]) {
        Some(fraction) => Some(whole + 1 + fraction),
        None => (whole > 0).then_some(whole + 1),
    }
}

fn exponent(text: &str) -> Option<usize> {
    let rest = text.strip_prefix(['e', 'E'])?;
    let sign = sign(rest);
    Some(1 + sign + grouped_digits(&rest[sign..])?)
}

fn keyword(text: &str) -> Option<(Token, usize)> {
    let words = [
        (Token::Bool, "true"),
        (Token::Bool, "false"),
        (Token::Null, "null"),
    ];
    words.into_iter().find_map(|(token, word)| {
        let start = text.get(..word.len())?;
        start
            .eq_ignore_ascii_case(word)
            .then_some((token, word.len()))
    })
}

fn symbol(text: &str) -> Option<(Token, usize)> {
    text.starts_with(['/', '-', '\\', '+', '.', '$', '%', '*', '@', '?', '|'])
        .then_some((Token::Symbol, 1))
}

fn escape(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let pairs = bytes
        .chunks_exact(2)
        .take_while(|pair| pair[0] == b'\\' && b"\\()[]{}:=, \t".contains(&pair[1]))
        .count();
    (pairs > 0).then_some(pairs * 2)
}

/// The text that a run of escapes stands for: every second character.
pub(crate) fn unescape(escapes: &str) -> String {
    escapes.chars().skip(1).step_by(2).collect()
}

/// The number that an [`Token::Int`] stands for.
///
/// # Errors
/// It cannot be kept.
pub(crate) fn int_value(text: &str) -> Result<i128, ConfigError> {
    let value = text.replace('_', "").parse().ok();
    value
        .filter(|value| super::yaml::fits(*value))
        .ok_or_else(|| {
            ConfigError::new(
                ConfigErrorKind::OutOfRange,
                format!("the number `{text}` does not fit in 64 bits"),
            )
        })
}

/// The number that a [`Token::Float`] stands for.
pub(crate) fn float_value(text: &str) -> f64 {
    text.replace('_', "").parse().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_token_wins_and_the_first_of_equals() {
        let cases = [
            ("1e-3x", Token::Float, 4),
            ("1x", Token::Int, 1),
            ("1_000", Token::Int, 5),
            ("1__0", Token::Int, 1),
            ("01", Token::Int, 1),
            (".5", Token::Float, 2),
            (".x", Token::Symbol, 1),
            ("-.5e+7", Token::Float, 6),
            ("-x", Token::Symbol, 1),
            ("inf", Token::Float, 3),
            ("infinite", Token::Id, 8),
            ("TrUe", Token::Bool, 4),
            ("trueish", Token::Id, 7),
            ("nulls", Token::Id, 5),
            ("  , a", Token::Comma, 4),
            ("  a", Token::Blank, 2),
            ("\\,\\\\x", Token::Escape, 4),
            ("\\x", Token::Symbol, 1),
            ("} a", Token::BraceClose, 1),
            ("[ a", Token::BracketOpen, 2),
        ];
        for (text, token, length) in cases {
            assert_eq!(first_token(text), Some((token, length)), "`{text}`");
        }
        assert_eq!(first_token(""), None);
        assert_eq!(first_token("é"), None);
    }
}
