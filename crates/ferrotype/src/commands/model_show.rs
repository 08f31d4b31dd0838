//! `ferrotype models show`: everything about one model version.

use std::collections::BTreeMap;
use std::fs::File;
use std::time::SystemTime;

use ferrotype_core::manifest::{ModelManifest, ResizeFilter, ResizeMode, Task};
use ferrotype_core::name::Reference;
use ferrotype_core::thresholds::common_threshold;
use ferrotype_inference::{Model, RuntimeChoice};
use ferrotype_store::ModelVersion;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::context::Context;
use crate::output::{Table, text};

/// Where the version does not know it.
const UNKNOWN: &str = "unknown";

/// The scores that a version keeps, by their keys: what they are called, and whether they are shares.
const SCORES: [(&str, &str, bool); 8] = [
    ("accuracy", "accuracy", true),
    ("exact_match", "exact match", true),
    ("auroc", "AUROC", false),
    ("mean_average_precision", "mAP", false),
    ("macro_f1", "macro F1", true),
    ("micro_f1", "micro F1", true),
    ("loss", "cross-entropy", false),
    ("expected_calibration_error", "calibration error", false),
];

/// A version as `--json` prints it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    version: &'a ModelVersion,
    /// `name@v1`.
    reference: String,
    /// What it answers.
    task: Task,
    /// Of a model that answers with labels: the probability above which each counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    label_thresholds: Option<BTreeMap<&'a str, f32>>,
    /// What was measured before it was registered.
    metrics: &'a Map<String, Value>,
    /// Size of the ONNX file.
    onnx_bytes: u64,
    #[serde(flatten)]
    runtime: Runtime,
}

/// What runs the network here, and why it is not the native runtime where it is not.
#[derive(Serialize)]
struct Runtime {
    /// Name and version; absent when no runtime loads the model.
    runtime: Option<String>,
    /// The operator that the native runtime refuses, and what of it.
    native_refusal: Option<String>,
    /// Why no runtime loads the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    load_error: Option<String>,
}

impl Runtime {
    fn of(onnx: &(File, SystemTime)) -> Self {
        let loaded = Model::load(onnx, RuntimeChoice::Auto, 1);
        let model = loaded.as_ref().ok();
        Self {
            runtime: model.map(|model| model.runtime_name().to_string()),
            native_refusal: model.and_then(|model| model.native_refusal().map(str::to_string)),
            load_error: loaded.as_ref().err().map(ToString::to_string),
        }
    }

    fn text(&self) -> String {
        match (&self.runtime, &self.native_refusal, &self.load_error) {
            (Some(name), Some(refusal), _) => {
                format!("{name}; the native one does not run it: {refusal}")
            }
            (Some(name), None, _) => name.clone(),
            (None, _, error) => format!("none: {}", error.as_deref().unwrap_or(UNKNOWN)),
        }
    }
}

/// Does it.
pub(super) fn show(context: &Context, reference: &Reference, json: bool) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    let version = context.wait(store.model_version(reference))?;
    let onnx_bytes = store.blobs().size(&version.onnx)?;
    let metrics: Map<String, Value> =
        serde_json::from_str(&version.metrics_json).unwrap_or_default();
    let runtime = Runtime::of(&store.blobs().verified_file(&version.onnx)?);
    let printer = context.printer();
    if json {
        return printer.json(&Shown {
            reference: version.reference().to_string(),
            task: version.manifest.task,
            label_thresholds: label_thresholds(&version.manifest),
            metrics: &metrics,
            onnx_bytes,
            runtime,
            version: &version,
        });
    }
    printer.table(&properties(&version, onnx_bytes, &runtime));
    if let Some(scores) = scores(&metrics) {
        printer.result("");
        printer.table(&scores);
    }
    if version.manifest.task.is_multi_label() {
        printer.result("");
        printer.table(&labels(&version.manifest, &metrics));
    }
    Ok(())
}

fn label_thresholds(manifest: &ModelManifest) -> Option<BTreeMap<&str, f32>> {
    let names = manifest.classes.iter().map(String::as_str);
    let thresholds = names.zip(manifest.label_thresholds());
    manifest.task.is_multi_label().then(|| thresholds.collect())
}

fn properties(version: &ModelVersion, onnx_bytes: u64, runtime: &Runtime) -> Table {
    let manifest = &version.manifest;
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| UNKNOWN.into());
    let run = version.run.map(|run| run.to_string());
    let aliases = match version.aliases.is_empty() {
        true => "none".to_string(),
        false => version.aliases.join(", "),
    };
    let (answers, classes) = match manifest.task {
        Task::MultiLabel => ("any number of labels", "labels"),
        _ => ("one class", "classes"),
    };
    let mut table = Table::new(["model", &version.reference().to_string()]);
    table
        .row(["aliases", &aliases])
        .row(["answers", answers])
        .row([classes, &manifest.classes.join(", ")]);
    if manifest.task.is_multi_label() {
        table.row(["threshold", &threshold(manifest)]);
    }
    table
        .row(["input", &input(manifest)])
        .row(["architecture", &or_unknown(&manifest.architecture)])
        .row(["trained on", &or_unknown(&manifest.dataset_version)])
        .row(["run", &run.unwrap_or_else(|| "none of this project".into())])
        .row(["source", &version.source])
        .row(["made", &version.created_at.to_string()])
        .row([
            "ONNX",
            &format!("{} ({})", text::bytes(onnx_bytes), version.onnx),
        ])
        .row(["runs on", &runtime.text()])
        .row(["id", &version.id.to_string()]);
    table
}

/// When a label counts.
fn threshold(manifest: &ModelManifest) -> String {
    match common_threshold(&manifest.label_thresholds()) {
        Some(threshold) => format!("a label counts above {threshold}"),
        None => "each label has its own".into(),
    }
}

/// From an image to the network's input.
fn input(manifest: &ModelManifest) -> String {
    let preprocessing = &manifest.preprocessing;
    let resize = match preprocessing.resize {
        ResizeMode::Stretch => "stretched",
        ResizeMode::CenterCrop => "centre cut out",
    };
    let filter = match preprocessing.filter {
        ResizeFilter::Bilinear => "bilinear",
        ResizeFilter::Bicubic => "bicubic",
    };
    let numbers = |values: [f32; 3]| values.map(|value| value.to_string()).join(", ");
    format!(
        "{}×{} pixels ({resize}, {filter}), mean {}, std {}",
        preprocessing.width,
        preprocessing.height,
        numbers(preprocessing.mean),
        numbers(preprocessing.std)
    )
}

/// The scores kept with the version; none when nothing was measured.
fn scores(metrics: &Map<String, Value>) -> Option<Table> {
    let mut table = Table::new(["measured on", &measured_on(metrics)?]);
    for (key, name, is_share) in SCORES {
        if let Some(value) = metrics.get(key).and_then(Value::as_f64) {
            let written = match is_share {
                true => text::percent(value),
                false => format!("{value:.3}"),
            };
            table.row([name, &written]);
        }
    }
    Some(table)
}

/// Dataset, split and images; none where no score says.
fn measured_on(metrics: &Map<String, Value>) -> Option<String> {
    let known = SCORES.iter().any(|(key, ..)| metrics.contains_key(*key));
    let named = |key: &str| metrics.get(key).and_then(Value::as_str);
    let parts = [
        named("dataset").map(str::to_string),
        named("split").map(|split| format!("split {split}")),
        metrics
            .get("images")
            .and_then(Value::as_u64)
            .map(|images| text::plural(images, "image")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    known.then(|| match parts.is_empty() {
        true => UNKNOWN.to_string(),
        false => parts.join(", "),
    })
}

/// Each label's threshold, and the one that validation suggests, where it was looked for.
fn labels(manifest: &ModelManifest, metrics: &Map<String, Value>) -> Table {
    let best = metrics.get("best_thresholds").and_then(Value::as_object);
    let mut header = vec!["label".to_string(), ">threshold".into()];
    header.extend(best.map(|_| ">best by F1 on validation".into()));
    let mut table = Table::with_header(header);
    for (label, threshold) in manifest.classes.iter().zip(manifest.label_thresholds()) {
        let mut row = vec![label.clone(), threshold.to_string()];
        row.extend(
            best.map(|best| match best.get(label).and_then(Value::as_f64) {
                Some(best) => best.to_string(),
                None => "–".into(),
            }),
        );
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(json: Value) -> Map<String, Value> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn scores_are_told_by_name_and_nothing_is_told_where_nothing_was_measured() {
        let table = scores(&metrics(serde_json::json!({
            "dataset": "land@v1", "split": "test", "images": 1000,
            "accuracy": 0.914, "loss": 0.1871, "auroc": null,
        })));
        assert_eq!(
            table.unwrap().render(false),
            "measured on     land@v1, split test, 1,000 images\n\
             ───────────────────────────────────────────────────\n\
             accuracy        91.4 %\n\
             cross-entropy   0.187"
        );
        assert!(scores(&Map::new()).is_none());
    }
}
