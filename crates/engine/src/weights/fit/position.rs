//! Position embeddings for another number of tokens.

/// The grid that tokens come from, and how many stand before it (the class token).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) prefix_tokens: usize,
}

impl Grid {
    /// The square grid of so many tokens, if they make one.
    pub(super) fn square(tokens: usize, prefix_tokens: usize) -> Option<Self> {
        let cells = tokens.checked_sub(prefix_tokens)?;
        let side = cells.isqrt();
        (side > 0 && side * side == cells).then_some(Self {
            height: side,
            width: side,
            prefix_tokens,
        })
    }
}

/// Resamples embeddings `[1, tokens, channels]` from one grid to another; those before the grid
/// stay. As timm's `resample_abs_pos_embed`: bicubic, half-pixel centres, widened when it shrinks
/// (`antialias=True`).
pub(super) fn resample(values: &[f32], channels: usize, from: Grid, to: Grid) -> Vec<f32> {
    let prefix = (from.prefix_tokens * channels).min(values.len());
    let (prefix, cells) = values.split_at(prefix);
    // [height, width, channels] → [height, to.width, channels] → [to.height, to.width, channels].
    let across = taps(from.width, to.width);
    let rows = cells.chunks_exact((from.width * channels).max(1));
    let narrowed: Vec<f32> = rows
        .flat_map(|row| combine(row, channels, &across))
        .collect();
    let down = taps(from.height, to.height);
    let grid = combine(&narrowed, to.width * channels, &down);
    prefix.iter().copied().chain(grid).collect()
}

/// Where an output comes from: the first input, and the weights from there on.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

/// Weighted sums of `items`, each of `length` numbers.
fn combine(items: &[f32], length: usize, taps: &[Taps]) -> Vec<f32> {
    let mut output = Vec::with_capacity(taps.len() * length);
    for taps in taps {
        let mut sums = vec![0.0; length];
        let items = items.chunks_exact(length.max(1)).skip(taps.first);
        for (item, weight) in items.zip(&taps.weights) {
            for (sum, value) in sums.iter_mut().zip(item) {
                *sum += weight * f64::from(*value);
            }
        }
        output.extend(sums.into_iter().map(|sum| sum as f32));
    }
    output
}

/// PyTorch's `_compute_indices_weights_aa` (`aten/src/ATen/native/cpu/UpSampleKernel.cpp`), which
/// is Pillow's `precompute_coeffs`.
fn taps(inputs: usize, outputs: usize) -> Vec<Taps> {
    /// Half the width of the cubic filter.
    const REACH: f64 = 2.0;
    let scale = inputs as f64 / outputs.max(1) as f64;
    let widening = scale.max(1.0);
    let support = REACH * widening;
    (0..outputs)
        .map(|output| {
            let center = scale * (output as f64 + 0.5);
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(inputs);
            let weights: Vec<f64> = (first..end)
                .map(|input| cubic((input as f64 - center + 0.5) / widening))
                .collect();
            let sum: f64 = weights.iter().sum();
            Taps {
                first,
                weights: weights.into_iter().map(|weight| weight / sum).collect(),
            }
        })
        .collect()
}

/// Keys' cubic convolution with a = −0.5 (Keys 1981, doi:10.1109/TASSP.1981.1163711), which
/// PyTorch and Pillow take when they smooth.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_token_stands_beside_a_square_grid() {
        let grid = Grid::square(197, 1).unwrap();
        assert_eq!((grid.height, grid.width), (14, 14));
        assert_eq!(Grid::square(197, 0), None);
        assert_eq!(Grid::square(1, 1), None);
        assert_eq!(Grid::square(0, 1), None);
    }

    #[test]
    fn the_same_grid_gives_the_same_values() {
        let grid = Grid::square(10, 1).unwrap();
        let values: Vec<f32> = (0..20_u8).map(f32::from).collect();
        assert_eq!(resample(&values, 2, grid, grid), values);
    }

    #[test]
    fn an_even_field_stays_even() {
        let values = vec![0.75; 17 * 3];
        let from = Grid::square(17, 1).unwrap();
        let to = Grid {
            height: 9,
            width: 2,
            prefix_tokens: 1,
        };
        let resampled = resample(&values, 3, from, to);
        assert_eq!(resampled.len(), 19 * 3);
        assert!(resampled.iter().all(|value| (value - 0.75).abs() < 1e-6));
    }
}
