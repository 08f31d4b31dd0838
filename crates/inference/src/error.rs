//! What can go wrong between an ONNX file and an answer.

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InferenceErrorKind {
    /// The file has no bytes.
    Empty,
    /// The bytes are something else than an ONNX model.
    NotOnnx,
    /// An ONNX model that is truncated or damaged.
    Corrupt,
    /// The file cannot be read, or changed while it was read.
    Unreadable,
    /// The file or something in it is beyond the limits.
    TooLarge,
    /// Weights lie in other files, which are never opened.
    ExternalData,
    /// The file has no manifest.
    NoManifest,
    /// The manifest cannot be read or contradicts itself.
    InvalidManifest,
    /// Manifest and network do not fit each other.
    Mismatch,
    /// The runtime has no such operator, or not for this opset.
    UnsupportedOperator,
    /// The chosen runtime's library was not found.
    RuntimeNotFound,
    /// A library was found and cannot be used.
    RuntimeUnusable,
    /// The network answered NaN or infinity.
    NotFinite,
    /// The runtime refused the model or failed while running it.
    Failed,
}

impl InferenceErrorKind {
    /// The kind's machine-readable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty_model",
            Self::NotOnnx => "not_onnx",
            Self::Corrupt => "corrupt_model",
            Self::Unreadable => "unreadable_model",
            Self::TooLarge => "model_too_large",
            Self::ExternalData => "external_data",
            Self::NoManifest => "no_manifest",
            Self::InvalidManifest => "invalid_manifest",
            Self::Mismatch => "manifest_mismatch",
            Self::UnsupportedOperator => "unsupported_operator",
            Self::RuntimeNotFound => "runtime_not_found",
            Self::RuntimeUnusable => "runtime_unusable",
            Self::NotFinite => "not_finite",
            Self::Failed => "inference_failed",
        }
    }
}

/// A model that cannot be loaded or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InferenceError {
    kind: InferenceErrorKind,
    message: String,
    node: Option<String>,
    hint: Option<String>,
}

impl InferenceError {
    pub(crate) fn new(kind: InferenceErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            node: None,
            hint: None,
        }
    }

    pub(crate) fn at_node(mut self, node: Option<String>) -> Self {
        self.node = node;
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> InferenceErrorKind {
        self.kind
    }

    /// Name of the network's node that is to blame, where one is known.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        if self.hint.is_some() {
            return self.hint.clone();
        }
        let hint = match self.kind {
            InferenceErrorKind::Empty | InferenceErrorKind::NotOnnx => {
                "give a file that ends in `.onnx`, as `ferrotype export` writes it"
            }
            InferenceErrorKind::Corrupt => "copy or export the file again",
            InferenceErrorKind::Unreadable => {
                "look whether the file is there and may be read, and whether its disk is sound; then load it again"
            }
            InferenceErrorKind::TooLarge => return None,
            InferenceErrorKind::ExternalData => {
                "save the model as one file, in Python with `onnx.save(onnx.load(PATH), PATH, save_as_external_data=False)`"
            }
            InferenceErrorKind::NoManifest => {
                "register it with `ferrotype models import FILE.onnx --name NAME --classes … --input-size … --mean … --std …`"
            }
            InferenceErrorKind::InvalidManifest => {
                "export the model again, or import it with `ferrotype models import`"
            }
            InferenceErrorKind::Mismatch => {
                "check the classes and the input size given to `ferrotype models import`"
            }
            InferenceErrorKind::UnsupportedOperator => {
                "use ONNX Runtime, which has more operators (`pip install onnxruntime`), or export with another opset"
            }
            InferenceErrorKind::RuntimeNotFound | InferenceErrorKind::RuntimeUnusable => {
                "install it with `pip install onnxruntime` and set `ORT_DYLIB_PATH` to the library inside the package, \
                 `…/site-packages/onnxruntime/capi/libonnxruntime.so.1.…`; \
                 `--runtime auto` needs no library"
            }
            InferenceErrorKind::NotFinite => {
                "the weights are damaged or training diverged; evaluate the model before serving it"
            }
            InferenceErrorKind::Failed => "try the other runtime, `rten` or `onnxruntime`",
        };
        Some(hint.into())
    }
}
