//! Models and their versions.

use axum::Json;
use axum::extract::{Path, State};

use crate::error::{ApiError, ErrorBody};
use crate::state::AppState;
use crate::views::model::{ModelDetail, ModelList};

/// The models that can answer
#[utoipa::path(
    get,
    path = "/models",
    tag = "predict",
    responses((status = 200, description = "All models with their versions", body = ModelList))
)]
pub(crate) async fn serving_models(
    State(state): State<AppState>,
) -> Result<Json<ModelList>, ApiError> {
    Ok(Json(ModelList::load(&state).await?))
}

/// All models
#[utoipa::path(
    get,
    path = "/api/v1/models",
    tag = "models",
    responses((status = 200, description = "All models with their versions", body = ModelList))
)]
pub(crate) async fn models(State(state): State<AppState>) -> Result<Json<ModelList>, ApiError> {
    Ok(Json(ModelList::load(&state).await?))
}

/// One model, one version of it in full
#[utoipa::path(
    get,
    path = "/api/v1/models/{name}",
    tag = "models",
    params(("name" = String, Path, description = "`name`, `name@v3` or `name@alias`", example = "demo@production")),
    responses(
        (status = 200, description = "The model", body = ModelDetail),
        (status = 404, description = "No such model or version", body = ErrorBody),
        (status = 422, description = "Not a name", body = ErrorBody),
    )
)]
pub(crate) async fn model(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<ModelDetail>, ApiError> {
    Ok(Json(ModelDetail::load(&state, &name.parse()?).await?))
}
