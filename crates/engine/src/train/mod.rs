//! The training loop.

mod observer;
mod pace;
mod run;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;

use ferrotype_core::config::schema::TrainConfig;
use ferrotype_core::graph::Graph;
use ferrotype_vision::loader::{LoaderOptions, SampleSource};

pub use observer::{
    CheckpointKind, Control, EpochSummary, StepProgress, TrainObserver, TrainStart,
    ValidationOutputs, Verdict,
};

use self::run::Run;
use crate::error::EngineError;
use crate::state::State;

/// What to train.
pub struct TrainRequest<'a> {
    /// The network.
    pub graph: Graph,
    /// How its weights are fitted.
    pub config: &'a TrainConfig,
    /// How batches are made. The batch size and the seed come from `config`; validation uses
    /// the same options without augmentation.
    pub loader: LoaderOptions,
    /// The training split.
    pub train: Arc<dyn SampleSource>,
    /// The validation split; may be empty.
    pub validation: Arc<dyn SampleSource>,
    /// Folder for [`crate::checkpoint::LAST`] and [`crate::checkpoint::BEST`]; made when absent.
    pub checkpoint_directory: PathBuf,
    /// Values that a new run starts from, by tensor name; those it lacks are drawn from the seed
    /// (the head, for other classes). A resumed run has its own.
    pub initial_weights: Option<State>,
    /// Continue from the last checkpoint in that folder; without one, start anew. When not
    /// resuming, a folder that has one is refused.
    pub resume: bool,
}

/// Why training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainEnd {
    /// All epochs are done.
    Completed,
    /// The monitored metric no longer improved.
    EarlyStopped,
    /// The observer asked to stop; resuming continues where it stopped.
    Interrupted,
}

/// How training ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOutcome {
    /// Why.
    pub end: TrainEnd,
    /// Epochs done.
    pub epochs: u32,
    /// Steps done over all epochs.
    pub global_step: u64,
    /// The best monitored value.
    pub best: Option<f64>,
    /// The epoch that reached it, counted from 1.
    pub best_epoch: Option<u32>,
    /// The newest checkpoint.
    pub last_checkpoint: PathBuf,
    /// The best checkpoint; none before the first epoch is done.
    pub best_checkpoint: Option<PathBuf>,
}

/// Trains until the epochs are done, the metric no longer improves, or the observer stops it.
///
/// A resumed run ends with the same weights, bit for bit, as one that was never interrupted.
///
/// # Errors
/// The graph, the settings or a sample cannot be used; the loss is not finite; a checkpoint
/// cannot be read or written.
pub fn train(
    request: TrainRequest<'_>,
    observer: &mut dyn TrainObserver,
) -> Result<TrainOutcome, EngineError> {
    settings::check(request.config)?;
    Run::start(request, observer)?.finish()
}
