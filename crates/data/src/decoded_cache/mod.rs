//! Decoded images on disk, so that only the first epoch on a dataset version decodes: one file for
//! a version and a size, which several processes fill and read at once.
//!
//! A cache is only ever a saving. One that is damaged, cut short or gone is filled again; one that
//! cannot be written (a full disk, no permission) is said so once and done without.

mod file;
mod folder;
mod source;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use ferrotype_core::manifest::Preprocessing;
use ferrotype_store::Digest;
use ferrotype_vision::RgbImage;
use ferrotype_vision::decode::JPEG_DECODER;
use ferrotype_vision::transform::Transform;

use self::file::Layout;
pub use self::folder::{CacheEntry, ClearedCaches, clear, list};
use self::folder::{EXTENSION, FolderLock, make_room};
pub use self::source::DecodedSource;
use crate::error::DataError;

/// Raised when decoding or resizing changes what comes out, so that no old pixels are read.
const PIXELS_REVISION: u32 = 1;

/// What a cache holds: its file's name, and a part of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CacheKey([u8; 32]);

impl CacheKey {
    fn new(dataset: &Digest, transform: &Transform) -> Self {
        let Preprocessing {
            width,
            height,
            resize,
            filter,
            ..
        } = transform.preprocessing();
        let made_by = format!(
            "{PIXELS_REVISION} {JPEG_DECODER} {} {width}×{height} {resize:?} {filter:?}",
            env!("CARGO_PKG_VERSION")
        );
        let mut hasher = blake3::Hasher::new_derive_key("ferrotype 2026 decoded images");
        hasher.update(dataset.as_bytes());
        hasher.update(made_by.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    fn file_name(&self) -> String {
        let hex = blake3::Hash::from_bytes(self.0).to_hex();
        format!("{}.{EXTENSION}", &hex[..32])
    }
}

/// Which images a cache is for.
#[derive(Debug, Clone)]
pub struct CacheRequest<'a> {
    /// The folder of caches; made if there is none.
    pub folder: &'a Path,
    /// The dataset version's digest.
    pub dataset: Digest,
    /// What to call it in lists, such as `land@v2`.
    pub name: &'a str,
    /// Images in all of the version's splits.
    pub images: usize,
    /// What brings them to their size.
    pub transform: &'a Transform,
    /// Bytes that all caches in the folder may take up together.
    pub limit_bytes: u64,
}

/// Who is told, once, that a cache is not written any more, and why.
pub type OnTrouble = Box<dyn Fn(&io::Error) + Send + Sync>;

/// The decoded images of a dataset version at one size, on disk.
pub struct DecodedCache {
    path: PathBuf,
    file: File,
    layout: Layout,
    transform: Transform,
    /// Images that fit into the limit: those with a lower number.
    capacity: u64,
    /// Which images this process has seen to be intact.
    intact: Vec<AtomicBool>,
    is_writable: AtomicBool,
    on_trouble: OnTrouble,
}

impl DecodedCache {
    /// Opens the cache that is asked for, or begins it, and deletes others where the limit says so.
    ///
    /// # Errors
    /// When the folder cannot be written, or the disk has no room for a cache's head.
    pub fn open(request: &CacheRequest<'_>, on_trouble: OnTrouble) -> Result<Self, DataError> {
        let transform = request.transform.clone();
        let layout = Layout {
            width: transform.width(),
            height: transform.height(),
            count: request.images as u64,
        };
        let key = CacheKey::new(&request.dataset, &transform);
        let path = request.folder.join(key.file_name());
        let lock = FolderLock::acquire(request.folder)?;
        let needed = layout.file_bytes();
        let room = make_room(&lock, request.folder, &path, needed, request.limit_bytes)?;
        let fail = |error| DataError::io("write", &path, error);
        let file = match open_existing(&path, layout, &key) {
            Some(file) => file,
            None => create(&path, layout, &key, &label(request)).map_err(fail)?,
        };
        // From here on nobody deletes it.
        file.lock_shared().map_err(fail)?;
        // Caches used longest ago are deleted first.
        file.set_modified(SystemTime::now()).map_err(fail)?;
        drop(lock);
        Ok(Self {
            capacity: room.saturating_sub(layout.head_bytes()) / layout.image_bytes(),
            intact: (0..request.images)
                .map(|_| AtomicBool::new(false))
                .collect(),
            is_writable: AtomicBool::new(true),
            path,
            file,
            layout,
            transform,
            on_trouble,
        })
    }

    /// The cache's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What brings an image to the size that is kept.
    pub fn transform(&self) -> &Transform {
        &self.transform
    }

    /// Writes an image over `image`, if it is there and intact; answers whether it was.
    pub fn read(&self, number: usize, image: &mut RgbImage) -> bool {
        let Some(intact) = self.intact.get(number) else {
            return false;
        };
        let trusted = intact.load(Ordering::Relaxed);
        let pixels = &mut image.pixels;
        let is_there = file::read(&self.file, self.layout, number as u64, pixels, trusted);
        if is_there {
            (image.width, image.height) = (self.layout.width, self.layout.height);
        }
        if is_there != trusted {
            intact.store(is_there, Ordering::Relaxed);
        }
        is_there
    }

    /// Keeps an image of the cache's size. One that does not fit is left out.
    pub fn write(&self, number: usize, image: &RgbImage) {
        let fits = (number as u64) < self.capacity.min(self.layout.count)
            && image.pixels.len() as u64 == self.layout.image_bytes();
        if !fits || !self.is_writable.load(Ordering::Relaxed) {
            return;
        }
        let written = file::write(&self.file, self.layout, number as u64, &image.pixels);
        if let Err(error) = written
            && self.is_writable.swap(false, Ordering::Relaxed)
        {
            (self.on_trouble)(&error);
        }
    }
}

impl fmt::Debug for DecodedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodedCache")
            .field("path", &self.path)
            .field("layout", &self.layout)
            .finish_non_exhaustive()
    }
}

fn label(request: &CacheRequest<'_>) -> String {
    let Preprocessing {
        width,
        height,
        resize,
        filter,
        ..
    } = request.transform.preprocessing();
    let mode = match resize {
        ferrotype_core::manifest::ResizeMode::Stretch => "stretch",
        ferrotype_core::manifest::ResizeMode::CenterCrop => "center crop",
    };
    let filter = format!("{filter:?}").to_lowercase();
    format!("{} at {width}×{height}, {mode}, {filter}", request.name)
}

/// The cache that is there, if it is one of this key.
fn open_existing(path: &Path, layout: Layout, key: &CacheKey) -> Option<File> {
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    file::is_of(&file, layout, key).then_some(file)
}

/// Begins a cache: its head under a temporary name first, then under its own.
fn create(path: &Path, layout: Layout, key: &CacheKey, label: &str) -> io::Result<File> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(".begun-")
        .tempfile_in(folder)?;
    file::create(temporary.as_file(), layout, key, label)?;
    // What was there under the name is no cache that can be read.
    let _ = fs::remove_file(path);
    temporary.persist(path).map_err(|error| error.error)
}

#[cfg(test)]
mod tests;
