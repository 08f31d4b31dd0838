//! Which layers are computed in one pass over memory. All such decisions are made here.

use ferrotype_core::graph::Op;
use ferrotype_kernels::activation::Activation;
use ferrotype_kernels::pooling::MAX_TAPS;

use super::{Extent, PlannedLayer, Slot};

/// What a group reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// The image.
    Image,
    /// What this group gave.
    Group(usize),
}

/// What the groups are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A forward and a backward pass.
    Training,
    /// A forward pass, without dropout.
    Evaluation,
}

/// How a group is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A convolution.
    Convolution,
    /// A product over the channels of each pixel.
    Linear,
    /// A batch normalisation, a shortcut added to it (the second input), an activation.
    Normalization {
        shortcut: bool,
        activation: Option<Activation>,
    },
    /// A batch normalisation, a rectifier and a maximum pooling.
    PooledNormalization { rectifier: Option<Activation> },
    /// A maximum pooling, of what a rectifier gives if there is one. (The largest of rectified
    /// numbers is the rectified largest.)
    MaxPooling { rectifier: Option<Activation> },
    /// A maximum pooling over windows whose taps do not fit a byte.
    WideMaxPooling,
    /// A mean pooling over windows.
    AveragePooling,
    /// A mean pooling onto a grid.
    GridPooling,
    /// The mean of each channel.
    GlobalPooling,
    /// An element-wise function.
    Activation(Activation),
    /// A layer normalisation.
    LayerNorm,
    /// Each channel times a number that is fitted.
    LayerScale,
    /// A sum.
    Add,
    /// A product, number by number.
    Multiply,
    /// One number per channel times each of the channels.
    Gate,
    /// Channels side by side.
    Concat,
    /// Dropout while training.
    Dropout,
    /// Stochastic depth while training.
    StochasticDepth,
    /// From channels last to one row, channels first.
    Flatten,
    /// Self-attention.
    Attention,
    /// A token that is fitted before the others.
    ClassToken,
    /// What is fitted added to each element.
    PositionEmbedding,
    /// One token of all.
    SelectToken,
}

/// Layers that are computed in one pass.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    /// Its layers' positions, in the order they are computed in. Layers that change nothing in
    /// memory (a flatten of one pixel) are with the group whose output they pass on.
    pub(crate) layers: Vec<usize>,
    /// The layer whose output is the group's.
    pub(crate) last_layer: usize,
    pub(crate) inputs: Vec<Value>,
    pub(crate) input_extents: Vec<Extent>,
    pub(crate) output: Extent,
    /// Whether a weight at or above it needs the gradient of its output.
    pub(crate) needs_gradient: bool,
    /// Whether a tensor of its layers is fitted.
    pub(crate) is_fitted: bool,
    /// Whether a normalisation is left to the one group that reads it, a convolution: it only
    /// measures, and what it gives is its input.
    pub(crate) is_deferred: bool,
    /// Whether a convolution measures its output, for a normalisation that reads it.
    pub(crate) is_measured: bool,
}

impl Group {
    /// The layer whose tensors it has.
    pub(crate) fn first_layer(&self) -> usize {
        self.layers[0]
    }
}

/// A group before its inputs have numbers.
struct Draft {
    kind: Kind,
    layers: Vec<usize>,
    /// The layers that it reads, with their sizes.
    inputs: Vec<(Slot, Extent)>,
    /// The layer that it is computed at: all that it reads is above.
    position: usize,
}

/// The layers in groups, in execution order.
pub(super) fn groups(layers: &[PlannedLayer], mode: Mode) -> Vec<Group> {
    let grouping = Grouping::new(layers, mode);
    let (mut drafts, passed_on) = grouping.drafts();
    drafts.sort_by_key(|draft| draft.position);
    let mut group_of = vec![None; layers.len()];
    for (index, draft) in drafts.iter_mut().enumerate() {
        group_of[draft.position] = Some(Value::Group(index));
    }
    // What passes its input on is above all that read it.
    for &(layer, slot) in &passed_on {
        group_of[layer] = Some(value_of(&group_of, slot));
        if let Some(Value::Group(index)) = group_of[layer] {
            drafts[index].layers.push(layer);
        }
    }
    let mut groups: Vec<Group> = drafts
        .into_iter()
        .map(|draft| Group {
            kind: draft.kind,
            inputs: draft
                .inputs
                .iter()
                .map(|(slot, _)| value_of(&group_of, *slot))
                .collect(),
            input_extents: draft.inputs.iter().map(|(_, extent)| *extent).collect(),
            last_layer: draft.position,
            output: layers[draft.position].output,
            needs_gradient: layers[draft.position].needs_gradient,
            is_fitted: draft.layers.iter().any(|layer| layers[*layer].is_fitted),
            layers: draft.layers,
            is_deferred: false,
            is_measured: false,
        })
        .collect();
    join_convolutions(layers, mode, &mut groups);
    groups
}

/// Finds the normalisations that convolutions apply while they read, and those that they measure
/// while they write.
fn join_convolutions(layers: &[PlannedLayer], mode: Mode, groups: &mut [Group]) {
    for index in 0..groups.len() {
        let readers: Vec<usize> = (0..groups.len())
            .flat_map(|reader| {
                let inputs = groups[reader].inputs.iter();
                let reads = inputs.filter(|input| **input == Value::Group(index));
                reads.map(move |_| reader)
            })
            .collect();
        let is_deferred = match (groups[index].kind, &readers[..]) {
            (
                Kind::Normalization {
                    shortcut: false,
                    activation,
                },
                [reader],
            ) => {
                activation.is_none_or(Activation::is_cheap)
                    && normalizes_input(&layers[groups[*reader].first_layer()])
            }
            _ => false,
        };
        let measures = |reader: &usize| {
            let group = &groups[*reader];
            let is_normalization = matches!(
                group.kind,
                Kind::Normalization { .. } | Kind::PooledNormalization { .. }
            );
            is_normalization
                && group.inputs[0] == Value::Group(index)
                && layers[group.first_layer()].is_fitted
        };
        let is_measured = mode == Mode::Training
            && groups[index].kind == Kind::Convolution
            && readers.iter().any(measures);
        groups[index].is_deferred = is_deferred;
        groups[index].is_measured = is_measured;
    }
}

/// Whether a layer is a convolution that can normalise what it reads: one that looks at single
/// pixels or at single channels.
fn normalizes_input(layer: &PlannedLayer) -> bool {
    let Op::Conv2d {
        kernel,
        stride,
        padding,
        groups,
        ..
    } = &layer.op
    else {
        return false;
    };
    let is_pointwise = [kernel, stride].map(|size| size.to_array()) == [[1, 1], [1, 1]]
        && padding.to_array() == [0, 0];
    let channels = [layer.input_extents[0].channels, layer.output.channels];
    is_pointwise || (*groups > 1 && channels == [*groups, *groups])
}

fn value_of(group_of: &[Option<Value>], slot: Slot) -> Value {
    match slot {
        Slot::Image => Value::Image,
        // A layer inside a group is read by nobody else.
        Slot::Layer(layer) => group_of[layer].unwrap_or(Value::Image),
    }
}

struct Grouping<'a> {
    layers: &'a [PlannedLayer],
    mode: Mode,
    /// By layer: who reads it, once for each time.
    readers: Vec<Vec<usize>>,
}

impl<'a> Grouping<'a> {
    fn new(layers: &'a [PlannedLayer], mode: Mode) -> Self {
        let mut readers = vec![Vec::new(); layers.len()];
        for (index, layer) in layers.iter().enumerate() {
            for slot in &layer.inputs {
                if let Slot::Layer(read) = slot {
                    readers[*read].push(index);
                }
            }
        }
        Self {
            layers,
            mode,
            readers,
        }
    }

    /// The groups, and the layers that pass on what they read.
    fn drafts(&self) -> (Vec<Draft>, Vec<(usize, Slot)>) {
        let mut is_taken = vec![false; self.layers.len()];
        let (mut drafts, mut passed_on) = (Vec::new(), Vec::new());
        for (index, layer) in self.layers.iter().enumerate() {
            if is_taken[index] {
                continue;
            }
            if self.passes_on(layer) {
                passed_on.push((index, layer.inputs[0]));
                continue;
            }
            let draft = self.draft(index, &is_taken);
            for layer in &draft.layers {
                is_taken[*layer] = true;
            }
            drafts.push(draft);
        }
        (drafts, passed_on)
    }

    /// Whether the layer's output is its input, as it lies in memory.
    fn passes_on(&self, layer: &PlannedLayer) -> bool {
        let input = layer.input_extents[0];
        match layer.op {
            // A row of features lies as one pixel does.
            Op::Flatten {} => input.pixels() == 1 || input.channels == 1,
            Op::Dropout { probability } | Op::StochasticDepth { probability } => {
                self.mode == Mode::Evaluation || probability == 0.0
            }
            Op::AdaptiveAvgPool2d { .. } => input == layer.output,
            Op::GlobalAvgPool {} => input.pixels() == 1,
            _ => false,
        }
    }

    fn draft(&self, index: usize, is_taken: &[bool]) -> Draft {
        match self.layers[index].op {
            Op::BatchNorm2d { .. } => self.normalization(index, is_taken),
            Op::Relu {} | Op::Relu6 {} => self.rectifier(index),
            _ => self.alone(index, kind_of(&self.layers[index])),
        }
    }

    fn alone(&self, index: usize, kind: Kind) -> Draft {
        let layer = &self.layers[index];
        Draft {
            kind,
            layers: vec![index],
            inputs: std::iter::zip(layer.inputs.clone(), layer.input_extents.clone()).collect(),
            position: index,
        }
    }

    /// A normalisation with the sum, the activation and the pooling that nobody else looks into.
    fn normalization(&self, index: usize, is_taken: &[bool]) -> Draft {
        let mut draft = self.alone(
            index,
            Kind::Normalization {
                shortcut: false,
                activation: None,
            },
        );
        let shortcut = self
            .only_reader(index)
            .filter(|sum| !is_taken[*sum])
            .and_then(|sum| Some((sum, self.other_summand(sum, index)?)));
        if let Some((sum, other)) = shortcut {
            draft.layers.push(sum);
            draft.inputs.push((other, self.layers[index].output));
            draft.position = sum;
        }
        let shortcut = shortcut.is_some();
        let activation = self
            .only_reader(draft.position)
            .and_then(|reader| Some((reader, activation_of(&self.layers[reader].op)?)))
            // With a shortcut the backward pass has only the output to read the slope off.
            .filter(|(_, activation)| !shortcut || activation.is_rectifier());
        if let Some((reader, _)) = activation {
            draft.layers.push(reader);
            draft.position = reader;
        }
        let activation = activation.map(|(_, activation)| activation);
        draft.kind = Kind::Normalization {
            shortcut,
            activation,
        };
        if !shortcut && activation.is_none_or(Activation::is_rectifier)
            && let Some(pooling) = self.pooling_below(draft.position)
            // Windows that overlap much normalise the same pixels again and again.
            && 2 * self.layers[pooling].output.pixels() <= self.layers[index].output.pixels()
        {
            draft.layers.push(pooling);
            draft.position = pooling;
            draft.kind = Kind::PooledNormalization {
                rectifier: activation,
            };
        }
        draft
    }

    /// A rectifier, with the maximum pooling that alone reads it.
    fn rectifier(&self, index: usize) -> Draft {
        let mut draft = self.alone(index, kind_of(&self.layers[index]));
        if let Some(pooling) = self.pooling_below(index) {
            draft.layers.push(pooling);
            draft.position = pooling;
            draft.kind = Kind::MaxPooling {
                rectifier: activation_of(&self.layers[index].op),
            };
        }
        draft
    }

    /// The maximum pooling that alone reads layer `index`, if it keeps its winners as bytes.
    fn pooling_below(&self, index: usize) -> Option<usize> {
        self.only_reader(index)
            .filter(|reader| matches!(kind_of(&self.layers[*reader]), Kind::MaxPooling { .. }))
    }

    fn only_reader(&self, index: usize) -> Option<usize> {
        match self.readers[index][..] {
            [reader] => Some(reader),
            _ => None,
        }
    }

    /// What layer `sum` adds to layer `index`, if it is a sum of the two.
    fn other_summand(&self, sum: usize, index: usize) -> Option<Slot> {
        let layer = &self.layers[sum];
        match (&layer.op, &layer.inputs[..]) {
            (Op::Add {}, [first, second]) if *first == Slot::Layer(index) => Some(*second),
            (Op::Add {}, [first, second]) if *second == Slot::Layer(index) => Some(*first),
            _ => None,
        }
    }
}

fn kind_of(layer: &PlannedLayer) -> Kind {
    if let Some(activation) = activation_of(&layer.op) {
        return Kind::Activation(activation);
    }
    match layer.op {
        Op::Conv2d { .. } => Kind::Convolution,
        Op::BatchNorm2d { .. } => Kind::Normalization {
            shortcut: false,
            activation: None,
        },
        Op::Linear { .. } => Kind::Linear,
        Op::MaxPool2d { kernel, .. } if kernel.height.saturating_mul(kernel.width) > MAX_TAPS => {
            Kind::WideMaxPooling
        }
        Op::MaxPool2d { .. } => Kind::MaxPooling { rectifier: None },
        Op::AvgPool2d { .. } => Kind::AveragePooling,
        Op::AdaptiveAvgPool2d { .. } if layer.output.pixels() > 1 => Kind::GridPooling,
        Op::AdaptiveAvgPool2d { .. } | Op::GlobalAvgPool {} => Kind::GlobalPooling,
        Op::LayerNorm { .. } => Kind::LayerNorm,
        Op::LayerScale { .. } => Kind::LayerScale,
        Op::Multiply {} if layer.input_extents[0] == layer.input_extents[1] => Kind::Multiply,
        Op::Multiply {} => Kind::Gate,
        Op::Concat {} => Kind::Concat,
        Op::Dropout { .. } => Kind::Dropout,
        Op::StochasticDepth { .. } => Kind::StochasticDepth,
        Op::Flatten {} => Kind::Flatten,
        Op::Attention { .. } => Kind::Attention,
        Op::ClassToken {} => Kind::ClassToken,
        Op::PositionEmbedding {} => Kind::PositionEmbedding,
        Op::SelectToken { .. } => Kind::SelectToken,
        _ => Kind::Add,
    }
}

/// The element-wise function that an operation is.
fn activation_of(op: &Op) -> Option<Activation> {
    match op {
        Op::Relu {} => Some(Activation::Relu),
        Op::Relu6 {} => Some(Activation::Relu6),
        Op::Silu {} => Some(Activation::Silu),
        Op::HardSwish {} => Some(Activation::HardSwish),
        Op::Sigmoid {} => Some(Activation::Sigmoid),
        Op::HardSigmoid {} => Some(Activation::HardSigmoid),
        Op::Gelu {} => Some(Activation::Gelu),
        _ => None,
    }
}
