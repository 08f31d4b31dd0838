//! Files that a run produced, kept as blobs.

use ferrotype_core::id::RunId;
use ferrotype_core::time::Timestamp;
use serde::Serialize;

use crate::database::to_database;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::row::{Columns as _, DatabaseRow};
use crate::store::Store;

/// A file that a run produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Artifact {
    /// Its name within the run, such as `model.onnx`.
    pub name: String,
    /// The blob that holds it.
    pub digest: Digest,
    /// Its size.
    pub byte_count: u64,
    /// Its media type, such as `application/json`.
    pub media_type: String,
    /// When it was added.
    pub created_at: Timestamp,
}

impl Artifact {
    fn from_row(row: &DatabaseRow) -> Result<Self, StoreError> {
        Ok(Self {
            name: row.text("name")?,
            digest: row.parsed("digest")?,
            byte_count: row.whole("byte_count")?,
            media_type: row.text("media_type")?,
            created_at: row.time("created_at")?,
        })
    }
}

impl Store {
    /// Adds a file (a blob that is in the store) to a run, replacing one of the same name.
    ///
    /// # Errors
    /// `NotFound` when the blob is not in the store; when there is no such run.
    pub async fn add_artifact(
        &self,
        run: RunId,
        name: &str,
        digest: Digest,
        byte_count: u64,
        media_type: &str,
    ) -> Result<(), StoreError> {
        self.blobs().size(&digest)?;
        sqlx::query(
            "INSERT INTO artifact (run_id, name, digest, byte_count, media_type, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (run_id, name) DO UPDATE SET digest = excluded.digest,
                 byte_count = excluded.byte_count, media_type = excluded.media_type,
                 created_at = excluded.created_at",
        )
        .bind(run.to_string())
        .bind(name)
        .bind(digest.to_string())
        .bind(to_database(byte_count)?)
        .bind(media_type)
        .bind(self.now().as_millis())
        .execute(self.pool())
        .await?;
        Ok(())
    }

    /// The run's files, by name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn artifacts(&self, run: RunId) -> Result<Vec<Artifact>, StoreError> {
        let rows = sqlx::query("SELECT * FROM artifact WHERE run_id = $1 ORDER BY name")
            .bind(run.to_string())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(Artifact::from_row).collect()
    }
}
