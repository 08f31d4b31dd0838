//! How well a run or a model did on a split.

use ferrotype_measure::EvaluationReport;
use ferrotype_store::Evaluation;
use serde::Serialize;
use utoipa::ToSchema;

use super::metric::finite;
use super::{blob_address, moment, thumbnail_address};

/// A stored evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct EvaluationView {
    /// Its id.
    pub(crate) id: String,
    /// The split it was made on.
    #[schema(example = "test")]
    pub(crate) split: String,
    /// The dataset version it was made on.
    #[schema(example = "land@v1")]
    pub(crate) dataset: Option<String>,
    /// When it was made (RFC 3339).
    pub(crate) created_at: String,
    /// The scores; absent when a newer program wrote them in another form.
    pub(crate) scores: Option<Scores>,
}

/// Scores of a classifier.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Scores {
    /// Samples.
    pub(crate) count: u64,
    /// The fraction predicted right.
    pub(crate) accuracy: Option<f64>,
    /// Mean cross-entropy.
    pub(crate) loss: Option<f64>,
    /// Mean F1 over the classes.
    pub(crate) macro_f1: Option<f64>,
    /// Mean precision over the classes.
    pub(crate) macro_precision: Option<f64>,
    /// Mean recall over the classes.
    pub(crate) macro_recall: Option<f64>,
    /// Area under the ROC curve.
    pub(crate) auroc: Option<f64>,
    /// Mean gap between confidence and accuracy.
    pub(crate) expected_calibration_error: Option<f64>,
    /// Scores of each class.
    pub(crate) classes: Vec<ClassRow>,
    /// Counts, a row for each true class, a column for each predicted one.
    pub(crate) confusion: Vec<Vec<u64>>,
    /// Samples predicted wrong, the most confident first.
    pub(crate) mistakes: Vec<MistakeView>,
}

/// Scores of one class.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ClassRow {
    /// The class's name.
    pub(crate) class: String,
    /// Of those predicted as the class, the fraction that is of it.
    pub(crate) precision: Option<f64>,
    /// Of the class, the fraction predicted as it.
    pub(crate) recall: Option<f64>,
    /// Harmonic mean of the two.
    pub(crate) f1: Option<f64>,
    /// Area under the ROC curve, the class against the rest.
    pub(crate) auroc: Option<f64>,
    /// Samples of the class.
    pub(crate) support: u64,
}

/// A sample predicted wrong.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct MistakeView {
    /// Path below the imported folder.
    pub(crate) path: String,
    /// Address of the picture.
    pub(crate) picture: String,
    /// Address of a small version of it.
    pub(crate) thumbnail: String,
    /// The true class.
    pub(crate) class: String,
    /// The predicted class.
    pub(crate) predicted: String,
    /// Probability of the predicted class.
    pub(crate) confidence: f32,
    /// Probability of the true class.
    pub(crate) class_probability: f32,
}

impl EvaluationView {
    pub(crate) fn new(evaluation: &Evaluation) -> Self {
        let report: Option<EvaluationReport> = serde_json::from_str(&evaluation.report_json)
            .inspect_err(|error| {
                tracing::warn!(evaluation = %evaluation.id, %error, "an evaluation cannot be read");
            })
            .ok();
        Self {
            id: evaluation.id.to_string(),
            split: evaluation.split.to_string(),
            dataset: evaluation.dataset.clone(),
            created_at: moment(evaluation.created_at),
            scores: report.map(Scores::new),
        }
    }
}

impl Scores {
    fn new(report: EvaluationReport) -> Self {
        let EvaluationReport {
            classes,
            scores,
            mistakes,
        } = report;
        let class_name = |index: usize| {
            classes
                .get(index)
                .cloned()
                .unwrap_or_else(|| format!("class {index}"))
        };
        Self {
            count: scores.count,
            accuracy: finite(scores.accuracy),
            loss: finite(scores.loss),
            macro_f1: finite(scores.macro_f1),
            macro_precision: finite(scores.macro_precision),
            macro_recall: finite(scores.macro_recall),
            auroc: scores.auroc.and_then(finite),
            expected_calibration_error: finite(scores.expected_calibration_error),
            classes: scores
                .per_class
                .iter()
                .enumerate()
                .map(|(index, class)| ClassRow {
                    class: class_name(index),
                    precision: finite(class.precision),
                    recall: finite(class.recall),
                    f1: finite(class.f1),
                    auroc: class.auroc.and_then(finite),
                    support: class.support,
                })
                .collect(),
            confusion: scores.confusion,
            mistakes: mistakes
                .into_iter()
                .map(|mistake| MistakeView {
                    picture: blob_address(&mistake.digest),
                    thumbnail: thumbnail_address(&mistake.digest),
                    path: mistake.path,
                    class: class_name(mistake.label as usize),
                    predicted: class_name(mistake.predicted as usize),
                    confidence: mistake.confidence,
                    class_probability: mistake.label_probability,
                })
                .collect(),
        }
    }
}
