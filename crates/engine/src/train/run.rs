//! One training run, from its start or its last checkpoint to its end.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrotype_core::config::schema::TrainConfig;
use ferrotype_core::graph::Graph;
use ferrotype_vision::loader::{
    Batch, Loader, LoaderOptions, SampleSource, plain_order, training_order,
};

use super::pace::Pace;
use super::{
    CheckpointKind, Control, EpochSummary, StepProgress, TrainEnd, TrainObserver, TrainOutcome,
    TrainRequest, TrainStart, ValidationOutputs, Verdict,
};
use crate::checkpoint::{self, BEST, Checkpoint, LAST, Progress};
use crate::error::{EngineError, EngineErrorKind};
use crate::executor::{CpuExecutor, Executor, StepOptions, StepOutput, Targets};
use crate::schedule::Schedule;
use crate::state::State;

/// The longest that a killed process may lose.
const SAVE_EVERY: Duration = Duration::from_secs(120);

/// A training run under way.
pub(super) struct Run<'a> {
    graph: Graph,
    config: &'a TrainConfig,
    observer: &'a mut dyn TrainObserver,
    executor: Box<dyn Executor>,
    schedule: Schedule,
    train: Arc<dyn SampleSource>,
    validation: Arc<dyn SampleSource>,
    train_loader: LoaderOptions,
    validation_loader: LoaderOptions,
    last_path: PathBuf,
    best_path: PathBuf,
    progress: Progress,
    images_in_epoch: usize,
    steps_in_epoch: u64,
    pace: Pace,
    saved_at: Instant,
    epoch_started: Instant,
    /// Time in the epoch under way in which a step waited for its batch.
    waited: Duration,
}

/// What an epoch of steps ended with.
enum EpochEnd {
    Done,
    Stopped,
}

impl<'a> Run<'a> {
    /// Prepares a run: new, or from its last checkpoint.
    ///
    /// # Errors
    /// The graph, the data or the checkpoint cannot be used.
    pub(super) fn start(
        request: TrainRequest<'a>,
        observer: &'a mut dyn TrainObserver,
    ) -> Result<Self, EngineError> {
        let config = request.config;
        let images = images_in_epoch(request.train.len(), config.batch_size);
        if images == 0 {
            return Err(EngineError::new(
                EngineErrorKind::Config,
                "the training split has no images",
            ));
        }
        let directory = &request.checkpoint_directory;
        fs::create_dir_all(directory)
            .map_err(|error| EngineError::io("created", directory, error))?;
        let executor = CpuExecutor::new(&request.graph, &config.optimizer, config.seed)?;
        let steps_in_epoch = images.div_ceil(config.batch_size) as u64;
        let loader = LoaderOptions {
            batch_size: config.batch_size,
            seed: config.seed,
            ..request.loader
        };
        let mut run = Self {
            config,
            observer,
            executor: Box::new(executor),
            schedule: Schedule::new(
                &config.schedule,
                config.learning_rate,
                config.epochs,
                steps_in_epoch,
            ),
            validation_loader: LoaderOptions {
                augment: None,
                mix: None,
                ..loader.clone()
            },
            train_loader: loader,
            last_path: directory.join(LAST),
            best_path: directory.join(BEST),
            progress: Progress {
                seed: config.seed,
                batch_size: config.batch_size,
                train_images: request.train.len(),
                ..Progress::default()
            },
            graph: request.graph,
            train: request.train,
            validation: request.validation,
            images_in_epoch: images,
            steps_in_epoch,
            pace: Pace::start(),
            saved_at: Instant::now(),
            epoch_started: Instant::now(),
            waited: Duration::ZERO,
        };
        let resumed = run.continue_from_last(request.resume)?;
        if let Some(weights) = request.initial_weights.filter(|_| !resumed) {
            run.begin_with(weights)?;
        }
        run.announce(resumed)?;
        Ok(run)
    }

    /// Takes up the last checkpoint, if there is one; says whether there was.
    fn continue_from_last(&mut self, resume: bool) -> Result<bool, EngineError> {
        let existing = [&self.last_path, &self.best_path]
            .into_iter()
            .find(|path| path.exists());
        let Some(existing) = existing else {
            return Ok(false);
        };
        if !resume {
            return Err(EngineError::new(
                EngineErrorKind::Config,
                format!("there is a checkpoint already: `{}`", existing.display()),
            )
            .with_hint("resume the run, or train into another folder")
            .with_path(existing));
        }
        if existing != &self.last_path {
            // Starting anew would overwrite the best of what was trained.
            return Err(EngineError::new(
                EngineErrorKind::NoCheckpoint,
                format!(
                    "`{}` is gone, there is nothing to resume from",
                    self.last_path.display()
                ),
            )
            .with_hint(format!(
                "`{}` is still there to evaluate and export; to train again, start a new run",
                existing.display()
            ))
            .with_path(&self.last_path));
        }
        let checkpoint = checkpoint::load_for(&self.last_path, &self.graph)?;
        check_same_run(&checkpoint.progress, &self.progress)?;
        self.executor.load_state(&checkpoint.state)?;
        self.progress = checkpoint.progress;
        Ok(true)
    }

    /// Puts `weights` in place of what was drawn, as far as they go.
    fn begin_with(&mut self, weights: State) -> Result<(), EngineError> {
        let mut state = self.executor.state();
        for (name, tensor) in weights.tensors {
            let message = match state.tensors.get_mut(&name) {
                Some(own) if own.shape == tensor.shape => {
                    *own = tensor;
                    continue;
                }
                Some(own) => format!(
                    "the initial tensor `{name}` has the shape {:?}, expected {:?}",
                    tensor.shape, own.shape
                ),
                None => format!("the initial tensor `{name}` belongs to no layer"),
            };
            return Err(EngineError::new(EngineErrorKind::Config, message)
                .with_hint("leave it out: it is then drawn from the seed"));
        }
        self.executor.load_state(&state)
    }

    fn announce(&mut self, resumed: bool) -> Result<(), EngineError> {
        let infos = self.graph.shapes()?;
        self.observer.on_start(&TrainStart {
            epochs: self.config.epochs,
            steps_in_epoch: self.steps_in_epoch,
            train_images: self.train.len(),
            validation_images: self.validation.len(),
            parameters: infos.iter().map(|info| info.parameters).sum(),
            flops: infos.iter().map(|info| info.flops).sum(),
            resumed_at: resumed.then(|| (self.progress.epoch + 1, self.progress.step_in_epoch)),
        });
        Ok(())
    }

    /// Trains until the epochs are done, the metric no longer improves, or the observer stops.
    ///
    /// # Errors
    /// A sample cannot be loaded, the loss is not finite, or a checkpoint cannot be written.
    pub(super) fn finish(mut self) -> Result<TrainOutcome, EngineError> {
        while !self.progress.finished && self.progress.epoch < self.config.epochs {
            self.epoch_started = Instant::now();
            self.waited = Duration::ZERO;
            if matches!(self.steps()?, EpochEnd::Stopped) {
                self.save_last()?;
                return Ok(self.outcome(TrainEnd::Interrupted));
            }
            self.finish_epoch()?;
        }
        let all_done = self.progress.epoch >= self.config.epochs;
        Ok(self.outcome(if all_done {
            TrainEnd::Completed
        } else {
            TrainEnd::EarlyStopped
        }))
    }

    /// The steps that are left of the epoch under way.
    fn steps(&mut self) -> Result<EpochEnd, EngineError> {
        let epoch = u64::from(self.progress.epoch);
        let mut order = training_order(self.train.len(), self.config.seed, epoch);
        order.truncate(self.images_in_epoch);
        let first_batch = usize::try_from(self.progress.step_in_epoch).unwrap_or(usize::MAX);
        let source = Arc::clone(&self.train);
        let mut batches = Loader::epoch(source, &self.train_loader, order, epoch, first_batch);
        self.pace.reset();
        loop {
            let asked = Instant::now();
            let Some(batch) = batches.next() else { break };
            self.waited += asked.elapsed();
            let batch = batch?;
            if self.step(&batch)? == Control::Stop {
                return Ok(EpochEnd::Stopped);
            }
            batches.recycle(batch);
            if self.saved_at.elapsed() > SAVE_EVERY {
                self.save_last()?;
            }
        }
        Ok(EpochEnd::Done)
    }

    fn step(&mut self, batch: &Batch) -> Result<Control, EngineError> {
        let step = self.progress.global_step;
        let rate = self.schedule.rate(step, &self.progress.plateau);
        let options = StepOptions {
            momentum: rate.momentum,
            dropout_seed: self.config.seed,
            gradient_clip: self.config.gradient_clip,
            ..StepOptions::new(step, rate.learning_rate)
        };
        let targets = Targets::Classes(&batch.labels);
        let output = self
            .executor
            .train_step(&batch.images, &targets, &options)
            .map_err(|error| self.locate(error, batch, options.learning_rate))?;
        let count = batch.labels.len();
        let progress = &mut self.progress;
        progress.step_in_epoch += 1;
        progress.global_step += 1;
        progress.loss_sum += output.loss * count as f64;
        progress.correct += output.correct as u64;
        progress.seen += count as u64;
        self.pace.step(count);
        let report = self.step_progress(&output, options.learning_rate);
        Ok(self.observer.on_step(&report))
    }

    fn step_progress(&self, output: &StepOutput, learning_rate: f64) -> StepProgress {
        let progress = &self.progress;
        let epochs_after = u64::from(self.config.epochs - progress.epoch - 1);
        let steps_left =
            (self.steps_in_epoch - progress.step_in_epoch) + epochs_after * self.steps_in_epoch;
        StepProgress {
            epoch: progress.epoch + 1,
            epochs: self.config.epochs,
            step: progress.step_in_epoch,
            steps_in_epoch: self.steps_in_epoch,
            global_step: progress.global_step,
            loss: output.loss,
            epoch_loss: mean(progress.loss_sum, progress.seen),
            accuracy: mean(progress.correct as f64, progress.seen),
            learning_rate,
            gradient_norm: output.gradient_norm.unwrap_or_default(),
            images_per_second: self.pace.images_per_second(),
            remaining: self.pace.remaining(steps_left, epochs_after + 1),
        }
    }

    /// Says where and on what a step failed.
    fn locate(&self, error: EngineError, batch: &Batch, learning_rate: f64) -> EngineError {
        if error.kind() != EngineErrorKind::NotFinite {
            return error;
        }
        let names: Vec<String> = batch
            .indices
            .iter()
            .take(3)
            .map(|index| format!("`{}`", self.train.name(*index)))
            .collect();
        EngineError::new(
            EngineErrorKind::NotFinite,
            format!(
                "epoch {}, step {}: {error}",
                self.progress.epoch + 1,
                self.progress.step_in_epoch + 1
            ),
        )
        .with_hint(format!(
            "lower `train.learning_rate` (it was {learning_rate:.3e} here) or set `train.gradient_clip=1`; the batch begins with {}",
            names.join(", ")
        ))
    }

    /// Validates, judges, saves, and begins the next epoch.
    fn finish_epoch(&mut self) -> Result<(), EngineError> {
        let train_time = self.epoch_started.elapsed();
        let started = Instant::now();
        let verdict = self.validate()?;
        let validation_time = started.elapsed();
        self.pace.validated(validation_time);
        let improved = self.judge(verdict);
        let summary = self.summary(verdict, improved, [train_time, validation_time]);
        let stops = verdict.is_some_and(|verdict| verdict.stop) || self.is_out_of_patience();
        let progress = &mut self.progress;
        progress.epoch += 1;
        progress.step_in_epoch = 0;
        progress.loss_sum = 0.0;
        progress.correct = 0;
        progress.seen = 0;
        progress.finished = stops || progress.epoch >= self.config.epochs;
        if improved {
            self.save_best()?;
        }
        self.save_last()?;
        self.observer.on_epoch_end(&summary);
        Ok(())
    }

    /// Asks the observer for its verdict; none without validation images.
    fn validate(&mut self) -> Result<Option<Verdict>, EngineError> {
        let count = self.validation.len();
        if count == 0 {
            return Ok(None);
        }
        let source = Arc::clone(&self.validation);
        let mut batches = Loader::epoch(source, &self.validation_loader, plain_order(count), 0, 0);
        let mut logits = Vec::new();
        let mut labels = Vec::with_capacity(count);
        while let Some(batch) = batches.next() {
            let batch = batch?;
            logits.extend(self.executor.evaluate(&batch.images, batch.labels.len())?);
            labels.extend_from_slice(&batch.labels);
            batches.recycle(batch);
        }
        let outputs = ValidationOutputs {
            classes: logits.len() / labels.len().max(1),
            logits: &logits,
            labels: &labels,
        };
        let epoch = self.progress.epoch + 1;
        Ok(Some(self.observer.on_validation(epoch, &outputs)))
    }

    /// Keeps the best value and counts epochs without improvement; says whether this epoch is
    /// the best so far. Without validation, the newest is the best.
    fn judge(&mut self, verdict: Option<Verdict>) -> bool {
        let Some(value) = verdict.map(|verdict| verdict.monitored) else {
            self.progress.best_epoch = Some(self.progress.epoch);
            return true;
        };
        let monitor = self.config.monitor;
        let beats = |best: Option<f64>, min_delta: f64| match best {
            None => true,
            Some(best) => best.is_nan() || monitor.improves(value, best, min_delta),
        };
        let stopping = self.config.early_stopping.as_ref();
        if beats(
            self.progress.patience_best,
            stopping.map_or(0.0, |stopping| stopping.min_delta),
        ) {
            self.progress.patience_best = Some(value);
            self.progress.epochs_without_improvement = 0;
        } else {
            self.progress.epochs_without_improvement += 1;
        }
        let improved = beats(self.progress.best, 0.0);
        if improved {
            self.progress.best = Some(value);
            self.progress.best_epoch = Some(self.progress.epoch);
        }
        improved
    }

    fn is_out_of_patience(&self) -> bool {
        self.config.early_stopping.as_ref().is_some_and(|stopping| {
            self.progress.epochs_without_improvement >= stopping.patience.max(1)
        })
    }

    fn summary(
        &self,
        verdict: Option<Verdict>,
        improved: bool,
        [train_time, validation_time]: [Duration; 2],
    ) -> EpochSummary {
        let progress = &self.progress;
        let last_step = progress.global_step.saturating_sub(1);
        EpochSummary {
            epoch: progress.epoch + 1,
            epochs: self.config.epochs,
            global_step: progress.global_step,
            train_loss: mean(progress.loss_sum, progress.seen),
            train_accuracy: mean(progress.correct as f64, progress.seen),
            learning_rate: self
                .schedule
                .rate(last_step, &progress.plateau)
                .learning_rate,
            monitored: verdict.map(|verdict| verdict.monitored),
            improved,
            best: progress.best,
            best_epoch: progress.best_epoch.map(|epoch| epoch + 1),
            train_time,
            waiting_time: self.waited,
            validation_time,
            images_per_second: self.pace.images_per_second(),
        }
    }

    fn save_last(&mut self) -> Result<(), EngineError> {
        let checkpoint = Checkpoint {
            graph: self.graph.clone(),
            state: self.executor.state(),
            progress: self.progress.clone(),
        };
        checkpoint::save(&self.last_path, &checkpoint)?;
        self.saved_at = Instant::now();
        self.observer
            .on_checkpoint(CheckpointKind::Last, &self.last_path);
        Ok(())
    }

    /// The best is for use, not for continuing.
    fn save_best(&mut self) -> Result<(), EngineError> {
        let checkpoint = Checkpoint {
            graph: self.graph.clone(),
            state: self.executor.state().for_use(),
            progress: self.progress.clone(),
        };
        checkpoint::save(&self.best_path, &checkpoint)?;
        self.observer
            .on_checkpoint(CheckpointKind::Best, &self.best_path);
        Ok(())
    }

    fn outcome(self, end: TrainEnd) -> TrainOutcome {
        TrainOutcome {
            end,
            epochs: self.progress.epoch,
            global_step: self.progress.global_step,
            best: self.progress.best,
            best_epoch: self.progress.best_epoch.map(|epoch| epoch + 1),
            best_checkpoint: self.best_path.exists().then_some(self.best_path),
            last_checkpoint: self.last_path,
        }
    }
}

/// How many images of each epoch's order are trained on. The last batch is left out when it is
/// less than a quarter of a full one: batch statistics of a few images only add noise, and every
/// epoch leaves out others.
fn images_in_epoch(count: usize, batch_size: usize) -> usize {
    let rest = count % batch_size;
    if count > batch_size && rest * 4 < batch_size {
        count - rest
    } else {
        count
    }
}

fn mean(sum: f64, count: u64) -> f64 {
    sum / count.max(1) as f64
}

/// A run that goes on with another order of images would not end with the same weights.
fn check_same_run(found: &Progress, expected: &Progress) -> Result<(), EngineError> {
    let pairs = [
        ("the seed", found.seed, expected.seed),
        (
            "the batch size",
            found.batch_size as u64,
            expected.batch_size as u64,
        ),
        (
            "the number of training images",
            found.train_images as u64,
            expected.train_images as u64,
        ),
    ];
    match pairs
        .into_iter()
        .find(|(_, found, expected)| found != expected)
    {
        None => Ok(()),
        Some((what, found, expected)) => Err(EngineError::new(
            EngineErrorKind::OtherCheckpoint,
            format!("{what} was `{found}` when the checkpoint was made, now it is `{expected}`"),
        )
        .with_hint("resume with the run's own configuration and data, or start a new run")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiny_last_batch_is_left_out_and_a_fair_one_is_kept() {
        assert_eq!(images_in_epoch(129, 64), 128);
        assert_eq!(images_in_epoch(150, 64), 150);
        assert_eq!(images_in_epoch(128, 64), 128);
        assert_eq!(images_in_epoch(3, 64), 3);
        assert_eq!(images_in_epoch(0, 64), 0);
    }
}
