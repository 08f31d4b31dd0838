//! What a configuration means for a dataset version: the graph, the preprocessing, the images.

use std::collections::BTreeMap;

use ferrotype_core::config::schema::{
    ClassWeights, DataConfig, Monitored, Sampling, ThresholdConfig, ThresholdRule,
};
use ferrotype_core::config::{Composed, Config, MemorySource, Origin, SourceFile, compose};
use ferrotype_core::graph::{Graph, LayerInfo};
use ferrotype_core::manifest::{
    DEFAULT_THRESHOLD, MANIFEST_VERSION, ModelManifest, OutputKind, Preprocessing, Task,
};
use ferrotype_core::name::Reference;
use ferrotype_core::thresholds::listed;
use ferrotype_data::{ImportReport, load_report};
use ferrotype_store::{DatasetVersion, Run, Store};
use ferrotype_vision::augment::Augment;
use ferrotype_vision::loader::LoaderOptions;
use ferrotype_vision::transform::Transform;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::text;

/// Batches that the loader makes ahead of the step.
pub(crate) const BATCHES_AHEAD: usize = 4;

/// Red, green and blue.
const CHANNELS: usize = 3;

/// A configuration that has been checked against a dataset version.
pub(crate) struct Plan {
    /// The configuration.
    pub(crate) config: Config,
    /// What it learns from.
    pub(crate) dataset: DatasetVersion,
    /// Whether each of its images has one class or any number of labels.
    pub(crate) task: Task,
    /// The network.
    pub(crate) graph: Graph,
    /// What each of its layers gives.
    pub(crate) layers: Vec<LayerInfo>,
    /// From an image to the network's input.
    pub(crate) preprocessing: Preprocessing,
}

impl Plan {
    /// Finds the dataset version that the configuration names, and checks that the network fits.
    pub(crate) fn new(
        context: &Context,
        store: &Store,
        composed: &Composed,
    ) -> anyhow::Result<Self> {
        let mut config = composed.config.clone();
        let Some(name) = &config.data.dataset else {
            return Err(no_dataset(context, store)?.into());
        };
        let reference: Reference = name.parse()?;
        let dataset = context.wait(store.dataset_version(&reference))?;
        let report = load_report(&dataset)?;
        let task = report.task();
        config.train.monitor = config.train.monitor.of_task(task);
        check_task(composed, task, &reference)?;
        check_class_weights(&config.train.class_weights, task, &dataset)?;
        check_thresholds(config.train.threshold.as_ref(), &dataset, &report)?;
        let preprocessing = preprocessing(&config.data);
        preprocessing.check().map_err(Failure::new)?;
        let (graph, layers) = graph(&config, dataset.classes.len())?;
        ferrotype_engine::train::check_freezing(&graph, &config.train)?;
        Ok(Self {
            config,
            dataset,
            task,
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
        Self::new(context, store, &composed)
    }

    /// How images are loaded; the engine knows the rest of what makes a batch.
    pub(crate) fn loader_options(&self) -> anyhow::Result<LoaderOptions> {
        let augment = self.config.data.training_augment();
        let augment = augment.map(Augment::new).transpose()?;
        Ok(LoaderOptions {
            source_transform: self.source_transform()?,
            augment,
            workers: self.config.data.workers,
            prefetch: BATCHES_AHEAD,
            ..LoaderOptions::new(self.transform()?)
        })
    }

    /// The manifest of the model that the run trains; the export fills in the tensors' names.
    pub(crate) fn manifest(&self, run: &Run) -> ModelManifest {
        let mut manifest = ModelManifest {
            manifest_version: MANIFEST_VERSION,
            task: self.task,
            classes: self.dataset.classes.clone(),
            preprocessing: self.preprocessing.clone(),
            output: OutputKind::Logits,
            threshold: None,
            thresholds: None,
            input_name: String::new(),
            output_name: String::new(),
            embedding_name: None,
            architecture: Some(self.config.model.name.clone()),
            dataset_version: Some(self.dataset.reference().to_string()),
            dataset_digest: Some(self.dataset.digest.to_string()),
            run: Some(run.id),
        };
        if self.task.is_multi_label() {
            manifest.set_label_thresholds(self.thresholds());
        }
        manifest
    }

    /// The score that says which epoch is best.
    pub(crate) const fn monitored(&self) -> Monitored {
        Monitored::new(self.config.train.monitor, self.task)
    }

    /// For each label, the probability above which it counts. Those that are yet to be found are
    /// the default until then.
    pub(super) fn thresholds(&self) -> Vec<f32> {
        let one = |threshold| vec![threshold; self.dataset.classes.len()];
        match &self.config.train.threshold {
            None | Some(ThresholdConfig::Rule(_)) => one(DEFAULT_THRESHOLD),
            Some(ThresholdConfig::One(threshold)) => one(*threshold as f32),
            Some(ThresholdConfig::Each(each)) => each.iter().map(|number| *number as f32).collect(),
        }
    }

    /// Whether each label's threshold is to be found when training is done.
    pub(super) fn finds_thresholds(&self) -> bool {
        let rule = ThresholdConfig::Rule(ThresholdRule::BestF1);
        self.config.train.threshold == Some(rule)
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

/// Refuses settings that mean nothing for what the images have.
fn check_task(composed: &Composed, task: Task, dataset: &Reference) -> anyhow::Result<()> {
    let train = &composed.config.train;
    if task.is_multi_label() {
        if train.sampling == Sampling::Balanced {
            let set_by = set_by(composed, "train.sampling");
            // What somebody typed is left out; what a recipe says is overridden.
            let instead = match set_by.is_empty() {
                true => "`train.class_weights=balanced`",
                false => "`train.sampling=shuffle train.class_weights=balanced`",
            };
            return Err(Failure::new(format!(
                "`train.sampling=balanced`{set_by} draws every class as often, but an image of `{dataset}` may have several labels"
            ))
            .hint(format!(
                "{instead} instead makes rare labels count more in the loss"
            ))
            .into());
        }
    } else if train.threshold.is_some() {
        let set_by = set_by(composed, "train.threshold");
        return Err(Failure::new(format!(
            "`train.threshold`{set_by} is for images with several labels; each of `{dataset}` has one class, the most probable is answered"
        ))
        .hint("leave it out, or set `train.threshold=null`")
        .into());
    }
    Ok(())
}

/// Who set a key that nobody typed, for the middle of a sentence; empty where somebody did.
fn set_by(composed: &Composed, key: &str) -> String {
    let setter = composed.origin(key).and_then(Origin::setter);
    setter.map_or_else(String::new, |setter| format!(", set by {setter},"))
}

/// Refuses weights that are not one for each class, or that leave nothing to learn.
fn check_class_weights(
    weights: &ClassWeights,
    task: Task,
    dataset: &DatasetVersion,
) -> anyhow::Result<()> {
    let ClassWeights::Given(weights) = weights else {
        return Ok(());
    };
    let noun = class_noun(task);
    if weights.len() != dataset.classes.len() {
        return Err(Failure::new(format!(
            "`train.class_weights` has {}, but `{}` has {}",
            text::plural(weights.len() as u64, "weight"),
            dataset.reference(),
            text::plural(dataset.classes.len() as u64, noun),
        ))
        .hint(format!(
            "give one weight for each {noun}, in this order: {}",
            listed(&dataset.classes)
        ))
        .hint("`train.class_weights=balanced` takes them from the images")
        .into());
    }
    if weights.iter().all(|weight| *weight <= 0.0) {
        return Err(Failure::new(format!(
            "`train.class_weights` are all zero: no {noun} is learned"
        ))
        .hint(format!("give each {noun} that counts a weight over 0"))
        .into());
    }
    Ok(())
}

/// Refuses thresholds that are not one for each label, or that no image is there to find by.
fn check_thresholds(
    thresholds: Option<&ThresholdConfig>,
    dataset: &DatasetVersion,
    report: &ImportReport,
) -> anyhow::Result<()> {
    let labels = dataset.classes.len();
    match thresholds {
        Some(ThresholdConfig::Each(each)) if each.len() != labels => Err(Failure::new(format!(
            "`train.threshold` has {}, but `{}` has {}",
            text::plural(each.len() as u64, "number"),
            dataset.reference(),
            text::plural(labels as u64, "label"),
        ))
        .hint(format!(
            "give one for all labels, or one for each in this order: {}",
            listed(&dataset.classes)
        ))
        .into()),
        Some(ThresholdConfig::Rule(ThresholdRule::BestF1)) if report.splits().val == 0 => {
            Err(Failure::new(format!(
                "`train.threshold=best_f1` is found on validation images, and `{}` has none",
                dataset.reference()
            ))
            .hint("give a number, as `train.threshold=0.5`")
            .into())
        }
        _ => Ok(()),
    }
}

/// What an image of the task has.
const fn class_noun(task: Task) -> &'static str {
    match task {
        Task::MultiLabel => "label",
        _ => "class",
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
