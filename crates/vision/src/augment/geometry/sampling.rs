//! Colours between pixels.

use ferrotype_core::config::augment::Interpolation;

use super::Border;
use crate::RgbImage;

/// Bits after the point of a position in pixels.
pub(super) const FRACTION_BITS: u32 = 12;
const ONE: i32 = 1 << FRACTION_BITS;

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
    fn pixel(&self, x: i64, y: i64) -> [u8; 3] {
        let found = self
            .border
            .position(x, self.width)
            .zip(self.border.position(y, self.height));
        let pixel = found.and_then(|(x, y)| {
            let at = y * self.row_bytes + x * 3;
            self.pixels.get(at..at + 3)?.try_into().ok()
        });
        pixel.unwrap_or(self.border.fill)
    }

    /// The colour at a position in fixed point, wherever it is.
    fn linear_anywhere(&self, x: i32, y: i32) -> [u8; 3] {
        let (column, row) = (i64::from(x >> FRACTION_BITS), i64::from(y >> FRACTION_BITS));
        let [upper, lower] = [row, row + 1]
            .map(|row| lanes(self.pixel(column, row)) | lanes(self.pixel(column + 1, row)) << 64);
        let split = |pair: u128| [pair as u64, (pair >> 64) as u64];
        blend(split(upper), split(lower), x, y)
    }
}

/// Writes the colours at positions in fixed point, relative to the window's first pixel's centre.
pub(super) fn sample_row(
    window: &Window<'_>,
    interpolation: Interpolation,
    across: &[i32],
    down: &[i32],
    row: &mut [u8],
) {
    let positions = across.iter().zip(down);
    let pixels = row.as_chunks_mut::<3>().0.iter_mut();
    match interpolation {
        Interpolation::Nearest => {
            for (pixel, (&x, &y)) in pixels.zip(positions) {
                let [x, y] = [x, y].map(|at| i64::from((at + ONE / 2) >> FRACTION_BITS));
                *pixel = window.pixel(x, y);
            }
        }
        Interpolation::Linear => {
            for (pixel, (&x, &y)) in pixels.zip(positions) {
                *pixel = linear(window, x, y);
            }
        }
    }
}

/// The colour at a position, by two loads of eight bytes where all four pixels are in the window.
#[inline(always)]
fn linear(window: &Window<'_>, x: i32, y: i32) -> [u8; 3] {
    let (column, row) = (x >> FRACTION_BITS, y >> FRACTION_BITS);
    // As unsigned numbers negative ones are large.
    if (column as u32) < window.width.wrapping_sub(1)
        && (row as u32) < window.height.wrapping_sub(1)
    {
        let at = row as usize * window.row_bytes + column as usize * 3;
        let upper = window.pixels.get(at..at + 8);
        let lower = window
            .pixels
            .get(at + window.row_bytes..at + window.row_bytes + 8);
        if let (Some(upper), Some(lower)) = (upper, lower) {
            return blend(pair(upper), pair(lower), x, y);
        }
    }
    window.linear_anywhere(x, y)
}

/// The first two pixels of eight bytes, their channels in lanes.
#[inline(always)]
fn pair(bytes: &[u8]) -> [u64; 2] {
    let bytes = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
    [spread(bytes), spread(bytes >> 24)]
}

/// The three lowest bytes in lanes of 21 bits, so that one multiplication does three channels.
#[inline(always)]
const fn spread(bytes: u64) -> u64 {
    (bytes & 0xFF) | (bytes & 0xFF00) << 13 | (bytes & 0xFF_0000) << 26
}

fn lanes([red, green, blue]: [u8; 3]) -> u128 {
    spread(u64::from_le_bytes([red, green, blue, 0, 0, 0, 0, 0])).into()
}

/// One in each lane.
const LANES: u64 = 1 | 1 << 21 | 1 << 42;

/// Averages four pixels in lanes by the fractions of a position. Along a row with 12 bits, which
/// fit a lane with the 8 of a value; then 12 bits are kept, which fit a lane with 9 bits down.
#[inline(always)]
fn blend(upper: [u64; 2], lower: [u64; 2], x: i32, y: i32) -> [u8; 3] {
    let right = (x & (ONE - 1)) as u64;
    let left = ONE as u64 - right;
    let below = ((y & (ONE - 1)) as u64 + 4) >> 3;
    let above = (ONE as u64 >> 3) - below;
    let along = |[first, second]: [u64; 2]| {
        ((first * left + second * right + LANES * 128) >> 8) & (LANES * 0xFFF)
    };
    let sum = (along(upper) * above + along(lower) * below + LANES * 4096) >> 13;
    [sum as u8, (sum >> 21) as u8, (sum >> 42) as u8]
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
        let (x, y) = ([fixed(x)], [fixed(y)]);
        sample_row(&window, Interpolation::Linear, &x, &y, &mut pixel);
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
