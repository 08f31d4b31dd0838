//! What a process that died left `running`.

use ferrotype_core::id::{JobId, RunId};
use serde::Serialize;

use crate::error::StoreError;
use crate::jobs::{JobFilter, JobStatus};
use crate::os_lock::{OsLock, SHORT};
use crate::runs::{RunFilter, RunStatus};
use crate::store::Store;

/// Jobs and runs that were found dead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// Jobs that are `interrupted` now and may be taken on again.
    pub jobs: Vec<JobId>,
    /// Runs that are `interrupted` now and may be resumed.
    pub runs: Vec<RunId>,
}

/// More than can be running on one machine.
const MOST_RUNNING: u32 = 1_000;

impl Store {
    /// Marks what is said to be running, but whose lock nobody holds, as interrupted. The
    /// operating system frees a lock when its holder dies, however it dies, so nobody is taken for
    /// dead who only was silent. To be called when a server starts and before runs are listed.
    ///
    /// # Errors
    /// When the database or a lock cannot be read.
    pub async fn recover_dead(&self) -> Result<Recovered, StoreError> {
        Ok(Recovered {
            jobs: self.recover_dead_jobs().await?,
            runs: self.recover_dead_runs().await?,
        })
    }

    async fn recover_dead_jobs(&self) -> Result<Vec<JobId>, StoreError> {
        let filter = JobFilter {
            status: Some(JobStatus::Running),
            ..JobFilter::default()
        };
        let mut dead = Vec::new();
        for job in self.jobs(&filter, MOST_RUNNING).await? {
            // Held while the row changes, so that nobody takes the job on in between.
            let Some(_lock) = OsLock::try_acquire(&self.job_lock_path(job.id), SHORT)? else {
                continue;
            };
            let changed = sqlx::query(
                "UPDATE job SET status = 'interrupted', finished_at = $2
                 WHERE id = $1 AND status = 'running'",
            )
            .bind(job.id.to_string())
            .bind(self.now().as_millis())
            .execute(self.pool())
            .await?
            .rows_affected();
            if changed > 0 {
                dead.push(job.id);
            }
        }
        Ok(dead)
    }

    async fn recover_dead_runs(&self) -> Result<Vec<RunId>, StoreError> {
        let filter = RunFilter {
            status: Some(RunStatus::Running),
            ..RunFilter::default()
        };
        let mut dead = Vec::new();
        for run in self.runs(&filter, MOST_RUNNING).await? {
            crate::atomic_file::create_folder(&self.run_directory(run.id))?;
            let Some(_lock) = OsLock::try_acquire(&self.run_lock_path(run.id), SHORT)? else {
                continue;
            };
            let changed = sqlx::query(
                "UPDATE run SET status = 'interrupted', finished_at = $2
                 WHERE id = $1 AND status = 'running'",
            )
            .bind(run.id.to_string())
            .bind(self.now().as_millis())
            .execute(self.pool())
            .await?
            .rows_affected();
            if changed > 0 {
                dead.push(run.id);
            }
        }
        Ok(dead)
    }
}
