//! Medians of windows.

use ferrotype_kernels::vectorized;

use crate::RgbImage;

/// Replaces each value by the median of the square of odd `side` around it; beyond the edges the
/// outermost pixels repeat, as in OpenCV's `medianBlur`.
pub(in crate::augment) fn median(image: &mut RgbImage, side: usize) {
    let half = side / 2;
    let row_bytes = image.row_bytes();
    let height = image.height as usize;
    let mut bytes = Vec::with_capacity((row_bytes + 6 * half) * height + LANES);
    for row in image.pixels.chunks_exact(row_bytes) {
        let first = &row[..3];
        let last = &row[row_bytes - 3..];
        (0..half).for_each(|_| bytes.extend_from_slice(first));
        bytes.extend_from_slice(row);
        (0..half).for_each(|_| bytes.extend_from_slice(last));
    }
    // So that the last block is as long as the others.
    bytes.resize(bytes.len() + LANES, 0);
    let stride = row_bytes + 6 * half;
    let rows = |y: usize| -> Vec<&[u8]> {
        (0..side)
            .map(|down| {
                let from = (y + down).saturating_sub(half).min(height - 1);
                &bytes[from * stride..]
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

/// Values whose medians are found at a time.
const LANES: usize = 64;

/// Puts the lesser of two first.
macro_rules! order {
    ($values:ident: $(($low:literal, $high:literal))*) => {$(
        ($values[$low], $values[$high]) = (
            $values[$low].min($values[$high]),
            $values[$low].max($values[$high]),
        );
    )*};
}

/// The rows' blocks of a window of `SIDE`, `[down · SIDE + across]`; the rows end with one that is not
/// shown.
#[inline(always)]
fn window<'a, const SIDE: usize, const N: usize>(
    rows: &[&'a [u8]],
    start: usize,
) -> [&'a [u8; LANES]; N] {
    std::array::from_fn(|index| &rows[index / SIDE][start + index % SIDE * 3..].as_chunks().0[0])
}

vectorized! {
    /// The median of 3×3 by the shortest sorting network for it (N. Devillard, 1998).
    fn smallest_window(rows: &[&[u8]], result: &mut [u8]) {
        for (number, result) in result.chunks_mut(LANES).enumerate() {
            let window = window::<3, 9>(rows, number * LANES);
            let mut medians = [0; LANES];
            for (lane, median) in medians.iter_mut().enumerate() {
                let mut v = window.map(|values| values[lane]);
                order!(v: (1, 2) (4, 5) (7, 8) (0, 1) (3, 4) (6, 7) (1, 2) (4, 5) (7, 8) (0, 3)
                    (5, 8) (4, 7) (3, 6) (1, 4) (2, 5) (4, 7) (4, 2) (6, 4) (4, 2));
                *median = v[4];
            }
            result.copy_from_slice(&medians[..result.len()]);
        }
    }

    /// The median of 5×5 by the network of the same source, of 99 comparisons.
    fn small_window(rows: &[&[u8]], result: &mut [u8]) {
        for (number, result) in result.chunks_mut(LANES).enumerate() {
            let window = window::<5, 25>(rows, number * LANES);
            let mut medians = [0; LANES];
            for (lane, median) in medians.iter_mut().enumerate() {
                let mut v = window.map(|values| values[lane]);
                order!(v: (0, 1) (3, 4) (2, 4) (2, 3) (6, 7) (5, 7) (5, 6) (9, 10) (8, 10) (8, 9)
                    (12, 13) (11, 13) (11, 12) (15, 16) (14, 16) (14, 15) (18, 19) (17, 19)
                    (17, 18) (21, 22) (20, 22) (20, 21) (23, 24) (2, 5) (3, 6) (0, 6) (0, 3)
                    (4, 7) (1, 7) (1, 4) (11, 14) (8, 14) (8, 11) (12, 15) (9, 15) (9, 12)
                    (13, 16) (10, 16) (10, 13) (20, 23) (17, 23) (17, 20) (21, 24) (18, 24)
                    (18, 21) (19, 22) (8, 17) (9, 18) (0, 18) (0, 9) (10, 19) (1, 19) (1, 10)
                    (11, 20) (2, 20) (2, 11) (12, 21) (3, 21) (3, 12) (13, 22) (4, 22) (4, 13)
                    (14, 23) (5, 23) (5, 14) (15, 24) (6, 24) (6, 15) (7, 16) (7, 19) (13, 21)
                    (15, 23) (7, 13) (7, 15) (1, 9) (3, 11) (5, 17) (11, 17) (9, 17) (4, 10)
                    (6, 12) (7, 14) (4, 6) (4, 7) (12, 14) (10, 14) (6, 7) (10, 12) (6, 10)
                    (6, 17) (12, 17) (7, 17) (7, 10) (12, 18) (7, 12) (10, 18) (12, 20) (10, 20)
                    (10, 12));
                *median = v[12];
            }
            result.copy_from_slice(&medians[..result.len()]);
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
