//! Runs: what was trained, with which settings, and how it ended.

use std::collections::BTreeMap;
use std::fs;

use ferrotype_core::id::{DatasetVersionId, RunId};
use ferrotype_core::name::check_name;
use ferrotype_core::time::Timestamp;
use serde::Serialize;
use sqlx::QueryBuilder;

use crate::atomic_file::create_folder;
use crate::database::{Connection, Engine};
use crate::error::{StoreError, StoreErrorKind};
use crate::row::{Columns as _, DatabaseRow};
use crate::store::Store;
use crate::text_enum::text_enum;

text_enum! {
    /// Where a run stands.
    RunStatus, "run status" {
        /// Made, not begun.
        Queued = "queued",
        /// A process works on it (or died without a word, see [`Store::recover_dead`]).
        Running = "running",
        /// Ended as planned.
        Finished = "finished",
        /// Ended with an error.
        Failed = "failed",
        /// Ended early; it can be resumed.
        Interrupted = "interrupted",
        /// Cancelled by somebody; it can be resumed.
        Stopped = "stopped",
    }
}

impl RunStatus {
    /// Whether nobody works on it any more.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// A run about to be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRun {
    /// What to call it; without one it is called `run-` and the end of its id.
    pub name: Option<String>,
    /// What it learns from.
    pub dataset_version: Option<DatasetVersionId>,
    /// The resolved configuration, which replays it.
    pub config_yaml: String,
    /// The settings flattened to dotted keys, to compare runs by.
    pub params: BTreeMap<String, String>,
    /// Seed of every random draw.
    pub seed: u64,
    /// Commit of the project's repository, with `-dirty` when files were changed.
    pub git_commit: Option<String>,
    /// Machine and program versions, as JSON.
    pub environment_json: String,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// What it is called; not unique.
    pub name: String,
    /// Where it stands.
    pub status: RunStatus,
    /// What it learns from, unless that was deleted.
    pub dataset_version: Option<DatasetVersionId>,
    /// The same as `name@v1`, told even after it was deleted.
    pub dataset: Option<String>,
    /// The resolved configuration.
    pub config_yaml: String,
    /// Seed of every random draw.
    pub seed: u64,
    /// Commit of the project's repository.
    pub git_commit: Option<String>,
    /// Machine and program versions, as JSON.
    pub environment_json: String,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When work began (the first time, if it was resumed).
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl Run {
    fn from_row(row: &DatabaseRow) -> Result<Self, StoreError> {
        let seed: i64 = row.value("seed")?;
        Ok(Self {
            id: row.parsed("id")?,
            name: row.text("name")?,
            status: row.parsed("status")?,
            dataset_version: row.parsed_or_none("dataset_version_id")?,
            dataset: row.value("dataset")?,
            config_yaml: row.text("config_yaml")?,
            seed: seed.cast_unsigned(),
            git_commit: row.value("git_commit")?,
            environment_json: row.text("environment_json")?,
            error: row.value("error")?,
            created_at: row.time("created_at")?,
            started_at: row.time_or_none("started_at")?,
            finished_at: row.time_or_none("finished_at")?,
        })
    }
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only those that stand there.
    pub status: Option<RunStatus>,
    /// Only those that learnt from it.
    pub dataset_version: Option<DatasetVersionId>,
    /// Only those made before this one: the next page.
    pub before: Option<RunId>,
}

/// Digits of an id that name a run, at least.
const SHORTEST_PART: usize = 4;

impl Store {
    /// Makes a run, `queued`, with its folder.
    ///
    /// # Errors
    /// `InvalidName`, or `NotFound` when the dataset version is gone.
    pub async fn create_run(&self, new: NewRun) -> Result<Run, StoreError> {
        let id = self.new_id(RunId::new)?;
        let name = new.name.unwrap_or_else(|| format!("run-{}", id.short()));
        check_name("run", &name)?;
        let dataset = match new.dataset_version {
            Some(version) => {
                let version = self.dataset_version_by_id(version).await?;
                Some(version.reference().to_string())
            }
            None => None,
        };
        let run = Run {
            id,
            name,
            status: RunStatus::Queued,
            dataset_version: new.dataset_version,
            dataset,
            config_yaml: new.config_yaml,
            seed: new.seed,
            git_commit: new.git_commit,
            environment_json: new.environment_json,
            error: None,
            created_at: self.now(),
            started_at: None,
            finished_at: None,
        };
        let folder = self.run_directory(id);
        create_folder(&folder)?;
        let inserted = self.transact(async move |connection| {
            insert_run(connection, &run).await?;
            insert_params(connection, id, &new.params).await?;
            Ok(run)
        });
        inserted.await.inspect_err(|_| {
            let _ = fs::remove_dir(&folder); // empty, and nobody would ever look for it
        })
    }

    /// The run of that id.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn run(&self, id: RunId) -> Result<Run, StoreError> {
        let row = sqlx::query("SELECT * FROM run WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?
            .ok_or_else(|| StoreError::not_found("run", &id.to_string(), []))?;
        Run::from_row(&row)
    }

    /// The run that a person means: by its id, its name, or the beginning or end of its id.
    ///
    /// # Errors
    /// `NotFound` when nothing fits, `Ambiguous` when several do.
    pub async fn find_run(&self, text: &str) -> Result<Run, StoreError> {
        if let Ok(id) = text.parse() {
            return self.run(id).await;
        }
        let mut found = self.runs_named(text).await?;
        if found.is_empty() {
            found = self.runs_by_part_of_id(text).await?;
        }
        if found.len() > 1 {
            let ids: Vec<String> = found.iter().map(|run| format!("`{}`", run.id)).collect();
            return Err(StoreError::new(
                StoreErrorKind::Ambiguous,
                format!("`{text}` means several runs"),
            )
            .with_hint(format!("say which: {}", ids.join(", "))));
        }
        match found.pop() {
            Some(run) => Ok(run),
            None => Err(self.no_such_run(text).await?),
        }
    }

    async fn runs_named(&self, name: &str) -> Result<Vec<Run>, StoreError> {
        let rows = sqlx::query("SELECT * FROM run WHERE name = $1 ORDER BY id DESC LIMIT 5")
            .bind(name)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(Run::from_row).collect()
    }

    async fn runs_by_part_of_id(&self, part: &str) -> Result<Vec<Run>, StoreError> {
        let part = part.to_ascii_lowercase();
        let is_part =
            part.len() >= SHORTEST_PART && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if !is_part {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(
            "SELECT * FROM run WHERE id LIKE $1 OR id LIKE $2 ORDER BY id DESC LIMIT 5",
        )
        .bind(format!("{part}%"))
        .bind(format!("%{part}"))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(Run::from_row).collect()
    }

    async fn no_such_run(&self, text: &str) -> Result<StoreError, StoreError> {
        let rows = sqlx::query("SELECT name FROM run ORDER BY id DESC LIMIT 200")
            .fetch_all(self.pool())
            .await?;
        let names = rows
            .iter()
            .map(|row| row.text("name"))
            .collect::<Result<Vec<_>, _>>()?;
        let names = names.iter().map(String::as_str);
        Ok(StoreError::not_found("run", text, names))
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn runs(&self, filter: &RunFilter, limit: u32) -> Result<Vec<Run>, StoreError> {
        let mut query = QueryBuilder::<Engine>::new("SELECT * FROM run WHERE 1 = 1");
        if let Some(status) = filter.status {
            query.push(" AND status = ").push_bind(status.as_str());
        }
        if let Some(version) = filter.dataset_version {
            query
                .push(" AND dataset_version_id = ")
                .push_bind(version.to_string());
        }
        if let Some(before) = filter.before {
            query.push(" AND id < ").push_bind(before.to_string());
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(limit));
        let rows = query.build().fetch_all(self.pool()).await?;
        rows.iter().map(Run::from_row).collect()
    }

    /// Moves a run on. Its start is dated when it first runs, its end when it is over; `error`
    /// says why it failed.
    ///
    /// # Errors
    /// `NotFound` when there is no such run.
    pub async fn set_run_status(
        &self,
        run: RunId,
        status: RunStatus,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let now = self.now().as_millis();
        let changed = sqlx::query(
            "UPDATE run SET status = $2, error = $3,
                 started_at = COALESCE(started_at, $4), finished_at = $5
             WHERE id = $1",
        )
        .bind(run.to_string())
        .bind(status.as_str())
        .bind(error)
        .bind((status == RunStatus::Running).then_some(now))
        .bind(status.is_over().then_some(now))
        .execute(self.pool())
        .await?
        .rows_affected();
        if changed == 0 {
            return Err(StoreError::not_found("run", &run.to_string(), []));
        }
        Ok(())
    }

    /// The run's settings, by dotted key.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn params(&self, run: RunId) -> Result<BTreeMap<String, String>, StoreError> {
        let rows = sqlx::query("SELECT key, value FROM run_param WHERE run_id = $1")
            .bind(run.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| Ok((row.text("key")?, row.text("value")?)))
            .collect()
    }

    /// Adds settings to a run, replacing those of the same key.
    ///
    /// # Errors
    /// When there is no such run or the database cannot be written.
    pub async fn set_params(
        &self,
        run: RunId,
        params: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        let params = params.clone();
        self.transact(async move |connection| insert_params(connection, run, &params).await)
            .await
    }

    /// Deletes a run: settings, metrics, artifacts, jobs, its folder with the checkpoints, and its
    /// evaluations unless a model version has them too. Models made from it stay.
    ///
    /// # Errors
    /// `RunBusy` when a process works on it, `NotFound` when there is none.
    pub async fn delete_run(&self, run: RunId) -> Result<(), StoreError> {
        self.run(run).await?;
        let _lock = self.lock_run(run)?;
        // The folder first: cut short here, the run is still listed and can be deleted again.
        let folder = self.run_directory(run);
        fs::remove_dir_all(&folder).map_err(|error| StoreError::io("delete", &folder, &error))?;
        self.transact(async move |connection| delete_run(connection, run).await)
            .await
    }
}

pub(crate) async fn exists(connection: &mut Connection, run: RunId) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT id FROM run WHERE id = $1")
        .bind(run.to_string())
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

async fn delete_run(connection: &mut Connection, run: RunId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM evaluation WHERE run_id = $1 AND model_version_id IS NULL")
        .bind(run.to_string())
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM run WHERE id = $1")
        .bind(run.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert_run(connection: &mut Connection, run: &Run) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO run (id, name, status, dataset_version_id, dataset, config_yaml, seed,
             git_commit, environment_json, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(run.id.to_string())
    .bind(&run.name)
    .bind(run.status.as_str())
    .bind(run.dataset_version.map(|id| id.to_string()))
    .bind(&run.dataset)
    .bind(&run.config_yaml)
    .bind(run.seed.cast_signed())
    .bind(&run.git_commit)
    .bind(&run.environment_json)
    .bind(run.created_at.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_params(
    connection: &mut Connection,
    run: RunId,
    params: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    for (key, value) in params {
        sqlx::query(
            "INSERT INTO run_param (run_id, key, value) VALUES ($1, $2, $3)
             ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value",
        )
        .bind(run.to_string())
        .bind(key)
        .bind(value)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
