//! The log of what models answered.

use ferrotype_core::id::{ModelVersionId, PredictionId};
use ferrotype_core::time::Timestamp;
use serde::Serialize;
use sqlx::QueryBuilder;

use crate::database::{Connection, Engine, to_database};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::row::{Columns as _, DatabaseRow};
use crate::store::Store;

/// A prediction about to be logged; the log holds it as it is.
pub type NewPrediction = Prediction;

/// A logged prediction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Its id, which the caller was told.
    pub id: PredictionId,
    /// When it was made.
    pub created_at: Timestamp,
    /// The model version that answered.
    pub model_version: ModelVersionId,
    /// Its model's name, told even after the model was deleted.
    pub model_name: String,
    /// Its number.
    pub version: u32,
    /// BLAKE3 of the image file (the file itself need not be kept).
    pub input_digest: Digest,
    /// Size of the image file.
    pub input_bytes: u64,
    /// Its format, such as `jpeg`.
    pub input_format: String,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// The class answered.
    pub class: String,
    /// Its probability.
    pub confidence: f64,
    /// All probabilities, as JSON.
    pub probabilities_json: String,
    /// From the request's arrival to the answer, in milliseconds.
    pub latency_ms: f64,
    /// Of it, decoding the image.
    pub decode_ms: f64,
    /// Of it, resizing and normalising.
    pub preprocess_ms: f64,
    /// Of it, the network.
    pub inference_ms: f64,
}

impl Prediction {
    fn from_row(row: &DatabaseRow) -> Result<Self, StoreError> {
        // A number that SQL does not know (NaN) was stored as nothing.
        let number = |column| -> Result<f64, StoreError> {
            let number: Option<f64> = row.value(column)?;
            Ok(number.unwrap_or(f64::NAN))
        };
        Ok(Self {
            id: row.parsed("id")?,
            created_at: row.time("created_at")?,
            model_version: row.parsed("model_version_id")?,
            model_name: row.text("model_name")?,
            version: row.whole("version")?,
            input_digest: row.parsed("input_digest")?,
            input_bytes: row.whole("input_bytes")?,
            input_format: row.text("input_format")?,
            width: row.whole("width")?,
            height: row.whole("height")?,
            class: row.text("class")?,
            confidence: number("confidence")?,
            probabilities_json: row.text("probabilities_json")?,
            latency_ms: number("latency_ms")?,
            decode_ms: number("decode_ms")?,
            preprocess_ms: number("preprocess_ms")?,
            inference_ms: number("inference_ms")?,
        })
    }
}

/// Which predictions to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PredictionFilter {
    /// Only those of this model version.
    pub model_version: Option<ModelVersionId>,
    /// Only those of this model.
    pub model_name: Option<String>,
    /// Only those that answered this class.
    pub class: Option<String>,
    /// Only those made then or later.
    pub since: Option<Timestamp>,
    /// Only those made earlier.
    pub until: Option<Timestamp>,
    /// Only those before this one: the next page.
    pub before: Option<PredictionId>,
}

impl PredictionFilter {
    fn push_conditions(&self, query: &mut QueryBuilder<Engine>) {
        query.push(" WHERE 1 = 1");
        if let Some(version) = self.model_version {
            query
                .push(" AND model_version_id = ")
                .push_bind(version.to_string());
        }
        if let Some(name) = &self.model_name {
            query.push(" AND model_name = ").push_bind(name.clone());
        }
        if let Some(class) = &self.class {
            query.push(" AND class = ").push_bind(class.clone());
        }
        if let Some(since) = self.since {
            query
                .push(" AND created_at >= ")
                .push_bind(since.as_millis());
        }
        if let Some(until) = self.until {
            query
                .push(" AND created_at < ")
                .push_bind(until.as_millis());
        }
        if let Some(before) = self.before {
            query.push(" AND id < ").push_bind(before.to_string());
        }
    }
}

/// Rows that one deletion takes, so that other writers get their turn in between.
const DELETED_AT_ONCE: i64 = 2_000;

impl Store {
    /// Logs predictions, all or none. One that is logged already is left as it is.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn log_predictions(&self, predictions: &[NewPrediction]) -> Result<(), StoreError> {
        let predictions = predictions.to_vec();
        self.transact(async move |connection| {
            for prediction in &predictions {
                insert(connection, prediction).await?;
            }
            Ok(())
        })
        .await
    }

    /// Logged predictions, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn predictions(
        &self,
        filter: &PredictionFilter,
        limit: u32,
    ) -> Result<Vec<Prediction>, StoreError> {
        let mut query = QueryBuilder::<Engine>::new("SELECT * FROM prediction");
        filter.push_conditions(&mut query);
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(limit));
        let rows = query.build().fetch_all(self.pool()).await?;
        rows.iter().map(Prediction::from_row).collect()
    }

    /// How many predictions a filter finds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn prediction_count(&self, filter: &PredictionFilter) -> Result<u64, StoreError> {
        let mut query = QueryBuilder::<Engine>::new("SELECT COUNT(*) AS found FROM prediction");
        filter.push_conditions(&mut query);
        query.build().fetch_one(self.pool()).await?.whole("found")
    }

    /// The prediction of that id.
    ///
    /// # Errors
    /// `NotFound` when there is none (any more).
    pub async fn prediction(&self, id: PredictionId) -> Result<Prediction, StoreError> {
        let row = sqlx::query("SELECT * FROM prediction WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?
            .ok_or_else(|| StoreError::not_found("prediction", &id.to_string(), []))?;
        Prediction::from_row(&row)
    }

    /// Deletes one prediction.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn delete_prediction(&self, id: PredictionId) -> Result<(), StoreError> {
        let deleted = sqlx::query("DELETE FROM prediction WHERE id = $1")
            .bind(id.to_string())
            .execute(self.pool())
            .await?
            .rows_affected();
        if deleted == 0 {
            return Err(StoreError::not_found("prediction", &id.to_string(), []));
        }
        Ok(())
    }

    /// Deletes the predictions made before `moment` and tells how many they were. Done in pieces,
    /// so that it never keeps the log from being written.
    ///
    /// # Errors
    /// When the database cannot be written; what was deleted until then is.
    pub async fn delete_predictions_older_than(
        &self,
        moment: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let deleted = sqlx::query(
                "DELETE FROM prediction WHERE id IN
                     (SELECT id FROM prediction WHERE created_at < $1 LIMIT $2)",
            )
            .bind(moment.as_millis())
            .bind(DELETED_AT_ONCE)
            .execute(self.pool())
            .await?
            .rows_affected();
            if deleted == 0 {
                return Ok(total);
            }
            total += deleted;
        }
    }

    /// Deletes what is kept for a limited time only and is older than that: at present,
    /// predictions older than `days`. Returns how many.
    ///
    /// # Errors
    /// As [`Self::delete_predictions_older_than`].
    pub async fn apply_retention(&self, days: u32) -> Result<u64, StoreError> {
        const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
        let oldest_kept = self.now().minus_millis(u64::from(days) * DAY_MS);
        self.delete_predictions_older_than(oldest_kept).await
    }
}

async fn insert(connection: &mut Connection, prediction: &Prediction) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO prediction (id, created_at, model_version_id, model_name, version,
             input_digest, input_bytes, input_format, width, height, class, confidence,
             probabilities_json, latency_ms, decode_ms, preprocess_ms, inference_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(prediction.id.to_string())
    .bind(prediction.created_at.as_millis())
    .bind(prediction.model_version.to_string())
    .bind(&prediction.model_name)
    .bind(i64::from(prediction.version))
    .bind(prediction.input_digest.to_string())
    .bind(to_database(prediction.input_bytes)?)
    .bind(&prediction.input_format)
    .bind(i64::from(prediction.width))
    .bind(i64::from(prediction.height))
    .bind(&prediction.class)
    .bind(prediction.confidence)
    .bind(&prediction.probabilities_json)
    .bind(prediction.latency_ms)
    .bind(prediction.decode_ms)
    .bind(prediction.preprocess_ms)
    .bind(prediction.inference_ms)
    .execute(connection)
    .await?;
    Ok(())
}
