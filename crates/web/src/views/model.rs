//! Models, their versions, and what serves.

use std::sync::Arc;

use ferrotype_core::manifest::{ModelManifest, Task};
use ferrotype_inference::inspect;
use ferrotype_store::{Evaluation, EvaluationSubject, Model, ModelVersion, Store, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

use super::evaluation::EvaluationView;
use super::graph::GraphView;
use super::{blob_address, json, moment};
use crate::error::ApiError;
use crate::state::AppState;

/// A model version in a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelVersionSummary {
    /// The model's name.
    #[schema(example = "demo")]
    pub(crate) name: String,
    /// The version's number.
    #[schema(example = 3)]
    pub(crate) version: u32,
    /// What names it: `name@v3`.
    #[schema(example = "demo@v3")]
    pub(crate) reference: String,
    /// Aliases that point to it.
    #[schema(example = json!(["production"]))]
    pub(crate) aliases: Vec<String>,
    /// What it answers: one class (`classification`) or any number of labels (`multi_label`).
    #[schema(value_type = String, example = "classification")]
    pub(crate) task: Task,
    /// Class names in output order.
    pub(crate) classes: Vec<String>,
    /// Width of the network's input in pixels.
    pub(crate) input_width: u32,
    /// Height of the network's input in pixels.
    pub(crate) input_height: u32,
    /// The architecture's name.
    pub(crate) architecture: Option<String>,
    /// The dataset version it was trained on.
    pub(crate) dataset: Option<String>,
    /// The run that trained it.
    pub(crate) run: Option<String>,
    /// Where it comes from.
    pub(crate) source: String,
    /// How good it is, as whoever registered it measured.
    #[schema(value_type = Object)]
    pub(crate) metrics: serde_json::Value,
    /// When it was registered (RFC 3339).
    pub(crate) created_at: String,
    /// Whether it is in this server's memory.
    pub(crate) loaded: bool,
    /// Whether it answers requests that name no model.
    pub(crate) default: bool,
}

/// A model with its versions, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelSummary {
    /// The model's name.
    pub(crate) name: String,
    /// Its versions.
    pub(crate) versions: Vec<ModelVersionSummary>,
}

/// All models.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// The models, by name.
    pub(crate) models: Vec<ModelSummary>,
    /// What answers requests that name no model.
    #[schema(example = "demo@v3")]
    pub(crate) default: Option<String>,
}

/// Everything about a model, one version of it in full.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelDetail {
    /// The model's name.
    pub(crate) name: String,
    /// Its versions, newest first.
    pub(crate) versions: Vec<ModelVersionSummary>,
    /// The version in full.
    pub(crate) version: ModelVersionDetail,
}

/// Everything about a model version.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelVersionDetail {
    /// The version as in a list.
    #[serde(flatten)]
    pub(crate) summary: ModelVersionSummary,
    /// What is needed to use it.
    #[schema(value_type = Object)]
    pub(crate) manifest: ModelManifest,
    /// The ONNX file, if it can be read.
    pub(crate) onnx: Option<OnnxFile>,
    /// The layers, if the ONNX file tells them.
    pub(crate) graph: Option<GraphView>,
    /// Its evaluations, newest first; those of its run when it has none of its own.
    pub(crate) evaluations: Vec<EvaluationView>,
}

/// An ONNX file at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OnnxFile {
    /// Where to get it.
    pub(crate) address: String,
    /// BLAKE3 of its bytes.
    pub(crate) digest: String,
    /// Its size.
    pub(crate) byte_count: u64,
    /// Version of the standard operator set.
    pub(crate) opset: Option<i64>,
    /// The program that wrote it.
    pub(crate) producer: Option<String>,
    /// Numbers in its weights.
    pub(crate) parameters: u64,
    /// Its inputs with their shapes.
    pub(crate) inputs: Vec<String>,
    /// Its outputs with their shapes.
    pub(crate) outputs: Vec<String>,
}

impl ModelVersionSummary {
    pub(crate) fn new(state: &AppState, version: &ModelVersion) -> Self {
        let manifest = &version.manifest;
        let default = state.models.default_model();
        Self {
            name: version.name.clone(),
            version: version.version,
            reference: version.reference().to_string(),
            aliases: version.aliases.clone(),
            task: manifest.task,
            classes: manifest.classes.clone(),
            input_width: manifest.preprocessing.width,
            input_height: manifest.preprocessing.height,
            architecture: manifest.architecture.clone(),
            dataset: manifest.dataset_version.clone(),
            run: version.run.map(|run| run.to_string()),
            source: version.source.clone(),
            metrics: json(&version.metrics_json),
            created_at: moment(version.created_at),
            loaded: state.models.is_loaded(version.id),
            default: default.is_some_and(|model| model.version.id == version.id),
        }
    }
}

fn summaries(state: &AppState, model: &Model) -> Vec<ModelVersionSummary> {
    model
        .versions
        .iter()
        .map(|version| ModelVersionSummary::new(state, version))
        .collect()
}

impl ModelList {
    pub(crate) async fn load(state: &AppState) -> Result<Self, ApiError> {
        let models = state.store.models().await?;
        Ok(Self {
            models: models
                .iter()
                .map(|model| ModelSummary {
                    name: model.name.clone(),
                    versions: summaries(state, model),
                })
                .collect(),
            default: state
                .models
                .default_model()
                .map(|model| model.version.reference().to_string()),
        })
    }
}

impl ModelDetail {
    /// The model that a reference names, that version in full.
    pub(crate) async fn load(
        state: &AppState,
        reference: &ferrotype_core::name::Reference,
    ) -> Result<Self, ApiError> {
        let store = &state.store;
        let version = store
            .model_version(reference)
            .await
            .map_err(ApiError::of_model)?;
        let models = store.models().await?;
        let versions = models
            .iter()
            .find(|model| model.name == version.name)
            .map(|model| summaries(state, model))
            .unwrap_or_default();
        Ok(Self {
            name: version.name.clone(),
            versions,
            version: ModelVersionDetail::load(state, version).await?,
        })
    }
}

impl ModelVersionDetail {
    async fn load(state: &AppState, version: ModelVersion) -> Result<Self, ApiError> {
        let evaluations = evaluations(&state.store, &version).await?;
        let summary = ModelVersionSummary::new(state, &version);
        let manifest = version.manifest.clone();
        let store = state.store.clone();
        let version = Arc::new(version);
        let (onnx, graph) = state
            .pool
            .run(move || inspect_file(&store, &version))
            .await?
            .unzip();
        Ok(Self {
            summary,
            manifest,
            onnx,
            graph: graph.flatten(),
            evaluations: evaluations.iter().map(EvaluationView::new).collect(),
        })
    }
}

/// The version's own evaluations; those of the run that trained it when there are none, for it
/// has the same weights.
async fn evaluations(store: &Store, version: &ModelVersion) -> Result<Vec<Evaluation>, StoreError> {
    let own = EvaluationSubject::ModelVersion(version.id);
    let found = store.evaluations(own).await?;
    match version.run {
        Some(run) if found.is_empty() => store.evaluations(EvaluationSubject::Run(run)).await,
        _ => Ok(found),
    }
}

/// What the ONNX file says; nothing when it is missing or damaged, which the log tells.
fn inspect_file(store: &Store, version: &ModelVersion) -> Option<(OnnxFile, Option<GraphView>)> {
    let onnx = store
        .blobs()
        .verified_file(&version.onnx)
        .inspect_err(|error| tracing::warn!(%error, "a model's file cannot be read"))
        .ok()?;
    let summary = inspect(&onnx)
        .inspect_err(|error| tracing::warn!(%error, "a model's file is damaged"))
        .ok()?;
    let digest = version.onnx.to_string();
    let names = |tensors: &[ferrotype_inference::TensorInfo]| {
        tensors.iter().map(ToString::to_string).collect()
    };
    let file = OnnxFile {
        address: blob_address(&digest),
        digest,
        byte_count: onnx.0.metadata().ok()?.len(),
        opset: summary.opset,
        inputs: names(&summary.inputs),
        outputs: names(&summary.outputs),
        parameters: summary.parameters,
        producer: summary.producer.clone(),
    };
    Some((file, summary.graph().as_ref().and_then(GraphView::new)))
}
