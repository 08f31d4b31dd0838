//! Maximum pooling. What wins is kept as the number of the window's tap, one byte an output.

use rayon::prelude::*;

use super::Pooling;
use crate::activation::Activation;
use crate::activation::function::{Function, with_function};
use crate::vectorized::vectorized;

/// The tap number of an output that passes no gradient: what won was cut by the rectifier.
pub(crate) const CUT: u8 = u8::MAX;

/// The largest element of each window to `output`, through `rectifier` if there is one, and the
/// number of the window's tap that it came from to `taps` (for [`max_backward`]). A NaN wins;
/// padding never does.
///
/// Numbers of windows with more than [`MAX_TAPS`](super::MAX_TAPS) taps do not fit `taps`: those
/// go back with [`max_backward_by_search`], and take no rectifier.
///
/// # Panics
/// The lengths do not fit the shape, or `rectifier` does not grow with its input.
pub fn max_forward(
    pooling: &Pooling,
    rectifier: Option<Activation>,
    input: &[f32],
    output: &mut [f32],
    taps: &mut [u8],
) {
    for_each_output_row(pooling, input, output, taps, |row, input, output, taps| {
        max_row(pooling, rectifier, row, input, output, taps);
    });
    if let Some(rectifier) = rectifier {
        assert!(rectifier.is_rectifier(), "not a rectifier");
        assert!(pooling.has_tap_numbers(), "too many taps");
    }
}

/// Calls `work` with each row of outputs: its number in the image, the image, and the row's
/// outputs and taps.
pub(crate) fn for_each_output_row(
    pooling: &Pooling,
    input: &[f32],
    output: &mut [f32],
    taps: &mut [u8],
    work: impl Fn(usize, &[f32], &mut [f32], &mut [u8]) + Sync,
) {
    pooling.assert_lengths(input.len(), output.len());
    assert_eq!(output.len(), taps.len(), "lengths differ");
    let (rows, row_len) = (pooling.output[0], pooling.output[1] * pooling.channels);
    let image_len = pooling.input_len();
    output
        .par_chunks_mut(row_len)
        .zip(taps.par_chunks_mut(row_len))
        .enumerate()
        .for_each(|(index, (output, taps))| {
            let image = &input[index / rows * image_len..][..image_len];
            work(index % rows, image, output, taps);
        });
}

vectorized! {
    fn max_row(
        pooling: &Pooling,
        rectifier: Option<Activation>,
        row: usize,
        input: &[f32],
        output: &mut [f32],
        taps: &mut [u8],
    ) {
        find_winners(pooling, row, input, output, taps, |_, value| value);
        cut(rectifier, output, taps);
    }

    fn add_winners_row(pooling: &Pooling, row: usize, window: Windows<'_>, target: &mut [f32]) {
        target.fill(0.0);
        add_winners(pooling, row, window, target);
    }
}

/// For each window of output row `row`, the largest `value(channel, input)`.
#[inline(always)]
pub(crate) fn find_winners(
    pooling: &Pooling,
    row: usize,
    input: &[f32],
    output: &mut [f32],
    taps: &mut [u8],
    value: impl Fn(usize, f32) -> f32,
) {
    let channels = pooling.channels;
    let pixels = output
        .chunks_exact_mut(channels)
        .zip(taps.chunks_exact_mut(channels));
    for (column, (output, taps)) in pixels.enumerate() {
        let mut is_first = true;
        pooling.for_each_tap_of(row, column, |tap, pixel| {
            let input = &input[pixel * channels..][..channels];
            let (output, taps) = (&mut output[..channels], &mut taps[..channels]);
            if is_first {
                is_first = false;
                for channel in 0..channels {
                    output[channel] = value(channel, input[channel]);
                }
                taps.fill(tap);
                return;
            }
            for channel in 0..channels {
                let value = value(channel, input[channel]);
                let wins = value > output[channel] || value.is_nan();
                output[channel] = if wins { value } else { output[channel] };
                taps[channel] = if wins { tap } else { taps[channel] };
            }
        });
    }
}

/// Applies the rectifier to outputs; those in its flat parts pass no gradient.
#[inline(always)]
pub(crate) fn cut(rectifier: Option<Activation>, output: &mut [f32], taps: &mut [u8]) {
    if rectifier.is_none() {
        return;
    }
    with_function!(rectifier, function => {
        for (output, tap) in output.iter_mut().zip(taps) {
            // A NaN has no slope, but its gradient should be seen.
            let passes = function.slope(*output) != 0.0 || output.is_nan();
            *tap = if passes { *tap } else { CUT };
            *output = function.value(*output);
        }
    });
}

/// Winners and gradients of an image's outputs.
#[derive(Clone, Copy)]
pub(crate) struct Windows<'a> {
    pub(crate) taps: &'a [u8],
    pub(crate) gradient: &'a [f32],
}

impl<'a> Windows<'a> {
    /// Those of the outputs of image number `index`.
    pub(crate) fn of_image(
        pooling: &Pooling,
        index: usize,
        taps: &'a [u8],
        all: &'a [f32],
    ) -> Self {
        let len = pooling.output_len();
        Self {
            taps: &taps[index * len..][..len],
            gradient: &all[index * len..][..len],
        }
    }
}

/// Adds to each element of input row `row` the gradients of the outputs that it won.
#[inline(always)]
pub(crate) fn add_winners(pooling: &Pooling, row: usize, windows: Windows<'_>, target: &mut [f32]) {
    let channels = pooling.channels;
    for out_row in pooling.windows_over(0, row) {
        let tap_row = row + pooling.padding[0] - out_row * pooling.stride[0];
        for out_column in 0..pooling.output[1] {
            let start = (out_row * pooling.output[1] + out_column) * channels;
            let taps = &windows.taps[start..][..channels];
            let gradient = &windows.gradient[start..][..channels];
            let columns = pooling.window(1, out_column);
            let first_tap = columns.start + pooling.padding[1] - out_column * pooling.stride[1];
            for (offset, column) in columns.enumerate() {
                let tap = (tap_row * pooling.kernel[1] + first_tap + offset) as u8;
                let target = &mut target[column * channels..][..channels];
                for channel in 0..channels {
                    let won = if taps[channel] == tap {
                        gradient[channel]
                    } else {
                        0.0
                    };
                    target[channel] += won;
                }
            }
        }
    }
}

/// The gradient by the input of [`max_forward`]: each output's goes to the tap that won.
///
/// # Panics
/// The lengths do not fit the shape, or a window has more taps than numbers.
pub fn max_backward(
    pooling: &Pooling,
    taps: &[u8],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) {
    pooling.assert_lengths(input_gradient.len(), output_gradient.len());
    assert_eq!(output_gradient.len(), taps.len(), "lengths differ");
    assert!(pooling.has_tap_numbers(), "too many taps");
    let rows = pooling.input[0];
    input_gradient
        .par_chunks_mut(pooling.input[1] * pooling.channels)
        .enumerate()
        .for_each(|(index, target)| {
            let windows = Windows::of_image(pooling, index / rows, taps, output_gradient);
            add_winners_row(pooling, index % rows, windows, target);
        });
}

/// The gradient by the input of [`max_forward`] without numbered taps: looks for the first
/// element of each window that equals its output.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn max_backward_by_search(
    pooling: &Pooling,
    input: &[f32],
    output: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) {
    pooling.assert_lengths(input.len(), output.len());
    pooling.assert_lengths(input_gradient.len(), output_gradient.len());
    assert_eq!(output.len(), output_gradient.len(), "lengths differ");
    let channels = pooling.channels;
    let (input_len, output_len) = (pooling.input_len(), pooling.output_len());
    input_gradient
        .par_chunks_mut(input_len)
        .zip(input.par_chunks(input_len))
        .zip(output.par_chunks(output_len))
        .zip(output_gradient.par_chunks(output_len))
        .for_each(|(((target, input), output), gradient)| {
            target.fill(0.0);
            for (index, (output, gradient)) in output.iter().zip(gradient).enumerate() {
                let (pixel, channel) = (index / channels, index % channels);
                let (row, column) = (pixel / pooling.output[1], pixel % pooling.output[1]);
                if let Some(winner) = pooling.pixels_of(row, column).find(|pixel| {
                    let value = input[pixel * channels + channel];
                    value == *output || value.is_nan()
                }) {
                    target[winner * channels + channel] += gradient;
                }
            }
        });
}
