//! What JPEG loses, without writing a file: the transform, the quantisation and the halved colour
//! resolution of ITU-T T.81 with libjpeg's default tables, sampling (4:2:0) and smooth upsampling.
//! Entropy coding loses nothing and is left out.

use std::sync::LazyLock;

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
    for (y, row) in image.pixels.chunks_exact_mut(width * 3).enumerate() {
        let lumas = &luma.values[y * luma.width..][..width];
        let blues = &blue.values[y * blue.width..][..width];
        let reds = &red.values[y * red.width..][..width];
        let pixels = row.as_chunks_mut::<3>().0.iter_mut();
        for (((pixel, &luma), &blue), &red) in pixels.zip(lumas).zip(blues).zip(reds) {
            let (blue, red) = (blue - 128.0, red - 128.0);
            *pixel = [
                luma + 1.402 * red,
                luma - 0.344_136 * blue - 0.714_136 * red,
                luma + 1.772 * blue,
            ]
            .map(|value| (value + 0.5) as u8);
        }
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
    let mut planes = [(); 3].map(|()| Plane {
        width: padded[0],
        height: padded[1],
        values: Vec::with_capacity(padded[0] * padded[1]),
    });
    for y in 0..padded[1] {
        let start = y.min(height - 1) * width * 3;
        let pixels = image.pixels[start..start + width * 3].as_chunks::<3>().0;
        for x in 0..padded[0] {
            let [r, g, b] = pixels[x.min(width - 1)].map(f32::from);
            let values = [
                0.299 * r + 0.587 * g + 0.114 * b,
                -0.168_735_9 * r - 0.331_264_1 * g + 0.5 * b + 128.0,
                0.5 * r - 0.418_687_6 * g - 0.081_312_4 * b + 128.0,
            ];
            for (plane, value) in planes.iter_mut().zip(values) {
                plane.values.push((value + 0.5).floor().min(255.0));
            }
        }
    }
    planes
}

impl Plane {
    /// Averages of two by two.
    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut values = Vec::with_capacity(width * height);
        for rows in self.values.chunks_exact(2 * self.width) {
            let (upper, lower) = rows.split_at(self.width);
            let pairs = upper
                .as_chunks::<2>()
                .0
                .iter()
                .zip(lower.as_chunks::<2>().0);
            for (index, (upper, lower)) in pairs.enumerate() {
                // libjpeg rounds down and up in turns.
                let rounding = if index.is_multiple_of(2) { 0.25 } else { 0.5 };
                let mean = (upper[0] + upper[1] + lower[0] + lower[1]) * 0.25;
                values.push((mean + rounding).floor());
            }
        }
        // Whole blocks of 8, as the sides were multiples of 16.
        Self {
            width,
            height,
            values,
        }
    }

    /// Each block's coefficients rounded to multiples of the table's.
    fn quantize(&mut self, table: &Block) {
        let [forward, back] = &*COSINES;
        for top in (0..self.height).step_by(8) {
            for left in (0..self.width).step_by(8) {
                let mut block = [[0.0; 8]; 8];
                for (row, line) in block.iter_mut().enumerate() {
                    let start = (top + row) * self.width + left;
                    for (entry, value) in line.iter_mut().zip(&self.values[start..start + 8]) {
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
                for (row, line) in block.iter().enumerate() {
                    let start = (top + row) * self.width + left;
                    for (value, entry) in self.values[start..start + 8].iter_mut().zip(line) {
                        *value = (nearest(*entry) + 128.0).clamp(0.0, 255.0);
                    }
                }
            }
        }
    }

    /// Twice as wide and high, cut to a size: nearer values count three times as much as farther
    /// ones along each axis.
    fn doubled(&self, width: usize, height: usize) -> Self {
        // The neighbour is looked up within the image, not within the padding.
        let [columns, rows] = [width.div_ceil(2), height.div_ceil(2)];
        let neighbour = |at: usize, count: usize| {
            let near = at / 2;
            let far = if at.is_multiple_of(2) {
                near.saturating_sub(1)
            } else {
                near + 1
            };
            (near, far.min(count - 1))
        };
        let mut values = Vec::with_capacity(width * height);
        let mut sums = vec![0.0; columns];
        for y in 0..height {
            let (near, far) = neighbour(y, rows);
            let near = &self.values[near * self.width..][..columns];
            let far = &self.values[far * self.width..][..columns];
            for ((sum, near), far) in sums.iter_mut().zip(near).zip(far) {
                *sum = 3.0 * near + far;
            }
            for x in 0..width {
                let (near, far) = neighbour(x, columns);
                let rounding = if x.is_multiple_of(2) { 8.0 } else { 7.0 };
                values.push(((3.0 * sums[near] + sums[far] + rounding) * 0.0625).floor());
            }
        }
        Self {
            width,
            height,
            values,
        }
    }
}

/// The nearest whole number, by adding one whose fraction has no bits left.
fn nearest(value: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (value + SHIFT) - SHIFT
}

/// A product of matrices, row by row so that a row is a vector.
#[inline]
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
