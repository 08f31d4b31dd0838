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
use super::{Executor, Fit, StepOptions, StepOutput, Targets};
use crate::error::EngineError;
use crate::fitting::{Fitting, Measured, check_finite};
use crate::loss::{BatchLoss, batch_loss};
use crate::state::State;

/// Executes a graph on the CPU, on the thread pool it is called from.
pub struct CpuExecutor {
    plan: Plan,
    fitting: Fitting,
    arena: Arena,
    /// Batch size of the buffers in the arena.
    arena_batch: usize,
}

/// A forward and backward pass.
struct Gradients {
    loss: BatchLoss,
    /// By the graph's tensors; empty for those that have none.
    tensors: Vec<Vec<f32>>,
    pass: Pass,
}

impl CpuExecutor {
    /// An executor of `graph` with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// The graph does not pass its checks, or has nothing to fit.
    pub fn new(graph: &Graph, optimizer: &OptimizerConfig, seed: u64) -> Result<Self, EngineError> {
        let fitting = Fitting::new(graph, optimizer, seed)?;
        Ok(Self {
            plan: Plan::new(graph, fitting.specs(), Fusing::Allowed)?,
            fitting,
            arena: Arena::default(),
            arena_batch: 0,
        })
    }

    /// The mean loss of a batch and its gradient by each fitted tensor, by the tensor's name.
    /// Nothing is updated.
    ///
    /// # Errors
    /// The batch does not fit the graph, or the loss is not finite.
    pub fn gradients(
        &mut self,
        images: &[f32],
        targets: &Targets<'_>,
        options: &StepOptions<'_>,
    ) -> Result<(f64, State), EngineError> {
        let gradients = self.forward_backward(images, targets, options)?;
        let mut state = State::default();
        let specs = self.fitting.specs().iter().zip(self.fitting.fitted());
        for ((spec, is_fitted), mut gradient) in specs.zip(gradients.tensors) {
            if is_fitted {
                // The loss may not depend on it.
                gradient.resize(spec.element_count(), 0.0);
                state.insert(&spec.name, spec.shape.clone(), gradient);
            }
        }
        gradients.pass.recycle(&mut self.arena);
        Ok((gradients.loss.loss, state))
    }

    fn forward_backward(
        &mut self,
        images: &[f32],
        targets: &Targets<'_>,
        options: &StepOptions<'_>,
    ) -> Result<Gradients, EngineError> {
        let batch = targets.count(self.plan.classes);
        self.plan.check_batch(images, batch)?;
        targets.check(self.plan.classes)?;
        self.prepare_arena(batch);
        let tensors = self.fitting.values();
        let (plan, arena) = (&self.plan, &mut self.arena);
        let mut pass = forward::run(plan, tensors, images, batch, Some(options), arena);
        let logits = pass.outputs[plan.output].as_deref().unwrap_or_default();
        let mut loss = batch_loss(logits, targets, plan.classes, &options.loss, options.share);
        if let Err(error) = check_finite("loss", loss.loss) {
            pass.recycle(arena);
            return Err(error);
        }
        let logits_gradient = arena.copy(&std::mem::take(&mut loss.gradient));
        let tensors = Backward::new(plan, tensors, &mut pass, arena).run(logits_gradient);
        Ok(Gradients {
            loss,
            tensors,
            pass,
        })
    }

    /// Buffers of another batch size will not be asked for again soon.
    fn prepare_arena(&mut self, batch: usize) {
        if self.arena_batch != batch {
            self.arena.clear();
            self.arena_batch = batch;
        }
    }

    fn move_statistics(&mut self, pass: &Pass, options: &StepOptions<'_>) {
        for (layer, saved) in self.plan.layers.iter().zip(&pass.saved) {
            let (Op::BatchNorm2d { momentum, .. }, Saved::Norm { statistics, .. }) =
                (&layer.op, saved)
            else {
                continue;
            };
            if !layer.is_fitted {
                continue;
            }
            let measured = Measured {
                mean: &statistics.mean,
                variance: &statistics.variance,
                count: pass.batch * layer.output.pixels(),
            };
            let tensors = layer.tensors.clone();
            self.fitting
                .move_statistics(tensors, *momentum, &measured, options);
        }
    }
}

impl Executor for CpuExecutor {
    fn train_step(
        &mut self,
        images: &[f32],
        targets: &Targets<'_>,
        options: &StepOptions<'_>,
    ) -> Result<StepOutput, EngineError> {
        let Gradients {
            loss,
            mut tensors,
            pass,
        } = match self.forward_backward(images, targets, options) {
            Ok(gradients) => gradients,
            Err(error) => {
                self.fitting.forget_accumulated();
                return Err(error);
            }
        };
        let gradient_norm = self.fitting.apply(&mut tensors, options)?;
        self.move_statistics(&pass, options);
        pass.recycle(&mut self.arena);
        Ok(StepOutput {
            loss: loss.loss,
            correct: loss.correct,
            gradient_norm,
        })
    }

    fn evaluate(&mut self, images: &[f32], batch: usize) -> Result<Vec<f32>, EngineError> {
        self.plan.check_batch(images, batch)?;
        self.prepare_arena(batch);
        let (plan, arena) = (&self.plan, &mut self.arena);
        let mut pass = self
            .fitting
            .with_averages(|tensors| forward::run(plan, tensors, images, batch, None, arena));
        let logits = pass.outputs[self.plan.output].take().unwrap_or_default();
        pass.recycle(&mut self.arena);
        Ok(logits)
    }

    fn set_fits(&mut self, fits: &[Option<Fit>]) -> Result<(), EngineError> {
        self.fitting.set_fits(fits)?;
        self.plan.set_fitted(&self.fitting.fitted());
        Ok(())
    }

    fn state(&self) -> State {
        self.fitting.state()
    }

    fn load_state(&mut self, state: &State) -> Result<(), EngineError> {
        self.fitting.load_state(state)
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
            let targets = Targets::Classes(&[0, 1, 0, 1]);
            executor
                .train_step(&images, &targets, &StepOptions::new(step, 0.01))
                .unwrap();
            executor.evaluate(&images, 4).unwrap();
            kept.push(executor.arena.kept());
        }
        assert!(kept[1..].iter().all(|count| *count == kept[1]), "{kept:?}");
    }
}
