//! The numbers of a graph in memory, in execution order.

use ferrotype_core::graph::{Graph, TensorSpec};

use crate::error::{EngineError, EngineErrorKind};
use crate::init::initial_values;
use crate::state::{State, is_of_network};

/// The tensors of a graph: weights and running statistics.
#[derive(Debug, Clone)]
pub(crate) struct Parameters {
    specs: Vec<TensorSpec>,
    values: Vec<Vec<f32>>,
}

impl Parameters {
    /// The initial values of `graph`.
    ///
    /// # Errors
    /// The graph does not pass its checks.
    pub(crate) fn initial(graph: &Graph, seed: u64) -> Result<Self, EngineError> {
        let specs = graph.tensors()?;
        let values = initial_values(graph, &specs, seed);
        Ok(Self { specs, values })
    }

    pub(crate) fn specs(&self) -> &[TensorSpec] {
        &self.specs
    }

    pub(crate) fn values(&self) -> &[Vec<f32>] {
        &self.values
    }

    pub(crate) fn values_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.values
    }

    /// Adds all tensors to `state` by name.
    pub(crate) fn write_to(&self, state: &mut State) {
        for (spec, values) in self.specs.iter().zip(&self.values) {
            state.insert(&spec.name, spec.shape.clone(), values.clone());
        }
    }

    /// Takes all tensors from `state`; nothing changes when one does not fit.
    ///
    /// # Errors
    /// A tensor is missing, unknown or has another shape; the error names it.
    pub(crate) fn read_from(&mut self, state: &State) -> Result<(), EngineError> {
        check_fits(&self.specs, state)?;
        for (spec, values) in self.specs.iter().zip(&mut self.values) {
            if let Some(tensor) = state.get(&spec.name) {
                values.clone_from(&tensor.values);
            }
        }
        Ok(())
    }
}

/// Whether `state` has exactly the tensors of `specs`, each in its shape.
///
/// # Errors
/// Names the first tensor that is missing, unknown or has another shape.
pub(crate) fn check_fits(specs: &[TensorSpec], state: &State) -> Result<(), EngineError> {
    let other = |message: String| EngineError::new(EngineErrorKind::OtherCheckpoint, message);
    for spec in specs {
        let Some(tensor) = state.get(&spec.name) else {
            return Err(other(format!("tensor `{}` is missing", spec.name)));
        };
        if tensor.shape != spec.shape || tensor.values.len() != spec.element_count() {
            return Err(other(format!(
                "tensor `{}` has the shape {:?}, expected {:?}",
                spec.name, tensor.shape, spec.shape
            )));
        }
    }
    let unknown = state
        .tensors
        .keys()
        .filter(|name| is_of_network(name))
        .find(|name| !specs.iter().any(|spec| spec.name == **name));
    match unknown {
        None => Ok(()),
        Some(name) => Err(other(format!("tensor `{name}` belongs to no layer"))),
    }
}
