//! The graph on Burn's `flex` backend: Burn records the operations and runs them backwards; the
//! loss, the update and the running statistics are ours, on plain numbers. It is the oracle of the
//! CPU executor, and the way to the devices that Burn knows.

mod layers;
mod tensors;

use burn::tensor::{Device, Tensor};
use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::{Graph, Op};

use self::layers::{DropoutMask, forward};
use self::tensors::{Leaf, Value, from_values, into_values};
use super::plan::{Extent, Fusing, Plan, Slot};
use super::shared::{Measured, check_finite, dropout_mask, update_running_statistics};
use super::{Executor, StepOptions, StepOutput};
use crate::error::{EngineError, EngineErrorKind};
use crate::loss::cross_entropy;
use crate::optimizer::{Optimizer, Update, clip_scale, global_norm};
use crate::parameters::Parameters;
use crate::state::State;

/// Executes a graph on the CPU with Burn's `flex` backend.
pub struct BurnExecutor {
    plan: Plan,
    parameters: Parameters,
    optimizer: Optimizer,
    /// Records what is computed, for the backward pass.
    training_device: Device,
    evaluation_device: Device,
}

/// Batch statistics of a normalisation layer, as plain numbers.
struct MeasuredStatistics {
    layer: usize,
    mean: Vec<f32>,
    /// Biased.
    variance: Vec<f32>,
    /// How many numbers of each channel they are over.
    count: usize,
}

/// What the forward pass of a training step gave.
struct TrainingPass {
    logits: Tensor<2>,
    leaves: Vec<Leaf>,
    statistics: Vec<MeasuredStatistics>,
}

impl BurnExecutor {
    /// An executor of `graph` with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// The graph does not pass its checks, or has nothing to fit.
    pub fn new(graph: &Graph, optimizer: &OptimizerConfig, seed: u64) -> Result<Self, EngineError> {
        let parameters = Parameters::initial(graph, seed)?;
        let plan = Plan::new(graph, parameters.specs(), Fusing::Forbidden)?;
        let optimizer = Optimizer::new(optimizer, parameters.specs());
        let evaluation_device = Device::flex();
        Ok(Self {
            plan,
            parameters,
            optimizer,
            training_device: evaluation_device.clone().autodiff(),
            evaluation_device,
        })
    }

    fn leaves(&self, training: bool) -> Vec<Leaf> {
        let device = if training {
            &self.training_device
        } else {
            &self.evaluation_device
        };
        self.parameters
            .specs()
            .iter()
            .zip(self.parameters.values())
            .map(|(spec, values)| {
                Leaf::new(
                    &spec.shape,
                    values,
                    training && spec.role.is_trained(),
                    device,
                )
            })
            .collect()
    }

    fn training_pass(
        &self,
        images: &[f32],
        batch: usize,
        options: &StepOptions,
    ) -> Result<TrainingPass, EngineError> {
        let leaves = self.leaves(true);
        let mut statistics = Vec::new();
        let logits = self.run(images, batch, &leaves, Some(options), &mut statistics)?;
        Ok(TrainingPass {
            logits,
            leaves,
            statistics,
        })
    }

    /// Runs the graph; with `training`, dropout is active and `statistics` receives those of
    /// each normalisation layer.
    fn run(
        &self,
        images: &[f32],
        batch: usize,
        leaves: &[Leaf],
        training: Option<&StepOptions>,
        statistics: &mut Vec<MeasuredStatistics>,
    ) -> Result<Tensor<2>, EngineError> {
        let device = match training {
            Some(_) => &self.training_device,
            None => &self.evaluation_device,
        };
        let Extent {
            channels,
            height,
            width,
        } = self.plan.input;
        let shape = [batch, channels, height, width];
        let image = Value::Map(from_values(images.to_vec(), shape, device));
        let mut outputs: Vec<Option<Value>> = vec![None; self.plan.layers.len()];
        for (index, layer) in self.plan.layers.iter().enumerate() {
            let inputs = layer
                .inputs
                .iter()
                .filter_map(|slot| match slot {
                    Slot::Image => Some(image.clone()),
                    Slot::Layer(read) => outputs[*read].clone(),
                })
                .collect();
            // Released here, so that a layer may work in place on what only it reads.
            for read in &layer.last_reader_of {
                outputs[*read] = None;
            }
            let mask = training.map(|options| {
                move |probability, count| dropout_mask(options, index as u64, probability, count)
            });
            let mask = mask.as_ref().map(|mask| mask as DropoutMask<'_>);
            let result = forward(&layer.op, inputs, &leaves[layer.tensors.clone()], mask)
                .ok_or_else(|| unsupported(&layer.op))?;
            if let (Some(batch_statistics), Value::Map(map)) = (result.statistics, &result.value) {
                let [batch, _, height, width] = map.dims();
                statistics.push(MeasuredStatistics {
                    layer: index,
                    mean: into_values(batch_statistics.mean),
                    variance: into_values(batch_statistics.variance),
                    count: batch * height * width,
                });
            }
            outputs[index] = Some(result.value);
        }
        match outputs.pop().flatten() {
            Some(logits) => Ok(logits.into_row()),
            None => Err(EngineError::new(
                EngineErrorKind::Graph,
                "the graph has no layers",
            )),
        }
    }

    /// The gradient by each of the graph's tensors; empty for running statistics.
    fn backward(&self, pass: &TrainingPass, logits_gradient: Vec<f32>) -> Vec<Vec<f32>> {
        let shape = pass.logits.dims();
        let weights = from_values(logits_gradient, shape, &self.training_device);
        // Its gradient by the logits is `weights`: the backward pass starts from our own loss.
        let surrogate = (pass.logits.clone() * weights).sum();
        let mut gradients = surrogate.backward();
        self.parameters
            .specs()
            .iter()
            .zip(&pass.leaves)
            .map(|(spec, leaf)| {
                if !spec.role.is_trained() {
                    return Vec::new();
                }
                leaf.take_gradient(&mut gradients)
                    .unwrap_or_else(|| vec![0.0; spec.element_count()])
            })
            .collect()
    }

    fn update_running_statistics(&mut self, all: &[MeasuredStatistics]) {
        for statistics in all {
            let layer = &self.plan.layers[statistics.layer];
            let Op::BatchNorm2d { momentum, .. } = layer.op else {
                continue;
            };
            let measured = Measured {
                mean: &statistics.mean,
                variance: &statistics.variance,
                count: statistics.count,
            };
            let tensors = layer.tensors.clone();
            update_running_statistics(&mut self.parameters, tensors, momentum, &measured);
        }
    }
}

impl Executor for BurnExecutor {
    fn train_step(
        &mut self,
        images: &[f32],
        labels: &[u32],
        options: &StepOptions,
    ) -> Result<StepOutput, EngineError> {
        self.plan.check_batch(images, labels.len(), labels)?;
        let pass = self.training_pass(images, labels.len(), options)?;
        let logits = into_values(pass.logits.clone().inner());
        let result = cross_entropy(&logits, labels, self.plan.classes);
        check_finite("loss", result.loss)?;
        let gradients = self.backward(&pass, result.gradient);
        let gradient_norm = global_norm(&gradients);
        check_finite("gradient", gradient_norm)?;
        let update = Update {
            step: options.step,
            learning_rate: options.learning_rate,
            gradient_scale: clip_scale(gradient_norm, options.gradient_clip),
        };
        self.optimizer
            .update(self.parameters.values_mut(), &gradients, &update);
        self.update_running_statistics(&pass.statistics);
        Ok(StepOutput {
            loss: result.loss,
            correct: result.correct,
            gradient_norm,
        })
    }

    fn evaluate(&mut self, images: &[f32], batch: usize) -> Result<Vec<f32>, EngineError> {
        self.plan.check_batch(images, batch, &[])?;
        let leaves = self.leaves(false);
        let logits = self.run(images, batch, &leaves, None, &mut Vec::new())?;
        Ok(into_values(logits))
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

fn unsupported(op: &Op) -> EngineError {
    EngineError::new(
        EngineErrorKind::Graph,
        format!("operation `{}` cannot be executed", op.name()),
    )
}
