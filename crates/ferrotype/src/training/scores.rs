//! The scores of an epoch's validation, by the code that scores the exported model.

use ferrotype_core::config::schema::Monitor;
use ferrotype_engine::train::ValidationOutputs;
use ferrotype_inference::{sigmoid, softmax};
use ferrotype_measure::{
    Classification, ClassificationReport, MeasureError, MultiLabel, MultiLabelReport,
};

use crate::failure::Failure;
use crate::output::text;

/// The scores of a validation.
pub(super) enum Scores {
    /// Each image has one class.
    Classification(ClassificationReport),
    /// An image may have several labels.
    MultiLabel(MultiLabelReport),
}

impl Scores {
    /// Scores the network's answers. A label is answered above `threshold`.
    pub(super) fn of(
        outputs: &ValidationOutputs<'_>,
        classes: usize,
        threshold: f32,
    ) -> Result<Self, MeasureError> {
        let rows = outputs.logits.chunks_exact(outputs.classes);
        let Some(targets) = outputs.label_targets else {
            let mut scores = Classification::new(classes);
            for (logits, label) in rows.zip(outputs.labels) {
                scores.update(&softmax(logits), *label)?;
            }
            return Ok(Self::Classification(scores.finish()));
        };
        let mut scores = MultiLabel::new(classes, threshold);
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

    /// The value of the metric that decides what is best.
    ///
    /// # Errors
    /// There is none: no class has validation images on both sides.
    pub(super) fn monitored(&self, monitor: Monitor) -> anyhow::Result<f64> {
        let auroc = match self {
            Self::Classification(report) => report.auroc,
            Self::MultiLabel(report) => report.auroc,
        };
        if monitor == Monitor::Auroc && auroc.is_none() {
            return Err(Failure::new(
                "`val/auroc` cannot be measured: no class has validation images that are of it and others that are not",
            )
            .hint("choose another metric, as `train.monitor=val/loss`, or give validation more images")
            .into());
        }
        Ok(match (self, monitor) {
            (_, Monitor::Auroc) => auroc.unwrap_or_default(),
            (Self::Classification(report), Monitor::Loss) => report.loss,
            (Self::Classification(report), Monitor::Auto | Monitor::Accuracy) => report.accuracy,
            (Self::Classification(report), Monitor::MacroF1) => report.macro_f1,
            (Self::MultiLabel(report), Monitor::Loss) => report.loss,
            (Self::MultiLabel(report), Monitor::Auto | Monitor::Accuracy) => report.exact_match,
            (Self::MultiLabel(report), Monitor::MacroF1) => report.macro_f1,
        })
    }

    /// For the line that tells of an epoch.
    pub(super) fn in_short(&self) -> String {
        match self {
            Self::Classification(report) => format!(
                "val loss {:.3}  val accuracy {:>7}",
                report.loss,
                text::percent(report.accuracy)
            ),
            Self::MultiLabel(report) => format!(
                "val loss {:.3}  val AUROC {}  val F1 {:>7}",
                report.loss,
                text::three_digits(report.auroc),
                text::percent(report.macro_f1)
            ),
        }
    }
}
