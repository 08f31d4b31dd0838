//! What the counts and probabilities of several labels amount to.

use ferrotype_core::thresholds::common_threshold;
use serde::{Deserialize, Serialize};

use super::{MultiLabel, Tally};
use crate::ranking::{ThresholdScore, auroc, average_precision};

/// The scores of one label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelScores {
    /// Of the samples answered with the label, the fraction that has it; 0 when there are none.
    pub precision: f64,
    /// Of the samples with the label, the fraction answered with it; 0 when there are none.
    pub recall: f64,
    /// The harmonic mean of precision and recall; 0 when both are 0.
    pub f1: f64,
    /// Samples that have the label.
    pub support: u64,
    /// Area under the ROC curve; absent when all samples have the label, or none.
    pub auroc: Option<f64>,
    /// Average precision, scikit-learn's `average_precision_score`; absent when no sample has the
    /// label.
    pub average_precision: Option<f64>,
    /// The probability above which the label counts as answered; absent in an old report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The threshold with the best F1 on the validation split, where that was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<BestThreshold>,
}

/// The threshold of a label with the best F1 on some samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestThreshold {
    /// Between 0 and 1.
    pub threshold: f64,
    /// The F1 on those samples.
    pub f1: f64,
}

impl BestThreshold {
    pub(super) fn new(found: ThresholdScore) -> Self {
        Self {
            threshold: shortest(found.threshold),
            f1: found.f1,
        }
    }
}

/// The scores where a sample may have several labels.
///
/// Macro means are over the labels, unweighted; those of precision, recall and F1 count labels
/// without samples as 0, as scikit-learn's `zero_division=0`. Micro scores are over all answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiLabelReport {
    /// Samples.
    pub count: u64,
    /// The probability above which every label counts as answered; absent where each has its own.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// The fraction of samples of which every label is answered right, none missing and none too
    /// many.
    pub exact_match: f64,
    /// Mean binary cross-entropy over samples and labels.
    pub loss: f64,
    /// Precision over all answers.
    pub micro_precision: f64,
    /// Recall over all answers.
    pub micro_recall: f64,
    /// F1 over all answers.
    pub micro_f1: f64,
    /// Mean precision over the labels.
    pub macro_precision: f64,
    /// Mean recall over the labels.
    pub macro_recall: f64,
    /// Mean F1 over the labels.
    pub macro_f1: f64,
    /// Mean AUROC over the labels that have one.
    pub auroc: Option<f64>,
    /// Mean average precision (mAP) over the labels that have one.
    pub mean_average_precision: Option<f64>,
    /// Each label's scores, in label order.
    pub per_label: Vec<LabelScores>,
}

/// Builds the report of an accumulator.
pub(super) fn build(scores: &MultiLabel) -> MultiLabelReport {
    let per_label: Vec<LabelScores> = (0..scores.labels)
        .map(|label| label_scores(scores, label))
        .collect();
    let all = scores
        .tallies
        .iter()
        .fold(Tally::default(), |mut all, tally| {
            all.merge(*tally);
            all
        });
    let answers = scores.count * scores.labels as u64;
    MultiLabelReport {
        count: scores.count,
        threshold: common_threshold(&scores.thresholds).map(shortest),
        exact_match: ratio(scores.exact, scores.count),
        loss: match answers {
            0 => 0.0,
            answers => scores.loss_sum / answers as f64,
        },
        micro_precision: precision(all),
        micro_recall: recall(all),
        micro_f1: f1(all),
        macro_precision: mean(per_label.iter().map(|label| label.precision)).unwrap_or(0.0),
        macro_recall: mean(per_label.iter().map(|label| label.recall)).unwrap_or(0.0),
        macro_f1: mean(per_label.iter().map(|label| label.f1)).unwrap_or(0.0),
        auroc: mean(per_label.iter().filter_map(|label| label.auroc)),
        mean_average_precision: mean(per_label.iter().filter_map(|label| label.average_precision)),
        per_label,
    }
}

fn label_scores(scores: &MultiLabel, label: usize) -> LabelScores {
    let tally = scores.tallies[label];
    LabelScores {
        precision: precision(tally),
        recall: recall(tally),
        f1: f1(tally),
        support: tally.true_positives + tally.false_negatives,
        auroc: auroc(scores.ranked(label)),
        average_precision: average_precision(scores.ranked(label)),
        threshold: scores.thresholds.get(label).copied().map(shortest),
        best: None,
    }
}

fn precision(tally: Tally) -> f64 {
    ratio(
        tally.true_positives,
        tally.true_positives + tally.false_positives,
    )
}

fn recall(tally: Tally) -> f64 {
    ratio(
        tally.true_positives,
        tally.true_positives + tally.false_negatives,
    )
}

fn f1(tally: Tally) -> f64 {
    let right = 2 * tally.true_positives;
    ratio(right, right + tally.false_positives + tally.false_negatives)
}

/// A fraction; 0 when there is nothing to divide by.
fn ratio(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        whole => part as f64 / whole as f64,
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u64);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

/// The number as it is written: 0.3, not 0.30000001192092896.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| number.into())
}
