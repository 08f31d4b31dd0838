//! A split of a dataset version, read from a cache where it is there.

use std::sync::Arc;

use ferrotype_vision::RgbImage;
use ferrotype_vision::loader::{SampleError, SampleSource, Workspace};
use ferrotype_vision::transform::Transform;

use super::DecodedCache;
use crate::source::StoreSource;

/// The images of a split at a cache's size: read from the cache, or loaded and put there.
#[derive(Debug)]
pub struct DecodedSource {
    source: StoreSource,
    cache: Arc<DecodedCache>,
}

impl DecodedSource {
    /// A split whose decoded images are kept in `cache`, which is of the same dataset version.
    pub fn new(source: StoreSource, cache: Arc<DecodedCache>) -> Self {
        Self { source, cache }
    }
}

impl SampleSource for DecodedSource {
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

    /// The image as it is in its file.
    fn load(&self, index: usize) -> Result<RgbImage, SampleError> {
        self.source.load(index)
    }

    fn load_resized(
        &self,
        index: usize,
        transform: &Transform,
        workspace: &mut Workspace,
        image: &mut RgbImage,
    ) -> Result<(), SampleError> {
        if !transform.resizes_like(self.cache.transform()) {
            return self.source.load_resized(index, transform, workspace, image);
        }
        let number = self.source.number(index);
        if self.cache.read(number, image) {
            return Ok(());
        }
        self.source
            .load_resized(index, transform, workspace, image)?;
        self.cache.write(number, image);
        Ok(())
    }
}
