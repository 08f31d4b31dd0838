//! Linear layers: rows times a weight in PyTorch's layout, `[outputs, inputs]`.

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
    multiply(
        MatrixMut::new(output, shape.rows, shape.outputs),
        Destination::Replace,
        Matrix::new(input, shape.rows, shape.inputs),
        Matrix::new(weight, shape.outputs, shape.inputs).transposed(),
        Threads::Pool,
    );
    if let Some(bias) = bias {
        add_to_rows(output, bias);
    }
}

/// `weight_gradient ← output_gradientᵀ · input`, or adds it.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn backward_weight(
    shape: &Linear,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
    mode: Destination,
) {
    multiply(
        MatrixMut::new(weight_gradient, shape.outputs, shape.inputs),
        mode,
        Matrix::new(output_gradient, shape.rows, shape.outputs).transposed(),
        Matrix::new(input, shape.rows, shape.inputs),
        Threads::Pool,
    );
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
    multiply(
        MatrixMut::new(input_gradient, shape.rows, shape.inputs),
        mode,
        Matrix::new(output_gradient, shape.rows, shape.outputs),
        Matrix::new(weight, shape.outputs, shape.inputs),
        Threads::Pool,
    );
}
