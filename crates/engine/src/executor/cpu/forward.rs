//! The forward pass.

use ferrotype_core::graph::Op;
use ferrotype_kernels::activation::{self, Activation};
use ferrotype_kernels::convolution::{self, Convolution};
use ferrotype_kernels::layout;
use ferrotype_kernels::normalization::{self, Normalization, Rectifier, Statistics};
use ferrotype_kernels::pooling::{self, Pooling};
use ferrotype_kernels::product::{Destination, Matrix, MatrixMut, Threads, multiply};

use super::arena::Arena;
use crate::executor::StepOptions;
use crate::executor::plan::{Extent, Fusion, Plan, PlannedLayer, Slot};
use crate::executor::shared::dropout_mask;

/// What a layer keeps for its backward pass besides its input and output.
#[derive(Debug)]
pub(super) enum Saved {
    Nothing,
    /// Of a normalisation.
    Norm {
        statistics: Statistics,
        inverse_deviation: Vec<f32>,
    },
    /// Of a maximum pooling: the pixel each output came from.
    Winners(Vec<u32>),
    /// Of a dropout.
    Mask(Vec<f32>),
}

/// A forward pass: the buffers that the layers wrote.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) batch: usize,
    /// NHWC.
    pub(super) image: Vec<f32>,
    /// By layer, NHWC; none for a layer that passes its input through, or when released.
    pub(super) outputs: Vec<Option<Vec<f32>>>,
    /// By layer; all `Nothing` outside training.
    pub(super) saved: Vec<Saved>,
}

impl Pass {
    /// The buffer in `slot`. Readers come after writers, so it is there.
    pub(super) fn buffer(&self, slot: Slot) -> &[f32] {
        match slot {
            Slot::Image => &self.image,
            Slot::Layer(index) => self.outputs[index].as_deref().unwrap_or_default(),
        }
    }

    /// Gives all buffers back.
    pub(super) fn recycle(self, arena: &mut Arena) {
        arena.give(self.image);
        self.outputs
            .into_iter()
            .flatten()
            .for_each(|buffer| arena.give(buffer));
    }
}

/// Runs the graph on `images` (NCHW). With `training`, normalisations use the batch's own
/// statistics, dropout is active, and everything that the backward pass reads is kept.
pub(super) fn run(
    plan: &Plan,
    tensors: &[Vec<f32>],
    images: &[f32],
    batch: usize,
    training: Option<&StepOptions<'_>>,
    arena: &mut Arena,
) -> Pass {
    let mut image = arena.take(images.len());
    layout::channels_last(images, plan.input.channels, plan.input.pixels(), &mut image);
    let mut pass = Pass {
        batch,
        image,
        outputs: Vec::with_capacity(plan.layers.len()),
        saved: Vec::with_capacity(plan.layers.len()),
    };
    for (index, layer) in plan.layers.iter().enumerate() {
        let tensors = &tensors[layer.tensors.clone()];
        let (output, saved) = if layer.fusion == Fusion::PassThrough {
            (None, Saved::Nothing)
        } else {
            let mut output = arena.take(batch * layer.output.len());
            let saved = compute(index, layer, tensors, &pass, training, &mut output);
            (Some(output), saved)
        };
        pass.outputs.push(output);
        pass.saved.push(saved);
        if training.is_none() {
            for read in &layer.last_reader_of {
                if let Some(buffer) = pass.outputs[*read].take() {
                    arena.give(buffer);
                }
            }
        }
    }
    pass
}

fn compute(
    index: usize,
    layer: &PlannedLayer,
    tensors: &[Vec<f32>],
    pass: &Pass,
    training: Option<&StepOptions<'_>>,
    output: &mut [f32],
) -> Saved {
    let input = pass.buffer(layer.inputs[0]);
    let extent = layer.input_extents[0];
    match &layer.op {
        Op::Conv2d { .. } => {
            if let Some(shape) = convolution_shape(layer, pass.batch) {
                let bias = tensors.get(1).map(Vec::as_slice);
                convolution::forward(&shape, input, &tensors[0], bias, output);
            }
        }
        Op::BatchNorm2d { epsilon, .. } => {
            let measures = training.is_some() && layer.is_fitted;
            return normalize(layer, tensors, input, *epsilon, measures, output);
        }
        Op::Linear { .. } => linear(layer, tensors, input, pass.batch, output),
        Op::Dropout { probability } => {
            output.copy_from_slice(input);
            if let Some(options) = training.filter(|_| *probability > 0.0) {
                let mask = dropout_mask(options, index as u64, *probability, output.len());
                activation::multiply(output, &mask);
                return Saved::Mask(mask);
            }
        }
        Op::MaxPool2d { .. } => {
            if let Some(shape) = pooling_shape(layer) {
                let mut winners = vec![0; output.len()];
                pooling::max_forward(&shape, input, output, &mut winners);
                return Saved::Winners(winners);
            }
        }
        Op::AvgPool2d { .. } => {
            if let Some(shape) = pooling_shape(layer) {
                pooling::average_forward(&shape, input, output);
            }
        }
        Op::GlobalAvgPool {} => {
            pooling::global_average_forward(input, extent.channels, extent.pixels(), output);
        }
        Op::Flatten {} => layout::channels_first(input, extent.channels, extent.pixels(), output),
        Op::Add {} => {
            output.copy_from_slice(input);
            for slot in &layer.inputs[1..] {
                activation::add(output, pass.buffer(*slot));
            }
        }
        Op::Concat {} => concatenate(layer, pass, output),
        op => {
            output.copy_from_slice(input);
            if let Some(activation) = activation_of(op) {
                activation.forward(output);
            }
        }
    }
    Saved::Nothing
}

/// The element-wise function that an operation is.
pub(super) fn activation_of(op: &Op) -> Option<Activation> {
    match op {
        Op::Relu {} => Some(Activation::Relu),
        Op::Silu {} => Some(Activation::Silu),
        Op::HardSwish {} => Some(Activation::HardSwish),
        Op::Sigmoid {} => Some(Activation::Sigmoid),
        _ => None,
    }
}

/// The shape of a convolution layer; none when it is another.
pub(super) fn convolution_shape(layer: &PlannedLayer, batch: usize) -> Option<Convolution> {
    let Op::Conv2d {
        kernel,
        stride,
        padding,
        dilation,
        groups,
        ..
    } = &layer.op
    else {
        return None;
    };
    let (input, output) = (layer.input_extents[0], layer.output);
    Some(Convolution {
        batch,
        input: [input.height, input.width],
        output: [output.height, output.width],
        in_channels: input.channels,
        out_channels: output.channels,
        kernel: kernel.to_array(),
        stride: stride.to_array(),
        padding: padding.to_array(),
        dilation: dilation.to_array(),
        groups: *groups,
    })
}

/// The shape of a pooling layer; none when it is another.
pub(super) fn pooling_shape(layer: &PlannedLayer) -> Option<Pooling> {
    let (Op::MaxPool2d {
        kernel,
        stride,
        padding,
    }
    | Op::AvgPool2d {
        kernel,
        stride,
        padding,
    }) = &layer.op
    else {
        return None;
    };
    let (input, output) = (layer.input_extents[0], layer.output);
    Some(Pooling {
        input: [input.height, input.width],
        output: [output.height, output.width],
        channels: input.channels,
        kernel: kernel.to_array(),
        stride: stride.unwrap_or(*kernel).to_array(),
        padding: padding.to_array(),
    })
}

/// Whether a normalisation computes the rectifier below it as well.
pub(super) fn rectifier(layer: &PlannedLayer) -> Rectifier {
    if layer.fusion == Fusion::WithRectifier {
        Rectifier::Fused
    } else {
        Rectifier::Absent
    }
}

/// `tensors` are scale, shift, running mean and running variance.
fn normalize(
    layer: &PlannedLayer,
    tensors: &[Vec<f32>],
    input: &[f32],
    epsilon: f64,
    measures: bool,
    output: &mut [f32],
) -> Saved {
    let statistics = if measures {
        normalization::statistics(input, layer.output.channels)
    } else {
        Statistics {
            mean: tensors[2].clone(),
            variance: tensors[3].clone(),
        }
    };
    let inverse_deviation = normalization::inverse_deviation(&statistics.variance, epsilon);
    let normalization = Normalization {
        mean: &statistics.mean,
        inverse_deviation: &inverse_deviation,
        weight: &tensors[0],
        bias: &tensors[1],
        rectifier: rectifier(layer),
    };
    normalization::forward(&normalization, input, output);
    Saved::Norm {
        statistics,
        inverse_deviation,
    }
}

fn linear(
    layer: &PlannedLayer,
    tensors: &[Vec<f32>],
    input: &[f32],
    batch: usize,
    output: &mut [f32],
) {
    let (inputs, outputs) = (layer.input_extents[0].len(), layer.output.len());
    multiply(
        MatrixMut::new(output, batch, outputs),
        Destination::Replace,
        Matrix::new(input, batch, inputs),
        Matrix::new(&tensors[0], outputs, inputs).transposed(),
        Threads::Pool,
    );
    if let Some(bias) = tensors.get(1) {
        activation::add_to_rows(output, bias);
    }
}

fn concatenate(layer: &PlannedLayer, pass: &Pass, output: &mut [f32]) {
    let channels = layer.output.channels;
    let mut start = 0;
    for (slot, extent) in layer.inputs.iter().zip(&layer.input_extents) {
        let Extent {
            channels: width, ..
        } = *extent;
        let pixels = pass.buffer(*slot).chunks_exact(width);
        for (target, source) in output.chunks_exact_mut(channels).zip(pixels) {
            target[start..start + width].copy_from_slice(source);
        }
        start += width;
    }
}
