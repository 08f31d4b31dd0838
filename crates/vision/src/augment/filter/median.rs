//! Medians of windows.

use ferrotype_kernels::vectorized;

use crate::RgbImage;

/// Replaces each value by the median of the square of odd `side` around it; beyond the edges the
/// outermost pixels repeat, as in OpenCV's `medianBlur`.
pub(in crate::augment) fn median(image: &mut RgbImage, side: usize) {
    let half = side / 2;
    let row_bytes = image.row_bytes();
    let height = image.height as usize;
    let mut bytes = Vec::with_capacity((row_bytes + 6 * half) * height);
    for row in image.pixels.chunks_exact(row_bytes) {
        let first = &row[..3];
        let last = &row[row_bytes - 3..];
        (0..half).for_each(|_| bytes.extend_from_slice(first));
        bytes.extend_from_slice(row);
        (0..half).for_each(|_| bytes.extend_from_slice(last));
    }
    let stride = row_bytes + 6 * half;
    let rows = |y: usize| -> Vec<&[u8]> {
        (0..side)
            .map(|down| {
                let from = (y + down).saturating_sub(half).min(height - 1);
                &bytes[from * stride..][..stride]
            })
            .collect()
    };
    for (y, row) in image.pixels.chunks_exact_mut(row_bytes).enumerate() {
        match side {
            0 | 1 => {}
            3 => smallest_window(&rows(y), row),
            5 => small_window(&rows(y), row),
            _ => sliding_window(&rows(y), row),
        }
    }
}

/// Values side by side in a register.
const LANES: usize = 64;

/// Puts the lesser of two first, value by value.
#[inline(always)]
fn order<const N: usize>(values: &mut [[u8; LANES]; N], low: usize, high: usize) {
    let (a, b) = (values[low], values[high]);
    values[low] = std::array::from_fn(|lane| a[lane].min(b[lane]));
    values[high] = std::array::from_fn(|lane| a[lane].max(b[lane]));
}

/// Values `start..` of every pixel of a window: `values[down · side + across]`.
#[inline(always)]
fn gather<const N: usize>(
    rows: &[&[u8]],
    side: usize,
    start: usize,
    count: usize,
) -> [[u8; LANES]; N] {
    let mut values = [[0; LANES]; N];
    for (index, lanes) in values.iter_mut().enumerate() {
        let from = &rows[index / side][start + index % side * 3..][..count];
        lanes[..count].copy_from_slice(from);
    }
    values
}

vectorized! {
    /// The median of 3×3 by the shortest sorting network for it (N. Devillard, 1998).
    fn smallest_window(rows: &[&[u8]], result: &mut [u8]) {
        const NETWORK: [(usize, usize); 19] = [
            (1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3),
            (5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2),
        ];
        for (number, block) in result.chunks_mut(LANES).enumerate() {
            let mut values = gather::<9>(rows, 3, number * LANES, block.len());
            for (low, high) in NETWORK {
                order(&mut values, low, high);
            }
            block.copy_from_slice(&values[4][..block.len()]);
        }
    }

    /// The median of 5×5: from 14 values the least and the most are dropped, one more is taken in,
    /// and so on until three are left.
    fn small_window(rows: &[&[u8]], result: &mut [u8]) {
        for (number, block) in result.chunks_mut(LANES).enumerate() {
            let mut values = gather::<25>(rows, 5, number * LANES, block.len());
            const LAST: usize = 13;
            let mut first = 0;
            for next in 14..=25 {
                // The least of `first..=LAST` comes first, the most last.
                for index in first + 1..=LAST {
                    order(&mut values, first, index);
                }
                for index in first + 1..LAST {
                    order(&mut values, index, LAST);
                }
                if next == 25 {
                    break;
                }
                // The most is dropped for the next value, the least by moving on.
                values[LAST] = values[next];
                first += 1;
            }
            // Three are left, in order.
            block.copy_from_slice(&values[first + 1][..block.len()]);
        }
    }
}

/// The median of a larger window by a histogram that slides along the row: T. Huang et al., "A
/// fast two-dimensional median filtering algorithm" (1979).
fn sliding_window(rows: &[&[u8]], result: &mut [u8]) {
    let side = rows.len();
    let rank = (side * side / 2) as i32;
    for channel in 0..3 {
        let mut counts = [0_i32; 256];
        let column = |x: usize| {
            rows.iter()
                .map(move |row| usize::from(row[x * 3 + channel]))
        };
        (0..side)
            .flat_map(column)
            .for_each(|value| counts[value] += 1);
        // The median and how many values are less.
        let (mut median, mut below) = (0, 0);
        for x in 0..result.len() / 3 {
            if x > 0 {
                for value in column(x - 1) {
                    counts[value] -= 1;
                    below -= i32::from(value < median);
                }
                for value in column(x + side - 1) {
                    counts[value] += 1;
                    below += i32::from(value < median);
                }
            }
            while below > rank {
                median -= 1;
                below -= counts[median];
            }
            while below + counts[median] <= rank {
                below += counts[median];
                median += 1;
            }
            result[x * 3 + channel] = median as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(width: u32, height: u32) -> RgbImage {
        let count = u64::from(width * height * 3);
        let bytes = (0..count).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8);
        RgbImage::from_pixels(width, height, bytes.collect()).unwrap()
    }

    #[test]
    fn all_ways_give_the_middle_of_the_sorted_window() {
        for (width, height) in [(31, 9), (1, 1), (2, 5), (70, 3)] {
            for side in [3, 5, 7, 9] {
                let original = noisy(width, height);
                let mut filtered = original.clone();
                median(&mut filtered, side as usize);
                for (x, y) in [(0, 0), (width - 1, height - 1), (width / 2, height / 2)] {
                    let half = side / 2;
                    let expected: [u8; 3] = std::array::from_fn(|channel| {
                        let mut window: Vec<u8> = (-half..=half)
                            .flat_map(|down| (-half..=half).map(move |across| (across, down)))
                            .map(|(across, down)| {
                                let at = |at: u32, by: i64, side: u32| {
                                    (i64::from(at) + by).clamp(0, i64::from(side) - 1) as u32
                                };
                                original.pixel(at(x, across, width), at(y, down, height))[channel]
                            })
                            .collect();
                        window.sort_unstable();
                        window[window.len() / 2]
                    });
                    assert_eq!(filtered.pixel(x, y), expected, "{side} {width} {x} {y}");
                }
            }
        }
    }
}
