//! Loops over arrays whose elements lie at given distances: copies into another order, and
//! operations on two arrays of which one may be repeated.

use crate::team::Team;
use crate::vectorized;

/// Axes of an array at most.
pub const MOST_AXES: usize = 8;

/// Numbers that one thread takes at a time.
const PIECE: usize = 16 * 1024;

/// An axis of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// Elements along it.
    pub len: usize,
    /// From an element to the next in the source; may be zero or negative.
    pub source: isize,
    /// From an element to the next in the target.
    pub target: usize,
}

/// Leaves out axes of one element and joins those that follow each other in both arrays.
fn joined(axes: &[Axis]) -> Vec<Axis> {
    let mut joined: Vec<Axis> = Vec::with_capacity(axes.len());
    for axis in axes.iter().filter(|axis| axis.len != 1) {
        match joined.last_mut() {
            Some(last)
                if last.source == axis.source * axis.len as isize
                    && last.target == axis.target * axis.len =>
            {
                *last = Axis {
                    len: last.len * axis.len,
                    ..*axis
                };
            }
            _ => joined.push(*axis),
        }
    }
    joined
}

/// Copies elements: the one at `Σ index · source`, counted from `source_start`, goes to
/// `Σ index · target`, counted from `target_start`.
///
/// # Panics
/// An element lies outside its slice.
pub fn copy(
    axes: &[Axis],
    source: &[f32],
    source_start: usize,
    target: &mut [f32],
    target_start: usize,
) {
    if axes.iter().any(|axis| axis.len == 0) {
        return;
    }
    let axes = joined(axes);
    copy_axes(&axes, source, source_start as isize, target, target_start);
}

fn copy_axes(axes: &[Axis], source: &[f32], from: isize, target: &mut [f32], to: usize) {
    match axes {
        [] => target[to] = source[from as usize],
        [axis] => copy_line(axis, source, from, target, to),
        [rows, columns] if rows.source == 1 && columns.target == 1 && columns.source > 0 => {
            copy_transposed(*rows, *columns, &source[from as usize..], &mut target[to..]);
        }
        [rows, columns] if columns.source == 1 && rows.target == 1 && rows.source > 0 => {
            copy_transposed_back(*rows, *columns, &source[from as usize..], &mut target[to..]);
        }
        [axis, rest @ ..] => {
            for index in 0..axis.len {
                let from = from + index as isize * axis.source;
                copy_axes(rest, source, from, target, to + index * axis.target);
            }
        }
    }
}

fn copy_line(axis: &Axis, source: &[f32], from: isize, target: &mut [f32], to: usize) {
    if axis.source == 1 && axis.target == 1 {
        let from = from as usize;
        target[to..to + axis.len].copy_from_slice(&source[from..from + axis.len]);
    } else if axis.source == 0 && axis.target == 1 {
        target[to..to + axis.len].fill(source[from as usize]);
    } else {
        for index in 0..axis.len {
            let place = from + index as isize * axis.source;
            target[to + index * axis.target] = source[place as usize];
        }
    }
}

/// Rows and columns that are worked on at a time, so that both sides stay in the first-level cache.
const BLOCK: usize = 16;

/// Where the source is dense along the rows and the target along the columns.
fn copy_transposed(rows: Axis, columns: Axis, source: &[f32], target: &mut [f32]) {
    let step = columns.source as usize;
    for row_start in (0..rows.len).step_by(BLOCK) {
        let row_end = rows.len.min(row_start + BLOCK);
        for column_start in (0..columns.len).step_by(BLOCK) {
            let column_end = columns.len.min(column_start + BLOCK);
            for row in row_start..row_end {
                let line = &mut target[row * rows.target..][column_start..column_end];
                for (number, value) in line.iter_mut().enumerate() {
                    *value = source[(column_start + number) * step + row];
                }
            }
        }
    }
}

/// Where the source is dense along the columns and the target along the rows.
fn copy_transposed_back(rows: Axis, columns: Axis, source: &[f32], target: &mut [f32]) {
    let exchanged = |axis: Axis| Axis {
        len: axis.len,
        source: axis.source,
        target: axis.target,
    };
    copy_transposed(exchanged(columns), exchanged(rows), source, target);
}

/// Writes the element of each place to the dense `target`; places at or behind `first`'s end are of
/// `second`.
///
/// # Panics
/// A place lies outside both, or there are not as many as elements of `target`.
pub fn take(team: &Team, places: &[u32], [first, second]: [&[f32]; 2], target: &mut [f32]) {
    assert_eq!(places.len(), target.len(), "places");
    let len = target.len();
    for_each_chunk(team, len.div_ceil(PIECE), target, |piece| {
        let range = piece * PIECE..len.min((piece + 1) * PIECE);
        let places = &places[range.clone()];
        (range, move |target: &mut [f32]| {
            for (target, place) in target.iter_mut().zip(places) {
                let place = *place as usize;
                *target = match first.get(place) {
                    Some(value) => *value,
                    None => second[place - first.len()],
                };
            }
        })
    });
}

/// An operation on two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `a + b`
    Add,
    /// `a − b`
    Subtract,
    /// `a · b`
    Multiply,
    /// `a / b`
    Divide,
    /// The larger one.
    Maximum,
    /// The smaller one.
    Minimum,
    /// `a` to the power `b`
    Power,
}

impl Operation {
    /// The operation on two numbers.
    #[inline(always)]
    pub fn value(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Maximum => maximum(a, b),
            Self::Minimum => -maximum(-a, -b),
            Self::Power => a.powf(b),
        }
    }
}

/// The larger one; NaN if either is.
#[inline(always)]
fn maximum(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// An axis of an operation on two arrays; the result is dense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairAxis {
    /// Elements along it.
    pub len: usize,
    /// From an element to the next in the left array; zero where it is repeated.
    pub left: usize,
    /// The same of the right array.
    pub right: usize,
}

/// Writes `operation(left, right)` for each place of the axes to the dense `target`.
///
/// # Panics
/// An element lies outside its slice, or the axes do not have as many places as `target`.
pub fn combine(
    team: &Team,
    operation: Operation,
    axes: &[PairAxis],
    left: &[f32],
    right: &[f32],
    target: &mut [f32],
) {
    let places: usize = axes.iter().map(|axis| axis.len).product();
    assert_eq!(places, target.len(), "places");
    if places == 0 {
        return;
    }
    let mut joined: Vec<PairAxis> = Vec::with_capacity(axes.len());
    for axis in axes.iter().filter(|axis| axis.len != 1) {
        match joined.last_mut() {
            Some(last)
                if last.left == axis.left * axis.len && last.right == axis.right * axis.len =>
            {
                *last = PairAxis {
                    len: last.len * axis.len,
                    ..*axis
                };
            }
            _ => joined.push(*axis),
        }
    }
    let line = joined.pop().unwrap_or(PairAxis {
        len: 1,
        left: 0,
        right: 0,
    });
    let joined = joined.as_slice();
    let outer: usize = joined.iter().map(|axis| axis.len).product();
    // Long lines are cut, short ones are taken several at a time.
    let parts = line.len.div_ceil(PIECE).max(1);
    let lines = (PIECE / line.len.max(1)).clamp(1, outer);
    let blocks = outer.div_ceil(lines);
    for_each_chunk(team, blocks * parts, target, |piece| {
        let (block, part) = (piece / parts, piece % parts);
        let first = block * lines;
        let count = lines.min(outer - first);
        let begin = part * PIECE;
        let len = match parts {
            1 => line.len,
            _ => PIECE.min(line.len - begin),
        };
        let range = first * line.len + begin..(first + count - 1) * line.len + begin + len;
        (range, move |target: &mut [f32]| {
            for (number, target) in target.chunks_mut(len).enumerate() {
                let (mut at, mut lefts, mut rights) = (first + number, 0, 0);
                for axis in joined.iter().rev() {
                    lefts += at % axis.len * axis.left;
                    rights += at % axis.len * axis.right;
                    at /= axis.len;
                }
                combine_line(
                    operation,
                    line,
                    &left[lefts + begin * line.left..],
                    &right[rights + begin * line.right..],
                    target,
                );
            }
        })
    });
}

/// Calls what `piece` answers for each number below `pieces` with its part of `target`, on all
/// threads. The parts lie one after the other.
pub(crate) fn for_each_chunk<'a, W: FnOnce(&mut [f32])>(
    team: &Team,
    pieces: usize,
    target: &mut [f32],
    piece: impl Fn(usize) -> (std::ops::Range<usize>, W) + Sync + 'a,
) {
    if team.threads() == 1 || pieces == 1 {
        for index in 0..pieces {
            let (range, work) = piece(index);
            work(&mut target[range]);
        }
        return;
    }
    let len = target.len();
    // The parts as slices of their own, each behind a lock that only its thread takes.
    let mut rest = target;
    let mut begin = 0;
    let parts: Vec<std::sync::Mutex<Option<&mut [f32]>>> = (0..pieces)
        .map(|index| {
            let (range, _) = piece(index);
            assert!(range.start == begin && range.end <= len, "parts in order");
            let (part, others) = std::mem::take(&mut rest).split_at_mut(range.end - begin);
            begin = range.end;
            rest = others;
            std::sync::Mutex::new(Some(part))
        })
        .collect();
    team.each(pieces, |index| {
        let part = parts[index].lock().map(|mut part| part.take());
        if let Ok(Some(part)) = part {
            piece(index).1(part);
        }
    });
}

fn combine_line(
    operation: Operation,
    line: PairAxis,
    left: &[f32],
    right: &[f32],
    target: &mut [f32],
) {
    match (line.left, line.right) {
        (1, 1) => combine_dense(
            operation,
            &left[..target.len()],
            &right[..target.len()],
            target,
        ),
        (1, 0) => combine_right(operation, &left[..target.len()], right[0], target),
        (0, 1) => combine_left(operation, left[0], &right[..target.len()], target),
        (l, r) => {
            for (index, target) in target.iter_mut().enumerate() {
                *target = operation.value(left[index * l], right[index * r]);
            }
        }
    }
}

macro_rules! for_operation {
    ($operation:expr, $loop:ident) => {
        match $operation {
            Operation::Add => $loop!(|a, b| a + b),
            Operation::Subtract => $loop!(|a, b| a - b),
            Operation::Multiply => $loop!(|a, b| a * b),
            Operation::Divide => $loop!(|a, b| a / b),
            Operation::Maximum => $loop!(|a, b| maximum(a, b)),
            Operation::Minimum => $loop!(|a: f32, b: f32| -maximum(-a, -b)),
            Operation::Power => $loop!(|a: f32, b| a.powf(b)),
        }
    };
}

vectorized! {
    fn combine_dense(operation: Operation, left: &[f32], right: &[f32], target: &mut [f32]) {
        macro_rules! each {
            ($value:expr) => {
                for ((target, a), b) in target.iter_mut().zip(left).zip(right) {
                    *target = $value(*a, *b);
                }
            };
        }
        for_operation!(operation, each);
    }

    fn combine_right(operation: Operation, left: &[f32], right: f32, target: &mut [f32]) {
        macro_rules! each {
            ($value:expr) => {
                for (target, a) in target.iter_mut().zip(left) {
                    *target = $value(*a, right);
                }
            };
        }
        for_operation!(operation, each);
    }

    fn combine_left(operation: Operation, left: f32, right: &[f32], target: &mut [f32]) {
        macro_rules! each {
            ($value:expr) => {
                for (target, b) in target.iter_mut().zip(right) {
                    *target = $value(left, *b);
                }
            };
        }
        for_operation!(operation, each);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn axes_in_any_order_are_copied() {
        let source: Vec<f32> = (0..2 * 3 * 40 * 5).map(|x| x as f32).collect();
        let sizes = [2, 3, 40, 5];
        let strides = [600, 200, 5, 1];
        for order in [[0, 2, 3, 1], [3, 2, 1, 0], [0, 1, 2, 3], [1, 0, 3, 2]] {
            let mut axes = Vec::new();
            let mut target_stride = 1;
            for axis in order.iter().rev() {
                axes.insert(
                    0,
                    Axis {
                        len: sizes[*axis],
                        source: strides[*axis] as isize,
                        target: target_stride,
                    },
                );
                target_stride *= sizes[*axis];
            }
            let mut target = vec![0.0; source.len()];
            copy(&axes, &source, 0, &mut target, 0);
            for (place, value) in target.iter().enumerate() {
                let mut at = place;
                let mut from = 0;
                for axis in order.iter().rev() {
                    from += at % sizes[*axis] * strides[*axis];
                    at /= sizes[*axis];
                }
                assert_eq!(*value, source[from], "{order:?} {place}");
            }
        }
    }

    #[test]
    fn a_copy_may_run_backwards_and_repeat() {
        let source = [1.0, 2.0, 3.0];
        let mut target = [0.0; 6];
        let axes = [
            Axis {
                len: 3,
                source: -1,
                target: 2,
            },
            Axis {
                len: 2,
                source: 0,
                target: 1,
            },
        ];
        copy(&axes, &source, 2, &mut target, 0);
        assert_eq!(target, [3.0, 3.0, 2.0, 2.0, 1.0, 1.0]);
    }

    #[test]
    fn elements_are_taken_from_either_of_two_arrays() {
        for threads in [1, 3] {
            let team = Team::new(NonZeroUsize::new(threads).unwrap());
            let first: Vec<f32> = (0..50).map(|x| x as f32).collect();
            let second: Vec<f32> = (50..90).map(|x| x as f32).collect();
            let places: Vec<u32> = (0..40_000).map(|index| index * 31 % 90).collect();
            let mut target = vec![0.0; places.len()];
            take(&team, &places, [&first, &second], &mut target);
            let fits = |(value, place): (&f32, &u32)| *value == *place as f32;
            assert!(target.iter().zip(&places).all(fits));
        }
    }

    #[test]
    fn one_side_of_an_operation_may_be_repeated() {
        for threads in [1, 3] {
            let team = Team::new(NonZeroUsize::new(threads).unwrap());
            for [images, pixels, channels] in [[2, 900, 24], [1, 3, 20_000], [3, 1, 1]] {
                let left: Vec<f32> = (0..images * pixels * channels).map(|x| x as f32).collect();
                let right: Vec<f32> = (0..images * channels).map(|x| x as f32 + 1.0).collect();
                let mut target = vec![0.0; left.len()];
                let axes = [
                    PairAxis {
                        len: images,
                        left: pixels * channels,
                        right: channels,
                    },
                    PairAxis {
                        len: pixels,
                        left: channels,
                        right: 0,
                    },
                    PairAxis {
                        len: channels,
                        left: 1,
                        right: 1,
                    },
                ];
                combine(
                    &team,
                    Operation::Multiply,
                    &axes,
                    &left,
                    &right,
                    &mut target,
                );
                for (place, value) in target.iter().enumerate() {
                    let image = place / (pixels * channels);
                    let other = right[image * channels + place % channels];
                    assert_eq!(*value, left[place] * other);
                }
            }
        }
    }
}
