//! Weights that stay where the model is until they are packed, and are not kept.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use ferrotype_kernels::convolution::prepared::{Method, Pieces, Prepared, WeightOrder, Weights};
use ferrotype_kernels::layout::bytes_mut;
use ferrotype_kernels::team::Team;

use super::graph::{Network, ValueId};
use super::refusal::Refusal;
use super::tensor::{Constant, Numbers};
use crate::onnx::Document;

/// Floats that are read from the model each time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    /// The place in the model of the numbers' bytes.
    pub(crate) bytes: Range<u64>,
    /// What the numbers of each row (of the tensor's first axis) are multiplied with.
    pub(crate) factors: Option<Arc<[f32]>>,
}

/// What weights are packed with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packing<'a> {
    /// The model; absent once it is loaded, when all weights are packed.
    pub(crate) document: Option<&'a Document<'a>>,
    pub(crate) team: &'a Team,
}

impl Packing<'_> {
    /// Packs the numbers of a constant, times `factor`, as weights of a shape.
    pub(crate) fn pack(
        &self,
        constant: &Constant,
        factor: f32,
        shape: &Weights<'_>,
        order: WeightOrder,
        method: Method,
    ) -> Result<Prepared, Refusal> {
        match &constant.numbers {
            Numbers::Stored(stored) => {
                let document = self.document.ok_or_else(|| {
                    Refusal::unsupported("weights that were not packed while loading")
                })?;
                let row_len = constant.shape[1..].iter().product();
                let read = |first: usize, target: &mut [f32]| {
                    read(document, stored, row_len, first, target)?;
                    multiply(target, factor);
                    Ok(())
                };
                let pieces = Pieces { order, read: &read };
                Prepared::read(shape, &pieces, method, self.team)
            }
            _ => {
                let values = constant.as_floats()?;
                let read = |first: usize, target: &mut [f32]| {
                    target.copy_from_slice(&values[first..][..target.len()]);
                    multiply(target, factor);
                    Ok(())
                };
                let pieces = Pieces { order, read: &read };
                Prepared::read(shape, &pieces, method, self.team)
            }
        }
    }
}

fn multiply(values: &mut [f32], factor: f32) {
    if factor != 1.0 {
        values.iter_mut().for_each(|value| *value *= factor);
    }
}

/// Reads the numbers from `first` on.
fn read(
    document: &Document<'_>,
    stored: &Stored,
    row_len: usize,
    first: usize,
    target: &mut [f32],
) -> Result<(), Refusal> {
    let start = stored.bytes.start + (first * size_of::<f32>()) as u64;
    document.read(start, bytes_mut(target))?;
    if cfg!(target_endian = "big") {
        for value in &mut *target {
            *value = f32::from_bits(u32::from_le(value.to_bits()));
        }
    }
    if let Some(factors) = &stored.factors {
        let (mut row, mut within, mut rest) = (first / row_len, first % row_len, target);
        while !rest.is_empty() {
            let (part, others) = rest.split_at_mut((row_len - within).min(rest.len()));
            for value in part {
                *value *= factors[row];
            }
            (row, within, rest) = (row + 1, 0, others);
        }
    }
    Ok(())
}

/// Reads all tensors that are not packed from the model: what is left is read by [`Packing::pack`]
/// alone.
pub(crate) fn settle(network: &mut Network, document: &Document<'_>) -> Result<(), Refusal> {
    let mut kept: HashMap<ValueId, bool> = HashMap::new();
    for node in &network.nodes {
        for (place, value) in node.inputs.iter().enumerate() {
            let Some(constant) = value.and_then(|value| network.constants.get(&value)) else {
                continue;
            };
            let is_weight = place == 1
                && match &node.operator[..] {
                    "Conv" => constant.shape.len() == 4,
                    "Gemm" | "MatMul" => constant.shape.len() == 2,
                    _ => false,
                };
            if let Some(value) = value {
                *kept.entry(*value).or_insert(true) &= is_weight;
            }
        }
    }
    for output in &network.outputs {
        kept.insert(*output, false);
    }
    for (value, constant) in &mut network.constants {
        if let Numbers::Stored(stored) = &constant.numbers
            && kept.get(value) == Some(&false)
        {
            let row_len = constant.shape[1..].iter().product();
            let mut values = vec![0.0; constant.shape.iter().product()];
            read(document, stored, row_len, 0, &mut values)?;
            *constant = Arc::new(Constant::floats(constant.shape.clone(), values));
        }
    }
    Ok(())
}
