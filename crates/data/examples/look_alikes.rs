//! Measures what the thresholds for look-alikes rest on: how far copies of an image are from it, and
//! how near different images of a set come to each other.
//!
//! ```text
//! cargo run --profile ci -p ferrotype-data --example look_alikes -- ../shared/data/cifake
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::{Path, PathBuf};

use ferrotype_vision::RgbImage;
use ferrotype_vision::decode::{DecodeLimits, decode};
use ferrotype_vision::encode::jpeg;
use ferrotype_vision::similarity::{comparison_copy, hamming, perceptual_hash, pixel_difference};
use ferrotype_vision::thumbnail;
use rayon::prelude::*;

/// The copies that are measured.
const COPIES: [(&str, Copy); 4] = [
    ("JPEG quality 95", |image| recompress(image, 95)),
    ("JPEG quality 75", |image| recompress(image, 75)),
    ("JPEG quality 40", |image| recompress(image, 40)),
    ("half size, JPEG quality 75", |image| {
        let side = image.width.max(image.height) / 2;
        recompress(&thumbnail(image, side), 75)
    }),
];

type Copy = fn(&RgbImage) -> Option<RgbImage>;

/// Bits and pixel difference.
type Distance = (u32, f64);

struct Image {
    path: PathBuf,
    small: RgbImage,
    hash: u64,
    copies: Vec<Distance>,
}

fn recompress(image: &RgbImage, quality: u8) -> Option<RgbImage> {
    let bytes = jpeg(image, quality).ok()?;
    Some(decode(&bytes, &DecodeLimits::default()).ok()?.image)
}

fn measure(path: &Path) -> Option<Image> {
    let bytes = std::fs::read(path).ok()?;
    let image = decode(&bytes, &DecodeLimits::default()).ok()?.image;
    let small = comparison_copy(&image).into_owned();
    let hash = perceptual_hash(&small);
    let distance = |copy: &RgbImage| {
        let bits = hamming(hash, perceptual_hash(copy));
        (bits, pixel_difference(&small, copy))
    };
    let copies = COPIES
        .iter()
        .map(|(_, make)| make(&image).map(|copy| distance(&copy)))
        .collect::<Option<Vec<Distance>>>()?;
    Some(Image {
        path: path.to_path_buf(),
        hash,
        copies,
        small,
    })
}

/// Pairs of different images with hashes near enough to be proposed, nearest pixels first.
fn proposed_pairs(images: &[Image]) -> Vec<(f64, u32, usize, usize)> {
    let mut pairs: Vec<(f64, u32, usize, usize)> = (0..images.len())
        .into_par_iter()
        .flat_map_iter(|first| {
            (first + 1..images.len()).filter_map(move |second| {
                let bits = hamming(images[first].hash, images[second].hash);
                let difference = || pixel_difference(&images[first].small, &images[second].small);
                (bits <= 8).then(|| (difference(), bits, first, second))
            })
        })
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    pairs
}

fn print_copies(images: &[Image]) {
    for (index, (name, _)) in COPIES.iter().enumerate() {
        let bits = images.iter().map(|image| image.copies[index].0).max();
        let mut differences: Vec<f64> = images.iter().map(|image| image.copies[index].1).collect();
        differences.sort_by(f64::total_cmp);
        let at = |share: f64| differences[(share * (differences.len() - 1) as f64) as usize];
        println!(
            "{name:<28} at most {:>2} bits; difference: half {:.2}, 99 % {:.2}, most {:.2}",
            bits.unwrap_or(0),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    for root in std::env::args().skip(1) {
        let mut paths = Vec::new();
        for entry in walkdir::WalkDir::new(&root) {
            let entry = entry?;
            if entry.file_type().is_file() {
                paths.push(entry.into_path());
            }
        }
        let images: Vec<Image> = paths.par_iter().filter_map(|path| measure(path)).collect();
        println!("{root}: {} images", images.len());
        if images.is_empty() {
            continue;
        }
        print_copies(&images);
        let pairs = proposed_pairs(&images);
        println!("pairs within 8 bits: {}", pairs.len());
        for (difference, bits, first, second) in pairs.iter().take(10) {
            let (first, second) = (
                images[*first].path.display(),
                images[*second].path.display(),
            );
            println!("  {difference:.2}, {bits} bits: {first} and {second}");
        }
    }
    Ok(())
}
