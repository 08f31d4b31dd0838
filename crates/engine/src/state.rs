//! The numbers of a network by name: what a checkpoint keeps and an export reads.

use std::collections::BTreeMap;

/// One named tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct StateTensor {
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// Values in row-major order.
    pub values: Vec<f32>,
}

/// All numbers that training changes, by name: weights and running statistics as
/// `<layer>.weight`, the optimiser's moments as `optimizer.<layer>.weight.m`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The tensors, sorted by name.
    pub tensors: BTreeMap<String, StateTensor>,
}

impl State {
    /// The tensor `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&StateTensor> {
        self.tensors.get(name)
    }

    /// Adds or replaces the tensor `name`.
    pub fn insert(&mut self, name: impl Into<String>, shape: Vec<usize>, values: Vec<f32>) {
        self.tensors
            .insert(name.into(), StateTensor { shape, values });
    }

    /// The weights and running statistics alone, without the optimiser's moments.
    #[must_use]
    pub fn without_optimizer(mut self) -> Self {
        self.tensors
            .retain(|name, _| !name.starts_with(OPTIMIZER_PREFIX));
        self
    }
}

/// Begins the names of the optimiser's moments.
pub(crate) const OPTIMIZER_PREFIX: &str = "optimizer.";
