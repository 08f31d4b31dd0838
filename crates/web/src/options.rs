//! What the server is told when it starts.

use std::fmt;
use std::future::Future;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;

use ferrotype_core::name::Reference;
use ferrotype_core::time::Clock;
use ferrotype_inference::RuntimeChoice;
use ferrotype_store::Store;

/// Ends when the server shall stop.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a server can tell when it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ready {
    /// Name and version of what runs the model that answers when none is named, if there is one.
    pub runtime: Option<String>,
    /// Why the native runtime does not run it: the operator and what of it.
    pub native_refusal: Option<String>,
}

/// Called once the server answers.
pub type OnReady = Box<dyn FnOnce(&Ready) + Send>;

/// Days that logged predictions are kept unless told otherwise.
pub const DEFAULT_RETENTION_DAYS: u32 = 30;

/// What a request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body of `POST /predict`, and the largest file of a batch.
    pub max_body_bytes: usize,
    /// The largest body of `POST /predict-batch`.
    pub max_batch_bytes: usize,
    /// The most files of `POST /predict-batch`.
    pub max_batch_files: usize,
    /// The most pixels of a picture.
    pub max_pixels: u64,
    /// Memory for all bodies that are arriving or waiting.
    pub max_upload_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 10_000_000,
            max_batch_bytes: 100_000_000,
            max_batch_files: 256,
            max_pixels: 64_000_000,
            max_upload_bytes: 400_000_000,
        }
    }
}

impl Limits {
    /// The same, with every limit at least as large as those that it must have room for: a batch
    /// for one picture, the memory of all bodies for one body.
    pub(crate) fn with_room(self) -> Self {
        let max_batch_bytes = self.max_batch_bytes.max(self.max_body_bytes);
        Self {
            max_batch_bytes,
            max_upload_bytes: self.max_upload_bytes.max(max_batch_bytes),
            ..self
        }
    }
}

/// Everything [`crate::serve`] needs. Make it with [`ServeOptions::new`] and change what differs.
pub struct ServeOptions {
    /// The socket, bound and listening.
    pub listener: TcpListener,
    /// What is shown, served and logged to.
    pub store: Store,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The model that answers when a request names none. Without it, the only registered model
    /// does (its `production` version if it has that alias, else its newest), if there is just one.
    pub model: Option<Reference>,
    /// What runs the networks.
    pub runtime: RuntimeChoice,
    /// What a request may cost.
    pub limits: Limits,
    /// Days that logged predictions are kept; absent means for ever.
    pub retention_days: Option<u32>,
    /// Host names, beside `localhost` and the bound address, that the server answers for.
    pub allowed_hosts: Vec<String>,
    /// Pictures worked on at once; 0 means as many as the machine has cores.
    pub workers: usize,
    /// Requests that wait for a worker before others are refused.
    pub queue_length: usize,
    /// Called once the server answers.
    pub on_ready: Option<OnReady>,
    /// Ends when the server shall stop.
    pub shutdown: Shutdown,
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions")
            .field("listener", &self.listener)
            .field("store", &self.store)
            .field("model", &self.model)
            .field("runtime", &self.runtime)
            .field("limits", &self.limits)
            .field("retention_days", &self.retention_days)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("workers", &self.workers)
            .field("queue_length", &self.queue_length)
            .finish_non_exhaustive()
    }
}

impl ServeOptions {
    /// The defaults; the server runs until the process ends.
    pub fn new(listener: TcpListener, store: Store, clock: Arc<dyn Clock>) -> Self {
        Self {
            listener,
            store,
            clock,
            model: None,
            runtime: RuntimeChoice::Auto,
            limits: Limits::default(),
            retention_days: Some(DEFAULT_RETENTION_DAYS),
            allowed_hosts: Vec::new(),
            workers: 0,
            queue_length: 1024,
            on_ready: None,
            shutdown: Box::pin(std::future::pending()),
        }
    }

    /// Stops the server when `shutdown` ends.
    #[must_use]
    pub fn with_shutdown(mut self, shutdown: impl Future<Output = ()> + Send + 'static) -> Self {
        self.shutdown = Box::pin(shutdown);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_body_makes_room_in_the_other_limits() {
        let limits = Limits {
            max_body_bytes: 2_000_000_000,
            ..Limits::default()
        };
        let limits = limits.with_room();
        assert_eq!(limits.max_batch_bytes, 2_000_000_000);
        assert_eq!(limits.max_upload_bytes, 2_000_000_000);
        assert_eq!(Limits::default().with_room(), Limits::default());
    }
}
