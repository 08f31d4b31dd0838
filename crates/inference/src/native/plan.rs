//! From a network's nodes to the steps of a program, for one batch size.

mod elementwise;
mod moves;
mod products;
mod shapes;
mod windows;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ferrotype_kernels::convolution::prepared::Prepared;
use ferrotype_kernels::finish::{Function, Order};
use ferrotype_kernels::strided::Axis;

use super::fold::fold;
use super::graph::{Attributes, Network, Node, ValueId};
use super::program::{Kind, Piece, Program, Source, Step};
use super::refusal::Refusal;
use super::stored::Packing;
use super::tensor::{Constant, Numbers, elements};

/// Weights in the order of the loops, by the node's number; shared by the programs of all batch
/// sizes.
pub(crate) type PreparedWeights = Mutex<HashMap<usize, Arc<Prepared>>>;

/// The order in which a value's elements lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Row by row.
    Plain,
    /// `[batch, channels, height, width]` as `[batch, height, width, channels]`.
    ChannelsLast,
}

/// A value that is computed.
#[derive(Debug, Clone)]
struct Tensor {
    source: Source,
    shape: Vec<usize>,
    layout: Layout,
}

impl Tensor {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// From an element to the next along each axis.
    fn strides(&self) -> Vec<usize> {
        strides(&self.shape, self.layout)
    }

    /// The axes as they lie in memory, the outermost first.
    fn order(&self) -> Vec<usize> {
        order(self.shape.len(), self.layout)
    }
}

fn order(rank: usize, layout: Layout) -> Vec<usize> {
    match layout {
        Layout::Plain => (0..rank).collect(),
        Layout::ChannelsLast => vec![0, 2, 3, 1],
    }
}

fn strides(shape: &[usize], layout: Layout) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1;
    for axis in order(shape.len(), layout).into_iter().rev() {
        strides[axis] = stride;
        stride *= shape[axis];
    }
    strides
}

/// What is known of a value while planning.
#[derive(Debug, Clone)]
enum Known {
    Constant(Arc<Constant>),
    Computed(Tensor),
}

/// A network that is being planned.
struct Planner<'a> {
    network: &'a Network,
    prepared: &'a PreparedWeights,
    packing: Packing<'a>,
    known: HashMap<ValueId, Known>,
    uses: Vec<usize>,
    /// Steps; one that moved to a later place leaves nothing behind.
    steps: Vec<Option<Step>>,
    /// The convolution that wrote a value nobody has read yet.
    convolutions: HashMap<ValueId, usize>,
    lengths: Vec<usize>,
    /// Numbers of constants that were computed.
    computed: usize,
    /// The node at hand and its number.
    node: &'a Node,
    number: usize,
}

/// Nodes of a network at most: finding places for their buffers takes the square of their number.
const MOST_NODES: usize = 20_000;

/// Numbers of constants that are computed while planning, at most.
const MOST_COMPUTED: usize = 1 << 25;

/// Plans a network for an input of a shape, `[batch, channels, height, width]` of images.
pub(crate) fn plan(
    network: &Network,
    prepared: &PreparedWeights,
    packing: Packing<'_>,
    input: &[usize],
) -> Result<Program, Refusal> {
    let Some(first) = network.nodes.first() else {
        return Err(Refusal::unsupported("a network without nodes"));
    };
    if network.nodes.len() > MOST_NODES {
        return Err(Refusal::unsupported("very many nodes"));
    }
    if elements(input)? == 0 {
        return Err(Refusal::unsupported("an input without elements"));
    }
    let constants = network.constants.iter();
    let mut planner = Planner {
        network,
        prepared,
        packing,
        known: constants
            .map(|(id, constant)| (*id, Known::Constant(Arc::clone(constant))))
            .collect(),
        uses: network.uses(),
        steps: Vec::new(),
        convolutions: HashMap::new(),
        lengths: Vec::new(),
        computed: 0,
        node: first,
        number: 0,
    };
    let image = Tensor {
        source: Source::Input,
        shape: input.to_vec(),
        layout: Layout::Plain,
    };
    planner.known.insert(network.input, Known::Computed(image));
    for (number, node) in network.nodes.iter().enumerate() {
        planner.node = node;
        planner.number = number;
        planner
            .plan_node()
            .map_err(|refusal| refusal.at(&node.operator, &node.name))?;
    }
    planner.finish()
}

impl<'a> Planner<'a> {
    fn finish(mut self) -> Result<Program, Refusal> {
        let mut outputs = Vec::new();
        for output in &self.network.outputs {
            let source = match self.known.get(output).cloned() {
                Some(Known::Constant(constant)) => {
                    Source::Constant(Arc::clone(constant.as_floats()?))
                }
                Some(Known::Computed(tensor)) => self.plain(&tensor)?.source,
                None => return Err(Refusal::malformed("nothing writes an output")),
            };
            outputs.push(source);
        }
        let steps = self.steps.into_iter().flatten().collect();
        Program::new(steps, &self.lengths, outputs)
    }

    fn plan_node(&mut self) -> Result<(), Refusal> {
        if self.fold_node()? {
            return Ok(());
        }
        let node = self.node;
        match &node.operator[..] {
            "Conv" => self.convolution(),
            "BatchNormalization" => self.batch_norm(),
            "Gemm" => self.gemm(),
            "MatMul" => self.product(),
            "MaxPool" | "AveragePool" => self.pool(),
            "GlobalAveragePool" | "GlobalMaxPool" => self.global_pool(),
            "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" => self.reduce(),
            "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" | "Pow" => self.combine(),
            "Softmax" | "LogSoftmax" => self.softmax(),
            "LayerNormalization" => self.layer_norm(),
            "Resize" | "Upsample" => self.resize(),
            "Identity" | "Dropout" | "Cast" => self.pass_on(),
            "Shape" => self.shape_of(),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.reshape(),
            "Transpose" => self.transpose(),
            "Concat" => self.concat(),
            "Split" => self.split(),
            "Slice" => self.slice(),
            "Gather" => self.gather(),
            "Expand" => self.expand(),
            "Pad" => self.pad(),
            _ => self.function(),
        }
    }

    /// Computes the node if all its inputs are constants and it is one that is computed so.
    fn fold_node(&mut self) -> Result<bool, Refusal> {
        let mut inputs = Vec::with_capacity(self.node.inputs.len());
        for input in &self.node.inputs {
            match input.map(|id| self.known.get(&id)) {
                None => inputs.push(None),
                Some(Some(Known::Constant(constant))) => inputs.push(Some(Arc::clone(constant))),
                Some(Some(Known::Computed(_))) => return Ok(false),
                Some(None) => return Err(Refusal::malformed("an input that nothing writes")),
            }
        }
        match fold(self.node, &inputs)? {
            None => Ok(false),
            Some(constant) => {
                self.spend(elements(&constant.shape)?)?;
                self.tell_constant(constant)?;
                Ok(true)
            }
        }
    }

    /// Counts the numbers of a computed constant.
    fn spend(&mut self, count: usize) -> Result<(), Refusal> {
        self.computed = self.computed.saturating_add(count);
        match self.computed <= MOST_COMPUTED {
            true => Ok(()),
            false => Err(Refusal::unsupported("too many computed constants")),
        }
    }

    fn attributes(&self) -> Attributes<'a> {
        Attributes::of(self.node)
    }

    /// The input at a place, if it is not left out.
    fn optional(&self, place: usize) -> Result<Option<Known>, Refusal> {
        match self.node.inputs.get(place).copied().flatten() {
            None => Ok(None),
            Some(id) => match self.known.get(&id) {
                Some(known) => Ok(Some(known.clone())),
                None => Err(Refusal::malformed("an input that nothing writes")),
            },
        }
    }

    fn optional_constant(&self, place: usize) -> Result<Option<Arc<Constant>>, Refusal> {
        match self.optional(place)? {
            None => Ok(None),
            Some(Known::Constant(constant)) => Ok(Some(constant)),
            Some(Known::Computed(_)) => Err(Refusal::unsupported(format!(
                "input {place} is not known while loading"
            ))),
        }
    }

    fn constant(&self, place: usize) -> Result<Arc<Constant>, Refusal> {
        self.optional_constant(place)?
            .ok_or_else(|| Refusal::malformed(format!("input {place} is missing")))
    }

    /// The input at a place, of floats.
    fn tensor(&self, place: usize) -> Result<Tensor, Refusal> {
        match self.optional(place)? {
            None => Err(Refusal::malformed(format!("input {place} is missing"))),
            Some(Known::Computed(tensor)) => Ok(tensor),
            Some(Known::Constant(constant)) if constant.shape.contains(&0) => {
                Err(Refusal::unsupported("a constant without elements"))
            }
            Some(Known::Constant(constant)) => constant_tensor(&constant),
        }
    }

    fn output(&self) -> Result<ValueId, Refusal> {
        match self.node.outputs[..] {
            [Some(output)] => Ok(output),
            _ => Err(Refusal::unsupported("more than one output")),
        }
    }

    fn tell(&mut self, value: ValueId, tensor: Tensor) -> Result<(), Refusal> {
        elements(&tensor.shape)?;
        if tensor.shape.contains(&0) {
            return Err(Refusal::unsupported("a tensor without elements"));
        }
        self.known.insert(value, Known::Computed(tensor));
        Ok(())
    }

    fn tell_constant(&mut self, constant: Constant) -> Result<(), Refusal> {
        let output = self.output()?;
        self.known
            .insert(output, Known::Constant(Arc::new(constant)));
        Ok(())
    }

    /// Adds a step that writes a new value of a shape.
    fn step(
        &mut self,
        kind: Kind,
        inputs: Vec<Source>,
        shape: &[usize],
        layout: Layout,
    ) -> Result<Tensor, Refusal> {
        let len = elements(shape)?;
        if len == 0 {
            return Err(Refusal::unsupported("a tensor without elements"));
        }
        let output = self.lengths.len();
        self.lengths.push(len);
        self.steps.push(Some(Step {
            kind,
            inputs,
            output,
            name: format!("{} {}", self.node.operator, self.node.name),
        }));
        Ok(Tensor {
            source: Source::Buffer(output),
            shape: shape.to_vec(),
            layout,
        })
    }

    /// A copy of a value in another layout.
    fn laid_out(&mut self, tensor: &Tensor, layout: Layout) -> Result<Tensor, Refusal> {
        if tensor.layout == layout {
            return Ok(tensor.clone());
        }
        if let [_, channels, height, width] = tensor.shape[..]
            && (channels == 1 || height * width == 1)
        {
            return Ok(Tensor {
                layout,
                ..tensor.clone()
            });
        }
        let from = tensor.strides();
        let to = strides(&tensor.shape, layout);
        let axes = order(tensor.shape.len(), layout)
            .into_iter()
            .map(|axis| Axis {
                len: tensor.shape[axis],
                source: from[axis] as isize,
                target: to[axis],
            });
        let piece = Piece {
            input: 0,
            axes: axes.collect(),
            source_start: 0,
            target_start: 0,
        };
        let kind = Kind::Copy {
            fill: None,
            pieces: vec![piece],
        };
        self.step(kind, vec![tensor.source.clone()], &tensor.shape, layout)
    }

    fn plain(&mut self, tensor: &Tensor) -> Result<Tensor, Refusal> {
        self.laid_out(tensor, Layout::Plain)
    }

    /// A value of four axes with channels last.
    fn image(&mut self, tensor: &Tensor) -> Result<Tensor, Refusal> {
        if tensor.shape.len() != 4 {
            return Err(Refusal::unsupported(format!(
                "an input with {} axes, expected images with 4",
                tensor.shape.len()
            )));
        }
        self.laid_out(tensor, Layout::ChannelsLast)
    }

    /// Lets the convolution that wrote `input` apply a function, if nobody else reads its sums.
    fn fuse_function(&mut self, input: ValueId, function: Function) -> Option<Tensor> {
        let index = *self
            .convolutions
            .get(&input)
            .filter(|_| self.uses[input] == 1)?;
        let step = self.steps[index].as_mut()?;
        let Kind::Convolution {
            function: own,
            order,
            ..
        } = &mut step.kind
        else {
            return None;
        };
        if *own != Function::Identity || *order == Some(Order::ApplyThenAdd) {
            return None;
        }
        *own = function;
        let output = self.node.outputs.first().copied().flatten()?;
        self.convolutions.insert(output, index);
        self.computed(input)
    }

    fn computed(&self, value: ValueId) -> Option<Tensor> {
        match self.known.get(&value) {
            Some(Known::Computed(tensor)) => Some(tensor.clone()),
            _ => None,
        }
    }

    /// Lets the convolution that wrote `input` add another value of the same shape.
    fn fuse_shortcut(&mut self, input: ValueId, other: ValueId) -> Option<Tensor> {
        let index = *self
            .convolutions
            .get(&input)
            .filter(|_| self.uses[input] == 1)?;
        let (sum, shortcut) = (self.computed(input)?, self.computed(other)?);
        let same = sum.shape == shortcut.shape && sum.layout == shortcut.layout && input != other;
        let Kind::Convolution { order: None, .. } = &self.steps[index].as_ref()?.kind else {
            return None;
        };
        if !same || !matches!(shortcut.source, Source::Buffer(_) | Source::Input) {
            return None;
        }
        let mut step = self.steps[index].take()?;
        if let Kind::Convolution {
            function, order, ..
        } = &mut step.kind
        {
            *order = Some(match function {
                Function::Identity => Order::AddThenApply,
                _ => Order::ApplyThenAdd,
            });
        }
        step.inputs.push(shortcut.source);
        // To the end, where the other value surely is; nobody has read the sums so far.
        self.steps.push(Some(step));
        let output = self.node.outputs.first().copied().flatten()?;
        self.convolutions.insert(output, self.steps.len() - 1);
        Some(sum)
    }

    /// The packed weights of the node at hand.
    fn prepared(
        &self,
        make: impl FnOnce() -> Result<Prepared, Refusal>,
    ) -> Result<Arc<Prepared>, Refusal> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = prepared.get(&self.number) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(make()?);
        prepared.insert(self.number, Arc::clone(&made));
        Ok(made)
    }
}

/// A constant as a value.
fn constant_tensor(constant: &Constant) -> Result<Tensor, Refusal> {
    match &constant.numbers {
        Numbers::Floats(values) => Ok(Tensor {
            source: Source::Constant(Arc::clone(values)),
            shape: constant.shape.clone(),
            layout: Layout::Plain,
        }),
        Numbers::Whole(_) => Err(Refusal::unsupported("computing with whole numbers")),
        Numbers::Stored(_) => Err(Refusal::unsupported("weights of this size")),
    }
}

/// An axis that may be counted from the end.
fn axis_of(axis: i64, rank: usize) -> Result<usize, Refusal> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|axis| *axis < rank)
        .ok_or_else(|| Refusal::malformed(format!("axis `{axis}` of `{rank}`")))
}
