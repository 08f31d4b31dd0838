//! Long work.

use axum::Json;
use axum::extract::{Path, State};
use ferrotype_store::JobFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::query::{ApiQuery, list_length, parse, whole};
use crate::error::{ApiError, ErrorBody};
use crate::state::AppState;
use crate::views::job::{JobList, JobView};

/// Which jobs to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobsQuery {
    /// Only those that stand there, such as `running`.
    #[param(example = "running")]
    status: Option<String>,
    /// Only those enqueued before this job: the next page.
    before: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[serde(default, deserialize_with = "whole")]
    limit: Option<u32>,
}

/// All jobs
#[utoipa::path(
    get,
    path = "/api/v1/jobs",
    tag = "jobs",
    params(JobsQuery),
    responses(
        (status = 200, description = "Newest first", body = JobList),
        (status = 422, description = "A parameter that is not understood", body = ErrorBody),
    )
)]
pub(crate) async fn jobs(
    State(state): State<AppState>,
    ApiQuery(query): ApiQuery<JobsQuery>,
) -> Result<Json<JobList>, ApiError> {
    let limit = list_length(query.limit)?;
    let filter = JobFilter {
        status: query
            .status
            .map(|text| parse("status", &text))
            .transpose()?,
        before: query
            .before
            .map(|text| parse("before", &text))
            .transpose()?,
        run: None,
    };
    let mut jobs = state.store.jobs(&filter, limit + 1).await?;
    let more = jobs.len() > limit as usize;
    jobs.truncate(limit as usize);
    Ok(Json(JobList {
        next: jobs.last().filter(|_| more).map(|job| job.id.to_string()),
        jobs: jobs.into_iter().map(JobView::new).collect(),
    }))
}

/// One job
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The job", body = JobView),
        (status = 404, description = "No such job", body = ErrorBody),
        (status = 422, description = "Not an id", body = ErrorBody),
    )
)]
pub(crate) async fn job(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<JobView>, ApiError> {
    let job = state.store.job(parse("id", &id)?).await?;
    Ok(Json(JobView::new(job)))
}
