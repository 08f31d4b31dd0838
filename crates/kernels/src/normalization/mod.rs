//! Batch normalisation over channels (Ioffe & Szegedy 2015, arXiv:1502.03167), in one pass with
//! what usually follows: a shortcut that is added, an activation, a maximum pooling.

mod backward;
mod forward;
mod pooled;
mod statistics;
#[cfg(test)]
mod tests;

pub use self::backward::backward;
pub use self::forward::forward;
pub use self::pooled::{backward_pooled, forward_pooled};
pub(crate) use self::statistics::Moments;
pub use self::statistics::{Statistics, inverse_deviation, statistics};

use crate::CHUNK;
use crate::activation::{Activation, tile, tiles};

/// Gradients of a normalisation's scale and shift.
#[derive(Debug, Clone, PartialEq)]
pub struct AffineGradients {
    /// `[channels]`
    pub weight: Vec<f32>,
    /// `[channels]`
    pub bias: Vec<f32>,
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
    /// The function that follows.
    pub activation: Option<Activation>,
    /// Where mean and deviation come from.
    pub source: Source,
}

/// Where a normalisation's mean and deviation come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// They are those of the input itself: its gradient goes through them as well.
    Batch,
    /// They are fixed numbers: running statistics, in evaluation and in frozen layers.
    Fixed,
}

impl Normalization<'_> {
    fn channels(&self) -> usize {
        self.mean.len()
    }

    /// Weight over deviation.
    fn scale(&self) -> Vec<f32> {
        let factors = self.inverse_deviation.iter();
        factors.zip(self.weight).map(|(d, w)| d * w).collect()
    }
}

/// A normalisation and its activation made ready to be applied to a few rows at a time.
pub(crate) struct Prepared {
    columns: Columns,
    activation: Option<Activation>,
}

impl Prepared {
    pub(crate) fn new(normalization: &Normalization<'_>) -> Self {
        Self {
            columns: Columns::of(normalization),
            activation: normalization.activation,
        }
    }

    /// Numbers that one thread takes at a time.
    pub(crate) fn piece_len(&self) -> usize {
        (CHUNK / self.columns.mean.len()).max(1) * self.columns.mean.len()
    }

    /// Writes what becomes of whole rows of `input`, on the calling thread.
    pub(crate) fn apply(&self, input: &[f32], output: &mut [f32]) {
        forward::normalize(&self.columns, self.activation, input, output);
    }
}

/// Columns as the loops read them: repeated until they are as long as a few vectors.
struct Columns {
    mean: Vec<f32>,
    inverse: Vec<f32>,
    scale: Vec<f32>,
    bias: Vec<f32>,
}

impl Columns {
    fn of(normalization: &Normalization<'_>) -> Self {
        Self {
            mean: tile(normalization.mean),
            inverse: tile(normalization.inverse_deviation),
            scale: tile(&normalization.scale()),
            bias: tile(normalization.bias),
        }
    }
}

/// Numbers that one thread takes at a time: whole rows of the tiled columns.
fn piece_len(channels: usize) -> usize {
    let row = channels * tiles(channels);
    (CHUNK / row).max(1) * row
}

/// Sums by channel, in f64 and in the order of the pieces.
#[derive(Clone)]
struct GradientSums {
    /// `Σ dy · x̂`
    weight: Vec<f64>,
    /// `Σ dy`
    bias: Vec<f64>,
}

impl GradientSums {
    /// The sum of pieces, whose columns are those of [`tile`].
    fn total(channels: usize, pieces: &[[Vec<f32>; 2]]) -> Self {
        let mut total = Self {
            weight: vec![0.0; channels],
            bias: vec![0.0; channels],
        };
        for [weight, bias] in pieces {
            for (sums, piece) in [(&mut total.weight, weight), (&mut total.bias, bias)] {
                for tile in piece.chunks_exact(channels) {
                    for (sum, part) in sums.iter_mut().zip(tile) {
                        *sum += f64::from(*part);
                    }
                }
            }
        }
        total
    }

    /// Mean of `dy` and mean of `dy · x̂` over `rows`, tiled: what the gradient that goes through
    /// the statistics takes away. Nothing goes through fixed ones.
    fn means(&self, rows: usize, source: Source) -> [Vec<f32>; 2] {
        let share = match source {
            Source::Batch => 1.0 / rows as f64,
            Source::Fixed => 0.0,
        };
        [&self.bias, &self.weight].map(|sums| {
            let means: Vec<f32> = sums.iter().map(|sum| (sum * share) as f32).collect();
            tile(&means)
        })
    }

    fn gradients(&self) -> AffineGradients {
        AffineGradients {
            weight: self.weight.iter().map(|sum| *sum as f32).collect(),
            bias: self.bias.iter().map(|sum| *sum as f32).collect(),
        }
    }
}
