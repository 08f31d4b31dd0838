//! What every executor does the same way.

use std::ops::Range;

use ferrotype_core::graph::TensorRole;
use ferrotype_vision::random;

use super::StepOptions;
use crate::error::{EngineError, EngineErrorKind};
use crate::parameters::Parameters;

/// Zero with the layer's probability, else what keeps the expectation. Keyed by seed, step and
/// layer: a resumed run draws the same.
pub(super) fn dropout_mask(
    options: &StepOptions,
    layer: u64,
    probability: f64,
    count: usize,
) -> Vec<f32> {
    let mut rng = random::stream(options.dropout_seed, "dropout", &[options.step, layer]);
    let kept = (1.0 / (1.0 - probability)) as f32;
    (0..count)
        .map(|_| match random::chance(&mut rng, probability) {
            true => 0.0,
            false => kept,
        })
        .collect()
}

/// What a normalisation layer measured on a batch.
pub(super) struct Measured<'a> {
    /// `[channels]`
    pub(super) mean: &'a [f32],
    /// `[channels]`, biased.
    pub(super) variance: &'a [f32],
    /// How many numbers of each channel were measured.
    pub(super) count: usize,
}

/// Moves the running statistics among a layer's `tensors` towards those of the batch, as PyTorch
/// does: by `momentum`, and with the unbiased variance.
pub(super) fn update_running_statistics(
    parameters: &mut Parameters,
    tensors: Range<usize>,
    momentum: f64,
    measured: &Measured<'_>,
) {
    for tensor in tensors {
        let (batch, factor) = match parameters.specs()[tensor].role {
            TensorRole::RunningMean => (measured.mean, 1.0),
            TensorRole::RunningVar => (measured.variance, unbiased_factor(measured.count)),
            _ => continue,
        };
        let running = &mut parameters.values_mut()[tensor];
        for (running, batch) in running.iter_mut().zip(batch) {
            let (old, new) = (f64::from(*running), f64::from(*batch) * factor);
            *running = (old + momentum * (new - old)) as f32;
        }
    }
}

/// From the biased to the unbiased variance over `count` numbers.
fn unbiased_factor(count: usize) -> f64 {
    count as f64 / count.saturating_sub(1).max(1) as f64
}

/// Refuses a loss or a gradient that is not a number, or infinite.
///
/// # Errors
/// Names what it is.
pub(super) fn check_finite(what: &str, value: f64) -> Result<(), EngineError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(EngineError::new(
        EngineErrorKind::NotFinite,
        format!("the {what} is `{value}`"),
    ))
}
