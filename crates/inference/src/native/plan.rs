//! From a network's nodes to the steps of a program, for one batch size.

mod einsum;
mod elementwise;
mod fusing;
mod gathers;
mod limits;
mod moves;
mod norms;
mod pads;
mod parts;
mod products;
mod reductions;
mod resize;
mod shapes;
mod transposed;
mod windows;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use ferrotype_kernels::convolution::prepared::{Geometry, Prepared};
use ferrotype_kernels::strided::Axis;
use ferrotype_kernels::team::Team;

pub(crate) use self::limits::Limits;
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
    spent: limits::Spent,
    /// The node at hand and its number.
    node: &'a Node,
    number: usize,
}

/// Plans a network for an input of a shape, `[batch, channels, height, width]` of images.
pub(crate) fn plan(
    network: &Network,
    prepared: &PreparedWeights,
    packing: Packing<'_>,
    input: &[usize],
) -> Result<Program, Refusal> {
    plan_within(network, prepared, packing, input, Limits::default())
}

/// As [`plan`], within limits of one's own.
pub(crate) fn plan_within(
    network: &Network,
    prepared: &PreparedWeights,
    packing: Packing<'_>,
    input: &[usize],
    limits: Limits,
) -> Result<Program, Refusal> {
    let Some(first) = network.nodes.first() else {
        return Err(Refusal::unsupported("a network without nodes"));
    };
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
        spent: limits::Spent::for_batch(input.first().copied().unwrap_or(1), limits),
        node: first,
        number: 0,
    };
    let image = Tensor {
        source: Source::Input,
        shape: input.to_vec(),
        layout: Layout::Plain,
    };
    limits::check_axes(&image.shape)?;
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
        let program = Program::new(steps, &self.lengths, outputs)?;
        self.spent.check_memory(program.memory())?;
        Ok(program)
    }

    fn plan_node(&mut self) -> Result<(), Refusal> {
        if self.fold_node()? {
            return Ok(());
        }
        let node = self.node;
        match &node.operator[..] {
            "Conv" => self.convolution(),
            "ConvTranspose" => self.transposed_convolution(),
            "BatchNormalization" => self.batch_norm(),
            "Gemm" => self.gemm(),
            "MatMul" => self.product(),
            "MaxPool" | "AveragePool" => self.pool(),
            "GlobalAveragePool" | "GlobalMaxPool" => self.global_pool(),
            "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1"
            | "ReduceL2" | "ReduceSumSquare" | "ReduceLogSum" | "ReduceLogSumExp" => self.reduce(),
            "Add" | "Sub" | "Mul" | "Div" | "Pow" => self.combine(),
            "Max" | "Min" | "Sum" | "Mean" => self.combine_all(),
            "PRelu" => self.parametric_relu(),
            "Softmax" | "LogSoftmax" => self.softmax(),
            "LayerNormalization" => self.layer_norm(),
            "RMSNormalization" => self.root_mean_square_norm(),
            "InstanceNormalization" => self.instance_norm(),
            "GroupNormalization" => self.group_norm(),
            "LpNormalization" => self.unit_norm(),
            "LRN" => self.local_response_norm(),
            "Resize" | "Upsample" => self.resize(),
            "Identity" | "Dropout" | "Cast" | "CastLike" => self.pass_on(),
            "Shape" | "Size" => self.shape_of(),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => self.reshape(),
            "Transpose" => self.transpose(),
            "DepthToSpace" | "SpaceToDepth" => self.exchange_depth(),
            "Concat" => self.concat(),
            "Split" => self.split(),
            "Slice" => self.slice(),
            "Gather" => self.gather(),
            "GatherElements" => self.gather_elements(),
            "GatherND" => self.gather_tuples(),
            "ScatterND" => self.scatter_tuples(),
            "Where" => self.choose(),
            "Expand" => self.expand(),
            "Tile" => self.tile(),
            "Pad" => self.pad(),
            "Clip" => self.clip(),
            "Einsum" => self.einsum(),
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
                self.spent.constant(elements(&constant.shape)?)?;
                self.tell_constant(constant)?;
                Ok(true)
            }
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

    /// The only output that is read.
    fn output(&self) -> Result<ValueId, Refusal> {
        let is_read = |output: &&ValueId| self.uses[**output] > 0;
        match &self.node.outputs[..] {
            [Some(output), others @ ..] if !others.iter().flatten().any(|id| is_read(&id)) => {
                Ok(*output)
            }
            _ => Err(Refusal::unsupported("more than one output")),
        }
    }

    fn tell(&mut self, value: ValueId, tensor: Tensor) -> Result<(), Refusal> {
        elements(&tensor.shape)?;
        limits::check_axes(&tensor.shape)?;
        if tensor.shape.contains(&0) {
            return Err(Refusal::unsupported("a tensor without elements"));
        }
        let known = match &tensor.source {
            Source::Constant(_) => {
                let tensor = self.plain(&tensor)?;
                let Source::Constant(values) = tensor.source else {
                    return Err(Refusal::unsupported("a constant in another order"));
                };
                Known::Constant(Arc::new(Constant::floats(tensor.shape, values)))
            }
            _ => Known::Computed(tensor),
        };
        self.known.insert(value, known);
        Ok(())
    }

    fn tell_constant(&mut self, constant: Constant) -> Result<(), Refusal> {
        limits::check_axes(&constant.shape)?;
        let output = self.output()?;
        self.known
            .insert(output, Known::Constant(Arc::new(constant)));
        Ok(())
    }

    /// Adds a step that writes a new value of a shape; one that reads constants alone is done now.
    fn step(
        &mut self,
        kind: Kind,
        inputs: Vec<Source>,
        shape: &[usize],
        layout: Layout,
    ) -> Result<Tensor, Refusal> {
        limits::check_axes(shape)?;
        let len = elements(shape)?;
        if len == 0 {
            return Err(Refusal::unsupported("a tensor without elements"));
        }
        let constants: Option<Vec<&[f32]>> = inputs
            .iter()
            .map(|input| match input {
                Source::Constant(values) => Some(&values[..]),
                _ => None,
            })
            .collect();
        let source = if let Some(constants) = constants {
            self.spent.constant(len)?;
            self.spent.work_now(&kind, len)?;
            let mut values = vec![0.0; len];
            kind.run(&Team::new(NonZeroUsize::MIN), &constants, &mut values);
            Source::Constant(values.into())
        } else {
            self.spent.step(&kind, len)?;
            let output = self.lengths.len();
            self.lengths.push(len);
            self.steps.push(Some(Step {
                kind,
                inputs,
                output,
                name: format!("{:.99} {:.99}", self.node.operator, self.node.name),
            }));
            Source::Buffer(output)
        };
        Ok(Tensor {
            source,
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
