//! Buffers that are used again from step to step.

use std::collections::HashMap;

/// Keeps buffers by their length. Fresh memory costs a page fault every 4 kB, which is a third
/// of a small network's step; the same lengths come back every step.
#[derive(Debug, Default)]
pub(super) struct Arena {
    free: HashMap<usize, Vec<Vec<f32>>>,
}

impl Arena {
    /// A buffer of `len` numbers, whose values are whatever was left there.
    pub(super) fn take(&mut self, len: usize) -> Vec<f32> {
        self.free
            .get_mut(&len)
            .and_then(Vec::pop)
            .unwrap_or_else(|| vec![0.0; len])
    }

    /// A copy of `values`.
    pub(super) fn copy(&mut self, values: &[f32]) -> Vec<f32> {
        let mut buffer = self.take(values.len());
        buffer.copy_from_slice(values);
        buffer
    }

    /// Keeps a buffer for the next that asks for its length.
    pub(super) fn give(&mut self, buffer: Vec<f32>) {
        self.free.entry(buffer.len()).or_default().push(buffer);
    }

    /// How many buffers are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.free.values().map(Vec::len).sum()
    }

    /// Frees all buffers.
    pub(super) fn clear(&mut self) {
        self.free.clear();
    }
}
