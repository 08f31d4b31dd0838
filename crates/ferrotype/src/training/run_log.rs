//! The log of a run: what happened and when, in `log.txt` of its folder.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use ferrotype_core::id::RunId;
use ferrotype_core::time::Clock;
use ferrotype_store::Store;

/// Adds lines to a run's log.
pub(crate) struct RunLog {
    file: File,
    clock: Arc<dyn Clock>,
}

impl RunLog {
    /// Opens the log of a run to add to it.
    pub(crate) fn open(store: &Store, run: RunId) -> anyhow::Result<Self> {
        let path = store.run_log_path(run);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write the log `{}`", path.display()))?;
        Ok(Self {
            file,
            clock: Arc::clone(store.clock()),
        })
    }

    /// Adds a line with the present time. A log that cannot be written stops no training.
    pub(crate) fn line(&self, text: impl Display) {
        // One call, so that lines of two threads never mix.
        let line = format!("{} {text}\n", self.clock.now());
        if let Err(error) = (&self.file).write_all(line.as_bytes()) {
            tracing::warn!(%error, "the run's log cannot be written");
        }
    }
}
