//! The graph on Burn: Burn records the operations and runs them backwards; the loss, the update and
//! the running statistics are ours, on plain numbers. It is the oracle of the CPU executor (on
//! Burn's `flex` backend), and the way to the devices that Burn knows.

mod layers;
mod opened;
mod tensors;

use burn::tensor::{Device, Tensor};
use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::{Graph, Op};

use self::layers::{Draws, forward};
pub(super) use self::opened::Opened;
use self::tensors::{DEVICE_HINT, Leaf, Reading, Value, from_values, into_values};
use super::device::device_error;
use super::plan::{Extent, Plan, Slot};
use super::{Executor, Fit, StepOptions, StepOutput, Targets};
use crate::error::{EngineError, EngineErrorKind};
use crate::fitting::{Fitting, Measured, check_finite};
use crate::loss::batch_loss;
use crate::state::State;

/// Executes a graph with Burn, on the processor or a GPU.
pub struct BurnExecutor {
    plan: Plan,
    fitting: Fitting,
    /// Records what is computed, for the backward pass.
    training_device: Device,
    evaluation_device: Device,
}

/// Batch statistics of a normalisation layer, on the device.
struct BatchStatistics {
    layer: usize,
    mean: Tensor<1>,
    /// Biased.
    variance: Tensor<1>,
    /// How many numbers of each channel they are over.
    count: usize,
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
    statistics: Vec<BatchStatistics>,
}

impl BurnExecutor {
    /// An executor of `graph` on the processor, with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// The graph does not pass its checks, or has nothing to fit.
    pub fn new(graph: &Graph, optimizer: &OptimizerConfig, seed: u64) -> Result<Self, EngineError> {
        Self::on(&Opened::flex()?, graph, optimizer, seed)
    }

    /// As [`BurnExecutor::new`], on a device. A layer that is not known here is refused by the
    /// first pass.
    ///
    /// # Errors
    /// As [`BurnExecutor::new`].
    pub(super) fn on(
        opened: &Opened,
        graph: &Graph,
        optimizer: &OptimizerConfig,
        seed: u64,
    ) -> Result<Self, EngineError> {
        let fitting = Fitting::new(graph, optimizer, seed)?;
        let plan = Plan::new(graph, fitting.specs())?;
        let evaluation_device = opened.device().clone();
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
        statistics: &mut Vec<BatchStatistics>,
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
            let draws = training.map(|options| Draws {
                options,
                layer: index,
            });
            // A frozen normalisation works as in evaluation.
            let draws =
                draws.filter(|_| layer.is_fitted || !matches!(layer.op, Op::BatchNorm2d { .. }));
            let result = forward(&layer.op, inputs, &leaves[layer.tensors.clone()], draws)
                .ok_or_else(|| unsupported(&layer.name, &layer.op))?;
            if let (Some(measured), Value::Map(map)) = (result.statistics, &result.value) {
                let [batch, _, height, width] = map.dims();
                statistics.push(BatchStatistics {
                    layer: index,
                    mean: measured.mean.inner(),
                    variance: measured.variance.inner(),
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

    /// The gradient by each of the graph's tensors; empty for running statistics and for what the
    /// loss does not depend on.
    fn backward(
        &self,
        logits: Tensor<2>,
        leaves: &[Leaf],
        logits_gradient: Vec<f32>,
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        let weights = from_values(logits_gradient, logits.dims(), &self.training_device);
        // Its gradient by the logits is `weights`: the backward pass starts from our own loss.
        let mut gradients = (logits * weights).sum().backward();
        let mut reading = Reading::default();
        let is_read: Vec<bool> = leaves
            .iter()
            .map(|leaf| leaf.take_gradient(&mut gradients, &mut reading))
            .collect();
        let mut read = reading.execute()?.into_iter();
        let values = |is_read| if is_read { read.next() } else { None }.unwrap_or_default();
        Ok(is_read.into_iter().map(values).collect())
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
        let (logits, statistics) = read(&pass.logits, pass.statistics)?;
        let result = batch_loss(&logits, targets, classes, &options.loss, options.share);
        check_finite("loss", result.loss)?;
        let mut gradients = self.backward(pass.logits, &pass.leaves, result.gradient)?;
        let gradient_norm = self.fitting.apply(&mut gradients, options)?;
        self.move_statistics(&statistics, options);
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
        let output = guarded(|| self.step(images, targets, options));
        if output.is_err() {
            self.fitting.forget_accumulated();
        }
        output
    }

    fn evaluate(&mut self, images: &[f32], batch: usize) -> Result<Vec<f32>, EngineError> {
        self.plan.check_batch(images, batch)?;
        guarded(|| {
            let leaves = self.evaluation_leaves();
            into_values(self.run(images, batch, &leaves, None, &mut Vec::new())?)
        })
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

/// Logits and statistics as plain numbers, read at once.
fn read(
    logits: &Tensor<2>,
    statistics: Vec<BatchStatistics>,
) -> Result<(Vec<f32>, Vec<MeasuredStatistics>), EngineError> {
    let mut reading = Reading::default();
    reading.add(logits.clone().inner());
    for statistics in &statistics {
        reading.add(statistics.mean.clone());
        reading.add(statistics.variance.clone());
    }
    let mut values = reading.execute()?.into_iter();
    let mut next = || values.next().unwrap_or_default();
    let logits = next();
    let measured = statistics.iter().map(|statistics| MeasuredStatistics {
        layer: statistics.layer,
        mean: next(),
        variance: next(),
        count: statistics.count,
    });
    Ok((logits, measured.collect()))
}

/// Turns a panic of the device's, as when its memory is full, into an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    opened::caught(work).unwrap_or_else(|problem| {
        Err(device_error(format!("the device failed: {problem}")).with_hint(DEVICE_HINT))
    })
}

fn unsupported(layer: &str, op: &Op) -> EngineError {
    EngineError::new(
        EngineErrorKind::Graph,
        format!(
            "layer `{layer}`: Burn cannot execute the operation `{}`",
            op.name()
        ),
    )
    .with_hint("`train.device=cpu` can")
}
