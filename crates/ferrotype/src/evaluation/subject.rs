//! What is evaluated, exported or used: a run's weights or a registered model version.

use ferrotype_core::id::{ModelVersionId, RunId};
use ferrotype_core::name::Reference;
use ferrotype_inference::{Model, RuntimeChoice};
use ferrotype_store::{ModelVersion, Run, Store, StoreErrorKind};

use crate::context::Context;
use crate::failure::Failure;
use crate::training;

/// A run or a model version, as a person names it.
#[derive(Debug)]
pub(crate) enum Subject {
    /// A run: its best weights.
    Run(Box<Run>),
    /// A registered model version.
    ModelVersion(Box<ModelVersion>),
}

impl Subject {
    /// `name@alias` and `name@v3` are models; anything else is a run, or else the newest version
    /// of a model.
    pub(crate) fn find(context: &Context, store: &Store, text: &str) -> anyhow::Result<Self> {
        if text.contains('@') {
            return Self::model(context, store, text);
        }
        let error = match context.wait(store.find_run(text)) {
            Ok(run) => return Ok(Self::Run(Box::new(run))),
            Err(error) if error.kind() == StoreErrorKind::NotFound => error,
            Err(error) => return Err(error.into()),
        };
        match Self::model(context, store, text) {
            Ok(model) => Ok(model),
            Err(_) if text.parse::<RunId>().is_ok() => Err(error.into()),
            Err(_) => Err(
                Failure::new(format!("no run and no model is called `{text}`"))
                    .hint("`ferrotype runs list` and `ferrotype models list` show what there is")
                    .into(),
            ),
        }
    }

    fn model(context: &Context, store: &Store, text: &str) -> anyhow::Result<Self> {
        let reference: Reference = text.parse()?;
        let version = context.wait(store.model_version(&reference))?;
        Ok(Self::ModelVersion(Box::new(version)))
    }

    /// What to call it.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Run(run) => format!("run {}", run.name),
            Self::ModelVersion(version) => format!("model {}", version.reference()),
        }
    }

    /// The ONNX file's bytes.
    pub(crate) fn onnx(&self, context: &Context, store: &Store) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Run(run) => training::export::onnx_of(context, store, run),
            Self::ModelVersion(version) => Ok(store.blobs().get(&version.onnx)?),
        }
    }

    /// The model, ready to answer on all cores.
    pub(crate) fn load(
        &self,
        context: &Context,
        store: &Store,
        runtime: RuntimeChoice,
    ) -> anyhow::Result<Model> {
        let model = match self {
            Self::Run(_) => Model::load(&self.onnx(context, store)?, runtime, 0)?,
            Self::ModelVersion(version) => {
                Model::load(&store.blobs().verified_file(&version.onnx)?, runtime, 0)?
            }
        };
        Ok(model)
    }

    /// The dataset version it was trained on, as `name@v1`, if that is known.
    pub(crate) fn dataset(&self) -> Option<String> {
        match self {
            Self::Run(run) => run.dataset.clone(),
            Self::ModelVersion(version) => version.manifest.dataset_version.clone(),
        }
    }

    /// The run whose weights these are.
    pub(crate) fn run(&self) -> Option<RunId> {
        match self {
            Self::Run(run) => Some(run.id),
            Self::ModelVersion(version) => version.run,
        }
    }

    /// The model version, if it is one.
    pub(crate) fn model_version(&self) -> Option<ModelVersionId> {
        match self {
            Self::Run(_) => None,
            Self::ModelVersion(version) => Some(version.id),
        }
    }
}
