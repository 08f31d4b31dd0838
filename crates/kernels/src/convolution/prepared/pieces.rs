//! Weights that are read piece by piece while they are packed, so that they are never in memory in
//! the network's order as a whole.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::Weights;
use crate::convolution::packing::{Columns, pack_columns};
use crate::convolution::shared_output::SharedOutput;
use crate::convolution::tile::PANEL;
use crate::scratch::with_scratch;
use crate::team::Team;

/// Numbers that are read at a time, about: they stay in the second-level cache until they are
/// packed.
const NUMBERS_AT_ONCE: usize = 64 * 1024;

/// The order of a network's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightOrder {
    /// `[out_channels, in_channels / groups, kernel height, kernel width]`
    OutputsFirst,
    /// `[in_channels, out_channels]`: a matrix that rows are multiplied with, which is a convolution
    /// of windows of one element in one group.
    InputsFirst,
}

/// Reads weights: called with the number of the first of them and where to write it and those behind
/// it.
pub type Read<'a, E> = &'a (dyn Fn(usize, &mut [f32]) -> Result<(), E> + Sync);

/// Weights that are read piece by piece, by several threads at once.
pub struct Pieces<'a, E> {
    /// Their order.
    pub order: WeightOrder,
    /// How they are read.
    pub read: Read<'a, E>,
}

impl<E> std::fmt::Debug for Pieces<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pieces")
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

/// Input channels of a panel's weights.
pub(super) struct Block<'a> {
    /// `[outputs, channels, taps]`
    values: &'a [f32],
    outputs: usize,
    channels: Range<usize>,
    taps: usize,
    /// Input channels of the whole panel.
    inputs: usize,
}

impl Block<'_> {
    pub(super) fn channels(&self) -> usize {
        self.channels.len()
    }

    pub(super) fn first_channel(&self) -> usize {
        self.channels.start
    }

    /// Writes the block to its place in a panel, `[taps, inputs][PANEL]`.
    pub(super) fn pack(&self, panel: &mut [f32]) {
        self.pack_as(self.inputs, &mut panel[self.channels.start * PANEL..]);
    }

    /// Writes the block as a panel of its own, `[taps, channels][PANEL]`. Outputs that a last panel
    /// lacks are zeros.
    pub(super) fn pack_alone(&self, panel: &mut [f32]) {
        if self.outputs < PANEL {
            panel.fill(0.0);
        }
        self.pack_as(self.channels.len(), panel);
    }

    fn pack_as(&self, inputs: usize, panel: &mut [f32]) {
        let columns = Columns {
            values: self.values,
            row_len: self.channels.len() * self.taps,
            taps: self.taps,
            inputs,
        };
        pack_columns(&columns, self.outputs, panel);
    }
}

impl<E> Pieces<'_, E> {
    /// Reads the weights of a panel, counted over all groups, and calls `work` with one block of them
    /// after the other.
    pub(super) fn each_block(
        &self,
        weights: &Weights<'_>,
        panel: usize,
        mut work: impl FnMut(&Block<'_>),
    ) -> Result<(), E> {
        let (inputs, outputs) = (weights.group_inputs(), weights.group_outputs());
        let (taps, row_len) = (weights.taps(), inputs * weights.taps());
        let panels = outputs.div_ceil(PANEL);
        let within = panel % panels * PANEL;
        let first = panel / panels * outputs + within;
        let count = (outputs - within).min(PANEL);
        let at_once = (NUMBERS_AT_ONCE / (PANEL * taps)).clamp(1, inputs.max(1));
        for start in (0..inputs).step_by(at_once) {
            let channels = start..inputs.min(start + at_once);
            let block_len = channels.len() * taps;
            with_scratch(count * block_len, |values| {
                if block_len == row_len {
                    (self.read)(first * row_len, values)?;
                } else {
                    for (row, values) in values.chunks_exact_mut(block_len).enumerate() {
                        (self.read)((first + row) * row_len + start * taps, values)?;
                    }
                }
                work(&Block {
                    values,
                    outputs: count,
                    channels,
                    taps,
                    inputs,
                });
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl<E: Send> Pieces<'_, E> {
    /// Packs a matrix `[inputs, outputs]` into panels, `[panels][inputs][PANEL]`.
    pub(super) fn pack_rows(
        &self,
        inputs: usize,
        outputs: usize,
        team: &Team,
        packed: &mut [f32],
    ) -> Result<(), E> {
        assert_eq!(packed.len(), outputs.div_ceil(PANEL) * inputs * PANEL);
        let at_once = (NUMBERS_AT_ONCE / outputs.max(1)).clamp(1, inputs.max(1));
        // SAFETY: each row goes to places of its own, and `packed` is used again when all are there.
        #[allow(unsafe_code)]
        let shared = unsafe { SharedOutput::new(packed) };
        let failure = FirstError::default();
        team.each(inputs.div_ceil(at_once), |piece| {
            let rows = piece * at_once..inputs.min((piece + 1) * at_once);
            failure.unless_failed(|| {
                with_scratch(rows.len() * outputs, |values| {
                    (self.read)(rows.start * outputs, values)?;
                    // Panel by panel, so that what is written lies together.
                    for (panel, start) in (0..outputs).step_by(PANEL).enumerate() {
                        for (row, values) in rows.clone().zip(values.chunks_exact(outputs)) {
                            let part = &values[start..outputs.min(start + PANEL)];
                            shared.copy((panel * inputs + row) * PANEL, part);
                        }
                    }
                    Ok(())
                })
            });
        });
        failure.into_result()
    }
}

/// The first error of pieces of work on several threads.
pub(super) struct FirstError<E>(Mutex<Option<E>>);

impl<E> Default for FirstError<E> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<E> FirstError<E> {
    /// Does a piece of work unless one before it failed.
    pub(super) fn unless_failed(&self, work: impl FnOnce() -> Result<(), E>) {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().is_some() {
            return;
        }
        if let Err(error) = work() {
            lock().get_or_insert(error);
        }
    }

    pub(super) fn into_result(self) -> Result<(), E> {
        let error = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        error.map_or(Ok(()), Err)
    }
}
