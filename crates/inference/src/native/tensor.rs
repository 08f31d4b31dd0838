//! Tensors that are known while loading.

use std::ops::Range;
use std::sync::Arc;

use super::refusal::Refusal;
use super::stored::Stored;
use crate::onnx::wire::{Fields, Value, floats, integers};
use crate::onnx::{Document, LARGE_BYTES};

/// Numbers of a tensor. Booleans and all integers are whole numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Numbers {
    Floats(Arc<[f32]>),
    Whole(Arc<[i64]>),
    /// Weights of several axes that are still where the model is: see [`super::stored`].
    Stored(Stored),
}

/// A tensor, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constant {
    pub(crate) shape: Vec<usize>,
    pub(crate) numbers: Numbers,
}

/// The product of sizes.
pub(crate) fn elements(shape: &[usize]) -> Result<usize, Refusal> {
    shape
        .iter()
        .try_fold(1_usize, |product, size| product.checked_mul(*size))
        .filter(|product| *product <= MOST_NUMBERS)
        .ok_or_else(|| Refusal::unsupported(format!("a tensor of {shape:?} is too large")))
}

/// Numbers of a tensor, and of all that live at a time, at most: 4 GiB.
pub(crate) const MOST_NUMBERS: usize = 1 << 30;

impl Constant {
    pub(crate) fn floats(shape: Vec<usize>, values: impl Into<Arc<[f32]>>) -> Self {
        Self {
            shape,
            numbers: Numbers::Floats(values.into()),
        }
    }

    pub(crate) fn whole(shape: Vec<usize>, values: impl Into<Arc<[i64]>>) -> Self {
        Self {
            shape,
            numbers: Numbers::Whole(values.into()),
        }
    }

    /// Its floats.
    pub(crate) fn as_floats(&self) -> Result<&Arc<[f32]>, Refusal> {
        match &self.numbers {
            Numbers::Floats(values) => Ok(values),
            Numbers::Whole(_) => Err(Refusal::unsupported(
                "whole numbers where floats are expected",
            )),
            Numbers::Stored(_) => Err(Refusal::unsupported("weights of this size")),
        }
    }

    /// Its whole numbers.
    pub(crate) fn as_whole(&self) -> Result<&[i64], Refusal> {
        match &self.numbers {
            Numbers::Whole(values) => Ok(values),
            Numbers::Floats(_) | Numbers::Stored(_) => Err(Refusal::malformed(
                "floats where whole numbers are expected",
            )),
        }
    }

    /// Its only float.
    pub(crate) fn as_float(&self) -> Result<f32, Refusal> {
        match &self.as_floats()?[..] {
            [value] => Ok(*value),
            _ => Err(Refusal::malformed("a tensor where one number is expected")),
        }
    }

    /// The tensor of a `TensorProto` that the limits' walk has passed, with its name.
    pub(crate) fn read(tensor: &[u8], document: &Document<'_>) -> Result<(String, Self), Refusal> {
        let mut name = String::new();
        let (mut shape, mut raw, mut kind) = (Vec::new(), None, 0);
        let (mut float_data, mut whole_data) = (Vec::new(), Vec::new());
        for field in Fields::of(tensor).flatten() {
            match (field.number, field.value) {
                (1, _) => shape.extend(integers(&field)),
                (2, Value::Varint(number)) => kind = number,
                (4, _) => float_data.extend(floats(&field)),
                (5 | 7, _) => whole_data.extend(integers(&field)),
                (8, _) => name = field.text().unwrap_or_default(),
                (9, Value::Bytes(bytes)) => raw = Some(bytes),
                _ => {}
            }
        }
        let shape: Vec<usize> = shape
            .into_iter()
            .map(|size| usize::try_from(size).map_err(|_| Refusal::malformed("a negative size")))
            .collect::<Result<_, _>>()?;
        let count = elements(&shape)?;
        let place = raw.map(|raw| document.tensor_place(raw));
        let is_large = |bytes: &Range<u64>| bytes.end - bytes.start >= LARGE_BYTES;
        if let Some(bytes) = place.clone().filter(is_large)
            && (kind, shape.len() > 1) == (1, true)
        {
            let numbers = Numbers::Stored(Stored {
                bytes,
                factors: None,
            });
            return (name, Self { shape, numbers }).checked(count);
        }
        let raw = place.map(|place| document.piece(place)).transpose()?;
        let constant = match (kind, raw.as_deref()) {
            (1, Some(raw)) => Self::floats(shape, decoded(raw, f32::from_le_bytes)),
            (1, None) => Self::floats(shape, float_data),
            (7, Some(raw)) => Self::whole(shape, decoded(raw, i64::from_le_bytes)),
            (6, Some(raw)) => {
                let values = decoded(raw, |bytes| i64::from(i32::from_le_bytes(bytes)));
                Self::whole(shape, values)
            }
            (9 | 2, Some(raw)) => Self::whole(shape, decoded(raw, |[byte]| i64::from(byte))),
            (2 | 6 | 7 | 9, None) => Self::whole(shape, whole_data),
            (11, Some(raw)) => {
                let values = decoded(raw, |bytes| f64::from_le_bytes(bytes) as f32);
                return (name, Self::floats(shape, values)).checked(count);
            }
            _ => {
                return Err(Refusal::unsupported(format!(
                    "the tensor `{name}` has elements of type {kind}"
                )));
            }
        };
        (name, constant).checked(count)
    }
}

trait Checked: Sized {
    fn checked(self, count: usize) -> Result<Self, Refusal>;
}

impl Checked for (String, Constant) {
    /// Refuses a tensor whose numbers do not fill its shape.
    fn checked(self, count: usize) -> Result<Self, Refusal> {
        let found = match &self.1.numbers {
            Numbers::Floats(values) => values.len(),
            Numbers::Whole(values) => values.len(),
            Numbers::Stored(stored) => {
                (stored.bytes.end - stored.bytes.start) as usize / size_of::<f32>()
            }
        };
        match found == count {
            true => Ok(self),
            false => Err(Refusal::malformed(format!(
                "the tensor `{}` has `{found}` numbers, its shape wants `{count}`",
                self.0
            ))),
        }
    }
}

fn decoded<const N: usize, T>(raw: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = raw.as_chunks::<N>();
    chunks.iter().map(|bytes| decode(*bytes)).collect()
}
