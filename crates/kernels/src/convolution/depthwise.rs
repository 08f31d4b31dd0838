//! Depth-wise convolution: each channel has a kernel of its own, so there are no products of
//! matrices, only sums over the taps for many channels at a time.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::instructions::arch;
use rayon::prelude::*;

use super::Convolution;
use super::correlation::{BandMoments, Correlation, Pixels, Source};
use super::shared_output::SharedOutput;
use super::tile::{load, tile_size, with_constant};

/// Pieces of the batch whose gradients by the weight are summed apart.
const PIECES: usize = 8;

/// Taps whose gradients stay in registers at a time.
const TAPS_AT_ONCE: usize = 12;

/// From `[channels][taps]` to `[taps, channels]` of the taps asked for.
pub(super) fn by_tap(weight: &[f32], all_taps: usize, taps: &[usize]) -> Vec<f32> {
    taps.iter()
        .flat_map(|tap| weight.iter().skip(*tap).step_by(all_taps))
        .copied()
        .collect()
}

/// Writes the correlation of `input` with `weight` (`[taps, channels]`), plus `bias`, to `output`.
/// Answers with the moments of the output if it `measures` them.
pub(super) fn run(
    shape: &Correlation,
    input: Pixels<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
    measures: bool,
) -> BandMoments {
    assert_eq!(weight.len(), shape.taps() * shape.in_channels, "weights");
    assert!(
        bias.is_none_or(|bias| bias.len() == shape.in_channels),
        "bias"
    );
    // SAFETY: each point is written by one thread, that of its band, and `output` is used for
    // nothing else.
    #[allow(unsafe_code)]
    let output = unsafe { SharedOutput::new(output) };
    let band = |(image, rows): (usize, Range<usize>)| {
        shape.with_band(input, image, rows.clone(), |source, start| {
            for (row, y) in rows.clone().enumerate() {
                let pixel = start + row * shape.stride[0] * source.row_len;
                let place = shape.place(image, y, 0);
                sum_row(shape, source, weight, bias, [pixel, place], output);
            }
        });
        // SAFETY: this call has written the band, which is no other call's.
        #[allow(unsafe_code)]
        let moments = || unsafe { shape.band_moments(image, rows.clone(), output) };
        (measures && shape.is_dense()).then(moments)
    };
    // All bands, before it is asked whether they were measured.
    let moments: Vec<_> = shape.bands().into_par_iter().map(band).collect();
    moments.into_iter().collect()
}

/// A row of outputs: `[pixel, place]` is where the first one's window begins in the source, and
/// where it lies in the output.
fn sum_row(
    shape: &Correlation,
    source: Source<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
    [pixel, place]: [usize; 2],
    output: SharedOutput,
) {
    let row = Row {
        source: source.values,
        pixel,
        pixel_step: shape.stride[1] * shape.in_channels,
        taps: &tap_offsets(shape, source.row_len),
        weight,
        bias,
        channels: shape.in_channels,
        count: shape.grid[1],
        place,
        place_step: shape.step[1] * shape.out_channels,
        output,
    };
    row.assert_in_bounds();
    arch().dispatch(row);
}

/// Where each tap lies, relative to the window's beginning.
fn tap_offsets(shape: &Correlation, row_len: usize) -> Vec<usize> {
    (0..shape.taps())
        .map(|tap| {
            let (y, x) = (tap / shape.kernel[1], tap % shape.kernel[1]);
            y * shape.dilation[0] * row_len + x * shape.dilation[1] * shape.in_channels
        })
        .collect()
}

#[derive(Clone, Copy)]
struct Row<'a> {
    source: &'a [f32],
    pixel: usize,
    pixel_step: usize,
    taps: &'a [usize],
    /// `[taps, channels]`
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    channels: usize,
    count: usize,
    place: usize,
    place_step: usize,
    output: SharedOutput,
}

impl Row<'_> {
    fn assert_in_bounds(&self) {
        let last = self.count - 1;
        let reach = self.taps.iter().max().copied().unwrap_or_default();
        let end = self.pixel + last * self.pixel_step + reach + self.channels;
        assert!(end <= self.source.len(), "a window ends after the input");
        self.output
            .assert_holds(self.place + last * self.place_step + self.channels);
        assert_eq!(self.weight.len(), self.taps.len() * self.channels);
    }
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let whole = self.channels / S::F32_LANES * S::F32_LANES;
        let mut channel = 0;
        while channel < whole {
            let two = whole - channel >= 2 * S::F32_LANES;
            let mut first = 0;
            while first < self.count {
                let pixels = tile_size(self.count - first, 6);
                if two {
                    with_constant!(pixels, sum_tile::<S, _, 2>(simd, &self, first, channel));
                } else {
                    with_constant!(pixels, sum_tile::<S, _, 1>(simd, &self, first, channel));
                }
                first += pixels;
            }
            channel += S::F32_LANES * if two { 2 } else { 1 };
        }
        for channel in whole..self.channels {
            (0..self.count).for_each(|number| self.sum_one(number, channel));
        }
    }
}

impl Row<'_> {
    /// One channel of one pixel.
    #[inline(always)]
    fn sum_one(&self, number: usize, channel: usize) {
        let mut sum = self.bias.map_or(0.0, |bias| bias[channel]);
        for (tap, offset) in self.taps.iter().enumerate() {
            let at = self.pixel + number * self.pixel_step + offset + channel;
            sum += self.source[at] * self.weight[tap * self.channels + channel];
        }
        // SAFETY: the place and all its channels are in the output (`assert_in_bounds`).
        #[allow(unsafe_code)]
        unsafe {
            let place = self.place + number * self.place_step + channel;
            self.output.store(pulp::Scalar::new(), place, [sum]);
        }
    }
}

/// `P` pixels from number `first` on, `V` vectors of channels from `channel` on.
#[inline(always)]
fn sum_tile<S: Simd, const P: usize, const V: usize>(
    simd: S,
    row: &Row<'_>,
    first: usize,
    channel: usize,
) {
    let mut sums = [[simd.splat_f32s(0.0); V]; P];
    if let Some(bias) = row.bias {
        for vector in 0..V {
            let start = channel + vector * S::F32_LANES;
            let bias = simd.partial_load_f32s(&bias[start..start + S::F32_LANES]);
            sums.iter_mut().for_each(|sums| sums[vector] = bias);
        }
    }
    // SAFETY: all channels of every tap of every pixel are in the source, all weights are there,
    // and so are the places in the output (`assert_in_bounds`).
    #[allow(unsafe_code)]
    unsafe {
        let window = row
            .source
            .as_ptr()
            .add(row.pixel + first * row.pixel_step + channel);
        let mut weights = row.weight.as_ptr().add(channel);
        for offset in row.taps {
            let input = window.add(*offset);
            for vector in 0..V {
                let weight = load(simd, weights.add(vector * S::F32_LANES));
                for (pixel, sums) in sums.iter_mut().enumerate() {
                    let input = input.add(pixel * row.pixel_step + vector * S::F32_LANES);
                    sums[vector] = simd.mul_add_e_f32s(load(simd, input), weight, sums[vector]);
                }
            }
            weights = weights.wrapping_add(row.channels);
        }
        for (pixel, sums) in sums.into_iter().enumerate() {
            let place = row.place + (first + pixel) * row.place_step + channel;
            row.output.store(simd, place, sums);
        }
    }
}

/// `target ← gradient by the weight`, `[channels][taps]`.
pub(super) fn backward_weight(
    shape: &Convolution,
    input: Pixels<'_>,
    gradient: &[f32],
    target: &mut [f32],
) {
    let correlation = shape.correlation();
    let bands = correlation.bands();
    let partial: Vec<Vec<f32>> = (0..PIECES)
        .into_par_iter()
        .map(|piece| {
            let part = bands.len() * piece / PIECES..bands.len() * (piece + 1) / PIECES;
            let mut sums = vec![0.0; shape.taps() * shape.in_channels];
            for (image, rows) in &bands[part] {
                add_band(
                    &correlation,
                    input,
                    gradient,
                    *image,
                    rows.clone(),
                    &mut sums,
                );
            }
            sums
        })
        .collect();
    target.fill(0.0);
    for sums in partial {
        for (tap, sums) in sums.chunks_exact(shape.in_channels).enumerate() {
            let targets = target[tap..].iter_mut().step_by(shape.taps());
            targets.zip(sums).for_each(|(target, sum)| *target += sum);
        }
    }
}

fn add_band(
    shape: &Correlation,
    input: Pixels<'_>,
    gradient: &[f32],
    image: usize,
    rows: Range<usize>,
    sums: &mut [f32],
) {
    shape.with_band(input, image, rows.clone(), |source, start| {
        let taps = tap_offsets(shape, source.row_len);
        let mut first = 0;
        while first < taps.len() {
            let taps = &taps[first..][..tile_size(taps.len() - first, TAPS_AT_ONCE)];
            let sums_from = first * shape.in_channels;
            first += taps.len();
            let band = Band {
                source: source.values,
                start,
                row_step: shape.stride[0] * source.row_len,
                pixel_step: shape.stride[1] * shape.in_channels,
                taps,
                gradient: &gradient[shape.place(image, rows.start, 0)..],
                channels: shape.in_channels,
                rows: rows.len(),
                columns: shape.grid[1],
                sums: &mut sums[sums_from..][..taps.len() * shape.in_channels],
            };
            band.assert_in_bounds();
            arch().dispatch(band);
        }
    });
}

/// Sums of input times gradient over the pixels of a band, for a few taps.
struct Band<'a> {
    source: &'a [f32],
    start: usize,
    row_step: usize,
    pixel_step: usize,
    taps: &'a [usize],
    /// From the band's first pixel on, `[rows, columns, channels]`.
    gradient: &'a [f32],
    channels: usize,
    rows: usize,
    columns: usize,
    /// `[taps, channels]`
    sums: &'a mut [f32],
}

impl Band<'_> {
    fn assert_in_bounds(&self) {
        let reach = self.taps.iter().max().copied().unwrap_or_default() + self.channels;
        let last = (self.rows - 1) * self.row_step + (self.columns - 1) * self.pixel_step;
        assert!(self.start + last + reach <= self.source.len(), "input");
        assert!(
            self.rows * self.columns * self.channels <= self.gradient.len(),
            "gradient"
        );
        assert_eq!(self.sums.len(), self.taps.len() * self.channels, "sums");
    }
}

impl WithSimd for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let whole = self.channels / S::F32_LANES * S::F32_LANES;
        for channel in (0..whole).step_by(S::F32_LANES) {
            let taps = self.taps.len();
            with_constant!(taps, add_tile::<S, _, 1>(simd, &mut self, channel));
        }
        for channel in whole..self.channels {
            for tap in 0..self.taps.len() {
                self.add_one(tap, channel);
            }
        }
    }
}

impl Band<'_> {
    /// One channel of one tap.
    #[inline(always)]
    fn add_one(&mut self, tap: usize, channel: usize) {
        let mut sum = 0.0;
        for row in 0..self.rows {
            for column in 0..self.columns {
                let pixel = self.start + row * self.row_step + column * self.pixel_step;
                let gradient = (row * self.columns + column) * self.channels + channel;
                sum += self.source[pixel + self.taps[tap] + channel] * self.gradient[gradient];
            }
        }
        self.sums[tap * self.channels + channel] += sum;
    }
}

/// `T` taps, `V` vectors of channels from `channel` on.
#[inline(always)]
fn add_tile<S: Simd, const T: usize, const V: usize>(simd: S, band: &mut Band<'_>, channel: usize) {
    let mut sums = [[simd.splat_f32s(0.0); V]; T];
    // SAFETY: all channels of every tap of every pixel are in the source, and those of every
    // pixel's gradient in the gradient (`assert_in_bounds`).
    #[allow(unsafe_code)]
    unsafe {
        let mut gradient = band.gradient.as_ptr().add(channel);
        for row in 0..band.rows {
            let start = band.start + row * band.row_step + channel;
            let mut window = band.source.as_ptr().add(start);
            for _ in 0..band.columns {
                for vector in 0..V {
                    let offset = vector * S::F32_LANES;
                    let gradient = load(simd, gradient.add(offset));
                    for (tap, sums) in band.taps.iter().zip(&mut sums) {
                        let input = load(simd, window.add(tap + offset));
                        sums[vector] = simd.mul_add_e_f32s(input, gradient, sums[vector]);
                    }
                }
                window = window.wrapping_add(band.pixel_step);
                gradient = gradient.wrapping_add(band.channels);
            }
        }
    }
    for (tap, sums) in sums.into_iter().enumerate() {
        for (vector, sum) in sums.into_iter().enumerate() {
            let start = tap * band.channels + channel + vector * S::F32_LANES;
            let target = &mut band.sums[start..start + S::F32_LANES];
            let total = simd.add_f32s(simd.partial_load_f32s(target), sum);
            simd.partial_store_f32s(target, total);
        }
    }
}
