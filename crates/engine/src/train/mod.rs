//! The training loop.

mod classes;
mod epoch_shape;
mod failure;
mod hygiene;
mod memory;
mod observer;
mod pace;
mod profile;
mod rate_finder;
mod recipe;
mod run;
mod saving;
mod settings;
mod stages;
mod validation;

use std::path::PathBuf;
use std::sync::Arc;

use ferrotype_core::config::schema::{TestTimeAugmentation, TrainConfig};
use ferrotype_core::graph::Graph;
use ferrotype_vision::loader::{LoaderOptions, SampleSource};

pub use failure::FAILED_BATCH;
pub use memory::MemoryDemand;
pub use observer::{
    CheckpointKind, Control, EpochSummary, StepProgress, TrainObserver, TrainStart,
    ValidationOutputs, Verdict,
};
pub use profile::{Profile, ProfileOptions, Section, SectionKind};
pub use rate_finder::{
    NoDescent, RangeEnd, RateCurve, RateFinderOptions, RatePoint, find_learning_rate,
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
    /// How batches are made. The batch size, the seed and the mixing come from `config`, the
    /// number of classes from `graph`; validation uses the same options without augmentation.
    pub loader: LoaderOptions,
    /// The views of an image that are averaged in validation.
    pub test_time_augmentation: TestTimeAugmentation,
    /// The training split.
    pub train: Arc<dyn SampleSource>,
    /// The validation split; may be empty.
    pub validation: Arc<dyn SampleSource>,
    /// Folder for [`crate::checkpoint::LAST`] and [`crate::checkpoint::BEST`]; made when absent.
    pub checkpoint_directory: PathBuf,
    /// Values that a new run starts from, by tensor name; those it lacks are drawn from the seed
    /// (the head, for other classes). A resumed run has its own.
    pub initial_weights: Option<State>,
    /// Bytes that the run may take; one that would take more is refused before its first step.
    /// None to leave that unchecked.
    pub available_memory: Option<u64>,
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

/// Whether the layers that `config` freezes are there, and leave something to learn.
///
/// # Errors
/// A pattern matches no layer, or every layer is frozen.
pub fn check_freezing(graph: &Graph, config: &TrainConfig) -> Result<(), EngineError> {
    stages::Fits::new(graph, config, 1).map(|_| ())
}

/// Trains until the epochs are done, the metric no longer improves, or the observer stops it.
///
/// A resumed run ends with the same weights, bit for bit, as one that was never interrupted.
///
/// # Errors
/// The graph, the settings or a sample cannot be used; the loss is not finite or explodes; a
/// checkpoint cannot be read or written.
pub fn train(
    request: TrainRequest<'_>,
    observer: &mut dyn TrainObserver,
) -> Result<TrainOutcome, EngineError> {
    Run::start(request, observer)?.finish()
}
