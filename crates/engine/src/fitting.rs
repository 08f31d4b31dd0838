//! The numbers of a network while they are fitted: what every executor does with its gradients.

use std::ops::Range;

use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::{Graph, TensorRole, TensorSpec};

use crate::error::{EngineError, EngineErrorKind};
use crate::executor::{Fit, StepOptions};
use crate::optimizer::{Optimizer, Update, blend, clip_scale, global_norm};
use crate::parameters::Parameters;
use crate::state::{AVERAGE_PREFIX, State};

/// Weights and running statistics, with the optimiser's moments, the accumulated gradients and
/// the moving averages.
pub(crate) struct Fitting {
    parameters: Parameters,
    optimizer: Optimizer,
    /// By tensor; none for one that is frozen, and for running statistics.
    fits: Vec<Option<Fit>>,
    /// By tensor: sums of gradients that no update has used yet. Empty when there are none.
    accumulated: Vec<Vec<f32>>,
    /// By tensor; empty for those without an average.
    averages: Vec<Vec<f32>>,
}

/// What a normalisation layer measured on a batch.
pub(crate) struct Measured<'a> {
    /// `[channels]`
    pub(crate) mean: &'a [f32],
    /// `[channels]`, biased.
    pub(crate) variance: &'a [f32],
    /// How many numbers of each channel were measured.
    pub(crate) count: usize,
}

impl Fitting {
    /// The initial numbers of `graph`, every tensor that can be fitted.
    ///
    /// # Errors
    /// The graph does not pass its checks.
    pub(crate) fn new(
        graph: &Graph,
        optimizer: &OptimizerConfig,
        seed: u64,
    ) -> Result<Self, EngineError> {
        let parameters = Parameters::initial(graph, seed)?;
        let fits: Vec<_> = parameters
            .specs()
            .iter()
            .map(|spec| spec.role.is_trained().then_some(Fit::PLAIN))
            .collect();
        Ok(Self {
            optimizer: Optimizer::new(optimizer, parameters.specs()),
            averages: vec![Vec::new(); fits.len()],
            accumulated: Vec::new(),
            fits,
            parameters,
        })
    }

    /// The graph's tensors.
    pub(crate) fn specs(&self) -> &[TensorSpec] {
        self.parameters.specs()
    }

    /// Their values, as training has them.
    pub(crate) fn values(&self) -> &[Vec<f32>] {
        self.parameters.values()
    }

    /// Whether each tensor is fitted.
    pub(crate) fn fitted(&self) -> Vec<bool> {
        self.fits.iter().map(Option::is_some).collect()
    }

    /// Says how each tensor is fitted. Frozen ones take no memory besides their values.
    ///
    /// # Errors
    /// There is not one entry for each tensor, or none is fitted.
    pub(crate) fn set_fits(&mut self, fits: &[Option<Fit>]) -> Result<(), EngineError> {
        let specs = self.parameters.specs();
        if fits.len() != specs.len() {
            return Err(EngineError::new(
                EngineErrorKind::Config,
                format!("{} fits for {} tensors", fits.len(), specs.len()),
            ));
        }
        let trained =
            |(spec, fit): (&TensorSpec, &Option<Fit>)| fit.filter(|_| spec.role.is_trained());
        let fits: Vec<_> = specs.iter().zip(fits).map(trained).collect();
        if fits.iter().all(Option::is_none) {
            return Err(EngineError::new(
                EngineErrorKind::Config,
                "every layer is frozen: there is nothing to train",
            )
            .with_hint("freeze fewer layers with `train.freeze`"));
        }
        self.optimizer.set_fits(specs, &fits);
        for ((average, spec), fit) in self.averages.iter_mut().zip(specs).zip(&fits) {
            if fit.is_none() && spec.role.is_trained() {
                *average = Vec::new();
            }
        }
        self.accumulated.clear();
        self.fits = fits;
        Ok(())
    }

    /// Adds the gradients of a batch to what is accumulated, or updates the weights by both.
    /// Answers with the norm of the mean gradient when it updated. `gradients` are by tensor;
    /// those of frozen ones are not looked at.
    ///
    /// # Errors
    /// The norm is not finite; then nothing has changed and nothing is accumulated.
    pub(crate) fn apply(
        &mut self,
        gradients: &mut [Vec<f32>],
        options: &StepOptions<'_>,
    ) -> Result<Option<f64>, EngineError> {
        self.clear_frozen(gradients);
        if !options.updates {
            self.accumulate(gradients);
            return Ok(None);
        }
        for (gradient, sum) in gradients.iter_mut().zip(self.accumulated.drain(..)) {
            add(gradient, &sum);
        }
        let norm = global_norm(gradients);
        check_finite("gradient's norm", norm)?;
        if options.average_decay.is_some() {
            self.begin_averages();
        }
        let update = Update {
            step: options.step,
            learning_rate: options.learning_rate,
            momentum: options.momentum,
            gradient_scale: clip_scale(norm, options.gradient_clip),
            average_decay: options.average_decay.unwrap_or_default(),
        };
        let values = self.parameters.values_mut();
        self.optimizer
            .update(values, &mut self.averages, gradients, &update);
        Ok(Some(norm))
    }

    /// Bytes that an update reads and writes.
    pub(crate) fn update_bytes(&self) -> u64 {
        self.optimizer.update_bytes()
    }

    /// Forgets what is accumulated, after a batch that failed.
    pub(crate) fn forget_accumulated(&mut self) {
        self.accumulated.clear();
    }

    /// Gives fitted tensors that the loss does not depend on a gradient of zero, and takes those
    /// of the others away.
    fn clear_frozen(&self, gradients: &mut [Vec<f32>]) {
        let specs = self.parameters.specs();
        for ((gradient, fit), spec) in gradients.iter_mut().zip(&self.fits).zip(specs) {
            match fit {
                None => gradient.clear(),
                Some(_) => gradient.resize(spec.element_count(), 0.0),
            }
        }
    }

    fn accumulate(&mut self, gradients: &mut [Vec<f32>]) {
        if self.accumulated.is_empty() {
            self.accumulated = gradients.iter_mut().map(std::mem::take).collect();
            return;
        }
        for (sum, gradient) in self.accumulated.iter_mut().zip(gradients) {
            add(sum, gradient);
        }
    }

    /// Begins the averages that are missing, at the present values.
    fn begin_averages(&mut self) {
        let values = self.parameters.values();
        let fitted = self.averages.iter_mut().zip(values).zip(&self.fits);
        for ((average, values), fit) in fitted {
            if fit.is_some() && average.is_empty() {
                average.clone_from(values);
            }
        }
    }

    /// Moves the running statistics among a layer's `tensors` towards those of the batch, as
    /// PyTorch does: by `momentum`, and with the unbiased variance. Their averages follow at each
    /// update.
    pub(crate) fn move_statistics(
        &mut self,
        tensors: Range<usize>,
        momentum: f64,
        measured: &Measured<'_>,
        options: &StepOptions<'_>,
    ) {
        for tensor in tensors {
            let (batch, factor) = match self.parameters.specs()[tensor].role {
                TensorRole::RunningMean => (measured.mean, 1.0),
                TensorRole::RunningVar => (measured.variance, unbiased_factor(measured.count)),
                _ => continue,
            };
            let running = &mut self.parameters.values_mut()[tensor];
            let average = &mut self.averages[tensor];
            if options.average_decay.is_some() && average.is_empty() {
                average.clone_from(running);
            }
            for (running, batch) in running.iter_mut().zip(batch) {
                let (old, new) = (f64::from(*running), f64::from(*batch) * factor);
                *running = (old + momentum * (new - old)) as f32;
            }
            if let Some(decay) = options.average_decay.filter(|_| options.updates) {
                blend(average, running, decay as f32);
            }
        }
    }

    /// Runs `work` with the averages in place of the weights, where there are any. They only
    /// change places: nothing is copied.
    pub(crate) fn with_averages<T>(&mut self, work: impl FnOnce(&[Vec<f32>]) -> T) -> T {
        self.swap_averages();
        let result = work(self.parameters.values());
        self.swap_averages();
        result
    }

    fn swap_averages(&mut self) {
        let values = self.parameters.values_mut().iter_mut();
        for (values, average) in values.zip(&mut self.averages) {
            if !average.is_empty() {
                std::mem::swap(values, average);
            }
        }
    }

    /// All numbers by name.
    pub(crate) fn state(&self) -> State {
        let mut state = State::default();
        self.parameters.write_to(&mut state);
        self.optimizer.write_to(&mut state);
        for (spec, average) in self.parameters.specs().iter().zip(&self.averages) {
            if !average.is_empty() {
                let name = format!("{AVERAGE_PREFIX}{}", spec.name);
                state.insert(name, spec.shape.clone(), average.clone());
            }
        }
        state
    }

    /// Takes all numbers from `state`; nothing changes when one does not fit.
    ///
    /// # Errors
    /// A tensor is missing, unknown or has another shape; the error names it.
    pub(crate) fn load_state(&mut self, state: &State) -> Result<(), EngineError> {
        let averages = self.read_averages(state)?;
        let mut optimizer = self.optimizer.clone();
        optimizer.read_from(state)?;
        self.parameters.read_from(state)?;
        self.optimizer = optimizer;
        self.averages = averages;
        self.accumulated.clear();
        Ok(())
    }

    fn read_averages(&self, state: &State) -> Result<Vec<Vec<f32>>, EngineError> {
        let average_of = |spec: &TensorSpec| {
            let name = format!("{AVERAGE_PREFIX}{}", spec.name);
            match state.get(&name) {
                None => Ok(Vec::new()),
                Some(tensor) if tensor.values.len() == spec.element_count() => {
                    Ok(tensor.values.clone())
                }
                Some(tensor) => Err(EngineError::new(
                    EngineErrorKind::OtherCheckpoint,
                    format!(
                        "tensor `{name}` has the shape {:?}, expected {:?}",
                        tensor.shape, spec.shape
                    ),
                )),
            }
        };
        self.parameters.specs().iter().map(average_of).collect()
    }
}

/// From the biased to the unbiased variance over `count` numbers.
fn unbiased_factor(count: usize) -> f64 {
    count as f64 / count.saturating_sub(1).max(1) as f64
}

fn add(sum: &mut [f32], other: &[f32]) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

/// Refuses a loss or a gradient that is not a number, or infinite.
///
/// # Errors
/// Names what it is.
pub(crate) fn check_finite(what: &str, value: f64) -> Result<(), EngineError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(EngineError::new(
        EngineErrorKind::NotFinite,
        format!("the {what} is `{value}`"),
    ))
}
