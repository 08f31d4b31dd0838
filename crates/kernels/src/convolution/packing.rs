//! Weights in the order in which the inner loops read them.

use rayon::prelude::*;

use super::Convolution;
use super::tile::PANEL;
use crate::activation::add_piece;
use crate::scratch::with_scratch;

/// Input channels that are unpacked at a time.
const CHANNELS_AT_ONCE: usize = 16;

/// Columns and rows that are turned at a time. They are copied out first: in place, weights of
/// different outputs often lie on the same lines of the first-level cache.
const SQUARE: usize = 16;

/// Weights in panels of [`PANEL`] channels, `[groups][panels][inner][PANEL]`; what a last panel
/// with fewer channels has behind them is never used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panels<'a> {
    values: &'a [f32],
    size: Size,
}

/// Size of panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) groups: usize,
    /// Channels of a group that lie in panels.
    pub(super) channels: usize,
    /// Rows of a panel.
    pub(super) inner_len: usize,
}

impl Size {
    pub(super) fn panels_in_group(&self) -> usize {
        self.channels.div_ceil(PANEL)
    }

    /// Numbers in one panel.
    pub(super) fn panel_len(&self) -> usize {
        self.inner_len * PANEL
    }

    /// Numbers in all panels.
    pub(super) fn len(&self) -> usize {
        self.groups * self.panels_in_group() * self.panel_len()
    }

    /// Calls `work` for each panel with the number of its first channel, counted over all groups,
    /// and how many it has.
    fn for_each_panel(&self, values: &mut [f32], work: impl Fn(&mut [f32], usize, usize) + Sync) {
        values
            .par_chunks_mut(self.panel_len().max(1))
            .enumerate()
            .for_each(|(index, panel)| {
                let within = (index % self.panels_in_group()) * PANEL;
                let first = (index / self.panels_in_group()) * self.channels + within;
                work(panel, first, (self.channels - within).min(PANEL));
            });
    }
}

impl<'a> Panels<'a> {
    pub(super) fn panels_in_group(&self) -> usize {
        self.size.panels_in_group()
    }

    /// `[inner][PANEL]`
    pub(super) fn panel(&self, group: usize, panel: usize) -> &'a [f32] {
        let len = self.size.panel_len();
        &self.values[(group * self.panels_in_group() + panel) * len..][..len]
    }
}

/// Calls `work` with the panels of a forward pass: panels of outputs, whose rows are ordered by
/// kernel row, kernel column, input channel.
pub(super) fn with_panels_of_outputs<R>(
    shape: &Convolution,
    weight: &[f32],
    work: impl FnOnce(&Panels<'_>) -> R,
) -> R {
    let (inputs, taps) = (shape.group_inputs(), shape.taps());
    let size = shape.panels_of_outputs();
    with_scratch(size.len(), |values| {
        size.for_each_panel(values, |panel, first, count| {
            let weight = &weight[first * inputs * taps..][..count * inputs * taps];
            pack_panel(weight, inputs, taps, panel);
        });
        work(&Panels { values, size })
    })
}

/// Calls `work` with the panels of a gradient by the input: panels of inputs, whose rows are
/// ordered by `taps` (positions in the kernel's `[height, width]`), output channel.
pub(super) fn with_panels_of_inputs<R>(
    shape: &Convolution,
    weight: &[f32],
    taps: &[usize],
    work: impl FnOnce(&Panels<'_>) -> R,
) -> R {
    let (inputs, outputs) = (shape.group_inputs(), shape.group_outputs());
    let size = Size {
        groups: shape.groups,
        channels: inputs,
        inner_len: taps.len() * outputs,
    };
    with_scratch(size.len(), |values| {
        size.for_each_panel(values, |panel, first, count| {
            let (group, first) = (first / inputs, first % inputs);
            for output in 0..outputs {
                let start = ((group * outputs + output) * inputs + first) * shape.taps();
                let source = &weight[start..start + count * shape.taps()];
                for (position, tap) in taps.iter().enumerate() {
                    let row = &mut panel[(position * outputs + output) * PANEL..][..count];
                    for (target, source) in row.iter_mut().zip(source.chunks_exact(shape.taps())) {
                        *target = source[*tap];
                    }
                }
            }
        });
        work(&Panels { values, size })
    })
}

/// Writes the sum of several gradients in panels of outputs to `weight`
/// (`[outputs, inputs, height, width]`).
pub(super) fn unpack_sum(shape: &Convolution, pieces: &[f32], weight: &mut [f32]) {
    let (inputs, outputs, taps) = (shape.group_inputs(), shape.group_outputs(), shape.taps());
    let size = shape.panels_of_outputs();
    let panels = pieces.chunks_exact(size.len().max(1));
    let panels: Vec<Panels<'_>> = panels.map(|values| Panels { values, size }).collect();
    let in_group = weight.par_chunks_mut((outputs * inputs * taps).max(1));
    in_group.enumerate().for_each(|(group, weight)| {
        let of_panel = weight.par_chunks_mut(PANEL * inputs * taps);
        of_panel.enumerate().for_each(|(index, weight)| {
            let parts: Vec<&[f32]> = panels.iter().map(|p| p.panel(group, index)).collect();
            with_sum(&parts, |panel| unpack_panel(panel, inputs, taps, weight));
        });
    });
}

/// Calls `work` with the sum of `parts`, taken in their order.
fn with_sum(parts: &[&[f32]], work: impl FnOnce(&[f32])) {
    match parts {
        [] => {}
        [one] => work(one),
        [first, others @ ..] => with_scratch(first.len(), |sum| {
            sum.copy_from_slice(first);
            others.iter().for_each(|part| add_piece(sum, part));
            work(sum);
        }),
    }
}

/// From the weights of a panel's outputs (`[outputs, inputs, taps]`) to `[taps, inputs][PANEL]`.
fn pack_panel(weight: &[f32], inputs: usize, taps: usize, panel: &mut [f32]) {
    let outputs = weight.len() / (inputs * taps);
    let all = Columns {
        values: weight,
        row_len: inputs * taps,
        taps,
        inputs,
    };
    pack_columns(&all, outputs, panel);
}

/// Some input channels of a panel's weights, row by row of outputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns<'a> {
    /// `[outputs, channels, taps]`
    pub(super) values: &'a [f32],
    /// Channels by taps.
    pub(super) row_len: usize,
    /// Elements of the window.
    pub(super) taps: usize,
    /// From a tap to the next in the panel, in input channels.
    pub(super) inputs: usize,
}

/// Writes all channels of `columns` for `outputs` outputs to `panel`, from its first row on: the
/// number of an input channel and tap goes to row `tap · inputs + channel`.
pub(super) fn pack_columns(columns: &Columns<'_>, outputs: usize, panel: &mut [f32]) {
    let Columns {
        values,
        row_len,
        taps,
        inputs,
    } = *columns;
    let mut square = [[0.0; SQUARE]; SQUARE];
    for first in (0..outputs).step_by(SQUARE) {
        let count = SQUARE.min(outputs - first);
        for start in (0..row_len).step_by(SQUARE) {
            let len = SQUARE.min(row_len - start);
            for (row, square) in square.iter_mut().take(count).enumerate() {
                let source = &values[(first + row) * row_len + start..][..len];
                match source.first_chunk::<SQUARE>() {
                    Some(source) => *square = *source,
                    None => square[..len].copy_from_slice(source),
                }
            }
            let (mut input, mut tap) = (start / taps, start % taps);
            for at in 0..len {
                let target = (tap * inputs + input) * PANEL + first;
                (input, tap) = if tap + 1 < taps {
                    (input, tap + 1)
                } else {
                    (input + 1, 0)
                };
                if let Some(target) = panel[target..].first_chunk_mut::<SQUARE>()
                    && count == SQUARE
                {
                    *target = std::array::from_fn(|row| square[row][at]);
                } else {
                    for (target, row) in panel[target..][..count].iter_mut().zip(&square) {
                        *target = row[at];
                    }
                }
            }
        }
    }
}

/// The reverse of [`pack_panel`].
fn unpack_panel(panel: &[f32], inputs: usize, taps: usize, weight: &mut [f32]) {
    let outputs = weight.len() / (inputs * taps);
    for start in (0..inputs).step_by(CHANNELS_AT_ONCE) {
        let block_len = CHANNELS_AT_ONCE.min(inputs - start) * taps;
        with_scratch(outputs * block_len, |block| {
            for at in 0..block_len {
                let (input, tap) = (start + at / taps, at % taps);
                let row = &panel[(tap * inputs + input) * PANEL..][..outputs];
                for (target, source) in block[at..].iter_mut().step_by(block_len).zip(row) {
                    *target = *source;
                }
            }
            for (output, block) in block.chunks_exact(block_len).enumerate() {
                let target = &mut weight[(output * inputs + start) * taps..];
                target[..block_len].copy_from_slice(block);
            }
        });
    }
}
