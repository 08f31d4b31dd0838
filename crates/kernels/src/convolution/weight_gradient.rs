//! The gradient by the weights: outer products of inputs and gradients, summed over pixels.

use std::ops::Range;

use rayon::prelude::*;

use super::Convolution;
use super::correlation::{Correlation, Pixels, Source};
use super::outer_products::{OuterProducts, Span, add_outer_products};
use super::packing::{Size, unpack_sum};
use super::tile::PANEL;
use super::winograd;
use crate::scratch::with_scratch;

/// Pixels that are worked on at a time: enough for sums to stay in registers, few enough for
/// what is read to stay in the first-level cache.
const PIXELS_AT_ONCE: usize = 256;

/// Rows of a panel that one thread sums at a time.
const ROWS_AT_ONCE: usize = 96;

/// Pixels that pay for a sum of their own, which is added to the others' in the end.
const PIXELS_IN_PIECE: usize = 1024;

/// Sums of their own that there are at most.
const MOST_PIECES: usize = 8;

/// Numbers in all those sums together.
const MOST_PARTIAL_NUMBERS: usize = 4 * 1024 * 1024;

/// `weight ← gradient by the weights`, given that by the outputs.
pub(super) fn run(shape: &Convolution, input: Pixels<'_>, gradient: &[f32], weight: &mut [f32]) {
    let correlation = shape.correlation();
    let bands = correlation.bands();
    if input.normalization.is_some() && pieces(&correlation, shape, bands.len()) == 1 {
        // Every panel reads every pixel.
        return with_scratch(input.values.len(), |values| {
            input.read_all(values);
            run(shape, Pixels::plain(values), gradient, weight);
        });
    }
    let size = shape.panels_of_outputs();
    let task = Task {
        shape: &correlation,
        input,
        gradient,
        size,
    };
    let is_by_winograd = winograd::pays(&correlation);
    let pieces = pieces(&correlation, shape, bands.len());
    with_scratch(pieces * size.len(), |panels| {
        if is_by_winograd {
            winograd::weight_gradient(&correlation, input.values, gradient, panels);
        } else if correlation.is_mostly_edge() {
            task.by_tap(panels);
        } else if pieces == 1 {
            task.by_panel(&bands, panels);
        } else {
            task.by_piece(&bands, panels);
        }
        unpack_sum(shape, panels, weight);
    });
}

/// Sums of their own that it pays to make: 1, or 4 and more.
pub(super) fn pieces(correlation: &Correlation, shape: &Convolution, bands: usize) -> usize {
    if winograd::pays(correlation) || correlation.is_mostly_edge() {
        return 1;
    }
    let pieces = (shape.rows() / PIXELS_IN_PIECE)
        .min(MOST_PARTIAL_NUMBERS / shape.panels_of_outputs().len().max(1))
        .min(MOST_PIECES)
        .min(bands);
    if pieces < 4 { 1 } else { pieces }
}

struct Task<'a> {
    shape: &'a Correlation,
    input: Pixels<'a>,
    gradient: &'a [f32],
    size: Size,
}

impl Task<'_> {
    /// All panels, each piece over its part of the bands.
    fn by_piece(&self, bands: &[(usize, Range<usize>)], panels: &mut [f32]) {
        let pieces = panels.len() / self.size.len();
        panels
            .par_chunks_exact_mut(self.size.len())
            .enumerate()
            .for_each(|(piece, panels)| {
                panels.fill(0.0);
                let part = bands.len() * piece / pieces..bands.len() * (piece + 1) / pieces;
                for (image, rows) in &bands[part] {
                    self.add_band(*image, rows.clone(), panels);
                }
            });
    }

    fn add_band(&self, image: usize, rows: Range<usize>, panels: &mut [f32]) {
        self.shape
            .with_band(self.input, image, rows.clone(), |source, start| {
                for spans in self.spans(image, rows, source, start) {
                    let targets = panels.chunks_exact_mut(self.size.panel_len());
                    for (index, target) in targets.enumerate() {
                        self.panel(index, 0, source, &spans, target);
                    }
                }
            });
    }

    /// Each panel over all pixels, a part of its rows at a time where nothing needs padding: no
    /// sum is added to another.
    fn by_panel(&self, bands: &[(usize, Range<usize>)], panels: &mut [f32]) {
        let rows_at_once = match self.shape.is_inside() && self.shape.taps() == 1 {
            true => ROWS_AT_ONCE.min(self.size.inner_len),
            false => self.size.inner_len,
        };
        let of_panel = panels.par_chunks_mut(self.size.panel_len()).enumerate();
        of_panel.for_each(|(index, panel)| {
            let parts = panel.par_chunks_mut(rows_at_once * PANEL).enumerate();
            parts.for_each(|(part, target)| {
                target.fill(0.0);
                for (image, rows) in bands {
                    self.shape
                        .with_band(self.input, *image, rows.clone(), |source, start| {
                            for spans in self.spans(*image, rows.clone(), source, start) {
                                self.panel(index, part * rows_at_once, source, &spans, target);
                            }
                        });
                }
            });
        });
    }

    /// The pixels of a band, a few at a time.
    fn spans(
        &self,
        image: usize,
        rows: Range<usize>,
        source: Source<'_>,
        start: usize,
    ) -> Vec<Vec<Span>> {
        let shape = self.shape;
        let width = shape.grid[1];
        let step = shape.stride[1] * shape.in_channels;
        let all = rows.enumerate().flat_map(|(row, y)| {
            (0..width).step_by(PIXELS_AT_ONCE).map(move |x| Span {
                input: start + row * shape.stride[0] * source.row_len + x * step,
                gradient: shape.place(image, y, x),
                pixels: (width - x).min(PIXELS_AT_ONCE),
            })
        });
        let mut blocks: Vec<Vec<Span>> = Vec::new();
        let mut pixels = PIXELS_AT_ONCE;
        for span in all {
            if pixels + span.pixels > PIXELS_AT_ONCE {
                blocks.push(Vec::new());
                pixels = 0;
            }
            pixels += span.pixels;
            let Some(block) = blocks.last_mut() else {
                continue;
            };
            match block.last_mut() {
                Some(last) if self.continues(last, &span) => last.pixels += span.pixels,
                _ => block.push(span),
            }
        }
        blocks
    }

    /// Whether `next` begins where the pixel behind `last` would.
    fn continues(&self, last: &Span, next: &Span) -> bool {
        let shape = self.shape;
        let input_step = shape.stride[1] * shape.in_channels;
        next.input == last.input + last.pixels * input_step
            && next.gradient == last.gradient + last.pixels * shape.out_channels
    }

    /// Adds to a panel's rows from `first_row` on; all of them belong to one tap if the first is
    /// not zero.
    fn panel(
        &self,
        index: usize,
        first_row: usize,
        source: Source<'_>,
        spans: &[Span],
        target: &mut [f32],
    ) {
        let shape = self.shape;
        let (group, first, channels) = self.channels(index);
        let taps = [0..shape.kernel[0], 0..shape.kernel[1]];
        for run in shape.runs(taps, source.row_len, group) {
            let len = (run.len - first_row).min(target.len() / PANEL);
            let shifted: Vec<Span> = spans
                .iter()
                .map(|span| Span {
                    input: span.input + run.input as usize + first_row,
                    gradient: span.gradient + first,
                    ..*span
                })
                .collect();
            add_outer_products(
                &OuterProducts {
                    input: source.values,
                    input_step: shape.stride[1] * shape.in_channels,
                    gradient: self.gradient,
                    gradient_step: shape.out_channels,
                    spans: &shifted,
                    channels,
                },
                &mut target[run.weight * PANEL..][..len * PANEL],
            );
        }
    }

    /// Group, first channel over all groups, and number of channels of a panel.
    fn channels(&self, index: usize) -> (usize, usize, usize) {
        let outputs = self.shape.group_outputs();
        let in_group = outputs.div_ceil(PANEL);
        let (group, within) = (index / in_group, (index % in_group) * PANEL);
        (
            group,
            group * outputs + within,
            (outputs - within).min(PANEL),
        )
    }

    /// Tap by tap and panel by panel, over the same point of all images at a time.
    fn by_tap(&self, panels: &mut [f32]) {
        let (taps, tap_len) = (self.shape.taps(), self.shape.group_inputs() * PANEL);
        let targets = panels.par_chunks_mut(tap_len).enumerate();
        targets.for_each(|(item, target)| {
            target.fill(0.0);
            self.tap(item / taps, item % taps, target);
        });
    }

    fn tap(&self, panel: usize, tap: usize, target: &mut [f32]) {
        let shape = self.shape;
        let (group, first, channels) = self.channels(panel);
        let (tap_y, tap_x) = (tap / shape.kernel[1], tap % shape.kernel[1]);
        let inputs = group * shape.group_inputs();
        let mut spans = Vec::new();
        for y in 0..shape.grid[0] {
            let Some(in_y) = self.under(0, y, tap_y) else {
                continue;
            };
            for x in 0..shape.grid[1] {
                let Some(in_x) = self.under(1, x, tap_x) else {
                    continue;
                };
                spans.push(Span {
                    input: (in_y * shape.input[1] + in_x) * shape.in_channels + inputs,
                    gradient: shape.place(0, y, x) + first,
                    pixels: shape.images,
                });
            }
        }
        add_outer_products(
            &OuterProducts {
                input: self.input.values,
                input_step: shape.image_len(),
                gradient: self.gradient,
                gradient_step: shape.place(1, 0, 0),
                spans: &spans,
                channels,
            },
            target,
        );
    }

    /// The input row or column under a tap of a point's window; none in the padding.
    fn under(&self, axis: usize, point: usize, tap: usize) -> Option<usize> {
        let shape = self.shape;
        let start = (point * shape.stride[axis]) as isize + shape.origin[axis];
        usize::try_from(start + (tap * shape.dilation[axis]) as isize)
            .ok()
            .filter(|position| *position < shape.input[axis])
    }
}
