//! Where a model's bytes are: in memory, or in a file that is read where it is needed.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::time::SystemTime;

use crate::error::{InferenceError, InferenceErrorKind};

/// Where an ONNX model's bytes are.
#[derive(Debug, Clone, Copy)]
pub enum OnnxSource<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// In an open file. The native executor reads each large tensor where it lies, in pieces, so that
    /// the file is never in memory as a whole; one that is written to meanwhile is read once more.
    File(&'a File),
    /// In an open file that was last written to at this time, as far as somebody knows who has checked
    /// its bytes since; written to later, it is refused.
    Checked(&'a File, SystemTime),
}

impl<'a> OnnxSource<'a> {
    fn file(self) -> Option<&'a File> {
        match self {
            Self::Bytes(_) => None,
            Self::File(file) | Self::Checked(file, _) => Some(file),
        }
    }

    /// Whether what is in the file now may be read in the place of what was there before.
    pub(crate) fn may_change(self) -> bool {
        matches!(self, Self::File(_))
    }
}

impl<'a> From<&'a [u8]> for OnnxSource<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for OnnxSource<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for OnnxSource<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a File> for OnnxSource<'a> {
    fn from(file: &'a File) -> Self {
        Self::File(file)
    }
}

impl<'a> From<&'a (File, SystemTime)> for OnnxSource<'a> {
    fn from((file, modified): &'a (File, SystemTime)) -> Self {
        Self::Checked(file, *modified)
    }
}

/// A source of known length, read by position.
#[derive(Debug, Clone)]
pub(crate) struct Positioned<'a> {
    source: OnnxSource<'a>,
    len: u64,
    /// When the file was last written to, as it was opened.
    modified: Option<SystemTime>,
}

impl<'a> Positioned<'a> {
    pub(crate) fn of(source: OnnxSource<'a>) -> Result<Self, InferenceError> {
        let metadata = |file: &File| {
            let metadata = file.metadata().map_err(|error| unreadable(&error))?;
            match metadata.is_dir() {
                true => Err(unreadable(&io::ErrorKind::IsADirectory.into())),
                false => Ok(metadata),
            }
        };
        let (len, modified) = match source {
            OnnxSource::Bytes(bytes) => (bytes.len() as u64, None),
            OnnxSource::File(file) => {
                let metadata = metadata(file)?;
                (metadata.len(), changed_at(&metadata))
            }
            OnnxSource::Checked(file, modified) => (metadata(file)?.len(), Some(modified)),
        };
        Ok(Self {
            source,
            len,
            modified,
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// All bytes, where they are in memory.
    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        match self.source {
            OnnxSource::Bytes(bytes) => Some(bytes),
            OnnxSource::File(_) | OnnxSource::Checked(..) => None,
        }
    }

    /// Fills `target` with the bytes from `start` on.
    pub(crate) fn read(&self, start: u64, target: &mut [u8]) -> Result<(), InferenceError> {
        match self.source {
            OnnxSource::Bytes(bytes) => {
                let found = usize::try_from(start).ok().and_then(|start| {
                    let end = start.checked_add(target.len())?;
                    bytes.get(start..end)
                });
                let found =
                    found.ok_or_else(|| unreadable(&io::ErrorKind::UnexpectedEof.into()))?;
                target.copy_from_slice(found);
                Ok(())
            }
            OnnxSource::File(file) | OnnxSource::Checked(file, _) => {
                read_exact_at(file, target, start).map_err(|error| unreadable(&error))
            }
        }
    }

    /// Some bytes, copied where they are not in memory.
    pub(crate) fn piece(&self, range: Range<u64>) -> Result<Cow<'a, [u8]>, InferenceError> {
        let ends = [range.start, range.end].map(usize::try_from);
        if let (Some(bytes), [Ok(start), Ok(end)]) = (self.bytes(), ends)
            && let Some(piece) = bytes.get(start..end)
        {
            return Ok(Cow::Borrowed(piece));
        }
        let len = range.end.saturating_sub(range.start).min(self.len);
        let mut piece = vec![0; len as usize];
        self.read(range.start, &mut piece)?;
        Ok(Cow::Owned(piece))
    }

    /// Refuses a file that was written to since it was opened or checked.
    pub(crate) fn check_unchanged(&self) -> Result<(), InferenceError> {
        let Some(file) = self.source.file() else {
            return Ok(());
        };
        let metadata = file.metadata().map_err(|error| unreadable(&error))?;
        if metadata.len() == self.len && changed_at(&metadata) == self.modified {
            return Ok(());
        }
        Err(InferenceError::new(
            InferenceErrorKind::Unreadable,
            "the model's file changed while it was read",
        )
        .with_hint("load it again when nobody writes to it"))
    }
}

fn changed_at(metadata: &Metadata) -> Option<SystemTime> {
    metadata.modified().ok()
}

fn unreadable(error: &io::Error) -> InferenceError {
    let message = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the model's file became shorter while it was read".to_string()
        }
        _ => format!("the model's file cannot be read: {error}"),
    };
    InferenceError::new(InferenceErrorKind::Unreadable, message)
}

#[cfg(unix)]
fn read_exact_at(file: &File, target: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, target, start)
}

/// Several threads share the file's position, so they take turns.
#[cfg(not(unix))]
fn read_exact_at(mut file: &File, target: &mut [u8], start: u64) -> io::Result<()> {
    use std::io::{Read as _, Seek as _};
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    file.seek(io::SeekFrom::Start(start))?;
    file.read_exact(target)
}
