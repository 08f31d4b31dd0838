//! What every executor draws the same way.

use ferrotype_vision::random;
use rayon::prelude::*;

use super::StepOptions;

/// Bytes of a dropout mask that are drawn from one stream.
const BYTES_PER_STREAM: usize = 512;

/// Draws a dropout mask: a bit for each of `count` numbers, unset with the layer's probability,
/// lowest bits first. Keyed by seed, batch, layer and place: a resumed run draws the same, on any
/// number of threads.
pub(super) fn draw_dropout(
    options: &StepOptions<'_>,
    layer: usize,
    probability: f64,
    mask: &mut [u8],
) {
    let pieces = mask.par_chunks_mut(BYTES_PER_STREAM).enumerate();
    pieces.for_each(|(piece, mask)| {
        let key = [options.batch, layer as u64, piece as u64];
        let mut rng = random::stream(options.dropout_seed, "dropout", &key);
        for byte in mask {
            *byte = (0..8).fold(0, |bits, bit| {
                bits | u8::from(!random::chance(&mut rng, probability)) << bit
            });
        }
    });
}

/// What multiplies the numbers that dropout keeps, so that the mean stays.
pub(super) fn dropout_factor(probability: f64) -> f32 {
    (1.0 / (1.0 - probability)) as f32
}

/// The factor of each image under stochastic depth: zero with the layer's probability, else what
/// keeps the mean. Keyed as dropout is.
pub(super) fn draw_depths(
    options: &StepOptions<'_>,
    layer: usize,
    probability: f64,
    batch: usize,
) -> Vec<f32> {
    let key = [options.batch, layer as u64];
    let mut rng = random::stream(options.dropout_seed, "stochastic depth", &key);
    (0..batch)
        .map(|_| match random::chance(&mut rng, probability) {
            true => 0.0,
            false => dropout_factor(probability),
        })
        .collect()
}
