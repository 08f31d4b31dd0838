//! Scaled dot-product self-attention (Vaswani et al. 2017, arXiv:1706.03762):
//! `softmax(q · kᵀ / √d) · v` for each head of each image.
//!
//! The backward pass computes the softmax again rather than keep it: its `tokens²` numbers a head
//! are more than everything else of the layer.

use rayon::prelude::*;

use crate::lanes::{largest, sum_of, sum_of_pairs};
use crate::math::exp;
use crate::product::{Destination, Matrix, MatrixMut, Threads, multiply};
use crate::scratch::with_scratch;
use crate::vectorized::vectorized;

/// Shape of an attention layer. Its input is `[batch, tokens, 3 · channels]`: queries, keys and
/// values side by side, in each the heads one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attention {
    /// Tokens of an image.
    pub tokens: usize,
    /// Channels of the output.
    pub channels: usize,
    /// Heads, a divisor of the channels.
    pub heads: usize,
}

impl Attention {
    fn head_channels(&self) -> usize {
        self.channels / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_channels() as f32).sqrt()
    }

    fn assert_lengths(&self, input: usize, output: usize) {
        assert_eq!(
            self.channels % self.heads,
            0,
            "heads do not divide channels"
        );
        assert_eq!(input, 3 * output, "lengths differ");
        assert_eq!(
            output % (self.tokens * self.channels),
            0,
            "not whole images"
        );
    }

    /// Queries (0), keys (1) or values (2) of a head.
    fn part<'a>(&self, which: usize, head: usize, input: &'a [f32]) -> Matrix<'a> {
        let start = which * self.channels + head * self.head_channels();
        let stride = 3 * self.channels;
        Matrix::with_stride(&input[start..], self.tokens, self.head_channels(), stride)
    }

    fn part_mut<'a>(&self, which: usize, head: usize, input: &'a mut [f32]) -> MatrixMut<'a> {
        let start = which * self.channels + head * self.head_channels();
        let stride = 3 * self.channels;
        MatrixMut::with_stride(
            &mut input[start..],
            self.tokens,
            self.head_channels(),
            stride,
        )
    }

    /// The weights of all tokens for each: `softmax(q · kᵀ / √d)`.
    fn weights(&self, head: usize, input: &[f32], weights: &mut [f32]) {
        multiply(
            MatrixMut::new(weights, self.tokens, self.tokens),
            Destination::Replace,
            self.part(0, head, input),
            self.part(1, head, input).transposed(),
            Threads::One,
        );
        softmax_rows(weights, self.tokens, self.scale());
    }
}

/// `output` (`[batch, tokens, channels]`) `←` the attention of `input`.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn forward(shape: &Attention, input: &[f32], output: &mut [f32]) {
    shape.assert_lengths(input.len(), output.len());
    let (tokens, channels) = (shape.tokens, shape.channels);
    output
        .par_chunks_mut(tokens * channels)
        .zip(input.par_chunks(tokens * 3 * channels))
        .for_each(|(output, input)| {
            with_scratch(tokens * tokens, |weights| {
                for head in 0..shape.heads {
                    shape.weights(head, input, weights);
                    let target = &mut output[head * shape.head_channels()..];
                    multiply(
                        MatrixMut::with_stride(target, tokens, shape.head_channels(), channels),
                        Destination::Replace,
                        Matrix::new(weights, tokens, tokens),
                        shape.part(2, head, input),
                        Threads::One,
                    );
                }
            });
        });
}

/// `input_gradient ←` the gradient by the input of [`forward`], given that by the output.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn backward(
    shape: &Attention,
    input: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) {
    shape.assert_lengths(input.len(), output_gradient.len());
    assert_eq!(input.len(), input_gradient.len(), "lengths differ");
    let (tokens, channels) = (shape.tokens, shape.channels);
    input_gradient
        .par_chunks_mut(tokens * 3 * channels)
        .zip(input.par_chunks(tokens * 3 * channels))
        .zip(output_gradient.par_chunks(tokens * channels))
        .for_each(|((target, input), gradient)| {
            with_scratch(2 * tokens * tokens, |scratch| {
                let (weights, products) = scratch.split_at_mut(tokens * tokens);
                for head in 0..shape.heads {
                    shape.weights(head, input, weights);
                    backward_head(shape, head, input, gradient, [weights, products], target);
                }
            });
        });
}

fn backward_head(
    shape: &Attention,
    head: usize,
    input: &[f32],
    gradient: &[f32],
    [weights, products]: [&mut [f32]; 2],
    target: &mut [f32],
) {
    let tokens = shape.tokens;
    let gradient = Matrix::with_stride(
        &gradient[head * shape.head_channels()..],
        tokens,
        shape.head_channels(),
        shape.channels,
    );
    let product = |destination: MatrixMut<'_>, left: Matrix<'_>, right: Matrix<'_>| {
        multiply(destination, Destination::Replace, left, right, Threads::One);
    };
    let square = Matrix::new(weights, tokens, tokens);
    product(
        shape.part_mut(2, head, target),
        square.transposed(),
        gradient,
    );
    let by_weights = MatrixMut::new(products, tokens, tokens);
    product(
        by_weights,
        gradient,
        shape.part(2, head, input).transposed(),
    );
    softmax_rows_backward(weights, products, tokens, shape.scale());
    let by_scores = Matrix::new(products, tokens, tokens);
    product(
        shape.part_mut(0, head, target),
        by_scores,
        shape.part(1, head, input),
    );
    let queries = shape.part(0, head, input);
    product(
        shape.part_mut(1, head, target),
        by_scores.transposed(),
        queries,
    );
}

vectorized! {
    /// Replaces each row `s` by `softmax(scale · s)`.
    fn softmax_rows(values: &mut [f32], columns: usize, scale: f32) {
        for row in values.chunks_exact_mut(columns) {
            let largest = largest(row);
            for value in row.iter_mut() {
                *value = exp(scale * (*value - largest));
            }
            let share = 1.0 / sum_of(row, |value| value);
            for value in row.iter_mut() {
                *value *= share;
            }
        }
    }

    /// `gradient ← scale · weights ∘ (gradient − Σ gradient ∘ weights)` by rows.
    fn softmax_rows_backward(weights: &[f32], gradient: &mut [f32], columns: usize, scale: f32) {
        let rows = gradient.chunks_exact_mut(columns).zip(weights.chunks_exact(columns));
        for (gradient, weights) in rows {
            let sum = sum_of_pairs(gradient, weights, |gradient, weight| gradient * weight);
            for (gradient, weight) in gradient.iter_mut().zip(weights) {
                *gradient = scale * weight * (*gradient - sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_share_the_attention() {
        let shape = Attention {
            tokens: 2,
            channels: 2,
            heads: 2,
        };
        // Queries, keys, values; the keys are equal.
        let input = [1.0, 2.0, 5.0, 6.0, 1.0, 10.0, 3.0, 4.0, 5.0, 6.0, 3.0, 30.0];
        let mut output = [0.0; 4];
        forward(&shape, &input, &mut output);
        assert_eq!(output, [2.0, 20.0, 2.0, 20.0]);
    }

    #[test]
    fn gradients_are_those_of_finite_differences() {
        let shape = Attention {
            tokens: 5,
            channels: 6,
            heads: 2,
        };
        let number = |index: usize| (index * 7919 % 2003) as f32 / 1001.0 - 1.0;
        let input: Vec<f32> = (0..2 * 5 * 18).map(number).collect();
        let gradient: Vec<f32> = (0..2 * 5 * 6).map(|index| number(index + 77)).collect();
        let loss = |input: &[f32]| -> f64 {
            let mut output = vec![0.0; gradient.len()];
            forward(&shape, input, &mut output);
            let pairs = output.iter().zip(&gradient);
            pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let mut found = vec![0.0; input.len()];
        backward(&shape, &input, &gradient, &mut found);
        for index in 0..input.len() {
            let at = |change: f32| {
                let mut input = input.clone();
                input[index] += change;
                loss(&input)
            };
            let expected = (at(1e-2) - at(-1e-2)) / 2e-2;
            assert!((f64::from(found[index]) - expected).abs() < 1e-3);
        }
    }
}
