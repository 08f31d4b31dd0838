//! The registry: models, their immutable versions, and the aliases that point to them.

use std::collections::BTreeMap;

use ferrotype_core::id::{ModelId, ModelVersionId, RunId};
use ferrotype_core::manifest::ModelManifest;
use ferrotype_core::name::{Reference, Selector, check_alias, check_name};
use ferrotype_core::time::Timestamp;
use serde::Serialize;

use crate::database::Connection;
use crate::digest::Digest;
use crate::error::{StoreError, StoreErrorKind};
use crate::row::{Columns as _, DatabaseRow, to_json};
use crate::store::Store;

/// A model version about to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewModelVersion {
    /// Name of the model; it is made if there is none.
    pub name: String,
    /// The blob that holds the ONNX file.
    pub onnx: Digest,
    /// What is needed to use it.
    pub manifest: ModelManifest,
    /// The run that trained it.
    pub run: Option<RunId>,
    /// How good it is, as JSON.
    pub metrics_json: String,
    /// Where it comes from: `train`, `import FILE` …
    pub source: String,
}

/// One immutable version of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelVersion {
    /// Its id.
    pub id: ModelVersionId,
    /// Name of the model.
    pub name: String,
    /// Number of the version, from 1.
    pub version: u32,
    /// The blob that holds the ONNX file.
    pub onnx: Digest,
    /// What is needed to use it.
    pub manifest: ModelManifest,
    /// The run that trained it, unless that was deleted.
    pub run: Option<RunId>,
    /// How good it is, as JSON.
    pub metrics_json: String,
    /// Where it comes from.
    pub source: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// Aliases that point to it.
    pub aliases: Vec<String>,
}

impl ModelVersion {
    /// The version as `name@v1`.
    pub fn reference(&self) -> Reference {
        Reference {
            name: self.name.clone(),
            selector: Selector::Version(self.version),
        }
    }

    /// Aliases are in another table and are added by [`Store::with_aliases`].
    fn from_row(row: &DatabaseRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            name: row.text("name")?,
            version: row.whole("version")?,
            onnx: row.parsed("onnx_digest")?,
            manifest: row.json("manifest_json")?,
            run: row.parsed_or_none("run_id")?,
            metrics_json: row.text("metrics_json")?,
            source: row.text("source")?,
            created_at: row.time("created_at")?,
            aliases: Vec::new(),
        })
    }
}

/// A model with all its versions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its versions, newest first.
    pub versions: Vec<ModelVersion>,
}

impl Store {
    /// Keeps a model version under the next free number.
    ///
    /// # Errors
    /// `InvalidName`, or `NotFound` when the ONNX file's blob is not in the store.
    pub async fn create_model_version(
        &self,
        new: NewModelVersion,
    ) -> Result<ModelVersion, StoreError> {
        check_name("model", &new.name)?;
        self.blobs().size(&new.onnx)?;
        let (id, model) = (
            self.new_id(ModelVersionId::new)?,
            self.new_id(ModelId::new)?,
        );
        let now = self.now();
        self.transact(async move |connection| {
            let (model, version) = next_number(connection, model, &new.name, now).await?;
            let created = ModelVersion {
                id,
                name: new.name,
                version,
                onnx: new.onnx,
                manifest: new.manifest,
                run: new.run,
                metrics_json: new.metrics_json,
                source: new.source,
                created_at: now,
                aliases: Vec::new(),
            };
            insert_version(connection, &model, &created).await?;
            Ok(created)
        })
        .await
    }

    /// The version that a reference means; a bare name means the newest.
    ///
    /// # Errors
    /// `NotFound` when there is no such model, version or alias.
    pub async fn model_version(&self, reference: &Reference) -> Result<ModelVersion, StoreError> {
        let rows = sqlx::query(
            "SELECT v.*, m.name FROM model_version v JOIN model m ON m.id = v.model_id
             WHERE m.name = $1 ORDER BY v.version DESC",
        )
        .bind(&reference.name)
        .fetch_all(self.pool())
        .await?;
        if rows.is_empty() {
            return Err(self.no_such_model(&reference.name).await?);
        }
        let versions = rows
            .iter()
            .map(ModelVersion::from_row)
            .collect::<Result<_, _>>()?;
        let versions = self.with_aliases(versions).await?;
        let choices = describe_choices(&versions);
        versions
            .into_iter()
            .find(|version| match &reference.selector {
                Selector::Latest => true,
                Selector::Version(number) => version.version == *number,
                Selector::Alias(alias) => version.aliases.contains(alias),
            })
            .ok_or_else(|| {
                StoreError::not_found("model version", &reference.to_string(), [])
                    .with_hint(choices)
            })
    }

    async fn no_such_model(&self, name: &str) -> Result<StoreError, StoreError> {
        let rows = sqlx::query("SELECT name FROM model ORDER BY name")
            .fetch_all(self.pool())
            .await?;
        let names = rows
            .iter()
            .map(|row| row.text("name"))
            .collect::<Result<Vec<_>, _>>()?;
        let names = names.iter().map(String::as_str);
        Ok(StoreError::not_found("model", name, names))
    }

    /// The model version of that id.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn model_version_by_id(
        &self,
        id: ModelVersionId,
    ) -> Result<ModelVersion, StoreError> {
        let row = sqlx::query(
            "SELECT v.*, m.name FROM model_version v JOIN model m ON m.id = v.model_id
             WHERE v.id = $1",
        )
        .bind(id.to_string())
        .fetch_optional(self.pool())
        .await?;
        let not_found = || StoreError::not_found("model version", &id.to_string(), []);
        let version = ModelVersion::from_row(&row.ok_or_else(not_found)?)?;
        let mut versions = self.with_aliases(vec![version]).await?;
        versions.pop().ok_or_else(not_found)
    }

    /// Model versions that a run trained, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn model_versions_of_run(&self, run: RunId) -> Result<Vec<ModelVersion>, StoreError> {
        let rows = sqlx::query(
            "SELECT v.*, m.name FROM model_version v JOIN model m ON m.id = v.model_id
             WHERE v.run_id = $1 ORDER BY v.id DESC",
        )
        .bind(run.to_string())
        .fetch_all(self.pool())
        .await?;
        let versions = rows
            .iter()
            .map(ModelVersion::from_row)
            .collect::<Result<_, _>>()?;
        self.with_aliases(versions).await
    }

    /// All models by name, each with its versions, newest first. A model whose versions were all
    /// deleted is left out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn models(&self) -> Result<Vec<Model>, StoreError> {
        let rows = sqlx::query(
            "SELECT v.*, m.name FROM model_version v JOIN model m ON m.id = v.model_id
             ORDER BY m.name, v.version DESC",
        )
        .fetch_all(self.pool())
        .await?;
        let versions = rows
            .iter()
            .map(ModelVersion::from_row)
            .collect::<Result<_, _>>()?;
        let mut models: Vec<Model> = Vec::new();
        for version in self.with_aliases(versions).await? {
            match models.last_mut() {
                Some(model) if model.name == version.name => model.versions.push(version),
                _ => models.push(Model {
                    name: version.name.clone(),
                    versions: vec![version],
                }),
            }
        }
        Ok(models)
    }

    async fn with_aliases(
        &self,
        mut versions: Vec<ModelVersion>,
    ) -> Result<Vec<ModelVersion>, StoreError> {
        let rows = sqlx::query("SELECT alias, model_version_id FROM model_alias ORDER BY alias")
            .fetch_all(self.pool())
            .await?;
        let mut aliases: BTreeMap<ModelVersionId, Vec<String>> = BTreeMap::new();
        for row in &rows {
            let version = row.parsed("model_version_id")?;
            aliases.entry(version).or_default().push(row.text("alias")?);
        }
        for version in &mut versions {
            version.aliases = aliases.remove(&version.id).unwrap_or_default();
        }
        Ok(versions)
    }

    /// Points an alias of a model to one of its versions, from wherever it pointed before.
    ///
    /// # Errors
    /// `InvalidName`, or `NotFound` when there is no such version.
    pub async fn set_alias(&self, name: &str, alias: &str, version: u32) -> Result<(), StoreError> {
        check_alias(alias)?;
        let changed = sqlx::query(
            "INSERT INTO model_alias (model_id, alias, model_version_id, updated_at)
             SELECT m.id, $2, v.id, $4 FROM model_version v JOIN model m ON m.id = v.model_id
             WHERE m.name = $1 AND v.version = $3
             ON CONFLICT (model_id, alias) DO UPDATE SET
                 model_version_id = excluded.model_version_id, updated_at = excluded.updated_at",
        )
        .bind(name)
        .bind(alias)
        .bind(i64::from(version))
        .bind(self.now().as_millis())
        .execute(self.pool())
        .await?
        .rows_affected();
        if changed > 0 {
            return Ok(());
        }
        let missing = Reference {
            name: name.to_string(),
            selector: Selector::Version(version),
        };
        // Says which part is missing, with its hint.
        self.model_version(&missing).await.map(|_| ())
    }

    /// Removes an alias; the version that it pointed to stays.
    ///
    /// # Errors
    /// `NotFound` when the model has no such alias.
    pub async fn remove_alias(&self, name: &str, alias: &str) -> Result<(), StoreError> {
        let removed = sqlx::query(
            "DELETE FROM model_alias WHERE alias = $2
             AND model_id = (SELECT id FROM model WHERE name = $1)",
        )
        .bind(name)
        .bind(alias)
        .execute(self.pool())
        .await?
        .rows_affected();
        if removed == 0 {
            let reference = format!("{name}@{alias}");
            return Err(StoreError::not_found("alias", &reference, []));
        }
        Ok(())
    }

    /// Deletes one model version and its evaluations. Its number is not given again, and what it
    /// predicted stays told. The ONNX file goes with the next [`Self::sweep_blobs`].
    ///
    /// # Errors
    /// `Conflict` when an alias points to it, `NotFound` when there is none.
    pub async fn delete_model_version(
        &self,
        reference: &Reference,
    ) -> Result<ModelVersion, StoreError> {
        let version = self.model_version(reference).await?;
        self.transact(async move |connection| {
            refuse_if_aliased(connection, &version).await?;
            sqlx::query("DELETE FROM evaluation WHERE model_version_id = $1 AND run_id IS NULL")
                .bind(version.id.to_string())
                .execute(&mut *connection)
                .await?;
            sqlx::query("DELETE FROM model_version WHERE id = $1")
                .bind(version.id.to_string())
                .execute(connection)
                .await?;
            Ok(version)
        })
        .await
    }

    /// Deletes a model with all its versions, aliases and evaluations.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn delete_model(&self, name: &str) -> Result<(), StoreError> {
        let model = name.to_string();
        let deleted = self
            .transact(async move |connection| delete_model(connection, &model).await)
            .await?;
        if !deleted {
            return Err(self.no_such_model(name).await?);
        }
        Ok(())
    }
}

/// Answers whether there was one.
async fn delete_model(connection: &mut Connection, name: &str) -> Result<bool, StoreError> {
    sqlx::query(
        "DELETE FROM evaluation WHERE run_id IS NULL AND model_version_id IN
             (SELECT v.id FROM model_version v JOIN model m ON m.id = v.model_id
              WHERE m.name = $1)",
    )
    .bind(name)
    .execute(&mut *connection)
    .await?;
    let deleted = sqlx::query("DELETE FROM model WHERE name = $1")
        .bind(name)
        .execute(connection)
        .await?
        .rows_affected();
    Ok(deleted > 0)
}

async fn refuse_if_aliased(
    connection: &mut Connection,
    version: &ModelVersion,
) -> Result<(), StoreError> {
    let alias = sqlx::query("SELECT alias FROM model_alias WHERE model_version_id = $1")
        .bind(version.id.to_string())
        .fetch_optional(connection)
        .await?;
    let Some(row) = alias else { return Ok(()) };
    let alias = row.text("alias")?;
    Err(StoreError::new(
        StoreErrorKind::Conflict,
        format!("`{}` is `{}@{alias}`", version.reference(), version.name),
    )
    .with_hint(format!("point `{alias}` to another version first")))
}

/// Says which versions and aliases there are to choose from.
fn describe_choices(versions: &[ModelVersion]) -> String {
    const VERSIONS_TOLD: usize = 5;
    let told = versions.iter().take(VERSIONS_TOLD);
    let numbers = told.map(|version| version.reference().to_string());
    let aliases = versions
        .iter()
        .flat_map(|v| v.aliases.iter().map(|alias| format!("{}@{alias}", v.name)));
    let all: Vec<String> = numbers.chain(aliases).map(|r| format!("`{r}`")).collect();
    let all = all.join(", ");
    match versions.len().saturating_sub(VERSIONS_TOLD) {
        0 => format!("there is {all}"),
        1 => format!("there is {all} and an older version"),
        more => format!("there is {all} and {more} older versions"),
    }
}

/// Makes the model (with the id `new_id`) if there is none and counts its versions up; answers
/// its id and the number.
async fn next_number(
    connection: &mut Connection,
    new_id: ModelId,
    name: &str,
    now: Timestamp,
) -> Result<(String, u32), StoreError> {
    let row = sqlx::query(
        "INSERT INTO model (id, name, last_version, created_at) VALUES ($1, $2, 1, $3)
         ON CONFLICT (name) DO UPDATE SET last_version = model.last_version + 1
         RETURNING id, last_version",
    )
    .bind(new_id.to_string())
    .bind(name)
    .bind(now.as_millis())
    .fetch_one(connection)
    .await?;
    Ok((row.text("id")?, row.whole("last_version")?))
}

async fn insert_version(
    connection: &mut Connection,
    model_id: &str,
    version: &ModelVersion,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO model_version (id, model_id, version, onnx_digest, manifest_json, run_id,
             metrics_json, source, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(version.id.to_string())
    .bind(model_id)
    .bind(i64::from(version.version))
    .bind(version.onnx.to_string())
    .bind(to_json(&version.manifest)?)
    .bind(version.run.map(|id| id.to_string()))
    .bind(&version.metrics_json)
    .bind(&version.source)
    .bind(version.created_at.as_millis())
    .execute(connection)
    .await?;
    Ok(())
}
