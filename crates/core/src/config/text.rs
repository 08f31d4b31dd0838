//! How values look inside a text: as Python's `str` writes them, which is what OmegaConf uses.

use super::node::Value;

/// A number with a fraction as Python's `repr`: shortest digits, exponents of two digits or more.
pub(crate) fn python_number(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_string();
    }
    let text = format!("{value:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// A scalar as Python's `str`; lists and mappings have no text.
pub(crate) fn python_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("None".to_string()),
        Value::Bool(true) => Some("True".to_string()),
        Value::Bool(false) => Some("False".to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(python_number(*value)),
        Value::Text(text) => Some(text.clone()),
        Value::List(_) | Value::Map(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let cases = [
            (0.001, "0.001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e16, "1e+16"),
            (1e22, "1e+22"),
            (123456789.0, "123456789.0"),
            (1e-100, "1e-100"),
            (-0.0, "-0.0"),
        ];
        for (value, text) in cases {
            assert_eq!(python_number(value), text);
        }
    }
}
