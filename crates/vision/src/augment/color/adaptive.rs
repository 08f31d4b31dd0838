//! Contrast-limited adaptive histogram equalisation of the lightness: K. Zuiderveld, "Contrast
//! Limited Adaptive Histogram Equalization" (1994), with OpenCV's details.

use super::lab;
use super::tables::ColorTable;
use crate::RgbImage;

/// Equalises the lightness tile by tile; no bin has more than `clip_limit` times the mean.
pub(in crate::augment) fn clahe(image: &mut RgbImage, clip_limit: f64, [across, down]: [u32; 2]) {
    for pixel in image.pixels.as_chunks_mut::<3>().0 {
        *pixel = lab::from_rgb(*pixel);
    }
    let grid = Grid::new(image, across.max(1), down.max(1), clip_limit);
    grid.apply(image);
    for pixel in image.pixels.as_chunks_mut::<3>().0 {
        *pixel = lab::to_rgb(*pixel);
    }
}

/// The table of each tile.
struct Grid {
    across: usize,
    down: usize,
    tile_width: usize,
    tile_height: usize,
    tables: Vec<ColorTable>,
}

impl Grid {
    fn new(image: &RgbImage, across: u32, down: u32, clip_limit: f64) -> Self {
        let tile_width = image.width.div_ceil(across) as usize;
        let tile_height = image.height.div_ceil(down) as usize;
        // OpenCV adds a whole tile's worth where only one side does not divide.
        let (pad_across, pad_down) = (image.width % across, image.height % down);
        let extra = |rest: u32, other: u32| usize::from(rest == 0 && other != 0);
        let tile_width = tile_width + extra(pad_across, pad_down);
        let tile_height = tile_height + extra(pad_down, pad_across);
        let (across, down) = (across as usize, down as usize);
        let tables = (0..across * down)
            .map(|tile| {
                let (row, column) = (tile / across * tile_height, tile % across * tile_width);
                let counts = tile_counts(image, [column, row, tile_width, tile_height]);
                table(counts, tile_width * tile_height, clip_limit)
            })
            .collect();
        Self {
            across,
            down,
            tile_width,
            tile_height,
            tables,
        }
    }

    /// The tiles on both sides of a pixel and the share of the second.
    fn around(position: usize, side: usize, count: usize) -> (usize, usize, f32) {
        let at = (position as f32) / side as f32 - 0.5;
        let first = at.floor();
        let share = at - first;
        let last = count as i64 - 1;
        let tile = |number: i64| number.clamp(0, last) as usize;
        (tile(first as i64), tile(first as i64 + 1), share)
    }

    fn apply(&self, image: &mut RgbImage) {
        let columns: Vec<_> = (0..image.width as usize)
            .map(|x| Self::around(x, self.tile_width, self.across))
            .collect();
        let row_bytes = image.row_bytes();
        for (y, row) in image.pixels.chunks_exact_mut(row_bytes).enumerate() {
            let (above, below, down) = Self::around(y, self.tile_height, self.down);
            let upper = &self.tables[above * self.across..][..self.across];
            let lower = &self.tables[below * self.across..][..self.across];
            for (pixel, &(left, right, along)) in
                row.as_chunks_mut::<3>().0.iter_mut().zip(&columns)
            {
                let value = usize::from(pixel[0]);
                let at = |table: &ColorTable| f32::from(table[value]);
                let first = at(&upper[left]) * (1.0 - along) + at(&upper[right]) * along;
                let second = at(&lower[left]) * (1.0 - along) + at(&lower[right]) * along;
                pixel[0] = (first * (1.0 - down) + second * down).round_ties_even() as u8;
            }
        }
    }
}

/// How often each lightness occurs in a tile `[column, row, width, height]`; beyond the image is
/// its reflection.
fn tile_counts(image: &RgbImage, [column, row, width, height]: [usize; 4]) -> [u32; 256] {
    let mirrored = |position: usize, length: u32| {
        let last = length as usize - 1;
        if position <= last || last == 0 {
            return position.min(last);
        }
        let folded = position % (2 * last);
        folded.min(2 * last - folded)
    };
    let mut counts = [0; 256];
    for y in row..row + height {
        let start = mirrored(y, image.height) * image.row_bytes();
        for x in column..column + width {
            counts[usize::from(image.pixels[start + mirrored(x, image.width) * 3])] += 1;
        }
    }
    counts
}

/// The clipped cumulative distribution of a tile.
fn table(mut counts: [u32; 256], area: usize, clip_limit: f64) -> ColorTable {
    let limit = ((clip_limit * area as f64 / 256.0) as u32).max(1);
    let mut clipped = 0;
    for count in &mut counts {
        clipped += count.saturating_sub(limit);
        *count = (*count).min(limit);
    }
    let each = clipped / 256;
    let rest = (clipped - each * 256) as usize;
    for count in &mut counts {
        *count += each;
    }
    if let Some(step) = 256_usize.checked_div(rest) {
        for count in counts.iter_mut().step_by(step.max(1)).take(rest) {
            *count += 1;
        }
    }
    let scale = 255.0 / area as f32;
    let mut sum = 0;
    counts.map(|count| {
        sum += count;
        (sum as f32 * scale).round_ties_even() as u8
    })
}
