//! Products of matrices, and rows: linear layers and softmax.

use std::sync::Arc;

use ferrotype_kernels::convolution::prepared::{Geometry, Method, Prepared, Weights};
use ferrotype_kernels::finish::Function;
use ferrotype_kernels::strided::Operation;

use super::{Kind, Known, Layout, Planner, Tensor, axis_of, parts};
use crate::native::fold::{broadcast, place_in};
use crate::native::refusal::Refusal;
use crate::native::tensor::{Constant, elements};

/// Products of a step at most.
const MOST_PRODUCTS: usize = 1 << 16;

impl Planner<'_> {
    /// Rows times a constant matrix `[inputs, outputs]`, or its transpose, times `factor`.
    fn linear(
        &mut self,
        input: Tensor,
        weight: &Constant,
        is_transposed: bool,
        factor: f32,
        bias: Option<Arc<[f32]>>,
    ) -> Result<Tensor, Refusal> {
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
        if outputs == 0 {
            return Err(Refusal::malformed("a matrix without columns"));
        }
        let rows = input.len() / inputs;
        let mut shape = input.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        let values = weight.as_floats()?;
        let prepared = self.prepared(|| {
            let mut values = match is_transposed {
                true => values.to_vec(),
                false => transposed(values, inputs, outputs),
            };
            if factor != 1.0 {
                values.iter_mut().for_each(|weight| *weight *= factor);
            }
            let weights = Weights {
                values: &values,
                bias: bias.as_deref(),
                in_channels: inputs,
                out_channels: outputs,
                kernel: [1, 1],
                groups: 1,
            };
            Ok(Prepared::new(&weights, Method::Direct))
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
        self.step(kind, vec![input.source], &shape, Layout::Plain)
    }

    /// `alpha · A · B + beta · C` with A and B or their transposes.
    pub(super) fn gemm(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let alpha = attributes.float("alpha", 1.0)?;
        let beta = attributes.float("beta", 1.0)?;
        let turns_left = attributes.integer("transA", 0)? != 0;
        let turns_right = attributes.integer("transB", 0)? != 0;
        attributes.finish()?;
        let input = self.tensor(0)?;
        let mut left = self.plain(&input)?;
        if left.shape.len() != 2 {
            return Err(Refusal::malformed("factors with other than two axes"));
        }
        if turns_left {
            left = self.permuted(&left, &[1, 0])?;
        }
        let right = match self.optional(1)? {
            Some(Known::Constant(weight)) if weight.shape.len() == 2 => {
                let outputs = weight.shape[usize::from(!turns_right)];
                let bias = match self.optional(2)? {
                    None => None,
                    Some(Known::Constant(bias)) => row_of(&bias, outputs, beta)?,
                    Some(Known::Computed(_)) => None,
                };
                let is_whole = bias.is_some() || self.optional(2)?.is_none();
                let sums = self.linear(left, &weight, turns_right, alpha, bias)?;
                if is_whole {
                    return self.tell_sums(sums);
                }
                sums
            }
            Some(Known::Computed(right)) if right.shape.len() == 2 => {
                let right = match turns_right {
                    true => self.permuted(&right, &[1, 0])?,
                    false => right,
                };
                let product = self.product_of(&left, &right)?;
                self.times(product, alpha)?
            }
            _ => return Err(Refusal::malformed("factors with other than two axes")),
        };
        let mut sum = right;
        if self.optional(2)?.is_some() {
            let added = self.tensor(2)?;
            let added = self.times(added, beta)?;
            if broadcast(&sum.shape, &added.shape)? != sum.shape {
                return Err(Refusal::malformed("a bias of another shape"));
            }
            sum = self.pair_of(Operation::Add, sum, added)?;
        }
        let output = self.output()?;
        self.tell(output, sum)
    }

    fn times(&mut self, tensor: Tensor, factor: f32) -> Result<Tensor, Refusal> {
        match factor == 1.0 {
            true => Ok(tensor),
            false => self.pair_of(Operation::Multiply, tensor, parts::number(factor)),
        }
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
            let sums = self.linear(left, &weight, false, 1.0, bias)?;
            return self.tell_sums(sums);
        }
        if self.node.inputs.len() != 2 {
            return Err(Refusal::unsupported("a bias behind a product"));
        }
        let right = self.tensor(1)?;
        let right = self.plain(&right)?;
        let product = match (&left.shape[..], &right.shape[..]) {
            ([], _) | (_, []) => return Err(Refusal::malformed("a product with a number")),
            // A vector is a row on the left and a column on the right.
            ([len], [_]) => {
                let (row, column) = (vec![1, *len], vec![right.len(), 1]);
                let (row, column) = (self.viewed(&left, row)?, self.viewed(&right, column)?);
                let product = self.product_of(&row, &column)?;
                self.viewed(&product, Vec::new())?
            }
            ([len], _) => {
                let row = self.viewed(&left, vec![1, *len])?;
                let product = self.product_of(&row, &right)?;
                let mut shape = product.shape.clone();
                shape.remove(shape.len() - 2);
                self.viewed(&product, shape)?
            }
            (_, [len]) => {
                let column = self.viewed(&right, vec![*len, 1])?;
                let product = self.product_of(&left, &column)?;
                let mut shape = product.shape.clone();
                shape.pop();
                self.viewed(&product, shape)?
            }
            _ => self.product_of(&left, &right)?,
        };
        let output = self.output()?;
        self.tell(output, product)
    }

    /// Products of the matrices in the last two axes.
    pub(super) fn product_of(&mut self, left: &Tensor, right: &Tensor) -> Result<Tensor, Refusal> {
        let (left, right) = (self.plain(left)?, self.plain(right)?);
        let (Some((left_outer, [rows, inner])), Some((right_outer, [other, columns]))) = (
            left.shape.split_last_chunk::<2>(),
            right.shape.split_last_chunk::<2>(),
        ) else {
            return Err(Refusal::malformed("a factor with less than two axes"));
        };
        if inner != other {
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
        self.spent.constant(4 * count)?;
        let starts = (0..count).map(|index| {
            [
                place_in(left_outer, &outer, index) * rows * inner,
                place_in(right_outer, &outer, index) * inner * columns,
            ]
        });
        let kind = Kind::Product {
            sizes: [*rows, *inner, *columns],
            starts: starts.collect(),
        };
        let shape = [outer, vec![*rows, *columns]].concat();
        let inputs = vec![left.source.clone(), right.source.clone()];
        self.step(kind, inputs, &shape, Layout::Plain)
    }

    pub(super) fn softmax(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let is_old = self.network.opset < 13;
        let axis = attributes.integer("axis", if is_old { 1 } else { -1 })?;
        attributes.finish()?;
        let input = self.tensor(0)?;
        let axis = axis_of(axis, input.shape.len())?;
        if is_old && axis + 1 != input.shape.len() {
            // Before opset 13, along this axis and all behind it as one.
            let product = |sizes: &[usize]| sizes.iter().product();
            let rows = [product(&input.shape[..axis]), product(&input.shape[axis..])];
            let shape = input.shape.clone();
            let input = self.plain(&input)?;
            let kind = Kind::Softmax {
                logarithm: self.node.operator == "LogSoftmax",
                sizes: [rows[0], rows[1], 1],
            };
            let tensor = self.step(kind, vec![input.source], &shape, Layout::Plain)?;
            let output = self.output()?;
            return self.tell(output, tensor);
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
}

/// A bias that is the same for all rows, times `factor`; none where it differs between them.
fn row_of(bias: &Constant, outputs: usize, factor: f32) -> Result<Option<Arc<[f32]>>, Refusal> {
    let values = bias.as_floats()?;
    let each = |value: &f32| factor * value;
    Ok(match bias.shape[..] {
        [len] | [1, len] if len == outputs => Some(values.iter().map(each).collect()),
        [] | [1] | [1, 1] => Some(vec![each(&values[0]); outputs].into()),
        _ => None,
    })
}

/// The transpose of a `[rows, columns]` matrix.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut target = vec![0.0; values.len()];
    ferrotype_kernels::layout::channels_last(values, rows, columns, &mut target);
    target
}
