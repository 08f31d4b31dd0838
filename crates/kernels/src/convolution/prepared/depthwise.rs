//! Depth-wise convolution without copies: what lies outside the image is left out of the sums.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::instructions::arch;

use super::direct::part_of;
use super::{Following, Geometry, Pieces, Prepared, View, ViewMut, Weights};
use crate::aligned::Aligned;
use crate::convolution::shared_output::SharedOutput;
use crate::convolution::tile::load;
use crate::finish::{Function, Order, apply_to_vectors};
use crate::scratch::with_scratch;
use crate::team::Team;

/// Pieces for each thread.
const PIECES_A_THREAD: usize = 4;

/// Taps of a window at most: the lists of a row lie on the stack.
pub(super) const MOST_TAPS: usize = 128;

/// From `[channels][taps]` to `[taps, channels]`.
pub(super) fn pack<E>(weights: &Weights<'_>, pieces: &Pieces<'_, E>) -> Result<Aligned, E> {
    let taps = weights.taps();
    let channels = weights.out_channels;
    assert_eq!(weights.group_inputs(), 1, "depth-wise groups");
    let mut packed = Aligned::zeros(taps * channels);
    with_scratch(taps * channels, |values| {
        (pieces.read)(0, values)?;
        for (tap, row) in packed.chunks_exact_mut(channels.max(1)).enumerate() {
            for (weight, values) in row.iter_mut().zip(values.chunks_exact(taps)) {
                *weight = values[tap];
            }
        }
        Ok(())
    })?;
    Ok(packed)
}

pub(super) fn run(
    prepared: &Prepared,
    team: &Team,
    geometry: &Geometry,
    input: View<'_>,
    following: Following<'_>,
    output: ViewMut<'_>,
) {
    let output_stride = output.pixel_stride;
    // SAFETY: each row is written by the thread of its piece alone, and the output is used for
    // nothing else.
    #[allow(unsafe_code)]
    let output = unsafe { SharedOutput::new(output.values) };
    let task = Task {
        prepared,
        geometry: *geometry,
        input,
        following,
        output,
        output_stride,
    };
    let rows = geometry.output[0];
    let bands = match team.threads() {
        1 => 1,
        threads => (threads * PIECES_A_THREAD)
            .div_ceil(geometry.batch)
            .clamp(1, rows),
    };
    team.each(geometry.batch * bands, |piece| {
        for row in part_of(rows, piece % bands, bands) {
            task.row(piece / bands, row);
        }
    });
}

struct Task<'a> {
    prepared: &'a Prepared,
    geometry: Geometry,
    input: View<'a>,
    following: Following<'a>,
    output: SharedOutput,
    output_stride: usize,
}

impl Task<'_> {
    fn row(&self, image: usize, y: usize) {
        let shape = &self.geometry;
        let rows = shape.taps_inside(0, self.prepared.kernel[0], y);
        let width = shape.output[1];
        let full = 0..self.prepared.kernel[1];
        let is_full = |x: &usize| shape.taps_inside(1, full.end, *x) == full;
        let begin = (0..width).find(is_full).unwrap_or(width);
        let end = (begin..width).rev().find(is_full).map_or(begin, |x| x + 1);
        let edges = (0..begin).chain(end..width);
        for x in edges {
            let columns = shape.taps_inside(1, full.end, x);
            self.segment(image, y, x..x + 1, [rows.clone(), columns]);
        }
        if begin < end {
            self.segment(image, y, begin..end, [rows, full]);
        }
    }

    /// Pixels of a row whose windows have the same elements in the image.
    fn segment(&self, image: usize, y: usize, pixels: Range<usize>, taps: [Range<usize>; 2]) {
        let shape = &self.geometry;
        let stride = self.input.pixel_stride;
        let mut list = [Tap::default(); MOST_TAPS];
        let count = taps[0].len() * taps[1].len();
        let kernel = self.prepared.kernel;
        assert!(count <= MOST_TAPS, "taps of a depth-wise window");
        let at = |axis: usize, point: usize, tap: usize| {
            (point * shape.stride[axis] + tap * shape.dilation[axis])
                .wrapping_sub(shape.padding[axis])
        };
        let mut taps_of_rows = taps[0]
            .clone()
            .flat_map(|y| taps[1].clone().map(move |x| (y, x)));
        for (slot, (tap_y, tap_x)) in list.iter_mut().zip(&mut taps_of_rows) {
            let (row, column) = (at(0, y, tap_y), at(1, pixels.start, tap_x));
            let pixel = (image * shape.input[0] + row) * shape.input[1] + column;
            *slot = Tap {
                input: pixel * stride,
                weight: (tap_y * kernel[1] + tap_x) * self.prepared.in_channels,
            };
        }
        let first = (image * shape.output[0] + y) * shape.output[1] + pixels.start;
        let segment = Segment {
            source: self.input.values,
            step: shape.stride[1] * stride,
            taps: &list[..count],
            columns: taps[1].len(),
            dilation: shape.dilation[1] * stride,
            weight: &self.prepared.weights,
            bias: &self.prepared.bias,
            channels: self.prepared.out_channels,
            count: pixels.len(),
            place: first * self.output_stride,
            place_step: self.output_stride,
            output: self.output,
            function: self.following.function,
            shortcut: self.following.shortcut.map(|(view, order)| {
                let stride = view.pixel_stride;
                (&view.values[first * stride..], stride, order)
            }),
        };
        segment.assert_in_bounds();
        arch().dispatch(segment);
    }
}

/// An element of the window.
#[derive(Debug, Clone, Copy, Default)]
struct Tap {
    /// Where the first pixel's input of it begins.
    input: usize,
    /// Where its weights begin.
    weight: usize,
}

struct Segment<'a> {
    source: &'a [f32],
    /// From a pixel's window to the next one's.
    step: usize,
    taps: &'a [Tap],
    /// Taps in a row of the window.
    columns: usize,
    /// From a tap to the next one in its row.
    dilation: usize,
    /// `[taps, channels]`
    weight: &'a [f32],
    bias: &'a [f32],
    channels: usize,
    count: usize,
    place: usize,
    place_step: usize,
    output: SharedOutput,
    function: Function,
    /// Numbers that are added, and from a pixel's to the next one's.
    shortcut: Option<(&'a [f32], usize, Order)>,
}

impl Segment<'_> {
    fn assert_in_bounds(&self) {
        assert!(self.count > 0, "pixels");
        let last = self.count - 1;
        for tap in self.taps {
            let end = tap.input + last * self.step + self.channels;
            assert!(end <= self.source.len(), "a window ends after the input");
            assert!(tap.weight + self.channels <= self.weight.len(), "weights");
        }
        for row in self.taps.chunks(self.columns.max(1)) {
            let follows = |pair: &[Tap]| pair[1].input == pair[0].input + self.dilation;
            assert!(row.windows(2).all(follows), "taps of a row");
        }
        self.output
            .assert_holds(self.place + last * self.place_step + self.channels);
        assert!(
            self.bias.is_empty() || self.bias.len() == self.channels,
            "bias"
        );
        if let Some((values, stride, _)) = self.shortcut {
            assert!(last * stride + self.channels <= values.len(), "shortcut");
        }
    }
}

impl WithSimd for Segment<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let whole = self.channels / S::F32_LANES * S::F32_LANES;
        // Where windows overlap pixel by pixel, an input is loaded once for all of them.
        let shares = self.step == self.dilation && !self.taps.is_empty();
        for channel in (0..whole).step_by(S::F32_LANES) {
            let mut first = 0;
            while first < self.count {
                let left = self.count - first;
                first += match (shares, self.columns) {
                    (true, 3) if left >= 8 => self.shared::<S, 8, 3>(simd, first, channel),
                    (true, 3) if left >= 4 => self.shared::<S, 4, 3>(simd, first, channel),
                    (true, 5) if left >= 8 => self.shared::<S, 8, 5>(simd, first, channel),
                    (true, 5) if left >= 4 => self.shared::<S, 4, 5>(simd, first, channel),
                    _ if left >= 8 => self.tile::<S, 8>(simd, first, channel),
                    _ if left >= 4 => self.tile::<S, 4>(simd, first, channel),
                    _ if left >= 2 => self.tile::<S, 2>(simd, first, channel),
                    _ => self.tile::<S, 1>(simd, first, channel),
                };
            }
        }
        for channel in whole..self.channels {
            (0..self.count).for_each(|number| self.sum_one(number, channel));
        }
    }
}

impl Segment<'_> {
    #[inline(always)]
    fn bias_vector<S: Simd>(&self, simd: S, channel: usize) -> S::f32s {
        match self.bias {
            [] => simd.splat_f32s(0.0),
            bias => simd.partial_load_f32s(&bias[channel..channel + S::F32_LANES]),
        }
    }

    /// `P` pixels from number `first` on, a vector of channels; answers `P`.
    #[inline(always)]
    fn tile<S: Simd, const P: usize>(&self, simd: S, first: usize, channel: usize) -> usize {
        let mut sums = [[self.bias_vector(simd, channel); 1]; P];
        for tap in self.taps {
            // SAFETY: all channels of every tap of every pixel are in the source, and its weights
            // are there (`assert_in_bounds`).
            #[allow(unsafe_code)]
            unsafe {
                let weight = load(simd, self.weight.as_ptr().add(tap.weight + channel));
                let start = self
                    .source
                    .as_ptr()
                    .add(tap.input + first * self.step + channel);
                for (pixel, [sum]) in sums.iter_mut().enumerate() {
                    let input = load(simd, start.add(pixel * self.step));
                    *sum = simd.mul_add_e_f32s(input, weight, *sum);
                }
            }
        }
        self.write(simd, first, channel, sums);
        P
    }

    /// As [`Self::tile`] for windows of `K` columns whose inputs are their neighbours' too.
    #[inline(always)]
    fn shared<S: Simd, const P: usize, const K: usize>(
        &self,
        simd: S,
        first: usize,
        channel: usize,
    ) -> usize {
        let mut sums = [[self.bias_vector(simd, channel); 1]; P];
        for row in self.taps.chunks_exact(K) {
            // SAFETY: all channels of every tap of every pixel are in the source, and its weights
            // are there (`assert_in_bounds`). Input `pixel + tap` of a row is that of tap `tap` of
            // pixel `pixel`, since taps of a row are as far apart as pixels.
            #[allow(unsafe_code)]
            unsafe {
                let mut weights = [simd.splat_f32s(0.0); K];
                for (weight, tap) in weights.iter_mut().zip(row) {
                    *weight = load(simd, self.weight.as_ptr().add(tap.weight + channel));
                }
                let start = self
                    .source
                    .as_ptr()
                    .add(row[0].input + first * self.step + channel);
                for at in 0..P + K - 1 {
                    let input = load(simd, start.add(at * self.step));
                    for (tap, weight) in weights.iter().enumerate() {
                        if let Some(pixel) = at.checked_sub(tap).filter(|pixel| *pixel < P) {
                            let sum = &mut sums[pixel][0];
                            *sum = simd.mul_add_e_f32s(input, *weight, *sum);
                        }
                    }
                }
            }
        }
        self.write(simd, first, channel, sums);
        P
    }

    #[inline(always)]
    fn write<S: Simd, const P: usize>(
        &self,
        simd: S,
        first: usize,
        channel: usize,
        sums: [[S::f32s; 1]; P],
    ) {
        let sums = match self.shortcut {
            None => apply_to_vectors(simd, self.function, sums),
            Some((_, _, Order::AddThenApply)) => {
                let sums = self.add_shortcut(simd, first, channel, sums);
                apply_to_vectors(simd, self.function, sums)
            }
            Some((_, _, Order::ApplyThenAdd)) => {
                let sums = apply_to_vectors(simd, self.function, sums);
                self.add_shortcut(simd, first, channel, sums)
            }
        };
        for (pixel, sums) in sums.into_iter().enumerate() {
            let place = self.place + (first + pixel) * self.place_step + channel;
            // SAFETY: all channels of every pixel are in the output (`assert_in_bounds`).
            #[allow(unsafe_code)]
            unsafe {
                self.output.store(simd, place, sums);
            }
        }
    }

    #[inline(always)]
    fn add_shortcut<S: Simd, const P: usize>(
        &self,
        simd: S,
        first: usize,
        channel: usize,
        mut sums: [[S::f32s; 1]; P],
    ) -> [[S::f32s; 1]; P] {
        if let Some((values, stride, _)) = self.shortcut {
            for (pixel, [sum]) in sums.iter_mut().enumerate() {
                let start = (first + pixel) * stride + channel;
                let numbers = simd.partial_load_f32s(&values[start..start + S::F32_LANES]);
                *sum = simd.add_f32s(*sum, numbers);
            }
        }
        sums
    }

    /// One channel of one pixel.
    #[inline(always)]
    fn sum_one(&self, number: usize, channel: usize) {
        let mut sum = self.bias.get(channel).copied().unwrap_or(0.0);
        for tap in self.taps {
            let input = self.source[tap.input + number * self.step + channel];
            sum += input * self.weight[tap.weight + channel];
        }
        let sum = match self.shortcut {
            None => self.function.value(sum),
            Some((values, stride, order)) => {
                let other = values[number * stride + channel];
                match order {
                    Order::AddThenApply => self.function.value(sum + other),
                    Order::ApplyThenAdd => self.function.value(sum) + other,
                }
            }
        };
        let place = self.place + number * self.place_step + channel;
        // SAFETY: all channels of every pixel are in the output (`assert_in_bounds`).
        #[allow(unsafe_code)]
        unsafe {
            self.output.store(pulp::Scalar::new(), place, [sum]);
        }
    }
}
