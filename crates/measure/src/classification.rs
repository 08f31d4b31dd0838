//! Scores of a classifier, accumulated one sample at a time.

mod calibration;
mod report;

pub use calibration::{CALIBRATION_BINS, CalibrationBin};
pub use report::{ClassScores, ClassificationReport};

use crate::error::{MeasureError, MeasureErrorKind};
use calibration::Calibration;

/// A streaming accumulator of classification scores.
///
/// Every probability is kept (4 bytes a class and sample), because an exact AUROC needs them all;
/// everything else is counts and sums.
#[derive(Debug, Clone)]
pub struct Classification {
    classes: usize,
    /// `[true][predicted]`, row by row.
    confusion: Vec<u64>,
    /// Sum over samples of the negative logarithm of the true class's probability.
    loss_sum: f64,
    calibration: Calibration,
    /// `[sample, class]`.
    probabilities: Vec<f32>,
    labels: Vec<u32>,
}

impl Classification {
    /// An accumulator without samples.
    pub fn new(classes: usize) -> Self {
        Self {
            classes,
            confusion: vec![0; classes * classes],
            loss_sum: 0.0,
            calibration: Calibration::new(),
            probabilities: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Samples so far.
    pub fn count(&self) -> u64 {
        self.labels.len() as u64
    }

    /// Adds one sample: the probability of every class, and the true class.
    ///
    /// The predicted class is the most probable one, the first of several equal ones.
    ///
    /// # Errors
    /// When the number of probabilities is not the number of classes, the label is no class, or a
    /// probability is not between 0 and 1; nothing is added then.
    pub fn update(&mut self, probabilities: &[f32], label: u32) -> Result<(), MeasureError> {
        self.check(probabilities, label)?;
        let true_class = label as usize;
        let predicted = most_probable(probabilities);
        self.confusion[true_class * self.classes + predicted] += 1;
        self.loss_sum += cross_entropy(probabilities[true_class]);
        self.calibration
            .update(probabilities[predicted], predicted == true_class);
        self.probabilities.extend_from_slice(probabilities);
        self.labels.push(label);
        Ok(())
    }

    /// Adds several samples: probabilities `[sample, class]`, row by row.
    ///
    /// # Errors
    /// As [`Self::update`]; the samples before the refused one stay added.
    pub fn update_batch(
        &mut self,
        probabilities: &[f32],
        labels: &[u32],
    ) -> Result<(), MeasureError> {
        if probabilities.len() != labels.len() * self.classes {
            return Err(MeasureError::new(
                MeasureErrorKind::WrongLength,
                format!(
                    "`{}` probabilities were given for `{}` samples of `{}` classes",
                    probabilities.len(),
                    labels.len(),
                    self.classes
                ),
            ));
        }
        if labels.is_empty() {
            return Ok(());
        }
        probabilities
            .chunks_exact(self.classes)
            .zip(labels)
            .try_for_each(|(row, label)| self.update(row, *label))
    }

    /// Adds the samples of another accumulator, as if they had been seen after its own.
    ///
    /// # Errors
    /// When it counts a different number of classes; nothing is added then.
    pub fn merge(&mut self, other: Self) -> Result<(), MeasureError> {
        if other.classes != self.classes {
            return Err(MeasureError::new(
                MeasureErrorKind::DifferentClasses,
                format!(
                    "scores of `{}` classes cannot be merged with scores of `{}` classes",
                    other.classes, self.classes
                ),
            ));
        }
        for (count, more) in self.confusion.iter_mut().zip(other.confusion) {
            *count += more;
        }
        self.loss_sum += other.loss_sum;
        self.calibration.merge(&other.calibration);
        self.probabilities.extend(other.probabilities);
        self.labels.extend(other.labels);
        Ok(())
    }

    /// The scores of all samples so far.
    pub fn finish(&self) -> ClassificationReport {
        report::build(self)
    }

    fn check(&self, probabilities: &[f32], label: u32) -> Result<(), MeasureError> {
        if probabilities.len() != self.classes {
            return Err(MeasureError::new(
                MeasureErrorKind::WrongLength,
                format!(
                    "a sample has `{}` probabilities, expected one for each of the `{}` classes",
                    probabilities.len(),
                    self.classes
                ),
            ));
        }
        if label as usize >= self.classes {
            return Err(MeasureError::new(
                MeasureErrorKind::UnknownLabel,
                format!(
                    "label `{label}` is no class, there are `{}` counted from 0",
                    self.classes
                ),
            ));
        }
        match probabilities.iter().find(|p| !(0.0..=1.0).contains(*p)) {
            Some(bad) => Err(MeasureError::new(
                MeasureErrorKind::BadNumber,
                format!("`{bad}` is no probability, expected 0 to 1"),
            )),
            None => Ok(()),
        }
    }
}

/// Index of the largest probability, the first of several equal ones (as NumPy's `argmax`).
fn most_probable(probabilities: &[f32]) -> usize {
    probabilities
        .iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (index, probability)| {
            if *probability > best.1 {
                (index, *probability)
            } else {
                best
            }
        })
        .0
}

/// The negative logarithm, with the probability held away from 0 as scikit-learn's `log_loss` does.
fn cross_entropy(probability: f32) -> f64 {
    -f64::from(probability)
        .clamp(f64::EPSILON, 1.0 - f64::EPSILON)
        .ln()
}

#[cfg(test)]
mod tests;
