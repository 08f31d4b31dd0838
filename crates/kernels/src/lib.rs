//! Hot numeric loops on plain slices, forward and backward.
//!
//! Activations lie in memory as `[batch, height, width, channels]` (NHWC), so that a pixel's
//! channels are side by side and inner loops run over them. Weights come and go in PyTorch's
//! layout. Work is split into pieces of fixed size on the thread pool it is called from, and
//! sums over pieces are taken in their order: the same input gives the same bits, on any number
//! of threads.
//!
//! Lengths that do not fit the shapes are errors of the caller and panic.

pub mod activation;
pub mod aligned;
pub mod attention;
pub mod channels;
pub mod convolution;
pub mod dropout;
pub mod finish;
pub mod instructions;
mod lanes;
pub mod layer_norm;
pub mod layout;
pub mod linear;
mod math;
pub mod normalization;
pub mod peak;
pub mod pixels;
pub mod pooling;
pub mod product;
mod scratch;
pub mod strided;
pub mod team;
pub mod tokens;
mod vectorized;
pub mod windows;

#[doc(hidden)]
pub use pulp;

/// Elements that one thread takes at a time in element-wise loops.
pub(crate) const CHUNK: usize = 16 * 1024;

/// Numbers of a cache line. A vector of AVX-512 that does not begin at one is loaded and stored in
/// two halves.
pub const CACHE_LINE: usize = 16;

/// The first position in `values` that begins a cache line; below [`CACHE_LINE`].
pub fn first_aligned(values: &[f32]) -> usize {
    let bytes = CACHE_LINE * size_of::<f32>();
    values.as_ptr().align_offset(bytes).min(CACHE_LINE - 1)
}
