//! A step that failed: where, on which images, and what to do about it.

use std::path::Path;

use crate::error::{EngineError, EngineErrorKind};
use crate::file;

/// File name of the list of images of the step that failed, in a run's folder: one in each line.
pub const FAILED_BATCH: &str = "failed_batch.txt";

/// Names that are told in the message itself.
const NAMES_TOLD: usize = 3;

/// Where a step failed.
pub(super) struct Place<'a> {
    /// Counted from 1.
    pub(super) epoch: u32,
    /// Of the epoch, counted from 1.
    pub(super) step: u64,
    pub(super) learning_rate: f64,
    pub(super) is_clipped: bool,
    /// The run's folder.
    pub(super) folder: &'a Path,
    /// What resuming or evaluating can use, if something was saved.
    pub(super) kept: Option<&'a Path>,
}

impl Place<'_> {
    /// The error with the place, the first of the images `names` and what to do; all of them are
    /// written to [`FAILED_BATCH`].
    pub(super) fn explain(&self, error: &EngineError, names: &[String]) -> EngineError {
        let message = format!("epoch {}, step {}: {error}", self.epoch, self.step);
        EngineError::new(error.kind(), message).with_hint(format!(
            "{}; {}{}",
            self.advice(error.kind()),
            self.images(names),
            self.kept.map_or_else(String::new, |path| format!(
                "; the weights saved before are in `{}`",
                path.display()
            ))
        ))
    }

    fn advice(&self, kind: EngineErrorKind) -> String {
        let rate = self.learning_rate;
        let clip = if self.is_clipped {
            ""
        } else {
            " or set `train.gradient_clip=1`"
        };
        let look = if kind == EngineErrorKind::NotFinite {
            ", or look at the batch's images"
        } else {
            ""
        };
        format!("lower `train.learning_rate` (it was {rate:.3e} here){clip}{look}")
    }

    fn images(&self, names: &[String]) -> String {
        let told: Vec<String> = names
            .iter()
            .take(NAMES_TOLD)
            .map(|name| format!("`{name}`"))
            .collect();
        let path = self.folder.join(FAILED_BATCH);
        let written = file::replace(&path, |file| {
            names.iter().try_for_each(|name| writeln!(file, "{name}"))
        });
        let listed = match written {
            Ok(()) => format!(", all {} are in `{}`", names.len(), path.display()),
            // That they cannot be listed is no reason to hide what went wrong.
            Err(_) => String::new(),
        };
        format!("the batch begins with {}{listed}", told.join(", "))
    }
}
