//! What an executor will take, before it is made.

use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::{Graph, TensorSpec};

use super::memory::Program;
use super::shapes;
use crate::error::EngineError;
use crate::executor::plan::{Mode, Plan};

/// Bytes that training takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Weights and running statistics.
    pub parameters: u64,
    /// The gradients of the weights.
    pub gradients: u64,
    /// The optimiser's moments.
    pub optimizer: u64,
    /// What flows between layers, forward and backward, as it is planned.
    pub activations: u64,
    /// What the kernels take beside it: a convolution's weights in another order and their
    /// transforms.
    pub workspace: u64,
}

impl MemoryEstimate {
    /// All of it together.
    pub const fn total(&self) -> u64 {
        self.parameters + self.gradients + self.optimizer + self.activations + self.workspace
    }
}

/// Plans training and evaluation of `graph` on batches of `batch` images.
///
/// # Errors
/// The graph does not pass its checks, or has nothing to fit.
pub(super) fn estimate(
    graph: &Graph,
    batch: usize,
    optimizer: &OptimizerConfig,
) -> Result<MemoryEstimate, EngineError> {
    let specs = graph.tensors()?;
    let plan = Plan::new(graph, &specs)?;
    let programs = [Mode::Training, Mode::Evaluation].map(|mode| Program::new(&plan, batch, mode));
    let floats = programs.iter().map(|program| program.float_total).max();
    let bytes = programs.iter().map(|program| program.byte_total).max();
    let trained = float_bytes(specs.iter().filter(|spec| spec.role.is_trained()));
    let moments = match optimizer {
        OptimizerConfig::AdamW { .. } => 2,
        OptimizerConfig::Sgd { momentum, .. } if *momentum > 0.0 => 1,
        OptimizerConfig::Sgd { .. } => 0,
    };
    Ok(MemoryEstimate {
        parameters: float_bytes(specs.iter()),
        gradients: trained,
        optimizer: moments * trained,
        activations: (floats.unwrap_or(0) * size_of::<f32>() + bytes.unwrap_or(0)) as u64,
        workspace: workspace(&plan, batch),
    })
}

fn float_bytes<'a>(specs: impl Iterator<Item = &'a TensorSpec>) -> u64 {
    let count: usize = specs.map(TensorSpec::element_count).sum();
    (count * size_of::<f32>()) as u64
}

/// What the largest convolution takes; the memory is used again by the others.
fn workspace(plan: &Plan, batch: usize) -> u64 {
    let shapes = plan
        .layers
        .iter()
        .filter_map(|layer| shapes::convolution(layer, batch));
    let largest = shapes.map(|shape| shape.workspace_len()).max();
    (largest.unwrap_or(0) * size_of::<f32>()) as u64
}
