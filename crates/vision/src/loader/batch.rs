//! Batches, and the memory that they are made in.

use std::sync::Mutex;

/// Images and targets of one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// `[n, 3, height, width]`, normalised.
    pub images: Vec<f32>,
    /// `[n]` class indices; of no meaning where images may have several labels.
    pub labels: Vec<u32>,
    /// `[n, classes]`, where images may have several labels: 1 for each that an image has, and
    /// where the batch was mixed, how much of it.
    pub independent: Option<Vec<f32>>,
    /// `[n, classes]`, where the batch was mixed and each image has one class: each class's share
    /// of each image.
    pub shares: Option<Vec<f32>>,
    /// `[n]` sample indices in the source.
    pub indices: Vec<usize>,
    /// Height in pixels.
    pub height: u32,
    /// Width in pixels.
    pub width: u32,
}

/// Images of batches whose step is done. A batch takes tens of megabytes; made in memory that the
/// process already has, it costs no page faults.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: Mutex<Vec<Vec<f32>>>,
}

impl Pool {
    /// Memory for so many numbers, holding whatever it held before.
    pub(super) fn take(&self, len: usize) -> Vec<f32> {
        let recycled = self.free.lock().ok().and_then(|mut free| free.pop());
        let mut images = recycled.unwrap_or_default();
        images.resize(len, 0.0);
        images
    }

    /// Takes memory back.
    pub(super) fn put(&self, images: Vec<f32>) {
        if let Ok(mut free) = self.free.lock() {
            free.push(images);
        }
    }
}
