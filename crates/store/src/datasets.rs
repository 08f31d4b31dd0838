//! Datasets and their immutable versions.

use ferrotype_core::id::{DatasetId, DatasetVersionId};
use ferrotype_core::name::{Reference, Selector, check_name};
use ferrotype_core::time::Timestamp;
use serde::Serialize;

use crate::database::{Connection, to_database};
use crate::digest::Digest;
use crate::error::{StoreError, StoreErrorKind};
use crate::row::{Columns as _, DatabaseRow, to_json};
use crate::store::Store;

/// A dataset version about to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDatasetVersion {
    /// Name of the dataset; it is made if there is none.
    pub name: String,
    /// Class names, in the order that labels count.
    pub classes: Vec<String>,
    /// The version's identity: the same digest is the same version.
    pub digest: Digest,
    /// The blob that lists the images.
    pub manifest_digest: Digest,
    /// How many images there are.
    pub image_count: u64,
    /// Their files' sizes together.
    pub byte_count: u64,
    /// Where it was imported from.
    pub source: String,
    /// What the import reported, as JSON.
    pub report_json: String,
}

/// One immutable version of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DatasetVersion {
    /// Its id.
    pub id: DatasetVersionId,
    /// Name of the dataset.
    pub name: String,
    /// Number of the version, from 1.
    pub version: u32,
    /// Its identity.
    pub digest: Digest,
    /// The blob that lists the images.
    pub manifest_digest: Digest,
    /// Class names, in the order that labels count.
    pub classes: Vec<String>,
    /// How many images there are.
    pub image_count: u64,
    /// Their files' sizes together.
    pub byte_count: u64,
    /// Where it was imported from.
    pub source: String,
    /// What the import reported, as JSON.
    pub report_json: String,
    /// When it was imported.
    pub created_at: Timestamp,
}

impl DatasetVersion {
    /// The version as `name@v1`.
    pub fn reference(&self) -> Reference {
        Reference {
            name: self.name.clone(),
            selector: Selector::Version(self.version),
        }
    }

    fn from_row(row: &DatabaseRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            name: row.text("name")?,
            version: row.whole("version")?,
            digest: row.parsed("digest")?,
            manifest_digest: row.parsed("manifest_digest")?,
            classes: row.json("classes_json")?,
            image_count: row.whole("image_count")?,
            byte_count: row.whole("byte_count")?,
            source: row.text("source")?,
            report_json: row.text("report_json")?,
            created_at: row.time("created_at")?,
        })
    }
}

impl Store {
    /// Keeps a dataset version under the next free number. When the dataset has a version with
    /// the same digest already, that one is returned, and `false`.
    ///
    /// # Errors
    /// `InvalidName`, or `NotFound` when the manifest's blob is not in the store.
    pub async fn create_dataset_version(
        &self,
        new: NewDatasetVersion,
    ) -> Result<(DatasetVersion, bool), StoreError> {
        check_name("dataset", &new.name)?;
        self.blobs().size(&new.manifest_digest)?;
        let (id, dataset) = (
            self.new_id(DatasetVersionId::new)?,
            self.new_id(DatasetId::new)?,
        );
        let now = self.now();
        self.transact(async move |connection| {
            if let Some(existing) = version_by_digest(connection, &new.name, &new.digest).await? {
                return Ok((existing, false));
            }
            let (dataset, version) = next_number(connection, dataset, &new.name, now).await?;
            let created = DatasetVersion {
                id,
                name: new.name,
                version,
                digest: new.digest,
                manifest_digest: new.manifest_digest,
                classes: new.classes,
                image_count: new.image_count,
                byte_count: new.byte_count,
                source: new.source,
                report_json: new.report_json,
                created_at: now,
            };
            insert_version(connection, &dataset, &created).await?;
            Ok((created, true))
        })
        .await
    }

    /// The version that a reference means; a bare name means the newest.
    ///
    /// # Errors
    /// `NotFound` when there is none (an alias never is: datasets have none).
    pub async fn dataset_version(
        &self,
        reference: &Reference,
    ) -> Result<DatasetVersion, StoreError> {
        if let Selector::Alias(alias) = &reference.selector {
            return Err(StoreError::new(
                StoreErrorKind::NotFound,
                format!("datasets have no aliases such as `{alias}`"),
            )
            .with_hint(format!(
                "write `{0}` for the newest version, or `{0}@v1`",
                reference.name
            )));
        }
        let versions = self.dataset_versions_named(&reference.name).await?;
        if versions.is_empty() {
            let known = self.dataset_names().await?;
            let known = known.iter().map(String::as_str);
            return Err(StoreError::not_found("dataset", &reference.name, known));
        }
        let newest = versions[0].reference();
        versions
            .into_iter()
            .find(|version| match reference.selector {
                Selector::Version(number) => version.version == number,
                _ => true,
            })
            .ok_or_else(|| {
                StoreError::not_found("dataset version", &reference.to_string(), [])
                    .with_hint(format!("the newest version is `{newest}`"))
            })
    }

    /// The dataset version of that id.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn dataset_version_by_id(
        &self,
        id: DatasetVersionId,
    ) -> Result<DatasetVersion, StoreError> {
        let row = sqlx::query(
            "SELECT v.*, d.name FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id
             WHERE v.id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(self.pool())
        .await?
        .ok_or_else(|| StoreError::not_found("dataset version", &id.to_string(), []))?;
        DatasetVersion::from_row(&row)
    }

    /// All dataset versions, by name, newest first within a name.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn dataset_versions(&self) -> Result<Vec<DatasetVersion>, StoreError> {
        let rows = sqlx::query(
            "SELECT v.*, d.name FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id
             ORDER BY d.name, v.version DESC",
        )
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(DatasetVersion::from_row).collect()
    }

    async fn dataset_versions_named(&self, name: &str) -> Result<Vec<DatasetVersion>, StoreError> {
        let rows = sqlx::query(
            "SELECT v.*, d.name FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id
             WHERE d.name = $1 ORDER BY v.version DESC",
        )
        .bind(name)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(DatasetVersion::from_row).collect()
    }

    async fn dataset_names(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT name FROM dataset ORDER BY name")
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(|row| row.text("name")).collect()
    }

    /// Deletes one dataset version. Runs and evaluations that used it keep its name; its images
    /// go with the next [`Self::sweep_blobs`], unless another version has them.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn delete_dataset_version(
        &self,
        reference: &Reference,
    ) -> Result<DatasetVersion, StoreError> {
        let version = self.dataset_version(reference).await?;
        sqlx::query("DELETE FROM dataset_version WHERE id = $1")
            .bind(version.id.to_string())
            .execute(self.pool())
            .await?;
        Ok(version)
    }

    /// Deletes a dataset with all its versions.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn delete_dataset(&self, name: &str) -> Result<(), StoreError> {
        let deleted = sqlx::query("DELETE FROM dataset WHERE name = $1")
            .bind(name)
            .execute(self.pool())
            .await?
            .rows_affected();
        if deleted > 0 {
            return Ok(());
        }
        let known = self.dataset_names().await?;
        let known = known.iter().map(String::as_str);
        Err(StoreError::not_found("dataset", name, known))
    }
}

/// Makes the dataset (with the id `new_id`) if there is none and counts its versions up; answers
/// its id and the number.
async fn next_number(
    connection: &mut Connection,
    new_id: DatasetId,
    name: &str,
    now: Timestamp,
) -> Result<(String, u32), StoreError> {
    let row = sqlx::query(
        "INSERT INTO dataset (id, name, last_version, created_at) VALUES ($1, $2, 1, $3)
         ON CONFLICT (name) DO UPDATE SET last_version = dataset.last_version + 1
         RETURNING id, last_version",
    )
    .bind(new_id.to_string())
    .bind(name)
    .bind(now.as_millis())
    .fetch_one(connection)
    .await?;
    Ok((row.text("id")?, row.whole("last_version")?))
}

async fn version_by_digest(
    connection: &mut Connection,
    name: &str,
    digest: &Digest,
) -> Result<Option<DatasetVersion>, StoreError> {
    let row = sqlx::query(
        "SELECT v.*, d.name FROM dataset_version v JOIN dataset d ON d.id = v.dataset_id
         WHERE d.name = $1 AND v.digest = $2",
    )
    .bind(name)
    .bind(digest.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(DatasetVersion::from_row).transpose()
}

async fn insert_version(
    connection: &mut Connection,
    dataset_id: &str,
    version: &DatasetVersion,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO dataset_version (id, dataset_id, version, digest, manifest_digest,
             classes_json, image_count, byte_count, source, report_json, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(version.id.to_string())
    .bind(dataset_id)
    .bind(i64::from(version.version))
    .bind(version.digest.to_string())
    .bind(version.manifest_digest.to_string())
    .bind(to_json(&version.classes)?)
    .bind(to_database(version.image_count)?)
    .bind(to_database(version.byte_count)?)
    .bind(&version.source)
    .bind(&version.report_json)
    .bind(version.created_at.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}
