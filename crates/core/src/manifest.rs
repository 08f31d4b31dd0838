//! The manifest of a model version: everything needed to use its ONNX file correctly.
//!
//! It travels inside the ONNX file's metadata (key [`MANIFEST_KEY`]), so that one file is enough.

use serde::{Deserialize, Serialize};

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
    /// The probability above which a label counts.
    pub fn label_threshold(&self) -> f32 {
        self.threshold.unwrap_or(DEFAULT_THRESHOLD)
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
        match self.threshold {
            Some(_) if !self.task.is_multi_label() => {
                return Err("it has a threshold, but answers with one class".into());
            }
            Some(threshold) if !(threshold > 0.0 && threshold < 1.0) => {
                return Err(format!(
                    "the threshold is `{threshold}`, expected a number between 0 and 1"
                ));
            }
            _ => {}
        }
        self.preprocessing.check()
    }
}
