//! Channels scaled, copied and joined.

use rayon::prelude::*;

use crate::CHUNK;
use crate::activation::tile;
use crate::vectorized::vectorized;

/// `output ← input · factors`: `factors` (`[batch, channels]`) has one number for each channel of
/// an image (`[batch, pixels, channels]`), as a squeeze-and-excitation gate has (Hu et al. 2018,
/// arXiv:1709.01507).
///
/// # Panics
/// The lengths do not fit each other.
pub fn gate_forward(input: &[f32], factors: &[f32], channels: usize, output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "lengths differ");
    let Some(image) = image_len(input.len(), factors.len(), channels) else {
        return;
    };
    output
        .par_chunks_mut(image)
        .zip(input.par_chunks(image))
        .zip(factors.par_chunks(channels))
        .for_each(|((output, input), factors)| {
            let factors = tile(factors);
            scale_rows_into(&factors, input, output);
        });
}

/// `values ← values · factors`, as [`gate_forward`] has it, in place.
///
/// # Panics
/// The lengths do not fit each other.
pub fn gate(values: &mut [f32], factors: &[f32], channels: usize) {
    let Some(image) = image_len(values.len(), factors.len(), channels) else {
        return;
    };
    values
        .par_chunks_mut(image)
        .zip(factors.par_chunks(channels))
        .for_each(|(values, factors)| scale_rows(&tile(factors), values));
}

/// The gradients of [`gate_forward`]: `gradient`, that of the output, becomes that of the input,
/// and `factor_gradient` is replaced by that of the factors.
///
/// # Panics
/// The lengths do not fit each other.
pub fn gate_backward(
    input: &[f32],
    factors: &[f32],
    channels: usize,
    gradient: &mut [f32],
    factor_gradient: &mut [f32],
) {
    assert_eq!(input.len(), gradient.len(), "lengths differ");
    assert_eq!(factors.len(), factor_gradient.len(), "lengths differ");
    let Some(image) = image_len(input.len(), factors.len(), channels) else {
        return;
    };
    gradient
        .par_chunks_mut(image)
        .zip(input.par_chunks(image))
        .zip(factors.par_chunks(channels))
        .zip(factor_gradient.par_chunks_mut(channels))
        .for_each(|(((gradient, input), factors), sums)| {
            sums.fill(0.0);
            scale_rows_and_sum(factors, input, gradient, sums);
        });
}

fn image_len(input: usize, factors: usize, channels: usize) -> Option<usize> {
    assert_eq!(factors % channels, 0, "not whole rows of factors");
    let images = factors / channels;
    if images == 0 {
        assert_eq!(input, 0, "lengths differ");
        return None;
    }
    assert_eq!(input % (images * channels), 0, "not whole images");
    Some(input / images).filter(|len| *len > 0)
}

/// `output ← input · factors`, one factor a channel, in every row.
///
/// # Panics
/// The lengths do not fit each other.
pub fn scale_forward(input: &[f32], factors: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "lengths differ");
    assert_eq!(input.len() % factors.len(), 0, "not whole rows");
    let tiled = tile(factors);
    let piece = piece_len(tiled.len());
    output
        .par_chunks_mut(piece)
        .zip(input.par_chunks(piece))
        .for_each(|(output, input)| scale_rows_into(&tiled, input, output));
}

/// The gradient of [`scale_forward`] by the factors; `gradient`, that of the output, becomes
/// that of the input.
///
/// # Panics
/// The lengths do not fit each other.
pub fn scale_backward(input: &[f32], factors: &[f32], gradient: &mut [f32]) -> Vec<f32> {
    assert_eq!(input.len(), gradient.len(), "lengths differ");
    assert_eq!(input.len() % factors.len(), 0, "not whole rows");
    let piece = piece_len(factors.len());
    let pieces: Vec<Vec<f32>> = gradient
        .par_chunks_mut(piece)
        .zip(input.par_chunks(piece))
        .map(|(gradient, input)| {
            let mut sums = vec![0.0; factors.len()];
            scale_rows_and_sum(factors, input, gradient, &mut sums);
            sums
        })
        .collect();
    let mut total = vec![0.0; factors.len()];
    for piece in &pieces {
        for (sum, part) in total.iter_mut().zip(piece) {
            *sum += part;
        }
    }
    total
}

/// Multiplies all numbers of image number `i` by `factors[i]`.
///
/// # Panics
/// `values` is not as many images of one size as there are factors.
pub fn scale_images(values: &mut [f32], factors: &[f32]) {
    assert_eq!(values.len() % factors.len().max(1), 0, "not whole images");
    let image = values.len() / factors.len().max(1);
    if image == 0 {
        return;
    }
    values
        .par_chunks_mut(image)
        .zip(factors)
        .for_each(|(values, factor)| values.iter_mut().for_each(|value| *value *= factor));
}

/// `output ← left · right`, number by number.
///
/// # Panics
/// The lengths differ.
pub fn product(left: &[f32], right: &[f32], output: &mut [f32]) {
    assert_eq!(left.len(), output.len(), "lengths differ");
    assert_eq!(right.len(), output.len(), "lengths differ");
    output
        .par_chunks_mut(CHUNK)
        .zip(left.par_chunks(CHUNK))
        .zip(right.par_chunks(CHUNK))
        .for_each(|((output, left), right)| product_piece(left, right, output));
}

/// Some channels of rows: `width` from number `start` of `channels`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Channels of a row.
    pub channels: usize,
    /// The first of the part.
    pub start: usize,
    /// How many the part has.
    pub width: usize,
}

/// Copies `source`, rows of the part's width, to a part of the rows of `target`.
///
/// # Panics
/// The lengths do not fit each other.
pub fn write_part(source: &[f32], part: Part, target: &mut [f32]) {
    assert_part(source.len(), part, target.len());
    let rows = (CHUNK / part.channels).max(1);
    target
        .par_chunks_mut(rows * part.channels)
        .zip(source.par_chunks(rows * part.width))
        .for_each(|(target, source)| {
            let targets = target.chunks_exact_mut(part.channels);
            for (target, source) in targets.zip(source.chunks_exact(part.width)) {
                target[part.start..][..part.width].copy_from_slice(source);
            }
        });
}

/// Copies a part of the rows of `source` to `target`, rows of the part's width.
///
/// # Panics
/// The lengths do not fit each other.
pub fn read_part(source: &[f32], part: Part, target: &mut [f32]) {
    assert_part(target.len(), part, source.len());
    let rows = (CHUNK / part.channels).max(1);
    target
        .par_chunks_mut(rows * part.width)
        .zip(source.par_chunks(rows * part.channels))
        .for_each(|(target, source)| {
            let targets = target.chunks_exact_mut(part.width);
            for (target, source) in targets.zip(source.chunks_exact(part.channels)) {
                target.copy_from_slice(&source[part.start..][..part.width]);
            }
        });
}

fn assert_part(narrow: usize, part: Part, wide: usize) {
    assert!(part.start + part.width <= part.channels, "part of a row");
    assert_eq!(narrow % part.width, 0, "not whole rows");
    assert_eq!(narrow / part.width * part.channels, wide, "lengths differ");
}

fn piece_len(row: usize) -> usize {
    (CHUNK / row).max(1) * row
}

vectorized! {
    fn scale_rows_into(factors: &[f32], input: &[f32], output: &mut [f32]) {
        for (output, input) in output.chunks_mut(factors.len()).zip(input.chunks(factors.len())) {
            for ((output, input), factor) in output.iter_mut().zip(input).zip(factors) {
                *output = input * factor;
            }
        }
    }

    fn scale_rows(factors: &[f32], values: &mut [f32]) {
        for values in values.chunks_mut(factors.len()) {
            for (value, factor) in values.iter_mut().zip(factors) {
                *value *= factor;
            }
        }
    }

    fn scale_rows_and_sum(
        factors: &[f32],
        input: &[f32],
        gradient: &mut [f32],
        sums: &mut [f32],
    ) {
        let channels = factors.len();
        let sums = &mut sums[..channels];
        let rows = gradient.chunks_exact_mut(channels).zip(input.chunks_exact(channels));
        for (gradient, input) in rows {
            for channel in 0..channels {
                sums[channel] += gradient[channel] * input[channel];
                gradient[channel] *= factors[channel];
            }
        }
    }

    fn product_piece(left: &[f32], right: &[f32], output: &mut [f32]) {
        for ((output, left), right) in output.iter_mut().zip(left).zip(right) {
            *output = left * right;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_scales_the_channels_of_each_image() {
        let input = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
        let factors = [10.0, 100.0, 0.0, 1.0];
        let mut output = [0.0; 8];
        gate_forward(&input, &factors, 2, &mut output);
        assert_eq!(output, [10.0, 200.0, 30.0, 400.0, 0.0, 6.0, 0.0, 8.0]);
        let mut in_place = input;
        gate(&mut in_place, &factors, 2);
        assert_eq!(in_place, output);
        let (mut gradient, mut by_factors) = ([1.0; 8], [9.0; 4]);
        gate_backward(&input, &factors, 2, &mut gradient, &mut by_factors);
        assert_eq!(gradient, [10.0, 100.0, 10.0, 100.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(by_factors, [4.0, 6.0, 12.0, 14.0]);
    }

    #[test]
    fn a_scale_is_the_same_in_every_row() {
        let input: Vec<f32> = (0..2 * 9_000).map(|index| (index % 4) as f32).collect();
        let mut output = vec![0.0; input.len()];
        scale_forward(&input, &[2.0, 10.0], &mut output);
        assert_eq!(output[..4], [0.0, 10.0, 4.0, 30.0]);
        assert_eq!(output[17_996..], [0.0, 10.0, 4.0, 30.0]);
        let mut gradient = vec![1.0; input.len()];
        let by_factors = scale_backward(&input, &[2.0, 10.0], &mut gradient);
        assert_eq!(by_factors, [9_000.0, 18_000.0]);
        assert_eq!(gradient[17_998..], [2.0, 10.0]);
    }

    #[test]
    fn parts_of_rows_go_there_and_back() {
        let mut rows = [0.0; 6];
        let part = Part {
            channels: 3,
            start: 1,
            width: 2,
        };
        write_part(&[1.0, 2.0, 3.0, 4.0], part, &mut rows);
        assert_eq!(rows, [0.0, 1.0, 2.0, 0.0, 3.0, 4.0]);
        let mut back = [0.0; 4];
        read_part(&rows, part, &mut back);
        assert_eq!(back, [1.0, 2.0, 3.0, 4.0]);
    }
}
