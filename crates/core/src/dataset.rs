//! Splits, and the entries of an immutable dataset version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The part of a dataset version that an image belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Weights are fitted on it.
    Train,
    /// Choices are made on it: early stopping, the best checkpoint.
    Val,
    /// Nothing is chosen on it; it tells how good the model is.
    Test,
}

impl Split {
    /// All splits, in the order they are shown.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// The split's name: `train`, `val` or `test`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|split| split.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not a split; expected `train`, `val` or `test`"))
    }
}

/// One image of a dataset version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageEntry {
    /// Path below the imported folder, `/` as separator.
    pub path: String,
    /// BLAKE3 of the file's bytes, lower-case hexadecimal: the blob that holds it.
    pub digest: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Width in pixels, upright (EXIF orientation applied).
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// Pixel mode in Pillow's words: `RGB`, `L`, `RGBA`, `P`, `CMYK`, `I;16` …
    pub mode: String,
    /// Container format: `jpeg`, `png`, …
    pub format: String,
    /// Index into the version's class names. Where an image may have several labels it says
    /// nothing: see [`Self::labels`].
    pub class: u32,
    /// Where an image may have several labels: all of them, ascending indices into the version's
    /// class names, possibly none. Absent where each image has one class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_set: Option<Vec<u32>>,
    /// The split it belongs to.
    pub split: Split,
}

impl ImageEntry {
    /// The classes that the image has: one, or its labels where it may have several.
    pub fn labels(&self) -> &[u32] {
        match &self.label_set {
            Some(labels) => labels,
            None => std::slice::from_ref(&self.class),
        }
    }
}
