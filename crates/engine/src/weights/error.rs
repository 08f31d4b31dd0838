//! The errors of reading weights, each with what to do next.

use std::path::Path;

use crate::error::{EngineError, EngineErrorKind};

/// How weights are saved so that any tool can read them.
const SAVE_AS: &str = "in Python, save the weights alone: `torch.save(model.state_dict(), \"weights.pth\")` or `safetensors.torch.save_file(model.state_dict(), \"weights.safetensors\")`";

/// The file is damaged, or is not what it says it is.
pub(super) fn damaged(reason: impl Into<String>) -> EngineError {
    EngineError::new(
        EngineErrorKind::CorruptWeights,
        format!("the weights cannot be read: {}", reason.into()),
    )
    .with_hint("download or save the file again")
}

/// As [`damaged`], of a file.
pub(super) fn damaged_file(reason: impl Into<String>, path: &Path) -> EngineError {
    damaged(reason).with_path(path)
}

/// The file is whole, but holds something that is not read.
pub(super) fn unsupported(reason: impl Into<String>) -> EngineError {
    EngineError::new(
        EngineErrorKind::UnsupportedWeights,
        format!("the weights cannot be read: {}", reason.into()),
    )
    .with_hint(SAVE_AS)
}

/// There is no file at that path.
pub(super) fn no_file(path: &Path) -> EngineError {
    EngineError::new(
        EngineErrorKind::NoWeights,
        format!("there is no file of weights at `{}`", path.display()),
    )
    .with_path(path)
}
