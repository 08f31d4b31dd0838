//! Burn's `flex` backend.

use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::Graph;

use super::{Executor, StepOptions, StepOutput};
use crate::error::{EngineError, EngineErrorKind};
use crate::state::State;

/// Executes a graph on the CPU.
pub struct BurnExecutor {}

impl BurnExecutor {
    /// Executor.
    pub fn new(graph: Graph, optimizer: &OptimizerConfig, seed: u64) -> Result<Self, EngineError> {
        let _ = (graph, optimizer, seed);
        Ok(Self {})
    }
}

impl Executor for BurnExecutor {
    fn train_step(
        &mut self,
        _: &[f32],
        _: &[u32],
        _: &StepOptions,
    ) -> Result<StepOutput, EngineError> {
        Err(EngineError::new(EngineErrorKind::Config, "not there yet"))
    }
    fn evaluate(&mut self, _: &[f32], _: usize) -> Result<Vec<f32>, EngineError> {
        Err(EngineError::new(EngineErrorKind::Config, "not there yet"))
    }
    fn state(&self) -> State {
        State::default()
    }
    fn load_state(&mut self, _: &State) -> Result<(), EngineError> {
        Ok(())
    }
}
