//! What follows a convolution and is done while its sums are in registers.

use ferrotype_kernels::finish::{Function, Order};

use super::{Kind, Known, Planner, Source, Tensor};
use crate::native::graph::ValueId;

impl Planner<'_> {
    /// Lets the convolution that wrote `input` apply a function, if nobody else reads its sums.
    pub(super) fn fuse_function(&mut self, input: ValueId, function: Function) -> Option<Tensor> {
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

    pub(super) fn computed(&self, value: ValueId) -> Option<Tensor> {
        match self.known.get(&value) {
            Some(Known::Computed(tensor)) => Some(tensor.clone()),
            _ => None,
        }
    }

    /// Lets the convolution that wrote `input` add another value of the same shape.
    pub(super) fn fuse_shortcut(&mut self, input: ValueId, other: ValueId) -> Option<Tensor> {
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
}
