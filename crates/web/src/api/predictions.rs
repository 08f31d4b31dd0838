//! The log of predictions.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use ferrotype_store::PredictionFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::query::{ApiQuery, list_length, parse, whole};
use crate::error::{ApiError, ErrorBody};
use crate::state::AppState;
use crate::views::prediction::{PredictionList, PredictionRecord};

/// Which predictions to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PredictionsQuery {
    /// Only those of this model (all versions).
    #[param(example = "demo")]
    pub(crate) model: Option<String>,
    /// Only those that answered this class.
    pub(crate) class: Option<String>,
    /// Only those made before this prediction: the next page.
    pub(crate) before: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[serde(default, deserialize_with = "whole")]
    pub(crate) limit: Option<u32>,
}

impl PredictionsQuery {
    /// The page of the log that is asked for.
    pub(crate) async fn load(&self, state: &AppState) -> Result<PredictionList, ApiError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let limit = list_length(self.limit)?;
        let mut filter = PredictionFilter {
            model_name: given(&self.model),
            class: given(&self.class),
            ..PredictionFilter::default()
        };
        let total = state.store.prediction_count(&filter).await?;
        filter.before = given(&self.before)
            .map(|text| parse("before", &text))
            .transpose()?;
        let mut found = state.store.predictions(&filter, limit + 1).await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        Ok(PredictionList {
            total,
            next: found
                .last()
                .filter(|_| more)
                .map(|last| last.id.to_string()),
            predictions: found.into_iter().map(PredictionRecord::new).collect(),
        })
    }
}

/// Logged predictions
#[utoipa::path(
    get,
    path = "/api/v1/predictions",
    tag = "predictions",
    params(PredictionsQuery),
    responses(
        (status = 200, description = "Newest first", body = PredictionList),
        (status = 422, description = "A parameter that is not understood", body = ErrorBody),
    )
)]
pub(crate) async fn predictions(
    State(state): State<AppState>,
    ApiQuery(query): ApiQuery<PredictionsQuery>,
) -> Result<Json<PredictionList>, ApiError> {
    Ok(Json(query.load(&state).await?))
}

/// One logged prediction
///
/// A prediction is in the log within a second of its answer.
#[utoipa::path(
    get,
    path = "/api/v1/predictions/{id}",
    tag = "predictions",
    params(("id" = String, Path, description = "The id that the answer gave")),
    responses(
        (status = 200, description = "The prediction", body = PredictionRecord),
        (status = 404, description = "No such prediction, or not any more", body = ErrorBody),
        (status = 422, description = "Not an id", body = ErrorBody),
    )
)]
pub(crate) async fn prediction(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<PredictionRecord>, ApiError> {
    let prediction = state.store.prediction(parse("id", &id)?).await?;
    Ok(Json(PredictionRecord::new(prediction)))
}

/// Forget a logged prediction
#[utoipa::path(
    delete,
    path = "/api/v1/predictions/{id}",
    tag = "predictions",
    params(("id" = String, Path, description = "The id that the answer gave")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 404, description = "No such prediction", body = ErrorBody),
        (status = 422, description = "Not an id", body = ErrorBody),
    )
)]
pub(crate) async fn delete_prediction(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    state.store.delete_prediction(parse("id", &id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
