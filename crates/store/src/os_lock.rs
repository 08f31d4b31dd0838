//! Locks between processes. The operating system frees one when its holder dies, however it dies.
//! A lock belongs to an open file, so it also holds between two parts of one process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::error::StoreError;

/// A lock on a file, held until dropped. The file stays when the lock is freed.
#[derive(Debug)]
pub(crate) struct OsLock {
    _file: File,
}

/// A probe by [`is_held`] holds a lock for microseconds, a look for the dead for as long as the
/// database takes; whoever wants it for good tries again.
const PAUSE: Duration = Duration::from_millis(10);

/// For whom it does not matter much whether they get the lock.
pub(crate) const SHORT: Duration = Duration::from_millis(40);
/// For those who would otherwise tell the user that somebody else has it.
pub(crate) const PATIENT: Duration = Duration::from_secs(2);

impl OsLock {
    /// Takes the lock for itself alone, waiting for its holders.
    pub(crate) fn acquire(path: &Path) -> Result<Self, StoreError> {
        let file = open(path)?;
        file.lock()
            .map_err(|error| StoreError::io("lock", path, &error))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock beside others who do the same, waiting for one who has it alone.
    pub(crate) fn acquire_shared(path: &Path) -> Result<Self, StoreError> {
        let file = open(path)?;
        file.lock_shared()
            .map_err(|error| StoreError::io("lock", path, &error))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock for itself alone, or answers none when somebody has it for longer than
    /// `patience`. Leaves the process id in the file, to be told to whoever finds it locked.
    pub(crate) fn try_acquire(path: &Path, patience: Duration) -> Result<Option<Self>, StoreError> {
        let file = open(path)?;
        let attempts = patience.as_millis() / PAUSE.as_millis();
        for attempt in 0..=attempts {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            match file.try_lock() {
                Ok(()) => {
                    // It only serves messages: a full disk must not keep anybody from locking.
                    let _ = write_process_id(&file);
                    return Ok(Some(Self { _file: file }));
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(StoreError::io("lock", path, &error));
                }
            }
        }
        Ok(None)
    }
}

fn write_process_id(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())
}

fn open(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| StoreError::io("open the lock", path, &error))
}

/// Whether anybody holds the lock at this moment. A file that is not there is not locked.
pub(crate) fn is_held(path: &Path) -> Result<bool, StoreError> {
    if !path.exists() {
        return Ok(false);
    }
    match open(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(StoreError::io("lock", path, &error)),
    }
}

/// The process id that the last holder left.
pub(crate) fn last_holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(!is_held(&path).unwrap());
        let first = OsLock::try_acquire(&path, SHORT).unwrap().unwrap();
        assert!(OsLock::try_acquire(&path, SHORT).unwrap().is_none());
        assert!(is_held(&path).unwrap());
        assert_eq!(last_holder(&path), Some(std::process::id()));
        drop(first);
        assert!(!is_held(&path).unwrap());
        assert!(OsLock::try_acquire(&path, SHORT).unwrap().is_some());
    }

    #[test]
    fn whoever_is_patient_gets_what_is_held_for_a_moment() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = OsLock::try_acquire(&path, SHORT).unwrap().unwrap();
        let patience = Duration::from_secs(600);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| OsLock::try_acquire(&path, patience).unwrap());
            // As long as a look for dead runs may take on a busy disk.
            std::thread::sleep(4 * SHORT);
            assert!(!second.is_finished());
            drop(first);
            assert!(second.join().unwrap().is_some());
        });
    }
}
