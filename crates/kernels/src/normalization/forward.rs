//! Forward: normalise, add the shortcut, apply the activation, in one pass.

use rayon::prelude::*;

use super::{Columns, Normalization, piece_len};
use crate::activation::Activation;
use crate::activation::function::{Function, with_function};
use crate::vectorized::vectorized;

/// `output ← activation((input − mean) / deviation · weight + bias + shortcut)`.
///
/// # Panics
/// The lengths do not fit each other.
pub fn forward(
    normalization: &Normalization<'_>,
    input: &[f32],
    shortcut: Option<&[f32]>,
    output: &mut [f32],
) {
    let channels = normalization.channels();
    assert_eq!(input.len(), output.len(), "lengths differ");
    assert_eq!(input.len() % channels, 0, "not whole rows");
    let columns = Columns::of(normalization);
    let activation = normalization.activation;
    let pieces = output
        .par_chunks_mut(piece_len(channels))
        .zip(input.par_chunks(piece_len(channels)));
    match shortcut {
        None => pieces.for_each(|(output, input)| normalize(&columns, activation, input, output)),
        Some(shortcut) => {
            assert_eq!(shortcut.len(), input.len(), "lengths differ");
            pieces
                .zip(shortcut.par_chunks(piece_len(channels)))
                .for_each(|((output, input), shortcut)| {
                    normalize_and_add(&columns, activation, [input, shortcut], output);
                });
        }
    }
}

vectorized! {
    pub(super) fn normalize(
        columns: &Columns,
        activation: Option<Activation>,
        input: &[f32],
        output: &mut [f32],
    ) {
        with_function!(activation, function => {
            each_row(columns, [input, input], output, |value, _| function.value(value));
        });
    }

    fn normalize_and_add(
        columns: &Columns,
        activation: Option<Activation>,
        inputs: [&[f32]; 2],
        output: &mut [f32],
    ) {
        with_function!(activation, function => {
            each_row(columns, inputs, output, |value, shortcut| function.value(value + shortcut));
        });
    }
}

/// Writes `finish(normalised, shortcut)`.
#[inline(always)]
fn each_row(
    columns: &Columns,
    [input, shortcut]: [&[f32]; 2],
    output: &mut [f32],
    finish: impl Fn(f32, f32) -> f32,
) {
    let width = columns.mean.len();
    let rows = output
        .chunks_mut(width)
        .zip(input.chunks(width))
        .zip(shortcut.chunks(width));
    for ((output, input), shortcut) in rows {
        let len = output.len();
        let (input, shortcut) = (&input[..len], &shortcut[..len]);
        let (mean, scale) = (&columns.mean[..len], &columns.scale[..len]);
        let bias = &columns.bias[..len];
        for index in 0..len {
            let value = (input[index] - mean[index]) * scale[index] + bias[index];
            output[index] = finish(value, shortcut[index]);
        }
    }
}
