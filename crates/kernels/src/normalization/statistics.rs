//! Mean and variance of a batch.

use rayon::prelude::*;

use super::piece_len;
use crate::activation::tiles;
use crate::vectorized::vectorized;

/// Mean and biased variance of each channel over a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// `[channels]`
    pub mean: Vec<f32>,
    /// `[channels]`, biased (divided by the count).
    pub variance: Vec<f32>,
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
    Moments::merged(&pieces, channels)
}

/// Per channel: the mean of a piece and the sum of squared distances from it.
pub(crate) struct Moments {
    rows: usize,
    mean: Vec<f32>,
    squares: Vec<f32>,
}

impl Moments {
    /// The statistics of all pieces together.
    pub(crate) fn merged(pieces: &[Self], channels: usize) -> Statistics {
        let (mean, variance) = (0..channels)
            .map(|channel| {
                let (mean, variance) = merge(pieces, channel);
                (mean as f32, variance as f32)
            })
            .unzip();
        Statistics { mean, variance }
    }

    /// Those of whole rows, on the calling thread.
    pub(crate) fn of(piece: &[f32], channels: usize) -> Self {
        let rows = piece.len() / channels;
        let width = channels * tiles(channels);
        let mut sums = vec![0.0; width];
        sum_columns(piece, &mut sums);
        let mut mean = fold(&sums, channels);
        mean.iter_mut().for_each(|sum| *sum /= rows as f32);
        sums.fill(0.0);
        sum_squares(piece, &mean.repeat(tiles(channels)), &mut sums);
        Self {
            rows,
            mean,
            squares: fold(&sums, channels),
        }
    }
}

/// The sum of the tiles of tiled columns.
fn fold(tiled: &[f32], channels: usize) -> Vec<f32> {
    let mut total = vec![0.0; channels];
    for tile in tiled.chunks_exact(channels) {
        for (sum, part) in total.iter_mut().zip(tile) {
            *sum += part;
        }
    }
    total
}

vectorized! {
    fn sum_columns(piece: &[f32], sums: &mut [f32]) {
        for row in piece.chunks(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }

    fn sum_squares(piece: &[f32], mean: &[f32], sums: &mut [f32]) {
        for row in piece.chunks(sums.len()) {
            for ((sum, value), mean) in sums.iter_mut().zip(row).zip(mean) {
                *sum += (value - mean) * (value - mean);
            }
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
