//! The functions of the override grammar: casts (`int`, `float`, `str`, `bool`) and sweeps
//! (`choice`, `range`, `interval`, `glob`, `sort`).

use std::cmp::Ordering;

use super::parse::syntax;
use super::{Element, Number, OverrideValue, Sweep};
use crate::config::error::ConfigError;
use crate::config::text::python_number;
use crate::config::token;

const NAMES: [&str; 9] = [
    "bool", "choice", "float", "glob", "int", "interval", "range", "sort", "str",
];

/// A function call: its name and arguments.
pub(super) struct Call {
    name: String,
    positional: Vec<OverrideValue>,
    named: Vec<(String, OverrideValue)>,
}

impl Call {
    pub(super) const fn new(name: String) -> Self {
        Self {
            name,
            positional: Vec::new(),
            named: Vec::new(),
        }
    }

    /// Adds an argument; a quoted one loses its quotes.
    pub(super) fn add(
        &mut self,
        name: Option<String>,
        value: OverrideValue,
    ) -> Result<(), ConfigError> {
        let value = match value {
            OverrideValue::Element(Element::Quoted { text, .. }) => {
                OverrideValue::Element(Element::Text(text))
            }
            other => other,
        };
        match name {
            Some(name) => self.named.push((name, value)),
            None if self.named.is_empty() => self.positional.push(value),
            None => return Err(syntax("a positional argument follows a named one")),
        }
        Ok(())
    }

    /// The arguments by the names of the function's parameters.
    fn bind<const N: usize>(
        self,
        parameters: [&str; N],
    ) -> Result<[Option<OverrideValue>; N], ConfigError> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            return Err(syntax(format!("it takes at most {N} arguments")));
        }
        for (slot, value) in bound.iter_mut().zip(self.positional) {
            *slot = Some(value);
        }
        for (name, value) in self.named {
            let index = parameters
                .iter()
                .position(|parameter| *parameter == name)
                .ok_or_else(|| syntax(format!("it has no argument `{name}`")))?;
            if bound[index].replace(value).is_some() {
                return Err(syntax(format!("the argument `{name}` is given twice")));
            }
        }
        Ok(bound)
    }
}

/// Evaluates a call.
pub(super) fn evaluate(call: Call) -> Result<OverrideValue, ConfigError> {
    match call.name.as_str() {
        "int" => cast_call(call, Cast::Int),
        "float" => cast_call(call, Cast::Float),
        "str" => cast_call(call, Cast::Text),
        "bool" => cast_call(call, Cast::Bool),
        "choice" => choice(call),
        "range" => range(call),
        "interval" => interval(call),
        "glob" => glob(call),
        "sort" => sort(call),
        "shuffle" | "tag" | "extend_list" => Err(ConfigError::unsupported(format!(
            "the function `{}`",
            call.name
        ))),
        name => Err(
            syntax(format!("there is no function `{name}`")).with_hint(format!(
                "functions are {}; put a text with parentheses in quotes",
                NAMES.join(", ")
            )),
        ),
    }
}

fn choice(call: Call) -> Result<OverrideValue, ConfigError> {
    if !call.named.is_empty() {
        return Err(syntax("it takes no named arguments"));
    }
    let mut items = Vec::new();
    let count = call.positional.len();
    for value in call.positional {
        match value {
            OverrideValue::Element(element) => items.push(element),
            OverrideValue::Sweep(Sweep::Choice {
                items: nested,
                is_simple: true,
            }) if count == 1 => items = nested,
            OverrideValue::Sweep(_) => return Err(syntax("a sweep inside a sweep")),
        }
    }
    if items.is_empty() {
        return Err(syntax("it takes at least one value"));
    }
    Ok(OverrideValue::Sweep(Sweep::Choice {
        items,
        is_simple: false,
    }))
}

fn number(value: OverrideValue) -> Result<Number, ConfigError> {
    match value {
        OverrideValue::Element(Element::Int(value)) => Ok(Number::Int(value)),
        OverrideValue::Element(Element::Float(value)) => Ok(Number::Float(value)),
        _ => Err(syntax("its arguments are numbers")),
    }
}

fn range(call: Call) -> Result<OverrideValue, ConfigError> {
    let [start, stop, step] = call.bind(["start", "stop", "step"])?;
    let start = number(start.ok_or_else(|| syntax("it takes at least one number"))?)?;
    let (start, stop) = match stop {
        Some(stop) => (start, number(stop)?),
        None => (Number::Int(0), start),
    };
    let step = step.map_or(Ok(Number::Int(1)), number)?;
    Ok(OverrideValue::Sweep(Sweep::Range { start, stop, step }))
}

fn interval(call: Call) -> Result<OverrideValue, ConfigError> {
    let bound = call.bind(["start", "end"])?;
    let [Some(start), Some(end)] = bound else {
        return Err(syntax("it takes two numbers"));
    };
    Ok(OverrideValue::Sweep(Sweep::Interval {
        start: Number::Float(number(start)?.as_f64()),
        end: Number::Float(number(end)?.as_f64()),
    }))
}

fn glob(call: Call) -> Result<OverrideValue, ConfigError> {
    let [include, exclude] = call.bind(["include", "exclude"])?;
    let include = include.ok_or_else(|| syntax("it takes a pattern"))?;
    Ok(OverrideValue::Sweep(Sweep::Glob {
        include: patterns(include)?,
        exclude: exclude.map_or(Ok(Vec::new()), patterns)?,
    }))
}

fn patterns(value: OverrideValue) -> Result<Vec<String>, ConfigError> {
    let items = match value {
        OverrideValue::Element(Element::List(items)) => items,
        OverrideValue::Element(item) => vec![item],
        OverrideValue::Sweep(_) => return Err(syntax("patterns are texts")),
    };
    items
        .into_iter()
        .map(|item| match item {
            Element::Text(text) | Element::Quoted { text, .. } => Ok(text),
            _ => Err(syntax("patterns are texts")),
        })
        .collect()
}

fn sort(mut call: Call) -> Result<OverrideValue, ConfigError> {
    let mut is_reverse = false;
    for (name, value) in std::mem::take(&mut call.named) {
        match (name.as_str(), value) {
            ("reverse", OverrideValue::Element(Element::Bool(value))) => is_reverse = value,
            ("list" | "sweep", value) if call.positional.is_empty() => call.positional.push(value),
            (name, _) => return Err(syntax(format!("the argument `{name}` does not fit"))),
        }
    }
    if call.positional.is_empty() {
        return Err(syntax("it takes at least one value"));
    }
    if call.positional.len() == 1
        && let Some(value) = call.positional.pop()
    {
        return sort_one(value, is_reverse);
    }
    let mut items = elements(call.positional)?;
    sort_elements(&mut items, is_reverse)?;
    Ok(OverrideValue::Sweep(Sweep::Choice {
        items,
        is_simple: true,
    }))
}

fn sort_one(value: OverrideValue, is_reverse: bool) -> Result<OverrideValue, ConfigError> {
    match value {
        OverrideValue::Element(Element::List(mut items)) => {
            sort_elements(&mut items, is_reverse)?;
            Ok(OverrideValue::Element(Element::List(items)))
        }
        OverrideValue::Sweep(Sweep::Choice {
            mut items,
            is_simple,
        }) => {
            sort_elements(&mut items, is_reverse)?;
            Ok(OverrideValue::Sweep(Sweep::Choice { items, is_simple }))
        }
        OverrideValue::Element(element) => Ok(OverrideValue::Element(element)),
        OverrideValue::Sweep(_) => Err(ConfigError::unsupported(
            "sorting anything but lists and choices",
        )),
    }
}

fn sort_elements(items: &mut [Element], is_reverse: bool) -> Result<(), ConfigError> {
    let are_numbers = items
        .iter()
        .all(|item| matches!(item, Element::Int(_) | Element::Float(_)));
    let are_texts = items
        .iter()
        .all(|item| matches!(item, Element::Text(_) | Element::Quoted { .. }));
    if !are_numbers && !are_texts {
        return Err(syntax(
            "only numbers among numbers and texts among texts are sorted",
        ));
    }
    items.sort_by(|a, b| {
        let order = compare(a, b);
        if is_reverse { order.reverse() } else { order }
    });
    Ok(())
}

fn compare(a: &Element, b: &Element) -> Ordering {
    match (a, b) {
        (
            Element::Text(a) | Element::Quoted { text: a, .. },
            Element::Text(b) | Element::Quoted { text: b, .. },
        ) => a.cmp(b),
        (Element::Int(a), Element::Int(b)) => a.cmp(b),
        _ => as_f64(a).total_cmp(&as_f64(b)),
    }
}

fn as_f64(element: &Element) -> f64 {
    match element {
        Element::Int(value) => *value as f64,
        Element::Float(value) => *value,
        _ => f64::NAN,
    }
}

fn elements(values: Vec<OverrideValue>) -> Result<Vec<Element>, ConfigError> {
    values
        .into_iter()
        .map(|value| match value {
            OverrideValue::Element(element) => Ok(element),
            OverrideValue::Sweep(_) => Err(syntax("a sweep inside a sweep")),
        })
        .collect()
}

/// What a cast makes.
#[derive(Clone, Copy, PartialEq)]
enum Cast {
    Int,
    Float,
    Text,
    Bool,
}

fn cast_call(mut call: Call, cast: Cast) -> Result<OverrideValue, ConfigError> {
    for (name, value) in std::mem::take(&mut call.named) {
        if name != "value" || !call.positional.is_empty() {
            return Err(syntax(format!("the argument `{name}` does not fit")));
        }
        call.positional.push(value);
    }
    match call.positional.len() {
        0 => Err(syntax("it takes at least one value")),
        1 => call.positional.pop().map_or_else(
            || Err(syntax("it takes a value")),
            |value| cast_value(value, cast),
        ),
        _ => cast_value(
            OverrideValue::Sweep(Sweep::Choice {
                items: elements(call.positional)?,
                is_simple: true,
            }),
            cast,
        ),
    }
}

fn cast_value(value: OverrideValue, cast: Cast) -> Result<OverrideValue, ConfigError> {
    let is_numeric = matches!(cast, Cast::Int | Cast::Float);
    Ok(match value {
        OverrideValue::Element(element) => OverrideValue::Element(cast_element(element, cast)?),
        OverrideValue::Sweep(Sweep::Choice { items, is_simple }) => {
            OverrideValue::Sweep(Sweep::Choice {
                items: cast_elements(items, cast)?,
                is_simple,
            })
        }
        OverrideValue::Sweep(Sweep::Range { start, stop, step }) if is_numeric => {
            OverrideValue::Sweep(Sweep::Range {
                start: cast_number(start, cast)?,
                stop: cast_number(stop, cast)?,
                step: cast_number(step, cast)?,
            })
        }
        OverrideValue::Sweep(Sweep::Interval { start, end }) if is_numeric => {
            OverrideValue::Sweep(Sweep::Interval {
                start: cast_number(start, cast)?,
                end: cast_number(end, cast)?,
            })
        }
        OverrideValue::Sweep(_) => return Err(syntax("this sweep cannot be cast so")),
    })
}

fn cast_number(number: Number, cast: Cast) -> Result<Number, ConfigError> {
    match cast_element(number.element(), cast)? {
        Element::Int(value) => Ok(Number::Int(value)),
        Element::Float(value) => Ok(Number::Float(value)),
        _ => Err(syntax("a number is expected")),
    }
}

fn cast_elements(items: Vec<Element>, cast: Cast) -> Result<Vec<Element>, ConfigError> {
    items
        .into_iter()
        .map(|item| cast_element(item, cast))
        .collect()
}

fn cast_element(element: Element, cast: Cast) -> Result<Element, ConfigError> {
    match element {
        Element::List(items) => Ok(Element::List(cast_elements(items, cast)?)),
        Element::Map(entries) => Ok(Element::Map(
            entries
                .into_iter()
                .map(|(key, item)| Ok((key, cast_element(item, cast)?)))
                .collect::<Result<_, ConfigError>>()?,
        )),
        Element::Quoted { text, .. } => cast_element(Element::Text(text), cast),
        scalar => match cast {
            Cast::Int => to_int(&scalar).map(Element::Int),
            Cast::Float => to_float(&scalar).map(Element::Float),
            Cast::Text => to_text(&scalar).map(Element::Text),
            Cast::Bool => to_bool(&scalar).map(Element::Bool),
        },
    }
}

fn cannot_cast(element: &Element, kind: &str) -> ConfigError {
    syntax(format!(
        "`{}` cannot be made {kind}",
        element.to_override_text()
    ))
}

fn to_int(element: &Element) -> Result<i128, ConfigError> {
    let value = match element {
        Element::Int(value) => Some(*value),
        Element::Bool(value) => Some(i128::from(*value)),
        Element::Float(value) if value.is_finite() => Some(value.trunc() as i128),
        Element::Text(text) => token::int_value(text.trim()).ok(),
        _ => None,
    };
    value
        .filter(|value| crate::config::yaml::fits(*value))
        .ok_or_else(|| cannot_cast(element, "a whole number"))
}

fn to_float(element: &Element) -> Result<f64, ConfigError> {
    let value = match element {
        Element::Int(value) => Some(*value as f64),
        Element::Bool(value) => Some(f64::from(u8::from(*value))),
        Element::Float(value) => Some(*value),
        Element::Text(text) => text.trim().replace('_', "").parse().ok(),
        _ => None,
    };
    value.ok_or_else(|| cannot_cast(element, "a number"))
}

fn to_text(element: &Element) -> Result<String, ConfigError> {
    match element {
        Element::Int(value) => Ok(value.to_string()),
        Element::Bool(value) => Ok(value.to_string()),
        Element::Float(value) => Ok(python_number(*value)),
        Element::Text(text) => Ok(text.clone()),
        _ => Err(cannot_cast(element, "a text")),
    }
}

fn to_bool(element: &Element) -> Result<bool, ConfigError> {
    match element {
        Element::Int(value) => Ok(*value != 0),
        Element::Bool(value) => Ok(*value),
        Element::Float(value) => Ok(*value != 0.0),
        Element::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Element::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(cannot_cast(element, "a boolean")),
    }
}
