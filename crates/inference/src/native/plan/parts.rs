//! Steps that operators are put together from.

use std::sync::Arc;

use ferrotype_kernels::finish::Function;
use ferrotype_kernels::strided::{Operation, PairAxis};

use super::{Kind, Layout, Planner, Source, Tensor, order};
use crate::native::fold::broadcast;
use crate::native::refusal::Refusal;
use crate::native::tensor::elements;

impl Planner<'_> {
    /// A function of each number.
    pub(super) fn function_of(
        &mut self,
        input: Tensor,
        function: Function,
    ) -> Result<Tensor, Refusal> {
        let (shape, layout) = (input.shape, input.layout);
        self.step(Kind::Function(function), vec![input.source], &shape, layout)
    }

    /// An operation on two values of which axes of one element are repeated.
    pub(super) fn pair_of(
        &mut self,
        operation: Operation,
        left: Tensor,
        right: Tensor,
    ) -> Result<Tensor, Refusal> {
        let shape = broadcast(&left.shape, &right.shape)?;
        let is_last = |tensor: &Tensor| {
            tensor.layout == Layout::ChannelsLast && tensor.shape.len() == shape.len()
        };
        let layout = match shape.len() == 4 && (is_last(&left) || is_last(&right)) {
            true => Layout::ChannelsLast,
            false => Layout::Plain,
        };
        let (left_strides, right_strides) =
            (repeated(&left, shape.len()), repeated(&right, shape.len()));
        let axes = order(shape.len(), layout).into_iter().map(|axis| PairAxis {
            len: shape[axis],
            left: left_strides[axis],
            right: right_strides[axis],
        });
        let kind = Kind::Combine(operation, axes.collect());
        self.step(kind, vec![left.source, right.source], &shape, layout)
    }

    /// The same numbers in another shape.
    pub(super) fn viewed(&mut self, tensor: &Tensor, shape: Vec<usize>) -> Result<Tensor, Refusal> {
        if elements(&shape)? != tensor.len() {
            return Err(Refusal::malformed(format!(
                "from {:?} to {shape:?}",
                tensor.shape
            )));
        }
        let tensor = self.plain(tensor)?;
        Ok(Tensor { shape, ..tensor })
    }

    /// An image of one row from a line, `[batch, channels, length]`.
    pub(super) fn as_row(&mut self, line: &Tensor) -> Result<Tensor, Refusal> {
        match line.shape[..] {
            [batch, channels, len] => self.viewed(line, vec![batch, channels, 1, len]),
            _ => Err(Refusal::malformed("a line with other than three axes")),
        }
    }

    /// A line from an image of one row.
    pub(super) fn as_line(&mut self, row: &Tensor) -> Result<Tensor, Refusal> {
        match row.shape[..] {
            [batch, channels, 1, len] => self.viewed(row, vec![batch, channels, len]),
            _ => Err(Refusal::malformed("an image with other than one row")),
        }
    }
}

/// One number as a value.
pub(super) fn number(value: f32) -> Tensor {
    numbers(vec![value].into(), Vec::new())
}

/// Numbers as a value.
pub(super) fn numbers(values: Arc<[f32]>, shape: Vec<usize>) -> Tensor {
    Tensor {
        source: Source::Constant(values),
        shape,
        layout: Layout::Plain,
    }
}

/// The shape of a number for each channel of images, or of lines or rows, with `rank` axes.
pub(super) fn along_channels(channels: usize, rank: usize) -> Vec<usize> {
    let mut shape = vec![1; rank.saturating_sub(1)];
    if let Some(first) = shape.first_mut() {
        *first = channels;
    }
    shape
}

/// A value's strides among `rank` axes, zero where it is repeated.
fn repeated(tensor: &Tensor, rank: usize) -> Vec<usize> {
    let own = tensor.strides();
    let missing = rank - own.len();
    (0..rank)
        .map(|axis| match axis.checked_sub(missing) {
            Some(axis) if tensor.shape[axis] > 1 => own[axis],
            _ => 0,
        })
        .collect()
}
