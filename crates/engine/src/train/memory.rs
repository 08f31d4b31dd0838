//! What a run takes of memory, and whether it fits, before its first step.

use ferrotype_core::config::schema::TrainConfig;
use ferrotype_core::graph::Graph;
use serde::Serialize;

use super::TrainRequest;
use super::recipe::Recipe;
use super::stages::Fits;
use crate::error::{EngineError, EngineErrorKind};
use crate::executor::{CpuExecutor, Fit};

/// Bytes that a training or an inference takes, by what takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryDemand {
    /// Weights and running statistics.
    pub weights: u64,
    /// The gradients of the fitted weights, and their sums where batches are accumulated.
    pub gradients: u64,
    /// The optimiser's moments.
    pub optimizer: u64,
    /// The moving average of the weights.
    pub moving_average: u64,
    /// What flows between layers, forward and backward.
    pub activations: u64,
    /// What the kernels take beside it.
    pub workspace: u64,
    /// Batches that the loader holds.
    pub loader: u64,
}

impl MemoryDemand {
    /// What training takes by `config`, with a loader that makes `prefetch` batches ahead, once
    /// all layers that will thaw have thawed.
    ///
    /// # Errors
    /// The graph does not pass its checks, or the configuration does not suit it.
    pub fn of_training(
        graph: &Graph,
        config: &TrainConfig,
        prefetch: usize,
    ) -> Result<Self, EngineError> {
        // In which step a layer thaws makes no difference.
        let fits = Fits::new(graph, config, 1)?;
        Self::with_fits(graph, config, &fits, config.batch_size, prefetch)
    }

    /// What answering batches of `batch` images takes.
    ///
    /// # Errors
    /// The graph does not pass its checks.
    pub fn of_inference(graph: &Graph, batch: usize) -> Result<Self, EngineError> {
        let network = CpuExecutor::inference_memory_estimate(graph, batch)?;
        Ok(Self {
            weights: network.parameters,
            gradients: 0,
            optimizer: 0,
            moving_average: 0,
            activations: network.activations,
            workspace: network.workspace,
            loader: 0,
        })
    }

    fn with_fits(
        graph: &Graph,
        config: &TrainConfig,
        fits: &Fits,
        batch_size: usize,
        prefetch: usize,
    ) -> Result<Self, EngineError> {
        let network = CpuExecutor::memory_estimate(graph, batch_size, &config.optimizer)?;
        let fits = fits.in_epoch(config.epochs.saturating_sub(1));
        let (fitted, all) = fitted_numbers(graph, &fits)?;
        // The estimate is for all tensors; frozen ones have neither gradient nor moments.
        let part = |bytes: u64| (bytes as f64 * fitted as f64 / all.max(1) as f64) as u64;
        let gradients = part(network.gradients);
        let sums = if config.accumulate > 1 { gradients } else { 0 };
        Ok(Self {
            weights: network.parameters,
            gradients: gradients + sums,
            optimizer: part(network.optimizer),
            moving_average: if config.ema.is_some() { gradients } else { 0 },
            activations: network.activations,
            workspace: network.workspace,
            loader: loader_bytes(graph, prefetch, batch_size),
        })
    }

    /// What is left of it here when a device computes that has memory of its own.
    fn beside_a_device(self) -> Self {
        Self {
            activations: 0,
            workspace: 0,
            ..self
        }
    }

    /// All parts together.
    pub fn total(&self) -> u64 {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }

    /// What takes memory, and how many bytes.
    pub fn parts(&self) -> [(&'static str, u64); 7] {
        [
            ("weights", self.weights),
            ("gradients", self.gradients),
            ("optimizer", self.optimizer),
            ("moving average", self.moving_average),
            ("activations", self.activations),
            ("workspace", self.workspace),
            ("loader", self.loader),
        ]
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
    let demand = |batch_size| {
        let prefetch = recipe.train_loader.prefetch;
        let (graph, config) = (&request.graph, recipe.config);
        let all = MemoryDemand::with_fits(graph, config, &recipe.fits, batch_size, prefetch)?;
        Ok::<_, EngineError>(if recipe.device.has_own_memory() {
            all.beside_a_device()
        } else {
            all
        })
    };
    let batch_size = recipe.config.batch_size;
    let wanted = demand(batch_size)?;
    if wanted.total() <= available {
        return Ok(());
    }
    let parts: Vec<String> = wanted
        .parts()
        .into_iter()
        .filter(|(_, bytes)| *bytes > 0)
        .map(|(what, bytes)| format!("{what} {}", in_words(bytes)))
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

/// How many numbers are fitted, and how many could be.
fn fitted_numbers(graph: &Graph, fits: &[Option<Fit>]) -> Result<(usize, usize), EngineError> {
    let specs = graph.tensors()?;
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
fn loader_bytes(graph: &Graph, prefetch: usize, batch_size: usize) -> u64 {
    let input_len: usize = graph.input.iter().product();
    let batches = prefetch.max(1) + 2;
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
