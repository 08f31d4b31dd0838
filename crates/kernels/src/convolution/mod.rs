//! Two-dimensional convolution (cross-correlation), forward and backward, as products of
//! gathered patches with the weights; depth-wise ones as direct loops.

mod depthwise;
mod patches;

use rayon::prelude::*;

use crate::activation::{add_to_rows, column_sums};
use crate::product::{Destination, Matrix, MatrixMut, Threads, multiply};
use crate::scratch::with_scratch;

/// Shape of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Images.
    pub batch: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Zeros added on each side.
    pub padding: [usize; 2],
    /// Distance between the window's elements.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

/// Gradients of a convolution's weight and bias.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightGradients {
    /// In the weight's layout.
    pub weight: Vec<f32>,
    /// `[out_channels]`
    pub bias: Vec<f32>,
}

/// Numbers of gathered patches that are worked on at a time; they stay in the second-level cache.
const PATCH_NUMBERS: usize = 96 * 1024;

/// Numbers of gathered patches that a thread holds at most, unless one patch has more.
const PATCH_NUMBERS_MAX: usize = 4 * 1024 * 1024;

/// Numbers of partial weight gradients that all pieces together may take.
const PARTIAL_NUMBERS: usize = 4 * 1024 * 1024;

impl Convolution {
    /// Channels that one output sees.
    fn group_inputs(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Outputs of one group.
    fn group_outputs(&self) -> usize {
        self.out_channels / self.groups
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Numbers that go into one output.
    fn patch_len(&self) -> usize {
        self.taps() * self.group_inputs()
    }

    fn out_pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    fn in_len(&self) -> usize {
        self.batch * self.image_len()
    }

    fn image_len(&self) -> usize {
        self.input[0] * self.input[1] * self.in_channels
    }

    /// Output pixels of the whole batch.
    fn rows(&self) -> usize {
        self.batch * self.out_pixels()
    }

    /// Output pixels that are worked on at a time: enough for a product to be efficient, few
    /// enough for the cache, and for memory when a patch is absurdly large.
    fn rows_at_once(&self) -> usize {
        let efficient = 32.min(PATCH_NUMBERS_MAX / self.patch_len());
        (PATCH_NUMBERS / self.patch_len())
            .max(efficient)
            .clamp(1, 2048)
    }

    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.group_inputs() == 1 && self.group_outputs() == 1
    }

    /// Whether a patch is a pixel, so that nothing needs gathering.
    fn is_pointwise(&self) -> bool {
        self.taps() == 1 && self.stride == [1, 1] && self.padding == [0, 0] && self.groups == 1
    }

    fn assert_lengths(&self, input: usize, weight: usize, output: usize) {
        assert_eq!(input, self.in_len(), "input length");
        assert_eq!(output, self.rows() * self.out_channels, "output length");
        assert_eq!(
            weight,
            self.out_channels * self.patch_len(),
            "weight length"
        );
    }

    /// From PyTorch's `[out, in / groups, taps]` to `[groups][taps · in / groups, out / groups]`:
    /// for each group the right-hand matrix of the product.
    fn pack(&self, weight: &[f32]) -> Vec<f32> {
        let mut packed = vec![0.0; weight.len()];
        self.for_each_weight(|standard, at| packed[at] = weight[standard]);
        packed
    }

    fn unpack(&self, packed: &[f32]) -> Vec<f32> {
        let mut weight = vec![0.0; packed.len()];
        self.for_each_weight(|standard, at| weight[standard] = packed[at]);
        weight
    }

    /// Calls `visit` with each weight's position in PyTorch's layout and in the packed one.
    fn for_each_weight(&self, mut visit: impl FnMut(usize, usize)) {
        let (inputs, outputs, taps) = (self.group_inputs(), self.group_outputs(), self.taps());
        let mut standard = 0;
        for group in 0..self.groups {
            for output in 0..outputs {
                for input in 0..inputs {
                    for tap in 0..taps {
                        let row = group * self.patch_len() + tap * inputs + input;
                        visit(standard, row * outputs + output);
                        standard += 1;
                    }
                }
            }
        }
    }
}

/// `output ← convolution of input + bias`. Input and output are NHWC, `weight` is
/// `[out_channels, in_channels / groups, kernel height, kernel width]`.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn forward(
    shape: &Convolution,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    shape.assert_lengths(input.len(), weight.len(), output.len());
    let packed = shape.pack(weight);
    if shape.is_depthwise() {
        depthwise::forward(shape, input, &packed, output);
    } else {
        let rows_at_once = shape.rows_at_once();
        output
            .par_chunks_mut(rows_at_once * shape.out_channels)
            .enumerate()
            .for_each(|(piece, output)| {
                let first = piece * rows_at_once;
                let rows = output.len() / shape.out_channels;
                forward_rows(shape, input, &packed, first, rows, output);
            });
    }
    if let Some(bias) = bias {
        add_to_rows(output, bias);
    }
}

fn forward_rows(
    shape: &Convolution,
    input: &[f32],
    packed: &[f32],
    first: usize,
    rows: usize,
    output: &mut [f32],
) {
    let (patch_len, outputs) = (shape.patch_len(), shape.group_outputs());
    for group in 0..shape.groups {
        with_patches(shape, input, group, first, rows, |patches| {
            let weight = &packed[group * patch_len * outputs..][..patch_len * outputs];
            let target = &mut output[group * outputs..];
            multiply(
                MatrixMut::with_stride(target, rows, outputs, shape.out_channels),
                Destination::Replace,
                Matrix::new(patches, rows, patch_len),
                Matrix::new(weight, patch_len, outputs),
                Threads::One,
            );
        });
    }
}

/// Calls `work` with the patches of the output pixels `first..first + rows`, one a row.
fn with_patches(
    shape: &Convolution,
    input: &[f32],
    group: usize,
    first: usize,
    rows: usize,
    work: impl FnOnce(&[f32]),
) {
    let patch_len = shape.patch_len();
    if shape.is_pointwise() {
        return work(&input[first * patch_len..][..rows * patch_len]);
    }
    with_scratch(rows * patch_len, |patches| {
        patches::gather(shape, input, group, first, patches);
        work(patches);
    });
}

/// The gradient by the weight and the bias, given that by the output.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn backward_weight(
    shape: &Convolution,
    input: &[f32],
    output_gradient: &[f32],
) -> WeightGradients {
    let weight_len = shape.out_channels * shape.patch_len();
    shape.assert_lengths(input.len(), weight_len, output_gradient.len());
    let pieces = (PARTIAL_NUMBERS / weight_len.max(1)).clamp(4, 16);
    let rows_per_piece = shape.rows().div_ceil(pieces).max(1);
    let partial: Vec<WeightGradients> = output_gradient
        .par_chunks(rows_per_piece * shape.out_channels)
        .enumerate()
        .map(|(piece, gradient)| {
            let first = piece * rows_per_piece;
            let weight = if shape.is_depthwise() {
                depthwise::backward_weight(shape, input, first, gradient)
            } else {
                backward_weight_rows(shape, input, first, gradient)
            };
            WeightGradients {
                weight,
                bias: column_sums(gradient, shape.out_channels),
            }
        })
        .collect();
    let total = sum_in_order(partial, weight_len, shape.out_channels);
    WeightGradients {
        weight: shape.unpack(&total.weight),
        bias: total.bias,
    }
}

fn backward_weight_rows(
    shape: &Convolution,
    input: &[f32],
    first: usize,
    gradient: &[f32],
) -> Vec<f32> {
    let (patch_len, outputs) = (shape.patch_len(), shape.group_outputs());
    let mut packed = vec![0.0; shape.out_channels * patch_len];
    let rows_at_once = shape.rows_at_once();
    for (piece, gradient) in gradient
        .chunks(rows_at_once * shape.out_channels)
        .enumerate()
    {
        let rows = gradient.len() / shape.out_channels;
        let first = first + piece * rows_at_once;
        for group in 0..shape.groups {
            let target = &mut packed[group * patch_len * outputs..][..patch_len * outputs];
            with_patches(shape, input, group, first, rows, |patches| {
                let gradient = &gradient[group * outputs..];
                multiply(
                    MatrixMut::new(target, patch_len, outputs),
                    Destination::Add,
                    Matrix::new(patches, rows, patch_len).transposed(),
                    Matrix::with_stride(gradient, rows, outputs, shape.out_channels),
                    Threads::One,
                );
            });
        }
    }
    packed
}

fn sum_in_order(
    partial: Vec<WeightGradients>,
    weight_len: usize,
    bias_len: usize,
) -> WeightGradients {
    let mut partial = partial.into_iter();
    let first = partial.next().unwrap_or_else(|| WeightGradients {
        weight: vec![0.0; weight_len],
        bias: vec![0.0; bias_len],
    });
    partial.fold(first, |mut total, piece| {
        let weights = total.weight.iter_mut().zip(&piece.weight);
        weights.for_each(|(total, piece)| *total += piece);
        let biases = total.bias.iter_mut().zip(&piece.bias);
        biases.for_each(|(total, piece)| *total += piece);
        total
    })
}

/// `input_gradient ← gradient by the input`, given that by the output.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn backward_input(
    shape: &Convolution,
    weight: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) {
    shape.assert_lengths(input_gradient.len(), weight.len(), output_gradient.len());
    let packed = shape.pack(weight);
    // Patches of neighbouring pixels overlap, those of different images do not.
    let images_at_once = (shape.rows_at_once() / shape.out_pixels()).max(1);
    input_gradient
        .par_chunks_mut(images_at_once * shape.image_len())
        .zip(output_gradient.par_chunks(images_at_once * shape.out_pixels() * shape.out_channels))
        .for_each(|(target, gradient)| {
            if shape.is_depthwise() {
                depthwise::backward_input(shape, &packed, gradient, target);
            } else {
                backward_input_images(shape, &packed, gradient, target);
            }
        });
}

fn backward_input_images(
    shape: &Convolution,
    packed: &[f32],
    gradient: &[f32],
    target: &mut [f32],
) {
    let (patch_len, outputs) = (shape.patch_len(), shape.group_outputs());
    if shape.is_pointwise() {
        let rows = gradient.len() / shape.out_channels;
        let weight = Matrix::new(packed, patch_len, outputs).transposed();
        let target = MatrixMut::new(target, rows, patch_len);
        let gradient = Matrix::new(gradient, rows, outputs);
        multiply(target, Destination::Replace, gradient, weight, Threads::One);
        return;
    }
    target.fill(0.0);
    let rows_at_once = shape.rows_at_once();
    for (piece, gradient) in gradient
        .chunks(rows_at_once * shape.out_channels)
        .enumerate()
    {
        let rows = gradient.len() / shape.out_channels;
        for group in 0..shape.groups {
            let weight = &packed[group * patch_len * outputs..][..patch_len * outputs];
            with_scratch(rows * patch_len, |patches| {
                multiply(
                    MatrixMut::new(patches, rows, patch_len),
                    Destination::Replace,
                    Matrix::with_stride(
                        &gradient[group * outputs..],
                        rows,
                        outputs,
                        shape.out_channels,
                    ),
                    Matrix::new(weight, patch_len, outputs).transposed(),
                    Threads::One,
                );
                patches::scatter(shape, patches, group, piece * rows_at_once, target);
            });
        }
    }
}
