//! What a layer costs: elements and floating-point operations.

use super::Op;

/// How many numbers a shape holds.
pub(super) fn element_count(shape: &[usize]) -> u64 {
    shape
        .iter()
        .fold(1, |product: u64, side| product.saturating_mul(*side as u64))
}

/// Floating-point operations for one image; a multiply-add counts as two, `exp` and the like as one.
pub(super) fn flops(op: &Op, input: &[usize], input_count: usize, output: &[usize]) -> u64 {
    let elements = element_count(output);
    let channels = input.first().copied().unwrap_or_default();
    let per_element: u64 = match op {
        Op::Conv2d {
            kernel,
            groups,
            bias,
            ..
        } => {
            let taps = element_count(&[channels / groups, kernel.height, kernel.width]);
            taps.saturating_mul(2).saturating_add(u64::from(*bias))
        }
        Op::Linear { bias, .. } => 2 * channels as u64 + u64::from(*bias),
        // Folded into one multiply-add per element, as at inference.
        Op::BatchNorm2d { .. } => 2,
        // Mean, deviation, its square's mean, scale and shift.
        Op::LayerNorm { .. } => 7,
        Op::Relu {} | Op::LayerScale { .. } | Op::PositionEmbedding {} | Op::Multiply {} => 1,
        Op::Relu6 {} => 2,
        Op::Silu {} | Op::HardSwish {} | Op::Sigmoid {} | Op::HardSigmoid {} | Op::Gelu {} => 4,
        Op::MaxPool2d { kernel, .. } | Op::AvgPool2d { kernel, .. } => {
            element_count(&kernel.to_array())
        }
        Op::GlobalAvgPool {} => element_count(input.get(1..).unwrap_or_default()),
        Op::Add {} => input_count.saturating_sub(1) as u64,
        Op::AdaptiveAvgPool2d { .. } => return adaptive_pooling_flops(input, output),
        Op::Attention { heads } => return attention_flops(*heads, input, output),
        Op::Flatten {}
        | Op::Dropout { .. }
        | Op::StochasticDepth { .. }
        | Op::Concat {}
        | Op::ClassToken {}
        | Op::SelectToken { .. } => 0,
    };
    elements.saturating_mul(per_element)
}

/// One addition for each pixel of each window.
fn adaptive_pooling_flops(input: &[usize], output: &[usize]) -> u64 {
    let channels = output.first().copied().unwrap_or_default();
    let covered = |axis: usize| match (input.get(axis), output.get(axis)) {
        (Some(input), Some(output)) => total_window_length(*input, *output),
        _ => 0,
    };
    element_count(&[channels, covered(1), covered(2)])
}

/// The lengths of all of [`super::adaptive_window()`]'s windows together. Neighbours share a pixel
/// where the border between them falls inside it: everywhere but at multiples of the greatest
/// common divisor.
fn total_window_length(input: usize, output: usize) -> usize {
    let (mut divisor, mut rest) = (input, output);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    input + output - divisor
}

/// Queries times keys, softmax, and its result times the values.
fn attention_flops(heads: usize, input: &[usize], output: &[usize]) -> u64 {
    let channels = output.first().copied().unwrap_or_default() as u64;
    let tokens = token_count(input);
    let pairs = tokens.saturating_mul(tokens);
    pairs.saturating_mul(4 * channels + 4 * heads as u64)
}

/// Numbers that a layer computes for one image on the way to its output: the shares that each
/// token of an attention gives to each other, by head.
pub(super) fn inner_elements(op: &Op, input: &[usize]) -> u64 {
    let Op::Attention { heads } = op else {
        return 0;
    };
    let tokens = token_count(input);
    tokens.saturating_mul(tokens).saturating_mul(*heads as u64)
}

fn token_count(input: &[usize]) -> u64 {
    element_count(input.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::adaptive_window;

    #[test]
    fn the_windows_of_adaptive_pooling_are_counted_without_walking_them() {
        for input in 1..20 {
            for output in 1..20 {
                let walked: usize = (0..output)
                    .map(|index| adaptive_window(index, input, output).len())
                    .sum();
                assert_eq!(
                    total_window_length(input, output),
                    walked,
                    "{input} {output}"
                );
            }
        }
    }
}
