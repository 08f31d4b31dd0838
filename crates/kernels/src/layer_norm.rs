//! Layer normalisation of each row (Ba, Kiros & Hinton 2016, arXiv:1607.06450). Mean and
//! deviation are not kept for the backward pass: measuring a row again costs less than memory.

use rayon::prelude::*;

use crate::CHUNK;
use crate::lanes::{sum_of, sum_of_pairs};
use crate::normalization::AffineGradients;
use crate::vectorized::vectorized;

/// A layer normalisation: scale and shift, `[channels]` each.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm<'a> {
    /// Scale.
    pub weight: &'a [f32],
    /// Shift.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

impl LayerNorm<'_> {
    fn piece_len(&self) -> usize {
        let channels = self.weight.len();
        (CHUNK / channels).max(1) * channels
    }

    fn assert_rows(&self, len: usize) {
        assert_eq!(self.weight.len(), self.bias.len(), "lengths differ");
        assert_eq!(len % self.weight.len(), 0, "not whole rows");
    }
}

/// `output ← (input − mean) / √(variance + epsilon) · weight + bias`, mean and (biased) variance
/// those of each row of `channels` numbers.
///
/// # Panics
/// The lengths do not fit each other.
pub fn forward(norm: &LayerNorm<'_>, input: &[f32], output: &mut [f32]) {
    norm.assert_rows(input.len());
    assert_eq!(input.len(), output.len(), "lengths differ");
    output
        .par_chunks_mut(norm.piece_len())
        .zip(input.par_chunks(norm.piece_len()))
        .for_each(|(output, input)| forward_rows(*norm, input, output));
}

/// The gradients of [`forward`]. `gradient` is that of the output, and becomes that of the input:
/// with `g = dy · weight`, `dx = (g − mean(g) − x̂ · mean(g · x̂)) / deviation`.
///
/// # Panics
/// The lengths do not fit each other.
pub fn backward(norm: &LayerNorm<'_>, input: &[f32], gradient: &mut [f32]) -> AffineGradients {
    norm.assert_rows(input.len());
    assert_eq!(input.len(), gradient.len(), "lengths differ");
    let channels = norm.weight.len();
    let pieces: Vec<[Vec<f32>; 2]> = gradient
        .par_chunks_mut(norm.piece_len())
        .zip(input.par_chunks(norm.piece_len()))
        .map(|(gradient, input)| {
            let mut sums = [vec![0.0; channels], vec![0.0; channels]];
            let [weight, bias] = &mut sums;
            backward_rows(*norm, input, gradient, [weight, bias]);
            sums
        })
        .collect();
    let [weight, bias] = [0, 1].map(|which| {
        let mut total = vec![0.0; channels];
        for piece in &pieces {
            for (sum, part) in total.iter_mut().zip(&piece[which]) {
                *sum += part;
            }
        }
        total
    });
    AffineGradients { weight, bias }
}

vectorized! {
    fn forward_rows(norm: LayerNorm<'_>, input: &[f32], output: &mut [f32]) {
        let channels = norm.weight.len();
        let (weight, bias) = (&norm.weight[..channels], &norm.bias[..channels]);
        for (output, input) in output.chunks_exact_mut(channels).zip(input.chunks_exact(channels)) {
            let (mean, inverse) = measure(input, norm.epsilon);
            for channel in 0..channels {
                let normal = (input[channel] - mean) * inverse;
                output[channel] = normal * weight[channel] + bias[channel];
            }
        }
    }

    fn backward_rows(
        norm: LayerNorm<'_>,
        input: &[f32],
        gradient: &mut [f32],
        sums: [&mut [f32]; 2],
    ) {
        let channels = norm.weight.len();
        let weight = &norm.weight[..channels];
        let [weight_sums, bias_sums] = sums.map(|sums| &mut sums[..channels]);
        let rows = gradient.chunks_exact_mut(channels).zip(input.chunks_exact(channels));
        for (gradient, input) in rows {
            let (mean, inverse) = measure(input, norm.epsilon);
            for channel in 0..channels {
                let normal = (input[channel] - mean) * inverse;
                weight_sums[channel] += gradient[channel] * normal;
                bias_sums[channel] += gradient[channel];
                gradient[channel] *= weight[channel];
            }
            let share = 1.0 / channels as f32;
            let mean_g = share * sum_of(gradient, |g| g);
            let mean_g_x = share * sum_of_pairs(gradient, input, |g, x| g * ((x - mean) * inverse));
            for channel in 0..channels {
                let normal = (input[channel] - mean) * inverse;
                gradient[channel] = inverse * (gradient[channel] - mean_g - normal * mean_g_x);
            }
        }
    }
}

/// A row's mean and `1 / √(variance + epsilon)`.
#[inline(always)]
fn measure(row: &[f32], epsilon: f32) -> (f32, f32) {
    let share = 1.0 / row.len() as f32;
    let mean = share * sum_of(row, |x| x);
    let variance = share * sum_of(row, |x| (x - mean) * (x - mean));
    (mean, 1.0 / (variance + epsilon).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_mean_zero_and_deviation_one() {
        let channels = 37;
        let input: Vec<f32> = (0..channels * 5).map(|x| ((x * x) % 91) as f32).collect();
        let (weight, bias) = (vec![1.0; channels], vec![0.0; channels]);
        let norm = LayerNorm {
            weight: &weight,
            bias: &bias,
            epsilon: 1e-6,
        };
        let mut output = vec![0.0; input.len()];
        forward(&norm, &input, &mut output);
        for row in output.chunks_exact(channels) {
            let mean = row.iter().sum::<f32>() / channels as f32;
            let square = row.iter().map(|x| x * x).sum::<f32>() / channels as f32;
            assert!(
                mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-4,
                "{mean} {square}"
            );
        }
    }
}
