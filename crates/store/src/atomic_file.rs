//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{StoreError, StoreErrorKind};

/// A file under a temporary name, removed when dropped unless it was put in place.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    path: PathBuf,
    file: Option<File>,
    placed: bool,
}

impl TemporaryFile {
    /// Makes an empty file of a random name in `folder`, which must be on the file system that
    /// the file shall end up on.
    pub(crate) fn create(folder: &Path) -> Result<Self, StoreError> {
        let mut random = [0_u8; 8];
        fill_random(&mut random)?;
        let path = folder.join(format!(".{:016x}.tmp", u64::from_le_bytes(random)));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| StoreError::io("create a file in", folder, &error))?;
        Ok(Self {
            path,
            file: Some(file),
            placed: false,
        })
    }

    /// Adds bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let outcome = match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Err(io::Error::other("it is closed")),
        };
        outcome.map_err(|error| StoreError::io("write", &self.path, &error))
    }

    /// Closes the file without flushing it, so that many can wait to be flushed together.
    pub(crate) fn close(&mut self) {
        self.file = None;
    }

    /// Flushes the content to the disk.
    pub(crate) fn flush_to_disk(&self) -> Result<(), StoreError> {
        let outcome = match &self.file {
            Some(file) => file.sync_all(),
            // The operating system flushes the file's pages, whoever wrote them.
            None => File::open(&self.path).and_then(|file| file.sync_all()),
        };
        outcome.map_err(|error| StoreError::io("write", &self.path, &error))
    }

    /// Gives the file its final name, replacing what is there.
    pub(crate) fn place(mut self, path: &Path) -> Result<(), StoreError> {
        self.close();
        fs::rename(&self.path, path).map_err(|error| StoreError::io("write", path, &error))?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.placed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Flushes a folder's list of names to the disk, so that a file placed in it is found after a
/// power loss.
pub(crate) fn flush_folder(folder: &Path) -> Result<(), StoreError> {
    // Only Unix can open a folder; elsewhere the rename is flushed with the file.
    if cfg!(unix) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| StoreError::io("flush", folder, &error))?;
    }
    Ok(())
}

/// Makes a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(|error| StoreError::io("create", path, &error))
}

/// The folder that a file of this path lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Says early whether a file can be written to `path`: its folder is there, and it is no folder
/// itself. For what takes long before it writes.
///
/// # Errors
/// `Io` when `path` is a folder, `NotFound` when the folder it would lie in is not there.
pub fn check_target(path: &Path) -> Result<(), StoreError> {
    let shown = path.display();
    if path.is_dir() {
        return Err(StoreError::new(
            StoreErrorKind::Io,
            format!("cannot write `{shown}`: it is a folder"),
        )
        .at(path)
        .with_hint("name a file in it"));
    }
    let folder = folder_of(path);
    if !folder.exists() {
        return Err(StoreError::new(
            StoreErrorKind::NotFound,
            format!(
                "cannot write `{shown}`: there is no folder `{}`",
                folder.display()
            ),
        )
        .at(path)
        .with_hint("check the spelling, or make the folder first"));
    }
    Ok(())
}

/// Writes a file so that, whatever happens, `path` holds either what it held before or all of
/// `bytes`.
///
/// # Errors
/// When the disk is full (kind `Full`), the folder cannot be written, or as [`check_target`].
pub fn write_file_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    check_target(path)?;
    let folder = folder_of(path);
    let mut file = TemporaryFile::create(folder)?;
    file.write(bytes)
        .and_then(|()| file.flush_to_disk())
        // Nobody knows the temporary name.
        .map_err(|error| error.about(&file.path, path))?;
    file.place(path)?;
    flush_folder(folder)
}

/// Fills `bytes` from the operating system's random source.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes).map_err(|error| {
        StoreError::new(
            StoreErrorKind::Io,
            format!("the operating system gives no random numbers: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        write_file_atomically(&path, b"old").unwrap();
        write_file_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_and_a_missing_one_are_no_targets() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_file_atomically(folder.path(), b"x").unwrap_err();
        assert!(error.to_string().ends_with("it is a folder"), "{error}");
        let error = write_file_atomically(&folder.path().join("no/such.html"), b"x").unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::NotFound);
        let missing = format!(
            "there is no folder `{}`",
            folder.path().join("no").display()
        );
        assert!(error.to_string().ends_with(&missing), "{error}");
        assert_eq!(error.path(), Some(&*folder.path().join("no/such.html")));
        check_target(Path::new("new.json")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_was_not_placed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = TemporaryFile::create(folder.path()).unwrap();
        file.write(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
