//! Scores where an image may have several labels, or none: each label is a yes-or-no question of
//! its own.

mod report;

pub use report::{BestThreshold, LabelScores, MultiLabelReport};

use crate::error::{MeasureError, MeasureErrorKind};
use crate::ranking::best_f1_threshold;

/// A streaming accumulator of the scores of several labels.
///
/// Every probability is kept (4 bytes a label and sample), because exact ranking scores need them
/// all; everything else is counts and sums.
#[derive(Debug, Clone)]
pub struct MultiLabel {
    labels: usize,
    /// `[label]`.
    thresholds: Vec<f32>,
    tallies: Vec<Tally>,
    /// Samples of which every label was answered right.
    exact: u64,
    /// Sum over samples and labels of the binary cross-entropy.
    loss_sum: f64,
    /// `[sample, label]`.
    probabilities: Vec<f32>,
    /// `[sample, label]`.
    truths: Vec<bool>,
    count: u64,
}

/// Counts of one label's answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    true_positives: u64,
    false_positives: u64,
    false_negatives: u64,
}

impl Tally {
    fn add(&mut self, answered: bool, truth: bool) {
        self.true_positives += u64::from(answered && truth);
        self.false_positives += u64::from(answered && !truth);
        self.false_negatives += u64::from(!answered && truth);
    }

    fn merge(&mut self, other: Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
    }
}

impl MultiLabel {
    /// An accumulator without samples. A label is answered where its probability is above
    /// `threshold`.
    pub fn new(labels: usize, threshold: f32) -> Self {
        Self::with_thresholds(vec![threshold; labels])
    }

    /// As [`Self::new`], with a threshold for each label.
    pub fn with_thresholds(thresholds: Vec<f32>) -> Self {
        let labels = thresholds.len();
        Self {
            labels,
            thresholds,
            tallies: vec![Tally::default(); labels],
            exact: 0,
            loss_sum: 0.0,
            probabilities: Vec::new(),
            truths: Vec::new(),
            count: 0,
        }
    }

    /// Number of labels.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// Samples so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds one sample: the probability of every label, and the labels that it has.
    ///
    /// # Errors
    /// When the number of probabilities is not the number of labels, a true label is none, or a
    /// probability is not between 0 and 1; nothing is added then.
    pub fn update(
        &mut self,
        probabilities: &[f32],
        true_labels: &[u32],
    ) -> Result<(), MeasureError> {
        self.check(probabilities, true_labels)?;
        let mut is_exact = true;
        for (label, &probability) in (0_u32..).zip(probabilities) {
            let truth = true_labels.contains(&label);
            let answered = probability > self.thresholds[label as usize];
            self.tallies[label as usize].add(answered, truth);
            self.loss_sum += binary_cross_entropy(probability, truth);
            self.truths.push(truth);
            is_exact &= answered == truth;
        }
        self.exact += u64::from(is_exact);
        self.probabilities.extend_from_slice(probabilities);
        self.count += 1;
        Ok(())
    }

    /// Adds the samples of another accumulator, as if they had been seen after its own.
    ///
    /// # Errors
    /// When it counts other labels or by other thresholds; nothing is added then.
    pub fn merge(&mut self, other: Self) -> Result<(), MeasureError> {
        if other.thresholds != self.thresholds {
            return Err(MeasureError::new(
                MeasureErrorKind::DifferentClasses,
                format!(
                    "scores of `{}` labels above `{:?}` cannot be merged with scores of `{}` labels above `{:?}`",
                    other.labels, other.thresholds, self.labels, self.thresholds
                ),
            ));
        }
        for (tally, more) in self.tallies.iter_mut().zip(other.tallies) {
            tally.merge(more);
        }
        self.exact += other.exact;
        self.loss_sum += other.loss_sum;
        self.probabilities.extend(other.probabilities);
        self.truths.extend(other.truths);
        self.count += other.count;
        Ok(())
    }

    /// The scores of all samples so far.
    pub fn finish(&self) -> MultiLabelReport {
        report::build(self)
    }

    /// For each label the threshold that would give the samples so far the best F1; none for a
    /// label that no sample has.
    pub fn best_thresholds(&self) -> Vec<Option<BestThreshold>> {
        (0..self.labels)
            .map(|label| best_f1_threshold(self.ranked(label)).map(BestThreshold::new))
            .collect()
    }

    /// A label's probability and truth in each sample.
    fn ranked(&self, label: usize) -> impl Iterator<Item = (f32, bool)> {
        let probabilities = self.probabilities.iter().skip(label);
        let truths = self.truths.iter().skip(label);
        probabilities
            .step_by(self.labels)
            .zip(truths.step_by(self.labels))
            .map(|(probability, truth)| (*probability, *truth))
    }

    fn check(&self, probabilities: &[f32], true_labels: &[u32]) -> Result<(), MeasureError> {
        if probabilities.len() != self.labels {
            return Err(MeasureError::new(
                MeasureErrorKind::WrongLength,
                format!(
                    "a sample has `{}` probabilities, expected one for each of the `{}` labels",
                    probabilities.len(),
                    self.labels
                ),
            ));
        }
        if let Some(label) = true_labels
            .iter()
            .find(|label| **label as usize >= self.labels)
        {
            return Err(MeasureError::new(
                MeasureErrorKind::UnknownLabel,
                format!(
                    "label `{label}` is unknown, there are `{}` counted from 0",
                    self.labels
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

/// The negative logarithm of the right answer's probability, held away from 0 as scikit-learn's
/// `log_loss` does.
fn binary_cross_entropy(probability: f32, truth: bool) -> f64 {
    let probability = f64::from(probability);
    let right = if truth {
        probability
    } else {
        1.0 - probability
    };
    -right.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(samples: &[(&[f32], &[u32])]) -> MultiLabel {
        let mut scores = MultiLabel::new(samples[0].0.len(), 0.5);
        for (probabilities, labels) in samples {
            scores.update(probabilities, labels).unwrap();
        }
        scores
    }

    #[test]
    fn an_image_without_labels_is_right_when_nothing_is_above_the_threshold() {
        let report = scored(&[(&[0.5, 0.1], &[]), (&[0.6, 0.1], &[])]).finish();
        assert_eq!(report.exact_match, 0.5);
        assert_eq!(report.per_label[0].precision, 0.0);
        assert_eq!(report.per_label[0].support, 0);
        assert_eq!((report.auroc, report.mean_average_precision), (None, None));
    }

    #[test]
    fn labels_that_cannot_be_ranked_do_not_count_in_the_means() {
        let report = scored(&[(&[0.9, 0.1], &[0]), (&[0.2, 0.8], &[])]).finish();
        assert_eq!(report.auroc, Some(1.0));
        assert_eq!(report.per_label[1].auroc, None);
        assert_eq!(report.mean_average_precision, Some(1.0));
    }

    #[test]
    fn the_threshold_decides_what_is_answered() {
        let mut scores = MultiLabel::new(2, 0.2);
        scores.update(&[0.3, 0.1], &[0]).unwrap();
        assert_eq!(scores.finish().exact_match, 1.0);
        assert!(scores.merge(MultiLabel::new(2, 0.5)).is_err());
    }

    #[test]
    fn each_label_may_have_a_threshold_of_its_own() {
        let mut scores = MultiLabel::with_thresholds(vec![0.2, 0.8]);
        scores.update(&[0.3, 0.7], &[0]).unwrap();
        scores.update(&[0.1, 0.9], &[]).unwrap();
        let report = scores.finish();
        assert_eq!((report.exact_match, report.threshold), (0.5, None));
        assert_eq!(report.per_label[1].threshold, Some(0.8));
        let best = scores.best_thresholds();
        assert_eq!(
            best[0].map(|best| (best.threshold, best.f1)),
            Some((0.2, 1.0))
        );
        assert_eq!(best[1], None);
    }

    #[test]
    fn bad_input_is_refused_and_leaves_the_scores_as_they_were() {
        let mut scores = scored(&[(&[0.9, 0.1], &[0])]);
        let before = scores.finish();
        let kind = |result: Result<(), MeasureError>| result.unwrap_err().kind();
        assert_eq!(
            kind(scores.update(&[0.5], &[0])),
            MeasureErrorKind::WrongLength
        );
        assert_eq!(
            kind(scores.update(&[0.5, 0.5], &[2])),
            MeasureErrorKind::UnknownLabel
        );
        assert_eq!(
            kind(scores.update(&[f32::NAN, 0.5], &[])),
            MeasureErrorKind::BadNumber
        );
        assert_eq!(
            kind(scores.merge(MultiLabel::new(3, 0.5))),
            MeasureErrorKind::DifferentClasses
        );
        assert_eq!(scores.finish(), before);
    }

    #[test]
    fn an_empty_accumulator_reports_zeros_not_nan() {
        let report = MultiLabel::new(2, 0.5).finish();
        assert_eq!((report.count, report.loss), (0, 0.0));
        assert_eq!((report.exact_match, report.micro_f1), (0.0, 0.0));
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            serde_json::from_str::<MultiLabelReport>(&json).unwrap(),
            report
        );
    }
}
