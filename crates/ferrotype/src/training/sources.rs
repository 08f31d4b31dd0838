//! The images that a training reads: from the disk's cache of decoded images, and kept in memory
//! as far as they fit.

use std::sync::Arc;

use ferrotype_core::dataset::Split;
use ferrotype_data::decoded_cache::{CacheRequest, DecodedCache, DecodedSource};
use ferrotype_data::{StoreSource, load_manifest};
use ferrotype_store::Store;
use ferrotype_vision::loader::{CachedSource, SampleSource};
use ferrotype_vision::transform::Transform;

use super::Plan;
use crate::context::Context;
use crate::failure::Failure;
use crate::system_metrics;

/// Share of the memory that is free which the decoded images of both splits may take. The rest is
/// the step's, and the operating system's, which keeps the cache's pages there anyway.
const MEMORY_SHARE: u64 = 4;

/// What they may take where the system does not tell how much is free.
const FALLBACK_BYTES: u64 = 512 << 20;

/// The images that training reads.
pub(crate) struct Sources {
    /// Weights are fitted on these.
    pub(crate) train: Arc<dyn SampleSource>,
    /// The best weights are chosen by these; may be empty.
    pub(crate) validation: Arc<dyn SampleSource>,
}

impl Plan {
    /// The images of both splits: decoded once and kept on disk, in memory as far as they fit.
    pub(crate) fn sources(&self, context: &Context, store: &Store) -> anyhow::Result<Sources> {
        let manifest = load_manifest(store, &self.dataset)?;
        let images = manifest.entries.len();
        let train = StoreSource::from_manifest(store, &manifest, Split::Train)?;
        let validation = StoreSource::from_manifest(store, &manifest, Split::Val)?;
        if train.is_empty() {
            return Err(Failure::new(format!(
                "`{}` has no images to train on",
                self.dataset.reference()
            ))
            .hint(format!(
                "`ferrotype data show {}` counts its splits",
                self.dataset.reference()
            ))
            .into());
        }
        if train.label_set(0).is_some() != self.task.is_multi_label() {
            return Err(Failure::new(format!(
                "the import's report and the images of `{}` disagree on whether there are labels",
                self.dataset.reference()
            ))
            .hint("import the folder again")
            .into());
        }
        let validated_at = self.transform()?;
        let trained_at = self.source_transform()?.unwrap_or(validated_at.clone());
        let train_cache = self.cache(context, store, images, &trained_at);
        let validation_cache = if trained_at.resizes_like(&validated_at) {
            train_cache.clone()
        } else {
            self.cache(context, store, images, &validated_at)
        };
        let mut budget = memory_budget();
        let train = in_memory(on_disk(train, train_cache), trained_at, &mut budget);
        let validation = in_memory(
            on_disk(validation, validation_cache),
            validated_at,
            &mut budget,
        );
        Ok(Sources { train, validation })
    }

    /// The cache on disk for images of this size; none where it is turned off or cannot be had.
    fn cache(
        &self,
        context: &Context,
        store: &Store,
        images: usize,
        transform: &Transform,
    ) -> Option<Arc<DecodedCache>> {
        let limit_bytes = self.config.data.cache_bytes();
        if limit_bytes == 0 {
            return None;
        }
        let name = self.dataset.reference().to_string();
        let request = CacheRequest {
            folder: &store.decoded_cache_folder(),
            dataset: self.dataset.digest,
            name: &name,
            images,
            transform,
            limit_bytes,
        };
        let printer = context.printer().clone();
        let opened = DecodedCache::open(
            &request,
            Box::new(move |error| {
                printer.warning(format_args!(
                    "the cache of decoded images cannot be written ({error}): the rest is decoded anew in every epoch"
                ));
            }),
        );
        match opened {
            Ok(cache) => Some(Arc::new(cache)),
            Err(error) => {
                context.printer().warning(format_args!(
                    "there is no cache of decoded images: {error}; images are decoded anew in every epoch"
                ));
                None
            }
        }
    }
}

fn on_disk(source: StoreSource, cache: Option<Arc<DecodedCache>>) -> Arc<dyn SampleSource> {
    match cache {
        Some(cache) => Arc::new(DecodedSource::new(source, cache)),
        None => Arc::new(source),
    }
}

/// Keeps images in memory within the budget, which shrinks by what they will take.
fn in_memory(
    source: Arc<dyn SampleSource>,
    transform: Transform,
    budget: &mut u64,
) -> Arc<dyn SampleSource> {
    let needed = transform.input_len() as u64 * source.len() as u64;
    let bytes = needed.min(*budget);
    *budget -= bytes;
    Arc::new(CachedSource::new(source, transform, bytes))
}

/// Bytes that decoded images may take in memory.
fn memory_budget() -> u64 {
    system_metrics::available_memory().map_or(FALLBACK_BYTES, |bytes| bytes / MEMORY_SHARE)
}
