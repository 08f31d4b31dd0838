//! Weights in the order in which the inner loops read them.

use rayon::prelude::*;

use super::Convolution;
use super::tile::PANEL;
use crate::scratch::with_scratch;

/// Input channels that are packed at a time. They are copied out first: in place, weights of
/// different outputs often lie on the same lines of the first-level cache.
const CHANNELS_AT_ONCE: usize = 16;

/// Weights in panels of [`PANEL`] channels, `[groups][panels][inner][PANEL]`; a last panel with
/// fewer channels is filled up with zeros.
#[derive(Debug)]
pub(super) struct Panels {
    values: Vec<f32>,
    inner_len: usize,
    panels_in_group: usize,
}

impl Panels {
    pub(super) fn zeros(groups: usize, outputs: usize, inner_len: usize) -> Self {
        let panels_in_group = outputs.div_ceil(PANEL);
        Self {
            values: vec![0.0; groups * panels_in_group * inner_len * PANEL],
            inner_len,
            panels_in_group,
        }
    }

    pub(super) fn panels_in_group(&self) -> usize {
        self.panels_in_group
    }

    /// Numbers in one panel.
    pub(super) fn panel_len(&self) -> usize {
        self.inner_len * PANEL
    }

    /// `[inner][PANEL]`
    pub(super) fn panel(&self, group: usize, panel: usize) -> &[f32] {
        let len = self.panel_len();
        &self.values[(group * self.panels_in_group + panel) * len..][..len]
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// For the forward pass: panels of outputs; a panel's rows are ordered by kernel row, kernel
    /// column, input channel.
    pub(super) fn of_outputs(shape: &Convolution, weight: &[f32]) -> Self {
        let (inputs, outputs, taps) = (shape.group_inputs(), shape.group_outputs(), shape.taps());
        let mut panels = Self::zeros(shape.groups, outputs, taps * inputs);
        panels.fill(outputs, |panel, first, count| {
            for start in (0..inputs).step_by(CHANNELS_AT_ONCE) {
                let block_len = CHANNELS_AT_ONCE.min(inputs - start) * taps;
                with_scratch(PANEL * block_len, |block| {
                    for (output, block) in block.chunks_exact_mut(block_len).take(count).enumerate()
                    {
                        let source = ((first + output) * inputs + start) * taps;
                        block.copy_from_slice(&weight[source..source + block_len]);
                    }
                    for at in 0..block_len {
                        let (input, tap) = (start + at / taps, at % taps);
                        let row = &mut panel[(tap * inputs + input) * PANEL..][..count];
                        for (target, source) in
                            row.iter_mut().zip(block[at..].iter().step_by(block_len))
                        {
                            *target = *source;
                        }
                    }
                });
            }
        });
        panels
    }

    /// For the gradient by the input: panels of inputs; a panel's rows are ordered by `taps`
    /// (positions in the kernel's `[height, width]`), output channel.
    pub(super) fn of_inputs(shape: &Convolution, weight: &[f32], taps: &[usize]) -> Self {
        let (inputs, outputs) = (shape.group_inputs(), shape.group_outputs());
        let mut panels = Self::zeros(shape.groups, inputs, taps.len() * outputs);
        panels.fill(inputs, |panel, first, count| {
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
        panels
    }

    /// Adds the panels of [`Panels::of_outputs`] to PyTorch's `[outputs, inputs, height, width]`.
    pub(super) fn add_to_outputs(&self, shape: &Convolution, weight: &mut [f32]) {
        let (inputs, outputs, taps) = (shape.group_inputs(), shape.group_outputs(), shape.taps());
        let in_group = weight.par_chunks_mut((outputs * inputs * taps).max(1));
        in_group.enumerate().for_each(|(group, weight)| {
            let of_panel = weight.par_chunks_mut(PANEL * inputs * taps);
            of_panel.enumerate().for_each(|(index, weight)| {
                add_panel(self.panel(group, index), inputs, taps, weight);
            });
        });
    }

    /// Calls `work` for each panel with the number of its first channel, counted over all groups
    /// of `channels`, and how many it has.
    fn fill(&mut self, channels: usize, work: impl Fn(&mut [f32], usize, usize) + Sync) {
        let (len, in_group) = (self.panel_len(), self.panels_in_group);
        self.values
            .par_chunks_mut(len.max(1))
            .enumerate()
            .for_each(|(index, panel)| {
                let within = (index % in_group) * PANEL;
                let first = (index / in_group) * channels + within;
                work(panel, first, (channels - within).min(PANEL));
            });
    }
}

/// Adds a panel (`[taps, inputs][PANEL]`) to the weights of its outputs (`[outputs, inputs, taps]`).
fn add_panel(panel: &[f32], inputs: usize, taps: usize, weight: &mut [f32]) {
    let outputs = weight.len() / (inputs * taps);
    for start in (0..inputs).step_by(CHANNELS_AT_ONCE) {
        let block_len = CHANNELS_AT_ONCE.min(inputs - start) * taps;
        with_scratch(PANEL * block_len, |block| {
            for at in 0..block_len {
                let (input, tap) = (start + at / taps, at % taps);
                let row = &panel[(tap * inputs + input) * PANEL..][..PANEL];
                for (target, source) in block[at..].iter_mut().step_by(block_len).zip(row) {
                    *target = *source;
                }
            }
            for (output, block) in block.chunks_exact(block_len).take(outputs).enumerate() {
                let target = &mut weight[(output * inputs + start) * taps..][..block_len];
                target
                    .iter_mut()
                    .zip(block)
                    .for_each(|(sum, value)| *sum += value);
            }
        });
    }
}
