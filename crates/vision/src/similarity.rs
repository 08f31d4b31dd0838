//! How alike two images look.

use crate::RgbImage;
use crate::transform::stretch;

/// A 64-bit hash of how an image looks; alike images have hashes of a small [`hamming`] distance.
pub fn perceptual_hash(image: &RgbImage) -> u64 {
    let small = stretch(image, 8, 8);
    let values: Vec<u32> = small
        .pixels
        .chunks_exact(3)
        .map(|pixel| pixel.iter().map(|&value| u32::from(value)).sum())
        .collect();
    let mean = values.iter().sum::<u32>() / 64;
    values
        .iter()
        .fold(0, |hash, &value| hash << 1 | u64::from(value > mean))
}

/// Number of bits in which two hashes differ, 0 to 64.
pub const fn hamming(first: u64, second: u64) -> u32 {
    (first ^ second).count_ones()
}

/// Mean absolute difference of two images' bytes, both stretched to 32×32: 0 (equal) to 255.
pub fn pixel_difference(first: &RgbImage, second: &RgbImage) -> f64 {
    let (first, second) = (stretch(first, 32, 32), stretch(second, 32, 32));
    let sum: u64 = first
        .pixels
        .iter()
        .zip(&second.pixels)
        .map(|(&a, &b)| u64::from(a.abs_diff(b)))
        .sum();
    sum as f64 / first.pixels.len() as f64
}
