//! The inner loop of every convolution: sums of products for a few pixels and a panel of channels.
//!
//! Sums stay in registers over a whole inner loop. Weights lie in panels of [`PANEL`] channels,
//! `[inner][PANEL]`, so that a step of the loop reads one row of a panel and one number for each
//! pixel.

use pulp::{Simd, WithSimd};

use super::shared_output::SharedOutput;
use crate::finish::{Function, Order, apply_to_vectors};
use crate::instructions::arch;

/// Channels that lie side by side in packed weights.
pub(super) const PANEL: usize = 32;

/// Consecutive inputs under a window: the `len` numbers from `input` on, relative to the pixel,
/// meet the rows of the panel from `weight` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) input: isize,
    pub(super) weight: usize,
    pub(super) len: usize,
}

/// What happens to sums before they are written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Finish<'a> {
    pub(super) function: Function,
    pub(super) shortcut: Option<Shortcut<'a>>,
}

/// Numbers that are added to sums.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shortcut<'a> {
    pub(super) values: &'a [f32],
    /// Where each pixel's numbers begin; the first wanted channel's is as far behind as in the
    /// output.
    pub(super) places: &'a [usize],
    pub(super) order: Order,
}

/// What [`correlate`] computes: for each pixel and channel, the sum over the runs of input times
/// weight, and the bias.
#[derive(Debug, Clone, Copy)]
pub(super) struct Products<'a> {
    pub(super) input: &'a [f32],
    /// Where each pixel's window begins in the input; runs are relative to it.
    pub(super) pixels: &'a [isize],
    pub(super) runs: &'a [Run],
    /// `[inner][PANEL]`
    pub(super) panel: &'a [f32],
    /// `[PANEL]`
    pub(super) bias: Option<&'a [f32]>,
    /// Channels of the panel that are wanted, the first ones.
    pub(super) channels: usize,
    /// Where each pixel lies in the output.
    pub(super) places: &'a [usize],
    /// From there to the first wanted channel.
    pub(super) first_channel: usize,
    pub(super) finish: Finish<'a>,
}

impl Products<'_> {
    /// Whether every index that the loops make lies in its slice.
    fn assert_in_bounds(&self, output: SharedOutput) {
        assert_eq!(self.pixels.len(), self.places.len(), "pixels and places");
        assert!(self.channels <= PANEL, "channels of a panel");
        assert!(self.bias.is_none_or(|bias| bias.len() == PANEL), "bias");
        let (Some(low), Some(high)) = (self.pixels.iter().min(), self.pixels.iter().max()) else {
            return;
        };
        for run in self.runs {
            let end = high + run.input + run.len as isize;
            assert!(low + run.input >= 0, "a run begins before the input");
            assert!(
                end <= self.input.len() as isize,
                "a run ends after the input"
            );
            assert!(
                (run.weight + run.len) * PANEL <= self.panel.len(),
                "weights"
            );
        }
        let last = self.places.iter().max().copied().unwrap_or_default();
        assert!(
            last + self.first_channel + self.channels <= output.len(),
            "output"
        );
        if let Some(shortcut) = self.finish.shortcut {
            assert_eq!(shortcut.places.len(), self.places.len(), "shortcut");
            let last = shortcut.places.iter().max().copied().unwrap_or_default();
            let end = last + self.first_channel + self.channels;
            assert!(end <= shortcut.values.len(), "shortcut");
        }
    }
}

/// Writes [`Products`] to `output`.
///
/// The same sums are taken in the same order for every pixel, however pixels are grouped.
///
/// # Panics
/// An index reaches past its slice.
pub(super) fn correlate(products: &Products<'_>, output: SharedOutput) {
    products.assert_in_bounds(output);
    arch().dispatch(Correlate { products, output });
}

struct Correlate<'a> {
    products: &'a Products<'a>,
    output: SharedOutput,
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.columns(simd, 12),
            8 => self.columns(simd, 6),
            _ => self.scalar(),
        }
    }
}

/// How many of `left` are worked on at a time, at most `most`: one of the sizes that
/// [`with_constant`] has code for.
#[inline(always)]
pub(super) fn tile_size(left: usize, most: usize) -> usize {
    match left.min(most) {
        12.. => 12,
        9.. => 9,
        8 => 8,
        6.. => 6,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// Calls a function with its second constant equal to `$size`, a [`tile_size`].
macro_rules! with_constant {
    ($size:expr, $function:ident::<$simd:ty, _, $vectors:tt>($($argument:expr),*)) => {
        match $size {
            12 => $function::<$simd, 12, $vectors>($($argument),*),
            9 => $function::<$simd, 9, $vectors>($($argument),*),
            8 => $function::<$simd, 8, $vectors>($($argument),*),
            6 => $function::<$simd, 6, $vectors>($($argument),*),
            4 => $function::<$simd, 4, $vectors>($($argument),*),
            2 => $function::<$simd, 2, $vectors>($($argument),*),
            _ => $function::<$simd, 1, $vectors>($($argument),*),
        }
    };
}

pub(super) use with_constant;

impl Correlate<'_> {
    /// All pixels, `most` at a time.
    #[inline(always)]
    fn columns<S: Simd>(&self, simd: S, most: usize) {
        let count = self.products.pixels.len();
        let mut column = 0;
        while column < self.products.channels {
            let two = self.products.channels - column > S::F32_LANES;
            let mut first = 0;
            while first < count {
                let size = tile_size(count - first, most);
                if two {
                    with_constant!(size, correlate_tile::<S, _, 2>(simd, self, first, column));
                } else {
                    with_constant!(size, correlate_tile::<S, _, 1>(simd, self, first, column));
                }
                first += size;
            }
            column += S::F32_LANES * if two { 2 } else { 1 };
        }
    }

    /// The twin without vectors of its own.
    fn scalar(&self) {
        let products = self.products;
        for (number, (pixel, place)) in products.pixels.iter().zip(products.places).enumerate() {
            let mut sums = [0.0; PANEL];
            if let Some(bias) = products.bias {
                sums.copy_from_slice(bias);
            }
            for run in products.runs {
                let start = (pixel + run.input) as usize;
                let weights = products.panel[run.weight * PANEL..].chunks_exact(PANEL);
                for (value, weights) in products.input[start..start + run.len].iter().zip(weights) {
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum += value * weight;
                    }
                }
            }
            self.finish_scalar(number, &mut sums[..products.channels]);
            let place = place + products.first_channel;
            for (channel, sum) in sums[..products.channels].iter().enumerate() {
                // SAFETY: `place + channels` is at most the output's length (`assert_in_bounds`).
                #[allow(unsafe_code)]
                unsafe {
                    self.output
                        .store(pulp::Scalar::new(), place + channel, [*sum]);
                }
            }
        }
    }
}

impl Correlate<'_> {
    /// The sums of pixel number `number`, finished.
    fn finish_scalar(&self, number: usize, sums: &mut [f32]) {
        let finish = self.products.finish;
        let shortcut = finish.shortcut.map(|shortcut| {
            let start = shortcut.places[number] + self.products.first_channel;
            (shortcut.order, &shortcut.values[start..start + sums.len()])
        });
        for (channel, sum) in sums.iter_mut().enumerate() {
            *sum = match shortcut {
                None => finish.function.value(*sum),
                Some((Order::AddThenApply, values)) => {
                    finish.function.value(*sum + values[channel])
                }
                Some((Order::ApplyThenAdd, values)) => {
                    finish.function.value(*sum) + values[channel]
                }
            };
        }
    }
}

/// The sums of `P` pixels from number `first` on with the shortcut added, of which `wanted` channels
/// from `column` on are there.
#[inline(always)]
fn add_shortcut<S: Simd, const P: usize, const V: usize>(
    simd: S,
    products: &Products<'_>,
    shortcut: Shortcut<'_>,
    [first, column, wanted]: [usize; 3],
    mut sums: [[S::f32s; V]; P],
) -> [[S::f32s; V]; P] {
    for (pixel, sums) in sums.iter_mut().enumerate() {
        let start = shortcut.places[first + pixel] + products.first_channel + column;
        for (vector, sum) in sums.iter_mut().enumerate() {
            let from = (vector * S::F32_LANES).min(wanted);
            let to = (from + S::F32_LANES).min(wanted);
            let numbers = &shortcut.values[start + from..start + to];
            *sum = simd.add_f32s(*sum, simd.partial_load_f32s(numbers));
        }
    }
    sums
}

/// `P` pixels from number `first` on, `V` vectors of channels from `column` on.
#[inline(always)]
fn correlate_tile<S: Simd, const P: usize, const V: usize>(
    simd: S,
    task: &Correlate<'_>,
    first: usize,
    column: usize,
) {
    let products = task.products;
    let mut sums = [[simd.splat_f32s(0.0); V]; P];
    if let Some(bias) = products.bias {
        for vector in 0..V {
            let at = column + vector * S::F32_LANES;
            let bias = simd.partial_load_f32s(&bias[at..at + S::F32_LANES]);
            sums.iter_mut().for_each(|sums| sums[vector] = bias);
        }
    }
    let input = products.input.as_ptr();
    for run in products.runs {
        // SAFETY: for every pixel, `pixel + run.input` is at least zero and the run from there
        // on ends within the input; the rows `run.weight .. run.weight + run.len` lie in the
        // panel, and `column` plus V vectors is at most a panel's row (`assert_in_bounds`).
        #[allow(unsafe_code)]
        unsafe {
            let mut inputs = [input; P];
            for (pixel, start) in inputs.iter_mut().enumerate() {
                *start = input.offset(products.pixels[first + pixel] + run.input);
            }
            let mut weights = products.panel.as_ptr().add(run.weight * PANEL + column);
            for step in 0..run.len {
                let mut row = [simd.splat_f32s(0.0); V];
                for (vector, row) in row.iter_mut().enumerate() {
                    *row = load(simd, weights.add(vector * S::F32_LANES));
                }
                for (sums, start) in sums.iter_mut().zip(inputs) {
                    let value = simd.splat_f32s(*start.add(step));
                    for (sum, weights) in sums.iter_mut().zip(row) {
                        *sum = simd.mul_add_e_f32s(value, weights, *sum);
                    }
                }
                weights = weights.wrapping_add(PANEL);
            }
        }
    }
    let wanted = (products.channels - column).min(V * S::F32_LANES);
    let at = [first, column, wanted];
    let sums = match products.finish.shortcut {
        None => apply_to_vectors(simd, products.finish.function, sums),
        Some(shortcut) => match shortcut.order {
            Order::AddThenApply => {
                let sums = add_shortcut(simd, products, shortcut, at, sums);
                apply_to_vectors(simd, products.finish.function, sums)
            }
            Order::ApplyThenAdd => {
                let sums = apply_to_vectors(simd, products.finish.function, sums);
                add_shortcut(simd, products, shortcut, at, sums)
            }
        },
    };
    let place = |pixel: usize| products.places[first + pixel] + products.first_channel + column;
    // SAFETY: the output has `column + wanted` numbers from each pixel's place on
    // (`assert_in_bounds`), and no more than V vectors are wanted.
    #[allow(unsafe_code)]
    unsafe {
        if wanted == V * S::F32_LANES {
            for (pixel, sums) in sums.into_iter().enumerate() {
                task.output.store(simd, place(pixel), sums);
            }
        } else {
            for (pixel, sums) in sums.into_iter().enumerate() {
                task.output.store_part(simd, place(pixel), wanted, sums);
            }
        }
    }
}

/// A vector from memory of any alignment.
///
/// # Safety
/// `S::F32_LANES` numbers can be read from `start` on.
#[allow(unsafe_code)]
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(_: S, start: *const f32) -> S::f32s {
    // SAFETY: as the caller promises; any bits are a vector of numbers.
    unsafe { start.cast::<S::f32s>().read_unaligned() }
}

#[cfg(test)]
pub(super) mod tests {
    use pulp::Arch;

    use super::*;

    /// The instruction sets of this machine, the plain one first.
    pub(in crate::convolution) fn architectures() -> Vec<Arch> {
        let mut found = vec![Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            found.extend(pulp::x86::V3::try_new().map(Arch::V3));
            found.extend(pulp::x86::V4::try_new().map(Arch::V4));
        }
        found
    }

    pub(in crate::convolution) fn numbers(len: usize) -> Vec<f32> {
        (0..len)
            .map(|index| ((index * 7919) % 64) as f32 / 32.0 - 1.0)
            .collect()
    }

    /// Small multiples of a power of two: sums are exact, whatever their order.
    #[test]
    fn every_instruction_set_gives_the_sums_of_the_scalar_twin() {
        let (input, panel, bias) = (numbers(400), numbers(40 * PANEL), numbers(PANEL));
        let run = |input, weight, len| Run { input, weight, len };
        for (pixels, channels) in [(1, 32), (7, 32), (12, 17), (25, 16), (30, 5)] {
            let windows: Vec<isize> = (0..pixels).map(|pixel| 3 + 5 * pixel).collect();
            let places: Vec<usize> = (0..windows.len()).map(|pixel| pixel * 40).collect();
            let products = Products {
                input: &input,
                pixels: &windows,
                runs: &[run(-3, 2, 9), run(100, 20, 20)],
                panel: &panel,
                bias: Some(&bias),
                channels,
                places: &places,
                first_channel: 4,
                finish: Finish::default(),
            };
            let results = architectures().into_iter().map(|arch| {
                let mut output = vec![9.0; 40 * windows.len()];
                // SAFETY: only this thread writes, and `output` is not touched meanwhile.
                #[allow(unsafe_code)]
                let shared = unsafe { SharedOutput::new(&mut output) };
                products.assert_in_bounds(shared);
                arch.dispatch(Correlate {
                    products: &products,
                    output: shared,
                });
                output
            });
            assert_all_equal(&results.collect::<Vec<_>>());
        }
    }

    pub(in crate::convolution) fn assert_all_equal(results: &[Vec<f32>]) {
        for pair in results.windows(2) {
            assert_eq!(pair[0], pair[1]);
        }
    }

    #[test]
    #[should_panic(expected = "ends after the input")]
    fn a_run_past_the_input_is_refused() {
        let mut output = [0.0; PANEL];
        let products = Products {
            input: &[0.0; 8],
            pixels: &[0],
            runs: &[Run {
                input: 0,
                weight: 0,
                len: 9,
            }],
            panel: &[0.0; 9 * PANEL],
            bias: None,
            channels: PANEL,
            places: &[0],
            first_channel: 0,
            finish: Finish::default(),
        };
        // SAFETY: only this thread writes, and `output` is not touched meanwhile.
        #[allow(unsafe_code)]
        let shared = unsafe { SharedOutput::new(&mut output) };
        correlate(&products, shared);
    }
}
