//! Files that are either whole or not there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::EngineError;

/// Writes a file by `write` in place of the one at `path`, which is untouched until the new one
/// is whole and on the disk: written beside it, synced, then renamed.
///
/// # Errors
/// The disk is full, or the file cannot be written. Nothing is left behind.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), EngineError> {
    let partial = partial_path(path);
    let result = write_synced(&partial, write).and_then(|()| fs::rename(&partial, path));
    if let Err(error) = result {
        // What is left of it is of no use; that it cannot be removed is no second error.
        let _ = fs::remove_file(&partial);
        return Err(EngineError::io("written", path, error));
    }
    sync_folder(path);
    Ok(())
}

/// Beside the file, so that renaming never crosses file systems. One name per file: what a
/// killed process left is overwritten by the next.
fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    path.with_file_name(name)
}

fn write_synced(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = io::BufWriter::new(File::create(path)?);
    write(&mut file)?;
    file.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()
}

/// Makes the renaming itself durable, where the system can.
fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::EngineErrorKind;

    #[test]
    fn a_full_disk_leaves_the_old_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        replace(&path, |file| file.write_all(b"old")).unwrap();
        let error = replace(&path, |file| {
            file.write_all(b"half of the new")?;
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert_eq!(error.kind(), EngineErrorKind::Full);
        assert!(error.hint().unwrap().contains("make room"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere").join("last.safetensors");
        let error = replace(&path, |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), EngineErrorKind::Io);
        assert_eq!(error.path(), Some(path.as_path()));
    }
}
