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
/// `<layer>.weight`, the optimiser's moments as `optimizer.<layer>.weight.m`, the moving averages
/// of the weights as `average.<layer>.weight`.
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

    /// The weights and running statistics alone, as a network is used: without the optimiser's
    /// moments, and with the moving averages in place of the weights where there are any.
    #[must_use]
    pub fn for_use(self) -> Self {
        let mut used = BTreeMap::new();
        let mut averages = Vec::new();
        for (name, tensor) in self.tensors {
            if let Some(name) = name.strip_prefix(AVERAGE_PREFIX) {
                averages.push((name.to_string(), tensor));
            } else if !name.starts_with(OPTIMIZER_PREFIX) {
                used.insert(name, tensor);
            }
        }
        used.extend(averages);
        Self { tensors: used }
    }
}

/// Begins the names of the optimiser's moments.
pub(crate) const OPTIMIZER_PREFIX: &str = "optimizer.";

/// Begins the names of the weights' moving averages.
pub(crate) const AVERAGE_PREFIX: &str = "average.";

/// Whether a name is of a network's own tensors, and not of what only training needs.
pub(crate) fn is_of_network(name: &str) -> bool {
    !name.starts_with(OPTIMIZER_PREFIX) && !name.starts_with(AVERAGE_PREFIX)
}
