//! Datasets and their versions.

use axum::Json;
use axum::extract::{Path, State};

use crate::error::{ApiError, ErrorBody};
use crate::state::AppState;
use crate::views::dataset::{DatasetDetail, DatasetList};

/// All dataset versions
#[utoipa::path(
    get,
    path = "/api/v1/datasets",
    tag = "datasets",
    responses((status = 200, description = "By name, newest first within a name", body = DatasetList))
)]
pub(crate) async fn datasets(State(state): State<AppState>) -> Result<Json<DatasetList>, ApiError> {
    Ok(Json(DatasetList::load(&state.store).await?))
}

/// One dataset version
#[utoipa::path(
    get,
    path = "/api/v1/datasets/{name}",
    tag = "datasets",
    params(("name" = String, Path, description = "`name` for the newest version, or `name@v1`", example = "land@v1")),
    responses(
        (status = 200, description = "The version", body = DatasetDetail),
        (status = 404, description = "No such dataset or version", body = ErrorBody),
        (status = 422, description = "Not a name", body = ErrorBody),
    )
)]
pub(crate) async fn dataset(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<DatasetDetail>, ApiError> {
    let version = state.store.dataset_version(&name.parse()?).await?;
    Ok(Json(DatasetDetail::load(&state.store, version).await?))
}
