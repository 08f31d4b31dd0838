//! Depth-wise convolution: each channel has a kernel of its own, so there is no product to make.

use rayon::prelude::*;

use super::Convolution;
use crate::vectorized::vectorized;

impl Convolution {
    /// Calls `visit` with the tap and the input pixel (of the batch) of each number that goes
    /// into output pixel `row` (of the batch).
    #[inline(always)]
    fn for_each_tap(&self, row: usize, mut visit: impl FnMut(usize, usize)) {
        let (image, within) = (row / self.out_pixels(), row % self.out_pixels());
        let (out_y, out_x) = (within / self.output[1], within % self.output[1]);
        for tap_y in 0..self.kernel[0] {
            let y = out_y * self.stride[0] + tap_y * self.dilation[0];
            let Some(y) = y
                .checked_sub(self.padding[0])
                .filter(|y| *y < self.input[0])
            else {
                continue;
            };
            for tap_x in 0..self.kernel[1] {
                let x = out_x * self.stride[1] + tap_x * self.dilation[1];
                let Some(x) = x
                    .checked_sub(self.padding[1])
                    .filter(|x| *x < self.input[1])
                else {
                    continue;
                };
                let pixel = (image * self.input[0] + y) * self.input[1] + x;
                visit(tap_y * self.kernel[1] + tap_x, pixel);
            }
        }
    }
}

/// From `[channels][taps]` to `[taps, channels]`, so that inner loops run over channels.
fn by_tap(shape: &Convolution, weight: &[f32]) -> Vec<f32> {
    let mut result = vec![0.0; weight.len()];
    crate::layout::transpose(weight, shape.in_channels, shape.taps(), &mut result);
    result
}

vectorized! {
    fn forward_rows(
        shape: &Convolution,
        input: &[f32],
        weight: &[f32],
        first: usize,
        output: &mut [f32],
    ) {
        let channels = shape.in_channels;
        for (row, output) in output.chunks_exact_mut(channels).enumerate() {
            output.fill(0.0);
            shape.for_each_tap(first + row, |tap, pixel| {
                let input = &input[pixel * channels..][..channels];
                let weight = &weight[tap * channels..][..channels];
                for ((sum, input), weight) in output.iter_mut().zip(input).zip(weight) {
                    *sum += input * weight;
                }
            });
        }
    }

    fn weight_gradient_rows(
        shape: &Convolution,
        input: &[f32],
        first: usize,
        gradient: &[f32],
        target: &mut [f32],
    ) {
        let channels = shape.in_channels;
        for (row, gradient) in gradient.chunks_exact(channels).enumerate() {
            shape.for_each_tap(first + row, |tap, pixel| {
                let input = &input[pixel * channels..][..channels];
                let target = &mut target[tap * channels..][..channels];
                for ((sum, input), gradient) in target.iter_mut().zip(input).zip(gradient) {
                    *sum += input * gradient;
                }
            });
        }
    }

    fn input_gradient_images(
        shape: &Convolution,
        weight: &[f32],
        gradient: &[f32],
        target: &mut [f32],
    ) {
        let channels = shape.in_channels;
        for (row, gradient) in gradient.chunks_exact(channels).enumerate() {
            shape.for_each_tap(row, |tap, pixel| {
                let target = &mut target[pixel * channels..][..channels];
                let weight = &weight[tap * channels..][..channels];
                for ((sum, weight), gradient) in target.iter_mut().zip(weight).zip(gradient) {
                    *sum += weight * gradient;
                }
            });
        }
    }
}

pub(super) fn forward(shape: &Convolution, input: &[f32], weight: &[f32], output: &mut [f32]) {
    let channels = shape.in_channels;
    let weight = by_tap(shape, weight);
    let rows_at_once = (crate::CHUNK / channels).max(1);
    output
        .par_chunks_mut(rows_at_once * channels)
        .enumerate()
        .for_each(|(piece, output)| {
            forward_rows(shape, input, &weight, piece * rows_at_once, output);
        });
}

/// Pieces of the batch whose sums are taken apart.
const PIECES: usize = 8;

/// `target ← gradient by the weight`.
pub(super) fn backward_weight(
    shape: &Convolution,
    input: &[f32],
    gradient: &[f32],
    target: &mut [f32],
) {
    let rows_per_piece = shape.rows().div_ceil(PIECES).max(1);
    let partial: Vec<Vec<f32>> = gradient
        .par_chunks(rows_per_piece * shape.out_channels)
        .enumerate()
        .map(|(piece, gradient)| {
            let mut sums = vec![0.0; shape.in_channels * shape.taps()];
            weight_gradient_rows(shape, input, piece * rows_per_piece, gradient, &mut sums);
            sums
        })
        .collect();
    let mut total = vec![0.0; target.len()];
    for sums in &partial {
        crate::activation::add(&mut total, sums);
    }
    crate::layout::transpose(&total, shape.taps(), shape.in_channels, target);
}

/// `target ← gradient by the input`.
pub(super) fn backward_input(
    shape: &Convolution,
    weight: &[f32],
    gradient: &[f32],
    target: &mut [f32],
) {
    let weight = by_tap(shape, weight);
    target
        .par_chunks_mut(shape.image_len().max(1))
        .zip(gradient.par_chunks((shape.out_pixels() * shape.out_channels).max(1)))
        .for_each(|(target, gradient)| {
            target.fill(0.0);
            input_gradient_images(shape, &weight, gradient, target);
        });
}
