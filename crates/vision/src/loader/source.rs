//! Where samples come from, and keeping them in memory.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::workspace::Workspace;
use crate::RgbImage;
use crate::transform::Transform;

/// The kind of a [`SampleError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SampleErrorKind {
    /// Its bytes could not be read.
    Read,
    /// Its bytes are no usable image.
    Decode,
    /// The source panicked while loading it.
    Panic,
}

/// A sample that could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("sample `{name}` could not be loaded")]
pub struct SampleError {
    /// Why.
    pub kind: SampleErrorKind,
    /// The sample's name, such as its path in the data set.
    pub name: String,
    /// What went wrong.
    pub source: Box<dyn Error + Send + Sync>,
}

impl SampleError {
    /// A sample whose bytes could not be read.
    pub fn read(name: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(SampleErrorKind::Read, name.into(), source.into())
    }

    /// A sample whose bytes are no usable image.
    pub fn decode(
        name: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::new(SampleErrorKind::Decode, name.into(), source.into())
    }

    /// A sample whose source panicked.
    pub(super) fn panic(name: impl Into<String>) -> Self {
        let source = "the sample source panicked";
        Self::new(SampleErrorKind::Panic, name.into(), source.into())
    }

    fn new(kind: SampleErrorKind, name: String, source: Box<dyn Error + Send + Sync>) -> Self {
        Self { kind, name, source }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self.kind {
            SampleErrorKind::Read => Some("check that the data set's files are complete".into()),
            SampleErrorKind::Decode => {
                Some("import the folder again; unusable images are left out and reported".into())
            }
            SampleErrorKind::Panic => None,
        }
    }
}

/// Labelled images that can be loaded one by one from several threads.
pub trait SampleSource: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Class of a sample, `index` in `0..len()`.
    fn label(&self, index: usize) -> u32;

    /// The labels of a sample where samples may have several of them, or none; absent where each
    /// has one class. It is the same for all samples of a source. A source that passes another's
    /// samples on passes these on too.
    fn label_set(&self, index: usize) -> Option<&[u32]> {
        let _ = index;
        None
    }

    /// Name of a sample for messages, such as its path in the data set.
    fn name(&self, index: usize) -> String;

    /// The image of a sample.
    ///
    /// # Errors
    /// When its bytes cannot be read or decoded; the error carries the sample's name.
    fn load(&self, index: usize) -> Result<RgbImage, SampleError>;

    /// Writes the image of a sample at `transform`'s size over `image`, which is what the
    /// transform makes of the file. A source that can do better than to load it first does so.
    ///
    /// # Errors
    /// As [`Self::load`].
    fn load_resized(
        &self,
        index: usize,
        transform: &Transform,
        workspace: &mut Workspace,
        image: &mut RgbImage,
    ) -> Result<(), SampleError> {
        workspace.resize(&self.load(index)?, transform, image);
        Ok(())
    }
}

/// A source that keeps another's images in memory, decoded and resized, up to a budget of bytes,
/// so that all epochs but the first are free of decoding. Samples past the budget are loaded anew
/// each time. What comes out is the same with any budget.
pub struct CachedSource {
    source: Arc<dyn SampleSource>,
    transform: Transform,
    /// Pixels at the transform's size, filled as samples are first loaded.
    kept: Vec<OnceLock<Box<[u8]>>>,
    bytes_left: AtomicU64,
}

impl CachedSource {
    /// Keeps up to `budget_bytes` of `source`'s images at `transform`'s size.
    pub fn new(source: Arc<dyn SampleSource>, transform: Transform, budget_bytes: u64) -> Self {
        let kept = (0..source.len()).map(|_| OnceLock::new()).collect();
        Self {
            source,
            transform,
            kept,
            bytes_left: AtomicU64::new(budget_bytes),
        }
    }

    /// Takes the bytes of one image from the budget, if there are that many.
    fn reserve(&self, bytes: u64) -> bool {
        self.bytes_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }

    /// Writes an image at the size that is kept over `image`.
    fn load_kept(
        &self,
        index: usize,
        workspace: &mut Workspace,
        image: &mut RgbImage,
    ) -> Result<(), SampleError> {
        if let Some(pixels) = self.kept.get(index).and_then(OnceLock::get) {
            image.copy_from(self.transform.width(), self.transform.height(), pixels);
            return Ok(());
        }
        self.source
            .load_resized(index, &self.transform, workspace, image)?;
        self.keep(index, image);
        Ok(())
    }

    fn keep(&self, index: usize, image: &RgbImage) {
        let bytes = image.pixels.len() as u64;
        let Some(slot) = self.kept.get(index).filter(|_| self.reserve(bytes)) else {
            return;
        };
        if slot.set(image.pixels.as_slice().into()).is_err() {
            // Another thread was faster; its copy is the one that counts.
            self.bytes_left.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl SampleSource for CachedSource {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn label(&self, index: usize) -> u32 {
        self.source.label(index)
    }

    fn label_set(&self, index: usize) -> Option<&[u32]> {
        self.source.label_set(index)
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    /// The image at the size that is kept.
    fn load(&self, index: usize) -> Result<RgbImage, SampleError> {
        let mut image = RgbImage::default();
        self.load_kept(index, &mut Workspace::default(), &mut image)?;
        Ok(image)
    }

    fn load_resized(
        &self,
        index: usize,
        transform: &Transform,
        workspace: &mut Workspace,
        image: &mut RgbImage,
    ) -> Result<(), SampleError> {
        if transform.resizes_like(&self.transform) {
            return self.load_kept(index, workspace, image);
        }
        self.source.load_resized(index, transform, workspace, image)
    }
}
