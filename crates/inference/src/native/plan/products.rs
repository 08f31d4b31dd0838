//! Products of matrices, and rows: linear layers, softmax and layer norms.

use std::sync::Arc;

use ferrotype_kernels::convolution::prepared::{Geometry, Method, WeightOrder, Weights};
use ferrotype_kernels::finish::Function;

use super::{Kind, Known, Layout, Planner, Tensor, axis_of, constant_tensor};
use crate::native::fold::broadcast;
use crate::native::refusal::Refusal;
use crate::native::tensor::{Constant, elements};

/// Products of a step at most.
const MOST_PRODUCTS: usize = 1 << 16;

impl Planner<'_> {
    /// Rows times a constant matrix `[inputs, outputs]`, or its transpose.
    fn linear(
        &mut self,
        input: Tensor,
        shape: &[usize],
        weight: &Constant,
        is_transposed: bool,
        bias: Option<Arc<[f32]>>,
    ) -> Result<(), Refusal> {
        let [inputs, outputs] = match (weight.shape.as_slice(), is_transposed) {
            ([inputs, outputs], false) | ([outputs, inputs], true) => [*inputs, *outputs],
            _ => return Err(Refusal::unsupported("a matrix with other than two axes")),
        };
        if input.shape.last() != Some(&inputs) || inputs == 0 {
            return Err(Refusal::malformed(format!(
                "rows of {:?} for a matrix of {:?}",
                input.shape, weight.shape
            )));
        }
        if bias.as_ref().is_some_and(|bias| bias.len() != outputs) {
            return Err(Refusal::malformed("a bias of another length"));
        }
        let rows = input.len() / inputs;
        let prepared = self.prepared(|| {
            let weights = Weights {
                values: &[],
                bias: bias.as_deref(),
                in_channels: inputs,
                out_channels: outputs,
                kernel: [1, 1],
                groups: 1,
            };
            let order = match is_transposed {
                true => WeightOrder::OutputsFirst,
                false => WeightOrder::InputsFirst,
            };
            self.packing.pack(weight, &weights, order, Method::Direct)
        })?;
        let geometry = Geometry {
            batch: 1,
            input: [rows, 1],
            output: [rows, 1],
            stride: [1, 1],
            dilation: [1, 1],
            padding: [0, 0],
        };
        let kind = Kind::Convolution {
            prepared,
            geometry,
            planes: false,
            function: Function::Identity,
            order: None,
        };
        self.write_sums(kind, input, shape, Layout::Plain)
    }

    pub(super) fn gemm(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let alpha = attributes.float("alpha", 1.0)?;
        let beta = attributes.float("beta", 1.0)?;
        let turns_left = attributes.integer("transA", 0)? != 0;
        let turns_right = attributes.integer("transB", 0)? != 0;
        attributes.finish()?;
        if alpha != 1.0 || beta != 1.0 || turns_left {
            return Err(Refusal::unsupported("`alpha`, `beta` or `transA`"));
        }
        let input = self.tensor(0)?;
        let input = self.plain(&input)?;
        let weight = self.constant(1)?;
        let (2, 2) = (input.shape.len(), weight.shape.len()) else {
            return Err(Refusal::malformed("factors with other than two axes"));
        };
        let outputs = weight.shape[usize::from(!turns_right)];
        let bias = match self.optional_constant(2)? {
            None => None,
            Some(bias) => match bias.shape[..] {
                [len] | [1, len] if len == outputs => Some(Arc::clone(bias.as_floats()?)),
                [] | [1] | [1, 1] => Some(vec![bias.as_float()?; outputs].into()),
                _ => return Err(Refusal::unsupported("a bias that differs between rows")),
            },
        };
        let shape = [input.shape[0], outputs];
        self.linear(input, &shape, &weight, turns_right, bias)
    }

    pub(super) fn product(&mut self) -> Result<(), Refusal> {
        self.attributes().finish()?;
        let left = self.tensor(0)?;
        let left = self.plain(&left)?;
        if let Some(Known::Constant(weight)) = self.optional(1)?
            && weight.shape.len() == 2
            && left.shape.len() >= 2
        {
            let bias = match self.optional_constant(2)? {
                Some(bias) => Some(Arc::clone(bias.as_floats()?)),
                None => None,
            };
            let mut shape = left.shape.clone();
            if let Some(last) = shape.last_mut() {
                *last = weight.shape[1];
            }
            return self.linear(left, &shape, &weight, false, bias);
        }
        let right = match self.optional(1)? {
            Some(Known::Computed(tensor)) => self.plain(&tensor)?,
            Some(Known::Constant(constant)) => constant_tensor(&constant)?,
            None => return Err(Refusal::malformed("a factor is missing")),
        };
        let (Some((left_outer, [rows, inner])), Some((right_outer, [other, columns]))) = (
            left.shape.split_last_chunk::<2>(),
            right.shape.split_last_chunk::<2>(),
        ) else {
            return Err(Refusal::unsupported("a product with a vector"));
        };
        if inner != other || self.node.inputs.len() != 2 {
            return Err(Refusal::malformed(format!(
                "factors of {:?} and {:?}",
                left.shape, right.shape
            )));
        }
        let outer = broadcast(left_outer, right_outer)?;
        let count = elements(&outer)?;
        if count > MOST_PRODUCTS {
            return Err(Refusal::unsupported("very many products"));
        }
        let begin = |own: &[usize], size: usize, mut index: usize| {
            let (mut place, mut stride) = (0, size);
            for (axis, len) in outer.iter().enumerate().rev() {
                let at = index % len;
                index /= len;
                if let Some(axis) = (axis + own.len()).checked_sub(outer.len()) {
                    place += if own[axis] > 1 { at * stride } else { 0 };
                    stride *= own[axis];
                }
            }
            place
        };
        let starts = (0..count).map(|index| {
            [
                begin(left_outer, rows * inner, index),
                begin(right_outer, inner * columns, index),
            ]
        });
        let kind = Kind::Product {
            sizes: [*rows, *inner, *columns],
            starts: starts.collect(),
        };
        let shape = [outer, vec![*rows, *columns]].concat();
        let inputs = vec![left.source.clone(), right.source.clone()];
        let output = self.output()?;
        let tensor = self.step(kind, inputs, &shape, Layout::Plain)?;
        self.tell(output, tensor)
    }

    pub(super) fn softmax(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let is_old = self.network.opset < 13;
        let axis = attributes.integer("axis", if is_old { 1 } else { -1 })?;
        attributes.finish()?;
        let input = self.tensor(0)?;
        let axis = axis_of(axis, input.shape.len())?;
        if is_old && axis + 1 != input.shape.len() {
            return Err(Refusal::unsupported(
                "several axes at a time, as before opset 13",
            ));
        }
        let order = input.order();
        let place = order.iter().position(|own| *own == axis).unwrap_or(axis);
        let product = |axes: &[usize]| axes.iter().map(|axis| input.shape[*axis]).product();
        let sizes = [
            product(&order[..place]),
            input.shape[axis],
            product(&order[place + 1..]),
        ];
        let kind = Kind::Softmax {
            logarithm: self.node.operator == "LogSoftmax",
            sizes,
        };
        let output = self.output()?;
        let shape = input.shape.clone();
        let tensor = self.step(kind, vec![input.source], &shape, input.layout)?;
        self.tell(output, tensor)
    }

    pub(super) fn layer_norm(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let axis = attributes.integer("axis", -1)?;
        let epsilon = attributes.float("epsilon", 1e-5)?;
        attributes.integer("stash_type", 1)?;
        attributes.finish()?;
        let input = self.tensor(0)?;
        let input = self.plain(&input)?;
        let rank = input.shape.len();
        let scale = self.constant(1)?;
        if axis_of(axis, rank)? + 1 != rank || scale.shape != input.shape[rank - 1..] {
            return Err(Refusal::unsupported("a norm over more than the last axis"));
        }
        let mut inputs = vec![input.source.clone(), constant_tensor(&scale)?.source];
        if let Some(shift) = self.optional_constant(2)? {
            if shift.shape != scale.shape {
                return Err(Refusal::unsupported("a shift of another shape"));
            }
            inputs.push(constant_tensor(&shift)?.source);
        }
        let output = self.output()?;
        let shape = input.shape.clone();
        let tensor = self.step(Kind::LayerNorm { epsilon }, inputs, &shape, Layout::Plain)?;
        self.tell(output, tensor)
    }
}
