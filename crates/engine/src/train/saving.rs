//! A run's checkpoints: taking up the last, writing the last and the best.

use std::path::Path;
use std::time::Instant;

use super::CheckpointKind;
use super::run::Run;
use crate::checkpoint::{self, Checkpoint, Progress};
use crate::error::{EngineError, EngineErrorKind};

impl Run<'_> {
    /// Takes up the last checkpoint, if there is one; says whether there was.
    pub(super) fn continue_from_last(&mut self, resume: bool) -> Result<bool, EngineError> {
        let Some(existing) = [&self.last_path, &self.best_path]
            .into_iter()
            .find(|path| path.exists())
        else {
            return Ok(false);
        };
        if !resume {
            return Err(EngineError::new(
                EngineErrorKind::Config,
                format!("there is a checkpoint already: `{}`", existing.display()),
            )
            .with_hint("resume the run, or train into another folder")
            .with_path(existing));
        }
        if existing != &self.last_path {
            return Err(last_is_gone(&self.last_path, existing));
        }
        let checkpoint = checkpoint::load_for(&self.last_path, &self.graph)?;
        check_same_run(&checkpoint.progress, &self.progress)?;
        self.progress = checkpoint.progress;
        // First, for the moments of thawed tensors have a place only then.
        self.set_fits()?;
        self.executor.load_state(&checkpoint.state)?;
        Ok(true)
    }

    pub(super) fn save_last(&mut self) -> Result<(), EngineError> {
        let checkpoint = Checkpoint {
            graph: self.graph.clone(),
            state: self.executor.state(),
            progress: self.progress.clone(),
        };
        checkpoint::save(&self.last_path, &checkpoint)?;
        self.saved_at = Instant::now();
        self.observer
            .on_checkpoint(CheckpointKind::Last, &self.last_path);
        Ok(())
    }

    /// The best is for use, not for continuing.
    pub(super) fn save_best(&mut self) -> Result<(), EngineError> {
        let checkpoint = Checkpoint {
            graph: self.graph.clone(),
            state: self.executor.state().for_use(),
            progress: self.progress.clone(),
        };
        checkpoint::save(&self.best_path, &checkpoint)?;
        self.observer
            .on_checkpoint(CheckpointKind::Best, &self.best_path);
        Ok(())
    }
}

/// Starting anew would overwrite the best of what was trained.
fn last_is_gone(last: &Path, best: &Path) -> EngineError {
    EngineError::new(
        EngineErrorKind::NoCheckpoint,
        format!(
            "`{}` is gone, there is nothing to resume from",
            last.display()
        ),
    )
    .with_hint(format!(
        "`{}` is still there to evaluate and export; to train again, start a new run",
        best.display()
    ))
    .with_path(last)
}

/// A run that goes on with another order of images would not end with the same weights.
fn check_same_run(found: &Progress, expected: &Progress) -> Result<(), EngineError> {
    let pairs = [
        ("the seed", found.seed, expected.seed),
        (
            "the batch size",
            found.batch_size as u64,
            expected.batch_size as u64,
        ),
        (
            "the number of training images",
            found.train_images as u64,
            expected.train_images as u64,
        ),
        (
            "the number of accumulated batches",
            u64::from(found.accumulate.max(1)),
            u64::from(expected.accumulate.max(1)),
        ),
    ];
    match pairs
        .into_iter()
        .find(|(_, found, expected)| found != expected)
    {
        None => Ok(()),
        Some((what, found, expected)) => Err(EngineError::new(
            EngineErrorKind::OtherCheckpoint,
            format!("{what} was `{found}` when the checkpoint was made, now it is `{expected}`"),
        )
        .with_hint("resume with the run's own configuration and data, or start a new run")),
    }
}
