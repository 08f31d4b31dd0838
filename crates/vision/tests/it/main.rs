//! Pixels against Pillow's, and files that are odd, broken or hostile.

// Clippy takes only functions marked as tests for tests.
#![allow(clippy::unwrap_used)]

mod augmenting;
mod decoding;
mod hostile;
mod nasty;
mod resizing;
mod scaled;

use std::path::{Path, PathBuf};

use ferrotype_vision::RgbImage;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// The rows of a tab-separated golden file, without its header.
fn rows(name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(golden(name)).unwrap();
    text.lines()
        .skip(1)
        .map(|line| line.split('\t').map(str::to_string).collect())
        .collect()
}

fn size(text: &str) -> (u32, u32) {
    let (width, height) = text.split_once('x').unwrap();
    (width.parse().unwrap(), height.parse().unwrap())
}

fn hexadecimal(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn image(size: (u32, u32), pixels: &str) -> RgbImage {
    RgbImage::from_pixels(size.0, size.1, hexadecimal(pixels)).unwrap()
}

/// Mean and largest absolute difference of two lists of bytes.
fn difference(first: &[u8], second: &[u8]) -> (f64, u8) {
    assert_eq!(first.len(), second.len());
    let differences = first.iter().zip(second).map(|(&a, &b)| a.abs_diff(b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    (
        sum as f64 / first.len() as f64,
        differences.max().unwrap_or(0),
    )
}
