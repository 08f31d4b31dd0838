//! A graph made ready for execution: indices and sizes instead of names.

use std::collections::HashMap;
use std::ops::Range;

use ferrotype_core::graph::{Graph, IMAGE, LayerInfo, Op, TensorSpec};

use crate::error::{EngineError, EngineErrorKind};

/// Size of what flows between layers, for one image. A row of features is one pixel of many
/// channels.
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
}

/// A buffer that a layer reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The image.
    Image,
    /// What this layer wrote.
    Layer(usize),
}

/// How a layer is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fusion {
    /// By itself.
    Alone,
    /// A normalisation that also computes the rectifier below it.
    WithRectifier,
    /// Not at all: its output is its input's buffer, as it is.
    PassThrough,
}

/// Whether layers may be executed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fusing {
    /// As [`Fusion`] has it.
    Allowed,
    /// Each layer by itself.
    #[cfg(feature = "burn")]
    Forbidden,
}

/// A layer, with indices and sizes instead of names.
#[derive(Debug, Clone)]
pub(crate) struct PlannedLayer {
    pub(crate) op: Op,
    pub(crate) fusion: Fusion,
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
    /// The buffers that nobody reads after this layer.
    pub(crate) last_reader_of: Vec<usize>,
}

/// A graph made ready for execution.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) layers: Vec<PlannedLayer>,
    pub(crate) input: Extent,
    /// Logits per image.
    pub(crate) classes: usize,
    /// The buffer with the logits.
    pub(crate) output: usize,
}

impl Plan {
    /// Plans a graph whose last layer gives one row of logits per image.
    ///
    /// # Errors
    /// The graph does not pass its checks, or has nothing to fit.
    pub(crate) fn new(
        graph: &Graph,
        specs: &[TensorSpec],
        fusing: Fusing,
    ) -> Result<Self, EngineError> {
        let infos = graph.shapes()?;
        let classes = class_count(&infos)?;
        graph.check(classes)?;
        check_executable(graph, &infos)?;
        if !specs.iter().any(|spec| spec.role.is_trained()) {
            return Err(EngineError::new(
                EngineErrorKind::Graph,
                "the graph has no weights: there is nothing to train",
            )
            .with_hint("add a `conv2d` or `linear` layer"));
        }
        let mut layers = Planner::new(graph, &infos, specs, fusing).layers();
        mark_last_readers(&mut layers);
        let last = layers.len() - 1;
        Ok(Self {
            output: buffer_of(&layers, last),
            layers,
            input: Extent::of(&graph.input),
            classes,
        })
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
}

/// The buffer that holds the output of layer `index`: its own, or one it passes through.
fn buffer_of(layers: &[PlannedLayer], index: usize) -> usize {
    match layers[index].inputs.first() {
        Some(Slot::Layer(read)) if layers[index].fusion == Fusion::PassThrough => *read,
        _ => index,
    }
}

struct Planner<'a> {
    graph: &'a Graph,
    infos: &'a [LayerInfo],
    specs: &'a [TensorSpec],
    positions: HashMap<&'a str, usize>,
    reader_counts: Vec<usize>,
    fusing: Fusing,
}

impl<'a> Planner<'a> {
    fn new(
        graph: &'a Graph,
        infos: &'a [LayerInfo],
        specs: &'a [TensorSpec],
        fusing: Fusing,
    ) -> Self {
        let positions: HashMap<&str, usize> = (0..)
            .zip(&graph.layers)
            .map(|(index, layer)| (layer.name.as_str(), index))
            .collect();
        let mut reader_counts = vec![0; graph.layers.len()];
        for index in 0..graph.layers.len() {
            for name in graph.inputs_of(index) {
                if let Some(read) = positions.get(name) {
                    reader_counts[*read] += 1;
                }
            }
        }
        Self {
            graph,
            infos,
            specs,
            positions,
            reader_counts,
            fusing,
        }
    }

    fn layers(&self) -> Vec<PlannedLayer> {
        let mut layers: Vec<PlannedLayer> = Vec::with_capacity(self.infos.len());
        for index in 0..self.graph.layers.len() {
            let layer = self.layer(index, &mut layers);
            layers.push(layer);
        }
        layers
    }

    fn layer(&self, index: usize, above: &mut [PlannedLayer]) -> PlannedLayer {
        let op = &self.graph.layers[index].op;
        let names = self.graph.inputs_of(index);
        let read = names
            .first()
            .and_then(|name| self.positions.get(name))
            .copied();
        let fusion = self.fusion(op, read, above);
        let inputs: Vec<Slot> = names
            .iter()
            .map(|name| match self.positions.get(name) {
                Some(read) => Slot::Layer(buffer_of(above, *read)),
                None => Slot::Image,
            })
            .collect();
        let tensors = tensor_range(self.specs, index);
        let trained = self.specs[tensors.clone()]
            .iter()
            .any(|spec| spec.role.is_trained());
        let needs_gradient = trained
            || inputs
                .iter()
                .any(|slot| matches!(slot, Slot::Layer(read) if above[*read].needs_gradient));
        PlannedLayer {
            op: op.clone(),
            fusion,
            input_extents: names.iter().map(|name| self.extent(name)).collect(),
            inputs,
            output: Extent::of(&self.infos[index].output_shape),
            tensors,
            is_fitted: trained,
            needs_gradient,
            last_reader_of: Vec::new(),
        }
    }

    /// Decides how a layer that reads layer `read` is executed; a normalisation that is given
    /// the rectifier learns so.
    fn fusion(&self, op: &Op, read: Option<usize>, above: &mut [PlannedLayer]) -> Fusion {
        let Some(read) = read.filter(|_| self.fusing == Fusing::Allowed) else {
            return Fusion::Alone;
        };
        match op {
            Op::Relu {} if self.reader_counts[read] == 1 => {
                let reads = &mut above[read];
                if !matches!(reads.op, Op::BatchNorm2d { .. }) {
                    return Fusion::Alone;
                }
                reads.fusion = Fusion::WithRectifier;
                Fusion::PassThrough
            }
            // In memory a row of features lies as one pixel does.
            Op::Flatten {} if above[read].output.pixels() == 1 => Fusion::PassThrough,
            _ => Fusion::Alone,
        }
    }

    fn extent(&self, name: &str) -> Extent {
        let shape = match self.positions.get(name) {
            Some(index) => self.infos[*index].output_shape.as_slice(),
            None => {
                debug_assert_eq!(name, IMAGE);
                self.graph.input.as_slice()
            }
        };
        Extent::of(shape)
    }
}

/// Refuses what no executor computes yet.
fn check_executable(graph: &Graph, infos: &[LayerInfo]) -> Result<(), EngineError> {
    for (layer, info) in graph.layers.iter().zip(infos) {
        let is_known = match layer.op {
            Op::Linear { .. } => info.output_shape.len() == 1,
            Op::Relu6 {}
            | Op::HardSigmoid {}
            | Op::Gelu {}
            | Op::AdaptiveAvgPool2d { .. }
            | Op::LayerNorm { .. }
            | Op::StochasticDepth { .. }
            | Op::Multiply {}
            | Op::LayerScale { .. }
            | Op::ClassToken {}
            | Op::PositionEmbedding {}
            | Op::Attention { .. }
            | Op::SelectToken { .. } => false,
            _ => true,
        };
        if !is_known {
            return Err(EngineError::new(
                EngineErrorKind::Graph,
                format!(
                    "layer `{}`: `{}` to {:?} is not supported by this executor yet",
                    layer.name,
                    layer.op.name(),
                    info.output_shape
                ),
            ));
        }
    }
    Ok(())
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
    let output = layers
        .len()
        .checked_sub(1)
        .map(|last| buffer_of(layers, last));
    for (read, reader) in last_reader.into_iter().enumerate() {
        if let Some(reader) = reader.filter(|_| Some(read) != output) {
            layers[reader].last_reader_of.push(read);
        }
    }
}
