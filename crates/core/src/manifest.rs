//! The manifest of a model version: everything needed to use its ONNX file correctly.
//!
//! It travels inside the ONNX file's metadata (key [`MANIFEST_KEY`]), so that one file is enough.

use serde::{Deserialize, Serialize};

use crate::thresholds::{common_threshold, is_threshold};

/// Key of the manifest in the ONNX file's `metadata_props`; the value is JSON.
pub const MANIFEST_KEY: &str = "ferrotype.manifest";

/// Key of the layer graph in the ONNX file's `metadata_props`; the value is JSON of [`crate::graph::Graph`].
pub const GRAPH_KEY: &str = "ferrotype.graph";

/// The manifest format this program writes; a newer one is refused.
pub const MANIFEST_VERSION: u32 = 1;

/// What a model answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
    /// One class out of several.
    #[default]
    Classification,
    /// Any number of labels, none among them: each class is there or not, independently.
    MultiLabel,
}

impl Task {
    /// Whether an image may have several classes, or none.
    pub const fn is_multi_label(self) -> bool {
        matches!(self, Self::MultiLabel)
    }

    /// The task in snake case, as manifests and runs keep it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::MultiLabel => "multi_label",
        }
    }

    /// What the share of images that are answered right is called: with several labels, it is of
    /// those with all of them right.
    pub const fn accuracy_title(self) -> &'static str {
        match self {
            Self::Classification => "accuracy",
            Self::MultiLabel => "exact match",
        }
    }
}

/// The probability above which a label counts, where nothing else is said.
pub const DEFAULT_THRESHOLD: f32 = 0.5;

/// How an image of another size is brought to the input size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// Width and height independently; the aspect ratio is not kept.
    #[default]
    Stretch,
    /// The shorter side to the input size, then the centre is cut out.
    CenterCrop,
}

/// The interpolation used when resizing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeFilter {
    /// Bilinear, widened when shrinking (antialiased, as Pillow does it).
    #[default]
    Bilinear,
    /// Bicubic, widened when shrinking.
    Bicubic,
}

/// From an upright 8-bit RGB image to the network's input `[channels, height, width]`:
/// resize, divide by 255, subtract `mean`, divide by `std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Input width in pixels.
    pub width: u32,
    /// Input height in pixels.
    pub height: u32,
    /// How the size is reached.
    #[serde(default)]
    pub resize: ResizeMode,
    /// The interpolation.
    #[serde(default)]
    pub filter: ResizeFilter,
    /// Per-channel mean (red, green, blue) of values in 0 to 1.
    pub mean: [f32; 3],
    /// Per-channel standard deviation of values in 0 to 1; never zero.
    pub std: [f32; 3],
}

impl Preprocessing {
    /// Checks sizes and normalisation.
    ///
    /// # Errors
    /// A sentence that says which field is out of range.
    pub fn check(&self) -> Result<(), String> {
        for (name, size) in [("width", self.width), ("height", self.height)] {
            if !(1..=8192).contains(&size) {
                return Err(format!(
                    "input {name} is `{size}`, expected 1 to 8192 pixels"
                ));
            }
        }
        if let Some(bad) = self.mean.iter().find(|value| !value.is_finite()) {
            return Err(format!(
                "mean has the value `{bad}`, expected finite numbers"
            ));
        }
        if let Some(bad) = self
            .std
            .iter()
            .find(|value| !value.is_finite() || **value <= 0.0)
        {
            return Err(format!(
                "std has the value `{bad}`, expected positive finite numbers"
            ));
        }
        Ok(())
    }
}

/// What the numbers at the model's output are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// Logits: softmax makes them probabilities, or for [`Task::MultiLabel`] the sigmoid of each.
    #[default]
    Logits,
    /// Probabilities already.
    Probabilities,
}

/// Everything needed to use a model's ONNX file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelManifest {
    /// [`MANIFEST_VERSION`] of the writer.
    pub manifest_version: u32,
    /// What it answers.
    pub task: Task,
    /// Class names in output order.
    pub classes: Vec<String>,
    /// From image to input.
    pub preprocessing: Preprocessing,
    /// What the answer's numbers are.
    #[serde(default)]
    pub output: OutputKind,
    /// For [`Task::MultiLabel`]: the probability above which a label counts; absent means
    /// [`DEFAULT_THRESHOLD`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// For [`Task::MultiLabel`]: the probability above which each label counts, in the order of
    /// `classes`; absent where `threshold` holds for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Vec<f32>>,
    /// Name of the ONNX input, `[batch, 3, height, width]`.
    pub input_name: String,
    /// Name of the ONNX output with the answer, `[batch, classes]`.
    pub output_name: String,
    /// Name of the ONNX output with the embedding, `[batch, features]`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_name: Option<String>,
    /// Architecture name, such as `baseline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// Dataset version it was trained on, as `name@v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_version: Option<String>,
    /// BLAKE3 identity of that dataset version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_digest: Option<String>,
    /// Run that trained it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<crate::id::RunId>,
}

impl ModelManifest {
    /// For each label, the probability above which it counts.
    pub fn label_thresholds(&self) -> Vec<f32> {
        let one = self.threshold.unwrap_or(DEFAULT_THRESHOLD);
        let each = self.thresholds.clone();
        each.unwrap_or_else(|| vec![one; self.classes.len()])
    }

    /// Sets for each label the probability above which it counts.
    pub fn set_label_thresholds(&mut self, thresholds: Vec<f32>) {
        self.threshold = common_threshold(&thresholds);
        self.thresholds = self.threshold.is_none().then_some(thresholds);
    }

    /// Checks the manifest by itself (not against a network).
    ///
    /// # Errors
    /// A sentence that says which field is wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.manifest_version > MANIFEST_VERSION {
            return Err(format!(
                "the manifest has version `{}`, this program reads up to `{MANIFEST_VERSION}`; a newer Ferrotype wrote it",
                self.manifest_version
            ));
        }
        if self.classes.len() < 2 {
            return Err(format!(
                "it names {} classes, expected at least 2",
                self.classes.len()
            ));
        }
        for (index, class) in self.classes.iter().enumerate() {
            if self.classes[..index].contains(class) {
                return Err(format!("class `{class}` is named twice"));
            }
        }
        self.check_thresholds()?;
        self.preprocessing.check()
    }

    fn check_thresholds(&self) -> Result<(), String> {
        let each = self.thresholds.as_deref();
        if self.threshold.is_none() && each.is_none() {
            return Ok(());
        }
        if !self.task.is_multi_label() {
            return Err("it has a threshold, but answers with one class".into());
        }
        let count = each.map_or(self.classes.len(), <[f32]>::len);
        if count != self.classes.len() {
            return Err(format!(
                "it has {count} thresholds, expected one for each of the {} labels",
                self.classes.len()
            ));
        }
        let mut all = self.threshold.iter().chain(each.unwrap_or_default());
        match all.find(|threshold| !is_threshold(**threshold)) {
            Some(bad) => Err(format!(
                "the threshold is `{bad}`, expected a number between 0 and 1"
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(more: &str) -> ModelManifest {
        let text = format!(
            r#"{{"manifest_version": 1, "task": "multi_label", "classes": ["mass", "nodule"],
                "preprocessing": {{"width": 8, "height": 8, "mean": [0, 0, 0], "std": [1, 1, 1]}},
                "input_name": "image", "output_name": "logits"{more}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_manifest_has_one_threshold_or_one_for_each_label() {
        for (more, expected) in [
            ("", [0.5, 0.5]),
            (r#", "threshold": 0.3"#, [0.3, 0.3]),
            (r#", "thresholds": [0.2, 0.7]"#, [0.2, 0.7]),
        ] {
            let manifest = manifest(more);
            manifest.check().unwrap();
            assert_eq!(manifest.label_thresholds(), expected, "{more}");
        }
    }

    #[test]
    fn thresholds_are_kept_as_one_where_they_are_equal() {
        let mut manifest = manifest("");
        manifest.set_label_thresholds(vec![0.3, 0.3]);
        assert_eq!(
            (manifest.threshold, &manifest.thresholds),
            (Some(0.3), &None)
        );
        manifest.set_label_thresholds(vec![0.3, 0.4]);
        assert_eq!(manifest.threshold, None);
        assert_eq!(manifest.thresholds, Some(vec![0.3, 0.4]));
    }

    #[test]
    fn thresholds_that_make_no_sense_are_refused() {
        for (more, part) in [
            (r#", "threshold": 1.5"#, "the threshold is `1.5`"),
            (r#", "thresholds": [0.5, 0]"#, "the threshold is `0`"),
            (
                r#", "thresholds": [0.5]"#,
                "1 thresholds, expected one for each of the 2",
            ),
        ] {
            let error = manifest(more).check().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let mut classes = manifest(r#", "thresholds": [0.5, 0.4]"#);
        classes.task = Task::Classification;
        assert!(classes.check().is_err());
    }
}
