//! What every executor does the same way.

use ferrotype_vision::random;

use super::StepOptions;

/// Zero with the layer's probability, else what keeps the expectation. Keyed by seed, step and
/// layer: a resumed run draws the same.
pub(super) fn dropout_mask(
    options: &StepOptions<'_>,
    layer: u64,
    probability: f64,
    count: usize,
) -> Vec<f32> {
    let mut rng = random::stream(options.dropout_seed, "dropout", &[options.batch, layer]);
    let kept = (1.0 / (1.0 - probability)) as f32;
    (0..count)
        .map(|_| match random::chance(&mut rng, probability) {
            true => 0.0,
            false => kept,
        })
        .collect()
}
