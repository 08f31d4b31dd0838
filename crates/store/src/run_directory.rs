//! The folder of a run, and the lock that keeps two processes off one run.

use std::path::PathBuf;

use ferrotype_core::id::RunId;

use crate::atomic_file::create_folder;
use crate::error::{StoreError, StoreErrorKind};
use crate::os_lock::{self, OsLock};
use crate::store::Store;

/// The right to work on a run, held until dropped. The operating system frees it when the process
/// dies.
#[derive(Debug)]
pub struct RunLock {
    run: RunId,
    _lock: OsLock,
}

impl RunLock {
    /// The run that is locked.
    pub fn run(&self) -> RunId {
        self.run
    }
}

impl Store {
    /// The run's folder (`runs/<id>/`): checkpoints, log and lock.
    pub fn run_directory(&self, run: RunId) -> PathBuf {
        self.root().join("runs").join(run.to_string())
    }

    /// The folder of decoded images (`cache/decoded/`), which may be deleted at any time.
    pub fn decoded_cache_folder(&self) -> PathBuf {
        self.root().join("cache").join("decoded")
    }

    /// The run's log file.
    pub fn run_log_path(&self, run: RunId) -> PathBuf {
        self.run_directory(run).join("log.txt")
    }

    /// Takes the right to work on a run, making its folder if there is none. A server that looks
    /// for dead runs has it for a moment: that is waited for, for two seconds at most.
    ///
    /// # Errors
    /// `RunBusy` when another process (or another part of this one) works on it.
    pub fn lock_run(&self, run: RunId) -> Result<RunLock, StoreError> {
        create_folder(&self.run_directory(run))?;
        let path = self.run_lock_path(run);
        match OsLock::try_acquire(&path, os_lock::PATIENT)? {
            Some(lock) => Ok(RunLock { run, _lock: lock }),
            None => Err(busy("run", &run.short(), os_lock::last_holder(&path))),
        }
    }

    /// Whether a process works on the run at this moment.
    ///
    /// # Errors
    /// When the lock file cannot be read.
    pub fn is_run_locked(&self, run: RunId) -> Result<bool, StoreError> {
        os_lock::is_held(&self.run_lock_path(run))
    }

    pub(crate) fn run_lock_path(&self, run: RunId) -> PathBuf {
        self.run_directory(run).join("lock")
    }
}

/// Somebody else works on it.
pub(crate) fn busy(noun: &str, text: &str, process: Option<u32>) -> StoreError {
    let who = match process {
        Some(process) if process == std::process::id() => {
            "this process works on it already".to_string()
        }
        Some(process) => format!("process {process} works on it"),
        None => "another process works on it".to_string(),
    };
    StoreError::new(
        StoreErrorKind::RunBusy,
        format!("{noun} `{text}` is busy: {who}"),
    )
}
