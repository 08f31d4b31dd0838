//! The forward pass, group by group.

use ferrotype_core::graph::Op;
use ferrotype_kernels::activation::{self, Activation};
use ferrotype_kernels::channels::{self, Part};
use ferrotype_kernels::convolution::{self, Input};
use ferrotype_kernels::layer_norm::{self, LayerNorm};
use ferrotype_kernels::normalization::{self, Normalization, Source, Statistics};
use ferrotype_kernels::{attention, dropout, layout, linear, pooling, tokens};

use super::memory::{Memory, Program};
use super::shapes;
use crate::executor::StepOptions;
use crate::executor::plan::{Extent, Group, Kind, Mode, Plan, PlannedLayer, Value};
use crate::executor::shared::{draw_depths, draw_dropout, dropout_factor};

/// What a normalisation used, for its backward pass and the running statistics.
#[derive(Debug)]
pub(super) struct Normalized {
    pub(super) statistics: Statistics,
    pub(super) inverse_deviation: Vec<f32>,
    pub(super) source: Source,
}

impl Normalized {
    /// The kernel's view of it. `tensors` are scale and shift.
    pub(super) fn view<'a>(
        &'a self,
        tensors: &'a [Vec<f32>],
        activation: Option<Activation>,
    ) -> Normalization<'a> {
        Normalization {
            mean: &self.statistics.mean,
            inverse_deviation: &self.inverse_deviation,
            weight: &tensors[0],
            bias: &tensors[1],
            activation,
            source: self.source,
        }
    }
}

/// What a forward pass found out beside its buffers, by group.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What normalisations used.
    pub(super) normalized: Vec<Option<Normalized>>,
    /// The statistics of convolutions' outputs that were measured as they were written.
    measured: Vec<Option<Statistics>>,
}

impl Findings {
    /// The normalisation that group `index` applies to what it reads, where that was left to it.
    pub(super) fn deferred_to<'a>(
        &'a self,
        context: &Context<'a>,
        index: usize,
    ) -> Option<Normalization<'a>> {
        let Value::Group(source) = context.group(index).inputs[0] else {
            return None;
        };
        let group = context.group(source);
        match (group.kind, group.is_deferred) {
            (Kind::Normalization { activation, .. }, true) => {
                let normalized = self.normalized[source].as_ref()?;
                Some(normalized.view(context.tensors_of(source), activation))
            }
            _ => None,
        }
    }
}

/// What a pass reads and never writes.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) plan: &'a Plan,
    pub(super) program: &'a Program,
    /// The graph's tensors.
    pub(super) tensors: &'a [Vec<f32>],
    /// Of a training step.
    pub(super) options: Option<&'a StepOptions<'a>>,
}

impl<'a> Context<'a> {
    pub(super) fn group(&self, index: usize) -> &'a Group {
        &self.program.groups[index]
    }

    /// The layer whose tensors a group has.
    pub(super) fn layer(&self, index: usize) -> &'a PlannedLayer {
        &self.plan.layers[self.group(index).first_layer()]
    }

    /// The last layer of a group: the pooling of those that have one.
    pub(super) fn last_layer(&self, group: &Group) -> &'a PlannedLayer {
        &self.plan.layers[group.last_layer]
    }

    /// The tensors of a group.
    pub(super) fn tensors_of(&self, index: usize) -> &'a [Vec<f32>] {
        &self.tensors[self.layer(index).tensors.clone()]
    }

    pub(super) fn batch(&self) -> usize {
        self.program.batch
    }
}

/// Writes the image, from `[batch, channels, pixels]` to channels last.
pub(super) fn load_image(context: &Context<'_>, images: &[f32], memory: &mut Memory) {
    let input = context.plan.input;
    let [image] = memory.views(context.program, [context.program.schedule.image]);
    layout::channels_last(images, input.channels, input.pixels(), image);
}

/// Computes group `index`, the first that `findings` has nothing of.
pub(super) fn compute(
    context: &Context<'_>,
    index: usize,
    memory: &mut Memory,
    findings: &mut Findings,
) {
    let group = context.group(index);
    let (mut normalized, mut measured) = (None, None);
    match group.kind {
        Kind::Normalization { .. } | Kind::PooledNormalization { .. } => {
            normalized = Some(normalize(context, index, memory, findings));
        }
        Kind::Convolution => measured = convolve(context, index, memory, findings),
        Kind::Activation(_)
        | Kind::Dropout
        | Kind::StochasticDepth
        | Kind::PositionEmbedding
        | Kind::Add => elementwise(context, index, memory),
        Kind::Multiply | Kind::Gate => multiply(context, index, memory),
        Kind::Concat => concatenate(context, index, memory),
        Kind::MaxPooling { .. } | Kind::WideMaxPooling => max_pooling(context, index, memory),
        _ => replace(context, index, memory),
    }
    findings.normalized.push(normalized);
    findings.measured.push(measured);
}

/// A convolution; answers with the statistics of its output where they are wanted.
fn convolve(
    context: &Context<'_>,
    index: usize,
    memory: &mut Memory,
    findings: &Findings,
) -> Option<Statistics> {
    let shape = shapes::convolution(context.layer(index), context.batch())?;
    let tensors = context.tensors_of(index);
    let buffers = &context.program.schedule.groups[index];
    let [input, output] = memory.views(context.program, [buffers.inputs[0], buffers.output]);
    let input = Input {
        values: input,
        normalization: findings.deferred_to(context, index),
    };
    let bias = tensors.get(1).map(Vec::as_slice);
    if context.group(index).is_measured {
        let statistics = convolution::forward_and_measure(&shape, input, &tensors[0], bias, output);
        return Some(statistics);
    }
    convolution::forward(&shape, input, &tensors[0], bias, output);
    None
}

/// Groups that read one buffer and write another.
fn replace(context: &Context<'_>, index: usize, memory: &mut Memory) {
    let (group, layer, tensors) = (
        context.group(index),
        context.layer(index),
        context.tensors_of(index),
    );
    let buffers = &context.program.schedule.groups[index];
    let [input, output] = memory.views(context.program, [buffers.inputs[0], buffers.output]);
    let (input, batch) = (&*input, context.batch());
    let Extent { channels, .. } = group.input_extents[0];
    let pixels = group.input_extents[0].pixels();
    match group.kind {
        Kind::Linear => {
            let bias = tensors.get(1).map(Vec::as_slice);
            let shape = shapes::linear(group, batch);
            linear::forward(&shape, input, &tensors[0], bias, output);
        }
        Kind::AveragePooling => {
            if let Some(shape) = shapes::pooling(layer) {
                pooling::average_forward(&shape, input, output);
            }
        }
        Kind::GridPooling => pooling::grid_average_forward(&shapes::grid(group), input, output),
        Kind::GlobalPooling => pooling::global_average_forward(input, channels, pixels, output),
        Kind::LayerNorm => layer_norm::forward(&layer_norm_of(layer, tensors), input, output),
        Kind::LayerScale => channels::scale_forward(input, &tensors[0], output),
        Kind::Flatten => layout::channels_first(input, channels, pixels, output),
        Kind::Attention => {
            if let Some(shape) = shapes::attention(layer) {
                attention::forward(&shape, input, output);
            }
        }
        Kind::ClassToken => tokens::prepend(&tensors[0], input, pixels, output),
        Kind::SelectToken => {
            tokens::select(input, channels, pixels, selected_token(layer), output);
        }
        _ => activation::copy(output, input),
    }
}

/// Groups that may write over what they read.
fn elementwise(context: &Context<'_>, index: usize, memory: &mut Memory) {
    let group = context.group(index);
    let buffers = &context.program.schedule.groups[index];
    let is_in_place = buffers.inputs[0] == buffers.output;
    if !is_in_place {
        let [input, output] = memory.views(context.program, [buffers.inputs[0], buffers.output]);
        match group.kind {
            Kind::Activation(activation) => return activation.forward_into(input, output),
            _ => activation::copy(output, input),
        }
    }
    if group.kind == Kind::Add {
        for input in &buffers.inputs[1..] {
            let [input, output] = memory.views(context.program, [*input, buffers.output]);
            activation::add(output, input);
        }
        return;
    }
    let ([output], bytes) =
        memory.views_with_bytes(context.program, [buffers.output], buffers.bytes);
    match group.kind {
        Kind::Activation(activation) => activation.forward(output),
        Kind::PositionEmbedding => activation::add_to_rows(output, &context.tensors_of(index)[0]),
        Kind::StochasticDepth => channels::scale_images(output, &depths(context, index)),
        _ => {
            if let (Some(options), probability) = (context.options, probability(context, index)) {
                draw_dropout(options, group.first_layer(), probability, bytes);
                dropout::apply(output, bytes, dropout_factor(probability));
            }
        }
    }
}

/// The factors of the images under stochastic depth; the same each time they are drawn.
pub(super) fn depths(context: &Context<'_>, index: usize) -> Vec<f32> {
    let (batch, layer) = (context.batch(), context.group(index).first_layer());
    match context.options {
        Some(options) => draw_depths(options, layer, probability(context, index), batch),
        None => vec![1.0; batch],
    }
}

/// The probability of a layer that drops something.
pub(super) fn probability(context: &Context<'_>, index: usize) -> f64 {
    match context.layer(index).op {
        Op::Dropout { probability } | Op::StochasticDepth { probability } => probability,
        _ => 0.0,
    }
}

/// Which token a layer selects.
pub(super) fn selected_token(layer: &PlannedLayer) -> usize {
    match layer.op {
        Op::SelectToken { index } => index,
        _ => 0,
    }
}

/// The kernel's view of a layer normalisation.
pub(super) fn layer_norm_of<'a>(layer: &PlannedLayer, tensors: &'a [Vec<f32>]) -> LayerNorm<'a> {
    let epsilon = match layer.op {
        Op::LayerNorm { epsilon } => epsilon as f32,
        _ => 0.0,
    };
    LayerNorm {
        weight: &tensors[0],
        bias: &tensors[1],
        epsilon,
    }
}

fn multiply(context: &Context<'_>, index: usize, memory: &mut Memory) {
    let group = context.group(index);
    let buffers = &context.program.schedule.groups[index];
    if buffers.inputs[0] == buffers.inputs[1] {
        let [input, output] = memory.views(context.program, [buffers.inputs[0], buffers.output]);
        return channels::product(input, input, output);
    }
    let [first, second, output] = memory.views(
        context.program,
        [buffers.inputs[0], buffers.inputs[1], buffers.output],
    );
    match group.kind {
        Kind::Gate => channels::gate_forward(first, second, group.output.channels, output),
        _ => channels::product(first, second, output),
    }
}

fn concatenate(context: &Context<'_>, index: usize, memory: &mut Memory) {
    let buffers = &context.program.schedule.groups[index];
    for (input, part) in buffers.inputs.iter().zip(parts(context.group(index))) {
        let [input, output] = memory.views(context.program, [*input, buffers.output]);
        channels::write_part(input, part, output);
    }
}

/// Where each input of a concatenation lies in its output.
pub(super) fn parts(group: &Group) -> Vec<Part> {
    let mut start = 0;
    let part = |extent: &Extent| {
        let part = Part {
            channels: group.output.channels,
            start,
            width: extent.channels,
        };
        start += extent.channels;
        part
    };
    group.input_extents.iter().map(part).collect()
}

fn max_pooling(context: &Context<'_>, index: usize, memory: &mut Memory) {
    let group = context.group(index);
    let Some(shape) = shapes::pooling(context.last_layer(group)) else {
        return;
    };
    let rectifier = match group.kind {
        Kind::MaxPooling { rectifier } => rectifier,
        _ => None,
    };
    let buffers = &context.program.schedule.groups[index];
    let ([input, output], taps) = memory.views_with_bytes(
        context.program,
        [buffers.inputs[0], buffers.output],
        buffers.bytes,
    );
    pooling::max_forward(&shape, rectifier, input, output, taps);
}

fn normalize(
    context: &Context<'_>,
    index: usize,
    memory: &mut Memory,
    findings: &Findings,
) -> Normalized {
    let group = context.group(index);
    let tensors = context.tensors_of(index);
    let buffers = &context.program.schedule.groups[index];
    let [input] = memory.views(context.program, [buffers.inputs[0]]);
    let measured = match group.inputs[0] {
        Value::Group(source) => findings.measured[source].clone(),
        Value::Image => None,
    };
    let normalized = measure(context, index, input, measured);
    if group.is_deferred {
        return normalized;
    }
    match group.kind {
        Kind::PooledNormalization { rectifier } => {
            let view = normalized.view(tensors, rectifier);
            let ([input, output], taps) = memory.views_with_bytes(
                context.program,
                [buffers.inputs[0], buffers.output],
                buffers.bytes,
            );
            if let Some(shape) = shapes::pooling(context.last_layer(group)) {
                normalization::forward_pooled(&view, &shape, input, output, taps);
            }
        }
        Kind::Normalization {
            shortcut: true,
            activation,
        } => {
            let view = normalized.view(tensors, activation);
            let [input, shortcut, output] = memory.views(
                context.program,
                [buffers.inputs[0], buffers.inputs[1], buffers.output],
            );
            normalization::forward(&view, input, Some(shortcut), output);
        }
        Kind::Normalization { activation, .. } => {
            let view = normalized.view(tensors, activation);
            let [input, output] =
                memory.views(context.program, [buffers.inputs[0], buffers.output]);
            normalization::forward(&view, input, None, output);
        }
        _ => {}
    }
    normalized
}

/// The statistics that a normalisation uses: the batch's while its tensors are fitted, else the
/// running ones. Its tensors are scale, shift, running mean and running variance. The batch's may
/// be `measured` already.
fn measure(
    context: &Context<'_>,
    index: usize,
    input: &[f32],
    measured: Option<Statistics>,
) -> Normalized {
    let group = context.group(index);
    let tensors = context.tensors_of(index);
    let is_measured = context.program.mode == Mode::Training && context.layer(index).is_fitted;
    let (statistics, source) = if is_measured {
        let channels = group.input_extents[0].channels;
        let statistics = measured.unwrap_or_else(|| normalization::statistics(input, channels));
        (statistics, Source::Batch)
    } else {
        let statistics = Statistics {
            mean: tensors[2].clone(),
            variance: tensors[3].clone(),
        };
        (statistics, Source::Fixed)
    };
    let epsilon = match context.layer(index).op {
        Op::BatchNorm2d { epsilon, .. } => epsilon,
        _ => 0.0,
    };
    Normalized {
        inverse_deviation: normalization::inverse_deviation(&statistics.variance, epsilon),
        statistics,
        source,
    }
}
