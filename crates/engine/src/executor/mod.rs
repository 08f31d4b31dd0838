//! The boundary behind which a layer graph is executed.

#[cfg(feature = "burn")]
mod burn;
mod cpu;
mod device;
mod plan;
mod shared;
mod span;
mod targets;

#[cfg(feature = "burn")]
pub use self::burn::BurnExecutor;
pub use self::cpu::{CpuExecutor, MemoryEstimate};
pub use self::device::Device;
pub use self::span::{Phase, Span};
pub use self::targets::Targets;

use std::time::Instant;

use crate::error::EngineError;
use crate::state::State;

/// What one training step is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepOptions<'a> {
    /// The update's number, counted from 0 over all epochs: keys the optimiser's bias correction,
    /// so that it needs no state of its own.
    pub step: u64,
    /// The batch's number, counted from 0 over all epochs: keys its random draws. The same as
    /// `step` unless gradients are accumulated.
    pub batch: u64,
    /// Learning rate, before each tensor's own factor (see [`Fit`]).
    pub learning_rate: f64,
    /// Momentum (`beta1` of AdamW) in place of the optimiser's own, where it has one.
    pub momentum: Option<f64>,
    /// Seed of the masks of dropout and stochastic depth.
    pub dropout_seed: u64,
    /// Gradients are scaled down to this global L2 norm; none for no clipping.
    pub gradient_clip: Option<f64>,
    /// How the loss weighs targets and classes.
    pub loss: LossOptions<'a>,
    /// This batch's part in the mean gradient of the update: 1 for an update by a single batch.
    pub share: f64,
    /// Whether the weights are updated now, by what was accumulated and this batch; else its
    /// gradient is only added to what is accumulated.
    pub updates: bool,
    /// Decay of the moving average of the weights at this step; none for no average. With the
    /// first, the average starts as the weights are before the update.
    pub average_decay: Option<f64>,
}

impl StepOptions<'static> {
    /// One batch, one update: no clipping, no average, a plain mean loss.
    pub const fn new(step: u64, learning_rate: f64) -> Self {
        Self {
            step,
            batch: step,
            learning_rate,
            momentum: None,
            dropout_seed: 0,
            gradient_clip: None,
            loss: LossOptions::PLAIN,
            share: 1.0,
            updates: true,
            average_decay: None,
        }
    }
}

/// How the loss weighs targets and classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossOptions<'a> {
    /// Share of each target that is spread evenly over all classes, 0 to below 1 (Szegedy et al.
    /// 2016, arXiv:1512.00567).
    pub label_smoothing: f64,
    /// `[classes]`: weight of each class, or for [`Targets::Independent`] that of its positive
    /// targets. None for equal weights.
    pub class_weights: Option<&'a [f64]>,
}

impl LossOptions<'static> {
    /// No smoothing, equal weights.
    pub const PLAIN: Self = Self {
        label_smoothing: 0.0,
        class_weights: None,
    };
}

/// How one tensor is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Factor of the learning rate.
    pub rate: f64,
    /// The update (counted from 0 over all epochs) from which on it is fitted: 0, or later when
    /// it was frozen before. The optimiser's bias correction counts from here.
    pub since: u64,
}

impl Fit {
    /// From the first update on, with the learning rate as it is.
    pub const PLAIN: Self = Self {
        rate: 1.0,
        since: 0,
    };
}

/// What one training step answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepOutput {
    /// Mean loss of the batch, before the update.
    pub loss: f64,
    /// Images of the batch whose largest logit was at their class (the one with the largest share
    /// of a mixed image); of independent classes, images with every answer right.
    pub correct: usize,
    /// Global L2 norm of the update's mean gradient, before clipping; none when the batch was
    /// only accumulated.
    pub gradient_norm: Option<f64>,
}

/// Executes a layer graph: forward, backward and update, with its numbers by layer name.
pub trait Executor {
    /// One step of training on `images` (`[n, channels, height, width]`) and their targets.
    ///
    /// The weights are left as they were, and nothing stays accumulated, when the step fails.
    ///
    /// # Errors
    /// The batch does not fit the graph, or the loss or a gradient is not finite.
    fn train_step(
        &mut self,
        images: &[f32],
        targets: &Targets<'_>,
        options: &StepOptions<'_>,
    ) -> Result<StepOutput, EngineError>;

    /// Logits `[batch, classes]` of `images` (`[batch, channels, height, width]`), with running
    /// statistics and without dropout; by the moving average of the weights when there is one.
    ///
    /// # Errors
    /// The batch does not fit the graph.
    fn evaluate(&mut self, images: &[f32], batch: usize) -> Result<Vec<f32>, EngineError>;

    /// Says how each of the graph's tensors ([`ferrotype_core::graph::Graph::tensors`]) is
    /// fitted; one with none is frozen: no gradient, no moments, no update. A normalisation
    /// without a fitted tensor uses its running statistics and keeps them. Running statistics have
    /// none.
    ///
    /// # Errors
    /// There is not one entry for each tensor, or none is fitted.
    fn set_fits(&mut self, fits: &[Option<Fit>]) -> Result<(), EngineError>;

    /// The moment that the starts of recorded spans are counted from; none switches recording
    /// off. Does nothing where it is not supported.
    fn set_recording(&mut self, since: Option<Instant>) {
        let _ = since;
    }

    /// What was recorded since it was last asked.
    fn take_spans(&mut self) -> Vec<Span> {
        Vec::new()
    }

    /// All numbers by layer name: weights, running statistics, the optimiser's moments and the
    /// moving average.
    fn state(&self) -> State;

    /// Replaces all numbers. Moments that `state` lacks start at zero; without an average in it
    /// there is none.
    ///
    /// # Errors
    /// A tensor is missing, unknown or has another shape; the error names it.
    fn load_state(&mut self, state: &State) -> Result<(), EngineError>;
}
