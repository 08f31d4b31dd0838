//! The largest number or the mean of each window.

use std::ops::Range;

use crate::convolution::prepared::Geometry;
use crate::strided::for_each_chunk;
use crate::team::Team;
use crate::vectorized;

/// What is taken of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// The largest number.
    Maximum,
    /// The mean of those that lie in the image.
    Mean,
    /// The sum over as many numbers as the window has within the image and its padding, of which
    /// there is `end_padding` below and on the right.
    MeanWithPadding {
        /// Padding below and on the right.
        end_padding: [usize; 2],
    },
}

/// Writes what `pool` takes of each window (`kernel`) and channel to `target`.
///
/// # Panics
/// Lengths do not fit the shape.
pub fn pool(
    team: &Team,
    pool: Pool,
    geometry: &Geometry,
    kernel: [usize; 2],
    channels: usize,
    source: &[f32],
    target: &mut [f32],
) {
    let [height, width] = geometry.output;
    let image_len = geometry.input[0] * geometry.input[1] * channels;
    assert_eq!(source.len(), geometry.batch * image_len, "source");
    let row_len = width * channels;
    assert_eq!(target.len(), geometry.batch * height * row_len, "target");
    if target.is_empty() {
        return;
    }
    for_each_chunk(team, geometry.batch * height, target, |piece| {
        let range = piece * row_len..(piece + 1) * row_len;
        (range, move |target: &mut [f32]| {
            let image = &source[piece / height * image_len..][..image_len];
            let y = piece % height;
            let rows = pixels_inside(geometry, 0, kernel[0], y);
            for (x, target) in target.chunks_exact_mut(channels).enumerate() {
                let columns = pixels_inside(geometry, 1, kernel[1], x);
                window(
                    pool,
                    geometry,
                    [kernel, [y, x]],
                    [rows.clone(), columns],
                    image,
                    target,
                );
            }
        })
    });
}

/// The taps of a window inside the image.
fn pixels_inside(geometry: &Geometry, axis: usize, kernel: usize, point: usize) -> Range<usize> {
    geometry.taps_inside(axis, kernel, point)
}

fn window(
    pool: Pool,
    geometry: &Geometry,
    [kernel, point]: [[usize; 2]; 2],
    taps: [Range<usize>; 2],
    image: &[f32],
    target: &mut [f32],
) {
    let channels = target.len();
    let at = |axis: usize, tap: usize| {
        (point[axis] * geometry.stride[axis] + tap * geometry.dilation[axis])
            .wrapping_sub(geometry.padding[axis])
    };
    let mut count = 0;
    target.fill(match pool {
        Pool::Maximum => f32::NEG_INFINITY,
        _ => 0.0,
    });
    for tap_y in taps[0].clone() {
        for tap_x in taps[1].clone() {
            let pixel = at(0, tap_y) * geometry.input[1] + at(1, tap_x);
            let numbers = &image[pixel * channels..][..channels];
            match pool {
                Pool::Maximum => take_maximum(target, numbers),
                _ => add(target, numbers),
            }
            count += 1;
        }
    }
    match pool {
        Pool::Maximum => {}
        Pool::Mean => scale(target, 1.0 / count as f32),
        Pool::MeanWithPadding { end_padding } => {
            let counted = |axis: usize| {
                let limit = geometry.padding[axis] + geometry.input[axis] + end_padding[axis];
                let start = point[axis] * geometry.stride[axis];
                limit
                    .saturating_sub(start)
                    .div_ceil(geometry.dilation[axis])
                    .min(kernel[axis])
            };
            scale(target, 1.0 / (counted(0) * counted(1)) as f32);
        }
    }
}

vectorized! {
    pub(super) fn take_maximum(target: &mut [f32], numbers: &[f32]) {
        for (target, number) in target.iter_mut().zip(numbers) {
            // Written so that a NaN stays one.
            *target = if *target > *number || target.is_nan() { *target } else { *number };
        }
    }

    fn add(target: &mut [f32], numbers: &[f32]) {
        for (target, number) in target.iter_mut().zip(numbers) {
            *target += *number;
        }
    }

    pub(super) fn scale(target: &mut [f32], factor: f32) {
        for target in target {
            *target *= factor;
        }
    }
}
