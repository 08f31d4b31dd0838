//! Jobs: long work that a process takes on, with progress, signs of life and a way to cancel it.

use std::path::PathBuf;

use ferrotype_core::id::{JobId, RunId};
use ferrotype_core::time::Timestamp;
use serde::Serialize;
use sqlx::QueryBuilder;

use crate::database::{Connection, Engine};
use crate::error::{StoreError, StoreErrorKind};
use crate::os_lock::{self, OsLock};
use crate::row::{Columns as _, DatabaseRow};
use crate::run_directory::busy;
use crate::runs::RunStatus;
use crate::store::Store;
use crate::text_enum::text_enum;

text_enum! {
    /// Where a job stands.
    JobStatus, "job status" {
        /// Waits for a process to take it on.
        Queued = "queued",
        /// A process works on it (or died without a word, see [`Store::recover_dead`]).
        Running = "running",
        /// Ended as planned.
        Finished = "finished",
        /// Ended with an error.
        Failed = "failed",
        /// Ended because somebody asked for it.
        Cancelled = "cancelled",
        /// Ended early, or its process died; it can be taken on again.
        Interrupted = "interrupted",
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// As planned.
    Finished,
    /// With an error, told here.
    Failed(String),
    /// Because somebody asked for it.
    Cancelled,
    /// Early, to be taken on again.
    Interrupted,
}

impl JobOutcome {
    fn status(&self) -> JobStatus {
        match self {
            Self::Finished => JobStatus::Finished,
            Self::Failed(_) => JobStatus::Failed,
            Self::Cancelled => JobStatus::Cancelled,
            Self::Interrupted => JobStatus::Interrupted,
        }
    }

    fn error(&self) -> Option<&str> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What is to be done, such as `train`.
    pub kind: String,
    /// With what, as JSON.
    pub payload_json: String,
    /// The run that it works on.
    pub run: Option<RunId>,
    /// Where it stands.
    pub status: JobStatus,
    /// How far it is, 0 to 1.
    pub progress: f64,
    /// What it does at the moment, for people.
    pub message: String,
    /// Whether somebody asked for it to be cancelled.
    pub cancel_requested: bool,
    /// How often a process took it on.
    pub attempts: u32,
    /// The process that took it on last.
    pub process_id: Option<u32>,
    /// Its last sign of life.
    pub heartbeat_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When a process took it on first.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Job {
    fn from_row(row: &DatabaseRow) -> Result<Self, StoreError> {
        let process_id: Option<i64> = row.value("process_id")?;
        Ok(Self {
            id: row.parsed("id")?,
            kind: row.text("kind")?,
            payload_json: row.text("payload_json")?,
            run: row.parsed_or_none("run_id")?,
            status: row.parsed("status")?,
            progress: row.value("progress")?,
            message: row.text("message")?,
            cancel_requested: row.value("cancel_requested")?,
            attempts: row.whole("attempts")?,
            process_id: process_id.and_then(|id| u32::try_from(id).ok()),
            heartbeat_at: row.time_or_none("heartbeat_at")?,
            error: row.value("error")?,
            created_at: row.time("created_at")?,
            started_at: row.time_or_none("started_at")?,
            finished_at: row.time_or_none("finished_at")?,
        })
    }
}

/// Which jobs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only those that stand there.
    pub status: Option<JobStatus>,
    /// Only those of this run.
    pub run: Option<RunId>,
    /// Only those enqueued before this one: the next page.
    pub before: Option<JobId>,
}

/// A job that this process works on. Dropping it (or dying) frees the job for another process.
#[derive(Debug)]
pub struct ClaimedJob {
    /// The job as it was taken on.
    pub job: Job,
    _lock: OsLock,
}

impl Store {
    /// Adds a job, to be taken on by a process with [`Self::claim_job`].
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn enqueue_job(
        &self,
        kind: &str,
        payload_json: &str,
        run: Option<RunId>,
    ) -> Result<Job, StoreError> {
        let id = self.new_id(JobId::new)?;
        sqlx::query(
            "INSERT INTO job (id, kind, payload_json, run_id, status, progress, message,
                 cancel_requested, attempts, created_at)
             VALUES ($1, $2, $3, $4, $5, 0.0, '', $6, 0, $7)",
        )
        .bind(id.to_string())
        .bind(kind)
        .bind(payload_json)
        .bind(run.map(|run| run.to_string()))
        .bind(JobStatus::Queued.as_str())
        .bind(false)
        .bind(self.now().as_millis())
        .execute(self.pool())
        .await?;
        self.job(id).await
    }

    /// The job of that id.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn job(&self, id: JobId) -> Result<Job, StoreError> {
        let row = sqlx::query("SELECT * FROM job WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?
            .ok_or_else(|| StoreError::not_found("job", &id.to_string(), []))?;
        Job::from_row(&row)
    }

    /// Jobs, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn jobs(&self, filter: &JobFilter, limit: u32) -> Result<Vec<Job>, StoreError> {
        let mut query = QueryBuilder::<Engine>::new("SELECT * FROM job WHERE 1 = 1");
        if let Some(status) = filter.status {
            query.push(" AND status = ").push_bind(status.as_str());
        }
        if let Some(run) = filter.run {
            query.push(" AND run_id = ").push_bind(run.to_string());
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").push_bind(before.to_string());
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(limit));
        let rows = query.build().fetch_all(self.pool()).await?;
        rows.iter().map(Job::from_row).collect()
    }

    /// Takes a job on: one that is queued, was interrupted, or whose process died.
    ///
    /// # Errors
    /// `RunBusy` when a process works on it, `Conflict` when it is over, `NotFound`.
    pub async fn claim_job(&self, id: JobId) -> Result<ClaimedJob, StoreError> {
        self.job(id).await?;
        let path = self.job_lock_path(id);
        let Some(lock) = OsLock::try_acquire(&path, os_lock::PATIENT)? else {
            return Err(busy("job", &id.short(), os_lock::last_holder(&path)));
        };
        // With the lock held a `running` job is one whose process died.
        let now = self.now().as_millis();
        let claimed = sqlx::query(
            "UPDATE job SET status = $2, attempts = attempts + 1, process_id = $3,
                 heartbeat_at = $4, started_at = COALESCE(started_at, $4),
                 cancel_requested = $5, error = NULL, finished_at = NULL
             WHERE id = $1 AND status IN ('queued', 'interrupted', 'running')",
        )
        .bind(id.to_string())
        .bind(JobStatus::Running.as_str())
        .bind(i64::from(std::process::id()))
        .bind(now)
        .bind(false)
        .execute(self.pool())
        .await?
        .rows_affected();
        let job = self.job(id).await?;
        if claimed == 0 {
            return Err(over(&job));
        }
        Ok(ClaimedJob { job, _lock: lock })
    }

    /// Tells how far a job is (0 to 1), with a line for people; also a sign of life.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn update_progress(
        &self,
        id: JobId,
        progress: f64,
        message: &str,
    ) -> Result<(), StoreError> {
        let mut connection = self.pool().acquire().await?;
        write_progress(&mut connection, id, progress, message, self.now()).await
    }

    /// A sign of life of a running job. Answers whether somebody asked for it to be cancelled.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn heartbeat(&self, id: JobId) -> Result<bool, StoreError> {
        let mut connection = self.pool().acquire().await?;
        write_heartbeat(&mut connection, id, self.now()).await
    }

    /// Asks for a job to be cancelled. One that nobody works on is cancelled at once, its run
    /// stopped; a running one ends at its next step.
    ///
    /// # Errors
    /// `Conflict` when it is over, `NotFound`.
    pub async fn request_cancel(&self, id: JobId) -> Result<(), StoreError> {
        let now = self.now();
        let asked = self
            .transact(async move |connection| request_cancel(connection, id, now).await)
            .await?;
        if !asked {
            return Err(over(&self.job(id).await?));
        }
        Ok(())
    }

    /// Whether somebody asked for the job to be cancelled.
    ///
    /// # Errors
    /// `NotFound` when there is no such job.
    pub async fn is_cancel_requested(&self, id: JobId) -> Result<bool, StoreError> {
        Ok(self.job(id).await?.cancel_requested)
    }

    /// Ends a job that this process worked on and frees it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn finish_job(
        &self,
        claimed: ClaimedJob,
        outcome: JobOutcome,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE job SET status = $2, error = $3, finished_at = $4,
                 progress = CASE WHEN $2 = 'finished' THEN 1.0 ELSE progress END
             WHERE id = $1",
        )
        .bind(claimed.job.id.to_string())
        .bind(outcome.status().as_str())
        .bind(outcome.error())
        .bind(self.now().as_millis())
        .execute(self.pool())
        .await?;
        if outcome != JobOutcome::Interrupted {
            // Nobody can take the job on again, so nobody needs the lock's file.
            let _ = std::fs::remove_file(self.job_lock_path(claimed.job.id));
        }
        Ok(())
    }

    pub(crate) fn job_lock_path(&self, id: JobId) -> PathBuf {
        self.root().join("jobs").join(format!("{id}.lock"))
    }
}

fn over(job: &Job) -> StoreError {
    StoreError::new(
        StoreErrorKind::Conflict,
        format!("job `{}` is {} already", job.id.short(), job.status),
    )
}

/// Answers whether there is anything to cancel.
async fn request_cancel(
    connection: &mut Connection,
    id: JobId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let waiting = sqlx::query(
        "UPDATE job SET status = 'cancelled', cancel_requested = $2, finished_at = $3
         WHERE id = $1 AND status IN ('queued', 'interrupted')",
    )
    .bind(id.to_string())
    .bind(true)
    .bind(now.as_millis())
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if waiting > 0 {
        stop_run_of(connection, id).await?;
        return Ok(true);
    }
    let running =
        sqlx::query("UPDATE job SET cancel_requested = $2 WHERE id = $1 AND status = 'running'")
            .bind(id.to_string())
            .bind(true)
            .execute(connection)
            .await?
            .rows_affected();
    Ok(running > 0)
}

async fn stop_run_of(connection: &mut Connection, job: JobId) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE run SET status = $2 WHERE status IN ('queued', 'interrupted')
         AND id = (SELECT run_id FROM job WHERE id = $1)",
    )
    .bind(job.to_string())
    .bind(RunStatus::Stopped.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn write_progress(
    connection: &mut Connection,
    id: JobId,
    progress: f64,
    message: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let progress = if progress.is_nan() {
        0.0
    } else {
        progress.clamp(0.0, 1.0)
    };
    sqlx::query("UPDATE job SET progress = $2, message = $3, heartbeat_at = $4 WHERE id = $1")
        .bind(id.to_string())
        .bind(progress)
        .bind(message)
        .bind(now.as_millis())
        .execute(connection)
        .await?;
    Ok(())
}

/// Answers whether the job is to be cancelled.
pub(crate) async fn write_heartbeat(
    connection: &mut Connection,
    id: JobId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let row =
        sqlx::query("UPDATE job SET heartbeat_at = $2 WHERE id = $1 RETURNING cancel_requested")
            .bind(id.to_string())
            .bind(now.as_millis())
            .fetch_optional(connection)
            .await?;
    // A job that was deleted is not wanted any more.
    row.map_or(Ok(true), |row| row.value("cancel_requested"))
}
