//! The gradient by the weights: outer products of inputs and gradients, summed over pixels.

use std::ops::Range;

use rayon::prelude::*;

use super::correlation::{Correlation, Source};
use super::packing::Panels;
use super::tile::{OuterProducts, PANEL, Span, add_outer_products};
use super::winograd;

/// Pixels that are worked on at a time: enough for sums to stay in registers, few enough for
/// what is read to stay in the first-level cache.
const PIXELS_AT_ONCE: usize = 256;

/// Pixels that pay for a sum of their own, which is added to the others' in the end.
const PIXELS_IN_PIECE: usize = 1024;

/// Sums of their own that there are at most.
const MOST_PIECES: usize = 8;

/// Numbers in all those sums together.
const MOST_PARTIAL_NUMBERS: usize = 4 * 1024 * 1024;

/// The gradient by the weights in panels as [`Panels::of_outputs`] has them, given that by the
/// outputs of `shape`, whose points are all pixels of the output.
pub(super) fn weight_gradient(shape: &Correlation, input: &[f32], gradient: &[f32]) -> Vec<Panels> {
    if winograd::pays(shape) {
        return vec![winograd::weight_gradient(shape, input, gradient)];
    }
    let task = Task {
        shape,
        input,
        gradient,
    };
    if shape.is_mostly_edge() {
        return vec![task.by_tap()];
    }
    let bands = shape.bands();
    let pixels = shape.images * shape.grid[0] * shape.grid[1];
    let numbers = shape.out_channels * shape.inner_len();
    let pieces = (pixels / PIXELS_IN_PIECE)
        .min(MOST_PARTIAL_NUMBERS / numbers.max(1))
        .clamp(1, MOST_PIECES)
        .min(bands.len().max(1));
    if pieces < 4 {
        return vec![task.by_panel(&bands)];
    }
    (0..pieces)
        .into_par_iter()
        .map(|piece| {
            let part = bands.len() * piece / pieces..bands.len() * (piece + 1) / pieces;
            task.of_bands(&bands[part])
        })
        .collect()
}

struct Task<'a> {
    shape: &'a Correlation,
    input: &'a [f32],
    gradient: &'a [f32],
}

impl Task<'_> {
    fn zeros(&self) -> Panels {
        let shape = self.shape;
        Panels::zeros(shape.groups, shape.group_outputs(), shape.inner_len())
    }

    /// All panels, over the pixels of `bands`.
    fn of_bands(&self, bands: &[(usize, Range<usize>)]) -> Panels {
        let mut panels = self.zeros();
        let len = panels.panel_len();
        for (image, rows) in bands {
            self.shape
                .with_band(self.input, *image, rows.clone(), |source, start| {
                    for spans in self.spans(*image, rows.clone(), source, start) {
                        let targets = panels.values_mut().chunks_exact_mut(len);
                        for (index, target) in targets.enumerate() {
                            self.panel(index, source, &spans, target);
                        }
                    }
                });
        }
        panels
    }

    /// Each panel over all pixels: no sum is added to another.
    fn by_panel(&self, bands: &[(usize, Range<usize>)]) -> Panels {
        let mut panels = self.zeros();
        let len = panels.panel_len();
        let targets = panels.values_mut().par_chunks_mut(len).enumerate();
        targets.for_each(|(index, target)| {
            for (image, rows) in bands {
                self.shape
                    .with_band(self.input, *image, rows.clone(), |source, start| {
                        for spans in self.spans(*image, rows.clone(), source, start) {
                            self.panel(index, source, &spans, target);
                        }
                    });
            }
        });
        panels
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
            if let Some(block) = blocks.last_mut() {
                block.push(span);
            }
        }
        blocks
    }

    fn panel(&self, index: usize, source: Source<'_>, spans: &[Span], target: &mut [f32]) {
        let shape = self.shape;
        let (group, first, channels) = self.channels(index);
        let taps = [0..shape.kernel[0], 0..shape.kernel[1]];
        for run in shape.runs(taps, source.row_len, group) {
            let shifted: Vec<Span> = spans
                .iter()
                .map(|span| Span {
                    input: span.input + run.input as usize,
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
                &mut target[run.weight * PANEL..][..run.len * PANEL],
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
    fn by_tap(&self) -> Panels {
        let mut panels = self.zeros();
        let (taps, tap_len) = (self.shape.taps(), self.shape.group_inputs() * PANEL);
        let targets = panels.values_mut().par_chunks_mut(tap_len).enumerate();
        targets.for_each(|(item, target)| self.tap(item / taps, item % taps, target));
        panels
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
                input: self.input,
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
