//! Runs and their metrics.

use axum::Json;
use axum::extract::{Path, State};
use ferrotype_store::RunFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::query::{ApiQuery, list_length, parse, whole};
use crate::error::{ApiError, ErrorBody};
use crate::state::AppState;
use crate::views::metric::RunMetrics;
use crate::views::run::{RunDetail, RunList, log_tail};

/// The most points that a curve is thinned to.
const MOST_POINTS: u32 = 10_000;
/// The points of a curve when the request does not say.
const USUAL_POINTS: u32 = 1_000;

/// Which runs to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsQuery {
    /// Only those that stand there, such as `running` or `finished`.
    #[param(example = "finished")]
    pub(crate) status: Option<String>,
    /// Only those made before this run: the next page.
    pub(crate) before: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[serde(default, deserialize_with = "whole")]
    pub(crate) limit: Option<u32>,
}

impl RunsQuery {
    pub(crate) fn filter(&self) -> Result<RunFilter, ApiError> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Ok(RunFilter {
            status: given(&self.status)
                .map(|text| parse("status", &text))
                .transpose()?,
            before: given(&self.before)
                .map(|text| parse("before", &text))
                .transpose()?,
            dataset_version: None,
        })
    }
}

/// Which metrics, and how fine.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MetricsQuery {
    /// Keys, separated by commas. Without it all metrics are given.
    #[param(example = "train/loss,val/loss")]
    keys: Option<String>,
    /// The most points of each curve, 2 to 10,000; longer ones are thinned. 1,000 when absent.
    #[serde(default, deserialize_with = "whole")]
    points: Option<u32>,
}

/// All runs
#[utoipa::path(
    get,
    path = "/api/v1/runs",
    tag = "runs",
    params(RunsQuery),
    responses(
        (status = 200, description = "Newest first", body = RunList),
        (status = 422, description = "A parameter that is not understood", body = ErrorBody),
    )
)]
pub(crate) async fn runs(
    State(state): State<AppState>,
    ApiQuery(query): ApiQuery<RunsQuery>,
) -> Result<Json<RunList>, ApiError> {
    let limit = list_length(query.limit)?;
    let list = RunList::load(&state.store, &query.filter()?, limit).await?;
    Ok(Json(list))
}

/// One run
#[utoipa::path(
    get,
    path = "/api/v1/runs/{id}",
    tag = "runs",
    params(("id" = String, Path, description = "The run's id, the beginning or end of it, or its name")),
    responses(
        (status = 200, description = "The run", body = RunDetail),
        (status = 404, description = "No such run", body = ErrorBody),
        (status = 422, description = "It means several runs", body = ErrorBody),
    )
)]
pub(crate) async fn run(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<RunDetail>, ApiError> {
    let run = state.store.find_run(&id).await?;
    Ok(Json(RunDetail::load(&state.store, run).await?))
}

/// A run's metrics over its steps
#[utoipa::path(
    get,
    path = "/api/v1/runs/{id}/metrics",
    tag = "runs",
    params(
        ("id" = String, Path, description = "The run's id, the beginning or end of it, or its name"),
        MetricsQuery,
    ),
    responses(
        (status = 200, description = "The curves", body = RunMetrics),
        (status = 404, description = "No such run", body = ErrorBody),
        (status = 422, description = "A parameter that is not understood", body = ErrorBody),
    )
)]
pub(crate) async fn run_metrics(
    State(state): State<AppState>,
    Path(id): Path<String>,
    ApiQuery(query): ApiQuery<MetricsQuery>,
) -> Result<Json<RunMetrics>, ApiError> {
    let points = query.points.unwrap_or(USUAL_POINTS);
    if !(2..=MOST_POINTS).contains(&points) {
        return Err(ApiError::invalid_parameter(
            "points",
            format!("`{points}`, expected 2 to {MOST_POINTS}"),
        ));
    }
    let keys: Vec<String> = query
        .keys
        .as_deref()
        .unwrap_or("")
        .split(',')
        .filter(|key| !key.is_empty())
        .map(ToString::to_string)
        .collect();
    let run = state.store.find_run(&id).await?;
    let metrics = RunMetrics::load(&state.store, run.id, &keys, points as usize).await?;
    Ok(Json(metrics))
}

/// The end of a run's log
#[utoipa::path(
    get,
    path = "/api/v1/runs/{id}/log",
    tag = "runs",
    params(("id" = String, Path, description = "The run's id, the beginning or end of it, or its name")),
    responses(
        (status = 200, description = "The last lines", body = String, content_type = "text/plain"),
        (status = 404, description = "No such run", body = ErrorBody),
    )
)]
pub(crate) async fn run_log(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<String, ApiError> {
    let run = state.store.find_run(&id).await?;
    Ok(log_tail(&state.store, run.id).await)
}
