//! A file that is read in pieces, each checked against its length before memory is asked for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::{damaged, damaged_file, no_file};
use crate::error::EngineError;

/// A file of weights on disk.
#[derive(Debug)]
pub(super) struct WeightsFile {
    path: PathBuf,
    length: u64,
    file: Mutex<File>,
}

impl WeightsFile {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// There is none, it is a folder, or it may not be read.
    pub(super) fn open(path: &Path) -> Result<Self, EngineError> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(no_file(path));
            }
            Err(error) => return Err(EngineError::io("read", path, error)),
        };
        if !metadata.is_file() {
            return Err(damaged("it is no file").with_path(path));
        }
        Ok(Self {
            path: path.to_path_buf(),
            length: metadata.len(),
            file: Mutex::new(file),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length in bytes.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from `offset` on, `length` of them.
    ///
    /// # Errors
    /// The file has no such bytes, or it cannot be read.
    pub(super) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, EngineError> {
        let end = offset.checked_add(length);
        if end.is_none_or(|end| end > self.length) {
            return Err(damaged_file("it ends too early", &self.path));
        }
        let length = usize::try_from(length)
            .map_err(|_| damaged_file("a piece is larger than memory", &self.path))?;
        let mut bytes = vec![0; length];
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| EngineError::io("read", &self.path, error))?;
        Ok(bytes)
    }

    /// The first bytes, at most `length`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn beginning(&self, length: u64) -> Result<Vec<u8>, EngineError> {
        self.read(0, length.min(self.length))
    }
}
