//! Functions that networks for images seldom have: computed one number at a time.

use crate::math::exp;

/// A function of one number that is not worth a loop of its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Uncommon {
    /// The natural logarithm.
    Log,
    /// The next whole number below.
    Floor,
    /// The next whole number above.
    Ceil,
    /// The nearest whole number, the even one of two.
    Round,
    /// −1, 0 or 1.
    Sign,
    /// The sine.
    Sin,
    /// The cosine.
    Cos,
    /// `gamma · x`, below zero `gamma · alpha · (eˣ − 1)`.
    Selu {
        /// Limit below zero, negated and without `gamma`.
        alpha: f32,
        /// Factor of both sides.
        gamma: f32,
    },
    /// `x`, below zero `alpha · (e^(x / alpha) − 1)`.
    Celu {
        /// Limit below zero, negated.
        alpha: f32,
    },
    /// `x / (1 + |x|)`
    Softsign,
    /// `x` above `alpha`, else 0.
    ThresholdedRelu {
        /// The threshold.
        alpha: f32,
    },
    /// `x` moved by `bias` towards zero beyond `lambda` on either side, 0 between.
    Shrink {
        /// The threshold.
        lambda: f32,
        /// The distance.
        bias: f32,
    },
    /// `x · sigmoid(alpha · x)`
    Swish {
        /// Factor within the sigmoid.
        alpha: f32,
    },
}

impl Uncommon {
    /// The function at `x`.
    #[inline(never)]
    pub fn value(self, x: f32) -> f32 {
        match self {
            Self::Log => x.ln(),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Round => x.round_ties_even(),
            Self::Sign if x == 0.0 || x.is_nan() => x,
            Self::Sign => x.signum(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Selu { alpha, gamma } if x < 0.0 => gamma * alpha * x.exp_m1(),
            Self::Selu { gamma, .. } => gamma * x,
            Self::Celu { alpha } if x < 0.0 => alpha * (x / alpha).exp_m1(),
            Self::Celu { .. } => x,
            Self::Softsign => x / (1.0 + x.abs()),
            Self::ThresholdedRelu { alpha } if x <= alpha => 0.0,
            Self::ThresholdedRelu { .. } => x,
            Self::Shrink { lambda, bias } if x < -lambda => x + bias,
            Self::Shrink { lambda, bias } if x > lambda => x - bias,
            Self::Shrink { .. } if x.is_nan() => x,
            Self::Shrink { .. } => 0.0,
            Self::Swish { alpha } => x / (1.0 + exp(-alpha * x)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function as ONNX writes it.
    type Formula = fn(f64) -> f64;

    #[test]
    fn functions_are_those_of_the_formulas() {
        let selu = Uncommon::Selu {
            alpha: 1.5,
            gamma: 2.0,
        };
        let shrink = Uncommon::Shrink {
            lambda: 1.0,
            bias: 0.5,
        };
        let checks: [(Uncommon, Formula); 10] = [
            (Uncommon::Floor, f64::floor),
            (Uncommon::Ceil, f64::ceil),
            (Uncommon::Round, f64::round_ties_even),
            (Uncommon::Sin, f64::sin),
            (selu, |x| {
                2.0 * if x < 0.0 { 1.5 * (x.exp() - 1.0) } else { x }
            }),
            (Uncommon::Celu { alpha: 2.0 }, |x| {
                x.max(0.0) + (2.0 * ((x / 2.0).exp() - 1.0)).min(0.0)
            }),
            (Uncommon::Softsign, |x| x / (1.0 + x.abs())),
            (Uncommon::ThresholdedRelu { alpha: 0.7 }, |x| {
                if x > 0.7 { x } else { 0.0 }
            }),
            (shrink, |x| match x {
                x if x < -1.0 => x + 0.5,
                x if x > 1.0 => x - 0.5,
                _ => 0.0,
            }),
            (Uncommon::Swish { alpha: 1.7 }, |x| {
                x / (1.0 + (-1.7 * x).exp())
            }),
        ];
        for (function, expected) in checks {
            for x in (-400..=400).map(|index| index as f32 / 64.0) {
                let (found, expected) = (function.value(x), expected(f64::from(x)));
                let error = (f64::from(found) - expected).abs();
                assert!(error < 2e-6 * (1.0 + expected.abs()), "{function:?} {x}");
                assert!(function.value(f32::NAN).is_nan(), "{function:?}");
            }
        }
        assert_eq!(Uncommon::Sign.value(-0.25), -1.0);
        assert_eq!(Uncommon::Sign.value(0.0), 0.0);
        assert!(Uncommon::Log.value(-1.0).is_nan());
    }
}
