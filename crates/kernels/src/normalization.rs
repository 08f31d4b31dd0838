//! Batch normalisation over channels (Ioffe & Szegedy 2015, arXiv:1502.03167), with the
//! rectifier that usually follows fused in.

use rayon::prelude::*;

use crate::CHUNK;
use crate::vectorized::vectorized;

/// Mean and biased variance of each channel over a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// `[channels]`
    pub mean: Vec<f32>,
    /// `[channels]`, biased (divided by the count).
    pub variance: Vec<f32>,
}

/// Whether `max(x, 0)` follows the normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rectifier {
    /// Nothing follows.
    Absent,
    /// `max(x, 0)` follows.
    Fused,
}

/// Gradients of a normalisation's scale and shift.
#[derive(Debug, Clone, PartialEq)]
pub struct AffineGradients {
    /// `[channels]`
    pub weight: Vec<f32>,
    /// `[channels]`
    pub bias: Vec<f32>,
}

fn piece_len(channels: usize) -> usize {
    (CHUNK / channels).max(1) * channels
}

/// Mean and biased variance of each channel of `input` (`[rows, channels]`).
///
/// Each piece is measured around its own mean while it is in the cache, and pieces are merged
/// in f64 (Chan, Golub & LeVeque 1979), so large means cost no precision.
///
/// # Panics
/// `input` is empty or not a whole number of rows.
pub fn statistics(input: &[f32], channels: usize) -> Statistics {
    assert!(!input.is_empty(), "no rows");
    assert_eq!(input.len() % channels, 0, "not whole rows");
    let pieces: Vec<Moments> = input
        .par_chunks(piece_len(channels))
        .map(|piece| Moments::of(piece, channels))
        .collect();
    let mut mean = Vec::with_capacity(channels);
    let mut variance = Vec::with_capacity(channels);
    for channel in 0..channels {
        let (channel_mean, channel_variance) = merge(&pieces, channel);
        mean.push(channel_mean as f32);
        variance.push(channel_variance as f32);
    }
    Statistics { mean, variance }
}

/// Per channel: the mean of a piece and the sum of squared distances from it.
struct Moments {
    rows: usize,
    mean: Vec<f32>,
    squares: Vec<f32>,
}

impl Moments {
    fn of(piece: &[f32], channels: usize) -> Self {
        let mut moments = Self {
            rows: piece.len() / channels,
            mean: vec![0.0; channels],
            squares: vec![0.0; channels],
        };
        measure(piece, &mut moments.mean, &mut moments.squares);
        moments
    }
}

vectorized! {
    /// Mean and sum of squared distances from it of each column of `piece`.
    fn measure(piece: &[f32], mean: &mut [f32], squares: &mut [f32]) {
        let channels = mean.len();
        for row in piece.chunks_exact(channels) {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += value;
            }
        }
        let share = channels as f32 / piece.len() as f32;
        mean.iter_mut().for_each(|sum| *sum *= share);
        for row in piece.chunks_exact(channels) {
            for ((sum, value), mean) in squares.iter_mut().zip(row).zip(&*mean) {
                *sum += (value - mean) * (value - mean);
            }
        }
    }

    /// `output ← max((input − mean) · scale + bias, floor)` by columns.
    fn normalize(
        columns: [&[f32]; 3],
        floor: f32,
        input: &[f32],
        output: &mut [f32],
    ) {
        let channels = columns[0].len();
        let [mean, scale, bias] = columns.map(|column| &column[..channels]);
        for (output, input) in output.chunks_exact_mut(channels).zip(input.chunks_exact(channels)) {
            for channel in 0..channels {
                let value = (input[channel] - mean[channel]) * scale[channel] + bias[channel];
                // Written so that a NaN stays one.
                output[channel] = if value < floor { floor } else { value };
            }
        }
    }

    /// Sums of `dy · x̂` and of `dy` by columns.
    fn sum_gradients(columns: [&[f32]; 2], input: &[f32], gradient: &[f32], sums: [&mut [f32]; 2]) {
        let channels = columns[0].len();
        let [mean, inverse] = columns.map(|column| &column[..channels]);
        let [weight, bias] = sums.map(|sum| &mut sum[..channels]);
        for (gradient, input) in gradient.chunks_exact(channels).zip(input.chunks_exact(channels)) {
            for channel in 0..channels {
                let normal = (input[channel] - mean[channel]) * inverse[channel];
                weight[channel] += gradient[channel] * normal;
                bias[channel] += gradient[channel];
            }
        }
    }

    /// `dx ← scale · (dy − mean(dy) − x̂ · mean(dy · x̂))` by columns; the columns are mean,
    /// inverse deviation, scale, mean of `dy`, mean of `dy · x̂`.
    fn input_gradient(columns: [&[f32]; 5], input: &[f32], gradient: &mut [f32]) {
        let channels = columns[0].len();
        let [mean, inverse, scale, mean_dy, mean_dy_x] = columns.map(|column| &column[..channels]);
        for (gradient, input) in gradient.chunks_exact_mut(channels).zip(input.chunks_exact(channels)) {
            for channel in 0..channels {
                let normal = (input[channel] - mean[channel]) * inverse[channel];
                let centred = gradient[channel] - mean_dy[channel];
                gradient[channel] = scale[channel] * (centred - normal * mean_dy_x[channel]);
            }
        }
    }

    /// `gradient ← gradient · scale` by columns.
    fn scale_columns(scale: &[f32], gradient: &mut [f32]) {
        for gradient in gradient.chunks_exact_mut(scale.len()) {
            for (gradient, scale) in gradient.iter_mut().zip(scale) {
                *gradient *= scale;
            }
        }
    }

    /// Keeps the gradient where the rectifier let its input through.
    fn mask(gradient: &mut [f32], output: &[f32]) {
        for (gradient, output) in gradient.iter_mut().zip(output) {
            *gradient = if *output > 0.0 { *gradient } else { 0.0 };
        }
    }
}

fn merge(pieces: &[Moments], channel: usize) -> (f64, f64) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for piece in pieces {
        let rows = piece.rows as f64;
        let distance = f64::from(piece.mean[channel]) - mean;
        let total = count + rows;
        mean += distance * rows / total;
        squares += f64::from(piece.squares[channel]) + distance * distance * count * rows / total;
        count = total;
    }
    (mean, squares / count)
}

/// `1 / √(variance + epsilon)` of each channel.
pub fn inverse_deviation(variance: &[f32], epsilon: f64) -> Vec<f32> {
    variance
        .iter()
        .map(|variance| (1.0 / (f64::from(*variance) + epsilon).sqrt()) as f32)
        .collect()
}

/// What a normalisation is made of, `[channels]` each.
#[derive(Debug, Clone, Copy)]
pub struct Normalization<'a> {
    /// Mean that is subtracted.
    pub mean: &'a [f32],
    /// `1 / √(variance + epsilon)`
    pub inverse_deviation: &'a [f32],
    /// Scale.
    pub weight: &'a [f32],
    /// Shift.
    pub bias: &'a [f32],
    /// Whether a rectifier follows.
    pub rectifier: Rectifier,
}

impl Normalization<'_> {
    /// Weight over deviation.
    fn scale(&self) -> Vec<f32> {
        let factors = self.inverse_deviation.iter();
        factors.zip(self.weight).map(|(d, w)| d * w).collect()
    }
}

/// `output ← (input − mean) / deviation · weight + bias`, rectified if so asked.
///
/// # Panics
/// The lengths do not fit each other.
pub fn forward(normalization: &Normalization<'_>, input: &[f32], output: &mut [f32]) {
    let channels = normalization.mean.len();
    assert_eq!(input.len(), output.len(), "lengths differ");
    assert_eq!(input.len() % channels, 0, "not whole rows");
    let factors = normalization.inverse_deviation.iter();
    let scale: Vec<f32> = factors
        .zip(normalization.weight)
        .map(|(d, w)| d * w)
        .collect();
    let floor = match normalization.rectifier {
        Rectifier::Absent => f32::NEG_INFINITY,
        Rectifier::Fused => 0.0,
    };
    let columns = [normalization.mean, &scale, normalization.bias];
    output
        .par_chunks_mut(piece_len(channels))
        .zip(input.par_chunks(piece_len(channels)))
        .for_each(|(output, input)| normalize(columns, floor, input, output));
}

/// The gradients of [`forward`] with the statistics of `input` itself. `gradient` is that of the
/// output, and becomes that of the input in place:
/// `dx = weight / deviation · (dy − mean(dy) − x̂ · mean(dy · x̂))`.
///
/// # Panics
/// The lengths do not fit each other.
pub fn backward(
    normalization: &Normalization<'_>,
    input: &[f32],
    output: &[f32],
    gradient: &mut [f32],
) -> AffineGradients {
    let channels = normalization.mean.len();
    assert_eq!(input.len(), gradient.len(), "lengths differ");
    assert_eq!(output.len(), gradient.len(), "lengths differ");
    assert_eq!(input.len() % channels, 0, "not whole rows");
    if normalization.rectifier == Rectifier::Fused {
        gradient
            .par_chunks_mut(CHUNK)
            .zip(output.par_chunks(CHUNK))
            .for_each(|(gradient, output)| mask(gradient, output));
    }
    let sums = gradient_sums(normalization, input, gradient);
    let rows = (input.len() / channels) as f64;
    let mean_of = |sum: &Vec<f64>| -> Vec<f32> { sum.iter().map(|s| (s / rows) as f32).collect() };
    let (mean_dy, mean_dy_x) = (mean_of(&sums.bias), mean_of(&sums.weight));
    let scale = normalization.scale();
    let columns = [
        normalization.mean,
        normalization.inverse_deviation,
        &scale,
        &mean_dy,
        &mean_dy_x,
    ];
    gradient
        .par_chunks_mut(piece_len(channels))
        .zip(input.par_chunks(piece_len(channels)))
        .for_each(|(gradient, input)| input_gradient(columns, input, gradient));
    AffineGradients {
        weight: sums.weight.iter().map(|sum| *sum as f32).collect(),
        bias: sums.bias.iter().map(|sum| *sum as f32).collect(),
    }
}

/// The gradient of [`forward`] by its input with statistics that are fixed (frozen layers).
/// `gradient` is that of the output, and becomes that of the input in place:
/// `dx = dy · weight / deviation`.
///
/// # Panics
/// The lengths do not fit each other.
pub fn backward_frozen(normalization: &Normalization<'_>, output: &[f32], gradient: &mut [f32]) {
    let channels = normalization.mean.len();
    assert_eq!(output.len(), gradient.len(), "lengths differ");
    assert_eq!(gradient.len() % channels, 0, "not whole rows");
    if normalization.rectifier == Rectifier::Fused {
        gradient
            .par_chunks_mut(CHUNK)
            .zip(output.par_chunks(CHUNK))
            .for_each(|(gradient, output)| mask(gradient, output));
    }
    let scale = normalization.scale();
    gradient
        .par_chunks_mut(piece_len(channels))
        .for_each(|gradient| scale_columns(&scale, gradient));
}

struct GradientSums {
    /// `Σ dy · x̂` per channel.
    weight: Vec<f64>,
    /// `Σ dy` per channel.
    bias: Vec<f64>,
}

fn gradient_sums(
    normalization: &Normalization<'_>,
    input: &[f32],
    gradient: &[f32],
) -> GradientSums {
    let channels = normalization.mean.len();
    let columns = [normalization.mean, normalization.inverse_deviation];
    let pieces: Vec<[Vec<f32>; 2]> = gradient
        .par_chunks(piece_len(channels))
        .zip(input.par_chunks(piece_len(channels)))
        .map(|(gradient, input)| {
            let mut sums = [vec![0.0; channels], vec![0.0; channels]];
            let [weight, bias] = &mut sums;
            sum_gradients(columns, input, gradient, [weight, bias]);
            sums
        })
        .collect();
    let total = |which: usize| -> Vec<f64> {
        (0..channels)
            .map(|channel| {
                let sums = pieces.iter().map(|piece| f64::from(piece[which][channel]));
                sums.sum()
            })
            .collect()
    };
    GradientSums {
        weight: total(0),
        bias: total(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_exact_far_from_zero() {
        let rows = 40_000;
        let input: Vec<f32> = (0..rows)
            .flat_map(|row| [1000.0 + (row % 2) as f32, -3.0])
            .collect();
        let result = statistics(&input, 2);
        assert!((result.mean[0] - 1000.5).abs() < 1e-3);
        assert!(
            (result.variance[0] - 0.25).abs() < 1e-4,
            "{}",
            result.variance[0]
        );
        assert_eq!(result.mean[1], -3.0);
        assert_eq!(result.variance[1], 0.0);
    }

    #[test]
    fn the_rectifier_cuts_below_zero_and_keeps_nan() {
        let normalization = Normalization {
            mean: &[1.0],
            inverse_deviation: &[2.0],
            weight: &[3.0],
            bias: &[1.0],
            rectifier: Rectifier::Fused,
        };
        let mut output = [0.0; 3];
        forward(&normalization, &[2.0, 0.0, f32::NAN], &mut output);
        assert_eq!(output[..2], [7.0, 0.0]);
        assert!(output[2].is_nan());
    }
}
