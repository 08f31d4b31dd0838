//! Weighted sums of neighbours.

use ferrotype_kernels::vectorized;

use super::{padded_row, reflect};
use crate::RgbImage;

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
    let mut sums = vec![0.0; row_bytes];
    for (y, row) in image.pixels.chunks_exact_mut(row_bytes).enumerate() {
        sums.fill(0.5);
        for &(down, across, weight) in &taps {
            let from = &rows.row(y as i64 + down as i64 - half as i64)[across * 3..][..row_bytes];
            add_bytes(&mut sums, from, weight);
        }
        to_bytes(&sums, row);
    }
}

/// Smooths by the same weights along both axes.
pub(in crate::augment) fn smooth(image: &mut RgbImage, weights: &[f32]) {
    let half = weights.len() / 2;
    let row_bytes = image.row_bytes();
    let mut along = vec![0.0; image.pixels.len()];
    let mut padded = Vec::new();
    let mut reals = Vec::new();
    for (row, sums) in image
        .pixels
        .chunks_exact(row_bytes)
        .zip(along.chunks_exact_mut(row_bytes))
    {
        padded_row(row, half, &mut padded);
        reals.clear();
        reals.extend(padded.iter().map(|&byte| f32::from(byte)));
        weighted_along(&reals, weights, 3, sums);
    }
    let mut sums = vec![0.0; row_bytes];
    let height = image.height;
    for (y, row) in image.pixels.chunks_exact_mut(row_bytes).enumerate() {
        sums.fill(0.5);
        for (tap, &weight) in weights.iter().enumerate() {
            let from = reflect((y + tap) as i64 - half as i64, height);
            add(&mut sums, &along[from * row_bytes..][..row_bytes], weight);
        }
        to_bytes(&sums, row);
    }
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
        weighted_along(&padded, weights, 1, sums);
    }
    let height = plane.len() / width.max(1);
    for (y, row) in plane.chunks_exact_mut(width).enumerate() {
        row.fill(0.0);
        for (tap, &weight) in weights.iter().enumerate() {
            let from = (y + tap).saturating_sub(half).min(height - 1);
            add(row, &along[from * width..][..width], weight);
        }
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
        let mut bytes = Vec::with_capacity(row_bytes * image.height as usize);
        let mut padded = Vec::new();
        for row in image.pixels.chunks_exact(image.row_bytes()) {
            padded_row(row, margin, &mut padded);
            bytes.extend_from_slice(&padded);
        }
        Self {
            bytes,
            row_bytes,
            height: image.height,
        }
    }

    fn row(&self, y: i64) -> &[u8] {
        &self.bytes[reflect(y, self.height) * self.row_bytes..][..self.row_bytes]
    }
}

vectorized! {
    /// Sums of neighbours along a row: `sums[i] = Σ weights[k] · values[i + step · k]`.
    fn weighted_along(values: &[f32], weights: &[f32], step: usize, sums: &mut [f32]) {
        const BLOCK: usize = 64;
        for (number, block) in sums.chunks_mut(BLOCK).enumerate() {
            let mut totals = [0.0_f32; BLOCK];
            for (tap, &weight) in weights.iter().enumerate() {
                let from = &values[number * BLOCK + tap * step..][..block.len()];
                if let Ok(from) = <&[f32; BLOCK]>::try_from(from) {
                    for (total, value) in totals.iter_mut().zip(from) {
                        *total += weight * value;
                    }
                } else {
                    for (total, value) in totals.iter_mut().zip(from) {
                        *total += weight * value;
                    }
                }
            }
            block.copy_from_slice(&totals[..block.len()]);
        }
    }

    fn add(sums: &mut [f32], values: &[f32], weight: f32) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += weight * value;
        }
    }

    fn add_bytes(sums: &mut [f32], values: &[u8], weight: f32) {
        for (sum, &value) in sums.iter_mut().zip(values) {
            *sum += weight * f32::from(value);
        }
    }

    fn to_bytes(sums: &[f32], bytes: &mut [u8]) {
        for (byte, sum) in bytes.iter_mut().zip(sums) {
            *byte = sum.clamp(0.0, 255.0) as i32 as u8;
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
