//! From a run to a version in the registry.

use ferrotype_core::dataset::Split;
use ferrotype_inference::inspect;
use ferrotype_measure::{ClassificationReport, EvaluationReport};
use ferrotype_store::{EvaluationSubject, ModelVersion, NewModelVersion, Run, Store};
use serde_json::{Value, json};

use super::export::onnx_of;
use crate::context::Context;

/// Registers a run's ONNX file as the next version of a model, with the run's newest test scores.
pub(crate) fn register_run(
    context: &Context,
    store: &Store,
    run: &Run,
    name: &str,
) -> anyhow::Result<ModelVersion> {
    let onnx = onnx_of(context, store, run)?;
    let manifest = inspect(&onnx)?.manifest()?;
    let digest = store.blobs().put(&onnx)?;
    let metrics = metrics(context, store, run)?;
    Ok(context.wait(store.create_model_version(NewModelVersion {
        name: name.to_string(),
        onnx: digest,
        manifest,
        run: Some(run.id),
        metrics_json: metrics.to_string(),
        source: format!("run {}", run.name),
    }))?)
}

/// The run's newest scores on a test split, as a model version keeps them.
fn metrics(context: &Context, store: &Store, run: &Run) -> anyhow::Result<Value> {
    let evaluations = context.wait(store.evaluations(EvaluationSubject::Run(run.id)))?;
    let Some(newest) = evaluations
        .iter()
        .find(|evaluation| evaluation.split == Split::Test)
    else {
        return Ok(json!({}));
    };
    let report: EvaluationReport = serde_json::from_str(&newest.report_json)?;
    Ok(summarise(&report.scores, newest.dataset.as_deref()))
}

fn summarise(scores: &ClassificationReport, dataset: Option<&str>) -> Value {
    json!({
        "dataset": dataset,
        "split": Split::Test.as_str(),
        "images": scores.count,
        "accuracy": scores.accuracy,
        "macro_f1": scores.macro_f1,
        "auroc": scores.auroc,
        "loss": scores.loss,
        "expected_calibration_error": scores.expected_calibration_error,
    })
}
