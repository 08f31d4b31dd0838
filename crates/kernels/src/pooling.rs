//! Pooling over windows of pixels and over whole images.

use rayon::prelude::*;

use crate::vectorized::vectorized;

/// Shape of a pooling layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pooling {
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Added on each side.
    pub padding: [usize; 2],
}

impl Pooling {
    fn input_len(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    fn output_len(&self) -> usize {
        self.output[0] * self.output[1] * self.channels
    }

    /// Calls `visit` with each output pixel of an image and each pixel of its window that lies
    /// in the image, as indices of pixels.
    #[inline(always)]
    fn for_each_tap(&self, mut visit: impl FnMut(usize, usize)) {
        for out_y in 0..self.output[0] {
            let rows = self.window(0, out_y);
            for out_x in 0..self.output[1] {
                let columns = self.window(1, out_x);
                for y in rows.clone() {
                    for x in columns.clone() {
                        visit(out_y * self.output[1] + out_x, y * self.input[1] + x);
                    }
                }
            }
        }
    }

    /// The part of window number `position` along `axis` that lies in the image.
    fn window(&self, axis: usize, position: usize) -> std::ops::Range<usize> {
        let start = position * self.stride[axis];
        let end = (start + self.kernel[axis]).saturating_sub(self.padding[axis]);
        start.saturating_sub(self.padding[axis])..end.min(self.input[axis])
    }

    fn assert_lengths(&self, input: usize, output: usize) {
        assert_eq!(
            input / self.input_len().max(1),
            output / self.output_len().max(1),
            "batch sizes differ"
        );
    }
}

/// The largest element of each window to `output`, and the pixel it came from to `winners`
/// (an index into the image's pixels, for [`max_backward`]). A NaN wins.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn max_forward(pooling: &Pooling, input: &[f32], output: &mut [f32], winners: &mut [u32]) {
    pooling.assert_lengths(input.len(), output.len());
    assert_eq!(output.len(), winners.len(), "lengths differ");
    output
        .par_chunks_mut(pooling.output_len())
        .zip(winners.par_chunks_mut(pooling.output_len()))
        .zip(input.par_chunks(pooling.input_len()))
        .for_each(|((output, winners), input)| {
            max_image(pooling, input, output, winners);
        });
}

vectorized! {
    fn max_image(pooling: &Pooling, input: &[f32], output: &mut [f32], winners: &mut [u32]) {
        let channels = pooling.channels;
        let mut previous = usize::MAX;
        pooling.for_each_tap(
            |out_pixel, pixel| {
                let output = &mut output[out_pixel * channels..][..channels];
                let winners = &mut winners[out_pixel * channels..][..channels];
                let input = &input[pixel * channels..][..channels];
                if out_pixel != previous {
                    previous = out_pixel;
                    output.copy_from_slice(input);
                    winners.fill(pixel as u32);
                    return;
                }
                for ((best, winner), value) in output.iter_mut().zip(winners).zip(input) {
                    let wins = *value > *best || value.is_nan();
                    *best = if wins { *value } else { *best };
                    *winner = if wins { pixel as u32 } else { *winner };
                }
            },
        );
    }

    fn average_image(pooling: &Pooling, input: &[f32], output: &mut [f32]) {
        let channels = pooling.channels;
        let share = window_share(pooling);
        output.fill(0.0);
        pooling.for_each_tap(|out_pixel, pixel| {
            let output = &mut output[out_pixel * channels..][..channels];
            let input = &input[pixel * channels..][..channels];
            for (sum, value) in output.iter_mut().zip(input) {
                *sum += share * value;
            }
        });
    }

    fn average_image_backward(pooling: &Pooling, gradient: &[f32], target: &mut [f32]) {
        let channels = pooling.channels;
        let share = window_share(pooling);
        target.fill(0.0);
        pooling.for_each_tap(|out_pixel, pixel| {
            let target = &mut target[pixel * channels..][..channels];
            let gradient = &gradient[out_pixel * channels..][..channels];
            for (sum, value) in target.iter_mut().zip(gradient) {
                *sum += share * value;
            }
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

    fn global_average_image_backward(gradient: &[f32], target: &mut [f32], share: f32) {
        for pixel in target.chunks_exact_mut(gradient.len()) {
            for (target, gradient) in pixel.iter_mut().zip(gradient) {
                *target = share * gradient;
            }
        }
    }
}

/// The gradient by the input of [`max_forward`]: each output's goes to the pixel that won.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn max_backward(
    pooling: &Pooling,
    winners: &[u32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) {
    pooling.assert_lengths(input_gradient.len(), output_gradient.len());
    assert_eq!(output_gradient.len(), winners.len(), "lengths differ");
    let channels = pooling.channels;
    input_gradient
        .par_chunks_mut(pooling.input_len())
        .zip(winners.par_chunks(pooling.output_len()))
        .zip(output_gradient.par_chunks(pooling.output_len()))
        .for_each(|((target, winners), gradient)| {
            target.fill(0.0);
            for (winners, gradient) in winners
                .chunks_exact(channels)
                .zip(gradient.chunks_exact(channels))
            {
                for (channel, (winner, gradient)) in winners.iter().zip(gradient).enumerate() {
                    target[*winner as usize * channels + channel] += gradient;
                }
            }
        });
}

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

/// The gradient by the input of [`global_average_forward`].
///
/// # Panics
/// The lengths do not fit the shape.
pub fn global_average_backward(
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
        .for_each(|(target, gradient)| global_average_image_backward(gradient, target, share));
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOLING: Pooling = Pooling {
        input: [3, 3],
        output: [2, 2],
        channels: 1,
        kernel: [2, 2],
        stride: [2, 2],
        padding: [1, 1],
    };
    const INPUT: [f32; 9] = [1.0, -2.0, 3.0, 4.0, 5.0, -6.0, 7.0, 8.0, 9.0];

    #[test]
    fn padding_never_wins_a_maximum() {
        let (mut output, mut winners) = ([0.0; 4], [0; 4]);
        max_forward(
            &POOLING,
            &INPUT.map(|x| x - 100.0),
            &mut output,
            &mut winners,
        );
        assert_eq!(output, [-99.0, -97.0, -93.0, -91.0]);
        assert_eq!(winners, [0, 2, 6, 8]);
        let mut gradient = [9.0; 9];
        max_backward(&POOLING, &winners, &[1.0, 2.0, 3.0, 4.0], &mut gradient);
        assert_eq!(gradient, [1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0, 0.0, 4.0]);
    }

    #[test]
    fn padding_counts_as_zeros_in_a_mean() {
        let mut output = [0.0; 4];
        average_forward(&POOLING, &INPUT, &mut output);
        assert_eq!(output, [0.25, 0.25, 2.75, 4.0]);
        let mut gradient = [9.0; 9];
        average_backward(&POOLING, &[4.0, 8.0, 12.0, 16.0], &mut gradient);
        assert_eq!(gradient, [1.0, 2.0, 2.0, 3.0, 4.0, 4.0, 3.0, 4.0, 4.0]);
    }

    #[test]
    fn a_nan_survives_a_maximum() {
        let mut input = INPUT;
        input[4] = f32::NAN;
        let (mut output, mut winners) = ([0.0; 4], [0; 4]);
        max_forward(&POOLING, &input, &mut output, &mut winners);
        assert!(output[3].is_nan());
    }

    #[test]
    fn the_global_mean_is_over_each_image() {
        let input = [1.0, 10.0, 3.0, 30.0, 5.0, 50.0, 7.0, 70.0];
        let mut output = [0.0; 4];
        global_average_forward(&input, 2, 2, &mut output);
        assert_eq!(output, [2.0, 20.0, 6.0, 60.0]);
        let mut gradient = [0.0; 8];
        global_average_backward(&output, 2, 2, &mut gradient);
        assert_eq!(gradient, [1.0, 10.0, 1.0, 10.0, 3.0, 30.0, 3.0, 30.0]);
    }
}
