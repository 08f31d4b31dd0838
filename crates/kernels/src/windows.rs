//! Pooling, resizing, sums, softmax and layer norm for inference, on NHWC images or rows.

mod layer_norm;
mod pool;
mod reduce;
mod resize;
mod softmax;
#[cfg(test)]
mod tests;

pub use layer_norm::layer_norm;
pub use pool::{Pool, pool};
pub use reduce::{Reduction, reduce};
pub use resize::{Sample, Taps, resample, resize};
pub use softmax::softmax;

use crate::strided::for_each_chunk;
use crate::team::Team;

/// Calls `work` with the number of each part of `len` numbers (the last may have fewer) and the part,
/// on all threads.
pub fn for_each_part(
    team: &Team,
    len: usize,
    target: &mut [f32],
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let all = target.len();
    let work = &work;
    for_each_chunk(team, all.div_ceil(len.max(1)), target, |part| {
        let range = part * len..all.min((part + 1) * len);
        (range, move |target: &mut [f32]| work(part, target))
    });
}
