//! Changes that depend on all of an image's values.

use ferrotype_core::config::augment::EqualizeMode;

use super::tables::{ColorTable, Tables};
use super::{blocks, to_byte};
use crate::RgbImage;

/// How often each value occurs in each channel.
fn histograms(image: &RgbImage) -> [[u32; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for &[red, green, blue] in image.pixels.as_chunks::<3>().0 {
        counts[0][usize::from(red)] += 1;
        counts[1][usize::from(green)] += 1;
        counts[2][usize::from(blue)] += 1;
    }
    counts
}

fn identity() -> ColorTable {
    std::array::from_fn(|value| value as u8)
}

/// torchvision's `adjust_contrast`: away from the mean luma by `factor`; 0 is gray, 1 no change.
pub(in crate::augment) fn contrast(image: &RgbImage, factor: f32) -> Tables {
    let mut sum = 0;
    blocks::for_each_block(&image.pixels, |planes, _| {
        blocks::add_lumas(planes, &mut sum)
    });
    let pixels = image.pixels.len() / 3;
    let mean = (sum as f64 / pixels.max(1) as f64) as f32;
    let offset = (1.0 - factor) * mean;
    Tables::of(|value| factor * value + offset)
}

/// The mean of all bytes.
pub(in crate::augment) fn mean(image: &RgbImage) -> f64 {
    let sum: u64 = image.pixels.iter().map(|&byte| u64::from(byte)).sum();
    sum as f64 / image.pixels.len().max(1) as f64
}

/// Spreads each channel's values evenly.
pub(in crate::augment) fn equalize(image: &RgbImage, mode: EqualizeMode) -> Tables {
    let pixels = u64::from(image.width) * u64::from(image.height);
    Tables::new(histograms(image).map(|counts| match mode {
        EqualizeMode::Cv => equalize_as_opencv(&counts, pixels),
        EqualizeMode::Pil => equalize_as_pillow(&counts),
    }))
}

fn equalize_as_opencv(counts: &[u32; 256], pixels: u64) -> ColorTable {
    let first = counts.iter().position(|&count| count > 0).unwrap_or(0);
    let rest = pixels.saturating_sub(counts[first].into());
    if rest == 0 {
        return [first as u8; 256];
    }
    let scale = 255.0 / rest as f32;
    let mut sum = 0_u64;
    std::array::from_fn(|value| {
        if value > first {
            sum += u64::from(counts[value]);
        }
        (sum as f32 * scale).round_ties_even() as u8
    })
}

/// Pillow's `ImageOps.equalize`, and torchvision's.
fn equalize_as_pillow(counts: &[u32; 256]) -> ColorTable {
    let last = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
    let step = counts[..last].iter().sum::<u32>() / 255;
    if step == 0 {
        return identity();
    }
    let mut sum = step / 2;
    std::array::from_fn(|value| {
        let here = (sum / step).min(255) as u8;
        sum += counts[value];
        here
    })
}

/// Albumentations' `auto_contrast`: each channel's cumulative distribution between its lowest and
/// highest value, of which `cutoff` per cent are left out at each end.
pub(in crate::augment) fn auto_contrast(image: &RgbImage, cutoff: f64) -> Tables {
    Tables::new(histograms(image).map(|counts| {
        let (low, high) = bounds(&counts, cutoff);
        if high <= low {
            return identity();
        }
        let total: u64 = counts[low + 1..=high]
            .iter()
            .map(|&count| u64::from(count))
            .sum();
        let mut sum = 0_u64;
        std::array::from_fn(|value| {
            if value < low {
                return 0;
            }
            if value > high {
                return 255;
            }
            if value > low {
                sum += u64::from(counts[value]);
            }
            (sum as f64 * 255.0 / total.max(1) as f64).round_ties_even() as u8
        })
    }))
}

/// The lowest and highest value that stay when so many per cent are cut off at each end.
fn bounds(counts: &[u32; 256], cutoff: f64) -> (usize, usize) {
    if cutoff <= 0.0 {
        let low = counts.iter().position(|&count| count > 0).unwrap_or(0);
        let high = counts.iter().rposition(|&count| count > 0).unwrap_or(0);
        return (low, high);
    }
    let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    let cut = total as f64 * cutoff / 100.0;
    let mut sum = 0.0;
    let passes = |count: &u32| {
        sum += f64::from(*count);
        sum >= cut
    };
    let low = counts
        .iter()
        .position(passes)
        .map_or(0, |low| (low + 1).min(255));
    let mut sum = 0.0;
    let passes = |count: &u32| {
        sum += f64::from(*count);
        sum >= cut
    };
    (low, counts.iter().rposition(passes).unwrap_or(255))
}

/// torchvision's `autocontrast`: each channel's values stretched to the whole range.
pub(in crate::augment) fn stretch(image: &RgbImage) -> Tables {
    Tables::new(histograms(image).map(|counts| {
        let (low, high) = bounds(&counts, 0.0);
        if high <= low {
            return identity();
        }
        let scale = (high - low) as f32 * (1.0 / 255.0);
        std::array::from_fn(|value| to_byte((value as f32 - low as f32) / scale))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_one_colour_stays() {
        let image = RgbImage::filled(5, 4, [9, 100, 255]);
        let tables = [
            equalize(&image, EqualizeMode::Cv),
            equalize(&image, EqualizeMode::Pil),
            auto_contrast(&image, 0.0),
            auto_contrast(&image, 10.0),
            stretch(&image),
            contrast(&image, 1.0),
        ];
        for (index, tables) in tables.iter().enumerate() {
            let mut pixels = image.pixels.clone();
            tables.apply(&mut pixels);
            assert_eq!(pixels, image.pixels, "{index}");
        }
    }
}
