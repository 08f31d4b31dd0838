//! A graph made ready for execution: indices and sizes instead of names, and which layers are
//! computed in one pass.

mod fusion;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;

use ferrotype_core::graph::{Graph, LayerInfo, Op, TensorSpec};

pub(crate) use self::fusion::{Group, Kind, Mode, Value};
use crate::error::{EngineError, EngineErrorKind};

/// Size of what flows between layers, for one image. A row of features is one pixel of many
/// channels; tokens are pixels below each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Extent {
    fn of(shape: &[usize]) -> Self {
        match *shape {
            [channels, height, width] => Self {
                channels,
                height,
                width,
            },
            _ => Self {
                channels: shape.iter().product(),
                height: 1,
                width: 1,
            },
        }
    }

    /// How many pixels.
    pub(crate) fn pixels(self) -> usize {
        self.height * self.width
    }

    /// How many numbers.
    pub(crate) fn len(self) -> usize {
        self.channels * self.pixels()
    }

    /// Height and width.
    pub(crate) fn sides(self) -> [usize; 2] {
        [self.height, self.width]
    }
}

/// What a layer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The image.
    Image,
    /// What this layer gave.
    Layer(usize),
}

/// A layer, with indices and sizes instead of names.
#[derive(Debug, Clone)]
pub(crate) struct PlannedLayer {
    pub(crate) name: String,
    pub(crate) op: Op,
    pub(crate) inputs: Vec<Slot>,
    /// Sizes of what it reads, in the order of `inputs`.
    pub(crate) input_extents: Vec<Extent>,
    pub(crate) output: Extent,
    /// Its tensors among [`Graph::tensors`].
    pub(crate) tensors: Range<usize>,
    /// Whether a tensor of its own is fitted; a normalisation without one uses and keeps its
    /// running statistics.
    pub(crate) is_fitted: bool,
    /// Whether a weight at or above it needs the gradient of its output.
    pub(crate) needs_gradient: bool,
    /// The layers whose outputs nobody reads after this one.
    pub(crate) last_reader_of: Vec<usize>,
    /// Floating-point operations of one image's forward pass.
    pub(crate) flops: u64,
}

/// A graph made ready for execution.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) layers: Vec<PlannedLayer>,
    pub(crate) input: Extent,
    /// Logits per image.
    pub(crate) classes: usize,
}

impl Plan {
    /// Plans a graph whose last layer gives one row of logits per image.
    ///
    /// # Errors
    /// The graph does not pass its checks, or has nothing to fit.
    pub(crate) fn new(graph: &Graph, specs: &[TensorSpec]) -> Result<Self, EngineError> {
        let infos = graph.shapes()?;
        let classes = class_count(&infos)?;
        graph.check(classes)?;
        if !specs.iter().any(|spec| spec.role.is_trained()) {
            return Err(EngineError::new(
                EngineErrorKind::Graph,
                "the graph has no weights: there is nothing to train",
            )
            .with_hint("add a `conv2d` or `linear` layer"));
        }
        let mut plan = Self {
            layers: layers(graph, &infos, specs),
            input: Extent::of(&graph.input),
            classes,
        };
        mark_last_readers(&mut plan.layers);
        let fitted: Vec<bool> = specs.iter().map(|spec| spec.role.is_trained()).collect();
        plan.set_fitted(&fitted);
        Ok(plan)
    }

    /// Says which of the graph's tensors are fitted. Nothing above the first of them needs a
    /// gradient, and a normalisation without one keeps its running statistics.
    pub(crate) fn set_fitted(&mut self, fitted: &[bool]) {
        for index in 0..self.layers.len() {
            let layer = &self.layers[index];
            let is_fitted = fitted[layer.tensors.clone()].contains(&true);
            let needs_gradient = is_fitted
                || layer.inputs.iter().any(
                    |slot| matches!(slot, Slot::Layer(read) if self.layers[*read].needs_gradient),
                );
            let layer = &mut self.layers[index];
            layer.is_fitted = is_fitted;
            layer.needs_gradient = needs_gradient;
        }
    }

    /// The layers in the passes they are computed in, in execution order.
    pub(crate) fn groups(&self, mode: Mode) -> Vec<Group> {
        fusion::groups(&self.layers, mode)
    }

    /// Checks a batch against the graph.
    ///
    /// # Errors
    /// The batch is empty or has another length.
    pub(crate) fn check_batch(&self, images: &[f32], batch: usize) -> Result<(), EngineError> {
        let input_error = |message: String| EngineError::new(EngineErrorKind::Input, message);
        if batch == 0 {
            return Err(input_error("the batch has no images".to_string()));
        }
        if Some(images.len()) != batch.checked_mul(self.input.len()) {
            let Extent {
                channels,
                height,
                width,
            } = self.input;
            return Err(input_error(format!(
                "the batch has {} numbers, expected {batch} images of [{channels}, {height}, {width}]",
                images.len(),
            )));
        }
        Ok(())
    }
}

fn layers(graph: &Graph, infos: &[LayerInfo], specs: &[TensorSpec]) -> Vec<PlannedLayer> {
    let positions: HashMap<&str, usize> = (0..)
        .zip(&graph.layers)
        .map(|(index, layer)| (layer.name.as_str(), index))
        .collect();
    let slot_of = |name: &str| {
        positions
            .get(name)
            .map_or(Slot::Image, |at| Slot::Layer(*at))
    };
    let extent_of = |slot: &Slot| match slot {
        Slot::Image => Extent::of(&graph.input),
        Slot::Layer(index) => Extent::of(&infos[*index].output_shape),
    };
    let layer = |index: usize| {
        let names = graph.inputs_of(index);
        let inputs: Vec<Slot> = names.iter().map(|name| slot_of(name)).collect();
        PlannedLayer {
            name: graph.layers[index].name.clone(),
            op: graph.layers[index].op.clone(),
            input_extents: inputs.iter().map(extent_of).collect(),
            inputs,
            output: Extent::of(&infos[index].output_shape),
            tensors: tensor_range(specs, index),
            is_fitted: false,
            needs_gradient: false,
            last_reader_of: Vec::new(),
            flops: infos[index].flops,
        }
    };
    (0..graph.layers.len()).map(layer).collect()
}

fn class_count(infos: &[LayerInfo]) -> Result<usize, EngineError> {
    match infos.last().map(|info| info.output_shape.as_slice()) {
        Some([classes]) => Ok(*classes),
        shape => Err(EngineError::new(
            EngineErrorKind::Graph,
            format!(
                "the last layer gives {:?} per image, expected one number per class",
                shape.unwrap_or_default()
            ),
        )
        .with_hint("end with `op: linear` and `out_features: classes`")),
    }
}

fn tensor_range(specs: &[TensorSpec], layer: usize) -> Range<usize> {
    let start = specs.partition_point(|spec| spec.layer < layer);
    let end = specs.partition_point(|spec| spec.layer <= layer);
    start..end
}

fn mark_last_readers(layers: &mut [PlannedLayer]) {
    let mut last_reader = vec![None; layers.len()];
    for (index, layer) in layers.iter().enumerate() {
        for slot in &layer.inputs {
            if let Slot::Layer(read) = slot {
                last_reader[*read] = Some(index);
            }
        }
    }
    for (read, reader) in last_reader.into_iter().enumerate() {
        if let Some(reader) = reader {
            layers[reader].last_reader_of.push(read);
        }
    }
}
