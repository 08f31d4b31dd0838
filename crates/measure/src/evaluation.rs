//! What is kept of an evaluation: the scores and the worst mistakes. Whoever evaluates writes it,
//! the pages and the API read it.

use ferrotype_core::config::schema::TestTimeAugmentation;
use serde::{Deserialize, Serialize};

use crate::{ClassificationReport, MultiLabelReport};

/// What is kept of an evaluation, by what the model answers. Which of the two a stored one is
/// follows from its fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TaskReport {
    /// Each sample has one class.
    Classification(EvaluationReport),
    /// A sample may have several labels.
    MultiLabel(MultiLabelEvaluation),
}

impl TaskReport {
    /// The views that were averaged.
    pub fn views(&self) -> TestTimeAugmentation {
        match self {
            Self::Classification(report) => report.views,
            Self::MultiLabel(report) => report.views,
        }
    }
}

/// A classifier's evaluation on one split of a dataset version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// Class names, in class order.
    pub classes: Vec<String>,
    /// The scores.
    pub scores: ClassificationReport,
    /// Samples that were predicted wrong, the most confident first.
    #[serde(default)]
    pub mistakes: Vec<Mistake>,
    /// The views of each image whose probabilities were averaged; one where nothing is said.
    #[serde(default, skip_serializing_if = "TestTimeAugmentation::is_none")]
    pub views: TestTimeAugmentation,
}

/// The evaluation of a model that answers with several labels, on one split of a dataset version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MultiLabelEvaluation {
    /// Label names, in label order.
    pub classes: Vec<String>,
    /// The scores.
    pub label_scores: MultiLabelReport,
    /// Samples with a label that was answered wrong, the most confident first.
    #[serde(default)]
    pub mistakes: Vec<LabelMistake>,
    /// The views of each image whose probabilities were averaged; one where nothing is said.
    #[serde(default, skip_serializing_if = "TestTimeAugmentation::is_none")]
    pub views: TestTimeAugmentation,
}

/// A sample with a label that was answered wrong: the label that was furthest off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelMistake {
    /// Path of the picture below the imported folder.
    pub path: String,
    /// BLAKE3 of the picture's file, lower-case hexadecimal: the blob that holds it.
    pub digest: String,
    /// Index of the label.
    pub label: u32,
    /// Whether the picture has the label.
    pub has_label: bool,
    /// The label's probability.
    pub probability: f32,
}

impl LabelMistake {
    /// How far the probability is from the truth, 0 to 1.
    pub fn distance(&self) -> f32 {
        (f32::from(u8::from(self.has_label)) - self.probability).abs()
    }
}

/// A sample that was predicted wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    /// Path of the picture below the imported folder.
    pub path: String,
    /// BLAKE3 of the picture's file, lower-case hexadecimal: the blob that holds it.
    pub digest: String,
    /// Index of the true class.
    pub label: u32,
    /// Index of the predicted class.
    pub predicted: u32,
    /// Probability of the predicted class.
    pub confidence: f32,
    /// Probability of the true class.
    pub label_probability: f32,
}
