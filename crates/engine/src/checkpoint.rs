//! Checkpoints: a run's numbers by layer name, its graph and how far it is, in one safetensors
//! file that is either whole or not there.

mod format;

pub(crate) use format::HEADER_KEY;

use std::fs;
use std::io;
use std::path::Path;

use ferrotype_core::graph::{Graph, Layer};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, EngineErrorKind};
use crate::file;
use crate::schedule::PlateauState;
use crate::state::State;

/// File name of the newest checkpoint in a run's folder.
pub const LAST: &str = "last.safetensors";

/// File name of the checkpoint with the best monitored value in a run's folder.
pub const BEST: &str = "best.safetensors";

/// The checkpoint format this program writes; a newer one is refused.
pub const CHECKPOINT_VERSION: u32 = 2;

/// The largest file that is read: the largest graph with two moments for each weight, and room
/// for names.
const MAX_FILE_BYTES: u64 = 4 << 30;

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
    /// What a plateau schedule has seen.
    #[serde(default)]
    pub plateau: PlateauState,
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
    /// Batches that make one update of the run; as the seed. 0 in checkpoints from before there
    /// was a choice.
    #[serde(default)]
    pub accumulate: u32,
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
    let header = format::Header::new(checkpoint);
    file::replace(path, |file| format::write(file, &header, &checkpoint.state))
}

/// Reads a checkpoint.
///
/// # Errors
/// There is no such file, it is no checkpoint, it is damaged, or a newer program wrote it.
pub fn load(path: &Path) -> Result<Checkpoint, EngineError> {
    let bytes = read_limited(path)?;
    format::read(&bytes).map_err(|error| error.with_path(path))
}

/// Reads a checkpoint of `graph`.
///
/// # Errors
/// As [`load`], or it is of another graph; the error names the first layer that differs.
pub fn load_for(path: &Path, graph: &Graph) -> Result<Checkpoint, EngineError> {
    let checkpoint = load(path)?;
    match first_difference(&checkpoint.graph, graph) {
        None => Ok(checkpoint),
        Some(difference) => Err(EngineError::new(
            EngineErrorKind::OtherCheckpoint,
            format!(
                "the checkpoint `{}` is of another network: {difference}",
                path.display()
            ),
        )
        .with_hint("resume with the run's own configuration, or start a new run")
        .with_path(path)),
    }
}

fn read_limited(path: &Path) -> Result<Vec<u8>, EngineError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EngineError::new(
                EngineErrorKind::NoCheckpoint,
                format!("there is no checkpoint at `{}`", path.display()),
            )
            .with_path(path));
        }
        Err(error) => return Err(EngineError::io("read", path, error)),
    };
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(EngineError::new(
            EngineErrorKind::CorruptCheckpoint,
            format!(
                "`{}` is not a checkpoint: it is no file, or larger than {MAX_FILE_BYTES} bytes",
                path.display()
            ),
        )
        .with_path(path));
    }
    fs::read(path).map_err(|error| EngineError::io("read", path, error))
}

/// Where `found` first differs from `expected`, in words.
fn first_difference(found: &Graph, expected: &Graph) -> Option<String> {
    if found.input != expected.input {
        return Some(format!(
            "its input is {:?}, expected {:?}",
            found.input, expected.input
        ));
    }
    let pairs = found.layers.iter().zip(&expected.layers).enumerate();
    for (index, (found, expected)) in pairs {
        if found.name != expected.name {
            return Some(format!(
                "layer {} is `{}`, expected `{}`",
                index + 1,
                found.name,
                expected.name
            ));
        }
        if found != expected {
            return Some(format!(
                "layer `{}` is {}, expected {}",
                found.name,
                describe(found),
                describe(expected)
            ));
        }
    }
    let (found, expected) = (found.layers.len(), expected.layers.len());
    (found != expected).then(|| format!("it has {found} layers, expected {expected}"))
}

fn describe(layer: &Layer) -> String {
    serde_json::to_string(layer).unwrap_or_else(|_| layer.op.name().to_string())
}
