//! Functions of one number and operations on two.

use ferrotype_kernels::finish::Function;
use ferrotype_kernels::strided::{Operation, PairAxis};
use ferrotype_kernels::windows::Reduction;

use super::{Kind, Known, Layout, Planner, Tensor, axis_of, order};
use crate::native::fold::broadcast;
use crate::native::refusal::Refusal;

impl Planner<'_> {
    /// A function of one number; refuses operators that nobody knows.
    pub(super) fn function(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let function = match &self.node.operator[..] {
            "Relu" => Function::RELU,
            "Clip" => {
                let (mut low, mut high) = (f32::NEG_INFINITY, f32::INFINITY);
                if self.network.opset < 11 {
                    low = attributes.float("min", low)?;
                    high = attributes.float("max", high)?;
                } else {
                    for (place, limit) in [(1, &mut low), (2, &mut high)] {
                        if let Some(constant) = self.optional_constant(place)? {
                            *limit = constant.as_float()?;
                        }
                    }
                }
                Function::Clip { low, high }
            }
            "LeakyRelu" => Function::LeakyRelu {
                slope: attributes.float("alpha", 0.01)?,
            },
            "HardSigmoid" => Function::HardSigmoid {
                alpha: attributes.float("alpha", 0.2)?,
                beta: attributes.float("beta", 0.5)?,
            },
            "HardSwish" => Function::HardSwish,
            "Sigmoid" => Function::Sigmoid,
            "Silu" => Function::Silu,
            "Mish" => Function::Mish,
            "Gelu" => match attributes.text("approximate", "none")? {
                "none" => Function::Gelu,
                "tanh" => Function::GeluTanh,
                other => return Err(Refusal::unsupported(format!("`approximate` of `{other}`"))),
            },
            "Tanh" => Function::Tanh,
            "Exp" => Function::Exp,
            "Erf" => Function::Erf,
            "Sqrt" => Function::Sqrt,
            "Reciprocal" => Function::Reciprocal,
            "Neg" => Function::Negative,
            "Abs" => Function::Absolute,
            "Elu" => Function::Elu {
                alpha: attributes.float("alpha", 1.0)?,
            },
            "Softplus" => Function::Softplus,
            _ => return Err(Refusal::unsupported("the native runtime does not have it")),
        };
        attributes.finish()?;
        self.apply(function)
    }

    fn apply(&mut self, function: Function) -> Result<(), Refusal> {
        let output = self.output()?;
        let fused = match self.node.inputs.first().copied().flatten() {
            Some(id) => self.fuse_function(id, function),
            None => None,
        };
        if let Some(tensor) = fused {
            return self.tell(output, tensor);
        }
        let input = self.tensor(0)?;
        let (shape, layout) = (input.shape.clone(), input.layout);
        let tensor = self.step(Kind::Function(function), vec![input.source], &shape, layout)?;
        self.tell(output, tensor)
    }

    pub(super) fn combine(&mut self) -> Result<(), Refusal> {
        self.attributes().finish()?;
        let operation = match &self.node.operator[..] {
            "Add" => Operation::Add,
            "Sub" => Operation::Subtract,
            "Mul" => Operation::Multiply,
            "Div" => Operation::Divide,
            "Max" => Operation::Maximum,
            "Min" => Operation::Minimum,
            _ => Operation::Power,
        };
        let [Some(left_id), Some(right_id)] = self.node.inputs[..] else {
            return Err(Refusal::unsupported("other than two inputs"));
        };
        let output = self.output()?;
        if operation == Operation::Add {
            // The later convolution: what it adds is there already.
            let later = |id| self.convolutions.get(&id).copied().unwrap_or_default();
            let (first, second) = match later(left_id) >= later(right_id) {
                true => (left_id, right_id),
                false => (right_id, left_id),
            };
            let fused = self.fuse_shortcut(first, second);
            if let Some(tensor) = fused.or_else(|| self.fuse_shortcut(second, first)) {
                return self.tell(output, tensor);
            }
        }
        let (left, right) = (self.tensor(0)?, self.tensor(1)?);
        let shape = broadcast(&left.shape, &right.shape)?;
        let is_last = |tensor: &Tensor| {
            tensor.layout == Layout::ChannelsLast && tensor.shape.len() == shape.len()
        };
        let layout = match shape.len() == 4 && (is_last(&left) || is_last(&right)) {
            true => Layout::ChannelsLast,
            false => Layout::Plain,
        };
        let (left_strides, right_strides) =
            (repeated(&left, shape.len()), repeated(&right, shape.len()));
        let axes = order(shape.len(), layout).into_iter().map(|axis| PairAxis {
            len: shape[axis],
            left: left_strides[axis],
            right: right_strides[axis],
        });
        let kind = Kind::Combine(operation, axes.collect());
        let tensor = self.step(kind, vec![left.source, right.source], &shape, layout)?;
        self.tell(output, tensor)
    }

    pub(super) fn pass_on(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        match &self.node.operator[..] {
            "Cast" => {
                attributes.integer("saturate", 1)?;
                if attributes.integer("to", 0)? != 1 {
                    return Err(Refusal::unsupported("to other than 32-bit floats"));
                }
            }
            "Dropout" => {
                attributes.float("ratio", 0.5)?;
                attributes.integer("seed", 0)?;
                if self.node.inputs.get(2).copied().flatten().is_some() {
                    return Err(Refusal::unsupported("training"));
                }
            }
            _ => {}
        }
        attributes.finish()?;
        let outputs = &self.node.outputs;
        let Some(Some(output)) = outputs.first().copied() else {
            return Err(Refusal::malformed("no output"));
        };
        if outputs
            .iter()
            .skip(1)
            .flatten()
            .any(|mask| self.uses[*mask] > 0)
        {
            return Err(Refusal::unsupported("a mask that is read"));
        }
        match self.optional(0)? {
            Some(Known::Constant(constant)) => {
                self.known.insert(output, Known::Constant(constant));
                Ok(())
            }
            _ => {
                let input = self.tensor(0)?;
                self.tell(output, input)
            }
        }
    }

    pub(super) fn reduce(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let keep = attributes.integer("keepdims", 1)? != 0;
        let empty_is_none = attributes.integer("noop_with_empty_axes", 0)? != 0;
        let mut axes = attributes.integers("axes")?.map(<[i64]>::to_vec);
        attributes.finish()?;
        if let Some(constant) = self.optional_constant(1)? {
            axes = Some(constant.as_whole()?.to_vec());
        }
        let input = self.tensor(0)?;
        let rank = input.shape.len();
        let mut axes = match axes.filter(|axes| !axes.is_empty()) {
            Some(axes) => axes
                .into_iter()
                .map(|axis| axis_of(axis, rank))
                .collect::<Result<Vec<_>, _>>()?,
            None if empty_is_none => return Err(Refusal::unsupported("no axes")),
            None => (0..rank).collect(),
        };
        axes.sort_unstable();
        axes.dedup();
        let reduction = match &self.node.operator[..] {
            "ReduceSum" => Reduction::Sum,
            "ReduceMax" => Reduction::Maximum,
            "ReduceMin" => Reduction::Minimum,
            _ => Reduction::Mean,
        };
        let input = match middle(&input, &axes) {
            Some(_) => input,
            None => self.plain(&input)?,
        };
        let Some(sizes) = middle(&input, &axes) else {
            return Err(Refusal::unsupported("axes that do not follow each other"));
        };
        let mut shape = input.shape.clone();
        axes.iter().for_each(|axis| shape[*axis] = 1);
        let output = self.output()?;
        let kind = Kind::Reduce(reduction, sizes);
        let layout = input.layout;
        let mut tensor = self.step(kind, vec![input.source], &shape, layout)?;
        if !keep {
            tensor = self.plain(&tensor)?;
            let kept = (0..rank).filter(|axis| !axes.contains(axis));
            tensor.shape = kept.map(|axis| shape[axis]).collect();
        }
        self.tell(output, tensor)
    }
}

/// Sizes before, along and behind axes, if they follow each other in memory.
fn middle(tensor: &Tensor, axes: &[usize]) -> Option<[usize; 3]> {
    let order = tensor.order();
    let first = order.iter().position(|axis| axes.contains(axis))?;
    let end = first + axes.len();
    let size = |axes: &[usize]| axes.iter().map(|axis| tensor.shape[*axis]).product();
    let together = order
        .get(first..end)?
        .iter()
        .all(|axis| axes.contains(axis));
    together.then(|| {
        [
            size(&order[..first]),
            size(&order[first..end]),
            size(&order[end..]),
        ]
    })
}

/// A value's strides among `rank` axes, zero where it is repeated.
fn repeated(tensor: &Tensor, rank: usize) -> Vec<usize> {
    let own = tensor.strides();
    let missing = rank - own.len();
    (0..rank)
        .map(|axis| match axis.checked_sub(missing) {
            Some(axis) if tensor.shape[axis] > 1 => own[axis],
            _ => 0,
        })
        .collect()
}
