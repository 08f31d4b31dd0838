//! One training run, from its start or its last checkpoint to its end.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrotype_core::config::schema::TestTimeAugmentation;
use ferrotype_core::graph::Graph;
use ferrotype_vision::loader::{Batch, Batches, Loader, SampleSource};

use super::failure::{FAILED_BATCH, Place};
use super::hygiene::{Explosion, LossWatch};
use super::memory;
use super::pace::Pace;
use super::profile::{Profiler, SectionKind};
use super::recipe::{Recipe, new_executor, targets};
use super::{
    Control, StepProgress, TrainEnd, TrainObserver, TrainOutcome, TrainRequest, TrainStart,
};
use crate::checkpoint::{BEST, LAST, Progress};
use crate::error::{EngineError, EngineErrorKind};
use crate::executor::{Executor, Fit, StepOptions};

/// The longest that a killed process may lose.
const SAVE_EVERY: Duration = Duration::from_secs(120);

/// A training run under way. How it validates is in `validation`, how it saves in `saving`.
pub(super) struct Run<'a> {
    pub(super) graph: Graph,
    pub(super) recipe: Recipe<'a>,
    pub(super) observer: &'a mut dyn TrainObserver,
    pub(super) executor: Box<dyn Executor>,
    pub(super) validation: Arc<dyn SampleSource>,
    pub(super) test_time_augmentation: TestTimeAugmentation,
    pub(super) last_path: PathBuf,
    pub(super) best_path: PathBuf,
    pub(super) progress: Progress,
    pub(super) pace: Pace,
    pub(super) saved_at: Instant,
    pub(super) epoch_started: Instant,
    /// Time in the epoch under way in which a step waited for its batch.
    pub(super) waited: Duration,
    pub(super) profiler: Profiler,
    train: Arc<dyn SampleSource>,
    directory: PathBuf,
    /// How the executor was told to fit each tensor; empty before it was.
    fits: Vec<Option<Fit>>,
    watch: LossWatch,
    /// The images of the step under way.
    step_images: Vec<usize>,
}

/// What an epoch of steps ended with.
enum EpochEnd {
    Done,
    Stopped,
}

/// What the batches of a step add up to.
#[derive(Default)]
struct StepSum {
    loss_sum: f64,
    correct: usize,
    images: usize,
    gradient_norm: f64,
}

impl<'a> Run<'a> {
    /// Prepares a run: new, or from its last checkpoint.
    ///
    /// # Errors
    /// The graph, the data or the checkpoint cannot be used.
    pub(super) fn start(
        mut request: TrainRequest<'a>,
        observer: &'a mut dyn TrainObserver,
    ) -> Result<Self, EngineError> {
        let recipe = Recipe::new(&request)?;
        memory::check(&request, &recipe)?;
        let config = request.config;
        let directory = request.checkpoint_directory.clone();
        fs::create_dir_all(&directory)
            .map_err(|error| EngineError::io("created", &directory, error))?;
        // What an earlier attempt failed on says nothing about this one.
        let _ = fs::remove_file(directory.join(FAILED_BATCH));
        let mut run = Self {
            executor: new_executor(&mut request, &recipe.device)?,
            // Each label is guessed by itself, out of two answers.
            watch: LossWatch::new(if recipe.is_multi_label {
                2
            } else {
                recipe.classes
            }),
            recipe,
            observer,
            last_path: directory.join(LAST),
            best_path: directory.join(BEST),
            directory,
            progress: Progress {
                seed: config.seed,
                batch_size: config.batch_size,
                train_images: request.train.len(),
                accumulate: config.accumulate,
                ..Progress::default()
            },
            graph: request.graph,
            train: request.train,
            validation: request.validation,
            test_time_augmentation: request.test_time_augmentation,
            pace: Pace::start(),
            saved_at: Instant::now(),
            epoch_started: Instant::now(),
            waited: Duration::ZERO,
            profiler: Profiler::default(),
            fits: Vec::new(),
            step_images: Vec::new(),
        };
        let resumed = run.continue_from_last(request.resume)?;
        run.profiler = Profiler::new(run.observer.wants_profile(), run.steps_left());
        run.announce(resumed)?;
        Ok(run)
    }

    fn announce(&mut self, resumed: bool) -> Result<(), EngineError> {
        let infos = self.graph.shapes()?;
        self.observer.on_start(&TrainStart {
            epochs: self.recipe.config.epochs,
            steps_in_epoch: self.steps_in_epoch(),
            train_images: self.train.len(),
            validation_images: self.validation.len(),
            parameters: infos.iter().map(|info| info.parameters).sum(),
            flops: infos.iter().map(|info| info.flops).sum(),
            resumed_at: resumed.then(|| (self.progress.epoch + 1, self.progress.step_in_epoch)),
        });
        Ok(())
    }

    fn steps_in_epoch(&self) -> u64 {
        self.recipe.shape.steps() as u64
    }

    /// Steps of this session, if nothing ends it early.
    fn steps_left(&self) -> u64 {
        let all = u64::from(self.recipe.config.epochs) * self.steps_in_epoch();
        all.saturating_sub(self.progress.global_step)
    }

    /// Trains until the epochs are done, the metric no longer improves, or the observer stops.
    ///
    /// # Errors
    /// A sample cannot be loaded, the loss is not finite or explodes, or a checkpoint cannot be
    /// written.
    pub(super) fn finish(mut self) -> Result<TrainOutcome, EngineError> {
        while !self.progress.finished && self.progress.epoch < self.recipe.config.epochs {
            self.epoch_started = Instant::now();
            self.waited = Duration::ZERO;
            if matches!(self.steps()?, EpochEnd::Stopped) {
                self.save_last()?;
                self.tell_profile();
                return Ok(self.outcome(TrainEnd::Interrupted));
            }
            self.finish_epoch()?;
        }
        self.tell_profile();
        let all_done = self.progress.epoch >= self.recipe.config.epochs;
        Ok(self.outcome(if all_done {
            TrainEnd::Completed
        } else {
            TrainEnd::EarlyStopped
        }))
    }

    /// Hands over what was profiled since it was last done.
    pub(super) fn tell_profile(&mut self) {
        if let Some(profile) = self.profiler.news() {
            self.observer.on_profile(profile);
        }
    }

    /// Tells the executor how the tensors are fitted in the epoch under way, when that is news.
    pub(super) fn set_fits(&mut self) -> Result<(), EngineError> {
        let fits = self.recipe.fits.in_epoch(self.progress.epoch);
        if fits != self.fits {
            self.executor.set_fits(&fits)?;
            self.fits = fits;
        }
        Ok(())
    }

    /// The steps that are left of the epoch under way.
    fn steps(&mut self) -> Result<EpochEnd, EngineError> {
        self.set_fits()?;
        let epoch = u64::from(self.progress.epoch);
        let first_step = usize::try_from(self.progress.step_in_epoch).unwrap_or(usize::MAX);
        let mut batches = Loader::epoch(
            Arc::clone(&self.train),
            &self.recipe.train_loader,
            self.recipe.order(epoch),
            epoch,
            self.recipe.shape.first_batch(first_step),
        );
        self.pace.reset();
        for step in first_step..self.recipe.shape.steps() {
            if self.step(step, &mut batches)? == Control::Stop {
                return Ok(EpochEnd::Stopped);
            }
            if self.saved_at.elapsed() > SAVE_EVERY {
                self.save_last()?;
            }
        }
        Ok(EpochEnd::Done)
    }

    /// One update, by as many batches as are accumulated.
    fn step(&mut self, step: usize, batches: &mut Batches) -> Result<Control, EngineError> {
        let shape = self.recipe.shape;
        let first_batch = shape.first_batch(step);
        let count = shape.batches_in(step);
        let mut sum = StepSum::default();
        self.step_images.clear();
        let step_number = self.progress.global_step + 1;
        self.profiler
            .begin(SectionKind::Step(step_number), &mut *self.executor);
        for number in 0..count {
            let asked = Instant::now();
            let Some(batch) = batches.next().transpose()? else {
                break;
            };
            self.waited += asked.elapsed();
            self.profiler.waited(asked, &mut *self.executor);
            let batches_before = u64::from(self.progress.epoch) * shape.batches() as u64;
            let place = BatchInStep {
                number: batches_before + (first_batch + number) as u64,
                share: batch.labels.len() as f64 / shape.images_in(step) as f64,
                is_last: number + 1 == count,
            };
            self.batch(&batch, &place, &mut sum)?;
            batches.recycle(batch);
        }
        self.profiler.end(sum.images, &mut *self.executor);
        if self.profiler.is_window_over() {
            self.tell_profile();
        }
        self.count_step(&sum);
        self.watch_loss(&sum)?;
        self.pace.step(sum.images);
        let report = self.step_progress(&sum);
        Ok(self.observer.on_step(&report))
    }

    fn batch(
        &mut self,
        batch: &Batch,
        place: &BatchInStep,
        sum: &mut StepSum,
    ) -> Result<(), EngineError> {
        self.step_images.extend(&batch.indices);
        let step = self.progress.global_step;
        let options = StepOptions {
            batch: place.number,
            share: place.share,
            updates: place.is_last,
            ..self.recipe.step_options(step, &self.progress.plateau)
        };
        let output = self
            .executor
            .train_step(&batch.images, &targets(batch), &options);
        let output = output.map_err(|error| match error.kind() {
            EngineErrorKind::NotFinite => self.explain(&error, self.progress.step_in_epoch + 1),
            _ => error,
        })?;
        let count = batch.labels.len();
        sum.loss_sum += output.loss * count as f64;
        sum.correct += output.correct;
        sum.images += count;
        sum.gradient_norm = output.gradient_norm.unwrap_or_default();
        Ok(())
    }

    fn count_step(&mut self, sum: &StepSum) {
        let progress = &mut self.progress;
        progress.step_in_epoch += 1;
        progress.global_step += 1;
        progress.loss_sum += sum.loss_sum;
        progress.correct += sum.correct as u64;
        progress.seen += sum.images as u64;
    }

    fn watch_loss(&mut self, sum: &StepSum) -> Result<(), EngineError> {
        let loss = mean(sum.loss_sum, sum.images as u64);
        let Some(Explosion { median, loss }) = self.watch.observe(loss) else {
            return Ok(());
        };
        let error = EngineError::new(
            EngineErrorKind::Diverged,
            format!("the loss explodes: it is `{loss:.3e}` and rising, and was `{median:.3e}`"),
        );
        Err(self.explain(&error, self.progress.step_in_epoch))
    }

    /// Says where and on what step `step` of the epoch, counted from 1, failed.
    pub(super) fn explain(&self, error: &EngineError, step: u64) -> EngineError {
        let names: Vec<String> = self
            .step_images
            .iter()
            .map(|index| self.train.name(*index))
            .collect();
        Place {
            epoch: self.progress.epoch + 1,
            step,
            learning_rate: self.learning_rate_of(self.progress.global_step),
            is_clipped: self.recipe.config.gradient_clip.is_some(),
            folder: &self.directory,
            kept: [&self.last_path, &self.best_path]
                .into_iter()
                .find(|path| path.exists())
                .map(PathBuf::as_path),
        }
        .explain(error, &names)
    }

    fn learning_rate_of(&self, step: u64) -> f64 {
        let rate = self.recipe.schedule.rate(step, &self.progress.plateau);
        rate.learning_rate
    }

    fn step_progress(&self, sum: &StepSum) -> StepProgress {
        let progress = &self.progress;
        let (epochs, steps_in_epoch) = (self.recipe.config.epochs, self.steps_in_epoch());
        let epochs_after = u64::from(epochs - progress.epoch - 1);
        let steps_left = (steps_in_epoch - progress.step_in_epoch) + epochs_after * steps_in_epoch;
        StepProgress {
            epoch: progress.epoch + 1,
            epochs,
            step: progress.step_in_epoch,
            steps_in_epoch,
            global_step: progress.global_step,
            loss: mean(sum.loss_sum, sum.images as u64),
            epoch_loss: mean(progress.loss_sum, progress.seen),
            accuracy: mean(progress.correct as f64, progress.seen),
            learning_rate: self.learning_rate_of(progress.global_step - 1),
            gradient_norm: sum.gradient_norm,
            images_per_second: self.pace.images_per_second(),
            remaining: self.pace.remaining(steps_left, epochs_after + 1),
        }
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

/// A batch's part in its step.
struct BatchInStep {
    /// Counted from 0 over all epochs.
    number: u64,
    /// Of the step's images.
    share: f64,
    is_last: bool,
}

pub(super) fn mean(sum: f64, count: u64) -> f64 {
    sum / count.max(1) as f64
}
