//! The scores of an epoch's validation, by the code that scores the exported model.

use ferrotype_core::config::schema::Monitor;
use ferrotype_engine::train::ValidationOutputs;
use ferrotype_inference::{sigmoid, softmax};
use ferrotype_measure::{
    Classification, ClassificationReport, MeasureError, MultiLabel, MultiLabelReport,
};

use crate::failure::Failure;
use crate::output::text;

/// What a loss of 1 takes from an AUROC that decides: too little to change an order, enough to tell
/// equal ones apart. On an easy set the AUROC is 1 long before the probabilities are any good.
const TIE_BREAK: f64 = 1e-6;

/// The most that a loss takes.
const LARGEST_LOSS: f64 = 100.0;

/// The scores of a validation.
pub(super) enum Scores {
    /// Each image has one class.
    Classification(ClassificationReport),
    /// An image may have several labels.
    MultiLabel(MultiLabelReport),
}

impl Scores {
    /// Scores the network's answers. A label is answered above its threshold.
    pub(super) fn of(
        outputs: &ValidationOutputs<'_>,
        classes: usize,
        thresholds: &[f32],
    ) -> Result<Self, MeasureError> {
        let rows = outputs.logits.chunks_exact(outputs.classes);
        let Some(targets) = outputs.label_targets else {
            let mut scores = Classification::new(classes);
            for (logits, label) in rows.zip(outputs.labels) {
                scores.update(&softmax(logits), *label)?;
            }
            return Ok(Self::Classification(scores.finish()));
        };
        let mut scores = MultiLabel::with_thresholds(thresholds.to_vec());
        for (logits, targets) in rows.zip(targets.chunks_exact(outputs.classes)) {
            let labels: Vec<u32> = (0..)
                .zip(targets)
                .filter(|(_, target)| **target > 0.5)
                .map(|(label, _)| label)
                .collect();
            scores.update(&sigmoid(logits), &labels)?;
        }
        Ok(Self::MultiLabel(scores.finish()))
    }

    /// What is logged, by its key.
    pub(super) fn metrics(&self, monitor: Monitor) -> Vec<(&'static str, f64)> {
        let (loss, accuracy, f1) = match self {
            Self::Classification(report) => (report.loss, report.accuracy, report.macro_f1),
            Self::MultiLabel(report) => (report.loss, report.exact_match, report.macro_f1),
        };
        let mut metrics = vec![
            ("val/loss", loss),
            ("val/accuracy", accuracy),
            ("val/f1", f1),
        ];
        let auroc = match self {
            Self::Classification(report) => report.auroc.filter(|_| monitor == Monitor::Auroc),
            Self::MultiLabel(report) => report.auroc,
        };
        metrics.extend(auroc.map(|auroc| ("val/auroc", auroc)));
        if let Self::MultiLabel(report) = self {
            let precision = report.mean_average_precision;
            metrics.extend(precision.map(|precision| ("val/map", precision)));
        }
        metrics
    }

    /// The value of the metric that decides what is best. Of equal AUROCs the one with the smaller
    /// loss is better.
    ///
    /// # Errors
    /// There is none: no class has validation images on both sides.
    pub(super) fn monitored(&self, monitor: Monitor) -> anyhow::Result<f64> {
        let (auroc, loss) = match self {
            Self::Classification(report) => (report.auroc, report.loss),
            Self::MultiLabel(report) => (report.auroc, report.loss),
        };
        if monitor == Monitor::Auroc && auroc.is_none() {
            return Err(Failure::new(
                "`val/auroc` cannot be measured: no class has validation images that are of it and others that are not",
            )
            .hint("choose another metric, as `train.monitor=val/loss`, or give validation more images")
            .into());
        }
        Ok(match (self, monitor) {
            (_, Monitor::Auroc) => auroc.unwrap_or_default() - TIE_BREAK * loss.min(LARGEST_LOSS),
            (Self::Classification(report), Monitor::Loss) => report.loss,
            (Self::Classification(report), Monitor::Auto | Monitor::Accuracy) => report.accuracy,
            (Self::Classification(report), Monitor::MacroF1) => report.macro_f1,
            (Self::MultiLabel(report), Monitor::Loss) => report.loss,
            (Self::MultiLabel(report), Monitor::Auto | Monitor::Accuracy) => report.exact_match,
            (Self::MultiLabel(report), Monitor::MacroF1) => report.macro_f1,
        })
    }

    /// For the line that tells of an epoch; what decides is always among it.
    pub(super) fn in_short(&self, monitor: Monitor) -> String {
        let percent = |value| format!("{:>7}", text::percent(value));
        let (shown, more) = match self {
            Self::Classification(report) => (
                format!(
                    "val loss {:.3}  val accuracy {}",
                    report.loss,
                    percent(report.accuracy)
                ),
                match monitor {
                    Monitor::Auroc => {
                        Some(format!("val AUROC {}", text::three_digits(report.auroc)))
                    }
                    Monitor::MacroF1 => Some(format!("val F1 {}", percent(report.macro_f1))),
                    Monitor::Auto | Monitor::Loss | Monitor::Accuracy => None,
                },
            ),
            Self::MultiLabel(report) => (
                format!(
                    "val loss {:.3}  val AUROC {}  val F1 {}",
                    report.loss,
                    text::three_digits(report.auroc),
                    percent(report.macro_f1)
                ),
                (monitor == Monitor::Accuracy)
                    .then(|| format!("val exact match {}", percent(report.exact_match))),
            ),
        };
        match more {
            Some(more) => format!("{shown}  {more}"),
            None => shown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(logits: &[f32]) -> Scores {
        let outputs = ValidationOutputs {
            logits,
            labels: &[0, 0],
            label_targets: Some(&[1.0, 0.0, 0.0, 1.0]),
            classes: 2,
        };
        Scores::of(&outputs, 2, &[0.5, 0.5]).unwrap()
    }

    #[test]
    fn of_equal_aurocs_the_smaller_loss_is_better() {
        let sure = scores(&[3.0, -3.0, -3.0, 3.0])
            .monitored(Monitor::Auroc)
            .unwrap();
        let unsure = scores(&[0.2, 0.0, 0.0, 0.2])
            .monitored(Monitor::Auroc)
            .unwrap();
        let wrong = scores(&[9.0, 9.0, 8.0, 8.0])
            .monitored(Monitor::Auroc)
            .unwrap();
        assert!(sure > unsure && unsure > wrong, "{sure} {unsure} {wrong}");
        assert!((sure - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_decides_is_told_of_every_epoch() {
        let labels = scores(&[3.0, -3.0, -3.0, 3.0]);
        assert_eq!(
            labels.in_short(Monitor::Auroc),
            "val loss 0.049  val AUROC 1.000  val F1 100.0 %"
        );
        let told = labels.in_short(Monitor::Accuracy);
        assert!(told.ends_with("  val exact match 100.0 %"), "{told}");
        let outputs = ValidationOutputs {
            logits: &[1.0, -1.0, -1.0, 1.0],
            labels: &[0, 1],
            label_targets: None,
            classes: 2,
        };
        let classes = Scores::of(&outputs, 2, &[0.5, 0.5]).unwrap();
        let told = classes.in_short(Monitor::Auroc);
        assert!(told.ends_with("  val AUROC 1.000"), "{told}");
        let told = classes.in_short(Monitor::Accuracy);
        assert!(told.ends_with("val accuracy 100.0 %"), "{told}");
    }

    #[test]
    fn an_auroc_that_cannot_be_measured_is_an_error_with_a_way_out() {
        let outputs = ValidationOutputs {
            logits: &[1.0, -1.0],
            labels: &[0],
            label_targets: Some(&[1.0, 0.0]),
            classes: 2,
        };
        let scores = Scores::of(&outputs, 2, &[0.5, 0.5]).unwrap();
        let error = scores.monitored(Monitor::Auroc).unwrap_err();
        assert!(error.to_string().contains("`val/auroc` cannot be measured"));
        assert_eq!(scores.monitored(Monitor::Accuracy).unwrap(), 1.0);
    }
}
