//! The largest number or the mean of each window.

use std::ops::Range;

use crate::convolution::prepared::Geometry;
use crate::strided::for_each_chunk;
use crate::team::Team;
use crate::vectorized;

/// What is taken of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    /// The largest number.
    Maximum,
    /// The mean of those that lie in the image.
    Mean,
    /// The sum over as many numbers as the window has within the image and its padding, of which
    /// there is `end_padding` below and on the right.
    MeanWithPadding {
        /// Padding below and on the right.
        end_padding: [usize; 2],
    },
}

/// Writes what `pool` takes of each window (`kernel`) and channel to `target`.
///
/// # Panics
/// Lengths do not fit the shape.
pub fn pool(
    team: &Team,
    pool: Pool,
    geometry: &Geometry,
    kernel: [usize; 2],
    channels: usize,
    source: &[f32],
    target: &mut [f32],
) {
    let [height, width] = geometry.output;
    let image_len = geometry.input[0] * geometry.input[1] * channels;
    assert_eq!(source.len(), geometry.batch * image_len, "source");
    let row_len = width * channels;
    assert_eq!(target.len(), geometry.batch * height * row_len, "target");
    if target.is_empty() {
        return;
    }
    for_each_chunk(team, geometry.batch * height, target, |piece| {
        let range = piece * row_len..(piece + 1) * row_len;
        (range, move |target: &mut [f32]| {
            let row = Row {
                pool,
                geometry,
                kernel,
                channels,
                image: &source[piece / height * image_len..][..image_len],
                y: piece % height,
            };
            row.write(target);
        })
    });
}

/// Elements of windows whose numbers are taken in one go.
const TAPS_AT_ONCE: usize = 64;

/// A row of windows.
struct Row<'a> {
    pool: Pool,
    geometry: &'a Geometry,
    kernel: [usize; 2],
    channels: usize,
    image: &'a [f32],
    y: usize,
}

impl Row<'_> {
    fn write(&self, target: &mut [f32]) {
        let width = self.geometry.output[1];
        let full = 0..self.kernel[1];
        let taps = |x: usize| self.geometry.taps_inside(1, full.end, x);
        let begin = (0..width).find(|x| taps(*x) == full).unwrap_or(width);
        let behind = (begin..width).rev().find(|x| taps(*x) == full);
        let end = behind.map_or(begin, |x| x + 1);
        for x in (0..begin).chain(end..width) {
            let target = &mut target[x * self.channels..][..self.channels];
            self.segment(x, taps(x), target);
        }
        if begin < end {
            let target = &mut target[begin * self.channels..end * self.channels];
            self.segment(begin, full, target);
        }
    }

    /// Windows side by side from that of `x` on that have the same elements inside the image.
    fn segment(&self, x: usize, columns: Range<usize>, target: &mut [f32]) {
        let shape = self.geometry;
        let rows = shape.taps_inside(0, self.kernel[0], self.y);
        let at = |axis: usize, point: usize, tap: usize| {
            (point * shape.stride[axis] + tap * shape.dilation[axis])
                .wrapping_sub(shape.padding[axis])
        };
        let largest = self.pool == Pool::Maximum;
        target.fill(if largest { f32::NEG_INFINITY } else { 0.0 });
        let step = shape.stride[1] * self.channels;
        let count = rows.len() * columns.len();
        let mut taps = rows.flat_map(|row| columns.clone().map(move |column| (row, column)));
        let mut list = [0; TAPS_AT_ONCE];
        for first in (0..count).step_by(TAPS_AT_ONCE) {
            let list = &mut list[..TAPS_AT_ONCE.min(count - first)];
            for (slot, (row, column)) in list.iter_mut().zip(&mut taps) {
                let pixel = at(0, self.y, row) * shape.input[1] + at(1, x, column);
                *slot = pixel * self.channels;
            }
            take_windows(largest, self.image, list, step, self.channels, target);
        }
        match self.pool {
            Pool::Maximum => {}
            Pool::Mean => scale(target, 1.0 / count as f32),
            Pool::MeanWithPadding { end_padding } => {
                // How many are counted may differ from window to window at the end.
                for (number, target) in target.chunks_exact_mut(self.channels).enumerate() {
                    scale(target, 1.0 / self.counted(x + number, end_padding) as f32);
                }
            }
        }
    }

    /// Elements of a window that lie in the image or its padding.
    fn counted(&self, x: usize, end_padding: [usize; 2]) -> usize {
        let shape = self.geometry;
        let along = |axis: usize, point: usize| {
            let limit = shape.padding[axis] + shape.input[axis] + end_padding[axis];
            limit
                .saturating_sub(point * shape.stride[axis])
                .div_ceil(shape.dilation[axis])
                .min(self.kernel[axis])
        };
        along(0, self.y) * along(1, x)
    }
}

/// Takes `N` channels at a time from number `begin` on, as long as there are so many; answers how far.
#[inline(always)]
fn take_blocks<const LARGEST: bool, const N: usize>(
    image: &[f32],
    taps: &[usize],
    mut begin: usize,
    target: &mut [f32],
) -> usize {
    while target.len() - begin >= N {
        let block = &mut target[begin..begin + N];
        let mut taken = [0.0; N];
        taken.copy_from_slice(block);
        for tap in taps {
            let numbers = &image[tap + begin..][..N];
            for (taken, number) in taken.iter_mut().zip(numbers) {
                *taken = match LARGEST {
                    true => larger(*taken, *number),
                    false => *taken + *number,
                };
            }
        }
        block.copy_from_slice(&taken);
        begin += N;
    }
    begin
}

/// Written so that a NaN stays one.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

vectorized! {
    /// Takes the numbers at `taps`, relative to each window, into what was taken before.
    fn take_windows(
        largest: bool,
        image: &[f32],
        taps: &[usize],
        step: usize,
        channels: usize,
        target: &mut [f32],
    ) {
        for (number, target) in target.chunks_exact_mut(channels).enumerate() {
            let image = &image[number * step..];
            if largest {
                let begin = take_blocks::<true, 32>(image, taps, 0, target);
                let begin = take_blocks::<true, 16>(image, taps, begin, target);
                take_blocks::<true, 1>(image, taps, begin, target);
            } else {
                let begin = take_blocks::<false, 32>(image, taps, 0, target);
                let begin = take_blocks::<false, 16>(image, taps, begin, target);
                take_blocks::<false, 1>(image, taps, begin, target);
            }
        }
    }
    pub(super) fn take_maximum(target: &mut [f32], numbers: &[f32]) {
        for (target, number) in target.iter_mut().zip(numbers) {
            *target = larger(*target, *number);
        }
    }

    pub(super) fn scale(target: &mut [f32], factor: f32) {
        for target in target {
            *target *= factor;
        }
    }
}
