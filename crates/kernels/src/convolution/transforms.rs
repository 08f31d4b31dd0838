//! The transforms of Winograd's minimal filtering for six points: 0, ±1, ±2 and infinity
//! (Lavin & Gray 2015, arXiv:1509.09308, section 4.2).
//!
//! Each is a small matrix that is applied along both axes of a tile, to all channels of the
//! tile's pixels at a time.

use pulp::{Simd, WithSimd};

use crate::instructions::arch;

use super::shared_output::SharedOutput;
use super::tile::load;
use crate::finish::{Function, Order, apply_to_vectors};

/// A transform along one axis, from `IN` numbers to `OUT`.
pub(super) trait Line<const IN: usize, const OUT: usize> {
    fn line<S: Simd>(simd: S, x: [S::f32s; IN]) -> [S::f32s; OUT];
}

/// Of inputs, `Bᵀ`.
pub(super) struct Inputs;

/// Of 3×3 weights, `G`.
pub(super) struct Weights;

/// Of sums back to 4×4 outputs, `Aᵀ`.
pub(super) struct Outputs;

/// Of 4×4 gradients: the weights of F(3×3, 4×4).
pub(super) struct Gradients;

/// Of sums back to 3×3 gradients of weights: the outputs of F(3×3, 4×4).
pub(super) struct WeightGradients;

/// `a + factor · b`
#[inline(always)]
fn plus<S: Simd>(simd: S, a: S::f32s, factor: f32, b: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(factor), b, a)
}

#[inline(always)]
fn times<S: Simd>(simd: S, factor: f32, a: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(factor), a)
}

impl Line<6, 6> for Inputs {
    #[inline(always)]
    fn line<S: Simd>(simd: S, x: [S::f32s; 6]) -> [S::f32s; 6] {
        let even = plus(simd, x[4], -4.0, x[2]);
        let odd = plus(simd, x[3], -4.0, x[1]);
        let outer = simd.sub_f32s(x[4], x[2]);
        let inner = simd.sub_f32s(x[3], x[1]);
        [
            plus(simd, plus(simd, x[4], -5.0, x[2]), 4.0, x[0]),
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            plus(simd, outer, 2.0, inner),
            plus(simd, outer, -2.0, inner),
            plus(simd, plus(simd, x[5], -5.0, x[3]), 4.0, x[1]),
        ]
    }
}

impl Line<3, 6> for Weights {
    #[inline(always)]
    fn line<S: Simd>(simd: S, x: [S::f32s; 3]) -> [S::f32s; 6] {
        let outer = times(simd, -1.0 / 6.0, simd.add_f32s(x[0], x[2]));
        let wide = plus(simd, times(simd, 1.0 / 24.0, x[0]), 1.0 / 6.0, x[2]);
        [
            times(simd, 0.25, x[0]),
            plus(simd, outer, -1.0 / 6.0, x[1]),
            plus(simd, outer, 1.0 / 6.0, x[1]),
            plus(simd, wide, 1.0 / 12.0, x[1]),
            plus(simd, wide, -1.0 / 12.0, x[1]),
            x[2],
        ]
    }
}

impl Line<6, 4> for Outputs {
    #[inline(always)]
    fn line<S: Simd>(simd: S, x: [S::f32s; 6]) -> [S::f32s; 4] {
        let [near, near_odd] = [simd.add_f32s(x[1], x[2]), simd.sub_f32s(x[1], x[2])];
        let [far, far_odd] = [simd.add_f32s(x[3], x[4]), simd.sub_f32s(x[3], x[4])];
        [
            simd.add_f32s(x[0], simd.add_f32s(near, far)),
            plus(simd, near_odd, 2.0, far_odd),
            plus(simd, near, 4.0, far),
            simd.add_f32s(x[5], plus(simd, near_odd, 8.0, far_odd)),
        ]
    }
}

impl Line<4, 6> for Gradients {
    #[inline(always)]
    fn line<S: Simd>(simd: S, x: [S::f32s; 4]) -> [S::f32s; 6] {
        let even = times(simd, -1.0 / 6.0, simd.add_f32s(x[0], x[2]));
        let odd = times(simd, -1.0 / 6.0, simd.add_f32s(x[1], x[3]));
        let far_even = plus(simd, times(simd, 1.0 / 24.0, x[0]), 1.0 / 6.0, x[2]);
        let far_odd = plus(simd, times(simd, 1.0 / 12.0, x[1]), 1.0 / 3.0, x[3]);
        [
            times(simd, 0.25, x[0]),
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            simd.add_f32s(far_even, far_odd),
            simd.sub_f32s(far_even, far_odd),
            x[3],
        ]
    }
}

impl Line<6, 3> for WeightGradients {
    #[inline(always)]
    fn line<S: Simd>(simd: S, x: [S::f32s; 6]) -> [S::f32s; 3] {
        let [near, near_odd] = [simd.add_f32s(x[1], x[2]), simd.sub_f32s(x[1], x[2])];
        let [far, far_odd] = [simd.add_f32s(x[3], x[4]), simd.sub_f32s(x[3], x[4])];
        [
            simd.add_f32s(x[0], simd.add_f32s(near, far)),
            plus(simd, near_odd, 2.0, far_odd),
            simd.add_f32s(x[5], plus(simd, near, 4.0, far)),
        ]
    }
}

/// Where the numbers of a tile's pixels begin; none for a pixel that is zero, or not wanted.
pub(super) type Places<const SIDE: usize> = [[Option<usize>; SIDE]; SIDE];

/// The places of a tile in `SIDE · SIDE` positions that are `stride` apart.
pub(super) fn in_positions<const SIDE: usize>(start: usize, stride: usize) -> Places<SIDE> {
    std::array::from_fn(|row| {
        std::array::from_fn(|column| Some(start + (row * SIDE + column) * stride))
    })
}

/// Transforms a tile along both axes: for each channel, from the numbers at `from` in `source` to
/// those at `to` in `target`, plus `bias` of the channel.
///
/// # Panics
/// A pixel's channels reach past its slice, or are no multiple of 16.
pub(super) fn apply<L: Line<IN, OUT>, const IN: usize, const OUT: usize>(
    source: &[f32],
    from: &Places<IN>,
    target: SharedOutput,
    to: &Places<OUT>,
    channels: usize,
    bias: Option<&[f32]>,
) {
    assert_eq!(channels % 16, 0, "channels of whole vectors");
    for start in from.iter().flatten().flatten() {
        assert!(start + channels <= source.len(), "source of a transform");
    }
    for start in to.iter().flatten().flatten() {
        target.assert_holds(start + channels);
    }
    assert!(bias.is_none_or(|bias| bias.len() >= channels), "bias");
    arch().dispatch(Apply::<L, IN, OUT> {
        source,
        from,
        target,
        to,
        channels,
        bias,
        line: std::marker::PhantomData,
    });
}

struct Apply<'a, L, const IN: usize, const OUT: usize> {
    source: &'a [f32],
    from: &'a Places<IN>,
    target: SharedOutput,
    to: &'a Places<OUT>,
    channels: usize,
    bias: Option<&'a [f32]>,
    line: std::marker::PhantomData<L>,
}

impl<L: Line<IN, OUT>, const IN: usize, const OUT: usize> WithSimd for Apply<'_, L, IN, OUT> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for channel in (0..self.channels).step_by(S::F32_LANES) {
            self.channels_from(simd, channel);
        }
    }
}

impl<L: Line<IN, OUT>, const IN: usize, const OUT: usize> Apply<'_, L, IN, OUT> {
    /// A vector of channels.
    #[inline(always)]
    fn channels_from<S: Simd>(&self, simd: S, channel: usize) {
        let zero = simd.splat_f32s(0.0);
        let source = self.source.as_ptr();
        let mut lines = [[zero; IN]; OUT];
        for column in 0..IN {
            let mut x = [zero; IN];
            for (row, x) in x.iter_mut().enumerate() {
                if let Some(start) = self.from[row][column] {
                    // SAFETY: `apply` has checked that all channels from `start` on are there,
                    // and they are whole vectors.
                    #[allow(unsafe_code)]
                    let numbers = unsafe { load(simd, source.add(start + channel)) };
                    *x = numbers;
                }
            }
            for (line, value) in lines.iter_mut().zip(L::line(simd, x)) {
                line[column] = value;
            }
        }
        let bias = match self.bias {
            Some(bias) => simd.partial_load_f32s(&bias[channel..channel + S::F32_LANES]),
            None => zero,
        };
        for (line, to) in lines.into_iter().zip(self.to) {
            for (value, to) in L::line(simd, line).into_iter().zip(to) {
                if let Some(start) = to {
                    let value = simd.add_f32s(value, bias);
                    // SAFETY: as above, for the target.
                    #[allow(unsafe_code)]
                    unsafe {
                        self.target.store(simd, start + channel, [value]);
                    }
                }
            }
        }
    }
}

/// What happens to a tile's outputs before they are written.
pub(super) struct TileFinish<'a> {
    /// A number for each channel; empty without bias.
    pub(super) bias: &'a [f32],
    pub(super) function: Function,
    /// Numbers that are added, and where each pixel's begin.
    pub(super) shortcut: Option<(&'a [f32], Places<4>, Order)>,
}

/// As [`apply`] for sums back to outputs, finished.
///
/// # Panics
/// A pixel's channels reach past its slice, or are no multiple of 16.
pub(super) fn apply_outputs(
    source: &[f32],
    from: &Places<6>,
    target: SharedOutput,
    to: &Places<4>,
    channels: usize,
    finish: &TileFinish<'_>,
) {
    assert_eq!(channels % 16, 0, "channels of whole vectors");
    for start in from.iter().flatten().flatten() {
        assert!(start + channels <= source.len(), "source of a transform");
    }
    for start in to.iter().flatten().flatten() {
        target.assert_holds(start + channels);
    }
    assert!(finish.bias.is_empty() || finish.bias.len() >= channels);
    if let Some((values, places, _)) = &finish.shortcut {
        for start in places.iter().flatten().flatten() {
            assert!(start + channels <= values.len(), "shortcut");
        }
    }
    arch().dispatch(ApplyOutputs {
        source,
        from,
        target,
        to,
        channels,
        finish,
    });
}

struct ApplyOutputs<'a> {
    source: &'a [f32],
    from: &'a Places<6>,
    target: SharedOutput,
    to: &'a Places<4>,
    channels: usize,
    finish: &'a TileFinish<'a>,
}

impl WithSimd for ApplyOutputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for channel in (0..self.channels).step_by(S::F32_LANES) {
            self.channels_from(simd, channel);
        }
    }
}

#[inline(always)]
fn added<S: Simd>(simd: S, mut sums: [S::f32s; 4], others: [S::f32s; 4]) -> [S::f32s; 4] {
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum = simd.add_f32s(*sum, other);
    }
    sums
}

impl ApplyOutputs<'_> {
    /// A vector of channels.
    #[inline(always)]
    fn channels_from<S: Simd>(&self, simd: S, channel: usize) {
        let zero = simd.splat_f32s(0.0);
        let source = self.source.as_ptr();
        let mut lines = [[zero; 6]; 4];
        for column in 0..6 {
            let mut x = [zero; 6];
            for (row, x) in x.iter_mut().enumerate() {
                if let Some(start) = self.from[row][column] {
                    // SAFETY: `apply_outputs` has checked that all channels from `start` on are
                    // there, and they are whole vectors.
                    #[allow(unsafe_code)]
                    let numbers = unsafe { load(simd, source.add(start + channel)) };
                    *x = numbers;
                }
            }
            for (line, value) in lines.iter_mut().zip(Outputs::line(simd, x)) {
                line[column] = value;
            }
        }
        let bias = match self.finish.bias {
            [] => zero,
            bias => simd.partial_load_f32s(&bias[channel..channel + S::F32_LANES]),
        };
        for (row, line) in lines.into_iter().enumerate() {
            // A loop: what a closure calls is not compiled for this instruction set.
            let mut sums = Outputs::line(simd, line);
            for sum in &mut sums {
                *sum = simd.add_f32s(*sum, bias);
            }
            self.write(simd, row, channel, sums);
        }
    }

    #[inline(always)]
    fn write<S: Simd>(&self, simd: S, row: usize, channel: usize, sums: [S::f32s; 4]) {
        let function = self.finish.function;
        let [sums] = match &self.finish.shortcut {
            None => apply_to_vectors(simd, function, [sums]),
            Some((values, places, order)) => {
                let mut others = [simd.splat_f32s(0.0); 4];
                for (other, place) in others.iter_mut().zip(places[row]) {
                    if let Some(start) = place {
                        let numbers = &values[start + channel..start + channel + S::F32_LANES];
                        *other = simd.partial_load_f32s(numbers);
                    }
                }
                match order {
                    Order::AddThenApply => {
                        let sums = added(simd, sums, others);
                        apply_to_vectors(simd, function, [sums])
                    }
                    Order::ApplyThenAdd => {
                        let [sums] = apply_to_vectors(simd, function, [sums]);
                        [added(simd, sums, others)]
                    }
                }
            }
        };
        for (value, to) in sums.into_iter().zip(self.to[row]) {
            if let Some(start) = to {
                // SAFETY: `apply_outputs` has checked that all channels from `start` on are there.
                #[allow(unsafe_code)]
                unsafe {
                    self.target.store(simd, start + channel, [value]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transform's matrix, from what it makes of the unit vectors.
    fn matrix<L: Line<IN, OUT>, const IN: usize, const OUT: usize>() -> [[f64; IN]; OUT] {
        let simd = pulp::Scalar::new();
        let mut matrix = [[0.0; IN]; OUT];
        for column in 0..IN {
            let mut unit = [0.0; IN];
            unit[column] = 1.0;
            for (row, value) in L::line(simd, unit).into_iter().enumerate() {
                matrix[row][column] = f64::from(value);
            }
        }
        matrix
    }

    fn product<const IN: usize, const OUT: usize>(
        m: &[[f64; IN]; OUT],
        x: &[f64; IN],
    ) -> [f64; OUT] {
        m.map(|row| row.iter().zip(x).map(|(m, x)| m * x).sum())
    }

    /// In one dimension: transform, multiply, transform back.
    #[test]
    fn four_outputs_are_the_correlation_with_three_weights() {
        let (x, w) = ([1.0, -2.0, 3.0, 5.0, -7.0, 11.0], [2.0, -1.0, 3.0]);
        let inputs = product(&matrix::<Inputs, 6, 6>(), &x);
        let weights = product(&matrix::<Weights, 3, 6>(), &w);
        let sums = std::array::from_fn(|i| inputs[i] * weights[i]);
        let found = product(&matrix::<Outputs, 6, 4>(), &sums);
        for (at, found) in found.into_iter().enumerate() {
            let expected: f64 = (0..3).map(|tap| x[at + tap] * w[tap]).sum();
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn three_weight_gradients_are_the_correlation_with_four_gradients() {
        let (x, dy) = ([1.0, -2.0, 3.0, 5.0, -7.0, 11.0], [2.0, -1.0, 3.0, 0.5]);
        let inputs = product(&matrix::<Inputs, 6, 6>(), &x);
        let gradients = product(&matrix::<Gradients, 4, 6>(), &dy);
        let sums = std::array::from_fn(|i| inputs[i] * gradients[i]);
        let found = product(&matrix::<WeightGradients, 6, 3>(), &sums);
        for (tap, found) in found.into_iter().enumerate() {
            let expected: f64 = (0..4).map(|at| x[at + tap] * dy[at]).sum();
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}
