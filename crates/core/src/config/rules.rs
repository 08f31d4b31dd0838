//! What every key of the configuration may be: the keys, types and ranges of [`super::schema`].
//!
//! A test holds this table and the types against each other.

use super::augment::AUGMENT;

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rule {
    /// A mapping with these keys.
    Map(&'static [Field]),
    /// A mapping whose `name` says which other keys it has.
    Variants(Variants),
    /// A whole number in a range, both ends included.
    Whole(u64, u64),
    /// A finite number in a range.
    Number(Range),
    /// A finite number in a range, or this word.
    NumberOr(Range, &'static str),
    /// That many finite numbers in a range.
    Numbers(usize, Range),
    /// One or more finite numbers in a range.
    AnyNumbers(Range),
    /// One or more texts.
    Texts,
    /// A list by the second rule, or anything else by the first.
    ScalarOrList(&'static Rule, &'static Rule),
    /// `true` or `false`.
    Flag,
    /// A text.
    Text,
    /// The name of a dataset version, as `land` or `land@v2`.
    Reference,
    /// What computes, as `auto` or `cuda:1`.
    Device,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A list that is checked where it is used.
    List,
    /// A mapping with some of these keys, whose order counts.
    Ordered(&'static [Field]),
    /// A mapping with these keys, or the value of the main one alone.
    Shorthand {
        /// The key that a bare value belongs to.
        main: &'static str,
        /// All keys.
        fields: &'static [Field],
    },
    /// Two finite numbers in a range, the lower first, or one that stands for two.
    Limits(Range, Alone),
    /// Two whole numbers in a range, the lower first, or one that stands for two.
    WholeLimits(u64, u64, Alone),
    /// Two whole numbers in a range, or one for both.
    WholePair(u64, u64),
    /// Red, green and blue from 0 to 255, or one number for all three.
    Color,
    /// A colour or this word.
    ColorOr(&'static str),
    /// A list of random changes.
    Transforms,
}

/// What one number `x` means where two limits are expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alone {
    /// `x` to `x`.
    Point,
    /// `-x` to `x`.
    Symmetric,
    /// This number to `x`.
    UpFrom(u32),
    /// `1 - x` to `1 + x`.
    AroundOne,
}

/// The keys of each variant besides `name`, by its name.
pub(super) type Variants = &'static [(&'static str, &'static [Field])];

/// A key of a mapping.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) rule: Rule,
    /// Whether it may be absent or null.
    pub(super) is_optional: bool,
}

/// A range of numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) has_low: bool,
    pub(super) high: f64,
    pub(super) has_high: bool,
}

impl Range {
    /// Whether the range has the number.
    pub(super) fn contains(&self, value: f64) -> bool {
        let above = value > self.low || (self.has_low && value == self.low);
        let below = value < self.high || (self.has_high && value == self.high);
        value.is_finite() && above && below
    }

    /// The range in words, after "expected".
    pub(super) fn words(&self) -> String {
        let low = match (self.low.is_finite(), self.has_low) {
            (false, _) => None,
            (true, true) => Some(format!("{} or more", self.low)),
            (true, false) => Some(format!("more than {}", self.low)),
        };
        let high = match (self.high.is_finite(), self.has_high) {
            (false, _) => None,
            (true, true) => Some(format!("at most {}", self.high)),
            (true, false) => Some(format!("less than {}", self.high)),
        };
        match (low, high) {
            (Some(_), Some(_)) if self.has_low && self.has_high => {
                format!("a number from {} to {}", self.low, self.high)
            }
            (Some(low), Some(high)) => format!("a number, {low} and {high}"),
            (Some(bound), None) | (None, Some(bound)) => format!("a number, {bound}"),
            (None, None) => "a finite number".to_string(),
        }
    }
}

const ANY: Range = Range {
    low: f64::NEG_INFINITY,
    has_low: false,
    high: f64::INFINITY,
    has_high: false,
};
const POSITIVE: Range = Range { low: 0.0, ..ANY };
const NOT_NEGATIVE: Range = Range {
    low: 0.0,
    has_low: true,
    ..ANY
};
pub(super) const ZERO_TO_ONE: Range = Range {
    high: 1.0,
    has_high: true,
    ..NOT_NEGATIVE
};
/// 0 included, 1 not.
pub(super) const BELOW_ONE: Range = Range {
    high: 1.0,
    ..NOT_NEGATIVE
};
/// 0 not included, 1 included.
const FACTOR: Range = Range {
    high: 1.0,
    has_high: true,
    ..POSITIVE
};

/// Neither 0 nor 1 included.
const BETWEEN: Range = Range {
    high: 1.0,
    ..POSITIVE
};
/// A concentration of the Beta distribution.
const MIX: Range = Range {
    high: 1000.0,
    has_high: true,
    ..POSITIVE
};
const ONE_OR_MORE: Range = Range {
    low: 1.0,
    has_low: true,
    ..ANY
};

/// Keys that say the same in two ways: of each pair a mapping has one, and naming it takes the
/// place of the other in what it is merged into. No other mapping has both.
pub(super) const ALTERNATIVES: [[&str; 2]; 1] = [["padding", "share"]];

/// The other key of a pair.
pub(super) fn alternative_to(key: &str) -> Option<&'static str> {
    ALTERNATIVES.iter().find_map(|[one, other]| match key {
        key if key == *one => Some(*other),
        key if key == *other => Some(*one),
        _ => None,
    })
}

const fn required(name: &'static str, rule: Rule) -> Field {
    Field {
        name,
        rule,
        is_optional: false,
    }
}

pub(super) const fn optional(name: &'static str, rule: Rule) -> Field {
    Field {
        name,
        rule,
        is_optional: true,
    }
}

/// The whole configuration.
pub(super) const CONFIG: Rule = Rule::Map(&[
    required("model", MODEL),
    required("data", DATA),
    required("train", TRAIN),
]);

const MODEL: Rule = Rule::Map(&[
    required("name", Rule::Text),
    optional("dropout", Rule::Number(BELOW_ONE)),
    optional("stochastic_depth", Rule::Number(BELOW_ONE)),
    optional("weights", Rule::Text),
    optional("layers", Rule::List),
]);

const DATA: Rule = Rule::Map(&[
    optional("dataset", Rule::Reference),
    required("image_size", Rule::Whole(1, 8192)),
    optional("resize", Rule::OneOf(&["stretch", "center_crop"])),
    optional("filter", Rule::OneOf(&["bilinear", "bicubic"])),
    required("mean", Rule::Numbers(3, ANY)),
    required("std", Rule::Numbers(3, POSITIVE)),
    required("workers", Rule::Whole(0, 1024)),
    optional(
        "test_time_augmentation",
        Rule::OneOf(&["none", "flip", "flips", "dihedral"]),
    ),
    optional("cache_gb", Rule::Number(NOT_NEGATIVE)),
    optional("cache_size", Rule::Whole(1, 8192)),
    optional("augment", AUGMENT),
]);

const TRAIN: Rule = Rule::Map(&[
    required("epochs", Rule::Whole(1, 1_000_000)),
    required("batch_size", Rule::Whole(1, 65_536)),
    required("learning_rate", Rule::Number(POSITIVE)),
    required("seed", Rule::Whole(0, u64::MAX)),
    optional("device", Rule::Device),
    required("optimizer", OPTIMIZER),
    required("schedule", SCHEDULE),
    optional("accumulate", Rule::Whole(1, 65_536)),
    optional("gradient_clip", Rule::Number(POSITIVE)),
    optional("sampling", Rule::OneOf(&["shuffle", "balanced"])),
    optional("label_smoothing", Rule::Number(BELOW_ONE)),
    optional("class_weights", CLASS_WEIGHTS),
    optional("mixup", Rule::Number(MIX)),
    optional("cutmix", Rule::Number(MIX)),
    optional("ema", Rule::Number(BETWEEN)),
    optional("freeze", FREEZE),
    optional("unfreeze_every_epochs", Rule::Whole(1, 1_000_000)),
    optional("layer_decay", Rule::Number(FACTOR)),
    optional("early_stopping", EARLY_STOPPING),
    required(
        "monitor",
        Rule::OneOf(&["auto", "val/loss", "val/accuracy", "val/f1", "val/auroc"]),
    ),
    optional("threshold", THRESHOLD),
    optional("note", Rule::Text),
]);

const CLASS_WEIGHTS: Rule = Rule::ScalarOrList(
    &Rule::OneOf(&["none", "balanced"]),
    &Rule::AnyNumbers(NOT_NEGATIVE),
);

const THRESHOLD: Rule = Rule::ScalarOrList(
    &Rule::NumberOr(BETWEEN, "best_f1"),
    &Rule::AnyNumbers(BETWEEN),
);

const FREEZE: Rule = Rule::ScalarOrList(&Rule::Whole(1, 100_000), &Rule::Texts);

const OPTIMIZER: Rule = Rule::Variants(&[
    (
        "adamw",
        &[
            required("beta1", Rule::Number(BELOW_ONE)),
            required("beta2", Rule::Number(BELOW_ONE)),
            required("epsilon", Rule::Number(POSITIVE)),
            required("weight_decay", Rule::Number(NOT_NEGATIVE)),
        ],
    ),
    (
        "sgd",
        &[
            required("momentum", Rule::Number(BELOW_ONE)),
            required("weight_decay", Rule::Number(NOT_NEGATIVE)),
            required("nesterov", Rule::Flag),
        ],
    ),
]);

const WARMUP: Field = required("warmup_epochs", Rule::Number(NOT_NEGATIVE));

const SCHEDULE: Rule = Rule::Variants(&[
    ("constant", &[WARMUP]),
    (
        "cosine",
        &[WARMUP, required("minimum", Rule::Number(NOT_NEGATIVE))],
    ),
    (
        "step",
        &[
            WARMUP,
            required("step_epochs", Rule::Whole(1, 1_000_000)),
            required("gamma", Rule::Number(FACTOR)),
        ],
    ),
    (
        "one_cycle",
        &[
            required("warmup_share", Rule::Number(BETWEEN)),
            required("start_divisor", Rule::Number(ONE_OR_MORE)),
            required("end_divisor", Rule::Number(ONE_OR_MORE)),
            optional("momentum", Rule::Numbers(2, BELOW_ONE)),
        ],
    ),
    (
        "plateau",
        &[
            WARMUP,
            required("factor", Rule::Number(BETWEEN)),
            required("patience", Rule::Whole(0, 1_000_000)),
            required("threshold", Rule::Number(BELOW_ONE)),
            required("cooldown", Rule::Whole(0, 1_000_000)),
            required("minimum", Rule::Number(NOT_NEGATIVE)),
        ],
    ),
]);

const EARLY_STOPPING: Rule = Rule::Map(&[
    required("patience", Rule::Whole(1, 1_000_000)),
    optional("min_delta", Rule::Number(NOT_NEGATIVE)),
]);
