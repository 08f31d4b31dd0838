//! From a run to a version in the registry.

use std::collections::BTreeMap;

use ferrotype_core::dataset::Split;
use ferrotype_inference::inspect;
use ferrotype_measure::{MultiLabelEvaluation, TaskReport};
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
    let report: TaskReport = serde_json::from_str(&newest.report_json)?;
    Ok(summarise(&report, newest.dataset.as_deref()))
}

fn summarise(report: &TaskReport, dataset: Option<&str>) -> Value {
    match report {
        TaskReport::Classification(report) => json!({
            "dataset": dataset,
            "split": Split::Test.as_str(),
            "images": report.scores.count,
            "accuracy": report.scores.accuracy,
            "macro_f1": report.scores.macro_f1,
            "auroc": report.scores.auroc,
            "loss": report.scores.loss,
            "expected_calibration_error": report.scores.expected_calibration_error,
        }),
        TaskReport::MultiLabel(report) => json!({
            "dataset": dataset,
            "split": Split::Test.as_str(),
            "images": report.label_scores.count,
            "exact_match": report.label_scores.exact_match,
            "macro_f1": report.label_scores.macro_f1,
            "micro_f1": report.label_scores.micro_f1,
            "auroc": report.label_scores.auroc,
            "mean_average_precision": report.label_scores.mean_average_precision,
            "best_thresholds": best_thresholds(report),
            "loss": report.label_scores.loss,
        }),
    }
}

/// The thresholds with the best F1 on the validation split, by label; none where they were not
/// looked for.
fn best_thresholds(report: &MultiLabelEvaluation) -> Option<BTreeMap<&str, f64>> {
    let labels = report.classes.iter().zip(&report.label_scores.per_label);
    let best: BTreeMap<&str, f64> = labels
        .filter_map(|(name, scores)| Some((name.as_str(), scores.best?.threshold)))
        .collect();
    (!best.is_empty()).then_some(best)
}
