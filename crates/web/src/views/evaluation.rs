//! How well a run or a model did on a split.

use ferrotype_measure::{EvaluationReport, MultiLabelEvaluation, TaskReport};
use ferrotype_store::Evaluation;
use ferrotype_vision::views::View;
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
    /// How many views of each picture were averaged; 1 is how it is served.
    pub(crate) views: usize,
    /// The scores; absent when a newer program wrote them in another form, or of labels.
    pub(crate) scores: Option<Scores>,
    /// The scores of a model that answers with any number of labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) label_scores: Option<LabelScores>,
}

/// Scores where a picture may have several labels, or none.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct LabelScores {
    /// Samples.
    pub(crate) count: u64,
    /// The probability above which every label counts; absent where each has its own.
    pub(crate) threshold: Option<f64>,
    /// The fraction of which all labels are answered right.
    pub(crate) exact_match: Option<f64>,
    /// Mean binary cross-entropy.
    pub(crate) loss: Option<f64>,
    /// Mean F1 over the labels.
    pub(crate) macro_f1: Option<f64>,
    /// F1 over all answers.
    pub(crate) micro_f1: Option<f64>,
    /// Mean area under the ROC curve over the labels.
    pub(crate) auroc: Option<f64>,
    /// Mean average precision over the labels.
    pub(crate) mean_average_precision: Option<f64>,
    /// Scores of each label.
    pub(crate) labels: Vec<LabelRow>,
    /// Samples with a label that was answered wrong, the furthest off first.
    pub(crate) mistakes: Vec<LabelMistakeView>,
}

/// Scores of one label.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct LabelRow {
    /// The label's name.
    pub(crate) label: String,
    /// Of those answered with the label, the fraction that has it.
    pub(crate) precision: Option<f64>,
    /// Of those with the label, the fraction answered with it.
    pub(crate) recall: Option<f64>,
    /// Harmonic mean of the two.
    pub(crate) f1: Option<f64>,
    /// Area under the ROC curve.
    pub(crate) auroc: Option<f64>,
    /// Average precision.
    pub(crate) average_precision: Option<f64>,
    /// The probability above which the label counts.
    pub(crate) threshold: Option<f64>,
    /// The threshold with the best F1 on the validation split.
    pub(crate) best_threshold: Option<f64>,
    /// The F1 on the validation split at that threshold.
    pub(crate) best_f1: Option<f64>,
    /// Samples with the label.
    pub(crate) support: u64,
}

/// A sample with a label that was answered wrong.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct LabelMistakeView {
    /// Path below the imported folder.
    pub(crate) path: String,
    /// Address of the picture.
    pub(crate) picture: String,
    /// Address of a small version of it.
    pub(crate) thumbnail: String,
    /// The label that is furthest off.
    pub(crate) label: String,
    /// Whether the picture has it.
    pub(crate) has_label: bool,
    /// Its probability.
    pub(crate) probability: f32,
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
        let report: Option<TaskReport> = serde_json::from_str(&evaluation.report_json)
            .inspect_err(|error| {
                tracing::warn!(evaluation = %evaluation.id, %error, "an evaluation cannot be read");
            })
            .ok();
        let views = report
            .as_ref()
            .map_or(1, |report| View::of(report.views()).len());
        let (scores, label_scores) = match report {
            Some(TaskReport::Classification(report)) => (Some(Scores::new(report)), None),
            Some(TaskReport::MultiLabel(report)) => (None, Some(LabelScores::new(report))),
            None => (None, None),
        };
        Self {
            id: evaluation.id.to_string(),
            split: evaluation.split.to_string(),
            dataset: evaluation.dataset.clone(),
            created_at: moment(evaluation.created_at),
            views,
            scores,
            label_scores,
        }
    }
}

impl LabelScores {
    fn new(report: MultiLabelEvaluation) -> Self {
        let MultiLabelEvaluation {
            classes,
            label_scores: scores,
            mistakes,
            ..
        } = report;
        let name = |index: usize| {
            let name = classes.get(index).cloned();
            name.unwrap_or_else(|| format!("label {index}"))
        };
        Self {
            count: scores.count,
            threshold: scores.threshold.and_then(finite),
            exact_match: finite(scores.exact_match),
            loss: finite(scores.loss),
            macro_f1: finite(scores.macro_f1),
            micro_f1: finite(scores.micro_f1),
            auroc: scores.auroc.and_then(finite),
            mean_average_precision: scores.mean_average_precision.and_then(finite),
            labels: scores
                .per_label
                .iter()
                .enumerate()
                .map(|(index, label)| LabelRow {
                    label: name(index),
                    precision: finite(label.precision),
                    recall: finite(label.recall),
                    f1: finite(label.f1),
                    auroc: label.auroc.and_then(finite),
                    average_precision: label.average_precision.and_then(finite),
                    threshold: label.threshold.and_then(finite),
                    best_threshold: label.best.and_then(|best| finite(best.threshold)),
                    best_f1: label.best.and_then(|best| finite(best.f1)),
                    support: label.support,
                })
                .collect(),
            mistakes: mistakes
                .into_iter()
                .map(|mistake| LabelMistakeView {
                    picture: blob_address(&mistake.digest),
                    thumbnail: thumbnail_address(&mistake.digest),
                    path: mistake.path,
                    label: name(mistake.label as usize),
                    has_label: mistake.has_label,
                    probability: mistake.probability,
                })
                .collect(),
        }
    }
}

impl Scores {
    fn new(report: EvaluationReport) -> Self {
        let EvaluationReport {
            classes,
            scores,
            mistakes,
            ..
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
