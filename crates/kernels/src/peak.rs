//! What the machine can do: fused multiply-adds in registers, nothing else.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

use pulp::{Simd, WithSimd};

use crate::instructions::arch;

/// Vectors in flight: enough to hide a latency of 4 or 5 cycles on two units, few enough to stay
/// in the 16 registers of AVX2.
const ACCUMULATORS: usize = 12;

/// Rounds over the accumulators in one try: some 4 ms.
const ROUNDS: usize = 2_000_000;

/// Tries, of which the best counts.
const TRIES: usize = 5;

/// Fused multiply-adds of 32-bit floats that `threads` threads reach at once, as 10⁹ floating-point
/// operations in a second, a multiply-add as two: the best of a few tries of some milliseconds.
///
/// `clock` tells the time since any moment that stays the same.
pub fn gflops_per_second(threads: NonZeroUsize, clock: impl Fn() -> Duration) -> f64 {
    let tries = (0..TRIES).map(|_| {
        let started = clock();
        let operations = multiply_adds(threads.get());
        let nanoseconds = (clock() - started).as_secs_f64() * 1e9;
        operations as f64 / nanoseconds.max(1.0)
    });
    tries.fold(0.0, f64::max)
}

/// Computes on all threads at once; answers with the operations.
fn multiply_adds(threads: usize) -> usize {
    let lanes = || arch().dispatch(MultiplyAdds);
    let all_lanes: usize = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(lanes)).collect();
        let own = lanes();
        let others = others.into_iter().filter_map(|other| other.join().ok());
        own + others.sum::<usize>()
    });
    2 * all_lanes * ACCUMULATORS * ROUNDS
}

/// A loop of multiply-adds; answers with the lanes of a vector.
struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let factor = simd.splat_f32s(black_box(0.999));
        let addend = simd.splat_f32s(black_box(0.001));
        let mut sums = [simd.splat_f32s(black_box(1.0)); ACCUMULATORS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, addend);
            }
        }
        for sum in sums {
            black_box(simd.reduce_sum_f32s(sum));
        }
        size_of::<S::f32s>() / size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn the_best_try_counts() {
        // A clock on which the tries take 8, 2, 4, 6 and 10 ms.
        let times = [0, 8, 8, 10, 10, 14, 14, 20, 20, 30];
        let reads = Cell::new(0);
        let clock = || {
            reads.set(reads.get() + 1);
            Duration::from_millis(times[reads.get() - 1])
        };
        let best = gflops_per_second(NonZeroUsize::MIN, clock);
        let lanes = arch().dispatch(MultiplyAdds);
        let expected = (2 * lanes * ACCUMULATORS * ROUNDS) as f64 / 2e6;
        assert!((best / expected - 1.0).abs() < 1e-9, "{best}");
    }
}
