//! Whether a run fits into memory, before its first step.

use ferrotype_vision::loader::LoaderOptions;

use super::TrainRequest;
use super::recipe::Recipe;
use crate::error::{EngineError, EngineErrorKind};
use crate::executor::{CpuExecutor, Fit};

/// The bytes that a run will take, by what takes them.
struct Demand {
    /// What, and how many bytes.
    parts: Vec<(&'static str, u64)>,
}

impl Demand {
    /// All parts together.
    fn total(&self) -> u64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Refuses a run that takes more than the request says is available.
///
/// # Errors
/// Names the parts, and the batch size that would fit.
pub(super) fn check(request: &TrainRequest<'_>, recipe: &Recipe<'_>) -> Result<(), EngineError> {
    let Some(available) = request.available_memory else {
        return Ok(());
    };
    let demand = |batch_size| demand(request, recipe, batch_size);
    let batch_size = recipe.config.batch_size;
    let wanted = demand(batch_size)?;
    if wanted.total() <= available {
        return Ok(());
    }
    let parts: Vec<String> = wanted
        .parts
        .iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(what, bytes)| format!("{what} {}", in_words(*bytes)))
        .collect();
    let mut fitting = batch_size / 2;
    while fitting > 0 && demand(fitting)?.total() > available {
        fitting /= 2;
    }
    let hint = if fitting > 0 {
        let accumulate = recipe.config.accumulate as usize * batch_size.div_ceil(fitting);
        format!(
            "`train.batch_size={fitting}` would fit; with `train.accumulate={accumulate}` its updates are by as many images as now"
        )
    } else {
        "no batch size would fit: choose a smaller `data.image_size` or a smaller model".to_string()
    };
    Err(EngineError::new(
        EngineErrorKind::Memory,
        format!(
            "training would take about {}, {} are available: {}",
            in_words(wanted.total()),
            in_words(available),
            parts.join(", ")
        ),
    )
    .with_hint(hint))
}

/// What a run takes with batches of that many images.
fn demand(
    request: &TrainRequest<'_>,
    recipe: &Recipe<'_>,
    batch_size: usize,
) -> Result<Demand, EngineError> {
    let config = recipe.config;
    let network = CpuExecutor::memory_estimate(&request.graph, batch_size, &config.optimizer)?;
    let fits = recipe.fits.in_epoch(config.epochs.saturating_sub(1));
    let (fitted, all) = fitted_numbers(request, &fits)?;
    // The estimate is for all tensors; frozen ones have neither gradient nor moments.
    let part = |bytes: u64| (bytes as f64 * fitted as f64 / all.max(1) as f64) as u64;
    let gradients = part(network.gradients);
    let sums = if config.accumulate > 1 { gradients } else { 0 };
    let average = if config.ema.is_some() { gradients } else { 0 };
    // What a GPU computes lies in its own memory.
    let here = |bytes: u64| {
        if recipe.device.has_own_memory() {
            0
        } else {
            bytes
        }
    };
    Ok(Demand {
        parts: vec![
            ("weights", network.parameters),
            ("gradients", gradients + sums),
            ("optimizer", part(network.optimizer)),
            ("moving average", average),
            ("activations", here(network.activations)),
            ("workspace", here(network.workspace)),
            ("loader", loader_bytes(&recipe.train_loader, batch_size)),
        ],
    })
}

/// How many numbers are fitted, and how many could be.
fn fitted_numbers(
    request: &TrainRequest<'_>,
    fits: &[Option<Fit>],
) -> Result<(usize, usize), EngineError> {
    let specs = request.graph.tensors()?;
    let trained = specs
        .iter()
        .zip(fits)
        .filter(|(spec, _)| spec.role.is_trained());
    Ok(trained.fold((0, 0), |(fitted, all), (spec, fit)| {
        let count = spec.element_count();
        (fitted + if fit.is_some() { count } else { 0 }, all + count)
    }))
}

/// Batches that are ready, being made, in the step, and kept to be made anew.
fn loader_bytes(loader: &LoaderOptions, batch_size: usize) -> u64 {
    let input_len = loader.transform.input_len();
    let batches = loader.prefetch.max(1) + 2;
    (batches * batch_size * input_len * size_of::<f32>()) as u64
}

fn in_words(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_their_unit() {
        assert_eq!(in_words(512), "0.5 kB");
        assert_eq!(in_words(3_000_000), "3.0 MB");
        assert_eq!(in_words(999_960_000), "1.0 GB");
    }
}
