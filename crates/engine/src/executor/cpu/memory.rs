//! The memory that all passes share, and where each buffer of a pass lies in it.

use std::ops::Range;

use ferrotype_kernels::{CACHE_LINE, first_aligned};

use super::placement::{Lifetime, place};
use super::schedule::{Buffer, Bytes, Schedule, schedule};
use crate::executor::plan::{Group, Mode, Plan};

/// A pass over a graph for batches of one size, planned to the last buffer.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) mode: Mode,
    pub(super) batch: usize,
    pub(super) groups: Vec<Group>,
    pub(super) schedule: Schedule,
    float_ranges: Vec<Range<usize>>,
    byte_ranges: Vec<Range<usize>>,
    /// Floats and bytes that all buffers take together.
    pub(super) float_total: usize,
    pub(super) byte_total: usize,
}

impl Program {
    /// Plans a pass of `batch` images.
    pub(super) fn new(plan: &Plan, batch: usize, mode: Mode) -> Self {
        let groups = plan.groups(mode);
        let schedule = schedule(plan, &groups, batch, mode);
        let (float_ranges, float_total) = ranges(&schedule.floats);
        let (byte_ranges, byte_total) = ranges(&schedule.bytes);
        Self {
            mode,
            batch,
            groups,
            schedule,
            float_ranges,
            byte_ranges,
            float_total,
            byte_total,
        }
    }
}

fn ranges(lifetimes: &[Lifetime]) -> (Vec<Range<usize>>, usize) {
    let placement = place(lifetimes);
    let starts = placement.starts.iter().zip(lifetimes);
    let ranges = starts.map(|(start, lifetime)| *start..start + lifetime.len);
    (ranges.collect(), placement.total)
}

/// One piece of memory for the buffers of all passes, kept between them: fresh memory costs a
/// page fault every 4 kB, a third of a small network's step.
#[derive(Debug, Default)]
pub(super) struct Memory {
    floats: Vec<f32>,
    bytes: Vec<u8>,
}

impl Memory {
    /// Makes room for the buffers of a pass. What was there is lost when it grows.
    pub(super) fn fit(&mut self, program: &Program) {
        let len = program.float_total + CACHE_LINE;
        if self.floats.len() < len {
            // Freed before the larger one is taken.
            self.floats = Vec::new();
            self.floats = vec![0.0; len];
        }
        if self.bytes.len() < program.byte_total {
            self.bytes = vec![0; program.byte_total];
        }
    }

    /// How much it holds.
    #[cfg(test)]
    pub(super) fn byte_count(&self) -> u64 {
        (self.floats.len() * size_of::<f32>() + self.bytes.len()) as u64
    }

    /// The buffers of one layer.
    ///
    /// # Panics
    /// Two of them are the same, or lie over each other: the plan is wrong.
    pub(super) fn views<const N: usize>(
        &mut self,
        program: &Program,
        buffers: [Buffer; N],
    ) -> [&mut [f32]; N] {
        let ranges = buffers.map(|buffer| program.float_ranges[buffer].clone());
        disjoint(self.aligned(), ranges)
    }

    /// The floats from the first cache line on: buffers begin at multiples of one.
    fn aligned(&mut self) -> &mut [f32] {
        let start = first_aligned(&self.floats);
        &mut self.floats[start..]
    }

    /// The buffers of one layer, with one of bytes.
    ///
    /// # Panics
    /// As [`Memory::views`].
    pub(super) fn views_with_bytes<const N: usize>(
        &mut self,
        program: &Program,
        buffers: [Buffer; N],
        bytes: Option<Bytes>,
    ) -> ([&mut [f32]; N], &mut [u8]) {
        let ranges = buffers.map(|buffer| program.float_ranges[buffer].clone());
        let range = bytes.map_or(0..0, |bytes| program.byte_ranges[bytes].clone());
        let start = first_aligned(&self.floats);
        (
            disjoint(&mut self.floats[start..], ranges),
            &mut self.bytes[range],
        )
    }
}

fn disjoint<const N: usize>(floats: &mut [f32], ranges: [Range<usize>; N]) -> [&mut [f32]; N] {
    match floats.get_disjoint_mut(ranges) {
        Ok(views) => views,
        Err(error) => panic!("buffers of one layer: {error}"),
    }
}
