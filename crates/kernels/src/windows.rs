//! Pooling, resizing, sums and softmax for inference, on NHWC images or rows.

use std::ops::Range;

use crate::convolution::prepared::Geometry;
use crate::math::exp;
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
            let image = &source[piece / height * image_len..][..image_len];
            let y = piece % height;
            let rows = pixels_inside(geometry, 0, kernel[0], y);
            for (x, target) in target.chunks_exact_mut(channels).enumerate() {
                let columns = pixels_inside(geometry, 1, kernel[1], x);
                window(
                    pool,
                    geometry,
                    [kernel, [y, x]],
                    [rows.clone(), columns],
                    image,
                    target,
                );
            }
        })
    });
}

/// The taps of a window inside the image.
fn pixels_inside(geometry: &Geometry, axis: usize, kernel: usize, point: usize) -> Range<usize> {
    geometry.taps_inside(axis, kernel, point)
}

fn window(
    pool: Pool,
    geometry: &Geometry,
    [kernel, point]: [[usize; 2]; 2],
    taps: [Range<usize>; 2],
    image: &[f32],
    target: &mut [f32],
) {
    let channels = target.len();
    let at = |axis: usize, tap: usize| {
        (point[axis] * geometry.stride[axis] + tap * geometry.dilation[axis])
            .wrapping_sub(geometry.padding[axis])
    };
    let mut count = 0;
    target.fill(match pool {
        Pool::Maximum => f32::NEG_INFINITY,
        _ => 0.0,
    });
    for tap_y in taps[0].clone() {
        for tap_x in taps[1].clone() {
            let pixel = at(0, tap_y) * geometry.input[1] + at(1, tap_x);
            let numbers = &image[pixel * channels..][..channels];
            match pool {
                Pool::Maximum => take_maximum(target, numbers),
                _ => add(target, numbers),
            }
            count += 1;
        }
    }
    match pool {
        Pool::Maximum => {}
        Pool::Mean => scale(target, 1.0 / count as f32),
        Pool::MeanWithPadding { end_padding } => {
            let counted = |axis: usize| {
                let limit = geometry.padding[axis] + geometry.input[axis] + end_padding[axis];
                let start = point[axis] * geometry.stride[axis];
                limit
                    .saturating_sub(start)
                    .div_ceil(geometry.dilation[axis])
                    .min(kernel[axis])
            };
            scale(target, 1.0 / (counted(0) * counted(1)) as f32);
        }
    }
}

vectorized! {
    fn take_maximum(target: &mut [f32], numbers: &[f32]) {
        for (target, number) in target.iter_mut().zip(numbers) {
            // Written so that a NaN stays one.
            *target = if *target > *number || target.is_nan() { *target } else { *number };
        }
    }

    fn add(target: &mut [f32], numbers: &[f32]) {
        for (target, number) in target.iter_mut().zip(numbers) {
            *target += *number;
        }
    }

    fn scale(target: &mut [f32], factor: f32) {
        for target in target {
            *target *= factor;
        }
    }
}

/// What becomes of the numbers along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
    /// The largest one.
    Maximum,
    /// The smallest one.
    Minimum,
}

/// Lines along an axis that are summed before they are added to the others: sums of many numbers
/// lose less so.
const LINES_AT_ONCE: usize = 64;

/// Reduces the middle axis of `[outer, len, inner]` to one element.
///
/// # Panics
/// Lengths do not fit the sizes, or there is nothing along the axis.
pub fn reduce(
    team: &Team,
    reduction: Reduction,
    [outer, len, inner]: [usize; 3],
    source: &[f32],
    target: &mut [f32],
) {
    assert_eq!(source.len(), outer * len * inner, "source");
    assert_eq!(target.len(), outer * inner, "target");
    assert!(len > 0, "an axis to reduce");
    if target.is_empty() {
        return;
    }
    if inner == 1 {
        let rows = (16 * 1024 / len).clamp(1, outer);
        return for_each_chunk(team, outer.div_ceil(rows), target, |piece| {
            let range = piece * rows..outer.min((piece + 1) * rows);
            let first = range.start;
            (range, move |target: &mut [f32]| {
                for (row, target) in target.iter_mut().enumerate() {
                    let row = &source[(first + row) * len..][..len];
                    reduce_row(reduction, row, target);
                }
            })
        });
    }
    let parts = match team.threads() {
        1 => 1,
        threads => (2 * threads).div_ceil(outer).min(inner.div_ceil(64)),
    };
    for_each_chunk(team, outer * parts, target, |piece| {
        let (image, part) = (piece / parts, piece % parts);
        let columns = inner * part / parts..inner * (part + 1) / parts;
        let range = image * inner + columns.start..image * inner + columns.end;
        (range, move |target: &mut [f32]| {
            let source = &source[image * len * inner..][..len * inner];
            reduce_columns(reduction, source, inner, columns.start, target);
        })
    });
}

fn reduce_row(reduction: Reduction, row: &[f32], target: &mut f32) {
    *target = match reduction {
        Reduction::Mean => {
            (row.iter().map(|x| f64::from(*x)).sum::<f64>() / row.len() as f64) as f32
        }
        Reduction::Sum => row.iter().map(|x| f64::from(*x)).sum::<f64>() as f32,
        Reduction::Maximum => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        Reduction::Minimum => row.iter().copied().fold(f32::INFINITY, f32::min),
    };
}

fn reduce_columns(
    reduction: Reduction,
    source: &[f32],
    inner: usize,
    first: usize,
    target: &mut [f32],
) {
    let count = target.len();
    let lines = || {
        source
            .chunks_exact(inner)
            .map(|line| &line[first..first + count])
    };
    match reduction {
        Reduction::Maximum => {
            target.fill(f32::NEG_INFINITY);
            lines().for_each(|line| take_maximum(target, line));
        }
        Reduction::Minimum => {
            target.fill(f32::INFINITY);
            for line in lines() {
                for (target, number) in target.iter_mut().zip(line) {
                    *target = target.min(*number);
                }
            }
        }
        Reduction::Mean | Reduction::Sum => {
            target.fill(0.0);
            let all = source.len() / inner;
            sum_columns(source, inner, first, target);
            if reduction == Reduction::Mean {
                scale(target, 1.0 / all as f32);
            }
        }
    }
}

/// Columns whose sums stay in registers.
const COLUMNS_AT_ONCE: usize = 64;

vectorized! {
    fn sum_columns(source: &[f32], inner: usize, first: usize, target: &mut [f32]) {
        for (block, target) in target.chunks_mut(COLUMNS_AT_ONCE).enumerate() {
            let begin = first + block * COLUMNS_AT_ONCE;
            if target.len() == COLUMNS_AT_ONCE {
                for lines in source.chunks(inner * LINES_AT_ONCE) {
                    let mut sums = [0.0; COLUMNS_AT_ONCE];
                    for line in lines.chunks_exact(inner) {
                        for (sum, number) in sums.iter_mut().zip(&line[begin..begin + COLUMNS_AT_ONCE]) {
                            *sum += *number;
                        }
                    }
                    for (target, sum) in target.iter_mut().zip(sums) {
                        *target += sum;
                    }
                }
            } else {
                for lines in source.chunks(inner * LINES_AT_ONCE) {
                    let mut sums = [0.0; COLUMNS_AT_ONCE];
                    for line in lines.chunks_exact(inner) {
                        for (sum, number) in sums.iter_mut().zip(&line[begin..begin + target.len()]) {
                            *sum += *number;
                        }
                    }
                    for (target, sum) in target.iter_mut().zip(sums) {
                        *target += sum;
                    }
                }
            }
        }
    }
}

/// Softmax along the middle axis of `[outer, len, inner]`, or its logarithm.
///
/// # Panics
/// Lengths do not fit the sizes.
pub fn softmax(
    team: &Team,
    logarithm: bool,
    [outer, len, inner]: [usize; 3],
    source: &[f32],
    target: &mut [f32],
) {
    assert_eq!(source.len(), outer * len * inner, "source");
    assert_eq!(target.len(), source.len(), "target");
    if target.is_empty() {
        return;
    }
    let size = len * inner;
    let images = (16 * 1024 / size).clamp(1, outer);
    for_each_chunk(team, outer.div_ceil(images), target, |piece| {
        let range = piece * images * size..outer.min((piece + 1) * images) * size;
        let start = range.start;
        (range, move |target: &mut [f32]| {
            target.copy_from_slice(&source[start..][..target.len()]);
            for image in target.chunks_exact_mut(size) {
                for column in 0..inner {
                    softmax_line(image, column, inner, logarithm);
                }
            }
        })
    });
}

vectorized! {
    fn softmax_line(values: &mut [f32], first: usize, step: usize, logarithm: bool) {
        if step == 1 {
            let most = crate::lanes::largest(values);
            if logarithm {
                let sum = crate::lanes::sum_of(values, |x| exp(x - most));
                let shift = most + sum.ln();
                values.iter_mut().for_each(|x| *x -= shift);
            } else {
                for x in values.iter_mut() {
                    *x = exp(*x - most);
                }
                let factor = 1.0 / crate::lanes::sum_of(values, |x| x);
                values.iter_mut().for_each(|x| *x *= factor);
            }
        } else {
            let column = values[first..].iter().step_by(step);
            let most = column.fold(f32::NEG_INFINITY, |most, x| most.max(*x));
            let mut sum = 0.0;
            for x in values[first..].iter().step_by(step) {
                sum += exp(*x - most);
            }
            let (factor, shift) = (1.0 / sum, most + sum.ln());
            for x in values[first..].iter_mut().step_by(step) {
                *x = if logarithm { *x - shift } else { exp(*x - most) * factor };
            }
        }
    }
}

/// Where an output pixel comes from along one axis: two input pixels and the share of the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The pixel before.
    pub low: usize,
    /// The pixel behind.
    pub high: usize,
    /// The share of `high`.
    pub share: f32,
}

/// Writes images of `samples[0]` by `samples[1]` pixels, each a mixture of up to four of `input`'s.
///
/// # Panics
/// Lengths do not fit, or a sample lies outside the image.
pub fn resize(
    team: &Team,
    input: [usize; 2],
    channels: usize,
    samples: [&[Sample]; 2],
    source: &[f32],
    target: &mut [f32],
) {
    let image_len = input[0] * input[1] * channels;
    let row_len = samples[1].len() * channels;
    let rows = samples[0].len();
    if target.is_empty() || row_len == 0 {
        return;
    }
    let images = target.len() / (rows * row_len);
    assert_eq!(target.len(), images * rows * row_len, "target");
    assert_eq!(source.len(), images * image_len, "source");
    for_each_chunk(team, images * rows, target, |piece| {
        let range = piece * row_len..(piece + 1) * row_len;
        (range, move |target: &mut [f32]| {
            let image = &source[piece / rows * image_len..][..image_len];
            let row = samples[0][piece % rows];
            let line = |y: usize| &image[y * input[1] * channels..][..input[1] * channels];
            let lines = [line(row.low), line(row.high)];
            for (sample, target) in samples[1].iter().zip(target.chunks_exact_mut(channels)) {
                let pixel = |line: usize, x: usize| &lines[line][x * channels..][..channels];
                if row.share == 0.0 && sample.share == 0.0 {
                    target.copy_from_slice(pixel(0, sample.low));
                } else {
                    let corners = [
                        pixel(0, sample.low),
                        pixel(0, sample.high),
                        pixel(1, sample.low),
                        pixel(1, sample.high),
                    ];
                    mix(corners, [row.share, sample.share], target);
                }
            }
        })
    });
}

vectorized! {
    fn mix(corners: [&[f32]; 4], shares: [f32; 2], target: &mut [f32]) {
        let [a, b, c, d] = corners;
        let count = target.len();
        let (a, b, c, d) = (&a[..count], &b[..count], &c[..count], &d[..count]);
        for index in 0..count {
            let above = a[index] + shares[1] * (b[index] - a[index]);
            let below = c[index] + shares[1] * (d[index] - c[index]);
            target[index] = above + shares[0] * (below - above);
        }
    }
}

/// Normalises each row of `len` numbers to mean 0 and deviation 1, times `scale` plus `shift`.
///
/// # Panics
/// Lengths do not fit each other.
pub fn layer_norm(
    team: &Team,
    epsilon: f32,
    [scale, shift]: [&[f32]; 2],
    source: &[f32],
    target: &mut [f32],
) {
    let len = scale.len();
    assert!(shift.is_empty() || shift.len() == len, "shift");
    assert!(source.len() == target.len() && source.len().is_multiple_of(len.max(1)));
    if target.is_empty() {
        return;
    }
    let count = target.len() / len;
    let rows = (8 * 1024 / len).clamp(1, count);
    for_each_chunk(team, count.div_ceil(rows), target, |piece| {
        let range = piece * rows * len..count.min((piece + 1) * rows) * len;
        let start = range.start;
        (range, move |target: &mut [f32]| {
            let source = source[start..].chunks_exact(len);
            for (target, row) in target.chunks_exact_mut(len).zip(source) {
                norm_row(row, scale, shift, epsilon, target);
            }
        })
    });
}

vectorized! {
    fn norm_row(row: &[f32], scale: &[f32], shift: &[f32], epsilon: f32, target: &mut [f32]) {
        let count = row.len() as f32;
        let mean = crate::lanes::sum_of(row, |x| x) / count;
        let variance = crate::lanes::sum_of(row, |x| (x - mean) * (x - mean)) / count;
        let factor = 1.0 / (variance + epsilon).sqrt();
        for ((target, x), scale) in target.iter_mut().zip(row).zip(scale) {
            *target = (*x - mean) * factor * *scale;
        }
        for (target, shift) in target.iter_mut().zip(shift) {
            *target += *shift;
        }
    }
}

/// Calls `work` with the number of each part of `len` numbers (the last may have fewer) and the part,
/// on all threads.
pub fn for_each_part(
    team: &Team,
    len: usize,
    target: &mut [f32],
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    let all = target.len();
    let work = &work;
    for_each_chunk(team, all.div_ceil(len.max(1)), target, |part| {
        let range = part * len..all.min((part + 1) * len);
        (range, move |target: &mut [f32]| work(part, target))
    });
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn teams() -> [Team; 2] {
        [1, 3].map(|threads| Team::new(NonZeroUsize::new(threads).unwrap()))
    }

    fn numbers(len: usize) -> Vec<f32> {
        (0..len)
            .map(|index| ((index * 7919) % 97) as f32 / 16.0 - 3.0)
            .collect()
    }

    fn assert_close(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 1e-4, "{place}: {found} {expected}");
        }
    }

    /// Windows of 3×2 with a step of 2, one pixel of padding on all sides, over images of 5×4.
    #[test]
    fn pooled_numbers_are_those_of_the_definition() {
        let geometry = Geometry {
            batch: 2,
            input: [5, 4],
            output: [3, 3],
            stride: [2, 2],
            dilation: [1, 1],
            padding: [1, 1],
        };
        let channels = 19;
        let source = numbers(2 * 20 * channels);
        let with_padding = Pool::MeanWithPadding {
            end_padding: [1, 1],
        };
        for kind in [Pool::Maximum, Pool::Mean, with_padding] {
            let mut expected = Vec::new();
            for place in 0..2 * 9 * channels {
                let (pixel, channel) = (place / channels, place % channels);
                let (image, y, x) = (pixel / 9, pixel % 9 / 3, pixel % 3);
                let mut seen = Vec::new();
                for (dy, dx) in (0..6).map(|tap| (tap / 2, tap % 2)) {
                    let (Some(row), Some(column)) =
                        ((2 * y + dy).checked_sub(1), (2 * x + dx).checked_sub(1))
                    else {
                        continue;
                    };
                    if row < 5 && column < 4 {
                        let at = ((image * 5 + row) * 4 + column) * channels + channel;
                        seen.push(f64::from(source[at]));
                    }
                }
                let sum: f64 = seen.iter().sum();
                expected.push(match kind {
                    Pool::Maximum => seen.iter().copied().fold(f64::MIN, f64::max),
                    Pool::Mean => sum / seen.len() as f64,
                    Pool::MeanWithPadding { .. } => sum / 6.0,
                });
            }
            for team in teams() {
                let mut target = vec![0.0; expected.len()];
                pool(
                    &team,
                    kind,
                    &geometry,
                    [3, 2],
                    channels,
                    &source,
                    &mut target,
                );
                assert_close(&target, &expected);
            }
        }
    }

    #[test]
    fn reductions_and_softmax_are_those_of_the_definition() {
        for [outer, len, inner] in [[2, 49, 100], [3, 7, 1], [1, 200, 5]] {
            let source = numbers(outer * len * inner);
            let line = |place: usize| {
                let (image, column) = (place / inner, place % inner);
                let source = &source;
                (0..len).map(move |at| f64::from(source[(image * len + at) * inner + column]))
            };
            for team in teams() {
                for kind in [
                    Reduction::Mean,
                    Reduction::Sum,
                    Reduction::Maximum,
                    Reduction::Minimum,
                ] {
                    let expected = (0..outer * inner).map(|place| match kind {
                        Reduction::Mean => line(place).sum::<f64>() / len as f64,
                        Reduction::Sum => line(place).sum(),
                        Reduction::Maximum => line(place).fold(f64::MIN, f64::max),
                        Reduction::Minimum => line(place).fold(f64::MAX, f64::min),
                    });
                    let expected: Vec<f64> = expected.collect();
                    let mut target = vec![0.0; expected.len()];
                    reduce(&team, kind, [outer, len, inner], &source, &mut target);
                    assert_close(&target, &expected);
                }
                for logarithm in [false, true] {
                    let mut target = vec![0.0; source.len()];
                    softmax(&team, logarithm, [outer, len, inner], &source, &mut target);
                    for (place, found) in target.iter().enumerate() {
                        let (image, column) = (place / (len * inner), place % inner);
                        let sum: f64 = line(image * inner + column).map(f64::exp).sum();
                        let share = f64::from(source[place]).exp() / sum;
                        let expected = if logarithm { share.ln() } else { share };
                        assert!((f64::from(*found) - expected).abs() < 1e-4, "{place}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_resized_pixel_is_a_mixture_of_its_neighbours() {
        let source = numbers(2 * 2 * 3);
        let near = |low| Sample {
            low,
            high: low,
            share: 0.0,
        };
        let between = Sample {
            low: 0,
            high: 1,
            share: 0.25,
        };
        for team in teams() {
            let mut target = vec![0.0; 2 * 3 * 3];
            let rows = [near(1), between];
            let columns = [near(0), between, near(1)];
            resize(&team, [2, 2], 3, [&rows, &columns], &source, &mut target);
            assert_eq!(target[..3], source[6..9]);
            let expected = source[6] * 0.75 + source[9] * 0.25;
            assert!((target[3] - expected).abs() < 1e-6);
            let above = source[0] * 0.75 + source[3] * 0.25;
            assert!((target[12] - (above * 0.75 + expected * 0.25)).abs() < 1e-6);
        }
    }

    #[test]
    fn a_normalised_row_has_mean_zero_and_deviation_one() {
        let source = numbers(3 * 40);
        for team in teams() {
            let mut target = vec![0.0; source.len()];
            layer_norm(&team, 0.0, [&[1.0; 40], &[]], &source, &mut target);
            for row in target.chunks(40) {
                let mean = row.iter().sum::<f32>() / 40.0;
                let square = row.iter().map(|x| x * x).sum::<f32>() / 40.0;
                assert!(mean.abs() < 1e-5 && (square - 1.0).abs() < 1e-4);
            }
        }
    }
}
