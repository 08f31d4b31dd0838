//! What a plain (unquoted) YAML scalar is: the resolution of PyYAML's safe loader (YAML 1.1)
//! with the float pattern of OmegaConf 2.3, without dates.

use crate::config::error::{ConfigError, ConfigErrorKind};
use crate::config::node::Value;

/// The value of a plain scalar.
///
/// # Errors
/// A number that does not fit in 64 bits, or digits that are none (`0x_`).
pub(crate) fn resolve(text: &str) -> Result<Value, ConfigError> {
    if let Some(value) = keyword(text) {
        return Ok(value);
    }
    if !starts_like_a_number(text) {
        return Ok(Value::Text(text.to_string()));
    }
    if is_float(text) {
        return Ok(Value::Float(float_value(text)));
    }
    if let Some(radix) = int_radix(text) {
        return int_value(text, radix).map(Value::Int);
    }
    Ok(Value::Text(text.to_string()))
}

fn keyword(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(Value::Bool(true))
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Value::Bool(false))
        }
        _ => None,
    }
}

fn starts_like_a_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
}

fn without_sign(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

/// How the digits of a whole number are written.
#[derive(Clone, Copy)]
enum Radix {
    Binary,
    Octal,
    Decimal,
    Hexadecimal,
    /// `1:30` is 90: YAML 1.1's base 60.
    Sexagesimal,
}

/// PyYAML's pattern for whole numbers.
fn int_radix(text: &str) -> Option<Radix> {
    let digits = without_sign(text);
    let all = |rest: &str, accept: fn(char) -> bool| {
        !rest.is_empty() && rest.chars().all(|c| c == '_' || accept(c))
    };
    if let Some(rest) = digits.strip_prefix("0b") {
        return all(rest, |c| matches!(c, '0' | '1')).then_some(Radix::Binary);
    }
    if let Some(rest) = digits.strip_prefix("0x") {
        return all(rest, |c| c.is_ascii_hexdigit()).then_some(Radix::Hexadecimal);
    }
    if digits == "0" {
        return Some(Radix::Decimal);
    }
    if let Some(rest) = digits.strip_prefix('0') {
        return all(rest, |c| matches!(c, '0'..='7')).then_some(Radix::Octal);
    }
    let (head, tail) = digits
        .split_once(':')
        .map_or((digits, None), |(head, tail)| (head, Some(tail)));
    if !head.starts_with(|c: char| matches!(c, '1'..='9')) || !all(head, |c| c.is_ascii_digit()) {
        return None;
    }
    match tail {
        None => Some(Radix::Decimal),
        Some(tail) => tail
            .split(':')
            .all(is_base_60_digit)
            .then_some(Radix::Sexagesimal),
    }
}

/// `[0-5]?[0-9]`
fn is_base_60_digit(text: &str) -> bool {
    match text.as_bytes() {
        [unit] => unit.is_ascii_digit(),
        [ten, unit] => matches!(ten, b'0'..=b'5') && unit.is_ascii_digit(),
        _ => false,
    }
}

fn int_value(text: &str, radix: Radix) -> Result<i128, ConfigError> {
    let digits = without_sign(text).replace('_', "");
    let parsed = match radix {
        Radix::Binary => i128::from_str_radix(&digits[2..], 2).ok(),
        Radix::Octal => i128::from_str_radix(&digits, 8).ok(),
        Radix::Decimal => digits.parse().ok(),
        Radix::Hexadecimal => i128::from_str_radix(&digits[2..], 16).ok(),
        Radix::Sexagesimal => sexagesimal(&digits),
    };
    let signed = parsed.map(|value| if text.starts_with('-') { -value } else { value });
    signed.filter(|value| fits(*value)).ok_or_else(|| {
        ConfigError::new(
            ConfigErrorKind::OutOfRange,
            format!("the number `{text}` does not fit in 64 bits"),
        )
        .with_hint("put it in quotes if it is a text")
    })
}

/// Whether a whole number can be kept.
pub(crate) fn fits(value: i128) -> bool {
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value)
}

fn sexagesimal(digits: &str) -> Option<i128> {
    digits.split(':').try_fold(0_i128, |total, digit| {
        total
            .checked_mul(60)?
            .checked_add(digit.parse::<i128>().ok()?)
    })
}

/// PyYAML's or OmegaConf's pattern for numbers with a fraction or an exponent.
fn is_float(text: &str) -> bool {
    let unsigned = without_sign(text);
    let is_signed = unsigned.len() != text.len();
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if let Some(rest) = unsigned.strip_prefix('.') {
        return !is_signed && is_bare_fraction(rest);
    }
    is_decimal_float(unsigned) || is_sexagesimal_float(unsigned)
}

/// What follows a leading point: digits and an exponent, which must be signed.
fn is_bare_fraction(text: &str) -> bool {
    let (digits, exponent) = split_exponent(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && is_digits_or_underscores(digits)
        && exponent.is_none_or(|exponent| is_exponent(exponent, true))
}

/// `1.`, `1.5`, `1_0.5e3`, `1e-3`: the exponent's sign may be missing, OmegaConf's addition.
fn is_decimal_float(text: &str) -> bool {
    let (mantissa, exponent) = split_exponent(text);
    if exponent.is_some_and(|exponent| !is_exponent(exponent, false)) {
        return false;
    }
    match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            is_whole_part(whole, exponent) && is_digits_or_underscores(fraction)
        }
        None => exponent.is_some() && is_grouped_digits(mantissa),
    }
}

/// PyYAML takes underscores anywhere after the first digit when the exponent is signed or
/// missing; OmegaConf, with an unsigned exponent, only between digits.
fn is_whole_part(whole: &str, exponent: Option<&str>) -> bool {
    let has_unsigned_exponent = exponent.is_some_and(|exponent| !is_exponent(exponent, true));
    if has_unsigned_exponent {
        is_grouped_digits(whole)
    } else {
        whole.starts_with(|c: char| c.is_ascii_digit()) && is_digits_or_underscores(whole)
    }
}

/// `190:20:30.15`
fn is_sexagesimal_float(text: &str) -> bool {
    let Some((head, fraction)) = text.split_once('.') else {
        return false;
    };
    let Some((first, rest)) = head.split_once(':') else {
        return false;
    };
    first.starts_with(|c: char| c.is_ascii_digit())
        && is_digits_or_underscores(first)
        && rest.split(':').all(is_base_60_digit)
        && is_digits_or_underscores(fraction)
}

fn split_exponent(text: &str) -> (&str, Option<&str>) {
    text.split_once(['e', 'E'])
        .map_or((text, None), |(mantissa, exponent)| {
            (mantissa, Some(exponent))
        })
}

fn is_exponent(text: &str, must_be_signed: bool) -> bool {
    let digits = without_sign(text);
    let is_signed = digits.len() != text.len();
    (is_signed || !must_be_signed)
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_digits_or_underscores(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'_')
}

/// `[0-9]+(?:_[0-9]+)*`
fn is_grouped_digits(text: &str) -> bool {
    text.split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()))
}

fn float_value(text: &str) -> f64 {
    let digits = without_sign(text).replace('_', "").to_ascii_lowercase();
    let magnitude = match digits.as_str() {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        digits => digits.split(':').fold(0.0, |total, part| {
            total * 60.0 + part.parse::<f64>().unwrap_or(0.0)
        }),
    };
    if text.starts_with('-') {
        -magnitude
    } else {
        magnitude
    }
}
