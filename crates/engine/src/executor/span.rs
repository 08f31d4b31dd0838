//! What an executor did, and when.

use std::time::Duration;

/// What a span's time went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting for the loader's next batch.
    Load,
    /// The forward pass, of training or evaluation.
    Forward,
    /// The loss and its gradient.
    Loss,
    /// The backward pass.
    Backward,
    /// The gradient's norm, the optimiser and the running statistics.
    Update,
    /// Scoring the validation split.
    Validation,
    /// Writing a checkpoint.
    Checkpoint,
}

/// A stretch of time that was spent on one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Position of the layer in the graph; none for what belongs to no single layer.
    pub layer: Option<usize>,
    /// The layer's name, or what was done.
    pub name: String,
    /// What the time went to.
    pub phase: Phase,
    /// Since the moment that recording counts from.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
    /// Floating-point operations, by the graph's own count.
    pub flops: u64,
    /// Bytes read and written, by the sizes of the buffers.
    pub bytes: u64,
}
