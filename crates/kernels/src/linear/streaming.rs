//! Products of a large weight with few rows: the weight is read once, from one end to the other,
//! and that is what takes the time. (A product that packs its factors writes a copy of it first.)
//!
//! The rows lie in blocks of [`LANES`] columns, `[block][row][LANES]`, so that a vector of the
//! weight meets those of all rows side by side. Tails are filled up with zeros.

use pulp::{Simd, WithSimd};

use crate::instructions::arch;
use rayon::prelude::*;

use super::Linear;
use crate::product::Destination;

/// Numbers of a vector of AVX-512: the loops here are for it alone, others take products.
const LANES: usize = 16;

/// Outputs that one thread takes at a time.
const OUTPUTS_AT_ONCE: usize = 32;

/// Vectors of all rows that are worked on at a time, so that they stay in the cache.
const VECTORS_AT_ONCE: usize = 2048;

/// Blocks of columns that are worked on at a time.
fn blocks_at_once(rows: usize) -> usize {
    (VECTORS_AT_ONCE / rows.max(1)).clamp(8, 64)
}

/// Rows of the weight whose vectors are in registers together, with the sums of as many rows.
const WEIGHT_ROWS: usize = 4;

/// The same where the sums are in the cache: each is loaded and stored once for so many.
const WEIGHT_ROWS_PER_SUM: usize = 8;

/// Whether the processor has vectors for these loops.
pub(super) fn is_available() -> bool {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    arch().dispatch(Lanes) == LANES
}

/// `output ← input · weightᵀ`
pub(super) fn forward(shape: &Linear, input: &[f32], weight: &[f32], output: &mut [f32]) {
    let packed = pack(shape, input);
    let columns: Vec<Vec<f32>> = weight
        .par_chunks(OUTPUTS_AT_ONCE * shape.inputs)
        .map(|weight| {
            let mut products = vec![0.0; weight.len() / shape.inputs * shape.rows];
            arch().dispatch(Products {
                shape: *shape,
                packed: &packed,
                weight,
                products: &mut products,
            });
            products
        })
        .collect();
    for (row, output) in output.chunks_exact_mut(shape.outputs).enumerate() {
        let products = columns
            .iter()
            .flat_map(|piece| piece.chunks_exact(shape.rows));
        for (output, products) in output.iter_mut().zip(products) {
            *output = products[row];
        }
    }
}

/// `input_gradient ← output_gradient · weight`, or adds it.
pub(super) fn backward_input(
    shape: &Linear,
    weight: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
    mode: Destination,
) {
    let coefficients = transposed(shape, output_gradient);
    let strip = blocks_at_once(shape.rows) * LANES;
    let strips: Vec<Vec<f32>> = (0..shape.inputs.div_ceil(strip))
        .into_par_iter()
        .map(|index| {
            let start = index * strip;
            let width = strip.min(shape.inputs - start);
            let mut sums = vec![0.0; width.div_ceil(LANES) * LANES * shape.rows];
            arch().dispatch(Sums {
                shape: *shape,
                coefficients: &coefficients,
                weight,
                columns: start..start + width,
                sums: &mut sums,
            });
            sums
        })
        .collect();
    let blocks: Vec<&[f32]> = strips
        .iter()
        .flat_map(|sums| sums.chunks_exact(LANES * shape.rows))
        .collect();
    input_gradient
        .par_chunks_mut(shape.inputs)
        .enumerate()
        .for_each(|(row, gradient)| {
            for (gradient, block) in gradient.chunks_mut(LANES).zip(&blocks) {
                let sums = &block[row * LANES..][..gradient.len()];
                match mode {
                    Destination::Replace => gradient.copy_from_slice(sums),
                    Destination::Add => {
                        gradient.iter_mut().zip(sums).for_each(|(g, sum)| *g += sum);
                    }
                }
            }
        });
}

/// `weight_gradient ← output_gradientᵀ · input`
pub(super) fn backward_weight(
    shape: &Linear,
    input: &[f32],
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    let packed = pack(shape, input);
    let coefficients = transposed(shape, output_gradient);
    weight_gradient
        .par_chunks_mut(OUTPUTS_AT_ONCE * shape.inputs)
        .zip(coefficients.par_chunks(OUTPUTS_AT_ONCE * shape.rows))
        .for_each(|(gradient, coefficients)| {
            arch().dispatch(OuterProducts {
                shape: *shape,
                packed: &packed,
                coefficients,
                gradient,
            });
        });
}

/// Rows in blocks of columns: `[block][row][LANES]`.
fn pack(shape: &Linear, rows: &[f32]) -> Vec<f32> {
    let mut packed = vec![0.0; shape.inputs.div_ceil(LANES) * LANES * shape.rows];
    packed
        .par_chunks_mut(LANES * shape.rows)
        .enumerate()
        .for_each(|(block, packed)| {
            let start = block * LANES;
            let width = LANES.min(shape.inputs - start);
            for (packed, row) in packed
                .chunks_exact_mut(LANES)
                .zip(rows.chunks_exact(shape.inputs))
            {
                packed[..width].copy_from_slice(&row[start..start + width]);
            }
        });
    packed
}

/// From `[rows, outputs]` to `[outputs, rows]`.
fn transposed(shape: &Linear, output_gradient: &[f32]) -> Vec<f32> {
    let mut transposed = vec![0.0; output_gradient.len()];
    let (rows, columns) = (shape.rows, shape.outputs);
    crate::layout::transpose(output_gradient, rows, columns, &mut transposed);
    transposed
}

/// `products` (`[outputs, rows]`) of some rows of the weight with all rows.
struct Products<'a> {
    shape: Linear,
    packed: &'a [f32],
    weight: &'a [f32],
    products: &'a mut [f32],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            shape,
            packed,
            weight,
            products,
        } = self;
        let packed = vectors::<S>(packed);
        let blocks = shape.inputs.div_ceil(LANES);
        for first in (0..blocks).step_by(blocks_at_once(shape.rows)) {
            let last = blocks.min(first + blocks_at_once(shape.rows));
            let columns = first * LANES..shape.inputs.min(last * LANES);
            let packed = &packed[first * shape.rows..last * shape.rows];
            let weights = weight.chunks(WEIGHT_ROWS * shape.inputs);
            for (weights, products) in weights.zip(products.chunks_mut(WEIGHT_ROWS * shape.rows)) {
                if weights.len() == WEIGHT_ROWS * shape.inputs {
                    let rows: [&[f32]; WEIGHT_ROWS] =
                        std::array::from_fn(|row| &weights[row * shape.inputs..][columns.clone()]);
                    add_products(simd, shape.rows, packed, rows, products);
                    continue;
                }
                let rows = weights.chunks_exact(shape.inputs);
                for (row, products) in rows.zip(products.chunks_exact_mut(shape.rows)) {
                    add_products(simd, shape.rows, packed, [&row[columns.clone()]], products);
                }
            }
        }
    }
}

/// Adds the products of `O` rows of the weight with all rows, over the columns of the slices.
#[inline(always)]
fn add_products<S: Simd, const O: usize>(
    simd: S,
    rows: usize,
    packed: &[S::f32s],
    weights: [&[f32]; O],
    products: &mut [f32],
) {
    let mut row = 0;
    while row + 4 <= rows {
        add_products_of::<S, O, 4>(simd, rows, row, packed, weights, products);
        row += 4;
    }
    while row < rows {
        add_products_of::<S, O, 1>(simd, rows, row, packed, weights, products);
        row += 1;
    }
}

#[inline(always)]
fn add_products_of<S: Simd, const O: usize, const R: usize>(
    simd: S,
    rows: usize,
    row: usize,
    packed: &[S::f32s],
    weights: [&[f32]; O],
    products: &mut [f32],
) {
    let mut sums = [[simd.splat_f32s(0.0); R]; O];
    let whole = weights.map(|weight| S::as_simd_f32s(weight).0);
    let count = whole[0].len();
    let whole = whole.map(|weight| &weight[..count]);
    for block in 0..count {
        let inputs = &packed[block * rows + row..][..R];
        let mut weights = [simd.splat_f32s(0.0); O];
        for output in 0..O {
            weights[output] = whole[output][block];
        }
        multiply_add(simd, weights, inputs, &mut sums);
    }
    if weights[0].len() > count * LANES {
        let mut rest = [simd.splat_f32s(0.0); O];
        for output in 0..O {
            rest[output] = simd.partial_load_f32s(&weights[output][count * LANES..]);
        }
        multiply_add(simd, rest, &packed[count * rows + row..][..R], &mut sums);
    }
    for (output, sums) in sums.into_iter().enumerate() {
        for (offset, sum) in sums.into_iter().enumerate() {
            products[output * rows + row + offset] += simd.reduce_sum_f32s(sum);
        }
    }
}

/// `sums[o][r] += weights[o] · inputs[r]`
///
/// A function, not a closure: what a closure computes is not compiled for the wide vectors unless
/// it happens to be inlined.
#[inline(always)]
fn multiply_add<S: Simd, const O: usize, const R: usize>(
    simd: S,
    weights: [S::f32s; O],
    inputs: &[S::f32s],
    sums: &mut [[S::f32s; R]; O],
) {
    for output in 0..O {
        for row in 0..R {
            let sum = sums[output][row];
            sums[output][row] = simd.mul_add_e_f32s(weights[output], inputs[row], sum);
        }
    }
}

/// `sums` (`[block][row][LANES]`) over all outputs of coefficient times weight, for some columns.
struct Sums<'a> {
    shape: Linear,
    /// `[outputs, rows]`
    coefficients: &'a [f32],
    weight: &'a [f32],
    columns: std::ops::Range<usize>,
    sums: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            shape,
            coefficients,
            weight,
            columns,
            sums,
        } = self;
        let sums = vectors_mut::<S>(sums);
        let pieces = weight
            .chunks(WEIGHT_ROWS_PER_SUM * shape.inputs)
            .zip(coefficients.chunks(WEIGHT_ROWS_PER_SUM * shape.rows));
        for (weights, coefficients) in pieces {
            if weights.len() == WEIGHT_ROWS_PER_SUM * shape.inputs {
                let rows: [&[f32]; WEIGHT_ROWS_PER_SUM] =
                    std::array::from_fn(|row| &weights[row * shape.inputs..][columns.clone()]);
                add_rows(simd, shape.rows, coefficients, rows, sums);
                continue;
            }
            let rows = weights.chunks_exact(shape.inputs);
            for (row, coefficients) in rows.zip(coefficients.chunks_exact(shape.rows)) {
                add_rows(
                    simd,
                    shape.rows,
                    coefficients,
                    [&row[columns.clone()]],
                    sums,
                );
            }
        }
    }
}

/// Adds `O` rows of the weight times their coefficients to each row's sums.
#[inline(always)]
fn add_rows<S: Simd, const O: usize>(
    simd: S,
    rows: usize,
    coefficients: &[f32],
    weights: [&[f32]; O],
    sums: &mut [S::f32s],
) {
    let whole = weights.map(|weight| S::as_simd_f32s(weight).0);
    let count = whole[0].len();
    for (block, sums) in sums.chunks_exact_mut(rows).enumerate() {
        let weights: [S::f32s; O] = if block < count {
            whole.map(|weight| weight[block])
        } else {
            weights.map(|weight| simd.partial_load_f32s(&weight[count * LANES..]))
        };
        for (row, sum) in sums.iter_mut().enumerate() {
            let mut total = *sum;
            for output in 0..O {
                let coefficient = simd.splat_f32s(coefficients[output * rows + row]);
                total = simd.mul_add_e_f32s(coefficient, weights[output], total);
            }
            *sum = total;
        }
    }
}

/// Some rows of the weight's gradient.
struct OuterProducts<'a> {
    shape: Linear,
    packed: &'a [f32],
    /// `[outputs, rows]`
    coefficients: &'a [f32],
    gradient: &'a mut [f32],
}

impl WithSimd for OuterProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            shape,
            packed,
            coefficients,
            gradient,
        } = self;
        let packed = vectors::<S>(packed);
        let blocks = shape.inputs.div_ceil(LANES);
        for first in (0..blocks).step_by(blocks_at_once(shape.rows)) {
            let range = first..blocks.min(first + blocks_at_once(shape.rows));
            let groups = gradient
                .chunks_mut(WEIGHT_ROWS * shape.inputs)
                .zip(coefficients.chunks(WEIGHT_ROWS * shape.rows));
            for (gradient, coefficients) in groups {
                if gradient.len() == WEIGHT_ROWS * shape.inputs {
                    let range = range.clone();
                    outer::<S, WEIGHT_ROWS>(simd, shape, packed, range, coefficients, gradient);
                    continue;
                }
                let rows = gradient
                    .chunks_exact_mut(shape.inputs)
                    .zip(coefficients.chunks_exact(shape.rows));
                for (gradient, coefficients) in rows {
                    outer::<S, 1>(simd, shape, packed, range.clone(), coefficients, gradient);
                }
            }
        }
    }
}

/// Writes some blocks of `O` rows of the gradient: `Σ coefficients[o, row] · inputs[row]`.
#[inline(always)]
fn outer<S: Simd, const O: usize>(
    simd: S,
    shape: Linear,
    packed: &[S::f32s],
    blocks: std::ops::Range<usize>,
    coefficients: &[f32],
    gradient: &mut [f32],
) {
    let coefficients: [&[f32]; O] =
        std::array::from_fn(|output| &coefficients[output * shape.rows..][..shape.rows]);
    for block in blocks {
        let inputs = &packed[block * shape.rows..][..shape.rows];
        let mut sums = [simd.splat_f32s(0.0); O];
        for (row, input) in inputs.iter().enumerate() {
            for output in 0..O {
                let coefficient = simd.splat_f32s(coefficients[output][row]);
                sums[output] = simd.mul_add_e_f32s(coefficient, *input, sums[output]);
            }
        }
        let start = block * LANES;
        let width = LANES.min(shape.inputs - start);
        for (output, sum) in sums.into_iter().enumerate() {
            let target = &mut gradient[output * shape.inputs + start..][..width];
            simd.partial_store_f32s(target, sum);
        }
    }
}

/// The numbers as vectors; they are whole blocks.
#[inline(always)]
fn vectors<S: Simd>(values: &[f32]) -> &[S::f32s] {
    S::as_simd_f32s(values).0
}

#[inline(always)]
fn vectors_mut<S: Simd>(values: &mut [f32]) -> &mut [S::f32s] {
    S::as_mut_simd_f32s(values).0
}
