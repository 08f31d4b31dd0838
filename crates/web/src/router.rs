//! All addresses, and what every request passes on its way.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use tower::Layer as _;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::NormalizePathLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::api::openapi;
use crate::assets;
use crate::error::{ApiError, ErrorKind};
use crate::guard::{access, body, headers, host};
use crate::options::Limits;
use crate::pages;
use crate::state::AppState;

/// The largest body of a route that takes no pictures.
const MAX_SMALL_BODY_BYTES: usize = 64 << 10;

/// The routes of the documented interface, and the document.
pub(crate) fn documented(limits: &Limits) -> (Router<AppState>, Value) {
    let batch = openapi::predict_batch_route().layer(DefaultBodyLimit::max(limits.max_batch_bytes));
    let single = openapi::predict_route().layer(DefaultBodyLimit::max(limits.max_body_bytes));
    let rest = openapi::routes().layer(DefaultBodyLimit::max(MAX_SMALL_BODY_BYTES));
    let all: OpenApiRouter<AppState> = rest.merge(single).merge(batch);
    let (router, document) = all.split_for_parts();
    let document = serde_json::to_value(document).unwrap_or_else(|error| {
        tracing::error!(%error, "the OpenAPI document cannot be written");
        Value::Null
    });
    (router, document)
}

/// The whole service.
pub(crate) fn assemble(documented: Router<AppState>, state: AppState) -> Router {
    let routes = documented
        .route("/openapi.json", get(openapi::document))
        .route("/favicon.ico", get(assets::favicon))
        .route("/assets/{hash}/{*path}", get(assets::asset))
        .merge(pages::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        // The first is the innermost.
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state.clone(), pages::errors_as_pages))
        .layer(from_fn_with_state(
            Arc::clone(&state.hosts),
            host::refuse_foreign,
        ))
        .layer(from_fn(headers::add_security_headers))
        .layer(from_fn(body::guard))
        .layer(from_fn_with_state(state.metrics.clone(), access::observe))
        .with_state(state);
    // Around the router: a trailing slash must be gone before a route is looked for.
    Router::new().fallback_service(NormalizePathLayer::trim_trailing_slash().layer(routes))
}

async fn unknown_path(request: Request) -> ApiError {
    ApiError::not_found("page or endpoint", request.uri().path())
        .with_hint("`/docs` lists the endpoints, `/` is the start page")
}

async fn unknown_method(request: Request) -> ApiError {
    ApiError::new(
        ErrorKind::MethodNotAllowed,
        format!(
            "`{}` does not work with `{}`",
            request.uri().path(),
            request.method()
        ),
    )
    .with_hint("the header `allow` of this answer lists the methods that do")
}

/// A handler panicked: the panic hook has told where, the client learns that it was not its fault.
fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    ApiError::internal("a handler panicked").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_with_500_in_json() {
        async fn broken() {
            panic!("a bug");
        }
        let router: Router = Router::new()
            .route("/", get(broken))
            .layer(CatchPanicLayer::custom(panicked));
        let request = axum::http::Request::new(Body::empty());
        let answer = router.oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), 500);
        let body = axum::body::to_bytes(answer.into_body(), 10_000)
            .await
            .unwrap();
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["kind"], "internal");
        assert!(!json.to_string().contains("a bug"));
    }
}
