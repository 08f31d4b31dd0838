//! The folder of caches: what is in it, and what has to go.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file;
use crate::error::DataError;

/// Ending of a cache's file name.
pub(super) const EXTENSION: &str = "pixels";

/// A cache on disk.
#[derive(Debug, Clone)]
pub struct CacheEntry {
    /// Its file.
    pub path: PathBuf,
    /// What it holds, in words.
    pub label: String,
    /// Bytes that it takes up on the disk.
    pub bytes: u64,
    /// When it was last opened.
    pub used_at: SystemTime,
}

/// What clearing a folder of caches did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClearedCaches {
    /// Caches deleted.
    pub deleted: usize,
    /// Bytes that they took up.
    pub bytes: u64,
    /// Caches that a training is reading, which were left.
    pub in_use: usize,
}

/// The right to make and delete caches in a folder; who holds one knows that nobody else does.
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Waits for the right, making the folder if there is none.
    pub(super) fn acquire(folder: &Path) -> Result<Self, DataError> {
        fs::create_dir_all(folder).map_err(|error| DataError::io("create", folder, error))?;
        let path = folder.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| DataError::io("open", &path, error))?;
        file.lock()
            .map_err(|error| DataError::io("lock", &path, error))?;
        Ok(Self { _file: file })
    }
}

/// The caches in a folder, last used first. A folder that is not there has none.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<CacheEntry>, DataError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DataError::io("read", folder, error)),
    };
    let mut caches: Vec<CacheEntry> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ending| ending == EXTENSION))
        .filter_map(|path| {
            // One that vanishes meanwhile was deleted by somebody else.
            let metadata = fs::metadata(&path).ok()?;
            Some(CacheEntry {
                label: file::label(&path),
                bytes: file::bytes_taken(&metadata),
                used_at: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                path,
            })
        })
        .collect();
    caches.sort_by_key(|cache| std::cmp::Reverse(cache.used_at));
    Ok(caches)
}

/// Deletes the caches in a folder but for those in use.
///
/// # Errors
/// When the folder cannot be read.
pub fn clear(folder: &Path) -> Result<ClearedCaches, DataError> {
    if !folder.is_dir() {
        return Ok(ClearedCaches::default());
    }
    let lock = FolderLock::acquire(folder)?;
    let mut cleared = ClearedCaches::default();
    for cache in list(folder)? {
        if delete_unused(&lock, &cache.path) {
            cleared.deleted += 1;
            cleared.bytes += cache.bytes;
        } else {
            cleared.in_use += 1;
        }
    }
    Ok(cleared)
}

/// Deletes whole caches, those used longest ago first, until all but `path` together leave room
/// for `needed` bytes of the limit. Answers how many bytes of the limit there are for it.
pub(super) fn make_room(
    lock: &FolderLock,
    folder: &Path,
    path: &Path,
    needed: u64,
    limit: u64,
) -> Result<u64, DataError> {
    let mut others = list(folder)?;
    others.retain(|cache| cache.path != path);
    let mut taken: u64 = others.iter().map(|cache| cache.bytes).sum();
    while taken.saturating_add(needed) > limit {
        let Some(oldest) = others.pop() else { break };
        if delete_unused(lock, &oldest.path) {
            taken -= oldest.bytes;
        }
    }
    Ok(limit.saturating_sub(taken))
}

/// Deletes a cache unless somebody has it open.
fn delete_unused(_: &FolderLock, path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    match file.try_lock() {
        Ok(()) => fs::remove_file(path).is_ok(),
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}
