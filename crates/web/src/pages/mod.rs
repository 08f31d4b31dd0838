//! The pages. Each renders the struct that the API returns.

pub(crate) mod docs;
mod drawing;
mod examples;
mod filters;
mod handlers;
pub(crate) mod templates;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use serde::Serialize;

pub(crate) use examples::Examples;

use crate::error::{ErrorBody, Failure};
use crate::state::AppState;

/// The pages' addresses.
pub(crate) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(handlers::index))
        .route("/docs", get(docs::page))
        .route("/ui", get(|| async { Redirect::to("/ui/runs") }))
        .route("/ui/runs", get(handlers::runs))
        .route("/ui/runs/{id}", get(handlers::run))
        .route("/ui/models", get(handlers::models))
        .route("/ui/models/{name}", get(handlers::model))
        .route("/ui/datasets", get(handlers::datasets))
        .route("/ui/datasets/{name}", get(handlers::dataset))
        .route("/ui/predictions", get(handlers::predictions))
}

#[derive(Serialize)]
struct ErrorPage {
    status: u16,
    problem: ErrorBody,
}

/// Shows errors as a page to whoever looks with a browser at something that is no endpoint.
pub(crate) async fn errors_as_pages(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let wanted = wants_page(request.uri(), request.headers());
    let response = next.run(request).await;
    let Some(Failure(error)) = response.extensions().get::<Failure>().filter(|_| wanted) else {
        return response;
    };
    let status = response.status();
    let page = ErrorPage {
        status: status.as_u16(),
        problem: error.body(),
    };
    match state.templates.render(&state, "error.html", "", &page) {
        Ok(page) => {
            let mut answer = (status, page).into_response();
            answer.extensions_mut().insert(Failure(error.clone()));
            if let Some(allow) = response.headers().get(header::ALLOW) {
                answer.headers_mut().insert(header::ALLOW, allow.clone());
            }
            answer
        }
        Err(_) => response,
    }
}

fn wants_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let accepts_html = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    accepts_html && !uri.path().starts_with("/api/")
}
