//! Transcendental functions without branches or calls, so that loops over them become vectors.

const LOG2_E: f32 = std::f32::consts::LOG2_E;

/// `ln 2` in two parts: the first has so few digits that its product with a small whole number
/// is exact (Cody & Waite 1980).
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// `1.5 · 2²³`: adding it leaves the nearest whole number in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `eˣ` within 2 units in the last place. Saturates: below −87.3 at 1.2e-38, above 88.3 at 2.2e38;
/// NaN stays NaN. The polynomial is that of Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = x - whole * LN_2_HIGH - whole * LN_2_LOW;
    let mut sum = 1.987_569_1e-4;
    for coefficient in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_6e-1,
        0.5,
    ] {
        sum = sum * rest + coefficient;
    }
    let fraction = sum * rest * rest + rest + 1.0;
    // The low bits of `shifted` are the exponent; one is the bits of 1.0.
    let power = (shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits());
    fraction * f32::from_bits(power)
}

/// `1 / (1 + e⁻ˣ)`
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function within 5e-7: the rational approximation of Eigen's `erf` for floats.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let mut above = -2.726_142_3e-10;
    for coefficient in [
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ] {
        above = above * square + coefficient;
    }
    let mut below = -1.456_607_2e-5;
    for coefficient in [
        -2.133_740_5e-4,
        -1.682_827e-3,
        -7.373_329_2e-3,
        -1.426_473_9e-2,
    ] {
        below = below * square + coefficient;
    }
    x * above / below
}

/// The normal distribution's cumulative function, `½ · (1 + erf(x / √2))`.
#[inline(always)]
pub(crate) fn normal_cumulative(x: f32) -> f32 {
    0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2)
}

/// The normal distribution's density, `e^(−x²/2) / √(2π)`.
#[inline(always)]
pub(crate) fn normal_density(x: f32) -> f32 {
    const FRAC_1_SQRT_TAU: f32 = 0.398_942_3;
    FRAC_1_SQRT_TAU * exp(-0.5 * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_within_two_units_in_the_last_place() {
        let mut worst = 0.0_f64;
        for index in -870_000..880_000 {
            let x = index as f32 * 1e-4;
            let expected = f64::from(x).exp();
            let unit = f64::from((expected as f32).next_up()) - f64::from(expected as f32);
            worst = worst.max((f64::from(exp(x)) - expected).abs() / unit);
        }
        assert!(worst <= 2.0, "{worst}");
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-1e9) < 2e-38 && exp(1e9) > 2e38);
    }

    /// `2/√π · Σ (−1)ⁿ x²ⁿ⁺¹ / (n! (2n + 1))`
    fn series(x: f64) -> f64 {
        let (mut power, mut sum) = (x, x);
        for n in 1..200 {
            power *= -x * x / f64::from(n);
            sum += power / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn the_error_function_is_that_of_its_series() {
        for index in -3_900..=3_900 {
            let x = index as f32 * 1e-3;
            let difference = (f64::from(erf(x)) - series(f64::from(x))).abs();
            assert!(difference < 5e-7, "{x}: {difference}");
        }
        assert_eq!(erf(9.0), erf(4.0));
        assert!(erf(f32::NAN).is_nan());
    }
}
