//! Changes of each pixel by those around it. Beyond the edges is the reflection without the edge
//! (OpenCV's default), unless it says otherwise.

mod kernel;
mod median;
mod sharpness;

pub use kernel::{Kernel, gaussian, motion};
pub(super) use kernel::{convolve, smooth, smooth_plane};
pub(super) use median::median;
pub(super) use sharpness::sharpness;

/// Position in `0..length` of one outside, reflected without the edge.
fn reflect(position: i64, length: u32) -> usize {
    super::geometry::Border {
        mode: ferrotype_core::config::augment::BorderMode::Reflect101,
        fill: [0; 3],
    }
    .position(position, length)
    .unwrap_or(0)
}

/// A row of pixels with `margin` pixels of its reflection on both sides.
fn padded_row(row: &[u8], margin: usize, padded: &mut Vec<u8>) {
    let pixels = row.as_chunks::<3>().0;
    let width = pixels.len() as u32;
    let outside = |position: i64| pixels[reflect(position, width)];
    padded.clear();
    for position in -(margin as i64)..0 {
        padded.extend_from_slice(&outside(position));
    }
    padded.extend_from_slice(row);
    for position in 0..margin as i64 {
        padded.extend_from_slice(&outside(i64::from(width) + position));
    }
}
