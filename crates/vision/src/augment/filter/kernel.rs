//! Weighted sums of neighbours.

use ferrotype_kernels::vectorized;

use super::{padded_row, reflect};
use crate::RgbImage;
use crate::augment::color::blocks::byte as cut_off;

/// Weights of the pixels around one, by rows; a square of odd side.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// Pixels in a row.
    pub side: usize,
    /// `side × side` weights.
    pub weights: Vec<f32>,
}

/// The weights of a Gaussian of this deviation in pixels along one axis, as Albumentations makes
/// them: `size` of them, or for 0 as many as reach 3.5 deviations to both sides.
pub fn gaussian(sigma: f64, size: usize) -> Vec<f32> {
    let size = match size {
        0 => (sigma * 3.5) as usize * 2 + 1,
        size => size | 1,
    };
    let center = (size / 2) as f64;
    let weights: Vec<f64> = (0..size)
        .map(|index| (-0.5 * ((index as f64 - center) / sigma).powi(2)).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

/// A line through a square, moved by `shift` pixels: Albumentations' `create_motion_kernel`.
pub fn motion(side: usize, angle: f64, direction: f64, shift: [f64; 2]) -> Kernel {
    let half = (side / 2) as f64;
    let back = half * (1.0 - direction.max(0.0));
    let ahead = half * (1.0 + direction.min(0.0));
    let (sin, cos) = angle.to_radians().sin_cos();
    let mut weights = vec![0.0; side * side];
    let last = side.saturating_sub(1) as f64;
    for index in 0..side {
        let along = -back + (ahead + back) * index as f64 / last.max(1.0);
        let cell = |center: f64| center.round_ties_even().clamp(0.0, last) as usize;
        let (x, y) = (
            cell(half + cos * along + shift[0]),
            cell(half + sin * along + shift[1]),
        );
        weights[y * side + x] = 1.0;
    }
    let sum: f32 = weights.iter().sum();
    let weights = weights
        .into_iter()
        .map(|weight| weight / sum.max(1.0))
        .collect();
    Kernel { side, weights }
}

/// Sums of neighbours by the kernel, rounded.
pub(in crate::augment) fn convolve(image: &mut RgbImage, kernel: &Kernel) {
    let half = kernel.side / 2;
    let rows = PaddedRows::new(image, half);
    let taps: Vec<(usize, usize, f32)> = (0..kernel.weights.len())
        .filter(|&index| kernel.weights[index] != 0.0)
        .map(|index| {
            (
                index / kernel.side,
                index % kernel.side,
                kernel.weights[index],
            )
        })
        .collect();
    let row_bytes = image.row_bytes();
    let mut from_row = Vec::with_capacity(taps.len());
    for (y, row) in image.pixels.chunks_exact_mut(row_bytes).enumerate() {
        from_row.clear();
        from_row.extend(taps.iter().map(|&(down, across, weight)| {
            let start = rows.start(y as i64 + down as i64 - half as i64);
            (start + across * 3, weight)
        }));
        weighted(&rows.bytes, &from_row, row);
    }
}

/// Smooths by the same weights along both axes. They are not negative, and are taken as shares of
/// their sum.
///
/// Sums are whole numbers of 16 bits, of which 8 are after the point: down by weights of 8 bits, as
/// OpenCV's filter on bytes has them, along by weights of 16 bits.
pub(in crate::augment) fn smooth(image: &mut RgbImage, weights: &[f32]) {
    let half = weights.len() / 2;
    if half == 0 {
        return;
    }
    let [down, along] = [1 << 8, 1 << 16].map(|one| whole_shares(weights, one));
    let row_bytes = image.row_bytes();
    let mut source = Vec::with_capacity(image.pixels.len() + BLOCK);
    source.extend_from_slice(&image.pixels);
    source.resize(image.pixels.len() + BLOCK, 0);
    let (width, height) = (image.width, image.height);
    let mirrored = |x: i64| 3 * (half + reflect(x, width));
    let mut sums = vec![0; (row_bytes + 6 * half).next_multiple_of(BLOCK) + 2 * BLOCK];
    let mut starts = Vec::with_capacity(weights.len());
    for (y, row) in image.pixels.chunks_exact_mut(row_bytes).enumerate() {
        starts.clear();
        starts.extend(
            (0..weights.len())
                .map(|tap| reflect((y + tap) as i64 - half as i64, height) * row_bytes),
        );
        sum_down(&source, &starts, &down, &mut sums[3 * half..], row_bytes);
        for x in 0..half as i64 {
            let [before, after] = [-1 - x, i64::from(width) + x].map(mirrored);
            let end = 3 * half + row_bytes + 3 * x as usize;
            sums.copy_within(before..before + 3, 3 * (half - 1 - x as usize));
            sums.copy_within(after..after + 3, end);
        }
        sum_along(&sums, &along, row);
    }
}

/// Weights as whole numbers that together are `one`; what rounding leaves is carried on from the
/// outermost inwards, on each side.
fn whole_shares(weights: &[f32], one: u32) -> Vec<u16> {
    let total: f64 = weights
        .iter()
        .map(|&weight| f64::from(weight.max(0.0)))
        .sum();
    let scale = f64::from(one) / total.max(f64::MIN_POSITIVE);
    let mut shares = vec![0_u16; weights.len()];
    let half = weights.len() / 2;
    let (mut left, mut carried) = (one, [0.0; 2]);
    for index in 0..half {
        let sides = [index, weights.len() - 1 - index];
        for (at, carried) in sides
            .into_iter()
            .zip(&mut carried)
            .filter(|(at, _)| *at != half)
        {
            let exact = f64::from(weights[at].max(0.0)) * scale + *carried;
            let share = (exact.round_ties_even() as u32)
                .min(left)
                .min(u16::MAX.into());
            *carried = exact - f64::from(share);
            shares[at] = share as u16;
            left -= share;
        }
    }
    // One weight alone has all, which 16 bits do not hold.
    shares[half] = left.min(u16::MAX.into()) as u16;
    shares
}

/// Smooths a plane of numbers of this width by the same weights along both axes; the edge is
/// repeated beyond it.
pub(in crate::augment) fn smooth_plane(plane: &mut [f32], width: usize, weights: &[f32]) {
    let half = weights.len() / 2;
    let mut padded = Vec::with_capacity(width + 2 * half);
    let mut along = vec![0.0; plane.len()];
    for (row, sums) in plane.chunks_exact(width).zip(along.chunks_exact_mut(width)) {
        padded.clear();
        padded.resize(half, row[0]);
        padded.extend_from_slice(row);
        padded.resize(width + 2 * half, row[width - 1]);
        weighted_along(&padded, weights, sums);
    }
    let height = plane.len() / width.max(1);
    let mut starts = Vec::with_capacity(weights.len());
    for (y, row) in plane.chunks_exact_mut(width).enumerate() {
        starts.clear();
        starts.extend(
            (0..weights.len()).map(|tap| (y + tap).saturating_sub(half).min(height - 1) * width),
        );
        weighted_down(&along, &starts, weights, row);
    }
}

/// An image's rows with their reflection on both sides.
struct PaddedRows {
    bytes: Vec<u8>,
    row_bytes: usize,
    height: u32,
}

impl PaddedRows {
    fn new(image: &RgbImage, margin: usize) -> Self {
        let row_bytes = image.row_bytes() + 6 * margin;
        let mut bytes = Vec::with_capacity(row_bytes * image.height as usize + BLOCK);
        let mut padded = Vec::new();
        for row in image.pixels.chunks_exact(image.row_bytes()) {
            padded_row(row, margin, &mut padded);
            bytes.extend_from_slice(&padded);
        }
        // So that the last block is as long as the others.
        bytes.resize(bytes.len() + BLOCK, 0);
        Self {
            bytes,
            row_bytes,
            height: image.height,
        }
    }

    /// Where a row starts.
    fn start(&self, y: i64) -> usize {
        reflect(y, self.height) * self.row_bytes
    }
}

/// Values whose sums are made at a time, in registers.
const BLOCK: usize = 128;

/// The block at a position; buffers end with one that is not shown.
#[inline(always)]
fn block<T>(values: &[T], start: usize) -> &[T; BLOCK] {
    &values[start..].as_chunks().0[0]
}

vectorized! {
    /// Sums of bytes by weights, each from its start on, rounded.
    fn weighted(bytes: &[u8], taps: &[(usize, f32)], result: &mut [u8]) {
        for (number, result) in result.chunks_mut(BLOCK).enumerate() {
            let mut totals = [0.5_f32; BLOCK];
            for &(start, weight) in taps {
                let from = block(bytes, start + number * BLOCK);
                for (total, &value) in totals.iter_mut().zip(from) {
                    *total += weight * f32::from(value);
                }
            }
            let mut rounded = [0; BLOCK];
            for (byte, total) in rounded.iter_mut().zip(&totals) {
                *byte = cut_off(*total);
            }
            result.copy_from_slice(&rounded[..result.len()]);
        }
    }

    /// Sums of bytes from each start on by weights of 8 bits, for `count` values.
    fn sum_down(bytes: &[u8], starts: &[usize], weights: &[u16], sums: &mut [u16], count: usize) {
        for (number, sums) in sums.chunks_exact_mut(BLOCK).take(count.div_ceil(BLOCK)).enumerate() {
            let mut totals = [0_u16; BLOCK];
            for (&start, &weight) in starts.iter().zip(weights) {
                let from = block(bytes, start + number * BLOCK);
                for (total, &value) in totals.iter_mut().zip(from) {
                    // At most 255 · 256 in all.
                    *total = total.wrapping_add(u16::from(value).wrapping_mul(weight));
                }
            }
            sums.copy_from_slice(&totals);
        }
    }

    /// Sums of neighbouring pixels' sums by weights of 16 bits, rounded to bytes.
    fn sum_along(values: &[u16], weights: &[u16], result: &mut [u8]) {
        // Half of a byte's step, and of what is cut off of each product.
        let first = 128 + (weights.len() / 2).min(100) as u16;
        for (number, result) in result.chunks_mut(BLOCK).enumerate() {
            let mut totals = [first; BLOCK];
            for (tap, &weight) in weights.iter().enumerate() {
                let from = block(values, number * BLOCK + 3 * tap);
                for (total, &value) in totals.iter_mut().zip(from) {
                    let product = (u32::from(value) * u32::from(weight)) >> 16;
                    *total = total.wrapping_add(product as u16);
                }
            }
            let mut rounded = [0; BLOCK];
            for (byte, total) in rounded.iter_mut().zip(&totals) {
                *byte = (total >> 8) as u8;
            }
            result.copy_from_slice(&rounded[..result.len()]);
        }
    }

    /// Sums of neighbours along a row: `sums[i] = Σ weights[k] · values[i + k]`.
    fn weighted_along(values: &[f32], weights: &[f32], sums: &mut [f32]) {
        for (number, sums) in sums.chunks_mut(BLOCK).enumerate() {
            let mut totals = [0.0_f32; BLOCK];
            for (tap, &weight) in weights.iter().enumerate() {
                add(&mut totals, &values[number * BLOCK + tap..][..sums.len()], weight);
            }
            sums.copy_from_slice(&totals[..sums.len()]);
        }
    }

    /// Sums of values from each start on by weights.
    fn weighted_down(values: &[f32], starts: &[usize], weights: &[f32], sums: &mut [f32]) {
        for (number, sums) in sums.chunks_mut(BLOCK).enumerate() {
            let mut totals = [0.0_f32; BLOCK];
            for (&start, &weight) in starts.iter().zip(weights) {
                add(&mut totals, &values[start + number * BLOCK..][..sums.len()], weight);
            }
            sums.copy_from_slice(&totals[..sums.len()]);
        }
    }
}

#[inline(always)]
fn add(totals: &mut [f32; BLOCK], values: &[f32], weight: f32) {
    if let Ok(values) = <&[f32; BLOCK]>::try_from(values) {
        for (total, value) in totals.iter_mut().zip(values) {
            *total += weight * value;
        }
    } else {
        for (total, value) in totals.iter_mut().zip(values) {
            *total += weight * value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_one_colour_and_spreads_a_dot_evenly() {
        let mut image = RgbImage::filled(9, 7, [10, 200, 255]);
        smooth(&mut image, &gaussian(1.5, 0));
        assert_eq!(image, RgbImage::filled(9, 7, [10, 200, 255]));
        image = RgbImage::filled(9, 9, [0; 3]);
        image.set_pixel(4, 4, [255; 3]);
        smooth(&mut image, &[0.25, 0.5, 0.25]);
        assert_eq!(image.pixel(4, 4), [64; 3]);
        assert_eq!(image.pixel(3, 4), [32; 3]);
        assert_eq!(image.pixel(5, 3), [16; 3]);
        assert_eq!(image.pixel(6, 4), [0; 3]);
    }

    #[test]
    fn a_kernel_is_taken_as_it_stands_and_not_mirrored() {
        let mut image = RgbImage::filled(5, 5, [0; 3]);
        image.set_pixel(2, 2, [90; 3]);
        let mut weights = vec![0.0; 9];
        weights[5] = 1.0;
        convolve(&mut image, &Kernel { side: 3, weights });
        assert_eq!(image.pixel(1, 2), [90; 3]);
    }

    #[test]
    fn images_smaller_than_the_kernel_are_filtered() {
        for (width, height) in [(1, 1), (2, 1), (1, 3), (2, 2)] {
            let mut image = RgbImage::filled(width, height, [7, 8, 9]);
            smooth(&mut image, &gaussian(3.0, 0));
            convolve(&mut image, &motion(7, 30.0, 0.2, [1.0, -1.0]));
            assert_eq!(image, RgbImage::filled(width, height, [7, 8, 9]));
        }
    }
}
