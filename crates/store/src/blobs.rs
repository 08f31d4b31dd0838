//! Content-addressed files: `blobs/ab/cdef…`, named by the BLAKE3 of what they hold.
//!
//! A blob is written under a temporary name, flushed and renamed, so one under its final name is
//! whole. Reading verifies it all the same: disks rot and people edit.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::atomic_file::{TemporaryFile, create_folder, flush_folder};
use crate::blob_batch::BlobBatch;
use crate::digest::{Digest, Hasher};
use crate::error::{StoreError, StoreErrorKind};
use crate::os_lock::OsLock;

/// Files are copied in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// The blobs of a store. Cheap to clone; all methods block.
#[derive(Debug, Clone)]
pub struct Blobs {
    root: PathBuf,
}

impl Blobs {
    pub(crate) fn open(root: PathBuf) -> Result<Self, StoreError> {
        let blobs = Self { root };
        create_folder(&blobs.temporary_folder())?;
        Ok(blobs)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where blobs are written before they get their name; on the same file system.
    pub(crate) fn temporary_folder(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Where the blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let text = digest.to_string();
        self.root.join(&text[..2]).join(&text[2..])
    }

    /// Whether there is such a blob (not whether it is intact).
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Size of the blob in bytes.
    ///
    /// # Errors
    /// When there is no such blob.
    pub fn size(&self, digest: &Digest) -> Result<u64, StoreError> {
        let path = self.path(digest);
        fs::metadata(&path)
            .map(|metadata| metadata.len())
            .map_err(|error| missing_or_io(digest, &path, &error))
    }

    /// Keeps `bytes`. When this returns, they are on the disk.
    ///
    /// # Errors
    /// When the disk is full (nothing is left half-written) or cannot be written.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if !self.keep_existing(&digest, bytes.len() as u64)? {
            let mut file = TemporaryFile::create(&self.temporary_folder())?;
            file.write(bytes)?;
            file.flush_to_disk()?;
            flush_folder(&self.place(file, &digest)?)?;
        }
        Ok(digest)
    }

    /// Keeps the content of a file, of any size; returns the digest and the size in bytes.
    ///
    /// # Errors
    /// When the file cannot be read, or as [`Self::put`].
    pub fn put_file(&self, path: &Path) -> Result<(Digest, u64), StoreError> {
        let mut source = File::open(path).map_err(|error| StoreError::io("read", path, &error))?;
        let mut file = TemporaryFile::create(&self.temporary_folder())?;
        let mut hasher = Hasher::new();
        let mut byte_count = 0;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = source
                .read(&mut piece)
                .map_err(|error| StoreError::io("read", path, &error))?;
            if read == 0 {
                break;
            }
            hasher.update(&piece[..read]);
            file.write(&piece[..read])?;
            byte_count += read as u64;
        }
        let digest = hasher.finish();
        if !self.keep_existing(&digest, byte_count)? {
            file.flush_to_disk()?;
            flush_folder(&self.place(file, &digest)?)?;
        }
        Ok((digest, byte_count))
    }

    /// Starts a batch: many blobs that are flushed to the disk together, which is far faster than
    /// one by one.
    pub fn batch(&self) -> BlobBatch {
        BlobBatch::new(self.clone())
    }

    /// The blob's bytes, verified.
    ///
    /// # Errors
    /// When there is no such blob (`NotFound`), or its bytes are not those that were put
    /// (`Corrupt`, with the path).
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        self.read_unverified(digest, &mut bytes)?;
        self.verify(digest, &bytes)?;
        Ok(bytes)
    }

    /// Writes the blob's bytes over `bytes`, in the memory that it has, without verifying them:
    /// for readers that come back to the same blob and have called [`Self::verify`] before.
    ///
    /// # Errors
    /// When there is no such blob (`NotFound`), or it cannot be read.
    pub fn read_unverified(&self, digest: &Digest, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        let path = self.path(digest);
        bytes.clear();
        File::open(&path)
            .and_then(|mut file| file.read_to_end(bytes))
            .map(drop)
            .map_err(|error| missing_or_io(digest, &path, &error))
    }

    /// Checks that `bytes`, as read, are those that were put under this digest.
    ///
    /// # Errors
    /// When they are not (`Corrupt`, with the path).
    pub fn verify(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        if Digest::of(bytes) == *digest {
            return Ok(());
        }
        Err(self.damaged(digest, bytes.len() as u64))
    }

    /// The blob's file, open at its beginning and verified, and when it was last written to before:
    /// for readers that need not have all of it in memory. Written to later, it is to be verified anew.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn verified_file(&self, digest: &Digest) -> Result<(File, SystemTime), StoreError> {
        let path = self.path(digest);
        let read = |file: &mut File| {
            let modified = file.metadata()?.modified()?;
            let mut hasher = Hasher::new();
            let mut byte_count = 0;
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                let read = file.read(&mut piece)?;
                if read == 0 {
                    file.rewind()?;
                    return Ok((hasher.finish(), byte_count, modified));
                }
                hasher.update(&piece[..read]);
                byte_count += read as u64;
            }
        };
        let opened = File::open(&path).and_then(|mut file| read(&mut file).map(|of| (file, of)));
        let (file, (found, byte_count, modified)) =
            opened.map_err(|error| missing_or_io(digest, &path, &error))?;
        match found == *digest {
            true => Ok((file, modified)),
            false => Err(self.damaged(digest, byte_count)),
        }
    }

    fn damaged(&self, digest: &Digest, byte_count: u64) -> StoreError {
        let path = self.path(digest);
        StoreError::new(
            StoreErrorKind::Corrupt,
            format!(
                "blob `{}` is damaged: its {byte_count} bytes do not match its name",
                path.display(),
            ),
        )
        .at(&path)
        .with_hint("delete that file and import the same data (or train) again, or restore it from a backup")
    }

    /// Whether the blob is there already; if so, it is marked as used now, so that a sweep leaves
    /// it. A file of another size is damaged and is to be replaced.
    pub(crate) fn keep_existing(
        &self,
        digest: &Digest,
        byte_count: u64,
    ) -> Result<bool, StoreError> {
        let path = self.path(digest);
        if !path.is_file() {
            return Ok(false);
        }
        let _no_sweep = OsLock::acquire_shared(&self.sweep_lock_path())?;
        let Ok(file) = File::options().append(true).open(&path) else {
            return Ok(false); // swept just now, or not ours to write: it is put anew
        };
        let marked = file.set_modified(SystemTime::now()).is_ok();
        let fits = |metadata: fs::Metadata| metadata.len() == byte_count;
        Ok(marked && file.metadata().is_ok_and(fits))
    }

    /// Held alone by a sweep while it looks at a blob's age and deletes it, and shared by those
    /// who make one young.
    pub(crate) fn sweep_lock_path(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Gives a written file its final name; returns the folder that it is in.
    pub(crate) fn place(
        &self,
        file: TemporaryFile,
        digest: &Digest,
    ) -> Result<PathBuf, StoreError> {
        let path = self.path(digest);
        let folder = match path.parent() {
            Some(folder) => folder.to_path_buf(),
            None => self.root.clone(),
        };
        if !folder.is_dir() {
            create_folder(&folder)?;
            flush_folder(&self.root)?;
        }
        file.place(&path)?;
        Ok(folder)
    }
}

fn missing_or_io(digest: &Digest, path: &Path, error: &std::io::Error) -> StoreError {
    if error.kind() == std::io::ErrorKind::NotFound {
        StoreError::new(
            StoreErrorKind::NotFound,
            format!("blob `{digest}` is not in the store"),
        )
        .at(path)
        .with_hint("import the same data again, or restore it from a backup")
    } else {
        StoreError::io("read", path, error)
    }
}
