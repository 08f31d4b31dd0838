//! The graph on the CPU: forward, backward and update on plain buffers, with the loops of
//! `ferrotype-kernels`.

mod backward;
mod estimate;
mod forward;
mod memory;
mod placement;
mod recorder;
mod schedule;
mod shapes;
#[cfg(test)]
mod tests;

use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::{Graph, Op};

use self::backward::TensorGradients;
pub use self::estimate::MemoryEstimate;
use self::forward::{Context, Findings};
use self::memory::{Memory, Program};
use self::recorder::{Description, Recorder};
use super::plan::{Mode, Plan};
use super::{Executor, Fit, Phase, Span, StepOptions, StepOutput, Targets};
use crate::error::EngineError;
use crate::fitting::{Fitting, Measured, check_finite};
use crate::loss::{BatchLoss, batch_loss};
use crate::state::State;

/// Executes a graph on the CPU, on the thread pool it is called from.
pub struct CpuExecutor {
    plan: Plan,
    fitting: Fitting,
    /// Passes that were planned: batches come in few sizes.
    programs: Vec<Program>,
    memory: Memory,
    /// By the graph's tensors; kept from step to step for their memory.
    gradients: Vec<Vec<f32>>,
    recorder: Recorder,
}

/// The most planned passes that are kept.
const MAX_PROGRAMS: usize = 8;

/// What a forward and backward pass gave, besides gradients.
struct PassOutput {
    loss: BatchLoss,
    findings: Findings,
}

impl CpuExecutor {
    /// An executor of `graph` with initial weights drawn from `seed`.
    ///
    /// # Errors
    /// The graph does not pass its checks, or has nothing to fit.
    pub fn new(graph: &Graph, optimizer: &OptimizerConfig, seed: u64) -> Result<Self, EngineError> {
        let fitting = Fitting::new(graph, optimizer, seed)?;
        Ok(Self {
            plan: Plan::new(graph, fitting.specs())?,
            gradients: vec![Vec::new(); fitting.specs().len()],
            fitting,
            programs: Vec::new(),
            memory: Memory::default(),
            recorder: Recorder::default(),
        })
    }

    /// What training `graph` on batches of `batch` images takes: planned as it will be executed.
    ///
    /// # Errors
    /// The graph does not pass its checks, or has nothing to fit.
    pub fn memory_estimate(
        graph: &Graph,
        batch: usize,
        optimizer: &OptimizerConfig,
    ) -> Result<MemoryEstimate, EngineError> {
        estimate::estimate(graph, batch, optimizer)
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
        let output = in_pool(|| self.forward_backward(images, targets, options))?;
        let mut state = State::default();
        let specs = self.fitting.specs().iter().zip(self.fitting.fitted());
        for ((spec, is_fitted), gradient) in specs.zip(&self.gradients) {
            if is_fitted {
                let mut gradient = gradient.clone();
                // The loss may not depend on it.
                gradient.resize(spec.element_count(), 0.0);
                state.insert(&spec.name, spec.shape.clone(), gradient);
            }
        }
        Ok((output.loss.loss, state))
    }

    fn forward_backward(
        &mut self,
        images: &[f32],
        targets: &Targets<'_>,
        options: &StepOptions<'_>,
    ) -> Result<PassOutput, EngineError> {
        let batch = targets.count(self.plan.classes);
        self.plan.check_batch(images, batch)?;
        targets.check(self.plan.classes)?;
        let program = self.prepare(batch, Mode::Training);
        let context = Context {
            plan: &self.plan,
            program: &self.programs[program],
            tensors: self.fitting.values(),
            options: Some(options),
        };
        let (memory, recorder) = (&mut self.memory, &mut self.recorder);
        let findings = run_forward(&context, images, memory, recorder);
        let schedule = &context.program.schedule;
        let loss = recorder.time(
            || Description::of_phase("loss", Phase::Loss, 0),
            || {
                let [logits] = memory.views(context.program, [schedule.logits]);
                let classes = context.plan.classes;
                batch_loss(logits, targets, classes, &options.loss, options.share)
            },
        );
        check_finite("loss", loss.loss)?;
        if let Some(buffer) = schedule.logits_gradient {
            let [gradient] = memory.views(context.program, [buffer]);
            gradient.copy_from_slice(&loss.gradient);
        }
        let mut gradients = TensorGradients {
            values: &mut self.gradients,
        };
        for index in (0..context.program.groups.len()).rev() {
            let work = || {
                backward::compute(&context, index, &findings, memory, &mut gradients);
            };
            if context.program.schedule.groups[index].gradient.is_some() {
                let (plan, program) = (context.plan, context.program);
                recorder.time(
                    || Description::of_group(plan, program, index, Phase::Backward),
                    work,
                );
            }
        }
        Ok(PassOutput { loss, findings })
    }

    /// Plans passes of this batch size, unless they are, and makes room for them. Answers with
    /// the program's number.
    fn prepare(&mut self, batch: usize, mode: Mode) -> usize {
        let is_it = |program: &Program| program.batch == batch && program.mode == mode;
        let index = match self.programs.iter().position(is_it) {
            Some(index) => index,
            None => {
                if self.programs.len() == MAX_PROGRAMS {
                    self.programs.clear();
                }
                self.programs.push(Program::new(&self.plan, batch, mode));
                self.programs.len() - 1
            }
        };
        self.memory.fit(&self.programs[index]);
        index
    }

    /// [`Executor::train_step`], on the thread it is called from.
    fn step(
        &mut self,
        images: &[f32],
        targets: &Targets<'_>,
        options: &StepOptions<'_>,
    ) -> Result<StepOutput, EngineError> {
        let output = match self.forward_backward(images, targets, options) {
            Ok(output) => output,
            Err(error) => {
                self.fitting.forget_accumulated();
                return Err(error);
            }
        };
        let (fitting, gradients) = (&mut self.fitting, &mut self.gradients);
        let gradient_norm = self.recorder.time(
            || Description::of_phase("update", Phase::Update, 0),
            || fitting.apply(gradients, options),
        )?;
        self.move_statistics(&output, targets.count(self.plan.classes), options);
        Ok(StepOutput {
            loss: output.loss.loss,
            correct: output.loss.correct,
            gradient_norm,
        })
    }

    /// [`Executor::evaluate`], on the thread it is called from.
    fn logits(&mut self, images: &[f32], batch: usize) -> Result<Vec<f32>, EngineError> {
        self.plan.check_batch(images, batch)?;
        let program = self.prepare(batch, Mode::Evaluation);
        let (plan, program) = (&self.plan, &self.programs[program]);
        let (memory, recorder) = (&mut self.memory, &mut self.recorder);
        self.fitting.with_averages(|tensors| {
            let context = Context {
                plan,
                program,
                tensors,
                options: None,
            };
            run_forward(&context, images, memory, recorder);
        });
        let [logits] = memory.views(program, [program.schedule.logits]);
        Ok(logits.to_vec())
    }

    fn move_statistics(&mut self, output: &PassOutput, batch: usize, options: &StepOptions<'_>) {
        let program = self.prepare(batch, Mode::Training);
        let groups = self.programs[program].groups.iter();
        for (group, normalized) in groups.zip(&output.findings.normalized) {
            let layer = &self.plan.layers[group.first_layer()];
            let (Op::BatchNorm2d { momentum, .. }, Some(normalized), true) =
                (&layer.op, normalized, layer.is_fitted)
            else {
                continue;
            };
            let measured = Measured {
                mean: &normalized.statistics.mean,
                variance: &normalized.statistics.variance,
                count: batch * layer.output.pixels(),
            };
            let tensors = layer.tensors.clone();
            self.fitting
                .move_statistics(tensors, *momentum, &measured, options);
        }
    }
}

/// Runs `work` on a thread of the pool: from outside of it each of the many loops of a pass would
/// have to be handed over and waited for, which costs more than the smaller ones themselves.
fn in_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

/// Runs all groups; answers with what was found out on the way.
fn run_forward(
    context: &Context<'_>,
    images: &[f32],
    memory: &mut Memory,
    recorder: &mut Recorder,
) -> Findings {
    recorder.time(
        || Description::of_phase("image", Phase::Forward, 2 * size_of_val(images) as u64),
        || forward::load_image(context, images, memory),
    );
    let mut findings = Findings::default();
    for index in 0..context.program.groups.len() {
        recorder.time(
            || {
                let (plan, program) = (context.plan, context.program);
                Description::of_group(plan, program, index, Phase::Forward)
            },
            || forward::compute(context, index, memory, &mut findings),
        );
    }
    findings
}

impl Executor for CpuExecutor {
    fn train_step(
        &mut self,
        images: &[f32],
        targets: &Targets<'_>,
        options: &StepOptions<'_>,
    ) -> Result<StepOutput, EngineError> {
        in_pool(|| self.step(images, targets, options))
    }

    fn evaluate(&mut self, images: &[f32], batch: usize) -> Result<Vec<f32>, EngineError> {
        in_pool(|| self.logits(images, batch))
    }

    fn set_fits(&mut self, fits: &[Option<Fit>]) -> Result<(), EngineError> {
        self.fitting.set_fits(fits)?;
        self.plan.set_fitted(&self.fitting.fitted());
        self.programs.clear();
        Ok(())
    }

    fn set_recording(&mut self, on: bool) {
        self.recorder.set(on);
    }

    fn take_spans(&mut self) -> Vec<Span> {
        self.recorder.take()
    }

    fn state(&self) -> State {
        self.fitting.state()
    }

    fn load_state(&mut self, state: &State) -> Result<(), EngineError> {
        self.fitting.load_state(state)
    }
}
