//! What a configuration means for a network and its images.

use ferrotype_core::config::schema::{ScheduleConfig, TrainConfig};
use ferrotype_vision::loader::{Batch, LoaderOptions};
use ferrotype_vision::mix::Mix;

use super::classes::{check_label_sets, class_weights, epoch_order, labels, positive_weights};
use super::epoch_shape::EpochShape;
use super::stages::Fits;
use super::{TrainRequest, settings};
use crate::error::{EngineError, EngineErrorKind};
use crate::executor::{Device, Executor, LossOptions, StepOptions, Targets};
use crate::schedule::{PlateauState, Schedule};
use crate::state::State;

/// The recipe of a run: everything that follows from its configuration, and changes no more.
pub(super) struct Recipe<'a> {
    pub(super) config: &'a TrainConfig,
    /// What computes the steps.
    pub(super) device: Device,
    pub(super) classes: usize,
    /// Whether an image may have several labels, or none.
    pub(super) is_multi_label: bool,
    pub(super) shape: EpochShape,
    pub(super) schedule: Schedule,
    pub(super) fits: Fits,
    /// How training batches are made.
    pub(super) train_loader: LoaderOptions,
    /// How validation batches are made: without augmentation.
    pub(super) validation_loader: LoaderOptions,
    class_weights: Option<Vec<f64>>,
    labels: Vec<u32>,
}

impl<'a> Recipe<'a> {
    /// Works out what the request asks for.
    ///
    /// # Errors
    /// The settings contradict each other, the network or the data.
    pub(super) fn new(request: &TrainRequest<'a>) -> Result<Self, EngineError> {
        let config = request.config;
        settings::check(config)?;
        let labels = labels(&*request.train);
        let accumulate = config.accumulate as usize;
        let shape = EpochShape::new(labels.len(), config.batch_size, accumulate);
        if shape.images() == 0 {
            return Err(EngineError::new(
                EngineErrorKind::Config,
                "the training split has no images",
            ));
        }
        if matches!(config.schedule, ScheduleConfig::Plateau { .. })
            && request.validation.is_empty()
        {
            return Err(EngineError::new(
                EngineErrorKind::Config,
                "`train.schedule` is `plateau`, but there are no validation images to judge by",
            )
            .with_hint("choose another, as `train/schedule=cosine`"));
        }
        let classes = class_count(request)?;
        let is_multi_label = check_label_sets(request, classes)?;
        let steps = shape.steps() as u64;
        let loader = LoaderOptions {
            batch_size: config.batch_size,
            seed: config.seed,
            classes,
            mix: mix(config)?,
            ..request.loader.clone()
        };
        Ok(Self {
            device: Device::find(config.device)?,
            classes,
            is_multi_label,
            shape,
            schedule: Schedule::new(&config.schedule, config.learning_rate, config.epochs, steps),
            fits: Fits::new(&request.graph, config, steps)?,
            validation_loader: LoaderOptions {
                augment: None,
                mix: None,
                source_transform: None,
                ..loader.clone()
            },
            train_loader: loader,
            class_weights: if is_multi_label {
                positive_weights(&config.class_weights, &*request.train, classes)?
            } else {
                class_weights(&config.class_weights, &labels, classes)?
            },
            labels,
            config,
        })
    }

    /// The samples of an epoch, counted from 0, in the order they are trained on.
    pub(super) fn order(&self, epoch: u64) -> Vec<usize> {
        let config = self.config;
        let mut order = epoch_order(config.sampling, &self.labels, config.seed, epoch);
        order.truncate(self.shape.images());
        order
    }

    /// The loss, as all steps have it.
    pub(super) fn loss(&self) -> LossOptions<'_> {
        LossOptions {
            label_smoothing: self.config.label_smoothing,
            class_weights: self.class_weights.as_deref(),
        }
    }

    /// What the executor is told of step `step` of the run, for its first batch.
    pub(super) fn step_options(&self, step: u64, plateau: &PlateauState) -> StepOptions<'_> {
        let rate = self.schedule.rate(step, plateau);
        StepOptions {
            momentum: rate.momentum,
            dropout_seed: self.config.seed,
            gradient_clip: self.config.gradient_clip,
            loss: self.loss(),
            average_decay: self.config.ema.map(|decay| average_decay(decay, step)),
            ..StepOptions::new(step, rate.learning_rate)
        }
    }
}

/// An executor of the request's network with the weights that a new run begins with.
///
/// # Errors
/// The graph cannot be trained, or the initial weights do not fit it.
pub(super) fn new_executor(
    request: &mut TrainRequest<'_>,
    device: &Device,
) -> Result<Box<dyn Executor>, EngineError> {
    let config = request.config;
    let mut executor = device.executor(&request.graph, &config.optimizer, config.seed)?;
    if let Some(weights) = request.initial_weights.take() {
        begin_with(executor.as_mut(), weights)?;
    }
    Ok(executor)
}

/// Puts `weights` in place of what was drawn, as far as they go.
fn begin_with(executor: &mut dyn Executor, weights: State) -> Result<(), EngineError> {
    let mut state = executor.state();
    for (name, tensor) in weights.tensors {
        let message = match state.tensors.get_mut(&name) {
            Some(own) if own.shape == tensor.shape => {
                *own = tensor;
                continue;
            }
            Some(own) => format!(
                "the initial tensor `{name}` has the shape {:?}, expected {:?}",
                tensor.shape, own.shape
            ),
            None => format!("the initial tensor `{name}` belongs to no layer"),
        };
        return Err(EngineError::new(EngineErrorKind::Config, message)
            .with_hint("leave it out: it is then drawn from the seed"));
    }
    executor.load_state(&state)
}

/// What the network is to answer for a batch.
pub(super) fn targets(batch: &Batch) -> Targets<'_> {
    match (&batch.independent, &batch.shares) {
        (Some(targets), _) => Targets::Independent(targets),
        (None, Some(shares)) => Targets::Shares(shares),
        (None, None) => Targets::Classes(&batch.labels),
    }
}

/// The decay of the moving average at a step: less in the beginning, so that the average does not
/// hold on to the random start (as TensorFlow's `ExponentialMovingAverage` and timm have it).
fn average_decay(decay: f64, step: u64) -> f64 {
    decay.min((1.0 + step as f64) / (10.0 + step as f64))
}

fn mix(config: &TrainConfig) -> Result<Option<Mix>, EngineError> {
    let [mixup, cutmix] = [config.mixup, config.cutmix].map(Option::unwrap_or_default);
    if mixup <= 0.0 && cutmix <= 0.0 {
        return Ok(None);
    }
    let mix = Mix::new(mixup, cutmix, 1.0).map_err(|error| {
        EngineError::new(
            EngineErrorKind::Config,
            format!("`train.mixup`, `train.cutmix`: {error}"),
        )
    })?;
    Ok(Some(mix))
}

fn class_count(request: &TrainRequest<'_>) -> Result<usize, EngineError> {
    let infos = request.graph.shapes()?;
    let output = infos.last().map(|info| info.output_shape.iter().product());
    Ok(output.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_averages_decay_warms_up() {
        assert!((average_decay(0.99, 0) - 0.1).abs() < 1e-12);
        assert!((average_decay(0.99, 90) - 0.91).abs() < 1e-12);
        assert_eq!(average_decay(0.99, 100_000), 0.99);
    }
}
