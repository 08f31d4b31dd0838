//! What is kept of an evaluation: the scores and the worst mistakes. Whoever evaluates writes it,
//! the pages and the API read it.

use serde::{Deserialize, Serialize};

use crate::ClassificationReport;

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
