//! Stored evaluations: how good a run or a model version is on a split.

use ferrotype_core::dataset::Split;
use ferrotype_core::id::{DatasetVersionId, EvaluationId, ModelVersionId, RunId};
use ferrotype_core::time::Timestamp;
use serde::Serialize;

use crate::error::StoreError;
use crate::row::{Columns as _, DatabaseRow};
use crate::store::Store;

/// An evaluation about to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvaluation {
    /// The run whose weights were evaluated.
    pub run: Option<RunId>,
    /// The model version that was evaluated.
    pub model_version: Option<ModelVersionId>,
    /// What it was evaluated on.
    pub dataset_version: Option<DatasetVersionId>,
    /// Which part of it.
    pub split: Split,
    /// Scores, confusion matrix, mistakes, as JSON.
    pub report_json: String,
}

/// A stored evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evaluation {
    /// Its id.
    pub id: EvaluationId,
    /// The run whose weights were evaluated.
    pub run: Option<RunId>,
    /// The model version that was evaluated.
    pub model_version: Option<ModelVersionId>,
    /// What it was evaluated on, unless that was deleted.
    pub dataset_version: Option<DatasetVersionId>,
    /// The same as `name@v1`, told even after it was deleted.
    pub dataset: Option<String>,
    /// Which part of it.
    pub split: Split,
    /// Scores, confusion matrix, mistakes, as JSON.
    pub report_json: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Evaluation {
    fn from_row(row: &DatabaseRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            run: row.parsed_or_none("run_id")?,
            model_version: row.parsed_or_none("model_version_id")?,
            dataset_version: row.parsed_or_none("dataset_version_id")?,
            dataset: row.value("dataset")?,
            split: row.parsed("split")?,
            report_json: row.text("report_json")?,
            created_at: row.time("created_at")?,
        })
    }
}

/// Whose evaluations are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvaluationSubject {
    /// Of a run's weights.
    Run(RunId),
    /// Of a model version.
    ModelVersion(ModelVersionId),
}

impl Store {
    /// Keeps an evaluation.
    ///
    /// # Errors
    /// `NotFound` when the dataset version is gone; when the run or model version is.
    pub async fn add_evaluation(&self, new: NewEvaluation) -> Result<Evaluation, StoreError> {
        let dataset = match new.dataset_version {
            Some(version) => {
                let version = self.dataset_version_by_id(version).await?;
                Some(version.reference().to_string())
            }
            None => None,
        };
        let evaluation = Evaluation {
            id: self.new_id(EvaluationId::new)?,
            run: new.run,
            model_version: new.model_version,
            dataset_version: new.dataset_version,
            dataset,
            split: new.split,
            report_json: new.report_json,
            created_at: self.now(),
        };
        sqlx::query(
            "INSERT INTO evaluation (id, run_id, model_version_id, dataset_version_id, dataset,
                 split, report_json, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(evaluation.id.to_string())
        .bind(evaluation.run.map(|id| id.to_string()))
        .bind(evaluation.model_version.map(|id| id.to_string()))
        .bind(evaluation.dataset_version.map(|id| id.to_string()))
        .bind(&evaluation.dataset)
        .bind(evaluation.split.as_str())
        .bind(&evaluation.report_json)
        .bind(evaluation.created_at.as_millis())
        .execute(self.pool())
        .await?;
        Ok(evaluation)
    }

    /// Evaluations of a run or model version, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn evaluations(
        &self,
        subject: EvaluationSubject,
    ) -> Result<Vec<Evaluation>, StoreError> {
        let query = match subject {
            EvaluationSubject::Run(run) => {
                sqlx::query("SELECT * FROM evaluation WHERE run_id = $1 ORDER BY id DESC")
                    .bind(run.to_string())
            }
            EvaluationSubject::ModelVersion(version) => {
                sqlx::query("SELECT * FROM evaluation WHERE model_version_id = $1 ORDER BY id DESC")
                    .bind(version.to_string())
            }
        };
        let rows = query.fetch_all(self.pool()).await?;
        rows.iter().map(Evaluation::from_row).collect()
    }
}
