//! What the machine can do: fused multiply-adds in registers, nothing else.

use std::hint::black_box;
use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};

/// Vectors in flight: enough to hide a latency of 4 or 5 cycles on two units, few enough to stay
/// in the 16 registers of AVX2.
const ACCUMULATORS: usize = 12;
const ROUNDS: usize = 2_000_000;
const REPEATS: usize = 5;

/// GFLOP/s of f32 fused multiply-adds on `threads` threads at once: the best of a few runs.
pub(crate) fn gflops(threads: usize) -> f64 {
    (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            let lanes: usize = std::thread::scope(|scope| {
                let workers: Vec<_> = (0..threads)
                    .map(|_| scope.spawn(|| Arch::new().dispatch(MultiplyAdds)))
                    .collect();
                workers
                    .into_iter()
                    .map(|worker| worker.join().unwrap())
                    .sum()
            });
            let operations = 2 * lanes * ACCUMULATORS * ROUNDS;
            operations as f64 / start.elapsed().as_secs_f64() / 1e9
        })
        .fold(0.0, f64::max)
}

/// The instruction set that [`gflops`] uses here, by `pulp`'s name: `V4` is AVX-512, `V3` AVX2.
pub(crate) fn instructions() -> String {
    let whole = format!("{:?}", Arch::new());
    whole.split('(').next().unwrap_or_default().to_string()
}

/// A loop of multiply-adds; answers the vector's lanes.
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
