//! A name for every request, one line in the log for its answer, and the counters.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

use crate::error::Failure;
use crate::metrics::{Metrics, RequestLabels, RouteLabel};

/// The header that carries a request's name, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST_REQUEST_ID: usize = 64;

/// Names, logs and counts the request.
pub(crate) async fn observe(
    State(metrics): State<Metrics>,
    mut request: Request,
    next: Next,
) -> Response {
    let start = Instant::now();
    let id = request_id(request.headers());
    let method = request.method().clone();
    let path = request.uri().path().to_string();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unknown".to_string(), |route| route.as_str().to_string());
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(REQUEST_ID, value);
    }
    let span = tracing::info_span!("request", id = %id);
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }

    let status = response.status().as_u16();
    let elapsed = start.elapsed();
    let latency_ms = elapsed.as_secs_f64() * 1000.0;
    let kind = response
        .extensions()
        .get::<Failure>()
        .map(|failure| failure.0.kind().as_str());
    span.in_scope(|| {
        if is_routine(&route) && status < 500 {
            tracing::debug!(%method, path, status, latency_ms, "answered");
        } else {
            tracing::info!(%method, path, status, latency_ms, kind, "answered");
        }
    });
    metrics
        .request_seconds
        .get_or_create(&RouteLabel {
            route: route.clone(),
        })
        .observe(elapsed.as_secs_f64());
    let labels = RequestLabels {
        method: known_method(method.as_str()),
        route,
        status,
    };
    metrics.requests.get_or_create(&labels).inc();
    response
}

/// The client's own name for the request when it is harmless, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=LONGEST_REQUEST_ID).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        })
        .map_or_else(|| uuid::Uuid::now_v7().to_string(), ToString::to_string)
}

/// What machines ask every few seconds is not worth a line each.
fn is_routine(route: &str) -> bool {
    route.starts_with("/health") || route.starts_with("/assets") || route == "/metrics"
}

/// Methods are a label of a counter: those a client makes up must not add to it.
fn known_method(method: &str) -> String {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => method.to_string(),
        _ => "other".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_keeps_a_harmless_name_and_gets_a_new_one_otherwise() {
        let named = |id: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, id.parse().unwrap());
            request_id(&headers)
        };
        assert_eq!(named("build-7.a_b"), "build-7.a_b");
        assert_ne!(named("a b"), "a b");
        assert_eq!(named(&"x".repeat(65)).len(), 36);
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
