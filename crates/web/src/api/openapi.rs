//! The OpenAPI document of the whole interface.

use axum::Json;
use axum::extract::State;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{blobs, datasets, health, jobs, models, predict, predictions, runs};
use crate::error::ErrorBody;
use crate::state::AppState;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ferrotype",
        description = "From a folder of images to a monitored prediction service.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(ErrorBody)),
    tags(
        (name = "predict", description = "Pictures in, answers out"),
        (name = "predictions", description = "What was answered"),
        (name = "models", description = "Models and their versions"),
        (name = "runs", description = "Trainings"),
        (name = "datasets", description = "Datasets and their versions"),
        (name = "jobs", description = "Long work"),
        (name = "blobs", description = "Files by their content"),
        (name = "server", description = "The server itself"),
    )
)]
struct Document;

/// Every documented route.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(models::serving_models))
        .routes(routes!(predictions::predictions))
        .routes(routes!(
            predictions::prediction,
            predictions::delete_prediction
        ))
        .routes(routes!(models::models))
        .routes(routes!(models::model))
        .routes(routes!(runs::runs))
        .routes(routes!(runs::run))
        .routes(routes!(runs::run_metrics))
        .routes(routes!(runs::run_log))
        .routes(routes!(datasets::datasets))
        .routes(routes!(datasets::dataset))
        .routes(routes!(jobs::jobs))
        .routes(routes!(jobs::job))
        .routes(routes!(blobs::blob))
        .routes(routes!(blobs::thumbnail))
        .routes(routes!(health::health))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::info))
        .routes(routes!(health::metrics))
}

/// The routes that take pictures; each has its own limit on the body.
pub(crate) fn predict_route() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(predict::predict))
}

/// As [`predict_route`], for batches.
pub(crate) fn predict_batch_route() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(predict::predict_batch))
}

/// `GET /openapi.json`
pub(crate) async fn document(State(state): State<AppState>) -> Json<serde_json::Value> {
    Json(state.document.clone())
}
