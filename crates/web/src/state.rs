//! What all handlers share.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrotype_core::time::{Clock, Timestamp};
use ferrotype_store::{PredictionLog, Store};
use serde_json::Value;

use crate::assets::Assets;
use crate::guard::host::HostPolicy;
use crate::metrics::Metrics;
use crate::options::{Limits, ServeOptions};
use crate::pages::Examples;
use crate::pages::templates::Templates;
use crate::serving::models::Models;
use crate::serving::pool::Pool;

/// What all handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) models: Models,
    pub(crate) pool: Pool,
    pub(crate) log: PredictionLog,
    pub(crate) metrics: Metrics,
    pub(crate) assets: Assets,
    pub(crate) templates: Templates,
    pub(crate) examples: Examples,
    pub(crate) hosts: Arc<HostPolicy>,
    pub(crate) limits: Limits,
    pub(crate) retention_days: Option<u32>,
    pub(crate) started_at: Timestamp,
    /// The OpenAPI document.
    pub(crate) document: Value,
    stopping: AtomicBool,
}

impl Deref for AppState {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl AppState {
    /// The state of a server bound to `bound`.
    pub(crate) fn new(
        options: &ServeOptions,
        bound: SocketAddr,
        log: PredictionLog,
        document: Value,
    ) -> Self {
        let workers = match options.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let started_at = options.clock.now();
        let assets = Assets::new();
        Self(Arc::new(Inner {
            store: options.store.clone(),
            clock: Arc::clone(&options.clock),
            models: Models::new(
                options.store.clone(),
                options.model.clone(),
                options.runtime,
            ),
            pool: Pool::new(
                workers,
                options.queue_length,
                options.limits.max_upload_bytes,
            ),
            log,
            metrics: Metrics::new(started_at.as_millis()),
            templates: Templates::new(assets.clone()),
            assets,
            examples: Examples::default(),
            hosts: Arc::new(HostPolicy::new(bound, &options.allowed_hosts)),
            limits: options.limits,
            retention_days: options.retention_days,
            started_at,
            document,
            stopping: AtomicBool::new(false),
        }))
    }

    /// The server was told to stop.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
