//! A correlation of images with packed weights: what the forward pass and the gradient by the
//! input are made of.

use std::ops::Range;

use rayon::prelude::*;

use super::packing::Panels;
use super::shared_output::SharedOutput;
use super::tile::{Finish, PANEL, Products, Run, correlate};
use super::winograd;
use crate::CHUNK;
use crate::normalization::{Moments, Prepared};
use crate::scratch::with_scratch;

/// Output pixels that are worked on at a time, at most.
const MOST_PIXELS_AT_ONCE: usize = 384;

/// Output pixels that are worked on at a time, at least.
const LEAST_PIXELS_AT_ONCE: usize = 24;

/// Pieces that the work should have, so that threads end at about the same time.
const PIECES: usize = 16;

/// Numbers of padded input that are worked on at a time; they stay in the second-level cache.
const PADDED_NUMBERS: usize = 96 * 1024;

/// A correlation over the images of a batch. Its outputs are the points of a grid that may be
/// spread over a larger image: the gradient of a strided convolution is several such
/// correlations, each with every `step`-th pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Correlation {
    pub(super) images: usize,
    /// Input height and width.
    pub(super) input: [usize; 2],
    /// Input channels of all groups.
    pub(super) in_channels: usize,
    /// Output channels of all groups.
    pub(super) out_channels: usize,
    pub(super) groups: usize,
    /// Points of the grid, downwards and along a row.
    pub(super) grid: [usize; 2],
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    /// Where the window of the first point begins in the input; negative in the padding.
    pub(super) origin: [isize; 2],
    /// Height and width of the image that the grid is spread over.
    pub(super) spread: [usize; 2],
    /// Where the first point lies in it.
    pub(super) first: [usize; 2],
    /// From one point to the next.
    pub(super) step: [usize; 2],
}

/// The numbers that a correlation is taken of.
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a> {
    pub(super) values: &'a [f32],
    /// What is done to them as they are read; only for what goes band by band.
    pub(super) normalization: Option<&'a Prepared>,
}

impl<'a> Pixels<'a> {
    /// The numbers as they are.
    pub(super) fn plain(values: &'a [f32]) -> Self {
        Self {
            values,
            normalization: None,
        }
    }

    /// Writes what becomes of all of them.
    pub(super) fn read_all(&self, target: &mut [f32]) {
        let len = self.normalization.map_or(CHUNK, Prepared::piece_len);
        let pieces = target.par_chunks_mut(len).enumerate();
        pieces.for_each(|(index, target)| self.read(index * len, target));
    }

    /// Writes what becomes of the pixels from number `start` on.
    fn read(&self, start: usize, target: &mut [f32]) {
        let source = &self.values[start..][..target.len()];
        match self.normalization {
            Some(normalization) => normalization.apply(source, target),
            None => target.copy_from_slice(source),
        }
    }
}

/// What is measured of a correlation's output while it is in the cache: the moments of each band;
/// none where the output is not computed band by band.
pub(super) type BandMoments = Option<Vec<Moments>>;

/// The input of a piece of the work: the images themselves or a padded copy of a part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) values: &'a [f32],
    /// From a row to the next.
    pub(super) row_len: usize,
}

impl Correlation {
    pub(super) fn group_inputs(&self) -> usize {
        self.in_channels / self.groups
    }

    pub(super) fn group_outputs(&self) -> usize {
        self.out_channels / self.groups
    }

    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Numbers that go into one output.
    pub(super) fn inner_len(&self) -> usize {
        self.taps() * self.group_inputs()
    }

    pub(super) fn image_len(&self) -> usize {
        self.input[0] * self.input[1] * self.in_channels
    }

    /// The same with all images as one tall image, if windows are single pixels: then nothing
    /// lies at an edge, and pieces of the work need not end with an image.
    pub(super) fn with_images_joined(self) -> Self {
        let is_pointwise = self.kernel == [1, 1] && self.stride == [1, 1] && self.origin == [0, 0];
        if !is_pointwise || self.grid != self.input || self.spread != self.input {
            return self;
        }
        let tall = [self.images * self.input[0], self.input[1]];
        Self {
            images: 1,
            input: tall,
            grid: tall,
            spread: tall,
            ..self
        }
    }

    fn grid_points(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// Where grid point `[y, x]` of `image` begins in the output.
    pub(super) fn place(&self, image: usize, y: usize, x: usize) -> usize {
        let row = image * self.spread[0] + self.first[0] + y * self.step[0];
        (row * self.spread[1] + self.first[1] + x * self.step[1]) * self.out_channels
    }

    /// The first and the last input row (axis 0) or column (axis 1), counted from the image's
    /// first, that windows of the points `points` lie over; the end is exclusive.
    pub(super) fn window(&self, axis: usize, points: Range<usize>) -> Range<isize> {
        let reach = (self.dilation[axis] * (self.kernel[axis] - 1) + 1) as isize;
        let start = |point: usize| (point * self.stride[axis]) as isize + self.origin[axis];
        start(points.start)..start(points.end - 1) + reach
    }

    /// Whether all windows lie in the image.
    pub(super) fn is_inside(&self) -> bool {
        [0, 1].into_iter().all(|axis| {
            let window = self.window(axis, 0..self.grid[axis]);
            window.start >= 0 && window.end <= self.input[axis] as isize
        })
    }

    /// The taps of point `point` that lie in the image, along `axis`.
    pub(super) fn taps_inside(&self, axis: usize, point: usize) -> Range<usize> {
        let start = (point * self.stride[axis]) as isize + self.origin[axis];
        let dilation = self.dilation[axis] as isize;
        let inside = |limit: isize| ((limit - start + dilation - 1) / dilation).max(0) as usize;
        let end = inside(self.input[axis] as isize).min(self.kernel[axis]);
        inside(0).min(end)..end
    }

    /// Whether much of what the windows see is padding, so that it pays to work on the same point
    /// of several images at a time and leave the padding out.
    pub(super) fn is_mostly_edge(&self) -> bool {
        self.images >= 4 && self.inside_share() < 0.9
    }

    /// The share of what the windows see that is no padding.
    pub(super) fn inside_share(&self) -> f64 {
        let share = |axis: usize| {
            let seen: usize = (0..self.grid[axis])
                .map(|point| self.taps_inside(axis, point).len())
                .sum();
            seen as f64 / (self.grid[axis] * self.kernel[axis]) as f64
        };
        share(0) * share(1)
    }

    /// The runs of `taps` (rows, columns) over an input whose rows are `row_len` apart, beginning
    /// at the first tap of the window.
    pub(super) fn runs(&self, taps: [Range<usize>; 2], row_len: usize, group: usize) -> Vec<Run> {
        let len = self.group_inputs();
        let mut runs: Vec<Run> = Vec::new();
        for tap_y in taps[0].clone() {
            for tap_x in taps[1].clone() {
                let column = tap_x * self.dilation[1] * self.in_channels;
                let run = Run {
                    input: (tap_y * self.dilation[0] * row_len + column + group * len) as isize,
                    weight: (tap_y * self.kernel[1] + tap_x) * len,
                    len,
                };
                match runs.last_mut() {
                    Some(last) if continues(last, &run) => last.len += len,
                    _ => runs.push(run),
                }
            }
        }
        runs
    }

    /// Writes the correlation of `input` with `weights`, plus `bias`, to its points in `output`.
    /// Answers with the moments of the output if it `measures` them.
    pub(super) fn run(
        &self,
        input: Pixels<'_>,
        weights: &Panels<'_>,
        bias: Option<&[f32]>,
        output: &mut [f32],
        measures: bool,
    ) -> BandMoments {
        if self.grid_points() == 0 || self.images == 0 {
            return None;
        }
        let goes_by_band = !winograd::pays(self) && !self.is_mostly_edge();
        assert!(
            goes_by_band || input.normalization.is_none(),
            "only bands are normalised"
        );
        if winograd::pays(self) {
            winograd::run(self, input.values, weights, bias, output);
            return None;
        }
        // SAFETY: each point's channels are written by one thread, that of its band or panel, and
        // `output` is used for nothing else.
        #[allow(unsafe_code)]
        let output = unsafe { SharedOutput::new(output) };
        let task = Task {
            shape: self,
            input,
            weights,
            bias,
            output,
        };
        if goes_by_band {
            task.by_band(measures)
        } else {
            task.by_point();
            None
        }
    }

    /// Whether the points are all pixels of the output, so that a band of them lies together.
    pub(super) fn is_dense(&self) -> bool {
        self.spread == self.grid
    }

    /// The moments of a band of the output.
    ///
    /// # Safety
    /// This thread has written the band, and nobody else writes to it.
    #[allow(unsafe_code)]
    pub(super) unsafe fn band_moments(
        &self,
        image: usize,
        rows: Range<usize>,
        output: SharedOutput,
    ) -> Moments {
        let len = rows.len() * self.grid[1] * self.out_channels;
        // SAFETY: as the caller promises.
        let band = unsafe { output.written(self.place(image, rows.start, 0), len) };
        Moments::of(band, self.out_channels)
    }

    /// Bands of grid rows, of about equal size, that are worked on at a time: of all images.
    pub(super) fn bands(&self) -> Vec<(usize, Range<usize>)> {
        let padded_row = (self.grid[1] * self.stride[1] + self.kernel[1]) * self.in_channels;
        let rows_in_cache = PADDED_NUMBERS / (padded_row * self.stride[0]).max(1);
        let pixels = (self.images * self.grid_points() / PIECES)
            .clamp(LEAST_PIXELS_AT_ONCE, MOST_PIXELS_AT_ONCE);
        let rows = pixels.div_ceil(self.grid[1]).min(rows_in_cache);
        let bands = self.grid[0].div_ceil(rows.clamp(1, self.grid[0]));
        (0..self.images)
            .flat_map(|image| {
                (0..bands).map(move |band| {
                    (
                        image,
                        self.grid[0] * band / bands..self.grid[0] * (band + 1) / bands,
                    )
                })
            })
            .filter(|(_, rows)| !rows.is_empty())
            .collect()
    }

    /// Calls `work` with the inputs that the windows of `rows` see, padded with zeros if need be,
    /// and where the window of the band's first point begins in them.
    pub(super) fn with_band<R>(
        &self,
        input: Pixels<'_>,
        image: usize,
        rows: Range<usize>,
        work: impl FnOnce(Source<'_>, usize) -> R,
    ) -> R {
        let first = image * self.image_len();
        let row_len = self.input[1] * self.in_channels;
        let vertical = self.window(0, rows);
        let horizontal = self.window(1, 0..self.grid[1]);
        if self.is_inside() {
            let top = vertical.start as usize * row_len;
            let start = horizontal.start as usize * self.in_channels;
            if input.normalization.is_none() {
                let values = &input.values[first..][..self.image_len()];
                return work(Source { values, row_len }, top + start);
            }
            return with_scratch(vertical.count() * row_len, |values| {
                input.read(first + top, values);
                let values = &*values;
                work(Source { values, row_len }, start)
            });
        }
        let padded_len = (horizontal.end - horizontal.start) as usize * self.in_channels;
        with_scratch(padded_len * vertical.clone().count(), |padded| {
            for (target, y) in padded.chunks_exact_mut(padded_len).zip(vertical) {
                match usize::try_from(y).ok().filter(|y| *y < self.input[0]) {
                    Some(y) => {
                        let start = horizontal.start * self.in_channels as isize;
                        pad_row(input, first + y * row_len, row_len, start, target);
                    }
                    None => target.fill(0.0),
                }
            }
            work(
                Source {
                    values: padded,
                    row_len: padded_len,
                },
                0,
            )
        })
    }
}

/// Reads the part from `start` on of the row of `row_len` numbers that begins at `row`, with zeros
/// before its beginning and after its end.
fn pad_row(input: Pixels<'_>, row: usize, row_len: usize, start: isize, target: &mut [f32]) {
    let before = ((-start).max(0) as usize).min(target.len());
    let from = (start.max(0) as usize).min(row_len);
    let len = (row_len - from).min(target.len() - before);
    target[..before].fill(0.0);
    input.read(row + from, &mut target[before..before + len]);
    target[before + len..].fill(0.0);
}

fn continues(last: &Run, next: &Run) -> bool {
    last.input + last.len as isize == next.input && last.weight + last.len == next.weight
}

struct Task<'a> {
    shape: &'a Correlation,
    input: Pixels<'a>,
    weights: &'a Panels<'a>,
    bias: Option<&'a [f32]>,
    output: SharedOutput,
}

impl Task<'_> {
    /// Band by band of an image, for all channels.
    fn by_band(&self, measures: bool) -> BandMoments {
        let band = |(image, rows): (usize, Range<usize>)| {
            self.shape
                .with_band(self.input, image, rows.clone(), |source, start| {
                    self.band(image, rows.clone(), source, start);
                });
            // SAFETY: this call has written the band, which is no other call's.
            #[allow(unsafe_code)]
            let moments = || unsafe { self.shape.band_moments(image, rows.clone(), self.output) };
            (measures && self.shape.is_dense()).then(moments)
        };
        // All bands, before it is asked whether they were measured.
        let moments: Vec<_> = self.shape.bands().into_par_iter().map(band).collect();
        moments.into_iter().collect()
    }

    fn band(&self, image: usize, rows: Range<usize>, source: Source<'_>, start: usize) {
        let shape = self.shape;
        let mut pixels = Vec::with_capacity(rows.len() * shape.grid[1]);
        let mut places = Vec::with_capacity(pixels.capacity());
        for (row, y) in rows.enumerate() {
            for x in 0..shape.grid[1] {
                let column = x * shape.stride[1] * shape.in_channels;
                let pixel = start + row * shape.stride[0] * source.row_len + column;
                pixels.push(pixel as isize);
                places.push(shape.place(image, y, x));
            }
        }
        for group in 0..shape.groups {
            let taps = [0..shape.kernel[0], 0..shape.kernel[1]];
            let runs = shape.runs(taps, source.row_len, group);
            for panel in 0..self.weights.panels_in_group() {
                self.panel(group, panel, source.values, &pixels, &runs, &places);
            }
        }
    }

    /// Point by point for all images, panel by panel of the channels.
    fn by_point(&self) {
        let shape = self.shape;
        let panels = shape.groups * self.weights.panels_in_group();
        let rows = shape.grid[0];
        (0..panels * rows).into_par_iter().for_each(|item| {
            let (panel, y) = (item / rows, item % rows);
            let (group, panel) = (
                panel / self.weights.panels_in_group(),
                panel % self.weights.panels_in_group(),
            );
            (0..shape.grid[1]).for_each(|x| self.point(group, panel, y, x));
        });
    }

    fn point(&self, group: usize, panel: usize, y: usize, x: usize) {
        let shape = self.shape;
        let row_len = shape.input[1] * shape.in_channels;
        let taps = [shape.taps_inside(0, y), shape.taps_inside(1, x)];
        let runs = shape.runs(taps, row_len, group);
        let top = (y * shape.stride[0]) as isize + shape.origin[0];
        let left = (x * shape.stride[1]) as isize + shape.origin[1];
        let window = top * row_len as isize + left * shape.in_channels as isize;
        let pixels: Vec<isize> = (0..shape.images)
            .map(|image| (image * shape.image_len()) as isize + window)
            .collect();
        let places: Vec<usize> = (0..shape.images)
            .map(|image| shape.place(image, y, x))
            .collect();
        self.panel(group, panel, self.input.values, &pixels, &runs, &places);
    }

    fn panel(
        &self,
        group: usize,
        panel: usize,
        input: &[f32],
        pixels: &[isize],
        runs: &[Run],
        places: &[usize],
    ) {
        let outputs = self.shape.group_outputs();
        let first = group * outputs + panel * PANEL;
        let channels = (outputs - panel * PANEL).min(PANEL);
        let mut padded_bias = [0.0; PANEL];
        if let Some(bias) = self.bias {
            padded_bias[..channels].copy_from_slice(&bias[first..first + channels]);
        }
        correlate(
            &Products {
                input,
                pixels,
                runs,
                panel: self.weights.panel(group, panel),
                bias: self.bias.map(|_| padded_bias.as_slice()),
                channels,
                places,
                first_channel: first,
                finish: Finish::default(),
            },
            self.output,
        );
    }
}
