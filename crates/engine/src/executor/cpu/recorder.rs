//! What the executor did, and when.

use std::time::Instant;

use super::memory::Program;
use crate::executor::plan::{Kind, Plan};
use crate::executor::{Phase, Span};

/// Takes the time of what it is told to, when it is switched on.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// None while it is off.
    origin: Option<Instant>,
    spans: Vec<Span>,
}

impl Recorder {
    /// Switches it on, with starts counted from a moment, or off.
    pub(super) fn set(&mut self, origin: Option<Instant>) {
        self.origin = origin;
    }

    /// Whether it is switched on.
    pub(super) fn is_on(&self) -> bool {
        self.origin.is_some()
    }

    /// The spans since it was last asked.
    pub(super) fn take(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.spans)
    }

    /// Does `work`, and keeps how long it took under what `describe` says.
    pub(super) fn time<T>(
        &mut self,
        describe: impl FnOnce() -> Description,
        work: impl FnOnce() -> T,
    ) -> T {
        let Some(origin) = self.origin else {
            return work();
        };
        let start = origin.elapsed();
        let result = work();
        let duration = origin.elapsed() - start;
        let Description {
            layer,
            name,
            phase,
            flops,
            bytes,
        } = describe();
        self.spans.push(Span {
            layer,
            name,
            phase,
            start,
            duration,
            flops,
            bytes,
        });
        result
    }
}

/// A span without its time.
pub(super) struct Description {
    layer: Option<usize>,
    name: String,
    phase: Phase,
    flops: u64,
    bytes: u64,
}

impl Description {
    /// Of what belongs to no layer.
    pub(super) fn of_phase(name: &str, phase: Phase, bytes: u64) -> Self {
        Self {
            layer: None,
            name: name.to_string(),
            phase,
            flops: 0,
            bytes,
        }
    }

    /// Of group `index`: layers that are computed in one pass are one span, under the names of
    /// all and the position of the first.
    pub(super) fn of_group(plan: &Plan, program: &Program, index: usize, phase: Phase) -> Self {
        let group = &program.groups[index];
        let names: Vec<&str> = group
            .layers
            .iter()
            .map(|layer| plan.layers[*layer].name.as_str())
            .collect();
        let flops: u64 = group
            .layers
            .iter()
            .map(|layer| plan.layers[*layer].flops)
            .sum();
        let products = match phase {
            Phase::Backward => backward_products(program, index),
            _ => 1,
        };
        Self {
            layer: Some(group.first_layer()),
            name: names.join(" + "),
            phase,
            flops: flops * products * program.batch as u64,
            bytes: bytes(program, index, phase),
        }
    }
}

/// How many times the operations of the forward pass go into the backward pass: once for each of
/// the two factors that needs a gradient.
fn backward_products(program: &Program, index: usize) -> u64 {
    let group = &program.groups[index];
    let gradients = &program.schedule.groups[index].input_gradients;
    match group.kind {
        Kind::Convolution | Kind::Linear => {
            let by_input = gradients.iter().flatten().count();
            u64::from(group.is_fitted) + by_input as u64
        }
        _ => 2,
    }
}

/// Bytes of the activations that a group reads and writes.
fn bytes(program: &Program, index: usize, phase: Phase) -> u64 {
    let buffers = &program.schedule.groups[index];
    let size = |buffer: usize| (program.schedule.floats[buffer].len * size_of::<f32>()) as u64;
    let inputs: u64 = buffers.inputs.iter().map(|buffer| size(*buffer)).sum();
    let kept = buffers
        .bytes
        .map_or(0, |bytes| program.schedule.bytes[bytes].len as u64);
    if phase != Phase::Backward {
        return inputs + kept + size(buffers.output);
    }
    let written = buffers.input_gradients.iter().flatten();
    let written: u64 = written.map(|input| size(input.buffer)).sum();
    inputs + kept + buffers.gradient.map_or(0, size) + written
}
