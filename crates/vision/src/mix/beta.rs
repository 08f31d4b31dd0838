//! Draws from the beta distribution.

use crate::random::{self, Pcg64};

/// A draw from `Beta(alpha, alpha)`: the share of one of two gamma variates.
pub(super) fn symmetric(rng: &mut Pcg64, alpha: f64) -> f64 {
    // In logarithms: for a small alpha both variates are below the least f64. Below the bound the
    // logarithms would be infinite, and the shares are 0 or 1 all the same.
    let alpha = alpha.max(1e-100);
    let difference = ln_gamma_variate(rng, alpha) - ln_gamma_variate(rng, alpha);
    1.0 / (1.0 + difference.exp())
}

/// The logarithm of a draw from the gamma distribution of this shape: Marsaglia & Tsang, "A simple
/// method for generating gamma variables" (2000), for a shape below 1 with their power of a uniform.
fn ln_gamma_variate(rng: &mut Pcg64, shape: f64) -> f64 {
    if shape < 1.0 {
        let uniform = 1.0 - random::unit(rng);
        return ln_gamma_variate(rng, shape + 1.0) + uniform.ln() / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = random::normal(rng);
        let v = (1.0 + c * x).powi(3);
        let uniform = 1.0 - random::unit(rng);
        if v > 0.0 && uniform.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return (d * v).ln();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_spread_as_the_distribution_says() {
        for alpha in [0.1, 0.2, 1.0, 4.0] {
            let mut rng = random::stream(1, "test", &[]);
            let draws: Vec<f64> = (0..20_000).map(|_| symmetric(&mut rng, alpha)).collect();
            assert!(draws.iter().all(|draw| (0.0..=1.0).contains(draw)));
            let mean = draws.iter().sum::<f64>() / 20_000.0;
            let spread = draws.iter().map(|draw| (draw - 0.5).powi(2)).sum::<f64>() / 20_000.0;
            let expected = 0.25 / (2.0 * alpha + 1.0);
            assert!((mean - 0.5).abs() < 0.01, "{alpha}: mean {mean}");
            assert!(
                (spread / expected - 1.0).abs() < 0.03,
                "{alpha}: variance {spread}, expected {expected}"
            );
        }
    }

    #[test]
    fn a_tiny_alpha_gives_shares_at_both_ends() {
        let mut rng = random::stream(2, "test", &[]);
        let draws: Vec<f64> = (0..1000).map(|_| symmetric(&mut rng, 1e-9)).collect();
        let low = draws.iter().filter(|draw| **draw < 1e-6).count();
        let high = draws.iter().filter(|draw| **draw > 1.0 - 1e-6).count();
        assert_eq!(low + high, 1000);
        assert!((400..600).contains(&low), "{low}");
    }
}
