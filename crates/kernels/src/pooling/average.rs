//! Mean pooling: over windows, over a grid of any size, over whole images.

use rayon::prelude::*;

use super::Pooling;
use crate::vectorized::vectorized;

/// The mean of each window; padding counts as zeros.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn average_forward(pooling: &Pooling, input: &[f32], output: &mut [f32]) {
    pooling.assert_lengths(input.len(), output.len());
    output
        .par_chunks_mut(pooling.output_len())
        .zip(input.par_chunks(pooling.input_len()))
        .for_each(|(output, input)| average_image(pooling, input, output));
}

/// The gradient by the input of [`average_forward`].
///
/// # Panics
/// The lengths do not fit the shape.
pub fn average_backward(pooling: &Pooling, output_gradient: &[f32], input_gradient: &mut [f32]) {
    pooling.assert_lengths(input_gradient.len(), output_gradient.len());
    input_gradient
        .par_chunks_mut(pooling.input_len())
        .zip(output_gradient.par_chunks(pooling.output_len()))
        .for_each(|(target, gradient)| average_image_backward(pooling, gradient, target));
}

fn window_share(pooling: &Pooling) -> f32 {
    1.0 / (pooling.kernel[0] * pooling.kernel[1]) as f32
}

/// Shape of a mean pooling onto a grid of given size. Window number `i` of `n` over `len` pixels
/// reaches from `⌊i·len/n⌋` to `⌈(i + 1)·len/n⌉`, as PyTorch's `AdaptiveAvgPool2d` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Channels.
    pub channels: usize,
}

impl Grid {
    fn window(&self, axis: usize, position: usize) -> std::ops::Range<usize> {
        let (input, output) = (self.input[axis], self.output[axis]);
        position * input / output..((position + 1) * input).div_ceil(output)
    }

    /// Calls `visit` with each output pixel, each pixel of its window, and the window's share.
    #[inline(always)]
    fn for_each_tap(&self, mut visit: impl FnMut(usize, usize, f32)) {
        for out_row in 0..self.output[0] {
            let rows = self.window(0, out_row);
            for out_column in 0..self.output[1] {
                let columns = self.window(1, out_column);
                let share = 1.0 / (rows.len() * columns.len()) as f32;
                for row in rows.clone() {
                    for column in columns.clone() {
                        let out_pixel = out_row * self.output[1] + out_column;
                        visit(out_pixel, row * self.input[1] + column, share);
                    }
                }
            }
        }
    }

    fn lens(&self) -> [usize; 2] {
        [self.input, self.output].map(|[height, width]| height * width * self.channels)
    }

    fn assert_lengths(&self, input: usize, output: usize) {
        let [input_len, output_len] = self.lens();
        assert_eq!(
            input / input_len.max(1),
            output / output_len.max(1),
            "batch sizes differ"
        );
    }
}

/// The mean of each window of the grid.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn grid_average_forward(grid: &Grid, input: &[f32], output: &mut [f32]) {
    grid.assert_lengths(input.len(), output.len());
    let [input_len, output_len] = grid.lens();
    output
        .par_chunks_mut(output_len)
        .zip(input.par_chunks(input_len))
        .for_each(|(output, input)| grid_image(grid, input, output));
}

/// The gradient by the input of [`grid_average_forward`].
///
/// # Panics
/// The lengths do not fit the shape.
pub fn grid_average_backward(grid: &Grid, output_gradient: &[f32], input_gradient: &mut [f32]) {
    grid.assert_lengths(input_gradient.len(), output_gradient.len());
    let [input_len, output_len] = grid.lens();
    input_gradient
        .par_chunks_mut(input_len)
        .zip(output_gradient.par_chunks(output_len))
        .for_each(|(target, gradient)| grid_image_backward(grid, gradient, target));
}

/// The mean of each channel over each image of `pixels` pixels.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn global_average_forward(input: &[f32], channels: usize, pixels: usize, output: &mut [f32]) {
    assert_eq!(input.len(), output.len() * pixels, "lengths differ");
    let share = 1.0 / pixels as f32;
    output
        .par_chunks_mut(channels)
        .zip(input.par_chunks(channels * pixels))
        .for_each(|(output, input)| global_average_image(input, output, share));
}

/// Adds the gradient by the input of [`global_average_forward`] to `input_gradient`.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn add_global_average_backward(
    output_gradient: &[f32],
    channels: usize,
    pixels: usize,
    input_gradient: &mut [f32],
) {
    assert_eq!(
        input_gradient.len(),
        output_gradient.len() * pixels,
        "lengths differ"
    );
    let share = 1.0 / pixels as f32;
    input_gradient
        .par_chunks_mut(channels * pixels)
        .zip(output_gradient.par_chunks(channels))
        .for_each(|(target, gradient)| add_global_average_image(gradient, target, share));
}

vectorized! {
    fn average_image(pooling: &Pooling, input: &[f32], output: &mut [f32]) {
        let channels = pooling.channels;
        let share = window_share(pooling);
        output.fill(0.0);
        pooling.for_each_tap(|out_pixel, pixel| {
            let output = &mut output[out_pixel * channels..][..channels];
            add_share(output, &input[pixel * channels..][..channels], share);
        });
    }

    fn average_image_backward(pooling: &Pooling, gradient: &[f32], target: &mut [f32]) {
        let channels = pooling.channels;
        let share = window_share(pooling);
        target.fill(0.0);
        pooling.for_each_tap(|out_pixel, pixel| {
            let target = &mut target[pixel * channels..][..channels];
            add_share(target, &gradient[out_pixel * channels..][..channels], share);
        });
    }

    fn grid_image(grid: &Grid, input: &[f32], output: &mut [f32]) {
        let channels = grid.channels;
        output.fill(0.0);
        grid.for_each_tap(|out_pixel, pixel, share| {
            let output = &mut output[out_pixel * channels..][..channels];
            add_share(output, &input[pixel * channels..][..channels], share);
        });
    }

    fn grid_image_backward(grid: &Grid, gradient: &[f32], target: &mut [f32]) {
        let channels = grid.channels;
        target.fill(0.0);
        grid.for_each_tap(|out_pixel, pixel, share| {
            let target = &mut target[pixel * channels..][..channels];
            add_share(target, &gradient[out_pixel * channels..][..channels], share);
        });
    }

    fn global_average_image(input: &[f32], output: &mut [f32], share: f32) {
        output.fill(0.0);
        for pixel in input.chunks_exact(output.len()) {
            for (sum, value) in output.iter_mut().zip(pixel) {
                *sum += value;
            }
        }
        output.iter_mut().for_each(|sum| *sum *= share);
    }

    fn add_global_average_image(gradient: &[f32], target: &mut [f32], share: f32) {
        for pixel in target.chunks_exact_mut(gradient.len()) {
            add_share(pixel, gradient, share);
        }
    }
}

#[inline(always)]
fn add_share(target: &mut [f32], source: &[f32], share: f32) {
    for (target, source) in target.iter_mut().zip(source) {
        *target += share * source;
    }
}
