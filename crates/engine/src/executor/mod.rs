//! The boundary behind which a layer graph is executed.

#[cfg(feature = "burn")]
mod burn;
mod cpu;
mod plan;
mod shared;

#[cfg(feature = "burn")]
pub use self::burn::BurnExecutor;
pub use self::cpu::CpuExecutor;

use crate::error::EngineError;
use crate::state::State;

/// What one training step is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepOptions {
    /// The step's number, counted from 0 over all epochs. Keys the step's random draws and the
    /// optimiser's bias correction, so that neither needs a state of its own.
    pub step: u64,
    /// Learning rate.
    pub learning_rate: f64,
    /// Seed of the dropout masks.
    pub dropout_seed: u64,
    /// Gradients are scaled down to this global L2 norm; none for no clipping.
    pub gradient_clip: Option<f64>,
}

/// What one training step answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepOutput {
    /// Mean cross-entropy of the batch, before the update.
    pub loss: f64,
    /// Images of the batch whose largest logit was at their label.
    pub correct: usize,
    /// Global L2 norm of the gradients, before clipping.
    pub gradient_norm: f64,
}

/// Executes a layer graph: forward, backward and update, with its numbers by layer name.
pub trait Executor {
    /// One step of training on `images` (`[n, channels, height, width]`) and `labels` (`[n]`).
    ///
    /// The weights are left as they were when the step fails.
    ///
    /// # Errors
    /// The batch does not fit the graph, or the loss or a gradient is not finite.
    fn train_step(
        &mut self,
        images: &[f32],
        labels: &[u32],
        options: &StepOptions,
    ) -> Result<StepOutput, EngineError>;

    /// Logits `[batch, classes]` of `images` (`[batch, channels, height, width]`), with running
    /// statistics and without dropout.
    ///
    /// # Errors
    /// The batch does not fit the graph.
    fn evaluate(&mut self, images: &[f32], batch: usize) -> Result<Vec<f32>, EngineError>;

    /// All numbers by layer name: weights, running statistics and the optimiser's moments.
    fn state(&self) -> State;

    /// Replaces all numbers. Moments that `state` lacks start at zero.
    ///
    /// # Errors
    /// A tensor is missing, unknown or has another shape; the error names it.
    fn load_state(&mut self, state: &State) -> Result<(), EngineError>;
}
