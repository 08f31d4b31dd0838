//! Backward: two passes, sums of gradients by channel and then the input's gradient, written
//! over the input itself.

use rayon::prelude::*;

use super::{AffineGradients, Columns, GradientSums, Normalization, piece_len};
use crate::activation::Activation;
use crate::activation::function::{Function, with_function};
use crate::vectorized::vectorized;

/// The gradients of [`forward`](super::forward()). With the statistics of the input itself,
/// `dx = weight / deviation · (dy − mean(dy) − x̂ · mean(dy · x̂))`; with fixed ones
/// `dx = weight / deviation · dy`.
///
/// `values` is the input, and becomes its gradient. `gradient` is that of the output. Where a
/// shortcut was added, `output` must be given: the activation's slope is read off it, and
/// `gradient` becomes the gradient of the shortcut. Without one, `gradient` is left as it was or
/// has the activation's slope in it, whichever is quicker.
///
/// # Panics
/// The lengths do not fit each other, or `output` is given and the activation's slope does not
/// follow from it.
pub fn backward(
    normalization: &Normalization<'_>,
    values: &mut [f32],
    output: Option<&[f32]>,
    gradient: &mut [f32],
) -> AffineGradients {
    let channels = normalization.channels();
    assert_eq!(values.len(), gradient.len(), "lengths differ");
    assert_eq!(values.len() % channels, 0, "not whole rows");
    let columns = Columns::of(normalization);
    let activation = normalization.activation;
    let kind = match output {
        Some(_) => Slope::StoredFromOutput,
        None if activation.is_some_and(|activation| !activation.is_cheap()) => {
            Slope::StoredFromInput
        }
        None => Slope::Recomputed,
    };
    let pass = Pass {
        columns: &columns,
        activation,
        kind,
    };
    let sums = gradient_sums(&pass, channels, values, output, gradient);
    let [mean_dy, mean_dy_x] = sums.means(values.len() / channels, normalization.source);
    values
        .par_chunks_mut(piece_len(channels))
        .zip(gradient.par_chunks(piece_len(channels)))
        .for_each(|(values, gradient)| {
            input_gradient(pass, [&mean_dy, &mean_dy_x], values, gradient);
        });
    sums.gradients()
}

/// Where the activation's slope comes from.
#[derive(Clone, Copy, PartialEq)]
enum Slope {
    /// Computed in both passes from the input: a comparison costs less than a pass over memory.
    Recomputed,
    /// Computed from the input in the first pass, which multiplies the gradient by it in place.
    StoredFromInput,
    /// The same, from the output.
    StoredFromOutput,
}

#[derive(Clone, Copy)]
struct Pass<'a> {
    columns: &'a Columns,
    activation: Option<Activation>,
    kind: Slope,
}

fn gradient_sums(
    pass: &Pass<'_>,
    channels: usize,
    values: &[f32],
    output: Option<&[f32]>,
    gradient: &mut [f32],
) -> GradientSums {
    let len = piece_len(channels);
    let width = pass.columns.mean.len();
    let sum = |values: &[f32], output: &[f32], gradient: &mut [f32]| {
        let mut sums = [vec![0.0; width], vec![0.0; width]];
        let [weight, bias] = &mut sums;
        match pass.kind {
            Slope::Recomputed => sum_recomputed(*pass, values, gradient, [weight, bias]),
            _ => sum_stored(*pass, values, output, gradient, [weight, bias]),
        }
        sums
    };
    let output = output.unwrap_or(values);
    assert_eq!(output.len(), gradient.len(), "lengths differ");
    let pieces: Vec<[Vec<f32>; 2]> = gradient
        .par_chunks_mut(len)
        .zip(values.par_chunks(len))
        .zip(output.par_chunks(len))
        .map(|((gradient, values), output)| sum(values, output, gradient))
        .collect();
    GradientSums::total(channels, &pieces)
}

vectorized! {
    fn sum_recomputed(pass: Pass<'_>, values: &[f32], gradient: &[f32], sums: [&mut [f32]; 2]) {
        with_function!(pass.activation, function => {
            sum_with(function, pass.columns, values, gradient, sums);
        });
    }

    fn sum_stored(
        pass: Pass<'_>,
        values: &[f32],
        output: &[f32],
        gradient: &mut [f32],
        sums: [&mut [f32]; 2],
    ) {
        with_function!(pass.activation, function => {
            if pass.kind == Slope::StoredFromOutput {
                for (gradient, output) in gradient.iter_mut().zip(output) {
                    *gradient *= function.slope_at_value(*output);
                }
            } else {
                scale_by_slope(function, pass.columns, values, gradient);
            }
        });
        sum_with(crate::activation::function::Identity, pass.columns, values, gradient, sums);
    }

    fn input_gradient(
        pass: Pass<'_>,
        means: [&[f32]; 2],
        values: &mut [f32],
        gradient: &[f32],
    ) {
        if pass.kind == Slope::Recomputed {
            with_function!(pass.activation, function => {
                input_gradient_with(function, pass.columns, means, values, gradient);
            });
        } else {
            let identity = crate::activation::function::Identity;
            input_gradient_with(identity, pass.columns, means, values, gradient);
        }
    }
}

/// Multiplies `gradient` by the function's slope at the normalised values.
#[inline(always)]
fn scale_by_slope(
    function: impl Function,
    columns: &Columns,
    values: &[f32],
    gradient: &mut [f32],
) {
    let width = columns.mean.len();
    for (gradient, values) in gradient.chunks_mut(width).zip(values.chunks(width)) {
        let len = gradient.len();
        let (values, mean) = (&values[..len], &columns.mean[..len]);
        let (scale, bias) = (&columns.scale[..len], &columns.bias[..len]);
        for index in 0..len {
            let normal = (values[index] - mean[index]) * scale[index] + bias[index];
            gradient[index] *= function.slope(normal);
        }
    }
}

/// Adds `dy · x̂` and `dy` to the sums, `dy` with the function's slope.
#[inline(always)]
fn sum_with(
    function: impl Function,
    columns: &Columns,
    values: &[f32],
    gradient: &[f32],
    [weight, bias]: [&mut [f32]; 2],
) {
    let width = columns.mean.len();
    for (gradient, values) in gradient.chunks(width).zip(values.chunks(width)) {
        let len = gradient.len();
        let (values, mean) = (&values[..len], &columns.mean[..len]);
        let (inverse, scale) = (&columns.inverse[..len], &columns.scale[..len]);
        let shift = &columns.bias[..len];
        let (weight, bias) = (&mut weight[..len], &mut bias[..len]);
        for index in 0..len {
            let centred = values[index] - mean[index];
            let slope = function.slope(centred * scale[index] + shift[index]);
            let gradient = gradient[index] * slope;
            weight[index] += gradient * (centred * inverse[index]);
            bias[index] += gradient;
        }
    }
}

#[inline(always)]
pub(super) fn input_gradient_with(
    function: impl Function,
    columns: &Columns,
    [mean_dy, mean_dy_x]: [&[f32]; 2],
    values: &mut [f32],
    gradient: &[f32],
) {
    let width = columns.mean.len();
    for (values, gradient) in values.chunks_mut(width).zip(gradient.chunks(width)) {
        let len = values.len();
        let (gradient, mean) = (&gradient[..len], &columns.mean[..len]);
        let (inverse, scale) = (&columns.inverse[..len], &columns.scale[..len]);
        let shift = &columns.bias[..len];
        let (mean_dy, mean_dy_x) = (&mean_dy[..len], &mean_dy_x[..len]);
        for index in 0..len {
            let centred = values[index] - mean[index];
            let slope = function.slope(centred * scale[index] + shift[index]);
            let distance = gradient[index] * slope - mean_dy[index];
            let normal = centred * inverse[index];
            values[index] = scale[index] * (distance - normal * mean_dy_x[index]);
        }
    }
}
