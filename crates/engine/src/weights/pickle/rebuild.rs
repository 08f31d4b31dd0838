//! What the names of [`super::globals`] make of their arguments: `torch/_utils.py` and
//! `torch/serialization.py`.

use std::rc::Rc;

use super::globals::Global;
use super::{Id, Storage, Tensor, Value};
use crate::error::EngineError;
use crate::weights::element::Element;
use crate::weights::error::{damaged, unsupported};

/// The most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// The longest name of a storage; PyTorch writes numbers.
const MAX_KEY_BYTES: usize = 64;

/// What a call gives.
pub(super) enum Made {
    /// One of the values that are there already: copying it could be repeated without end.
    Known(Id),
    New(Value),
}

/// The value that calling `function` gives.
///
/// # Errors
/// It is none of the known functions, or its arguments do not fit.
pub(super) fn call(
    values: &[Value],
    function: &Value,
    arguments: &Value,
) -> Result<Made, EngineError> {
    let (Value::Global(global), Value::Sequence(arguments)) = (function, arguments) else {
        return match function {
            // A method or class of something that is not looked at.
            Value::Opaque => Ok(Made::New(Value::Opaque)),
            _ => Err(damaged("its pickle calls what is no function")),
        };
    };
    let argument = |index: usize| get(values, arguments, index);
    match global {
        Global::Dict => dictionary(values, arguments),
        Global::Sequence => Ok(match (arguments.first(), argument(0)) {
            (Some(id), Some(Value::Sequence(_))) => Made::Known(*id),
            _ => Made::New(Value::Sequence(Vec::new())),
        }),
        Global::RebuildTensor => tensor(values, arguments, None).map(Made::New),
        Global::RebuildTensorV3 => match argument(6) {
            Some(Value::Global(Global::Dtype(element))) => {
                tensor(values, arguments, Some(*element)).map(Made::New)
            }
            _ => Err(wrong_arguments()),
        },
        Global::RebuildParameter => {
            let tensor = arguments.first().ok_or_else(wrong_arguments)?;
            Ok(Made::Known(*tensor))
        }
        Global::RebuildFromType => match (argument(0), argument(2)) {
            // A parameter's own type is not asked for again: no second level.
            (Some(Value::Global(inner)), Some(inner_arguments))
                if *inner != Global::RebuildFromType =>
            {
                call(values, &Value::Global(*inner), inner_arguments)
            }
            _ => Err(wrong_arguments()),
        },
        Global::Storage(_) | Global::Dtype(_) | Global::Ignored => Ok(Made::New(Value::Opaque)),
    }
}

fn get<'a>(values: &'a [Value], items: &[Id], index: usize) -> Option<&'a Value> {
    values.get(*items.get(index)? as usize)
}

/// `OrderedDict()`, as every Python since 3.5 writes it (the items follow), or `OrderedDict(dict)`.
fn dictionary(values: &[Value], arguments: &[Id]) -> Result<Made, EngineError> {
    match (arguments.first(), get(values, arguments, 0)) {
        (Some(id), Some(Value::Dict(_))) => Ok(Made::Known(*id)),
        (_, Some(Value::Sequence(items))) if !items.is_empty() => Err(unsupported(
            "a dictionary in it is written as Python 2 did it",
        )),
        _ => Ok(Made::New(Value::Dict(Vec::new()))),
    }
}

/// The storage that a persistent id names:
/// `('storage', type, key, location, length)`, and in old files `view_metadata`.
///
/// # Errors
/// It is no such tuple.
pub(super) fn storage(values: &[Value], id: &Value) -> Result<Storage, EngineError> {
    let Value::Sequence(items) = id else {
        return Err(damaged("its pickle refers to something outside of it"));
    };
    let item = |index: usize| get(values, items, index);
    if !matches!(item(5), None | Some(Value::None)) {
        return Err(unsupported(
            "a storage in it is part of another, as PyTorch before 0.4 wrote it",
        ));
    }
    match (item(0), item(1), item(2), item(4)) {
        (
            Some(Value::Text(kind)),
            Some(Value::Global(Global::Storage(element))),
            Some(Value::Text(key)),
            Some(Value::Whole(length)),
        ) if kind == "storage" && key.len() <= MAX_KEY_BYTES => Ok(Storage {
            key: key.as_str().into(),
            element: *element,
            length: u64::try_from(*length).map_err(|_| wrong_arguments())?,
        }),
        _ => Err(damaged("its pickle refers to something outside of it")),
    }
}

/// `(storage, offset, shape, strides, …)`.
fn tensor(
    values: &[Value],
    arguments: &[Id],
    element: Option<Element>,
) -> Result<Value, EngineError> {
    let argument = |index: usize| get(values, arguments, index);
    let (Some(Value::Storage(storage)), Some(Value::Whole(offset))) = (argument(0), argument(1))
    else {
        return Err(wrong_arguments());
    };
    let element = element
        .or(storage.element)
        .ok_or_else(|| damaged("a tensor in it has no number format"))?;
    let storage_length = match storage.element {
        Some(_) => storage.length,
        None => storage.length.checked_div(element.bytes()).unwrap_or(0),
    };
    Ok(Value::Tensor(Box::new(Tensor {
        storage: Rc::clone(&storage.key),
        element,
        storage_length,
        offset: u64::try_from(*offset).map_err(|_| wrong_arguments())?,
        shape: sizes(values, argument(2))?,
        strides: sizes(values, argument(3))?,
    })))
}

fn sizes(values: &[Value], value: Option<&Value>) -> Result<Vec<usize>, EngineError> {
    let Some(Value::Sequence(items)) = value else {
        return Err(wrong_arguments());
    };
    if items.len() > MAX_RANK {
        return Err(unsupported(format!(
            "a tensor in it has {} dimensions, over the limit of {MAX_RANK}",
            items.len()
        )));
    }
    items
        .iter()
        .map(|id| match values.get(*id as usize) {
            Some(Value::Whole(size)) => usize::try_from(*size).map_err(|_| wrong_arguments()),
            _ => Err(wrong_arguments()),
        })
        .collect()
}

fn wrong_arguments() -> EngineError {
    damaged("a tensor in its pickle is described wrongly")
}
