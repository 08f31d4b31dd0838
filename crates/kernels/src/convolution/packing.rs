//! Weights in the order in which the inner loops read them.

use rayon::prelude::*;

use super::Convolution;
use super::tile::PANEL;

/// Input channels that are packed at a time, so that what is read stays in the first-level cache.
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
                for tap in 0..taps {
                    for input in start..inputs.min(start + CHANNELS_AT_ONCE) {
                        let row = &mut panel[(tap * inputs + input) * PANEL..][..count];
                        for (output, target) in row.iter_mut().enumerate() {
                            *target = weight[((first + output) * inputs + input) * taps + tap];
                        }
                    }
                }
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
        // A few outputs at a time: what is read is whole cache lines.
        const OUTPUTS_AT_ONCE: usize = 16;
        let output_len = inputs * taps;
        let in_group = weight.par_chunks_mut((outputs * output_len).max(1));
        in_group.enumerate().for_each(|(group, weight)| {
            weight
                .par_chunks_mut(OUTPUTS_AT_ONCE * output_len)
                .enumerate()
                .for_each(|(chunk, weight)| {
                    let first = chunk * OUTPUTS_AT_ONCE;
                    let panel = self.panel(group, first / PANEL);
                    for input in 0..inputs {
                        for tap in 0..taps {
                            let row = &panel[(tap * inputs + input) * PANEL + first % PANEL..];
                            let targets = weight[input * taps + tap..].iter_mut();
                            for (target, value) in targets.step_by(output_len).zip(row) {
                                *target += value;
                            }
                        }
                    }
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
