//! A store with a dataset, a model that tells colours apart, and runs.

use std::path::Path;
use std::sync::Arc;

use ferrotype_core::config::schema::TestTimeAugmentation;
use ferrotype_core::dataset::Split;
use ferrotype_core::graph::{Graph, zoo};
use ferrotype_core::id::RunId;
use ferrotype_core::manifest::{
    GRAPH_KEY, MANIFEST_VERSION, ModelManifest, OutputKind, Preprocessing, ResizeFilter,
    ResizeMode, Task,
};
use ferrotype_data::{DatasetManifest, ImportRequest, import_folder, load_manifest};
use ferrotype_measure::{Classification, EvaluationReport, Mistake};
use ferrotype_store::{
    DatasetVersion, ModelVersion, NewEvaluation, NewModelVersion, NewRun, RunLock, RunStatus,
    Store, StoreOptions, SystemClock,
};
use ferrotype_testkit::images::{COLOUR_CLASSES, colour_folder};
use ferrotype_testkit::onnx::colour_model;
use prost::Message as _;

/// Side of the model's input in pixels.
const SIDE: u32 = 32;

/// What is in the sample store.
pub(crate) struct Sample {
    pub(crate) store: Store,
    pub(crate) dataset: DatasetVersion,
    pub(crate) model: ModelVersion,
    pub(crate) finished_run: RunId,
}

/// An empty store in a folder.
pub(crate) async fn empty_store(folder: &Path) -> Store {
    let options = StoreOptions::in_folder(folder.join(".ferrotype"));
    Store::open(options, Arc::new(SystemClock)).await.unwrap()
}

/// A store in a folder with a dataset, `colours@production` and two finished runs.
pub(crate) async fn fill(folder: &Path) -> Sample {
    let store = empty_store(folder).await;
    let images = colour_folder(&folder.join("images"), 12, SIDE);
    let request = ImportRequest::new(images, "colours");
    let dataset = import_folder(&request, &store, &mut |_| {})
        .await
        .unwrap()
        .version;
    let finished_run = add_run(&store, &dataset, "first-light", RunStatus::Finished).await;
    add_run(&store, &dataset, "too-hot", RunStatus::Failed).await;
    let model = add_model(&store, "colours", Some(finished_run), &dataset).await;
    store
        .set_alias("colours", "production", model.version)
        .await
        .unwrap();
    let manifest = load_manifest(&store, &dataset).unwrap();
    let report = serde_json::to_string(&report(&manifest)).unwrap();
    for (run, model_version) in [(Some(finished_run), None), (None, Some(model.id))] {
        let evaluation = NewEvaluation {
            run,
            model_version,
            dataset_version: Some(dataset.id),
            split: Split::Test,
            report_json: report.clone(),
        };
        store.add_evaluation(evaluation).await.unwrap();
    }
    Sample {
        store,
        dataset,
        model,
        finished_run,
    }
}

pub(crate) fn manifest(side: u32) -> ModelManifest {
    ModelManifest {
        manifest_version: MANIFEST_VERSION,
        task: Task::Classification,
        classes: COLOUR_CLASSES.map(|(name, _)| name.to_string()).to_vec(),
        preprocessing: Preprocessing {
            width: side,
            height: side,
            resize: ResizeMode::Stretch,
            filter: ResizeFilter::Bilinear,
            mean: [0.5; 3],
            std: [0.25; 3],
        },
        output: OutputKind::Logits,
        threshold: None,
        thresholds: None,
        input_name: "image".into(),
        output_name: "scores".into(),
        embedding_name: None,
        architecture: Some("baseline".into()),
        dataset_version: None,
        dataset_digest: None,
        run: None,
    }
}

/// Registers the colour model as the next version of `name`.
pub(crate) async fn add_model(
    store: &Store,
    name: &str,
    run: Option<RunId>,
    dataset: &DatasetVersion,
) -> ModelVersion {
    let graph = zoo::build(
        "baseline",
        [3, SIDE as usize, SIDE as usize],
        3,
        &Default::default(),
    )
    .unwrap();
    let onnx = with_graph(colour_model(SIDE), &graph);
    let manifest = ModelManifest {
        dataset_version: Some(dataset.reference().to_string()),
        run,
        ..manifest(SIDE)
    };
    add_onnx(store, name, &onnx, manifest).await
}

/// Registers any bytes as the next version of `name`.
pub(crate) async fn add_onnx(
    store: &Store,
    name: &str,
    onnx: &[u8],
    manifest: ModelManifest,
) -> ModelVersion {
    let run = manifest.run;
    let new = NewModelVersion {
        name: name.into(),
        onnx: store.blobs().put(onnx).unwrap(),
        manifest,
        run,
        metrics_json: r#"{"accuracy": 0.958, "macro_f1": 0.957}"#.into(),
        source: "train".into(),
    };
    store.create_model_version(new).await.unwrap()
}

/// The file with a layer graph in its metadata: protobuf merges what is appended.
fn with_graph(mut onnx: Vec<u8>, graph: &Graph) -> Vec<u8> {
    use ferrotype_core::onnx::{ModelProto, StringStringEntryProto};
    let metadata = ModelProto {
        metadata_props: vec![StringStringEntryProto {
            key: Some(GRAPH_KEY.into()),
            value: Some(serde_json::to_string(graph).unwrap()),
        }],
        ..ModelProto::default()
    };
    onnx.extend(metadata.encode_to_vec());
    onnx
}

/// A run that has ended.
async fn add_run(store: &Store, dataset: &DatasetVersion, name: &str, status: RunStatus) -> RunId {
    let failed = status == RunStatus::Failed;
    let pace = if failed { 3.0 } else { 1.0 };
    let (run, _lock) = start_run(store, dataset, name, pace).await;
    let error =
        failed.then_some("the loss is not a number at step 120; lower `train.learning_rate`");
    store.set_run_status(run, status, error).await.unwrap();
    run
}

/// A run that is going, with curves of 20 epochs; `pace` is how slowly it learns. Its lock is taken
/// before it is marked as running, as a training does: the server takes a running one without for dead.
/// A run with curves as a small network gives them.
pub(crate) async fn start_run(
    store: &Store,
    dataset: &DatasetVersion,
    name: &str,
    pace: f64,
) -> (RunId, RunLock) {
    let params = [
        ("model.name", "baseline"),
        ("train.epochs", "20"),
        ("train.learning_rate", "0.002"),
        ("train.optimizer.name", "adamw"),
    ];
    let new = NewRun {
        name: Some(name.into()),
        dataset_version: Some(dataset.id),
        config_yaml: "model:\n  name: baseline\ntrain:\n  epochs: 20\n  learning_rate: 0.002\n"
            .into(),
        params: params
            .iter()
            .map(|(key, value)| ((*key).to_string(), (*value).to_string()))
            .collect(),
        seed: 7,
        git_commit: Some("0d166b6f3c1e".into()),
        environment_json: r#"{"ferrotype": "0.1.0", "processor": "a fast one", "cores": 2}"#.into(),
    };
    let run = store.create_run(new).await.unwrap().id;
    let lock = store.lock_run(run).unwrap();
    store
        .set_run_status(run, RunStatus::Running, None)
        .await
        .unwrap();
    log_curves(store, run, 20, pace);
    let path = store.run_log_path(run);
    std::fs::write(path, "read 36 images\nepoch 1 of 20: loss 1.08\n").unwrap();
    let artifact = store.blobs().put(b"weights").unwrap();
    store
        .add_artifact(
            run,
            "best.safetensors",
            artifact,
            7,
            "application/octet-stream",
        )
        .await
        .unwrap();
    (run, lock)
}

/// Logs epochs of 25 steps each; `pace` is how slowly it learns.
pub(crate) fn log_curves(store: &Store, run: RunId, epochs: u64, pace: f64) {
    let writer = store.writer().unwrap();
    let steps = 25;
    for step in 1..=epochs * steps {
        let progress = step as f64 / (steps as f64 * 5.0 * pace);
        let noise = ((step * 7919) % 101) as f64 / 101.0 - 0.5;
        let loss = 1.1 * (-progress).exp() + 0.08 + noise * 0.09;
        let accuracy = (1.0 - 0.64 * (-progress).exp() + noise * 0.04).clamp(0.0, 1.0);
        writer.log_metric(run, "train/loss", step, loss).unwrap();
        writer
            .log_metric(run, "train/accuracy", step, accuracy)
            .unwrap();
        if step % steps == 0 {
            writer
                .log_metric(run, "val/loss", step, loss + 0.05 - noise * 0.05)
                .unwrap();
            writer
                .log_metric(run, "val/accuracy", step, (accuracy - 0.03).max(0.0))
                .unwrap();
        }
    }
    writer.flush().unwrap();
}

/// An evaluation with some mistakes.
fn report(manifest: &DatasetManifest) -> EvaluationReport {
    let classes = manifest.classes.clone();
    let mut scores = Classification::new(classes.len());
    let mut mistakes = Vec::new();
    for index in 0..240_usize {
        let label = index % classes.len();
        let wrong = index % 17 == 0;
        let predicted = if wrong {
            (label + 1) % classes.len()
        } else {
            label
        };
        let confidence = 0.62 + (index % 30) as f32 / 80.0;
        let rest = (1.0 - confidence) / (classes.len() - 1) as f32;
        let mut probabilities = vec![rest; classes.len()];
        probabilities[predicted] = confidence;
        scores.update(&probabilities, label as u32).unwrap();
        if wrong {
            let picture = manifest
                .entries
                .iter()
                .filter(|entry| entry.class as usize == label)
                .nth(index % 7)
                .unwrap();
            mistakes.push(Mistake {
                path: picture.path.clone(),
                digest: picture.digest.clone(),
                label: label as u32,
                predicted: predicted as u32,
                confidence,
                label_probability: rest,
            });
        }
    }
    EvaluationReport {
        views: TestTimeAugmentation::None,
        classes,
        scores: scores.finish(),
        mistakes,
    }
}
