//! What can go wrong with a dataset.

use std::path::{Path, PathBuf};

use ferrotype_store::StoreError;

/// What went wrong, for callers that act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataErrorKind {
    /// The path does not exist.
    NotFound,
    /// The path is a file, not a folder.
    NotAFolder,
    /// The folder holds no image at all, or none that can be read.
    NoImages,
    /// There are images, but no folders that name their classes.
    NoClassFolders,
    /// Fewer than two classes have images.
    TooFewClasses,
    /// The folder holds annotations of boxes (COCO, Pascal VOC, YOLO).
    DetectionLayout,
    /// The table that names the images' labels cannot be used.
    LabelTable,
    /// A request has a value that cannot be used.
    InvalidRequest,
    /// The target folder already holds something.
    NotEmpty,
    /// A stored manifest or report cannot be read back.
    Corrupt,
    /// A stored manifest was written by a newer program.
    NewerFormat,
    /// The file system refused.
    Io,
    /// The store refused; the source says why.
    Store,
}

/// An operation on a dataset that failed as a whole.
///
/// A single bad file never is such a failure: it is skipped and reported.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct DataError {
    kind: DataErrorKind,
    message: String,
    path: Option<PathBuf>,
    hint: Option<String>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl DataError {
    pub(crate) fn new(kind: DataErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            path: None,
            hint: None,
            source: None,
        }
    }

    pub(crate) fn io(action: &str, path: &Path, source: std::io::Error) -> Self {
        let hint = match source.kind() {
            std::io::ErrorKind::PermissionDenied => {
                Some("check the permissions of the path".to_string())
            }
            std::io::ErrorKind::StorageFull => {
                Some("free some space and run the same command again".to_string())
            }
            _ => None,
        };
        Self {
            kind: DataErrorKind::Io,
            message: format!("cannot {action} `{}`", path.display()),
            path: Some(path.to_path_buf()),
            hint,
            source: Some(Box::new(source)),
        }
    }

    pub(crate) fn with_path(mut self, path: &Path) -> Self {
        self.path = Some(path.to_path_buf());
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn with_source(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> DataErrorKind {
        self.kind
    }

    /// The file or folder it is about.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

impl From<StoreError> for DataError {
    fn from(error: StoreError) -> Self {
        Self {
            kind: DataErrorKind::Store,
            message: "the store refused".to_string(),
            path: None,
            hint: error.hint(),
            source: Some(Box::new(error)),
        }
    }
}
