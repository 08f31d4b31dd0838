//! The backward pass, group by group.

use ferrotype_kernels::convolution::{self, Input};
use ferrotype_kernels::normalization::AffineGradients;
use ferrotype_kernels::product::Destination;
use ferrotype_kernels::{
    activation, attention, channels, dropout, layer_norm, layout, linear, normalization, pooling,
    tokens,
};

use super::forward::{
    Context, Findings, Normalized, depths, layer_norm_of, parts, probability, selected_token,
};
use super::memory::Memory;
use super::schedule::{Buffer, InputGradient, Sum};
use super::shapes;
use crate::executor::plan::{Extent, Kind};
use crate::executor::shared::dropout_factor;

/// Writes to the gradients of the graph's tensors, which keep their memory from step to step.
pub(super) struct TensorGradients<'a> {
    /// By tensor.
    pub(super) values: &'a mut [Vec<f32>],
}

impl TensorGradients<'_> {
    fn set(&mut self, tensor: usize, gradient: Vec<f32>) {
        self.values[tensor] = gradient;
    }

    /// A buffer of `len` numbers, whose values are whatever was left there.
    fn buffer(&mut self, tensor: usize, len: usize) -> &mut [f32] {
        let gradient = &mut self.values[tensor];
        gradient.resize(len, 0.0);
        gradient
    }
}

/// Computes group `index` backwards: the gradients of its tensors, and those of its inputs.
pub(super) fn compute(
    context: &Context<'_>,
    index: usize,
    findings: &Findings,
    memory: &mut Memory,
    gradients: &mut TensorGradients<'_>,
) {
    let group = context.group(index);
    let buffers = &context.program.schedule.groups[index];
    let Some(gradient) = buffers.gradient else {
        return;
    };
    match group.kind {
        Kind::Normalization { .. } | Kind::PooledNormalization { .. } => {
            if let Some(normalized) = &findings.normalized[index] {
                normalization(context, index, gradient, normalized, memory, gradients);
            }
        }
        Kind::Convolution | Kind::Linear => {
            product(context, index, gradient, findings, memory, gradients);
        }
        Kind::Activation(_)
        | Kind::Dropout
        | Kind::StochasticDepth
        | Kind::LayerNorm
        | Kind::LayerScale
        | Kind::PositionEmbedding => elementwise(context, index, gradient, memory, gradients),
        Kind::Multiply | Kind::Gate => multiply(context, index, gradient, memory),
        Kind::Add => {
            for input in buffers.input_gradients.iter().flatten() {
                if input.buffer != gradient {
                    let [source, target] = memory.views(context.program, [gradient, input.buffer]);
                    activation::copy(target, source);
                }
            }
        }
        Kind::Concat => {
            let inputs = buffers.input_gradients.iter().zip(parts(group));
            for (input, part) in inputs {
                if let Some(input) = input {
                    let [source, target] = memory.views(context.program, [gradient, input.buffer]);
                    channels::read_part(source, part, target);
                }
            }
        }
        Kind::ClassToken => class_token(context, index, gradient, memory, gradients),
        _ => replace(context, index, gradient, memory),
    }
    for input in buffers.input_gradients.iter().flatten() {
        if let Sum::Into(sum) = input.sum {
            let [sum, part] = memory.views(context.program, [sum, input.buffer]);
            activation::add(sum, part);
        }
    }
}

fn first_input(context: &Context<'_>, index: usize) -> Option<InputGradient> {
    context.program.schedule.groups[index].input_gradients[0]
}

fn normalization(
    context: &Context<'_>,
    index: usize,
    gradient: Buffer,
    normalized: &Normalized,
    memory: &mut Memory,
    gradients: &mut TensorGradients<'_>,
) {
    let group = context.group(index);
    let buffers = &context.program.schedule.groups[index];
    let tensors = context.tensors_of(index);
    let Some(values) = buffers.values else {
        return;
    };
    if values != buffers.inputs[0] {
        let [source, target] = memory.views(context.program, [buffers.inputs[0], values]);
        activation::copy(target, source);
    }
    let by_affine = match group.kind {
        Kind::PooledNormalization { rectifier } => {
            let Some(shape) = shapes::pooling(context.last_layer(group)) else {
                return;
            };
            let view = normalized.view(tensors, rectifier);
            let ([values, gradient], taps) =
                memory.views_with_bytes(context.program, [values, gradient], buffers.bytes);
            normalization::backward_pooled(&view, &shape, values, taps, gradient)
        }
        Kind::Normalization {
            shortcut: true,
            activation: Some(activation),
        } => {
            let view = normalized.view(tensors, Some(activation));
            let [values, output, gradient] =
                memory.views(context.program, [values, buffers.output, gradient]);
            normalization::backward(&view, values, Some(output), gradient)
        }
        Kind::Normalization { activation, .. } => {
            let view = normalized.view(tensors, activation);
            let [values, gradient] = memory.views(context.program, [values, gradient]);
            normalization::backward(&view, values, None, gradient)
        }
        _ => return,
    };
    set_affine(context, index, by_affine, gradients);
}

fn set_affine(
    context: &Context<'_>,
    index: usize,
    by_affine: AffineGradients,
    gradients: &mut TensorGradients<'_>,
) {
    let layer = context.layer(index);
    if layer.is_fitted {
        gradients.set(layer.tensors.start, by_affine.weight);
        gradients.set(layer.tensors.start + 1, by_affine.bias);
    }
}

/// Convolutions and linear layers.
fn product(
    context: &Context<'_>,
    index: usize,
    gradient: Buffer,
    findings: &Findings,
    memory: &mut Memory,
    gradients: &mut TensorGradients<'_>,
) {
    let (group, layer) = (context.group(index), context.layer(index));
    let buffers = &context.program.schedule.groups[index];
    if layer.is_fitted {
        let [input, gradient] = memory.views(context.program, [buffers.inputs[0], gradient]);
        let input = Input {
            values: input,
            normalization: findings.deferred_to(context, index),
        };
        by_weight(context, index, input, gradient, gradients);
    }
    let Some(input) = first_input(context, index) else {
        return;
    };
    let weight = &context.tensors_of(index)[0];
    let [gradient, target] = memory.views(context.program, [gradient, input.buffer]);
    if group.kind == Kind::Linear {
        let shape = shapes::linear(group, context.batch());
        let mode = match input.sum {
            Sum::InPlace => Destination::Add,
            _ => Destination::Replace,
        };
        linear::backward_input(&shape, weight, gradient, target, mode);
    } else if let Some(shape) = shapes::convolution(layer, context.batch()) {
        convolution::backward_input(&shape, weight, gradient, target);
    }
}

/// The gradients by weight and bias.
fn by_weight(
    context: &Context<'_>,
    index: usize,
    input: Input<'_>,
    gradient: &[f32],
    gradients: &mut TensorGradients<'_>,
) {
    let (group, layer) = (context.group(index), context.layer(index));
    let first = layer.tensors.start;
    let has_bias = layer.tensors.len() > 1;
    if group.kind == Kind::Linear {
        let shape = shapes::linear(group, context.batch());
        let target = gradients.buffer(first, shape.inputs * shape.outputs);
        linear::backward_weight(&shape, input.values, gradient, target);
        if has_bias {
            gradients.set(first + 1, activation::column_sums(gradient, shape.outputs));
        }
    } else if let Some(shape) = shapes::convolution(layer, context.batch()) {
        let target = gradients.buffer(first, context.tensors_of(index)[0].len());
        convolution::backward_weight(&shape, input, gradient, target);
        if has_bias {
            gradients.set(
                first + 1,
                activation::column_sums(gradient, shape.out_channels),
            );
        }
    }
}

/// Groups that turn the gradient of their output into that of their input, in place.
fn elementwise(
    context: &Context<'_>,
    index: usize,
    gradient: Buffer,
    memory: &mut Memory,
    gradients: &mut TensorGradients<'_>,
) {
    let (group, layer) = (context.group(index), context.layer(index));
    let tensors = context.tensors_of(index);
    let buffers = &context.program.schedule.groups[index];
    let first = layer.tensors.start;
    match group.kind {
        Kind::Dropout => {
            let ([gradient], mask) =
                memory.views_with_bytes(context.program, [gradient], buffers.bytes);
            dropout::apply(gradient, mask, dropout_factor(probability(context, index)));
        }
        Kind::StochasticDepth => {
            let [gradient] = memory.views(context.program, [gradient]);
            channels::scale_images(gradient, &depths(context, index));
        }
        Kind::PositionEmbedding => {
            let [gradient] = memory.views(context.program, [gradient]);
            gradients.set(first, activation::column_sums(gradient, tensors[0].len()));
        }
        Kind::Activation(activation) if activation.reads_output() => {
            let [output, gradient] = memory.views(context.program, [buffers.output, gradient]);
            activation.backward(gradient, output);
        }
        _ => {
            let [input, gradient] = memory.views(context.program, [buffers.inputs[0], gradient]);
            match group.kind {
                Kind::Activation(activation) => activation.backward(gradient, input),
                Kind::LayerNorm => {
                    let norm = layer_norm_of(layer, tensors);
                    let by_affine = layer_norm::backward(&norm, input, gradient);
                    set_affine(context, index, by_affine, gradients);
                }
                _ => gradients.set(
                    first,
                    channels::scale_backward(input, &tensors[0], gradient),
                ),
            }
        }
    }
}

fn multiply(context: &Context<'_>, index: usize, gradient: Buffer, memory: &mut Memory) {
    let group = context.group(index);
    let buffers = &context.program.schedule.groups[index];
    let [first, second] = [buffers.inputs[0], buffers.inputs[1]];
    let by_second = buffers.input_gradients[1].map(|input| input.buffer);
    if group.kind == Kind::Gate {
        // Without a buffer for it, the gradient of the gate is not wanted.
        let channels = group.output.channels;
        let Some(by_second) = by_second else {
            let [second, gradient] = memory.views(context.program, [second, gradient]);
            return channels::gate(gradient, second, channels);
        };
        let [first, second, gradient, by_second] =
            memory.views(context.program, [first, second, gradient, by_second]);
        return channels::gate_backward(first, second, channels, gradient, by_second);
    }
    if let Some(by_second) = by_second {
        let [first, gradient, target] = memory.views(context.program, [first, gradient, by_second]);
        channels::product(first, gradient, target);
    }
    if buffers.input_gradients[0].is_some() {
        let [second, gradient] = memory.views(context.program, [second, gradient]);
        activation::multiply(gradient, second);
    }
}

fn class_token(
    context: &Context<'_>,
    index: usize,
    gradient: Buffer,
    memory: &mut Memory,
    gradients: &mut TensorGradients<'_>,
) {
    let (group, layer) = (context.group(index), context.layer(index));
    let (channels, pixels) = (group.output.channels, group.input_extents[0].pixels());
    if let Some(input) = first_input(context, index) {
        let [gradient, target] = memory.views(context.program, [gradient, input.buffer]);
        tokens::prepend_backward(gradient, channels, pixels, target);
    }
    if layer.is_fitted {
        let [gradient] = memory.views(context.program, [gradient]);
        let by_token = tokens::prepend_backward_token(gradient, channels, pixels);
        gradients.set(layer.tensors.start, by_token);
    }
}

/// Groups that read the gradient of their output and write that of their input.
fn replace(context: &Context<'_>, index: usize, gradient: Buffer, memory: &mut Memory) {
    let (group, layer) = (context.group(index), context.layer(index));
    let buffers = &context.program.schedule.groups[index];
    let Some(target) = first_input(context, index) else {
        return;
    };
    let Extent { channels, .. } = group.input_extents[0];
    let pixels = group.input_extents[0].pixels();
    match group.kind {
        Kind::MaxPooling { .. } => {
            let ([gradient, target], taps) =
                memory.views_with_bytes(context.program, [gradient, target.buffer], buffers.bytes);
            if let Some(shape) = shapes::pooling(context.last_layer(group)) {
                pooling::max_backward(&shape, taps, gradient, target);
            }
            return;
        }
        Kind::WideMaxPooling => {
            let [input, output, gradient, target] = memory.views(
                context.program,
                [buffers.inputs[0], buffers.output, gradient, target.buffer],
            );
            if let Some(shape) = shapes::pooling(layer) {
                pooling::max_backward_by_search(&shape, input, output, gradient, target);
            }
            return;
        }
        Kind::Attention => {
            let [input, gradient, target] = memory.views(
                context.program,
                [buffers.inputs[0], gradient, target.buffer],
            );
            if let Some(shape) = shapes::attention(layer) {
                attention::backward(&shape, input, gradient, target);
            }
            return;
        }
        _ => {}
    }
    let is_first = target.sum != Sum::InPlace;
    let [gradient, target] = memory.views(context.program, [gradient, target.buffer]);
    match group.kind {
        Kind::AveragePooling => {
            if let Some(shape) = shapes::pooling(layer) {
                pooling::average_backward(&shape, gradient, target);
            }
        }
        Kind::GridPooling => pooling::grid_average_backward(&shapes::grid(group), gradient, target),
        Kind::GlobalPooling => {
            if is_first {
                target.fill(0.0);
            }
            pooling::add_global_average_backward(gradient, channels, pixels, target);
        }
        Kind::Flatten => layout::channels_last(gradient, channels, pixels, target),
        Kind::SelectToken => {
            tokens::select_backward(gradient, channels, pixels, selected_token(layer), target);
        }
        _ => {}
    }
}
