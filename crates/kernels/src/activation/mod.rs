//! Element-wise functions and their derivatives.

pub(crate) mod function;

use rayon::prelude::*;

use self::function::{Function, with_function};
use crate::CHUNK;
use crate::vectorized::vectorized;

/// An element-wise function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x · sigmoid(x)`
    Silu,
    /// `x · min(max(x + 3, 0), 6) / 6`
    HardSwish,
    /// `1 / (1 + exp(−x))`
    Sigmoid,
    /// `min(max(x + 3, 0), 6) / 6`
    HardSigmoid,
    /// `x · Φ(x)`, Φ the normal distribution's cumulative function.
    Gelu,
}

impl Activation {
    /// Replaces each `x` by the function of it.
    pub fn forward(self, values: &mut [f32]) {
        values
            .par_chunks_mut(CHUNK)
            .for_each(|values| forward_piece(self, values));
    }

    /// Writes the function of each number of `input` to `output`.
    ///
    /// # Panics
    /// The lengths differ.
    pub fn forward_into(self, input: &[f32], output: &mut [f32]) {
        each_pair(output, input, |output, input| {
            forward_into_piece(self, input, output);
        });
    }

    /// Whether the derivative follows from the function's value, so that the input may be
    /// overwritten by the output.
    pub const fn reads_output(self) -> bool {
        matches!(
            self,
            Self::Relu | Self::Relu6 | Self::Sigmoid | Self::HardSigmoid
        )
    }

    /// Whether it is a few operations, so that computing it again costs less than a pass over
    /// memory.
    pub const fn is_cheap(self) -> bool {
        !matches!(self, Self::Silu | Self::Sigmoid | Self::Gelu)
    }

    /// Whether it grows with its input, so that the largest value comes of the largest input, and
    /// is flat outside an interval on which it is linear.
    pub const fn is_rectifier(self) -> bool {
        matches!(self, Self::Relu | Self::Relu6)
    }

    /// Multiplies each number of `gradient` by the derivative. `values` is the function's output
    /// where the derivative follows from that ([`Activation::reads_output`]), else its input.
    ///
    /// # Panics
    /// The lengths differ.
    pub fn backward(self, gradient: &mut [f32], values: &[f32]) {
        each_pair(gradient, values, |gradient, values| {
            backward_piece(self, gradient, values);
        });
    }
}

vectorized! {
    fn forward_piece(activation: Activation, values: &mut [f32]) {
        with_function!(Some(activation), function => apply(function, values));
    }

    fn forward_into_piece(activation: Activation, input: &[f32], output: &mut [f32]) {
        with_function!(Some(activation), function => apply_into(function, input, output));
    }

    fn backward_piece(activation: Activation, gradient: &mut [f32], values: &[f32]) {
        if activation.reads_output() {
            with_function!(Some(activation), function => {
                scale(gradient, values, |y| function.slope_at_value(y));
            });
        } else {
            with_function!(Some(activation), function => {
                scale(gradient, values, |x| function.slope(x));
            });
        }
    }

    /// Adds `source`, on the calling thread.
    pub(crate) fn add_piece(target: &mut [f32], source: &[f32]) {
        for (target, source) in target.iter_mut().zip(source) {
            *target += source;
        }
    }

    fn multiply_piece(target: &mut [f32], source: &[f32]) {
        for (target, source) in target.iter_mut().zip(source) {
            *target *= source;
        }
    }

    fn add_to_rows_piece(rows: &mut [f32], bias: &[f32]) {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value += bias;
            }
        }
    }

    fn column_sums_piece(rows: &[f32], sums: &mut [f32]) {
        for row in rows.chunks_exact(sums.len()) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

#[inline(always)]
fn apply(function: impl Function, values: &mut [f32]) {
    for value in values {
        *value = function.value(*value);
    }
}

#[inline(always)]
fn apply_into(function: impl Function, input: &[f32], output: &mut [f32]) {
    for (output, input) in output.iter_mut().zip(input) {
        *output = function.value(*input);
    }
}

#[inline(always)]
fn scale(gradient: &mut [f32], values: &[f32], derivative: impl Fn(f32) -> f32) {
    for (gradient, value) in gradient.iter_mut().zip(values) {
        *gradient *= derivative(*value);
    }
}

/// `target += source`
///
/// # Panics
/// The lengths differ.
pub fn add(target: &mut [f32], source: &[f32]) {
    each_pair(target, source, add_piece);
}

/// `target ·= source`
///
/// # Panics
/// The lengths differ.
pub fn multiply(target: &mut [f32], source: &[f32]) {
    each_pair(target, source, multiply_piece);
}

/// `target ← source`, on all threads.
///
/// # Panics
/// The lengths differ.
pub fn copy(target: &mut [f32], source: &[f32]) {
    each_pair(target, source, <[f32]>::copy_from_slice);
}

/// Adds `bias` to each row of `rows`.
///
/// # Panics
/// `rows` is not a whole number of rows as long as `bias`.
pub fn add_to_rows(rows: &mut [f32], bias: &[f32]) {
    assert_eq!(rows.len() % bias.len().max(1), 0, "not whole rows");
    if bias.is_empty() {
        return;
    }
    let tiled = tile(bias);
    let piece = (CHUNK / bias.len()).max(1) * bias.len();
    rows.par_chunks_mut(piece).for_each(|rows| {
        let whole = rows.len() - rows.len() % tiled.len();
        let (rows, rest) = rows.split_at_mut(whole);
        add_to_rows_piece(rows, &tiled);
        add_to_rows_piece(rest, bias);
    });
}

/// The sum of each of the `columns` columns of `rows`, in pieces of fixed size whose sums are
/// taken in order.
///
/// # Panics
/// `rows` is not a whole number of rows.
pub fn column_sums(rows: &[f32], columns: usize) -> Vec<f32> {
    assert_eq!(rows.len() % columns.max(1), 0, "not whole rows");
    let mut total = vec![0.0; columns];
    if columns == 0 {
        return total;
    }
    let piece = (CHUNK / columns).max(1) * columns;
    if rows.len() <= piece {
        column_sums_piece(rows, &mut total);
        return total;
    }
    let partial: Vec<Vec<f32>> = rows
        .par_chunks(piece)
        .map(|rows| {
            let mut sums = vec![0.0; columns];
            column_sums_piece(rows, &mut sums);
            sums
        })
        .collect();
    for sums in &partial {
        add_piece(&mut total, sums);
    }
    total
}

/// A column vector again and again, until it is long enough for a loop over it to run in whole
/// vectors.
pub(crate) fn tile(column: &[f32]) -> Vec<f32> {
    column.repeat(tiles(column.len()))
}

/// How often [`tile`] repeats a column vector of `len` numbers.
pub(crate) fn tiles(len: usize) -> usize {
    const LONG: usize = 256;
    (LONG / len.max(1)).max(1)
}

fn each_pair(target: &mut [f32], source: &[f32], work: impl Fn(&mut [f32], &[f32]) + Sync) {
    assert_eq!(target.len(), source.len(), "lengths differ");
    target
        .par_chunks_mut(CHUNK)
        .zip(source.par_chunks(CHUNK))
        .for_each(|(target, source)| work(target, source));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 7] = [
        Activation::Relu,
        Activation::Relu6,
        Activation::Silu,
        Activation::HardSwish,
        Activation::Sigmoid,
        Activation::HardSigmoid,
        Activation::Gelu,
    ];

    #[test]
    fn derivatives_are_the_slopes_of_the_functions() {
        let points = [-4.0, -2.5, -1.0, -0.3, 0.2, 1.0, 2.5, 4.0, 6.5_f32];
        let step = 1e-2;
        for activation in ALL {
            let (mut up, mut down) = (points.map(|x| x + step), points.map(|x| x - step));
            activation.forward(&mut up);
            activation.forward(&mut down);
            let mut values = points;
            if activation.reads_output() {
                activation.forward_into(&points, &mut values);
            }
            let mut slope = [1.0; 9];
            activation.backward(&mut slope, &values);
            for ((up, down), slope) in up.iter().zip(&down).zip(&slope) {
                let expected = (up - down) / (2.0 * step);
                assert!(
                    (slope - expected).abs() < 1e-3,
                    "{activation:?}: {slope} {expected}"
                );
            }
        }
    }

    #[test]
    fn a_nan_stays_a_nan() {
        for activation in ALL {
            let mut values = [f32::NAN];
            activation.forward(&mut values);
            assert!(values[0].is_nan(), "{activation:?}");
        }
    }

    #[test]
    fn bias_goes_to_every_row() {
        let mut rows: Vec<f32> = (0..2 * 1000).map(|index| index as f32).collect();
        add_to_rows(&mut rows, &[10.0, 20.0]);
        for (index, value) in rows.iter().enumerate() {
            let bias = [10.0, 20.0][index % 2];
            assert_eq!(*value, index as f32 + bias);
        }
    }

    #[test]
    fn column_sums_are_over_all_rows() {
        let rows: Vec<f32> = (0..3 * 20_000).map(|index| (index % 3) as f32).collect();
        assert_eq!(column_sums(&rows, 3), [0.0, 20_000.0, 40_000.0]);
    }
}
