//! The finished scores.

use serde::{Deserialize, Serialize};

use super::{CalibrationBin, Classification};
use crate::ranking::auroc;

/// Scores of one class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Of the samples predicted as the class, the fraction that is of it; 0 when there are none.
    pub precision: f64,
    /// Of the samples of the class, the fraction predicted as it; 0 when there are none.
    pub recall: f64,
    /// Harmonic mean of precision and recall; 0 when both are 0.
    pub f1: f64,
    /// Samples of the class.
    pub support: u64,
    /// Area under the ROC curve, the class against the rest; absent when one side has no sample.
    pub auroc: Option<f64>,
}

/// Scores of a classifier on a set of samples. Without samples every number is 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// Samples.
    pub count: u64,
    /// The fraction predicted right.
    pub accuracy: f64,
    /// Mean cross-entropy, natural logarithm.
    pub loss: f64,
    /// Mean precision over all classes, those without samples included.
    pub macro_precision: f64,
    /// Mean recall over all classes, those without samples included.
    pub macro_recall: f64,
    /// Mean F1 over all classes, those without samples included.
    pub macro_f1: f64,
    /// Scores of each class, in class order.
    pub per_class: Vec<ClassScores>,
    /// Counts `[true][predicted]`.
    pub confusion: Vec<Vec<u64>>,
    /// Two classes: the AUROC of class 1. More: the mean over the classes that have one.
    pub auroc: Option<f64>,
    /// Mean gap between confidence and accuracy over 15 bins of equal width (Guo et al. 2017).
    pub expected_calibration_error: f64,
    /// The bins behind [`Self::expected_calibration_error`], for a reliability diagram.
    pub calibration_bins: Vec<CalibrationBin>,
}

/// Builds the report of an accumulator.
pub(super) fn build(scores: &Classification) -> ClassificationReport {
    let classes = scores.classes;
    let confusion: Vec<Vec<u64>> = (0..classes)
        .map(|row| scores.confusion[row * classes..(row + 1) * classes].to_vec())
        .collect();
    let per_class: Vec<ClassScores> = (0..classes)
        .map(|class| class_scores(scores, &confusion, class))
        .collect();
    let right: u64 = (0..classes).map(|class| confusion[class][class]).sum();
    let count = scores.count();
    ClassificationReport {
        count,
        accuracy: ratio(right, count),
        loss: if count == 0 {
            0.0
        } else {
            scores.loss_sum / count as f64
        },
        macro_precision: mean(per_class.iter().map(|class| class.precision)),
        macro_recall: mean(per_class.iter().map(|class| class.recall)),
        macro_f1: mean(per_class.iter().map(|class| class.f1)),
        auroc: overall_auroc(&per_class),
        per_class,
        confusion,
        expected_calibration_error: scores.calibration.expected_error(),
        calibration_bins: scores.calibration.bins(),
    }
}

fn class_scores(scores: &Classification, confusion: &[Vec<u64>], class: usize) -> ClassScores {
    let right = confusion[class][class];
    let support: u64 = confusion[class].iter().sum();
    let predicted: u64 = confusion.iter().map(|row| row[class]).sum();
    ClassScores {
        precision: ratio(right, predicted),
        recall: ratio(right, support),
        f1: ratio(2 * right, predicted + support),
        support,
        auroc: class_auroc(scores, class),
    }
}

fn class_auroc(scores: &Classification, class: usize) -> Option<f64> {
    let ranked = scores
        .probabilities
        .chunks_exact(scores.classes)
        .zip(&scores.labels)
        .map(|(row, label)| (row[class], *label as usize == class));
    auroc(ranked)
}

fn overall_auroc(per_class: &[ClassScores]) -> Option<f64> {
    if let [_, positive] = per_class {
        return positive.auroc;
    }
    let known: Vec<f64> = per_class.iter().filter_map(|class| class.auroc).collect();
    (!known.is_empty()).then(|| mean(known.into_iter()))
}

/// A fraction; 0 when there is nothing to divide by (scikit-learn's `zero_division=0`).
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    if count == 0 {
        0.0
    } else {
        values.sum::<f64>() / count as f64
    }
}
