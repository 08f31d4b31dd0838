//! A normalisation, its rectifier and the maximum pooling below them: the normalised image is
//! never written, nor is its gradient.

use rayon::prelude::*;

use super::{AffineGradients, Columns, GradientSums, Normalization};
use crate::activation::Activation;
use crate::pooling::Pooling;
use crate::pooling::max::{Windows, add_winners, cut, find_winners, for_each_output_row};
use crate::scratch::with_scratch;
use crate::vectorized::vectorized;

/// `output ←` the largest of `rectifier((input − mean) / deviation · weight + bias)` in each
/// window; `taps` get the winners' numbers, for [`backward_pooled`].
///
/// # Panics
/// The lengths do not fit each other, a window has more than
/// [`MAX_TAPS`](crate::pooling::MAX_TAPS) taps, or the activation does not grow with its input.
pub fn forward_pooled(
    normalization: &Normalization<'_>,
    pooling: &Pooling,
    input: &[f32],
    output: &mut [f32],
    taps: &mut [u8],
) {
    assert_eq!(normalization.channels(), pooling.channels, "channels");
    assert!(pooling.has_tap_numbers(), "too many taps");
    let activation = normalization.activation;
    assert!(
        activation.is_none_or(Activation::is_rectifier),
        "not a rectifier"
    );
    let scale = normalization.scale();
    let affine = [normalization.mean, &scale, normalization.bias];
    for_each_output_row(pooling, input, output, taps, |row, input, output, taps| {
        pooled_row(pooling, affine, activation, row, input, output, taps);
    });
}

/// The gradients of [`forward_pooled`], as [`backward`](super::backward()) has them. `values` is the
/// input, and becomes its gradient; `gradient` is that of the pooled output.
///
/// # Panics
/// As [`forward_pooled`].
pub fn backward_pooled(
    normalization: &Normalization<'_>,
    pooling: &Pooling,
    values: &mut [f32],
    taps: &[u8],
    gradient: &[f32],
) -> AffineGradients {
    let channels = normalization.channels();
    assert_eq!(channels, pooling.channels, "channels");
    assert_eq!(taps.len(), gradient.len(), "lengths differ");
    assert!(pooling.has_tap_numbers(), "too many taps");
    pooling.assert_lengths(values.len(), gradient.len());
    let affine = [normalization.mean, normalization.inverse_deviation];
    let sums = winner_sums(pooling, affine, values, taps, gradient);
    let columns = Columns::of(normalization);
    let [mean_dy, mean_dy_x] = sums.means(values.len() / channels, normalization.source);
    let (rows, row_len) = (pooling.input[0], pooling.input[1] * channels);
    values
        .par_chunks_mut(row_len)
        .enumerate()
        .for_each(|(index, values)| {
            let windows = Windows::of_image(pooling, index / rows, taps, gradient);
            with_scratch(row_len, |scratch| {
                let means = [&mean_dy[..], &mean_dy_x[..]];
                gradient_row(
                    pooling,
                    &columns,
                    means,
                    index % rows,
                    windows,
                    scratch,
                    values,
                );
            });
        });
    sums.gradients()
}

/// Output rows whose sums one thread takes at a time.
const ROWS_AT_ONCE: usize = 16;

/// `Σ dy · x̂` and `Σ dy` over the winners.
fn winner_sums(
    pooling: &Pooling,
    affine: [&[f32]; 2],
    values: &[f32],
    taps: &[u8],
    gradient: &[f32],
) -> GradientSums {
    let (rows, row_len) = (pooling.output[0], pooling.output[1] * pooling.channels);
    let image_len = pooling.input_len();
    let pieces: Vec<[Vec<f32>; 2]> = gradient
        .par_chunks(ROWS_AT_ONCE * row_len)
        .zip(taps.par_chunks(ROWS_AT_ONCE * row_len))
        .enumerate()
        .map(|(piece, (gradient, taps))| {
            let mut sums = [vec![0.0; pooling.channels], vec![0.0; pooling.channels]];
            let both = gradient.chunks(row_len).zip(taps.chunks(row_len));
            for (row, (gradient, taps)) in (piece * ROWS_AT_ONCE..).zip(both) {
                let image = &values[row / rows * image_len..][..image_len];
                let [weight, bias] = &mut sums;
                let windows = Windows { taps, gradient };
                sum_row(pooling, affine, row % rows, image, windows, [weight, bias]);
            }
            sums
        })
        .collect();
    GradientSums::total(pooling.channels, &pieces)
}

vectorized! {
    fn pooled_row(
        pooling: &Pooling,
        affine: [&[f32]; 3],
        activation: Option<Activation>,
        row: usize,
        input: &[f32],
        output: &mut [f32],
        taps: &mut [u8],
    ) {
        let [mean, scale, bias] = affine.map(|column| &column[..pooling.channels]);
        find_winners(pooling, row, input, output, taps, |channel, value| {
            (value - mean[channel]) * scale[channel] + bias[channel]
        });
        cut(activation, output, taps);
    }

    fn sum_row(
        pooling: &Pooling,
        affine: [&[f32]; 2],
        row: usize,
        image: &[f32],
        windows: Windows<'_>,
        sums: [&mut [f32]; 2],
    ) {
        let channels = pooling.channels;
        let [mean, inverse] = affine.map(|column| &column[..channels]);
        let [weight, bias] = sums.map(|sum| &mut sum[..channels]);
        let pixels = windows.taps.chunks_exact(channels).zip(windows.gradient.chunks_exact(channels));
        for (column, (taps, gradient)) in pixels.enumerate() {
            pooling.for_each_tap_of(row, column, |tap, pixel| {
                let values = &image[pixel * channels..][..channels];
                for channel in 0..channels {
                    let won = if taps[channel] == tap { gradient[channel] } else { 0.0 };
                    weight[channel] += won * ((values[channel] - mean[channel]) * inverse[channel]);
                    bias[channel] += won;
                }
            });
        }
    }

    fn gradient_row(
        pooling: &Pooling,
        columns: &Columns,
        means: [&[f32]; 2],
        row: usize,
        windows: Windows<'_>,
        scratch: &mut [f32],
        values: &mut [f32],
    ) {
        scratch.fill(0.0);
        add_winners(pooling, row, windows, scratch);
        let identity = crate::activation::function::Identity;
        super::backward::input_gradient_with(identity, columns, means, values, scratch);
    }
}
