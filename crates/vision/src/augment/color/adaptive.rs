//! Contrast-limited adaptive histogram equalisation of the lightness: K. Zuiderveld, "Contrast
//! Limited Adaptive Histogram Equalization" (1994), with OpenCV's details.

use ferrotype_kernels::{pixels, vectorized};

use super::blocks::{BLOCK, for_each_block, integer};
use super::lab;
use super::tables::ColorTable;
use crate::RgbImage;

/// Equalises the lightness tile by tile; no bin has more than `clip_limit` times the mean.
pub(in crate::augment) fn clahe(image: &mut RgbImage, clip_limit: f64, [across, down]: [u32; 2]) {
    let mut converted = [[0; BLOCK]; 3];
    let mut planes = [(); 3].map(|()| Vec::with_capacity(image.pixels.len() / 3 + BLOCK));
    for_each_block(&image.pixels, |block, count| {
        lab::from_rgb(block, &mut converted);
        for (plane, converted) in planes.iter_mut().zip(&converted) {
            plane.extend_from_slice(&converted[..count]);
        }
    });
    let size = [image.width as usize, image.height as usize];
    let grid = Grid::new(&planes[0], size, [across.max(1), down.max(1)], clip_limit);
    grid.apply(&mut planes[0], size[0]);
    let mut block = [[0; BLOCK]; 3];
    for (number, target) in image.pixels.chunks_mut(3 * BLOCK).enumerate() {
        let count = target.len() / 3;
        for (block, plane) in block.iter_mut().zip(&planes) {
            block[..count].copy_from_slice(&plane[number * BLOCK..][..count]);
        }
        lab::to_rgb(&block, &mut converted);
        pixels::join(converted.each_ref().map(|plane| &plane[..count]), target);
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
    fn new(
        lightness: &[u8],
        [width, height]: [usize; 2],
        [across, down]: [u32; 2],
        clip_limit: f64,
    ) -> Self {
        let (across, down) = (across as usize, down as usize);
        // OpenCV adds a whole tile's worth where only one side does not divide.
        let (pad_across, pad_down) = (width % across, height % down);
        let extra = |rest: usize, other: usize| usize::from(rest == 0 && other != 0);
        let tile_width = width.div_ceil(across) + extra(pad_across, pad_down);
        let tile_height = height.div_ceil(down) + extra(pad_down, pad_across);
        let tables = (0..across * down)
            .map(|tile| {
                let (row, column) = (tile / across * tile_height, tile % across * tile_width);
                let tile = [column, row, tile_width, tile_height];
                let counts = tile_counts(lightness, [width, height], tile);
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

    /// For each value of the lightness what the tiles upper left, upper right, lower left and lower
    /// right make of it, a byte each.
    fn corners(&self, [left, right]: [usize; 2], [above, below]: [usize; 2]) -> [u32; 256] {
        let tile = |row: usize, column: usize| &self.tables[row * self.across + column];
        let tiles = [
            tile(above, left),
            tile(above, right),
            tile(below, left),
            tile(below, right),
        ];
        std::array::from_fn(|value| u32::from_le_bytes(tiles.map(|table| table[value])))
    }

    fn apply(&self, lightness: &mut [u8], width: usize) {
        let columns: Vec<_> = (0..width)
            .map(|x| Self::around(x, self.tile_width, self.across))
            .collect();
        let along: Vec<f32> = columns.iter().map(|&(.., along)| along).collect();
        // Columns between the same tiles: where they end, and the tiles.
        let mut spans: Vec<(usize, [usize; 2])> = Vec::new();
        for (x, &(left, right, _)) in columns.iter().enumerate() {
            match spans.last_mut().filter(|span| span.1 == [left, right]) {
                Some(span) => span.0 = x + 1,
                None => spans.push((x + 1, [left, right])),
            }
        }
        let mut corners: Vec<[u32; 256]> = Vec::new();
        let mut looked_up = vec![0; width];
        let mut tiles = None;
        for (y, row) in lightness.chunks_exact_mut(width).enumerate() {
            let (above, below, down) = Self::around(y, self.tile_height, self.down);
            if tiles.replace([above, below]) != Some([above, below]) {
                corners.clear();
                let tables = spans
                    .iter()
                    .map(|&(_, columns)| self.corners(columns, [above, below]));
                corners.extend(tables);
            }
            let mut start = 0;
            for (&(end, _), table) in spans.iter().zip(&corners) {
                for (found, &value) in looked_up[start..end].iter_mut().zip(&row[start..end]) {
                    *found = table[usize::from(value)];
                }
                start = end;
            }
            blend(&looked_up, &along, down, row);
        }
    }
}

vectorized! {
    /// Values between those of four tiles, by the shares of the right ones and of the lower ones.
    fn blend(corners: &[u32], along: &[f32], down: f32, row: &mut [u8]) {
        for ((value, &corners), &along) in row.iter_mut().zip(corners).zip(along) {
            let corner = |number: u32| ((corners >> (8 * number)) & 0xFF) as i32 as f32;
            let first = corner(0) * (1.0 - along) + corner(1) * along;
            let second = corner(2) * (1.0 - along) + corner(3) * along;
            let between = first * (1.0 - down) + second * down;
            *value = integer(between) as u8;
        }
    }
}

/// How often each lightness occurs in a tile `[column, row, width, height]`; beyond the image is
/// its reflection.
fn tile_counts(
    lightness: &[u8],
    [image_width, image_height]: [usize; 2],
    [column, row, width, height]: [usize; 4],
) -> [u32; 256] {
    let mirrored = |position: usize, length: usize| {
        let last = length - 1;
        if position <= last || last == 0 {
            return position.min(last);
        }
        let folded = position % (2 * last);
        folded.min(2 * last - folded)
    };
    let mut counts = [0; 256];
    let inside = column.min(image_width)..(column + width).min(image_width);
    for y in row..row + height {
        let start = mirrored(y, image_height) * image_width;
        let line = &lightness[start..start + image_width];
        for &value in &line[inside.clone()] {
            counts[usize::from(value)] += 1;
        }
        for x in inside.end.max(column)..column + width {
            counts[usize::from(line[mirrored(x, image_width)])] += 1;
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
