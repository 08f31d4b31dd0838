//! What happens to the numbers of a layer before they are written: a shortcut is added and a
//! function of one number is applied, while they are in registers.

mod uncommon;

use pulp::{Simd, WithSimd};

use crate::instructions::arch;
use crate::math::{erf, exp, sigmoid};
pub use uncommon::Uncommon;

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Function {
    /// The number itself.
    #[default]
    Identity,
    /// The nearest number from `low` to `high`: ReLU is 0 to infinity.
    Clip {
        /// The least result.
        low: f32,
        /// The largest result.
        high: f32,
    },
    /// `x`, below zero `slope · x`.
    LeakyRelu {
        /// Slope below zero.
        slope: f32,
    },
    /// `alpha · x + beta`, clipped to 0 to 1.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at zero.
        beta: f32,
    },
    /// `x · clip(x / 6 + 1/2, 0, 1)`
    HardSwish,
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid,
    /// `x · sigmoid(x)`
    Silu,
    /// `x · Φ(x)` with the normal distribution's cumulative function
    Gelu,
    /// `x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`
    GeluTanh,
    /// The hyperbolic tangent.
    Tanh,
    /// `eˣ`
    Exp,
    /// The error function.
    Erf,
    /// The square root.
    Sqrt,
    /// `1 / x`
    Reciprocal,
    /// `−x`
    Negative,
    /// `|x|`
    Absolute,
    /// `alpha · (eˣ − 1)` below zero, `x` above.
    Elu {
        /// Limit below zero, negated.
        alpha: f32,
    },
    /// `ln(1 + eˣ)`
    Softplus,
    /// `x · tanh(ln(1 + eˣ))`
    Mish,
    /// `factor · x + offset`
    Affine {
        /// Slope.
        factor: f32,
        /// Value at zero.
        offset: f32,
    },
    /// One that few networks have.
    Uncommon(Uncommon),
}

impl Function {
    /// ReLU.
    pub const RELU: Self = Self::Clip {
        low: 0.0,
        high: f32::INFINITY,
    };

    /// The function at `x`.
    #[inline(always)]
    pub fn value(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Clip { low, high } => clip(x, low, high),
            Self::LeakyRelu { slope } => leaky_relu(x, slope),
            Self::HardSigmoid { alpha, beta } => hard_sigmoid(x, alpha, beta),
            Self::HardSwish => hard_swish(x),
            Self::Sigmoid => sigmoid(x),
            Self::Silu => silu(x),
            Self::Gelu => gelu(x),
            Self::GeluTanh => gelu_tanh(x),
            Self::Tanh => tanh(x),
            Self::Exp => exponential(x),
            Self::Erf => erf(x),
            Self::Sqrt => x.sqrt(),
            Self::Reciprocal => 1.0 / x,
            Self::Negative => -x,
            Self::Absolute => x.abs(),
            Self::Elu { alpha } => elu(x, alpha),
            Self::Softplus => softplus(x),
            Self::Mish => mish(x),
            Self::Affine { factor, offset } => factor * x + offset,
            Self::Uncommon(function) => function.value(x),
        }
    }

    /// Replaces each of `values` by the function of it.
    pub fn apply(self, values: &mut [f32]) {
        arch().dispatch(Apply {
            function: self,
            values,
        });
    }
}

struct Apply<'a> {
    function: Function,
    values: &'a mut [f32],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.function {
            Function::Silu | Function::Sigmoid | Function::HardSwish => {
                let (vectors, rest) = S::as_mut_simd_f32s(self.values);
                for vector in vectors {
                    [[*vector]] = apply_to_vectors(simd, self.function, [[*vector]]);
                }
                rest.iter_mut().for_each(|x| *x = self.function.value(*x));
            }
            _ => apply_inlined(self.function, self.values),
        }
    }
}

/// A loop of its own for each function, inlined into the caller's instruction set.
#[inline(always)]
fn apply_inlined(function: Function, values: &mut [f32]) {
    macro_rules! each {
        ($value:expr) => {
            for x in values {
                *x = $value(*x);
            }
        };
    }
    match function {
        Function::Identity => {}
        Function::Clip { low, high } => each!(|x| clip(x, low, high)),
        Function::LeakyRelu { slope } => each!(|x| leaky_relu(x, slope)),
        Function::HardSigmoid { alpha, beta } => each!(|x| hard_sigmoid(x, alpha, beta)),
        Function::HardSwish => each!(hard_swish),
        Function::Sigmoid => each!(sigmoid),
        Function::Silu => each!(silu),
        Function::Gelu => each!(gelu),
        Function::GeluTanh => each!(gelu_tanh),
        Function::Tanh => each!(tanh),
        Function::Exp => each!(exponential),
        Function::Erf => each!(erf),
        Function::Sqrt => each!(f32::sqrt),
        Function::Reciprocal => each!(|x: f32| 1.0 / x),
        Function::Negative => each!(|x: f32| -x),
        Function::Absolute => each!(f32::abs),
        Function::Elu { alpha } => each!(|x| elu(x, alpha)),
        Function::Softplus => each!(softplus),
        Function::Mish => each!(mish),
        Function::Affine { factor, offset } => each!(|x| factor * x + offset),
        Function::Uncommon(function) => each!(|x| function.value(x)),
    }
}

/// Written so that a NaN stays one.
#[inline(always)]
fn clip(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

#[inline(always)]
fn leaky_relu(x: f32, slope: f32) -> f32 {
    if x < 0.0 { slope * x } else { x }
}

#[inline(always)]
fn hard_sigmoid(x: f32, alpha: f32, beta: f32) -> f32 {
    clip(alpha * x + beta, 0.0, 1.0)
}

#[inline(always)]
fn hard_swish(x: f32) -> f32 {
    x * hard_sigmoid(x, 1.0 / 6.0, 0.5)
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    x * (0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    x * sigmoid(2.0 * SQRT_2_OVER_PI * (x + 0.044_715 * x * x * x))
}

/// By the exponential where that is exact to the last digits, near zero by the series.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    let far = 2.0 * sigmoid(2.0 * x) - 1.0;
    let square = x * x;
    let near = x * (1.0 - square * (1.0 / 3.0 - square * (2.0 / 15.0 - square * (17.0 / 315.0))));
    if square < 0.01 { near } else { far }
}

/// `eˣ` with the limits of a float: [`exp`] saturates.
#[inline(always)]
fn exponential(x: f32) -> f32 {
    let value = exp(x);
    let value = if x < -87.3 { 0.0 } else { value };
    if x > 88.3 { f32::INFINITY } else { value }
}

#[inline(always)]
fn elu(x: f32, alpha: f32) -> f32 {
    if x < 0.0 { alpha * (exp(x) - 1.0) } else { x }
}

/// Without overflow: `max(x, 0) + ln(1 + e^−|x|)`.
#[inline(always)]
fn softplus(x: f32) -> f32 {
    x.max(0.0) + exp(-x.abs()).ln_1p()
}

/// With `t = eˣ`, `tanh(ln(1 + t)) = (t² + 2t) / (t² + 2t + 2)`.
#[inline(always)]
fn mish(x: f32) -> f32 {
    let t = exp(x.min(20.0));
    let above = t * (t + 2.0);
    x * (above / (above + 2.0))
}

/// Applies a function to vectors in registers.
#[inline(always)]
pub(crate) fn apply_to_vectors<S: Simd, const V: usize, const P: usize>(
    simd: S,
    function: Function,
    sums: [[S::f32s; V]; P],
) -> [[S::f32s; V]; P] {
    match function {
        Function::Identity => sums,
        Function::Clip { low, high } => {
            let (low, high) = (simd.splat_f32s(low), simd.splat_f32s(high));
            // Loops rather than `map`, which goes through memory. The processor's minimum and maximum
            // answer with the second number if one is NaN.
            let mut clipped = sums;
            for row in &mut clipped {
                for x in row {
                    *x = simd.min_f32s(high, simd.max_f32s(low, *x));
                }
            }
            clipped
        }
        Function::Silu => {
            // Loops for the same reason.
            let mut result = sums;
            for row in &mut result {
                for x in row {
                    *x = simd.div_f32s(*x, one_plus_exp_of_negative(simd, *x));
                }
            }
            result
        }
        Function::Sigmoid => {
            let one = simd.splat_f32s(1.0);
            let mut result = sums;
            for row in &mut result {
                for x in row {
                    *x = simd.div_f32s(one, one_plus_exp_of_negative(simd, *x));
                }
            }
            result
        }
        Function::HardSwish => {
            let (sixth, half) = (simd.splat_f32s(1.0 / 6.0), simd.splat_f32s(0.5));
            let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
            let mut result = sums;
            for row in &mut result {
                for x in row {
                    let gate = simd.mul_add_e_f32s(*x, sixth, half);
                    *x = simd.mul_f32s(*x, simd.min_f32s(one, simd.max_f32s(zero, gate)));
                }
            }
            result
        }
        _ => {
            // A copy: numbers whose address is taken do not stay in registers.
            let mut copy = sums;
            let lanes = pulp::bytemuck::cast_slice_mut::<S::f32s, f32>(copy.as_flattened_mut());
            apply_inlined(function, lanes);
            copy
        }
    }
}

/// `2ᶠ − 1` for `f` from −1/2 to 1/2 as a polynomial without its constant, highest power first: the
/// relative error of `2ᶠ` is at most 9.2e-8 (least squares with weights raised where the error is
/// largest, Lawson 1961).
const POWER_OF_TWO: [f32; 5] = [
    0.001_326_472_7,
    0.009_671_513,
    0.055_507_336,
    0.240_222_42,
    0.693_147_003_65_f64 as f32,
];

/// `1 + e⁻ˣ` within 3e-7 of itself; from 87 on in either direction that of 87. Fewer steps than
/// [`exp`] has: what is lost far from zero is lost beside the one.
#[inline(always)]
fn one_plus_exp_of_negative<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// Adding it leaves the nearest whole number in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let minus_log2_e = simd.splat_f32s(-std::f32::consts::LOG2_E);
    let (round, one) = (simd.splat_f32s(ROUND), simd.splat_f32s(1.0));
    // The second number is the result where one is NaN.
    let x = simd.max_f32s(simd.splat_f32s(-87.0), x);
    let x = simd.min_f32s(simd.splat_f32s(87.0), x);
    let shifted = simd.mul_add_e_f32s(x, minus_log2_e, round);
    let fraction = simd.mul_add_e_f32s(x, minus_log2_e, simd.sub_f32s(round, shifted));
    let mut power = simd.splat_f32s(POWER_OF_TWO[0]);
    for coefficient in &POWER_OF_TWO[1..] {
        power = simd.mul_add_e_f32s(power, fraction, simd.splat_f32s(*coefficient));
    }
    power = simd.mul_add_e_f32s(power, fraction, one);
    // The low bits of `shifted` go to the exponent.
    let whole = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let power = simd.add_u32s(simd.transmute_u32s_f32s(power), whole);
    simd.add_f32s(simd.transmute_f32s_u32s(power), one)
}

/// When the shortcut is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `function(sum + shortcut)`, as in residual networks.
    AddThenApply,
    /// `function(sum) + shortcut`
    ApplyThenAdd,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function as its paper or ONNX writes it.
    type Formula = fn(f64) -> f64;

    #[test]
    fn functions_are_those_of_the_formulas() {
        let checks: [(Function, Formula); 13] = [
            (Function::RELU, |x| x.max(0.0)),
            (Function::LeakyRelu { slope: 0.1 }, |x| {
                if x < 0.0 { 0.1 * x } else { x }
            }),
            (
                Function::HardSigmoid {
                    alpha: 0.2,
                    beta: 0.5,
                },
                |x| (0.2 * x + 0.5).clamp(0.0, 1.0),
            ),
            (Function::HardSwish, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
            (Function::Sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            (Function::Silu, |x| x / (1.0 + (-x).exp())),
            (Function::GeluTanh, |x| {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }),
            (Function::Tanh, f64::tanh),
            (Function::Exp, f64::exp),
            (Function::Elu { alpha: 1.5 }, |x| {
                if x < 0.0 { 1.5 * (x.exp() - 1.0) } else { x }
            }),
            (Function::Softplus, |x| x.exp().ln_1p()),
            (Function::Mish, |x| x * x.exp().ln_1p().tanh()),
            (
                Function::Affine {
                    factor: 2.0,
                    offset: -1.0,
                },
                |x| 2.0 * x - 1.0,
            ),
        ];
        let inputs: Vec<f32> = (-800..=800).map(|i| i as f32 * 0.01).collect();
        for (function, expected) in checks {
            let mut values = inputs.clone();
            function.apply(&mut values);
            for (x, y) in inputs.iter().zip(values) {
                let expected = expected(f64::from(*x));
                let error = (f64::from(y) - expected).abs();
                assert!(
                    error < 2e-6 * (1.0 + expected.abs()),
                    "{function:?} {x}: {y} {expected}"
                );
                let one = f64::from(function.value(*x));
                assert!((one - f64::from(y)).abs() < 1e-6 * (1.0 + expected.abs()));
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for function in [Function::RELU, Function::HardSwish, Function::Silu] {
            let mut values = [f32::NAN; 20];
            function.apply(&mut values);
            assert!(values.iter().all(|x| x.is_nan()), "{function:?}");
        }
    }
}
