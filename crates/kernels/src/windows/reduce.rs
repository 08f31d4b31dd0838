//! Sums, means and extremes along an axis.

use super::pool::{scale, take_maximum};
use crate::scratch::with_scratch;
use crate::strided::for_each_chunk;
use crate::team::Team;
use crate::vectorized;

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
    /// Their product.
    Product,
}

/// Lines along an axis that are summed before they are added to the others: sums of many numbers
/// lose less so.
const LINES_AT_ONCE: usize = 64;

/// Numbers from which on the lines of one image are shared out to threads.
const SHARED_NUMBERS: usize = 32 * 1024;

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
    if outer == 1
        && team.threads() > 1
        && len * inner >= SHARED_NUMBERS
        && matches!(reduction, Reduction::Mean | Reduction::Sum)
    {
        return sum_lines_on_all(team, reduction, [len, inner], source, target);
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

/// Sums lines of `inner` numbers, of which each thread takes consecutive ones, as it wrote them in the
/// layer before.
fn sum_lines_on_all(
    team: &Team,
    reduction: Reduction,
    [len, inner]: [usize; 2],
    source: &[f32],
    target: &mut [f32],
) {
    let parts = team.threads().min(len);
    with_scratch(parts * inner, |sums| {
        for_each_chunk(team, parts, sums, |part| {
            let lines = len * part / parts..len * (part + 1) / parts;
            let source = &source[lines.start * inner..lines.end * inner];
            (
                part * inner..(part + 1) * inner,
                move |sums: &mut [f32]| {
                    reduce_columns(Reduction::Sum, source, inner, 0, sums);
                },
            )
        });
        reduce_columns(Reduction::Sum, sums, inner, 0, target);
    });
    if reduction == Reduction::Mean {
        scale(target, 1.0 / len as f32);
    }
}

fn reduce_row(reduction: Reduction, row: &[f32], target: &mut f32) {
    *target = match reduction {
        Reduction::Mean => {
            (row.iter().map(|x| f64::from(*x)).sum::<f64>() / row.len() as f64) as f32
        }
        Reduction::Sum => row.iter().map(|x| f64::from(*x)).sum::<f64>() as f32,
        Reduction::Maximum => row.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        Reduction::Minimum => row.iter().copied().fold(f32::INFINITY, f32::min),
        Reduction::Product => row.iter().product(),
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
        Reduction::Product => {
            target.fill(1.0);
            for line in lines() {
                for (target, number) in target.iter_mut().zip(line) {
                    *target *= *number;
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
