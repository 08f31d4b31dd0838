//! The backward pass.

use ferrotype_core::graph::Op;
use ferrotype_kernels::activation;
use ferrotype_kernels::convolution;
use ferrotype_kernels::layout;
use ferrotype_kernels::normalization::{self, Normalization};
use ferrotype_kernels::pooling;
use ferrotype_kernels::product::{Destination, Matrix, MatrixMut, Threads, multiply};

use super::arena::Arena;
use super::forward::{Pass, Saved, activation_of, convolution_shape, pooling_shape, rectifier};
use crate::executor::plan::{Fusion, Plan, PlannedLayer, Slot};

/// Walks the graph upwards from the gradient of the logits.
pub(super) struct Backward<'a> {
    plan: &'a Plan,
    tensors: &'a [Vec<f32>],
    pass: &'a mut Pass,
    arena: &'a mut Arena,
    /// Gradients of the buffers, by layer; none while nobody below gave one.
    gradients: Vec<Option<Vec<f32>>>,
    /// Gradients of the graph's tensors; empty for those without.
    tensor_gradients: Vec<Vec<f32>>,
}

impl<'a> Backward<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        tensors: &'a [Vec<f32>],
        pass: &'a mut Pass,
        arena: &'a mut Arena,
    ) -> Self {
        Self {
            gradients: vec![None; plan.layers.len()],
            tensor_gradients: vec![Vec::new(); tensors.len()],
            plan,
            tensors,
            pass,
            arena,
        }
    }

    /// The gradient by each of the graph's tensors; empty for those without.
    pub(super) fn run(mut self, logits_gradient: Vec<f32>) -> Vec<Vec<f32>> {
        self.gradients[self.plan.output] = Some(logits_gradient);
        let plan = self.plan;
        for (index, layer) in plan.layers.iter().enumerate().rev() {
            if layer.fusion == Fusion::PassThrough {
                continue;
            }
            match self.gradients[index].take() {
                Some(gradient) if layer.needs_gradient => self.layer(index, layer, gradient),
                Some(gradient) => self.arena.give(gradient),
                None => {}
            }
            // All its readers are done; the gradients above can have its memory.
            if let Some(buffer) = self.pass.outputs[index].take() {
                self.arena.give(buffer);
            }
        }
        self.tensor_gradients
    }

    fn layer(&mut self, index: usize, layer: &PlannedLayer, gradient: Vec<f32>) {
        match &layer.op {
            Op::Conv2d { .. } => self.convolution(layer, gradient),
            Op::BatchNorm2d { .. } => self.normalization(index, layer, gradient),
            Op::Linear { .. } => self.linear(layer, gradient),
            Op::MaxPool2d { .. } | Op::AvgPool2d { .. } => self.pooling(index, layer, gradient),
            Op::GlobalAvgPool {} => {
                let extent = layer.input_extents[0];
                self.replace(layer, gradient, |gradient, target| {
                    let (channels, pixels) = (extent.channels, extent.pixels());
                    pooling::global_average_backward(gradient, channels, pixels, target);
                });
            }
            Op::Flatten {} => {
                let extent = layer.input_extents[0];
                self.replace(layer, gradient, |gradient, target| {
                    layout::channels_last(gradient, extent.channels, extent.pixels(), target);
                });
            }
            Op::Add {} => {
                for slot in &layer.inputs[1..] {
                    let copy = self.arena.copy(&gradient);
                    self.pass_up(*slot, copy);
                }
                self.pass_up(layer.inputs[0], gradient);
            }
            Op::Concat {} => self.concatenation(layer, &gradient),
            op => self.elementwise(index, op, layer, gradient),
        }
    }

    /// Adds a gradient to that of the buffer in `slot`.
    fn pass_up(&mut self, slot: Slot, gradient: Vec<f32>) {
        let Slot::Layer(index) = slot else {
            return self.arena.give(gradient);
        };
        match &mut self.gradients[index] {
            Some(sum) => {
                activation::add(sum, &gradient);
                self.arena.give(gradient);
            }
            empty => *empty = Some(gradient),
        }
    }

    /// Whether anybody above needs the gradient of what the layer reads.
    fn is_needed_above(&self, layer: &PlannedLayer) -> bool {
        matches!(layer.inputs[0], Slot::Layer(read) if self.plan.layers[read].needs_gradient)
    }

    /// Passes up the gradient that `work` makes of the layer's own, in a buffer of the input's
    /// size.
    fn replace(
        &mut self,
        layer: &PlannedLayer,
        gradient: Vec<f32>,
        work: impl FnOnce(&[f32], &mut [f32]),
    ) {
        if self.is_needed_above(layer) {
            let len = self.pass.batch * layer.input_extents[0].len();
            let mut target = self.arena.take(len);
            work(&gradient, &mut target);
            self.pass_up(layer.inputs[0], target);
        }
        self.arena.give(gradient);
    }

    fn convolution(&mut self, layer: &PlannedLayer, gradient: Vec<f32>) {
        let Some(shape) = convolution_shape(layer, self.pass.batch) else {
            return;
        };
        let first = layer.tensors.start;
        if layer.is_fitted {
            let input = self.pass.buffer(layer.inputs[0]);
            let gradients = convolution::backward_weight(&shape, input, &gradient);
            self.tensor_gradients[first] = gradients.weight;
            if layer.tensors.len() > 1 {
                self.tensor_gradients[first + 1] = gradients.bias;
            }
        }
        let weight = &self.tensors[first];
        self.replace(layer, gradient, |gradient, target| {
            convolution::backward_input(&shape, weight, gradient, target);
        });
    }

    fn normalization(&mut self, index: usize, layer: &PlannedLayer, mut gradient: Vec<f32>) {
        let Saved::Norm {
            statistics,
            inverse_deviation,
        } = &self.pass.saved[index]
        else {
            return;
        };
        let first = layer.tensors.start;
        let normalization = Normalization {
            mean: &statistics.mean,
            inverse_deviation,
            weight: &self.tensors[first],
            bias: &self.tensors[first + 1],
            rectifier: rectifier(layer),
        };
        let output = self.pass.buffer(Slot::Layer(index));
        if !layer.is_fitted {
            normalization::backward_frozen(&normalization, output, &mut gradient);
            return self.pass_up(layer.inputs[0], gradient);
        }
        let input = self.pass.buffer(layer.inputs[0]);
        let gradients = normalization::backward(&normalization, input, output, &mut gradient);
        self.tensor_gradients[first] = gradients.weight;
        self.tensor_gradients[first + 1] = gradients.bias;
        self.pass_up(layer.inputs[0], gradient);
    }

    fn linear(&mut self, layer: &PlannedLayer, gradient: Vec<f32>) {
        let (inputs, outputs) = (layer.input_extents[0].len(), layer.output.len());
        let batch = self.pass.batch;
        let first = layer.tensors.start;
        if layer.is_fitted {
            let input = self.pass.buffer(layer.inputs[0]);
            let mut weight_gradient = vec![0.0; outputs * inputs];
            multiply(
                MatrixMut::new(&mut weight_gradient, outputs, inputs),
                Destination::Replace,
                Matrix::new(&gradient, batch, outputs).transposed(),
                Matrix::new(input, batch, inputs),
                Threads::Pool,
            );
            self.tensor_gradients[first] = weight_gradient;
            if layer.tensors.len() > 1 {
                self.tensor_gradients[first + 1] = activation::column_sums(&gradient, outputs);
            }
        }
        let weight = &self.tensors[first];
        self.replace(layer, gradient, |gradient, target| {
            multiply(
                MatrixMut::new(target, batch, inputs),
                Destination::Replace,
                Matrix::new(gradient, batch, outputs),
                Matrix::new(weight, outputs, inputs),
                Threads::Pool,
            );
        });
    }

    fn pooling(&mut self, index: usize, layer: &PlannedLayer, gradient: Vec<f32>) {
        let Some(shape) = pooling_shape(layer) else {
            return;
        };
        let saved = std::mem::replace(&mut self.pass.saved[index], Saved::Nothing);
        self.replace(layer, gradient, |gradient, target| match &saved {
            Saved::Winners(winners) => pooling::max_backward(&shape, winners, gradient, target),
            _ => pooling::average_backward(&shape, gradient, target),
        });
    }

    fn concatenation(&mut self, layer: &PlannedLayer, gradient: &[f32]) {
        let channels = layer.output.channels;
        let mut start = 0;
        for (slot, extent) in layer.inputs.iter().zip(&layer.input_extents) {
            let width = extent.channels;
            let mut part = self.arena.take(self.pass.batch * extent.len());
            let pixels = gradient.chunks_exact(channels);
            for (target, source) in part.chunks_exact_mut(width).zip(pixels) {
                target.copy_from_slice(&source[start..start + width]);
            }
            self.pass_up(*slot, part);
            start += width;
        }
    }

    fn elementwise(&mut self, index: usize, op: &Op, layer: &PlannedLayer, mut gradient: Vec<f32>) {
        if let Saved::Mask(mask) = &self.pass.saved[index] {
            activation::multiply(&mut gradient, mask);
        } else if let Some(activation) = activation_of(op) {
            activation.backward(&mut gradient, self.pass.buffer(layer.inputs[0]));
        }
        self.pass_up(layer.inputs[0], gradient);
    }
}
