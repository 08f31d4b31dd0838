//! A split of a dataset version as labelled images, for training and evaluation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrotype_core::dataset::{ImageEntry, Split};
use ferrotype_store::{Blobs, DatasetVersion, Digest, Store};
use ferrotype_vision::RgbImage;
use ferrotype_vision::decode::{DecodeError, DecodeLimits, decode};
use ferrotype_vision::loader::{SampleError, SampleSource, Workspace};
use ferrotype_vision::transform::Transform;

use crate::error::{DataError, DataErrorKind};
use crate::manifest::{DatasetManifest, load_manifest};

/// The images of one split, read from the store's blobs.
///
/// Each blob is verified when it is first read. What may have happened to it since it was imported
/// happened before that; hashing it anew each epoch would guard only against a disk that changes
/// bytes under a running process, at some percent of the loading time.
#[derive(Debug, Clone)]
pub struct StoreSource {
    blobs: Blobs,
    samples: Vec<Sample>,
    /// Which samples' blobs were verified.
    verified: Arc<[AtomicBool]>,
    limits: DecodeLimits,
}

/// One image of the split.
#[derive(Debug, Clone)]
struct Sample {
    digest: Digest,
    entry: ImageEntry,
    /// Its place among all images of the version.
    number: usize,
}

impl StoreSource {
    /// The images of `split`, in the manifest's order. Blocks on the disk.
    ///
    /// # Errors
    /// When the version's manifest is missing or damaged.
    pub fn open(store: &Store, version: &DatasetVersion, split: Split) -> Result<Self, DataError> {
        Self::from_manifest(store, &load_manifest(store, version)?, split)
    }

    /// The images of `split` of a manifest that has been read already.
    ///
    /// # Errors
    /// When an entry has no valid digest.
    pub fn from_manifest(
        store: &Store,
        manifest: &DatasetManifest,
        split: Split,
    ) -> Result<Self, DataError> {
        let entries = manifest.entries.iter().enumerate();
        let samples = entries
            .filter(|(_, entry)| entry.split == split)
            .map(|(number, entry)| {
                Ok(Sample {
                    digest: parse_digest(entry)?,
                    entry: entry.clone(),
                    number,
                })
            })
            .collect::<Result<Vec<_>, DataError>>()?;
        Ok(Self {
            blobs: store.blobs().clone(),
            verified: samples.iter().map(|_| AtomicBool::new(false)).collect(),
            samples,
            limits: DecodeLimits::default(),
        })
    }

    /// The entry of a sample, if there is one.
    pub fn entry(&self, index: usize) -> Option<&ImageEntry> {
        self.samples.get(index).map(|sample| &sample.entry)
    }

    /// A sample's place among all images of the version.
    pub(crate) fn number(&self, index: usize) -> usize {
        self.samples[index].number
    }

    /// Writes a sample's file over `bytes`.
    fn read(&self, index: usize, bytes: &mut Vec<u8>) -> Result<(), SampleError> {
        let Sample { digest, entry, .. } = &self.samples[index];
        let fail = |source| SampleError::read(entry.path.as_str(), source);
        self.blobs.read_unverified(digest, bytes).map_err(fail)?;
        // Two threads that verify the same one do no harm.
        if !self.verified[index].load(Ordering::Relaxed) {
            self.blobs.verify(digest, bytes).map_err(fail)?;
            self.verified[index].store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn undecodable(&self, index: usize, error: DecodeError) -> SampleError {
        SampleError::decode(self.name(index), error)
    }
}

fn parse_digest(entry: &ImageEntry) -> Result<Digest, DataError> {
    entry
        .digest
        .parse()
        .map_err(|source: ferrotype_store::ParseDigestError| {
            DataError::new(
                DataErrorKind::Corrupt,
                format!("the dataset's manifest is damaged at `{}`", entry.path),
            )
            .with_source(source)
            .with_hint("import the folder again")
        })
}

impl SampleSource for StoreSource {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn label(&self, index: usize) -> u32 {
        self.samples[index].entry.class
    }

    fn label_set(&self, index: usize) -> Option<&[u32]> {
        self.samples[index].entry.label_set.as_deref()
    }

    fn name(&self, index: usize) -> String {
        self.samples[index].entry.path.clone()
    }

    fn load(&self, index: usize) -> Result<RgbImage, SampleError> {
        let mut bytes = Vec::new();
        self.read(index, &mut bytes)?;
        let decoded = decode(&bytes, &self.limits);
        Ok(decoded
            .map_err(|error| self.undecodable(index, error))?
            .image)
    }

    fn load_resized(
        &self,
        index: usize,
        transform: &Transform,
        workspace: &mut Workspace,
        image: &mut RgbImage,
    ) -> Result<(), SampleError> {
        let mut bytes = std::mem::take(&mut workspace.file);
        let decoded = self.read(index, &mut bytes).and_then(|()| {
            workspace
                .decode(&bytes, &self.limits, transform, image)
                .map_err(|error| self.undecodable(index, error))
        });
        workspace.file = bytes;
        decoded.map(drop)
    }
}
