//! Element-wise functions and their derivatives.

use rayon::prelude::*;

use crate::CHUNK;
use crate::vectorized::vectorized;

/// An element-wise function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `x · sigmoid(x)`
    Silu,
    /// `x · min(max(x + 3, 0), 6) / 6`
    HardSwish,
    /// `1 / (1 + exp(−x))`
    Sigmoid,
}

impl Activation {
    /// Replaces each `x` by the function of it.
    pub fn forward(self, values: &mut [f32]) {
        values
            .par_chunks_mut(CHUNK)
            .for_each(|values| forward_piece(self, values));
    }

    /// Multiplies each number of `gradient` by the derivative at `x`, the function's input.
    ///
    /// # Panics
    /// The lengths differ.
    pub fn backward(self, gradient: &mut [f32], input: &[f32]) {
        each_pair(gradient, input, |gradient, input| {
            backward_piece(self, gradient, input);
        });
    }
}

vectorized! {
    fn forward_piece(activation: Activation, values: &mut [f32]) {
        match activation {
            Activation::Relu => apply(values, |x| if x < 0.0 { 0.0 } else { x }),
            Activation::Silu => apply(values, |x| x * sigmoid(x)),
            Activation::HardSwish => apply(values, |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
            Activation::Sigmoid => apply(values, sigmoid),
        }
    }

    fn backward_piece(activation: Activation, gradient: &mut [f32], input: &[f32]) {
        match activation {
            Activation::Relu => scale(gradient, input, |x| if x > 0.0 { 1.0 } else { 0.0 }),
            Activation::Silu => scale(gradient, input, |x| {
                let s = sigmoid(x);
                s * (1.0 + x * (1.0 - s))
            }),
            Activation::HardSwish => scale(gradient, input, |x| {
                if x <= -3.0 {
                    0.0
                } else if x < 3.0 {
                    x / 3.0 + 0.5
                } else {
                    1.0
                }
            }),
            Activation::Sigmoid => scale(gradient, input, |x| {
                let s = sigmoid(x);
                s * (1.0 - s)
            }),
        }
    }

    fn add_piece(target: &mut [f32], source: &[f32]) {
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
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[inline(always)]
fn apply(values: &mut [f32], function: impl Fn(f32) -> f32) {
    for value in values {
        *value = function(*value);
    }
}

#[inline(always)]
fn scale(gradient: &mut [f32], input: &[f32], derivative: impl Fn(f32) -> f32) {
    for (gradient, input) in gradient.iter_mut().zip(input) {
        *gradient *= derivative(*input);
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

/// Adds `bias` to each row of `rows`.
///
/// # Panics
/// `rows` is not a whole number of rows as long as `bias`.
pub fn add_to_rows(rows: &mut [f32], bias: &[f32]) {
    assert_eq!(rows.len() % bias.len().max(1), 0, "not whole rows");
    if bias.is_empty() {
        return;
    }
    let rows_at_once = (CHUNK / bias.len()).max(1);
    rows.par_chunks_mut(rows_at_once * bias.len())
        .for_each(|rows| add_to_rows_piece(rows, bias));
}

/// The sum of each of the `columns` columns of `rows`.
///
/// # Panics
/// `rows` is not a whole number of rows.
pub fn column_sums(rows: &[f32], columns: usize) -> Vec<f32> {
    assert_eq!(rows.len() % columns, 0, "not whole rows");
    let mut sums = vec![0.0; columns];
    column_sums_piece(rows, &mut sums);
    sums
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

    const ALL: [Activation; 4] = [
        Activation::Relu,
        Activation::Silu,
        Activation::HardSwish,
        Activation::Sigmoid,
    ];

    #[test]
    fn derivatives_are_the_slopes_of_the_functions() {
        let points = [-4.0, -2.5, -1.0, -0.3, 0.2, 1.0, 2.5, 4.0_f32];
        let step = 1e-2;
        for activation in ALL {
            let (mut up, mut down) = (points.map(|x| x + step), points.map(|x| x - step));
            activation.forward(&mut up);
            activation.forward(&mut down);
            let mut slope = [1.0; 8];
            activation.backward(&mut slope, &points);
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
    fn bias_goes_to_every_row() {
        let mut rows = [1.0, 2.0, 3.0, 4.0];
        add_to_rows(&mut rows, &[10.0, 20.0]);
        assert_eq!(rows, [11.0, 22.0, 13.0, 24.0]);
    }
}
