//! Hydra's override grammar: `a.b=c`, `+a=b`, `++a=b`, `~a`, `group=option`, sweeps.

mod functions;
mod parse;
mod text;

pub use parse::parse;
pub(crate) use parse::parse_all;

use super::error::{ConfigError, ConfigErrorKind};
use super::node::{Map, Node, Value};
use super::origin::Origin;

/// What an override does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `key=value`: the key must exist.
    Change,
    /// `+key=value`: the key must not have a value yet.
    Add,
    /// `++key=value`: either way.
    ForceAdd,
    /// `~key` or `~key=value`: removes it.
    Delete,
}

/// One override of the command line, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// What it does.
    pub action: Action,
    /// A dotted key, or a group such as `train/optimizer`.
    pub key: String,
    /// What follows `@`.
    pub package: Option<String>,
    /// What follows `=`; only a deletion may have none.
    pub value: Option<OverrideValue>,
    /// The override as typed.
    pub text: String,
}

/// The value of an override.
#[derive(Debug, Clone, PartialEq)]
pub enum OverrideValue {
    /// One value.
    Element(Element),
    /// Several values, one a run of `--multirun`.
    Sweep(Sweep),
}

/// A value as the override grammar knows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Element {
    /// `null`
    Null,
    /// `true`
    Bool(bool),
    /// `10`
    Int(i128),
    /// `1e-3`
    Float(f64),
    /// Unquoted text.
    Text(String),
    /// Quoted text.
    Quoted {
        /// What is between the quotes, escapes replaced.
        text: String,
        /// `'` or `"`.
        quote: char,
    },
    /// `[a,b]`
    List(Vec<Element>),
    /// `{a:1,b:2}`
    Map(Vec<(String, Element)>),
}

/// Several values for one key.
#[derive(Debug, Clone, PartialEq)]
pub enum Sweep {
    /// `a,b` or `choice(a,b)`
    Choice {
        /// The values in order.
        items: Vec<Element>,
        /// Whether it was written without `choice`.
        is_simple: bool,
    },
    /// `range(start,stop,step)`: `start + i × step` before `stop`.
    Range {
        /// The first value.
        start: Number,
        /// The bound, not included.
        stop: Number,
        /// The distance.
        step: Number,
    },
    /// `interval(start,end)`: a continuous range, for sweepers that draw from it.
    Interval {
        /// The lower bound.
        start: Number,
        /// The upper bound.
        end: Number,
    },
    /// `glob(include,exclude)`: the options of a group whose names match.
    Glob {
        /// Patterns of which one must match.
        include: Vec<String>,
        /// Patterns of which none may match.
        exclude: Vec<String>,
    },
}

/// A number that remembers whether it is a whole one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i128),
    /// A number with a fraction or an exponent.
    Float(f64),
}

impl Number {
    /// As a floating-point number.
    pub const fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// As an element.
    pub const fn element(self) -> Element {
        match self {
            Self::Int(value) => Element::Int(value),
            Self::Float(value) => Element::Float(value),
        }
    }
}

impl Element {
    /// The configuration value that this stands for.
    pub(crate) fn to_node(&self, origin: &Origin) -> Node {
        let value = match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Text(text) | Self::Quoted { text, .. } => Value::Text(text.clone()),
            Self::List(items) => {
                Value::List(items.iter().map(|item| item.to_node(origin)).collect())
            }
            Self::Map(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, item)| (key.clone(), item.to_node(origin)))
                    .collect::<Map>(),
            ),
        };
        Node::new(value, origin.clone())
    }
}

impl Override {
    /// Its origin, for the values it sets and the errors it causes.
    pub(crate) fn origin(&self) -> Origin {
        Origin::CommandLine {
            text: self.text.as_str().into(),
        }
    }

    /// The key with its package, as `group@package`.
    pub(crate) fn full_key(&self) -> String {
        match &self.package {
            Some(package) => format!("{}@{package}", self.key),
            None => self.key.clone(),
        }
    }

    /// What precedes the key: ``, `+`, `++` or `~`.
    pub(crate) const fn prefix(&self) -> &'static str {
        match self.action {
            Action::Change => "",
            Action::Add => "+",
            Action::ForceAdd => "++",
            Action::Delete => "~",
        }
    }

    /// The value, where a sweep makes no sense.
    pub(crate) fn element(&self) -> Result<Option<&Element>, ConfigError> {
        match &self.value {
            None => Ok(None),
            Some(OverrideValue::Element(element)) => Ok(Some(element)),
            Some(OverrideValue::Sweep(sweep)) => Err(self.refuse_sweep(sweep)),
        }
    }

    fn refuse_sweep(&self, sweep: &Sweep) -> ConfigError {
        let error = ConfigError::new(
            ConfigErrorKind::Composition,
            format!("`{}` has several values for one run", self.full_key()),
        )
        .at(&self.origin());
        match sweep {
            Sweep::Choice {
                is_simple: true, ..
            } => error.with_hint(format!(
                "for a list write `{0}=[…]`, for a text `{0}=\"…\"`, for one run a value add `--multirun`",
                self.full_key()
            )),
            _ => error.with_hint("add `--multirun` for one run a value"),
        }
    }
}
