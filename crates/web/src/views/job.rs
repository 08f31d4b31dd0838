//! Long work and how far it is.

use ferrotype_store::Job;
use serde::Serialize;
use utoipa::ToSchema;

use super::moment;

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct JobView {
    /// Its id.
    pub(crate) id: String,
    /// What is done.
    #[schema(example = "train")]
    pub(crate) kind: String,
    /// Where it stands: `queued`, `running`, `finished`, `failed`, `cancelled` or `interrupted`.
    pub(crate) status: String,
    /// How far it is, 0 to 1.
    pub(crate) progress: f64,
    /// What it does at the moment.
    pub(crate) message: String,
    /// The run it works on.
    pub(crate) run: Option<String>,
    /// Why it failed.
    pub(crate) error: Option<String>,
    /// Whether somebody asked for it to be cancelled.
    pub(crate) cancel_requested: bool,
    /// When it was enqueued (RFC 3339).
    pub(crate) created_at: String,
    /// When a process took it on first.
    pub(crate) started_at: Option<String>,
    /// When it ended.
    pub(crate) finished_at: Option<String>,
}

/// Jobs, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct JobList {
    /// The jobs.
    pub(crate) jobs: Vec<JobView>,
    /// Pass it as `before` for the next page; absent on the last.
    pub(crate) next: Option<String>,
}

impl JobView {
    pub(crate) fn new(job: Job) -> Self {
        Self {
            id: job.id.to_string(),
            kind: job.kind,
            status: job.status.to_string(),
            progress: job.progress.clamp(0.0, 1.0),
            message: job.message,
            run: job.run.map(|run| run.to_string()),
            error: job.error,
            cancel_requested: job.cancel_requested,
            created_at: moment(job.created_at),
            started_at: job.started_at.map(moment),
            finished_at: job.finished_at.map(moment),
        }
    }
}
