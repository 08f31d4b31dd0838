//! Is it alive, is it ready, what is it, and its counters.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::error::ApiError;
use crate::metrics::{OPEN_METRICS, PROMETHEUS_TEXT};
use crate::state::AppState;
use crate::views::info::{HealthView, ServerInfo};

/// Is it alive?
///
/// Answers 200 as long as the process answers at all.
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "server",
    responses((status = 200, description = "It is", body = HealthView))
)]
pub(crate) async fn live() -> Json<HealthView> {
    Json(HealthView {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        model: None,
        problems: Vec::new(),
    })
}

/// Shall it get requests?
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "server",
    responses(
        (status = 200, description = "It shall", body = HealthView),
        (status = 503, description = "Not now, and why", body = HealthView),
    )
)]
pub(crate) async fn ready(State(state): State<AppState>) -> Response {
    let health = HealthView::look(&state).await;
    let status = if health.problems.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(health)).into_response()
}

/// How is it?
///
/// The same as `/health/ready`.
#[utoipa::path(
    get,
    path = "/health",
    tag = "server",
    responses(
        (status = 200, description = "It is well", body = HealthView),
        (status = 503, description = "Something is wrong, and what", body = HealthView),
    )
)]
pub(crate) async fn health(State(state): State<AppState>) -> Response {
    ready(State(state)).await
}

/// The server about itself
#[utoipa::path(
    get,
    path = "/api/v1/info",
    tag = "server",
    responses((status = 200, description = "Version, runtimes and limits", body = ServerInfo))
)]
pub(crate) async fn info(State(state): State<AppState>) -> Json<ServerInfo> {
    Json(ServerInfo::new(&state))
}

/// Counters for Prometheus
///
/// In the text format 0.0.4, or in OpenMetrics when the `Accept` header asks for it.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "server",
    responses((status = 200, description = "Counters and timings", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let metrics = &state.metrics;
    metrics.waiting.set(to_gauge(state.pool.in_line()));
    metrics.running.set(to_gauge(state.pool.running()));
    metrics
        .log_dropped
        .set(i64::try_from(state.log.dropped()).unwrap_or(i64::MAX));
    let wants_open_metrics = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/openmetrics-text"));
    let (content_type, text) = if wants_open_metrics {
        (OPEN_METRICS, metrics.open_metrics())
    } else {
        (PROMETHEUS_TEXT, metrics.prometheus_text())
    };
    let text = text.map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

fn to_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
