//! Linear layers: rows times a weight in PyTorch's layout, `[outputs, inputs]`.

mod streaming;
#[cfg(test)]
mod tests;

use crate::activation::add_to_rows;
use crate::product::{Destination, Matrix, MatrixMut, Threads, multiply};

/// Shape of a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// Rows of the input: images, or their pixels.
    pub rows: usize,
    /// Numbers of an input row.
    pub inputs: usize,
    /// Numbers of an output row.
    pub outputs: usize,
}

/// The most rows for which packing the weight costs more than it gains.
const FEW_ROWS: usize = 128;

/// Numbers of a weight that is worth it: smaller ones are over in microseconds anyway.
const LARGE_WEIGHT: usize = 1 << 17;

impl Linear {
    /// Whether the weight is read once, as it lies, rather than packed for a product.
    fn is_streamed(&self) -> bool {
        self.rows <= FEW_ROWS
            && self.inputs * self.outputs >= LARGE_WEIGHT
            && streaming::is_available()
    }

    fn assert_lengths(&self, input: usize, weight: usize, output: usize) {
        assert_eq!(input, self.rows * self.inputs, "input length");
        assert_eq!(weight, self.inputs * self.outputs, "weight length");
        assert_eq!(output, self.rows * self.outputs, "output length");
    }
}

/// `output ← input · weightᵀ + bias`
///
/// # Panics
/// The lengths do not fit the shape.
pub fn forward(
    shape: &Linear,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    shape.assert_lengths(input.len(), weight.len(), output.len());
    if shape.is_streamed() {
        streaming::forward(shape, input, weight, output);
    } else {
        multiplied_forward(shape, input, weight, output);
    }
    if let Some(bias) = bias {
        add_to_rows(output, bias);
    }
}

/// `weight_gradient ← output_gradientᵀ · input`
///
/// # Panics
/// The lengths do not fit the shape.
pub fn backward_weight(
    shape: &Linear,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    shape.assert_lengths(input.len(), weight_gradient.len(), output_gradient.len());
    if shape.is_streamed() {
        streaming::backward_weight(shape, input, output_gradient, weight_gradient);
    } else {
        multiplied_backward_weight(shape, input, output_gradient, weight_gradient);
    }
}

/// `input_gradient ← output_gradient · weight`, or adds it.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn backward_input(
    shape: &Linear,
    weight: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
    mode: Destination,
) {
    shape.assert_lengths(input_gradient.len(), weight.len(), output_gradient.len());
    if shape.is_streamed() {
        streaming::backward_input(shape, weight, output_gradient, input_gradient, mode);
    } else {
        multiplied_backward_input(shape, weight, output_gradient, input_gradient, mode);
    }
}

fn multiplied_forward(shape: &Linear, input: &[f32], weight: &[f32], output: &mut [f32]) {
    multiply(
        MatrixMut::new(output, shape.rows, shape.outputs),
        Destination::Replace,
        Matrix::new(input, shape.rows, shape.inputs),
        Matrix::new(weight, shape.outputs, shape.inputs).transposed(),
        Threads::Pool,
    );
}

fn multiplied_backward_weight(
    shape: &Linear,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    multiply(
        MatrixMut::new(weight_gradient, shape.outputs, shape.inputs),
        Destination::Replace,
        Matrix::new(output_gradient, shape.rows, shape.outputs).transposed(),
        Matrix::new(input, shape.rows, shape.inputs),
        Threads::Pool,
    );
}

fn multiplied_backward_input(
    shape: &Linear,
    weight: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
    mode: Destination,
) {
    multiply(
        MatrixMut::new(input_gradient, shape.rows, shape.inputs),
        mode,
        Matrix::new(output_gradient, shape.rows, shape.outputs),
        Matrix::new(weight, shape.outputs, shape.inputs),
        Threads::Pool,
    );
}
