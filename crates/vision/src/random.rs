//! Random numbers without state to save: every draw comes from a stream that is named by a seed,
//! a purpose and indices, so that a resumed run draws what an uninterrupted one would have drawn.
//!
//! The functions that turn bits into numbers are here and not taken from `rand`, whose
//! distributions may change their values between releases.

use rand::{Rng, SeedableRng};
pub use rand_pcg::Pcg64;

/// The stream of random numbers for one purpose, such as `("augment", [epoch, sample])`.
///
/// The stream's state is the BLAKE3 hash of all three, each written so that no two keys are alike.
pub fn stream(seed: u64, purpose: &str, indices: &[u64]) -> Pcg64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&(purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    for index in indices {
        hasher.update(&index.to_le_bytes());
    }
    Pcg64::from_seed(*hasher.finalize().as_bytes())
}

/// A number in `[0, 1)` with 53 random bits.
pub fn unit(rng: &mut impl Rng) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    (rng.next_u64() >> 11) as f64 * STEP
}

/// A number in `[low, high)`; `low` when the two are equal.
pub fn uniform(rng: &mut impl Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(rng)
}

/// Whether an event of this probability happens.
pub fn chance(rng: &mut impl Rng, probability: f64) -> bool {
    unit(rng) < probability
}

/// A whole number in `0..bound`, each as likely; 0 when `bound` is 0.
///
/// Multiply and reject, D. Lemire, "Fast random integer generation in an interval" (2019).
pub fn below(rng: &mut impl Rng, bound: u64) -> u64 {
    if bound == 0 {
        return 0;
    }
    let rejected = bound.wrapping_neg() % bound;
    loop {
        let product = u128::from(rng.next_u64()) * u128::from(bound);
        if product as u64 >= rejected {
            return (product >> 64) as u64;
        }
    }
}

/// A draw from the normal distribution with mean 0 and standard deviation 1 (Box–Muller).
pub fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(rng)).cos()
}

/// Puts a list in random order, each order as likely (Fisher–Yates).
pub fn shuffle(order: &mut [usize], rng: &mut impl Rng) {
    for last in (1..order.len()).rev() {
        order.swap(last, below(rng, last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_gives_the_same_stream_on_any_release() {
        let mut rng = stream(42, "augment", &[3, 7]);
        let drawn: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(drawn, GOLDEN);
    }

    const GOLDEN: [u64; 3] = [
        12_745_975_986_843_917_404,
        967_105_863_586_334_625,
        12_371_024_934_074_306_697,
    ];

    #[test]
    fn any_part_of_the_key_changes_the_stream() {
        let first = |seed, purpose, indices: &[u64]| stream(seed, purpose, indices).next_u64();
        let draws = [
            first(1, "a", &[0]),
            first(2, "a", &[0]),
            first(1, "b", &[0]),
            first(1, "a", &[1]),
            first(1, "a", &[0, 0]),
            first(1, "a", &[]),
        ];
        for (index, draw) in draws.iter().enumerate() {
            assert!(!draws[..index].contains(draw), "draw {index} repeats");
        }
    }

    #[test]
    fn draws_are_spread_as_their_distribution_says() {
        let mut rng = stream(1, "test", &[]);
        let count = 20_000;
        let mean = |sum: f64| sum / f64::from(count);
        let uniform_mean = mean((0..count).map(|_| uniform(&mut rng, 2.0, 4.0)).sum());
        assert!((uniform_mean - 3.0).abs() < 0.02, "{uniform_mean}");
        let normals: Vec<f64> = (0..count).map(|_| normal(&mut rng)).collect();
        let variance = mean(normals.iter().map(|value| value * value).sum());
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
        let mut seen = [0; 3];
        (0..count).for_each(|_| seen[below(&mut rng, 3) as usize] += 1);
        assert!(
            seen.iter().all(|&n| (6_300..7_000).contains(&n)),
            "{seen:?}"
        );
    }

    #[test]
    fn a_shuffle_keeps_every_index_once() {
        let mut order: Vec<usize> = (0..100).collect();
        shuffle(&mut order, &mut stream(5, "shuffle", &[]));
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
