//! Follows a training: shows it, scores its validation, writes its metrics, passes on the wish to stop.

use std::path::Path;

use ferrotype_core::config::schema::Monitored;
use ferrotype_core::id::{JobId, RunId};
use ferrotype_engine::train::{
    CheckpointKind, Control, EpochSummary, Profile, ProfileOptions, StepProgress, TrainObserver,
    TrainStart, ValidationOutputs, Verdict,
};
use ferrotype_store::{JobWatch, Store, Writer};

use super::profile::Profiling;
use super::run_log::RunLog;
use super::scores::Scores;
use super::{Plan, Worker};
use crate::context::Context;
use crate::interrupt::Interrupt;
use crate::output::{Progress, text};
use crate::system_metrics::SystemMetrics;

/// The metric that is written when an epoch is done.
pub(super) const EPOCH_METRIC: &str = "train/accuracy";

/// Points of the training loss in one epoch, at most: each is the mean since the one before.
const POINTS_IN_EPOCH: u64 = 25;

/// Who may stop a training: the user at the terminal, or somebody who cancels the job.
pub(super) struct Watch {
    pub(super) interrupt: Interrupt,
    pub(super) job: JobWatch,
}

impl Watch {
    fn wants_to_stop(&self) -> bool {
        self.interrupt.is_requested() || self.job.is_cancel_requested()
    }
}

/// The engine's observer of one run.
pub(super) struct Observer<'a> {
    pub(super) context: &'a Context,
    pub(super) store: &'a Store,
    pub(super) log: &'a RunLog,
    watch: &'a Watch,
    writer: Writer,
    pub(super) run: RunId,
    job: JobId,
    monitored: Monitored,
    classes: usize,
    /// For each label, the probability above which it counts.
    thresholds: Vec<f32>,
    progress: Option<Progress>,
    system: Option<SystemMetrics>,
    step: u64,
    loss: RunningMean,
    validation: Option<Scores>,
    /// None where none was asked for.
    pub(super) profiling: Option<Profiling>,
    /// The first thing that went wrong here; it stops the training.
    failure: Option<anyhow::Error>,
}

impl<'a> Observer<'a> {
    pub(super) fn new(worker: &Worker<'a>, plan: &Plan, writer: Writer, watch: &'a Watch) -> Self {
        Self {
            context: worker.context,
            store: worker.store,
            log: worker.log,
            watch,
            writer,
            run: worker.run.id,
            job: worker.job.job.id,
            monitored: plan.monitored(),
            classes: plan.dataset.classes.len(),
            thresholds: plan.thresholds(),
            progress: None,
            system: None,
            step: 0,
            loss: RunningMean::default(),
            validation: None,
            profiling: None,
            failure: None,
        }
    }

    /// Takes the bar away and answers with what went wrong in here.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.failure.map_or(Ok(()), Err)
    }

    fn metric(&mut self, key: &str, value: f64) {
        let logged = self.writer.log_metric(self.run, key, self.step, value);
        self.check(logged);
    }

    fn check<T, E: Into<anyhow::Error>>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failure.get_or_insert(error.into());
                None
            }
        }
    }

    fn tell(&self, text: &str) {
        self.context.printer().status(text);
        self.log.line(text);
    }

    fn control(&self) -> Control {
        if self.failure.is_some() || self.watch.wants_to_stop() {
            Control::Stop
        } else {
            Control::Continue
        }
    }

    fn show(&mut self, step: &StepProgress) {
        let Some(progress) = &mut self.progress else {
            return;
        };
        progress.label(format!("Epoch {}/{}", step.epoch, step.epochs));
        let message = format!(
            "loss {:.3}  {} {}  {} images/s  {} left",
            step.epoch_loss,
            self.monitored.task.accuracy_title(),
            text::percent(step.accuracy),
            text::count(step.images_per_second.round() as u64),
            text::duration(step.remaining),
        );
        progress.set(step.step, step.steps_in_epoch, message);
    }
}

impl TrainObserver for Observer<'_> {
    fn wants_profile(&self) -> Option<ProfileOptions> {
        self.profiling.as_ref().map(Profiling::options)
    }

    fn on_start(&mut self, start: &TrainStart) {
        let printer = self.context.printer();
        if let Some((epoch, steps)) = start.resumed_at {
            self.step = u64::from(epoch.saturating_sub(1)) * start.steps_in_epoch + steps;
            self.tell(&format!(
                "resumed in epoch {epoch} after {} of {}",
                steps,
                text::plural(start.steps_in_epoch, "step")
            ));
        }
        // Points beyond the checkpoint are of steps that will be done again.
        let truncated = self
            .context
            .wait(self.store.truncate_metrics_after(self.run, self.step));
        self.check(truncated);
        self.log.line(format_args!(
            "{} for training, {} for validation; {} parameters, {} FLOPs an image",
            text::plural(start.train_images as u64, "image"),
            start.validation_images,
            text::count(start.parameters),
            text::count(start.flops),
        ));
        self.progress = Some(printer.progress("Epoch", start.steps_in_epoch));
        self.system = Some(SystemMetrics::start(
            self.writer.clone(),
            self.run,
            self.step,
        ));
    }

    fn on_step(&mut self, step: &StepProgress) -> Control {
        self.step = step.global_step;
        if let Some(system) = &self.system {
            system.at_step(self.step);
        }
        self.loss.add(step.loss);
        let interval = (step.steps_in_epoch / POINTS_IN_EPOCH).max(1);
        if step.step.is_multiple_of(interval) || step.step == step.steps_in_epoch {
            let loss = self.loss.take();
            self.metric("train/loss", loss);
            self.metric("train/learning_rate", step.learning_rate);
            let done = f64::from(step.epoch - 1) + step.step as f64 / step.steps_in_epoch as f64;
            let told = self.writer.set_job_progress(
                self.job,
                done / f64::from(step.epochs),
                &format!("epoch {} of {}", step.epoch, step.epochs),
            );
            self.check(told);
        }
        self.show(step);
        self.control()
    }

    fn on_validation(&mut self, _epoch: u32, outputs: &ValidationOutputs<'_>) -> Verdict {
        let scored = Scores::of(outputs, self.classes, &self.thresholds);
        let monitored = scored
            .map_err(anyhow::Error::from)
            .and_then(|scores| Ok((scores.monitored(self.monitored.monitor)?, scores)));
        let Some((monitored, scores)) = self.check(monitored) else {
            return Verdict {
                monitored: f64::NAN,
                stop: true,
            };
        };
        for (key, value) in scores.metrics(self.monitored.monitor) {
            self.metric(key, value);
        }
        self.validation = Some(scores);
        Verdict {
            monitored,
            stop: false,
        }
    }

    fn on_epoch_end(&mut self, summary: &EpochSummary) {
        self.metric(EPOCH_METRIC, summary.train_accuracy);
        let waiting =
            summary.waiting_time.as_secs_f64() / summary.train_time.as_secs_f64().max(1e-9);
        self.metric("system/waiting_percent", 100.0 * waiting);
        self.log.line(format_args!(
            "steps of epoch {} waited for images for {} of their time",
            summary.epoch,
            text::percent(waiting)
        ));
        let line = epoch_line(summary, self.monitored, self.validation.take().as_ref());
        self.tell(&line);
        // A crash from here on loses no metric of the epoch; once an epoch that is cheap.
        let flushed = self.writer.flush();
        self.check(flushed);
    }

    fn on_profile(&mut self, profile: &Profile) {
        self.keep_profile(profile);
    }

    fn on_checkpoint(&mut self, kind: CheckpointKind, path: &Path) {
        tracing::debug!(?kind, path = %path.display(), "checkpoint written");
    }
}

fn epoch_line(summary: &EpochSummary, monitored: Monitored, validation: Option<&Scores>) -> String {
    let width = summary.epochs.to_string().len();
    let mut line = format!(
        "epoch {:>width$}/{}  loss {:.3}  {} {:>7}",
        summary.epoch,
        summary.epochs,
        summary.train_loss,
        monitored.task.accuracy_title(),
        text::percent(summary.train_accuracy),
    );
    if let Some(scores) = validation {
        line.push_str(&format!("  {}", scores.in_short(monitored.monitor)));
    }
    line.push_str(&format!(
        "  {} images/s",
        text::count(summary.images_per_second.round() as u64)
    ));
    if summary.improved {
        line.push_str("  best so far");
    }
    line
}

/// The mean of the values since it was last taken.
#[derive(Default)]
struct RunningMean {
    sum: f64,
    count: u64,
}

impl RunningMean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn take(&mut self) -> f64 {
        let mean = self.sum / self.count.max(1) as f64;
        *self = Self::default();
        mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrotype_core::config::schema::Monitor;
    use ferrotype_core::manifest::Task;
    use std::time::Duration;

    #[test]
    fn an_epoch_is_told_in_one_line() {
        let summary = EpochSummary {
            epoch: 3,
            epochs: 20,
            global_step: 60,
            train_loss: 0.5,
            train_accuracy: 0.81,
            learning_rate: 1e-3,
            monitored: Some(0.9),
            improved: true,
            best: Some(0.9),
            best_epoch: Some(3),
            train_time: Duration::from_secs(1),
            waiting_time: Duration::ZERO,
            validation_time: Duration::from_secs(1),
            images_per_second: 1_920.4,
        };
        let line = |task| epoch_line(&summary, Monitored::new(Monitor::Auto, task), None);
        assert_eq!(
            line(Task::Classification),
            "epoch  3/20  loss 0.500  accuracy  81.0 %  1,920 images/s  best so far"
        );
        assert_eq!(
            line(Task::MultiLabel),
            "epoch  3/20  loss 0.500  exact match  81.0 %  1,920 images/s  best so far"
        );
    }

    #[test]
    fn a_mean_starts_anew_after_it_was_taken() {
        let mut mean = RunningMean::default();
        mean.add(1.0);
        mean.add(3.0);
        assert_eq!(mean.take(), 2.0);
        mean.add(5.0);
        assert_eq!(mean.take(), 5.0);
    }
}
