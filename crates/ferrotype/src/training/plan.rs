//! What a configuration means for a dataset version: the graph, the preprocessing, the images.

use std::collections::BTreeMap;

use ferrotype_core::config::schema::DataConfig;
use ferrotype_core::config::{Config, MemorySource, SourceFile, compose};
use ferrotype_core::graph::{Graph, LayerInfo};
use ferrotype_core::manifest::{MANIFEST_VERSION, ModelManifest, OutputKind, Preprocessing, Task};
use ferrotype_core::name::Reference;
use ferrotype_store::{DatasetVersion, Run, Store};
use ferrotype_vision::augment::Augment;
use ferrotype_vision::loader::LoaderOptions;
use ferrotype_vision::transform::Transform;

use crate::context::Context;
use crate::failure::Failure;

/// Batches that the loader makes ahead of the step.
const BATCHES_AHEAD: usize = 4;

/// Red, green and blue.
const CHANNELS: usize = 3;

/// A configuration that has been checked against a dataset version.
pub(crate) struct Plan {
    /// The configuration.
    pub(crate) config: Config,
    /// What it learns from.
    pub(crate) dataset: DatasetVersion,
    /// The network.
    pub(crate) graph: Graph,
    /// What each of its layers gives.
    pub(crate) layers: Vec<LayerInfo>,
    /// From an image to the network's input.
    pub(crate) preprocessing: Preprocessing,
}

impl Plan {
    /// Finds the dataset version that the configuration names, and checks that the network fits.
    pub(crate) fn new(context: &Context, store: &Store, config: Config) -> anyhow::Result<Self> {
        let Some(name) = &config.data.dataset else {
            return Err(no_dataset(context, store)?.into());
        };
        let reference: Reference = name.parse()?;
        let dataset = context.wait(store.dataset_version(&reference))?;
        let preprocessing = preprocessing(&config.data);
        preprocessing.check().map_err(Failure::new)?;
        let (graph, layers) = graph(&config, dataset.classes.len())?;
        Ok(Self {
            config,
            dataset,
            graph,
            layers,
            preprocessing,
        })
    }

    /// The plan that a run was made by.
    pub(crate) fn of_run(context: &Context, store: &Store, run: &Run) -> anyhow::Result<Self> {
        let stored = MemorySource {
            primary: Some(SourceFile {
                name: format!("the configuration of run {}", run.name),
                text: run.config_yaml.clone(),
            }),
            ..MemorySource::default()
        };
        // Resolved when it was stored: it asks neither for a file nor for the environment.
        let composed = compose(&stored, &[], &BTreeMap::new())?;
        Self::new(context, store, composed.config)
    }

    /// How batches are made.
    pub(crate) fn loader_options(&self) -> anyhow::Result<LoaderOptions> {
        let augment = self.config.data.training_augment();
        let augment = augment.map(Augment::new).transpose()?;
        Ok(LoaderOptions {
            transform: self.transform()?,
            source_transform: self.source_transform()?,
            augment,
            mix: None,
            classes: self.dataset.classes.len(),
            batch_size: self.config.train.batch_size,
            workers: self.config.data.workers,
            seed: self.config.train.seed,
            prefetch: BATCHES_AHEAD,
        })
    }

    /// The manifest of the model that the run trains; the export fills in the tensors' names.
    pub(crate) fn manifest(&self, run: &Run) -> ModelManifest {
        ModelManifest {
            manifest_version: MANIFEST_VERSION,
            task: Task::Classification,
            classes: self.dataset.classes.clone(),
            preprocessing: self.preprocessing.clone(),
            output: OutputKind::Logits,
            input_name: String::new(),
            output_name: String::new(),
            embedding_name: None,
            architecture: Some(self.config.model.name.clone()),
            dataset_version: Some(self.dataset.reference().to_string()),
            dataset_digest: Some(self.dataset.digest.to_string()),
            run: Some(run.id),
        }
    }

    pub(super) fn transform(&self) -> anyhow::Result<Transform> {
        Ok(Transform::new(&self.preprocessing)?)
    }

    /// How training images are loaded where that is not at the input size.
    pub(super) fn source_transform(&self) -> anyhow::Result<Option<Transform>> {
        let data = &self.config.data;
        let side = data.training_side();
        if side == data.image_size {
            return Ok(None);
        }
        let preprocessing = Preprocessing {
            width: side,
            height: side,
            ..self.preprocessing.clone()
        };
        preprocessing.check().map_err(Failure::new)?;
        Ok(Some(Transform::new(&preprocessing)?))
    }
}

/// The network that a configuration means for this many classes, and what each of its layers gives.
pub(crate) fn graph(config: &Config, classes: usize) -> anyhow::Result<(Graph, Vec<LayerInfo>)> {
    let side = config.data.image_size as usize;
    let graph = Graph::from_config(&config.model, [CHANNELS, side, side], classes)?;
    let layers = graph.check(classes)?;
    Ok((graph, layers))
}

/// The preprocessing that training evaluates with and that the manifest carries to serving.
pub(crate) fn preprocessing(data: &DataConfig) -> Preprocessing {
    Preprocessing {
        width: data.image_size,
        height: data.image_size,
        resize: data.resize,
        filter: data.filter,
        mean: data.mean,
        std: data.std,
    }
}

fn no_dataset(context: &Context, store: &Store) -> anyhow::Result<Failure> {
    let failure = Failure::new("no dataset is named to train on");
    let mut names: Vec<String> = context
        .wait(store.dataset_versions())?
        .into_iter()
        .map(|version| version.name)
        .collect();
    names.dedup();
    Ok(match names.first() {
        None => failure.hint("`ferrotype train --data PATH` imports a folder and trains on it"),
        Some(name) => failure
            .hint(format!("name one: `ferrotype train data.dataset={name}`"))
            .hint(format!("there is `{}`", names.join("`, `"))),
    })
}
