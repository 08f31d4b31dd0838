//! A split of a dataset version as labelled images, for training and evaluation.

use ferrotype_core::dataset::{ImageEntry, Split};
use ferrotype_store::{Blobs, DatasetVersion, Digest, Store};
use ferrotype_vision::RgbImage;
use ferrotype_vision::decode::{DecodeLimits, decode};
use ferrotype_vision::loader::{SampleError, SampleSource};

use crate::error::{DataError, DataErrorKind};
use crate::manifest::{DatasetManifest, load_manifest};

/// The images of one split, read from the store's blobs and verified each time.
#[derive(Debug, Clone)]
pub struct StoreSource {
    blobs: Blobs,
    samples: Vec<(Digest, ImageEntry)>,
    limits: DecodeLimits,
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
        let samples = manifest
            .entries_in(split)
            .map(|entry| Ok((parse_digest(entry)?, entry.clone())))
            .collect::<Result<Vec<_>, DataError>>()?;
        Ok(Self {
            blobs: store.blobs().clone(),
            samples,
            limits: DecodeLimits::default(),
        })
    }

    /// The entry of a sample, if there is one.
    pub fn entry(&self, index: usize) -> Option<&ImageEntry> {
        self.samples.get(index).map(|(_, entry)| entry)
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
        self.samples[index].1.class
    }

    fn name(&self, index: usize) -> String {
        self.samples[index].1.path.clone()
    }

    fn load(&self, index: usize) -> Result<RgbImage, SampleError> {
        let (digest, entry) = &self.samples[index];
        let bytes = self
            .blobs
            .get(digest)
            .map_err(|source| SampleError::read(entry.path.as_str(), source))?;
        let decoded = decode(&bytes, &self.limits)
            .map_err(|source| SampleError::decode(entry.path.as_str(), source))?;
        Ok(decoded.image)
    }
}
