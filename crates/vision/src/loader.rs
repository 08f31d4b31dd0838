//! Batches of training and evaluation images, made on threads ahead of the step.

use std::error::Error;
use std::sync::Arc;

use crate::RgbImage;
use crate::augment::Augment;
use crate::random;
use crate::transform::Transform;

/// Why a sample could not be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SampleErrorKind {
    /// Its bytes could not be read.
    Read,
    /// Its bytes are no usable image.
    Decode,
    /// The source panicked.
    Panic,
}

/// A sample that could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("sample `{name}` could not be loaded: {source}")]
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
        Self::new(SampleErrorKind::Read, name, source)
    }

    /// A sample whose bytes are no usable image.
    pub fn decode(
        name: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::new(SampleErrorKind::Decode, name, source)
    }

    fn new(
        kind: SampleErrorKind,
        name: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            name: name.into(),
            source: source.into(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        None
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

    /// Name of a sample for messages, such as its path in the data set.
    fn name(&self, index: usize) -> String;

    /// The image of a sample.
    ///
    /// # Errors
    /// When its bytes cannot be read or decoded; the error carries the sample's name.
    fn load(&self, index: usize) -> Result<RgbImage, SampleError>;
}

/// A source that keeps its images in memory, decoded and resized, up to a budget of bytes.
/// Shared by all epochs; the pixels that come out are the same with any budget.
pub struct CachedSource {
    source: Arc<dyn SampleSource>,
    transform: Transform,
}

impl CachedSource {
    /// Keeps up to `budget_bytes` of `source`'s images at `transform`'s size.
    pub fn new(source: Arc<dyn SampleSource>, transform: Transform, budget_bytes: u64) -> Self {
        let _ = budget_bytes;
        Self { source, transform }
    }
}

impl SampleSource for CachedSource {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn label(&self, index: usize) -> u32 {
        self.source.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn load(&self, index: usize) -> Result<RgbImage, SampleError> {
        Ok(self.transform.resize(&self.source.load(index)?))
    }
}

/// Images and labels of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// `[n, 3, height, width]`, normalised.
    pub images: Vec<f32>,
    /// `[n]` class indices.
    pub labels: Vec<u32>,
    /// `[n]` sample indices in the source.
    pub indices: Vec<usize>,
    /// Height in pixels.
    pub height: u32,
    /// Width in pixels.
    pub width: u32,
}

/// How batches are made.
#[derive(Debug, Clone)]
pub struct LoaderOptions {
    /// From image to input.
    pub transform: Transform,
    /// Random changes at the input size; none for evaluation.
    pub augment: Option<Augment>,
    /// Images in one batch; the last may have fewer. 0 counts as 1.
    pub batch_size: usize,
    /// Threads; 0 means as many as the machine has.
    pub workers: usize,
    /// Seed of the augmentation.
    pub seed: u64,
    /// Batches made ahead of the one asked for; 0 counts as 1.
    pub prefetch: usize,
}

/// Makes batches.
#[derive(Debug, Clone, Copy)]
pub struct Loader;

/// The batches of one epoch, in order.
pub struct Batches {
    source: Arc<dyn SampleSource>,
    options: LoaderOptions,
    order: Vec<usize>,
    epoch: u64,
    next: usize,
}

impl Loader {
    /// The batches of one epoch over the samples in `order`, starting with batch `first_batch`.
    pub fn epoch(
        source: Arc<dyn SampleSource>,
        options: &LoaderOptions,
        order: Vec<usize>,
        epoch: u64,
        first_batch: usize,
    ) -> Batches {
        Batches {
            source,
            options: options.clone(),
            order,
            epoch,
            next: first_batch,
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, SampleError>;

    fn next(&mut self) -> Option<Self::Item> {
        let size = self.options.batch_size.max(1);
        let indices = self.order.chunks(size).nth(self.next)?.to_vec();
        self.next += 1;
        Some(make_batch(
            &*self.source,
            &self.options,
            indices,
            self.epoch,
        ))
    }
}

fn make_batch(
    source: &dyn SampleSource,
    options: &LoaderOptions,
    indices: Vec<usize>,
    epoch: u64,
) -> Result<Batch, SampleError> {
    let transform = &options.transform;
    let mut images = vec![0.0; indices.len() * transform.input_len()];
    for (&index, input) in indices
        .iter()
        .zip(images.chunks_exact_mut(transform.input_len()))
    {
        let mut image = transform.resize(&source.load(index)?);
        if let Some(augment) = &options.augment {
            let mut rng = random::stream(options.seed, "augment", &[epoch, index as u64]);
            augment.apply(&mut image, &mut rng);
        }
        transform.normalize_into(&image, input);
    }
    Ok(Batch {
        images,
        labels: indices.iter().map(|&index| source.label(index)).collect(),
        indices,
        height: transform.height(),
        width: transform.width(),
    })
}

/// The order of an epoch's training samples: shuffled, keyed by seed and epoch.
pub fn training_order(len: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order = plain_order(len);
    random::shuffle(&mut order, &mut random::stream(seed, "order", &[epoch]));
    order
}

/// The samples in their own order, for evaluation.
pub fn plain_order(len: usize) -> Vec<usize> {
    (0..len).collect()
}
