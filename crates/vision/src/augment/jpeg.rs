//! What JPEG loses, without writing a file: the transform, the quantisation and the halved colour
//! resolution of ITU-T T.81 with libjpeg's default tables, sampling (4:2:0) and smooth upsampling.
//! Entropy coding loses nothing and is left out.

use std::sync::LazyLock;

use ferrotype_kernels::{pixels, vectorized};

use super::color::blocks::{byte, nearest, whole};
use crate::RgbImage;

/// T.81, table K.1.
const LUMA: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];

/// T.81, table K.2.
const CHROMA: [u16; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];

type Block = [[f32; 8]; 8];

/// The cosine transform's orthonormal matrix and its transpose.
static COSINES: LazyLock<[Block; 2]> = LazyLock::new(|| {
    let entry = |frequency: usize, position: usize| {
        let norm: f64 = if frequency == 0 {
            0.125_f64.sqrt()
        } else {
            0.5
        };
        let angle = (2 * position + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0;
        (norm * angle.cos()) as f32
    };
    [
        std::array::from_fn(|row| std::array::from_fn(|column| entry(row, column))),
        std::array::from_fn(|row| std::array::from_fn(|column| entry(column, row))),
    ]
});

/// Changes the image to what a JPEG file of this quality, 1 to 100, would show.
pub(super) fn compress(image: &mut RgbImage, quality: u32) {
    let [mut luma, blue, red] = planes(image);
    let [mut blue, mut red] = [blue.halved(), red.halved()];
    luma.quantize(&scaled(&LUMA, quality));
    let table = scaled(&CHROMA, quality);
    blue.quantize(&table);
    red.quantize(&table);
    let (width, height) = (image.width as usize, image.height as usize);
    let [blue, red] = [blue, red].map(|plane| plane.doubled(width, height));
    let mut colors = [(); 3].map(|()| vec![0; width]);
    for (y, row) in image.pixels.chunks_exact_mut(width * 3).enumerate() {
        let [luma, blue, red] = [&luma, &blue, &red].map(|plane| &plane.row(y)[..width]);
        to_colors(luma, blue, red, &mut colors);
        pixels::join(colors.each_ref().map(Vec::as_slice), row);
    }
}

/// libjpeg's scaling of a table by quality.
fn scaled(table: &[u16; 64], quality: u32) -> Block {
    let quality = quality.clamp(1, 100);
    let percent = if quality < 50 {
        5000 / quality
    } else {
        200 - 2 * quality
    };
    std::array::from_fn(|row| {
        std::array::from_fn(|column| {
            let entry = u32::from(table[row * 8 + column]);
            ((entry * percent + 50) / 100).clamp(1, 255) as f32
        })
    })
}

/// Values 0 to 255 of one component.
struct Plane {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

/// Luma, blueness and redness, rounded to bytes, as planes of whole blocks of 16; the outermost
/// pixels are repeated.
fn planes(image: &RgbImage) -> [Plane; 3] {
    let (width, height) = (image.width as usize, image.height as usize);
    let padded = [width, height].map(|side| side.next_multiple_of(16));
    let mut planes = [(); 3].map(|()| Plane::new(padded[0], padded[1]));
    let mut colors = [(); 3].map(|()| vec![0; padded[0]]);
    for (y, row) in image.pixels.chunks_exact(width * 3).enumerate() {
        pixels::split(row, colors.each_mut().map(|color| &mut color[..width]));
        for color in &mut colors {
            let last = color[width - 1];
            color[width..].fill(last);
        }
        let [luma, blue, red] = planes.each_mut().map(|plane| plane.row_mut(y));
        from_colors(&colors, luma, blue, red);
    }
    for plane in &mut planes {
        for y in height..padded[1] {
            let last = (height - 1) * padded[0];
            plane
                .values
                .copy_within(last..last + padded[0], y * padded[0]);
        }
    }
    planes
}

impl Plane {
    fn new(width: usize, height: usize) -> Self {
        let values = vec![0.0; width * height];
        Self {
            width,
            height,
            values,
        }
    }

    fn row(&self, y: usize) -> &[f32] {
        &self.values[y * self.width..][..self.width]
    }

    fn row_mut(&mut self, y: usize) -> &mut [f32] {
        &mut self.values[y * self.width..][..self.width]
    }

    /// Averages of two by two.
    fn halved(&self) -> Self {
        // Whole blocks of 8, as the sides were multiples of 16.
        let mut half = Self::new(self.width / 2, self.height / 2);
        for y in 0..half.height {
            average(self.row(2 * y), self.row(2 * y + 1), half.row_mut(y));
        }
        half
    }

    /// Each block's coefficients rounded to multiples of the table's.
    fn quantize(&mut self, table: &Block) {
        for rows in self.values.chunks_exact_mut(8 * self.width) {
            quantize(rows, self.width, table, &COSINES);
        }
    }

    /// Twice as wide and high, cut to a height, and to a width that may be one more: nearer values
    /// count three times as much as farther ones along each axis.
    fn doubled(&self, width: usize, height: usize) -> Self {
        // The neighbour is looked up within the image, not within the padding.
        let [columns, rows] = [width.div_ceil(2), height.div_ceil(2)];
        let mut doubled = Self::new(2 * columns, height);
        // With the outermost sums repeated on both sides.
        let mut sums = vec![0.0; columns + 2];
        for y in 0..height {
            let near = y / 2;
            let far = if y.is_multiple_of(2) {
                near.saturating_sub(1)
            } else {
                (near + 1).min(rows - 1)
            };
            let [near, far] = [near, far].map(|row| &self.row(row)[..columns]);
            for ((sum, near), far) in sums[1..].iter_mut().zip(near).zip(far) {
                *sum = 3.0 * near + far;
            }
            sums[0] = sums[1];
            sums[columns + 1] = sums[columns];
            double(&sums, doubled.row_mut(y));
        }
        doubled
    }
}

vectorized! {
    fn from_colors(colors: &[Vec<u8>; 3], luma: &mut [f32], blue: &mut [f32], red: &mut [f32]) {
        let [reds, greens, blues] = colors;
        let colors = reds.iter().zip(greens).zip(blues);
        let targets = luma.iter_mut().zip(blue).zip(red);
        for (((&r, &g), &b), ((luma, blue), red)) in colors.zip(targets) {
            let [r, g, b] = [r, g, b].map(f32::from);
            let nearest = |value: f32| whole(value + 0.5).min(255.0);
            *luma = nearest(0.299 * r + 0.587 * g + 0.114 * b);
            *blue = nearest(-0.168_735_9 * r - 0.331_264_1 * g + 0.5 * b + 128.0);
            *red = nearest(0.5 * r - 0.418_687_6 * g - 0.081_312_4 * b + 128.0);
        }
    }

    fn to_colors(luma: &[f32], blue: &[f32], red: &[f32], colors: &mut [Vec<u8>; 3]) {
        let [reds, greens, blues] = colors;
        let values = luma.iter().zip(blue).zip(red);
        let targets = reds.iter_mut().zip(greens).zip(blues);
        for (((&luma, &blue), &red), ((r, g), b)) in values.zip(targets) {
            let (luma, blue, red) = (luma + 0.5, blue - 128.0, red - 128.0);
            *r = byte(luma + 1.402 * red);
            *g = byte(luma - 0.344_136 * blue - 0.714_136 * red);
            *b = byte(luma + 1.772 * blue);
        }
    }

    fn average(upper: &[f32], lower: &[f32], half: &mut [f32]) {
        let (upper, lower) = (upper.as_chunks::<4>().0, lower.as_chunks::<4>().0);
        for ((half, upper), lower) in half.as_chunks_mut::<2>().0.iter_mut().zip(upper).zip(lower) {
            // libjpeg rounds down and up in turns.
            let mean = |at: usize| (upper[at] + upper[at + 1] + lower[at] + lower[at + 1]) * 0.25;
            *half = [whole(mean(0) + 0.25), whole(mean(2) + 0.5)];
        }
    }

    fn double(sums: &[f32], doubled: &mut [f32]) {
        let before = sums.iter();
        let own = sums[1..].iter();
        let after = sums[2..].iter();
        let targets = doubled.as_chunks_mut::<2>().0.iter_mut();
        for (((target, before), own), after) in targets.zip(before).zip(own).zip(after) {
            let between = |other: f32, rounding: f32| whole((3.0 * own + other + rounding) * 0.0625);
            *target = [between(*before, 8.0), between(*after, 7.0)];
        }
    }

    /// Does a row of blocks.
    fn quantize(rows: &mut [f32], width: usize, table: &Block, cosines: &[Block; 2]) {
        let [forward, back] = cosines;
        for left in (0..width).step_by(8) {
            let mut block = [[0.0; 8]; 8];
            for (line, row) in block.iter_mut().zip(rows.chunks_exact(width)) {
                for (entry, value) in line.iter_mut().zip(&row[left..left + 8]) {
                    *entry = value - 128.0;
                }
            }
            let mut coefficients = product(&product(forward, &block), back);
            for (line, steps) in coefficients.iter_mut().zip(table) {
                for (entry, step) in line.iter_mut().zip(steps) {
                    *entry = nearest(*entry / step) * step;
                }
            }
            let block = product(&product(back, &coefficients), forward);
            for (line, row) in block.iter().zip(rows.chunks_exact_mut(width)) {
                for (value, entry) in row[left..left + 8].iter_mut().zip(line) {
                    *value = (nearest(*entry) + 128.0).clamp(0.0, 255.0);
                }
            }
        }
    }
}

/// A product of matrices, row by row so that a row is a vector.
#[inline(always)]
fn product(left: &Block, right: &Block) -> Block {
    let mut product = [[0.0; 8]; 8];
    for (line, factors) in product.iter_mut().zip(left) {
        for (factor, row) in factors.iter().zip(right) {
            for (sum, value) in line.iter_mut().zip(row) {
                *sum += factor * value;
            }
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_colour_stays_and_odd_sizes_are_taken() {
        for (width, height) in [(1, 1), (17, 9), (16, 16), (3, 40)] {
            let mut image = RgbImage::filled(width, height, [128; 3]);
            compress(&mut image, 30);
            assert_eq!(image, RgbImage::filled(width, height, [128; 3]));
        }
    }

    #[test]
    fn a_lower_quality_loses_more() {
        let bytes = (0..48 * 48 * 3_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 26) as u8 + 60);
        let original = RgbImage::from_pixels(48, 48, bytes.collect()).unwrap();
        let lost = |quality| {
            let mut image = original.clone();
            compress(&mut image, quality);
            let pairs = image.pixels.iter().zip(&original.pixels);
            pairs.map(|(&a, &b)| u64::from(a.abs_diff(b))).sum::<u64>()
        };
        assert!(lost(5) > lost(50) && lost(50) > lost(95));
    }
}
