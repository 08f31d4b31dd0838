//! What can go wrong while training, keeping and exporting a network.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use ferrotype_core::graph::GraphError;
use ferrotype_vision::loader::SampleError;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EngineErrorKind {
    /// The layer graph cannot be used.
    Graph,
    /// A batch does not fit the network: its length, or a label out of range.
    Input,
    /// The training settings contradict each other or the data.
    Config,
    /// A sample could not be loaded.
    Sample,
    /// The loss or a gradient is not a finite number.
    NotFinite,
    /// The loss grows without end.
    Diverged,
    /// A device is not there, not built in, or failed.
    Device,
    /// A run would take more memory than there is.
    Memory,
    /// There is no checkpoint at that path.
    NoCheckpoint,
    /// A file is not a checkpoint, or is damaged.
    CorruptCheckpoint,
    /// A checkpoint was written by a newer program.
    NewerCheckpoint,
    /// A checkpoint belongs to another graph, data set or seed.
    OtherCheckpoint,
    /// There is no file of weights at that path.
    NoWeights,
    /// A file of weights is damaged.
    CorruptWeights,
    /// A file of weights has something that is not read, or that was refused.
    UnsupportedWeights,
    /// Weights belong to another network.
    OtherWeights,
    /// The disk is full.
    Full,
    /// A file could not be read or written.
    Io,
    /// A network cannot be written as ONNX.
    Export,
}

/// An error of the engine, with what to do next. Its message does not repeat its source.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}", place(message, path.as_deref()))]
pub struct EngineError {
    kind: EngineErrorKind,
    message: String,
    hint: Option<String>,
    path: Option<PathBuf>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The file in brackets, unless the message names it already.
fn place(message: &str, path: Option<&Path>) -> String {
    match path.map(|path| path.display().to_string()) {
        Some(path) if !message.contains(&path) => format!(" (`{path}`)"),
        _ => String::new(),
    }
}

impl EngineError {
    /// An error of a kind, in words.
    pub(crate) fn new(kind: EngineErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            path: None,
            source: None,
        }
    }

    /// Adds what to do next.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the file it is about.
    pub(crate) fn with_path(mut self, path: &Path) -> Self {
        self.path = Some(path.to_path_buf());
        self
    }

    fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// A file that could not be `verb` (read, written).
    pub(crate) fn io(verb: &str, path: &Path, source: io::Error) -> Self {
        let full = matches!(
            source.kind(),
            // The last is what `ulimit -f` answers.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let error = if full {
            Self::new(
                EngineErrorKind::Full,
                format!("the disk is full: `{}` could not be {verb}", path.display()),
            )
            .with_hint("make room; what was saved before is intact, resume the run afterwards")
        } else {
            Self::new(
                EngineErrorKind::Io,
                format!("`{}` could not be {verb}", path.display()),
            )
        };
        error.with_path(path).with_source(source)
    }

    /// What went wrong.
    pub fn kind(&self) -> EngineErrorKind {
        self.kind
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }

    /// The file it is about.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl From<GraphError> for EngineError {
    fn from(error: GraphError) -> Self {
        Self {
            hint: error.hint(),
            ..Self::new(EngineErrorKind::Graph, error.to_string())
        }
    }
}

impl From<SampleError> for EngineError {
    fn from(error: SampleError) -> Self {
        let message = error.to_string();
        Self {
            hint: error.hint(),
            source: Some(error.source),
            ..Self::new(EngineErrorKind::Sample, message)
        }
    }
}
