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

/// From the packed `[channels][taps]` to `[taps, channels]`, so that inner loops run over
/// channels.
fn by_tap(shape: &Convolution, packed: &[f32]) -> Vec<f32> {
    let mut result = vec![0.0; packed.len()];
    crate::layout::transpose(packed, shape.in_channels, shape.taps(), &mut result);
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

pub(super) fn forward(shape: &Convolution, input: &[f32], packed: &[f32], output: &mut [f32]) {
    let channels = shape.in_channels;
    let weight = by_tap(shape, packed);
    let rows_at_once = (crate::CHUNK / channels).max(1);
    output
        .par_chunks_mut(rows_at_once * channels)
        .enumerate()
        .for_each(|(piece, output)| {
            forward_rows(shape, input, &weight, piece * rows_at_once, output);
        });
}

/// The gradient by the weight of the output pixels from `first` on, in the packed layout.
pub(super) fn backward_weight(
    shape: &Convolution,
    input: &[f32],
    first: usize,
    gradient: &[f32],
) -> Vec<f32> {
    let mut by_tap = vec![0.0; shape.in_channels * shape.taps()];
    weight_gradient_rows(shape, input, first, gradient, &mut by_tap);
    let mut packed = vec![0.0; by_tap.len()];
    crate::layout::transpose(&by_tap, shape.taps(), shape.in_channels, &mut packed);
    packed
}

/// The gradient by the input of the images that `gradient` belongs to.
pub(super) fn backward_input(
    shape: &Convolution,
    packed: &[f32],
    gradient: &[f32],
    target: &mut [f32],
) {
    let weight = by_tap(shape, packed);
    target.fill(0.0);
    input_gradient_images(shape, &weight, gradient, target);
}
