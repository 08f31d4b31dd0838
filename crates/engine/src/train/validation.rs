//! The end of an epoch: the validation split's answers, and what they mean for the run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferrotype_vision::loader::{Loader, plain_order};
use ferrotype_vision::views::{View, mean_of_independent_views, mean_of_views};

use super::profile::SectionKind;
use super::run::{Run, mean};
use super::{EpochSummary, ValidationOutputs, Verdict};
use crate::error::{EngineError, EngineErrorKind};

impl Run<'_> {
    /// Validates, judges, saves, and begins the next epoch.
    pub(super) fn finish_epoch(&mut self) -> Result<(), EngineError> {
        let train_time = self.epoch_started.elapsed();
        let started = Instant::now();
        let verdict = self.validate()?;
        let validation_time = started.elapsed();
        self.pace.validated(validation_time);
        let improved = self.judge(verdict);
        let summary = self.summary(verdict, improved, [train_time, validation_time]);
        let stops = verdict.is_some_and(|verdict| verdict.stop) || self.is_out_of_patience();
        let progress = &mut self.progress;
        if let Some(verdict) = verdict {
            progress.plateau = self.recipe.schedule.after_epoch(
                &progress.plateau,
                verdict.monitored,
                self.recipe.config.monitor,
            );
        }
        progress.epoch += 1;
        progress.step_in_epoch = 0;
        progress.loss_sum = 0.0;
        progress.correct = 0;
        progress.seen = 0;
        progress.finished = stops || progress.epoch >= self.recipe.config.epochs;
        self.profiler
            .begin(SectionKind::Checkpoint, &mut *self.executor);
        if improved {
            self.save_best()?;
        }
        self.save_last()?;
        self.profiler.end(0, &mut *self.executor);
        if self.profiler.is_window_over() {
            self.tell_profile();
        }
        self.observer.on_epoch_end(&summary);
        Ok(())
    }

    /// Asks the observer for its verdict; none without validation images.
    fn validate(&mut self) -> Result<Option<Verdict>, EngineError> {
        let count = self.validation.len();
        if count == 0 {
            return Ok(None);
        }
        let epoch = self.progress.epoch + 1;
        self.profiler
            .begin(SectionKind::Validation(epoch), &mut *self.executor);
        let source = Arc::clone(&self.validation);
        let options = &self.recipe.validation_loader;
        let mut batches = Loader::epoch(source, options, plain_order(count), 0, 0);
        let mut logits = Vec::with_capacity(count * self.recipe.classes);
        let mut labels = Vec::with_capacity(count);
        let mut label_targets = Vec::new();
        loop {
            let asked = Instant::now();
            let Some(batch) = batches.next().transpose()? else {
                break;
            };
            self.profiler.waited(asked, &mut *self.executor);
            let size = [batch.height as usize, batch.width as usize];
            logits.extend(self.answer(&batch.images, batch.labels.len(), size)?);
            labels.extend(&batch.labels);
            label_targets.extend(batch.independent.iter().flatten());
            batches.recycle(batch);
        }
        self.check_finite(&logits)?;
        let outputs = ValidationOutputs {
            classes: self.recipe.classes,
            logits: &logits,
            labels: &labels,
            label_targets: self.recipe.is_multi_label.then_some(&label_targets),
        };
        let verdict = self.observer.on_validation(epoch, &outputs);
        self.profiler.end(count, &mut *self.executor);
        Ok(Some(verdict))
    }

    /// Refuses answers that are no numbers: the last steps have spoiled the weights.
    fn check_finite(&self, logits: &[f32]) -> Result<(), EngineError> {
        let Some(bad) = logits.iter().find(|logit| !logit.is_finite()) else {
            return Ok(());
        };
        let error = EngineError::new(
            EngineErrorKind::NotFinite,
            format!("the network answers `{bad}` to validation images"),
        );
        Err(self.explain(&error, self.progress.step_in_epoch))
    }

    /// The network's logits; those of the views' mean probabilities when there are several.
    fn answer(
        &mut self,
        images: &[f32],
        count: usize,
        size: [usize; 2],
    ) -> Result<Vec<f32>, EngineError> {
        let views = View::of(self.test_time_augmentation);
        let mut seen = Vec::new();
        let mut answers = Vec::with_capacity(views.len());
        for view in views {
            let images = if view.is_identity() {
                images
            } else {
                seen.resize(images.len(), 0.0);
                view.apply(images, size, &mut seen);
                &seen
            };
            answers.push(self.executor.evaluate(images, count)?);
        }
        Ok(if self.recipe.is_multi_label {
            mean_of_independent_views(answers)
        } else {
            mean_of_views(answers, self.recipe.classes)
        })
    }

    /// Keeps the best value and counts epochs without improvement; says whether this epoch is
    /// the best so far. Without validation, the newest is the best.
    fn judge(&mut self, verdict: Option<Verdict>) -> bool {
        let Some(value) = verdict.map(|verdict| verdict.monitored) else {
            self.progress.best_epoch = Some(self.progress.epoch);
            return true;
        };
        let config = self.recipe.config;
        let beats = |best: Option<f64>, min_delta: f64| match best {
            None => true,
            Some(best) => best.is_nan() || config.monitor.improves(value, best, min_delta),
        };
        let stopping = config.early_stopping.as_ref();
        let min_delta = stopping.map_or(0.0, |stopping| stopping.min_delta);
        if beats(self.progress.patience_best, min_delta) {
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
        let stopping = self.recipe.config.early_stopping.as_ref();
        stopping.is_some_and(|stopping| {
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
        let rate = self.recipe.schedule.rate(last_step, &progress.plateau);
        EpochSummary {
            epoch: progress.epoch + 1,
            epochs: self.recipe.config.epochs,
            global_step: progress.global_step,
            train_loss: mean(progress.loss_sum, progress.seen),
            train_accuracy: mean(progress.correct as f64, progress.seen),
            learning_rate: rate.learning_rate,
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
}
