//! Sums, means, extremes and norms along axes.

use ferrotype_kernels::finish::{Function, Uncommon};
use ferrotype_kernels::strided::Operation;
use ferrotype_kernels::windows::Reduction;

use super::{Kind, Planner, Tensor, axis_of};
use crate::native::refusal::Refusal;

impl Planner<'_> {
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
        if axes.as_ref().is_some_and(|axes| axes.len() > rank) {
            return Err(Refusal::malformed("more axes than there are"));
        }
        let mut axes = match axes.filter(|axes| !axes.is_empty()) {
            Some(axes) => axes
                .into_iter()
                .map(|axis| axis_of(axis, rank))
                .collect::<Result<Vec<_>, _>>()?,
            None if empty_is_none => Vec::new(),
            None => (0..rank).collect(),
        };
        axes.sort_unstable();
        axes.dedup();
        let mut tensor = match &self.node.operator[..] {
            "ReduceSum" => self.reduced(input, &axes, Reduction::Sum)?,
            "ReduceMean" => self.reduced(input, &axes, Reduction::Mean)?,
            "ReduceMax" => self.reduced(input, &axes, Reduction::Maximum)?,
            "ReduceMin" => self.reduced(input, &axes, Reduction::Minimum)?,
            "ReduceProd" => self.reduced(input, &axes, Reduction::Product)?,
            "ReduceL1" => {
                let absolute = self.function_of(input, Function::Absolute)?;
                self.reduced(absolute, &axes, Reduction::Sum)?
            }
            "ReduceL2" => {
                let sum = self.sum_of_squares(input, &axes)?;
                self.function_of(sum, Function::Sqrt)?
            }
            "ReduceSumSquare" => self.sum_of_squares(input, &axes)?,
            "ReduceLogSum" => {
                let sum = self.reduced(input, &axes, Reduction::Sum)?;
                self.function_of(sum, Function::Uncommon(Uncommon::Log))?
            }
            "ReduceLogSumExp" => self.log_sum_of_exponentials(input, &axes)?,
            _ => return Err(Refusal::unsupported("a reduction")),
        };
        if !keep {
            let kept = (0..rank).filter(|axis| !axes.contains(axis));
            let shape = kept.map(|axis| tensor.shape[axis]).collect();
            tensor = self.viewed(&tensor, shape)?;
        }
        let output = self.output()?;
        self.tell(output, tensor)
    }

    /// The reduction along axes, which stay with one element each.
    pub(super) fn reduced(
        &mut self,
        mut input: Tensor,
        axes: &[usize],
        reduction: Reduction,
    ) -> Result<Tensor, Refusal> {
        let mut left: Vec<usize> = axes.to_vec();
        while !left.is_empty() {
            // Those that follow each other in memory at a time.
            let order = input.order();
            let first = order.iter().position(|axis| left.contains(axis));
            let first = first.ok_or_else(|| Refusal::malformed("an axis that is not there"))?;
            let end = first
                + order[first..]
                    .iter()
                    .take_while(|a| left.contains(a))
                    .count();
            let size = |axes: &[usize]| axes.iter().map(|axis| input.shape[*axis]).product();
            let sizes = [
                size(&order[..first]),
                size(&order[first..end]),
                size(&order[end..]),
            ];
            let mut shape = input.shape.clone();
            for axis in &order[first..end] {
                shape[*axis] = 1;
            }
            left.retain(|axis| !order[first..end].contains(axis));
            let kind = Kind::Reduce(reduction, sizes);
            input = self.step(kind, vec![input.source], &shape, input.layout)?;
        }
        Ok(input)
    }

    /// `Σ x²` along axes.
    pub(super) fn sum_of_squares(
        &mut self,
        input: Tensor,
        axes: &[usize],
    ) -> Result<Tensor, Refusal> {
        let squares = self.pair_of(Operation::Multiply, input.clone(), input)?;
        self.reduced(squares, axes, Reduction::Sum)
    }

    /// `ln Σ eˣ`, less the largest number within the sum.
    fn log_sum_of_exponentials(
        &mut self,
        input: Tensor,
        axes: &[usize],
    ) -> Result<Tensor, Refusal> {
        let most = self.reduced(input.clone(), axes, Reduction::Maximum)?;
        let rest = self.pair_of(Operation::Subtract, input, most.clone())?;
        let exponentials = self.function_of(rest, Function::Exp)?;
        let sum = self.reduced(exponentials, axes, Reduction::Sum)?;
        let logarithm = self.function_of(sum, Function::Uncommon(Uncommon::Log))?;
        self.pair_of(Operation::Add, logarithm, most)
    }
}
