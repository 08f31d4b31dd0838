//! The server about itself: what it is, how it is, what it allows.

use std::sync::OnceLock;
use std::time::Duration;

use ferrotype_inference::{RuntimeInfo, runtimes};
use ferrotype_store::{RunFilter, Store};
use serde::Serialize;
use utoipa::ToSchema;

use super::moment;
use crate::state::AppState;

/// A store that takes longer than this to answer is taken for away.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// The server.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ServerInfo {
    /// The program.
    #[schema(example = "ferrotype")]
    pub(crate) name: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// When it started (RFC 3339).
    pub(crate) started_at: String,
    /// How long it has been running.
    pub(crate) uptime_ms: u64,
    /// What answers requests that name no model.
    #[schema(example = "demo@v3")]
    pub(crate) default_model: Option<String>,
    /// What runs the default model.
    #[schema(example = "rten 0.27.0")]
    pub(crate) runtime: Option<String>,
    /// Why the native runtime does not run the default model: the operator and what of it.
    pub(crate) native_refusal: Option<String>,
    /// What could run networks.
    pub(crate) runtimes: RuntimesView,
    /// What a request may cost.
    pub(crate) limits: LimitsView,
    /// Days that logged predictions are kept; absent means for ever.
    pub(crate) retention_days: Option<u32>,
}

/// What could run networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RuntimesView {
    /// The executor of this program, which runs all networks whose operators it knows.
    #[schema(example = "native 0.1.0")]
    pub(crate) native: &'static str,
    /// The built-in runtime for networks that the native one does not know.
    #[schema(example = "rten 0.27.0")]
    pub(crate) built_in: String,
    /// ONNX Runtime's version, when its library was found.
    pub(crate) onnx_runtime: Option<String>,
    /// Where ONNX Runtime's library is.
    pub(crate) onnx_runtime_library: Option<String>,
    /// Why ONNX Runtime is not used, when it is not.
    pub(crate) onnx_runtime_problem: Option<String>,
}

/// What a request may cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LimitsView {
    /// The largest body of `POST /predict`, and the largest file of a batch.
    pub(crate) max_body_bytes: usize,
    /// The largest body of `POST /predict-batch`.
    pub(crate) max_batch_bytes: usize,
    /// The most files of `POST /predict-batch`.
    pub(crate) max_batch_files: usize,
    /// The most pixels of a picture.
    pub(crate) max_pixels: u64,
}

/// How the server is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// `ok`, or `unavailable` when it should get no requests.
    #[schema(example = "ok")]
    pub(crate) status: &'static str,
    /// The program's version.
    pub(crate) version: &'static str,
    /// What answers requests that name no model.
    pub(crate) model: Option<String>,
    /// What is wrong, empty when nothing is.
    pub(crate) problems: Vec<String>,
}

impl RuntimesView {
    /// Looked up once: it may load a library.
    fn look() -> &'static RuntimeInfo {
        static FOUND: OnceLock<RuntimeInfo> = OnceLock::new();
        FOUND.get_or_init(runtimes)
    }

    fn new() -> Self {
        let found = Self::look().clone();
        let (version, library) = found
            .onnx_runtime
            .map(|runtime| (runtime.version, runtime.library))
            .unzip();
        Self {
            native: concat!("native ", env!("CARGO_PKG_VERSION")),
            built_in: found.built_in,
            onnx_runtime: version,
            onnx_runtime_library: library,
            onnx_runtime_problem: found.onnx_runtime_problem,
        }
    }
}

impl ServerInfo {
    pub(crate) fn new(state: &AppState) -> Self {
        let default = state.models.default_model();
        let limits = state.limits;
        Self {
            name: "ferrotype",
            version: env!("CARGO_PKG_VERSION"),
            started_at: moment(state.started_at),
            uptime_ms: state.clock.now().millis_since(state.started_at),
            default_model: default
                .as_ref()
                .map(|model| model.version.reference().to_string()),
            runtime: default
                .as_ref()
                .map(|model| model.network.runtime_name().to_string()),
            native_refusal: default
                .and_then(|model| model.network.native_refusal().map(str::to_string)),
            runtimes: RuntimesView::new(),
            limits: LimitsView {
                max_body_bytes: limits.max_body_bytes,
                max_batch_bytes: limits.max_batch_bytes,
                max_batch_files: limits.max_batch_files,
                max_pixels: limits.max_pixels,
            },
            retention_days: state.retention_days,
        }
    }
}

impl HealthView {
    /// Looks whether requests can be answered.
    pub(crate) async fn look(state: &AppState) -> Self {
        let model = state.models.default_model();
        let mut problems = Vec::new();
        if state.is_stopping() {
            problems.push("the server is about to stop".to_string());
        }
        if let (None, Some(reference)) = (&model, state.models.configured()) {
            problems.push(format!("the model `{reference}` is not in the store"));
        }
        problems.extend(store_problem(&state.store).await);
        Self {
            status: if problems.is_empty() {
                "ok"
            } else {
                "unavailable"
            },
            version: env!("CARGO_PKG_VERSION"),
            model: model.map(|model| model.version.reference().to_string()),
            problems,
        }
    }
}

async fn store_problem(store: &Store) -> Option<String> {
    let any_run = RunFilter::default();
    match tokio::time::timeout(STORE_PATIENCE, store.runs(&any_run, 1)).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(format!("the store cannot be read: {error}")),
        Err(_) => Some("the store does not answer".to_string()),
    }
}
