//! The options that each operation takes, to say in plain words what is wrong with them.
//!
//! Tests hold this table and the fields of [`Op`](super::Op) against each other.

use serde_json::{Map, Value};

use super::read::describe;
use super::{GraphError, GraphErrorKind};

/// An option of an operation.
struct OpOption {
    name: &'static str,
    /// PyTorch's name for it, where that differs.
    alias: Option<&'static str>,
    kind: Kind,
    is_required: bool,
}

/// What an option's value must be.
#[derive(Clone, Copy)]
enum Kind {
    Count,
    /// A [`Kind::Count`] that may be 0.
    Index,
    /// A whole number or a pair of them.
    Size,
    /// A [`Kind::Size`] or null.
    SizeOrNone,
    Number,
    Flag,
}

impl Kind {
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::Count | Self::Index => value.is_u64(),
            Self::Size => match value {
                Value::Array(pair) => pair.len() == 2 && pair.iter().all(Value::is_u64),
                side => side.is_u64(),
            },
            Self::SizeOrNone => value.is_null() || Self::Size.admits(value),
            Self::Number => value.is_number(),
            Self::Flag => value.is_boolean(),
        }
    }

    /// In words, after "expected".
    const fn words(self) -> &'static str {
        match self {
            Self::Count => "a whole number, 1 or more",
            Self::Index => "a whole number, 0 or more",
            Self::Size | Self::SizeOrNone => "a whole number or a pair `[height, width]`",
            Self::Number => "a number",
            Self::Flag => "`true` or `false`",
        }
    }
}

const fn option(name: &'static str, kind: Kind) -> OpOption {
    OpOption {
        name,
        alias: None,
        kind,
        is_required: false,
    }
}

const fn required(name: &'static str, kind: Kind) -> OpOption {
    OpOption {
        is_required: true,
        ..option(name, kind)
    }
}

const fn alias(alias: &'static str, option: OpOption) -> OpOption {
    OpOption {
        alias: Some(alias),
        ..option
    }
}

const CONVOLUTION: &[OpOption] = &[
    required("out_channels", Kind::Count),
    alias("kernel_size", required("kernel", Kind::Size)),
    option("stride", Kind::Size),
    option("padding", Kind::Size),
    option("dilation", Kind::Size),
    option("groups", Kind::Count),
    option("bias", Kind::Flag),
];

const NORMALIZATION: &[OpOption] = &[
    alias("eps", option("epsilon", Kind::Number)),
    option("momentum", Kind::Number),
];

const POOLING: &[OpOption] = &[
    alias("kernel_size", required("kernel", Kind::Size)),
    option("stride", Kind::SizeOrNone),
    option("padding", Kind::Size),
];

const ADAPTIVE_POOLING: &[OpOption] = &[alias("output_size", required("output", Kind::Size))];

const LAYER_NORMALIZATION: &[OpOption] = &[alias("eps", option("epsilon", Kind::Number))];

const LINEAR: &[OpOption] = &[
    required("out_features", Kind::Count),
    option("bias", Kind::Flag),
];

const DROPOUT: &[OpOption] = &[alias("p", option("probability", Kind::Number))];

const STOCHASTIC_DEPTH: &[OpOption] = &[alias("p", required("probability", Kind::Number))];

const LAYER_SCALE: &[OpOption] = &[option("initial", Kind::Number)];

const ATTENTION: &[OpOption] = &[alias("num_heads", required("heads", Kind::Count))];

const TOKEN: &[OpOption] = &[option("index", Kind::Index)];

/// The options of an operation by its name.
fn options_of(op: &str) -> &'static [OpOption] {
    match op {
        "conv2d" => CONVOLUTION,
        "batch_norm2d" => NORMALIZATION,
        "max_pool2d" | "avg_pool2d" => POOLING,
        "linear" => LINEAR,
        "adaptive_avg_pool2d" => ADAPTIVE_POOLING,
        "layer_norm" => LAYER_NORMALIZATION,
        "dropout" => DROPOUT,
        "stochastic_depth" => STOCHASTIC_DEPTH,
        "layer_scale" => LAYER_SCALE,
        "attention" => ATTENTION,
        "select_token" => TOKEN,
        _ => &[],
    }
}

impl OpOption {
    fn goes_by(&self, name: &str) -> bool {
        self.name == name || self.alias == Some(name)
    }
}

/// Checks a layer's fields, `op` among them, `name` and `inputs` not.
pub(super) fn check(layer: &str, op: &str, fields: &Map<String, Value>) -> Result<(), GraphError> {
    let options = options_of(op);
    let malformed = |message| GraphError::layer(GraphErrorKind::Malformed, layer, message);
    for (name, value) in fields.iter().filter(|(name, _)| *name != "op") {
        let Some(option) = options.iter().find(|option| option.goes_by(name)) else {
            let error = malformed(format!("`{op}` has no option `{name}`"));
            return Err(error.with_hint(instead(name, op, options)));
        };
        if !option.kind.admits(value) {
            let expected = option.kind.words();
            return Err(malformed(format!(
                "`{name}` is {}, expected {expected}",
                describe(value)
            )));
        }
    }
    let is_given = |option: &OpOption| fields.keys().any(|name| option.goes_by(name));
    match options
        .iter()
        .find(|option| option.is_required && !is_given(option))
    {
        Some(missing) => Err(malformed(format!("`{op}` needs `{}`", missing.name))
            .with_hint(format!("`{}` is {}", missing.name, missing.kind.words()))),
        None => Ok(()),
    }
}

/// What may be meant by an option that there is not.
fn instead(name: &str, op: &str, options: &[OpOption]) -> String {
    let names: Vec<&str> = options.iter().map(|option| option.name).collect();
    match super::error::nearest(name, names.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if names.is_empty() => format!("`{op}` has no options"),
        None => format!("options are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::graph::Op;

    /// The names that serde lists for an operation when it meets one that is none of them.
    fn fields_of_type(op: &str) -> Vec<String> {
        let error = serde_json::from_value::<Op>(json!({"op": op, "?": 1})).unwrap_err();
        let message = error.to_string();
        let mut quoted = message.split('`').skip(1).step_by(2).map(str::to_string);
        assert_eq!(quoted.next().as_deref(), Some("?"), "{message}");
        quoted.collect()
    }

    fn sample(kind: Kind) -> Value {
        match kind {
            Kind::Count | Kind::Index => json!(1),
            Kind::Size => json!([1, 2]),
            Kind::SizeOrNone => Value::Null,
            Kind::Number => json!(0.5),
            Kind::Flag => json!(true),
        }
    }

    /// An operation with all its options, by their own names or by their aliases.
    fn complete(op: &str, name_of: impl Fn(&OpOption) -> &'static str) -> Map<String, Value> {
        let mut fields = Map::from_iter([("op".to_string(), json!(op))]);
        for option in options_of(op) {
            fields.insert(name_of(option).to_string(), sample(option.kind));
        }
        fields
    }

    #[test]
    fn the_table_has_the_options_of_the_types() {
        for op in Op::NAMES {
            for field in fields_of_type(op) {
                let is_known = options_of(op).iter().any(|option| option.goes_by(&field));
                assert!(is_known, "{op}: {field}");
            }
        }
    }

    #[test]
    fn the_types_take_what_the_table_admits() {
        for op in Op::NAMES {
            let named = complete(op, |option| option.name);
            let aliased = complete(op, |option| option.alias.unwrap_or(option.name));
            for fields in [named, aliased] {
                check("a", op, &fields).unwrap();
                serde_json::from_value::<Op>(Value::Object(fields)).unwrap();
            }
        }
    }

    #[test]
    fn the_table_requires_what_the_types_require() {
        for op in Op::NAMES {
            for option in options_of(op) {
                let mut fields = complete(op, |option| option.name);
                fields.shift_remove(option.name);
                let is_refused = check("a", op, &fields).is_err();
                assert_eq!(is_refused, option.is_required, "{op}: {}", option.name);
                let parsed = serde_json::from_value::<Op>(Value::Object(fields));
                assert_eq!(parsed.is_err(), is_refused, "{op}: {}", option.name);
            }
        }
    }
}
