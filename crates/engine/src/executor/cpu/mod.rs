//! The graph on the CPU: forward, backward and update on plain buffers, with the loops of
//! `ferrotype-kernels`.

mod arena;
mod backward;
mod forward;

use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::{Graph, Op};

use self::arena::Arena;
use self::backward::Backward;
use self::forward::{Pass, Saved};
use super::plan::{Fusing, Plan};
use super::shared::{Measured, check_finite, update_running_statistics};
use super::{Executor, StepOptions, StepOutput};
use crate::error::EngineError;
use crate::loss::{CrossEntropy, cross_entropy};
use crate::optimizer::{Optimizer, Update, clip_scale, global_norm};
use crate::parameters::Parameters;
use crate::state::State;

/// Executes a graph on the CPU, on the thread pool it is called from.
pub struct CpuExecutor {
    plan: Plan,
    parameters: Parameters,
    optimizer: Optimizer,
    arena: Arena,
    /// Batch size of the buffers in the arena.
    arena_batch: usize,
}

/// A forward and backward pass.
struct Gradients {
    loss: CrossEntropy,
    /// By the graph's tensors; empty for running statistics.
    tensors: Vec<Vec<f32>>,
    pass: Pass,
}

impl CpuExecutor {
    /// An executor of `graph` with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// The graph does not pass its checks, or has nothing to fit.
    pub fn new(graph: &Graph, optimizer: &OptimizerConfig, seed: u64) -> Result<Self, EngineError> {
        let parameters = Parameters::initial(graph, seed)?;
        Ok(Self {
            plan: Plan::new(graph, parameters.specs(), Fusing::Allowed)?,
            optimizer: Optimizer::new(optimizer, parameters.specs()),
            parameters,
            arena: Arena::default(),
            arena_batch: 0,
        })
    }

    /// The mean cross-entropy of a batch and its gradient by each trained tensor, by the tensor's
    /// name. Nothing is updated.
    ///
    /// # Errors
    /// The batch does not fit the graph, or the loss is not finite.
    pub fn gradients(
        &mut self,
        images: &[f32],
        labels: &[u32],
        options: &StepOptions,
    ) -> Result<(f64, State), EngineError> {
        let gradients = self.forward_backward(images, labels, options)?;
        let mut state = State::default();
        for (spec, gradient) in self.parameters.specs().iter().zip(gradients.tensors) {
            if spec.role.is_trained() {
                state.insert(&spec.name, spec.shape.clone(), gradient);
            }
        }
        gradients.pass.recycle(&mut self.arena);
        Ok((gradients.loss.loss, state))
    }

    fn forward_backward(
        &mut self,
        images: &[f32],
        labels: &[u32],
        options: &StepOptions,
    ) -> Result<Gradients, EngineError> {
        let batch = labels.len();
        self.plan.check_batch(images, batch, labels)?;
        self.prepare_arena(batch);
        let tensors = self.parameters.values();
        let (plan, arena) = (&self.plan, &mut self.arena);
        let mut pass = forward::run(plan, tensors, images, batch, Some(options), arena);
        let logits = pass.outputs[plan.output].as_deref().unwrap_or_default();
        let mut loss = cross_entropy(logits, labels, plan.classes);
        if let Err(error) = check_finite("loss", loss.loss) {
            pass.recycle(arena);
            return Err(error);
        }
        let logits_gradient = arena.copy(&std::mem::take(&mut loss.gradient));
        let mut tensors = Backward::new(plan, tensors, &mut pass, arena).run(logits_gradient);
        self.fill_missing(&mut tensors);
        Ok(Gradients {
            loss,
            tensors,
            pass,
        })
    }

    /// Gives tensors that the loss does not depend on a gradient of zero.
    fn fill_missing(&self, gradients: &mut [Vec<f32>]) {
        let specs = self.parameters.specs();
        for (spec, gradient) in specs.iter().zip(gradients) {
            if gradient.is_empty() && spec.role.is_trained() {
                *gradient = vec![0.0; spec.element_count()];
            }
        }
    }

    /// Buffers of another batch size will not be asked for again soon.
    fn prepare_arena(&mut self, batch: usize) {
        if self.arena_batch != batch {
            self.arena.clear();
            self.arena_batch = batch;
        }
    }

    fn update_running_statistics(&mut self, pass: &Pass) {
        for (layer, saved) in self.plan.layers.iter().zip(&pass.saved) {
            let (Op::BatchNorm2d { momentum, .. }, Saved::Norm { statistics, .. }) =
                (&layer.op, saved)
            else {
                continue;
            };
            let measured = Measured {
                mean: &statistics.mean,
                variance: &statistics.variance,
                count: pass.batch * layer.output.pixels(),
            };
            let tensors = layer.tensors.clone();
            update_running_statistics(&mut self.parameters, tensors, *momentum, &measured);
        }
    }
}

impl Executor for CpuExecutor {
    fn train_step(
        &mut self,
        images: &[f32],
        labels: &[u32],
        options: &StepOptions,
    ) -> Result<StepOutput, EngineError> {
        let Gradients {
            loss,
            tensors,
            pass,
        } = self.forward_backward(images, labels, options)?;
        let gradient_norm = global_norm(&tensors);
        check_finite("gradient's norm", gradient_norm)?;
        let update = Update {
            step: options.step,
            learning_rate: options.learning_rate,
            gradient_scale: clip_scale(gradient_norm, options.gradient_clip),
        };
        let values = self.parameters.values_mut();
        self.optimizer.update(values, &tensors, &update);
        self.update_running_statistics(&pass);
        pass.recycle(&mut self.arena);
        Ok(StepOutput {
            loss: loss.loss,
            correct: loss.correct,
            gradient_norm,
        })
    }

    fn evaluate(&mut self, images: &[f32], batch: usize) -> Result<Vec<f32>, EngineError> {
        self.plan.check_batch(images, batch, &[])?;
        self.prepare_arena(batch);
        let tensors = self.parameters.values();
        let mut pass = forward::run(&self.plan, tensors, images, batch, None, &mut self.arena);
        let logits = pass.outputs[self.plan.output].take().unwrap_or_default();
        pass.recycle(&mut self.arena);
        Ok(logits)
    }

    fn state(&self) -> State {
        let mut state = State::default();
        self.parameters.write_to(&mut state);
        self.optimizer.write_to(&mut state);
        state
    }

    fn load_state(&mut self, state: &State) -> Result<(), EngineError> {
        let mut optimizer = self.optimizer.clone();
        optimizer.read_from(state)?;
        self.parameters.read_from(state)?;
        self.optimizer = optimizer;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ferrotype_core::graph::zoo;

    use super::*;

    #[test]
    fn steps_and_evaluations_keep_no_more_buffers_than_the_first() {
        let graph = zoo::build("baseline", [3, 8, 8], 2, &Default::default()).unwrap();
        let optimizer = OptimizerConfig::Sgd {
            momentum: 0.0,
            weight_decay: 0.0,
            nesterov: false,
        };
        let mut executor = CpuExecutor::new(&graph, &optimizer, 1).unwrap();
        let images = vec![0.5; 4 * 3 * 8 * 8];
        let mut kept = Vec::new();
        for step in 0..6 {
            let options = StepOptions {
                step,
                learning_rate: 0.01,
                dropout_seed: 1,
                gradient_clip: None,
            };
            executor
                .train_step(&images, &[0, 1, 0, 1], &options)
                .unwrap();
            executor.evaluate(&images, 4).unwrap();
            kept.push(executor.arena.kept());
        }
        assert!(kept[1..].iter().all(|count| *count == kept[1]), "{kept:?}");
    }
}
