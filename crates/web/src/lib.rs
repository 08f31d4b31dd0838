//! Everything spoken over HTTP: serving endpoints, the JSON API, metrics, and the pages.
//!
//! [`serve`] is the entry. A request passes `guard` (log, body, headers, host), then a thin handler in
//! `api` or `pages`, which fills a struct of `views` from the store; `serving` decodes pictures and
//! runs networks on a bounded number of threads.

mod api;
mod assets;
mod background;
pub mod error;
mod guard;
mod metrics;
mod options;
mod pages;
mod router;
mod serving;
mod state;
mod views;

use std::time::Duration;

use axum::serve::ListenerExt as _;
use ferrotype_store::PredictionLogOptions;
use tokio::sync::watch;

pub use error::{ApiError, ErrorBody, ErrorKind, WebError};
pub use options::{DEFAULT_RETENTION_DAYS, Limits, OnReady, Ready, ServeOptions, Shutdown};

use crate::state::AppState;

/// How long requests that are in flight may take once the server was told to stop.
const GRACE: Duration = Duration::from_secs(30);

/// Serves until `options.shutdown` ends, then finishes what is in flight and writes what is still
/// to be logged.
///
/// # Errors
/// When the configured model cannot be loaded, or the socket cannot be used.
pub async fn serve(mut options: ServeOptions) -> Result<(), WebError> {
    let unusable = |error: std::io::Error| WebError::new("the socket cannot be used", error);
    options.limits = options.limits.with_room();
    let bound = options.listener.local_addr().map_err(unusable)?;
    let log = options
        .store
        .prediction_log(PredictionLogOptions::default())
        .map_err(|error| WebError::new("the prediction log cannot start", error))?;
    let (documented, document) = router::documented(&options.limits);
    let state = AppState::new(&options, bound, log, document);
    load_default_model(&state).await?;

    options.listener.set_nonblocking(true).map_err(unusable)?;
    let listener = tokio::net::TcpListener::from_std(options.listener)
        .map_err(unusable)?
        .tap_io(|connection| {
            // Answers are small: they must not wait for more to send.
            if let Err(error) = connection.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY is not set");
            }
        });
    let (stop, stopped) = watch::channel(false);
    let told_to_stop = || {
        let mut stopped = stopped.clone();
        async move {
            // An error means that the sender is gone, which is a stop too.
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    };
    let background = background::start(&state);
    let service = router::assemble(documented, state.clone());
    let serving = axum::serve(listener, service).with_graceful_shutdown(told_to_stop());
    let shutdown = {
        let state = state.clone();
        async move {
            options.shutdown.await;
            state.stop();
            stop.send_replace(true);
            // Kept until the end, so that nobody takes its end for the order to stop.
            std::future::pending::<()>().await;
        }
    };
    if let Some(on_ready) = options.on_ready.take() {
        let model = state.models.default_model();
        let network = model.as_ref().map(|model| &model.network);
        on_ready(&Ready {
            runtime: network.map(|network| network.runtime_name().to_string()),
            native_refusal: network
                .and_then(|network| network.native_refusal().map(str::to_string)),
        });
    }
    let outcome = tokio::select! {
        outcome = serving.into_future() => outcome.map_err(unusable),
        () = shutdown => Ok(()),
        () = async { told_to_stop().await; tokio::time::sleep(GRACE).await } => {
            tracing::warn!("some requests took too long to finish and were cut off");
            Ok(())
        }
    };
    drop(background);
    state.log.shutdown().await;
    outcome
}

/// A server whose model is missing or broken shall not start as if nothing was wrong.
async fn load_default_model(state: &AppState) -> Result<(), WebError> {
    let refreshed = state.models.refresh_default().await;
    let configured = state.models.configured();
    match (refreshed, configured) {
        (Ok(()), Some(reference)) if state.models.default_model().is_none() => {
            let missing = match state.models.get(Some(reference)).await {
                Err(error) => error,
                Ok(_) => return Ok(()),
            };
            Err(cannot_serve(missing))
        }
        (Err(error), Some(_)) => Err(cannot_serve(error)),
        (Err(error), None) => {
            tracing::warn!(%error, "the only model cannot be used; the pages work without it");
            Ok(())
        }
        (Ok(()), _) => Ok(()),
    }
}

fn cannot_serve(error: ApiError) -> WebError {
    let hint = error.body().hint;
    let failure = WebError::new("the model cannot be served", error);
    match hint {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
