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
use super::plan::{Extent, Plan, Slot};
use super::shared::{draw_dropout, dropout_factor};
use super::{Executor, Fit, StepOptions, StepOutput, Targets};
use crate::error::{EngineError, EngineErrorKind};
use crate::fitting::{Fitting, Measured, check_finite};
use crate::loss::batch_loss;
use crate::state::State;

/// Executes a graph on the CPU with Burn's `flex` backend.
pub struct BurnExecutor {
    plan: Plan,
    fitting: Fitting,
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
        let fitting = Fitting::new(graph, optimizer, seed)?;
        let plan = Plan::new(graph, fitting.specs())?;
        let evaluation_device = Device::flex();
        Ok(Self {
            plan,
            fitting,
            training_device: evaluation_device.clone().autodiff(),
            evaluation_device,
        })
    }

    fn training_leaves(&self) -> Vec<Leaf> {
        self.fitting
            .specs()
            .iter()
            .zip(self.fitting.values())
            .zip(self.fitting.fitted())
            .map(|((spec, values), is_fitted)| {
                Leaf::new(&spec.shape, values, is_fitted, &self.training_device)
            })
            .collect()
    }

    /// Those of the averages, where there are any.
    fn evaluation_leaves(&mut self) -> Vec<Leaf> {
        let shapes: Vec<_> = self
            .fitting
            .specs()
            .iter()
            .map(|spec| spec.shape.clone())
            .collect();
        let device = &self.evaluation_device;
        self.fitting.with_averages(|tensors| {
            let pairs = shapes.iter().zip(tensors);
            pairs
                .map(|(shape, values)| Leaf::new(shape, values, false, device))
                .collect()
        })
    }

    fn training_pass(
        &self,
        images: &[f32],
        batch: usize,
        options: &StepOptions<'_>,
    ) -> Result<TrainingPass, EngineError> {
        let leaves = self.training_leaves();
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
        training: Option<&StepOptions<'_>>,
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
                move |probability, count| dropout_mask(options, index, probability, count)
            });
            let mask = mask.as_ref().map(|mask| mask as DropoutMask<'_>);
            // A frozen normalisation works as in evaluation.
            let mask =
                mask.filter(|_| layer.is_fitted || !matches!(layer.op, Op::BatchNorm2d { .. }));
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
        pass.leaves
            .iter()
            .map(|leaf| leaf.take_gradient(&mut gradients).unwrap_or_default())
            .collect()
    }

    fn move_statistics(&mut self, all: &[MeasuredStatistics], options: &StepOptions<'_>) {
        for statistics in all {
            let layer = &self.plan.layers[statistics.layer];
            let Op::BatchNorm2d { momentum, .. } = layer.op else {
                continue;
            };
            if !layer.is_fitted {
                continue;
            }
            let measured = Measured {
                mean: &statistics.mean,
                variance: &statistics.variance,
                count: statistics.count,
            };
            let tensors = layer.tensors.clone();
            self.fitting
                .move_statistics(tensors, momentum, &measured, options);
        }
    }

    fn step(
        &mut self,
        images: &[f32],
        targets: &Targets<'_>,
        options: &StepOptions<'_>,
    ) -> Result<StepOutput, EngineError> {
        let classes = self.plan.classes;
        let batch = targets.count(classes);
        self.plan.check_batch(images, batch)?;
        targets.check(classes)?;
        let pass = self.training_pass(images, batch, options)?;
        let logits = into_values(pass.logits.clone().inner());
        let result = batch_loss(&logits, targets, classes, &options.loss, options.share);
        check_finite("loss", result.loss)?;
        let mut gradients = self.backward(&pass, result.gradient);
        let gradient_norm = self.fitting.apply(&mut gradients, options)?;
        self.move_statistics(&pass.statistics, options);
        Ok(StepOutput {
            loss: result.loss,
            correct: result.correct,
            gradient_norm,
        })
    }
}

impl Executor for BurnExecutor {
    fn train_step(
        &mut self,
        images: &[f32],
        targets: &Targets<'_>,
        options: &StepOptions<'_>,
    ) -> Result<StepOutput, EngineError> {
        let output = self.step(images, targets, options);
        if output.is_err() {
            self.fitting.forget_accumulated();
        }
        output
    }

    fn evaluate(&mut self, images: &[f32], batch: usize) -> Result<Vec<f32>, EngineError> {
        self.plan.check_batch(images, batch)?;
        let leaves = self.evaluation_leaves();
        let logits = self.run(images, batch, &leaves, None, &mut Vec::new())?;
        Ok(into_values(logits))
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

/// Zero where dropout drops, else what keeps the mean.
fn dropout_mask(
    options: &StepOptions<'_>,
    layer: usize,
    probability: f64,
    count: usize,
) -> Vec<f32> {
    let mut bits = vec![0; count.div_ceil(8)];
    draw_dropout(options, layer, probability, &mut bits);
    let factor = dropout_factor(probability);
    (0..count)
        .map(|index| f32::from(bits[index / 8] >> (index % 8) & 1) * factor)
        .collect()
}

fn unsupported(op: &Op) -> EngineError {
    EngineError::new(
        EngineErrorKind::Graph,
        format!("operation `{}` cannot be executed", op.name()),
    )
}
