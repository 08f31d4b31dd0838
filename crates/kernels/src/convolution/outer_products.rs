//! The inner loop of a convolution's gradient by its weights: sums of outer products for a few weights
//! and a panel of channels.
//!
//! Sums stay in registers over all pixels of a piece.

use pulp::{Simd, WithSimd};

use super::tile::{PANEL, load, tile_size, with_constant};
use crate::instructions::arch;

/// Consecutive pixels, and their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Where the first pixel's inputs begin.
    pub(super) input: usize,
    /// Where the first pixel's gradients begin.
    pub(super) gradient: usize,
    pub(super) pixels: usize,
}

/// What [`add_outer_products`] computes: `target[row][channel] += Σ input · gradient` over pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct OuterProducts<'a> {
    pub(super) input: &'a [f32],
    /// From a pixel's inputs to the next one's.
    pub(super) input_step: usize,
    pub(super) gradient: &'a [f32],
    /// From a pixel's gradients to the next one's.
    pub(super) gradient_step: usize,
    pub(super) spans: &'a [Span],
    /// Channels of the panel that there are; the others' gradients are not read.
    pub(super) channels: usize,
}

impl OuterProducts<'_> {
    fn assert_in_bounds(&self, rows: usize) {
        assert!(self.channels <= PANEL, "channels of a panel");
        for span in self.spans.iter().filter(|span| span.pixels > 0) {
            let last = span.pixels - 1;
            let input = span.input + last * self.input_step + rows;
            let gradient = span.gradient + last * self.gradient_step + self.channels;
            assert!(input <= self.input.len(), "a span ends after the input");
            assert!(
                gradient <= self.gradient.len(),
                "a span ends after the gradients"
            );
        }
    }
}

/// Adds [`OuterProducts`] to `target` (`[rows][PANEL]`): row `r` belongs to the number `r` behind
/// the beginning of each pixel's inputs.
///
/// # Panics
/// An index reaches past its slice.
pub(super) fn add_outer_products(products: &OuterProducts<'_>, target: &mut [f32]) {
    assert_eq!(target.len() % PANEL, 0, "not whole rows");
    products.assert_in_bounds(target.len() / PANEL);
    arch().dispatch(Outer { products, target });
}

struct Outer<'a> {
    products: &'a OuterProducts<'a>,
    target: &'a mut [f32],
}

impl WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.columns(simd, 12),
            8 => self.columns(simd, 6),
            _ => self.scalar(),
        }
    }
}

impl Outer<'_> {
    #[inline(always)]
    fn columns<S: Simd>(mut self, simd: S, most: usize) {
        let count = self.target.len() / PANEL;
        let mut column = 0;
        while column < self.products.channels {
            let left = self.products.channels - column;
            let mut first = 0;
            while first < count {
                let size = tile_size(count - first, most);
                let task = &mut self;
                if left >= 2 * S::F32_LANES {
                    with_constant!(size, outer_tile::<S, _, 2>(simd, task, first, column));
                } else {
                    with_constant!(size, outer_tile::<S, _, 1>(simd, task, first, column));
                }
                first += size;
            }
            column += S::F32_LANES * if left >= 2 * S::F32_LANES { 2 } else { 1 };
        }
    }

    /// The twin without vectors of its own.
    fn scalar(self) {
        let products = self.products;
        for (row, sums) in self.target.chunks_exact_mut(PANEL).enumerate() {
            for span in products.spans {
                for pixel in 0..span.pixels {
                    let value = products.input[span.input + pixel * products.input_step + row];
                    let start = span.gradient + pixel * products.gradient_step;
                    let gradients = &products.gradient[start..start + products.channels];
                    for (sum, gradient) in sums.iter_mut().zip(gradients) {
                        *sum += value * gradient;
                    }
                }
            }
        }
    }
}

/// `P` rows from number `first` on, `V` vectors of channels from `column` on; the last vector may
/// have fewer channels, and then it is the only one.
#[inline(always)]
fn outer_tile<S: Simd, const P: usize, const V: usize>(
    simd: S,
    task: &mut Outer<'_>,
    first: usize,
    column: usize,
) {
    let products = task.products;
    let wanted = (products.channels - column).min(V * S::F32_LANES);
    let whole = wanted == V * S::F32_LANES;
    let target = &mut task.target[first * PANEL..][..P * PANEL];
    let mut sums = [[simd.splat_f32s(0.0); V]; P];
    for (sums, target) in sums.iter_mut().zip(target.chunks_exact(PANEL)) {
        for (vector, sum) in sums.iter_mut().enumerate() {
            let start = column + vector * S::F32_LANES;
            *sum = simd.partial_load_f32s(&target[start..start + S::F32_LANES]);
        }
    }
    for span in products.spans {
        // SAFETY: for every pixel of the span, the inputs up to row `first + P` and the gradients
        // up to `channels` lie in their slices (`assert_in_bounds`); whole vectors are read only
        // when all their channels are wanted.
        #[allow(unsafe_code)]
        unsafe {
            let mut inputs = products.input.as_ptr().add(span.input + first);
            let mut gradients = products.gradient.as_ptr().add(span.gradient + column);
            for _ in 0..span.pixels {
                let mut row = [simd.splat_f32s(0.0); V];
                if whole {
                    for (vector, row) in row.iter_mut().enumerate() {
                        *row = load(simd, gradients.add(vector * S::F32_LANES));
                    }
                } else {
                    row[0] = simd.partial_load_f32s(std::slice::from_raw_parts(gradients, wanted));
                }
                for (number, sums) in sums.iter_mut().enumerate() {
                    let value = simd.splat_f32s(*inputs.add(number));
                    for (sum, gradient) in sums.iter_mut().zip(row) {
                        *sum = simd.mul_add_e_f32s(value, gradient, *sum);
                    }
                }
                inputs = inputs.wrapping_add(products.input_step);
                gradients = gradients.wrapping_add(products.gradient_step);
            }
        }
    }
    for (sums, target) in sums.iter().zip(target.chunks_exact_mut(PANEL)) {
        for (vector, sum) in sums.iter().enumerate() {
            let start = column + vector * S::F32_LANES;
            simd.partial_store_f32s(&mut target[start..start + S::F32_LANES], *sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convolution::tile::tests::{architectures, assert_all_equal, numbers};

    #[test]
    fn every_instruction_set_gives_the_outer_products_of_the_scalar_twin() {
        let (input, gradient) = (numbers(600), numbers(600));
        let span = |input, gradient, pixels| Span {
            input,
            gradient,
            pixels,
        };
        for (rows, channels) in [(1, 32), (9, 32), (30, 20), (13, 16), (12, 3)] {
            let products = OuterProducts {
                input: &input,
                input_step: 7,
                gradient: &gradient,
                gradient_step: 33,
                spans: &[span(0, 1, 10), span(40, 200, 4), span(3, 2, 0)],
                channels,
            };
            let results = architectures().into_iter().map(|arch| {
                let mut target = vec![0.5; rows * PANEL];
                arch.dispatch(Outer {
                    products: &products,
                    target: &mut target,
                });
                target
            });
            assert_all_equal(&results.collect::<Vec<_>>());
        }
    }
}
