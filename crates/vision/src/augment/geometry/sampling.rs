//! Colours between pixels.

use ferrotype_core::config::augment::{BorderMode, Interpolation};
use ferrotype_kernels::pixels::{BILINEAR_BYTES, Places, bilinear};
use ferrotype_kernels::vectorized;

use super::Border;
use crate::RgbImage;

/// Bits after the point of a position in pixels.
pub(super) const FRACTION_BITS: u32 = 12;
const ONE: i32 = 1 << FRACTION_BITS;

/// A position in fixed point, rounded; by a sum whose lowest bits are the whole number's, for the
/// compiler makes no vectors of saturating casts.
#[inline(always)]
pub(super) fn fixed(position: f64) -> i32 {
    /// 1.5 · 2⁵²
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    let position = position.clamp(-FARTHEST, FARTHEST) * ONE as f64;
    (position + SHIFT).to_bits() as i32
}

/// The largest position, far outside of any image.
pub(super) const FARTHEST: f64 = 400_000.0;

/// The part of an image that is looked at; around it is its border.
pub(super) struct Window<'a> {
    /// From the window's first pixel on.
    pixels: &'a [u8],
    row_bytes: usize,
    width: u32,
    height: u32,
    border: Border,
}

impl<'a> Window<'a> {
    /// The part of an image at `[column, row, width, height]`, which lies inside of it.
    pub(super) fn new(
        image: &'a RgbImage,
        [left, top, width, height]: [u32; 4],
        border: Border,
    ) -> Self {
        let row_bytes = image.row_bytes();
        Self {
            pixels: &image.pixels[top as usize * row_bytes + left as usize * 3..],
            row_bytes,
            width,
            height,
            border,
        }
    }

    /// The pixel at a position that may be outside of the window.
    #[inline]
    fn pixel(&self, x: i32, y: i32) -> [u8; 3] {
        self.pixel_at(
            self.border.position(x.into(), self.width),
            self.border.position(y.into(), self.height),
        )
    }

    #[inline]
    fn pixel_at(&self, x: Option<usize>, y: Option<usize>) -> [u8; 3] {
        let pixel = x.zip(y).and_then(|(x, y)| {
            let at = y * self.row_bytes + x * 3;
            self.pixels.get(at..at + 3)?.try_into().ok()
        });
        pixel.unwrap_or(self.border.fill)
    }

    /// The colour at a position in fixed point, wherever it is.
    fn linear_anywhere(&self, x: i32, y: i32) -> [u8; 3] {
        let (column, row) = (x >> FRACTION_BITS, y >> FRACTION_BITS);
        let outside = |at: i32, length: u32| at < -1 || i64::from(at) >= i64::from(length);
        if self.border.mode == BorderMode::Constant
            && (outside(column, self.width) || outside(row, self.height))
        {
            return self.border.fill;
        }
        let around =
            |at: i32, length: u32| [at, at + 1].map(|at| self.border.position(at.into(), length));
        let (columns, rows) = (around(column, self.width), around(row, self.height));
        let mut four = [[0; BILINEAR_BYTES]; 2];
        for (line, row) in four.iter_mut().zip(rows) {
            let [left, right] = columns.map(|column| self.pixel_at(column, row));
            line[..3].copy_from_slice(&left);
            line[3..6].copy_from_slice(&right);
        }
        let mut color = [0; 3];
        let places = Places {
            offsets: &[0],
            across: &[shares(x)],
            down: &[coarse_shares(y)],
        };
        bilinear(four.as_flattened(), BILINEAR_BYTES, places, &mut color);
        color
    }

    /// The largest offset of an upper left pixel whose neighbours [`bilinear`] may look at.
    fn last_offset(&self) -> Option<u32> {
        let last = self
            .pixels
            .len()
            .checked_sub(self.row_bytes + BILINEAR_BYTES)?;
        // A larger image is done pixel by pixel.
        u32::try_from(last).ok().filter(|&last| last < OUTSIDE)
    }
}

/// The offset of a place that is not wholly in the window.
const OUTSIDE: u32 = u32::MAX;

/// The shares of the pixel before a position (lower 16 bits) and of the one after it, of 4096.
#[inline(always)]
const fn shares(position: i32) -> u32 {
    let second = (position & (ONE - 1)) as u32;
    second << 16 | (ONE as u32 - second)
}

/// The same of 512.
#[inline(always)]
const fn coarse_shares(position: i32) -> u32 {
    let second = ((position & (ONE - 1)) as u32 + 4) >> 3;
    second << 16 | (512 - second)
}

/// Where a row's pixels look, with what is made of it; used again from row to row.
#[derive(Debug, Default)]
pub(super) struct Positions {
    /// Columns in fixed point, relative to the centre of the window's first pixel.
    pub(super) across: Vec<i32>,
    /// Rows, likewise.
    pub(super) down: Vec<i32>,
    offsets: Vec<u32>,
    shares_across: Vec<u32>,
    shares_down: Vec<u32>,
}

impl Positions {
    /// Room for a row of so many pixels.
    pub(super) fn resize(&mut self, count: usize) {
        let Self {
            across,
            down,
            offsets,
            shares_across,
            shares_down,
        } = self;
        for positions in [across, down] {
            positions.resize(count, 0);
        }
        for places in [offsets, shares_across, shares_down] {
            places.resize(count, 0);
        }
    }

    /// Writes the colours at the positions.
    pub(super) fn sample(
        &mut self,
        window: &Window<'_>,
        interpolation: Interpolation,
        row: &mut [u8],
    ) {
        match interpolation {
            Interpolation::Nearest => {
                let positions = self.across.iter().zip(&self.down);
                for (pixel, (&x, &y)) in row.as_chunks_mut::<3>().0.iter_mut().zip(positions) {
                    let [x, y] = [x, y].map(|at| (at + ONE / 2) >> FRACTION_BITS);
                    *pixel = window.pixel(x, y);
                }
            }
            Interpolation::Linear => self.sample_linear(window, row),
        }
    }

    fn sample_linear(&mut self, window: &Window<'_>, row: &mut [u8]) {
        let Self {
            across,
            down,
            offsets,
            shares_across,
            shares_down,
        } = self;
        if let Some(last) = window.last_offset() {
            let bounds = [window.width, window.height, window.row_bytes as u32, last];
            let shares = [&mut *shares_across, &mut *shares_down];
            find_places(across, down, bounds, offsets, shares);
        } else {
            offsets.fill(OUTSIDE);
        }
        let mut start = 0;
        for run in offsets.chunk_by(|a, b| (*a == OUTSIDE) == (*b == OUTSIDE)) {
            let range = start..start + run.len();
            start = range.end;
            let pixels = &mut row[range.start * 3..range.end * 3];
            if run.first() == Some(&OUTSIDE) {
                let positions = across[range.clone()].iter().zip(&down[range]);
                for (pixel, (&x, &y)) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(positions) {
                    *pixel = window.linear_anywhere(x, y);
                }
            } else {
                let places = Places {
                    offsets: run,
                    across: &shares_across[range.clone()],
                    down: &shares_down[range],
                };
                bilinear(window.pixels, window.row_bytes, places, pixels);
            }
        }
    }
}

vectorized! {
    /// Offsets and shares of positions; [`OUTSIDE`] where not all four pixels are in the window.
    fn find_places(
        across: &[i32],
        down: &[i32],
        bounds: [u32; 4],
        offsets: &mut [u32],
        shares_of: [&mut Vec<u32>; 2],
    ) {
        let [width, height, row_bytes, last] = bounds;
        let [shares_across, shares_down] = shares_of;
        // As unsigned numbers negative ones are large.
        let (columns, rows) = (width.saturating_sub(1), height.saturating_sub(1));
        for ((&x, &y), offset) in across.iter().zip(down).zip(offsets) {
            let (column, row) = ((x >> FRACTION_BITS) as u32, (y >> FRACTION_BITS) as u32);
            let at = row.wrapping_mul(row_bytes).wrapping_add(column.wrapping_mul(3));
            let is_inside = (column < columns) & (row < rows) & (at <= last);
            *offset = if is_inside { at } else { OUTSIDE };
        }
        for (&x, share) in across.iter().zip(shares_across) {
            *share = shares(x);
        }
        for (&y, share) in down.iter().zip(shares_down) {
            *share = coarse_shares(y);
        }
    }
}

#[cfg(test)]
mod tests {
    use ferrotype_core::config::augment::BorderMode;

    use super::*;

    fn gradient() -> RgbImage {
        let pixels = (0..6 * 5_u8)
            .flat_map(|n| [n * 8, 255 - n * 3, n])
            .collect();
        RgbImage::from_pixels(6, 5, pixels).unwrap()
    }

    fn at(image: &RgbImage, x: f64, y: f64, border: Border) -> [u8; 3] {
        let window = Window::new(image, [0, 0, 6, 5], border);
        let fixed = |value: f64| (value * f64::from(ONE)).round() as i32;
        let mut pixel = [0; 3];
        let mut positions = Positions::default();
        positions.resize(1);
        (positions.across[0], positions.down[0]) = (fixed(x), fixed(y));
        positions.sample(&window, Interpolation::Linear, &mut pixel);
        pixel
    }

    #[test]
    fn the_quick_way_and_the_one_for_edges_agree_with_real_numbers() {
        let image = gradient();
        for (x, y) in [
            (0.0_f64, 0.0_f64),
            (2.3, 1.8),
            (4.999, 3.5),
            (4.25, 3.75),
            (1.5, 0.0),
        ] {
            let exact: [f64; 3] = std::array::from_fn(|channel| {
                let value = |x: f64, y: f64| f64::from(image.pixel(x as u32, y as u32)[channel]);
                let (fx, fy) = (x.fract(), y.fract());
                let (x, y) = (x.floor(), y.floor());
                let upper = value(x, y) * (1.0 - fx) + value(x + 1.0, y) * fx;
                let lower = value(x, y + 1.0) * (1.0 - fx) + value(x + 1.0, y + 1.0) * fx;
                upper * (1.0 - fy) + lower * fy
            });
            let quick = at(&image, x, y, Border::REPLICATE);
            let fixed = |value: f64| (value * f64::from(ONE)).round() as i32;
            let window = Window::new(&image, [0, 0, 6, 5], Border::REPLICATE);
            assert_eq!(quick, window.linear_anywhere(fixed(x), fixed(y)), "{x} {y}");
            for (found, exact) in quick.iter().zip(exact) {
                assert!((f64::from(*found) - exact).abs() <= 0.65, "{found} {exact}");
            }
        }
    }

    #[test]
    fn beyond_the_edge_is_the_border() {
        let image = gradient();
        let constant = Border {
            mode: BorderMode::Constant,
            fill: [100, 0, 0],
        };
        assert_eq!(at(&image, -1.0, 2.0, constant), [100, 0, 0]);
        assert_eq!(at(&image, -0.5, 0.0, constant), [50, 128, 0]);
        assert_eq!(at(&image, -3.0, 2.0, Border::REPLICATE), image.pixel(0, 2));
        assert_eq!(at(&image, 99.0, 99.0, Border::REPLICATE), image.pixel(5, 4));
    }

    #[test]
    fn white_stays_white() {
        let white = RgbImage::filled(6, 5, [255; 3]);
        for step in 0..200 {
            let position = f64::from(step) * 0.021;
            let found = at(&white, position, position * 0.9, Border::REPLICATE);
            assert_eq!(found, [255; 3], "{position}");
        }
    }
}
