//! What the training loop tells its caller, and what it asks.

use std::path::Path;
use std::time::Duration;

use super::profile::{Profile, ProfileOptions};

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Save and stop; the run can be resumed.
    Stop,
}

/// The run as it starts.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainStart {
    /// Epochs to do, those already done included.
    pub epochs: u32,
    /// Steps in each.
    pub steps_in_epoch: u64,
    /// Images in the training split.
    pub train_images: usize,
    /// Images in the validation split.
    pub validation_images: usize,
    /// Numbers that training fits.
    pub parameters: u64,
    /// Floating-point operations of one image's forward pass.
    pub flops: u64,
    /// Where a resumed run starts: epoch (counted from 1) and steps done in it.
    pub resumed_at: Option<(u32, u64)>,
}

/// A training step that is done.
#[derive(Debug, Clone, PartialEq)]
pub struct StepProgress {
    /// The epoch under way, counted from 1.
    pub epoch: u32,
    /// Epochs to do.
    pub epochs: u32,
    /// Steps done in this epoch.
    pub step: u64,
    /// Steps in each epoch.
    pub steps_in_epoch: u64,
    /// Steps done over all epochs.
    pub global_step: u64,
    /// Mean loss of this step's batch.
    pub loss: f64,
    /// Mean loss of the epoch so far.
    pub epoch_loss: f64,
    /// Share of the epoch's images so far that were answered right, in training mode: of several
    /// labels, all of them.
    pub accuracy: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Global L2 norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Training images per second, lately.
    pub images_per_second: f64,
    /// Estimate of the time until the last epoch is done.
    pub remaining: Duration,
}

/// The network's answers on the whole validation split.
#[derive(Debug, Clone, Copy)]
pub struct ValidationOutputs<'a> {
    /// `[n, classes]`
    pub logits: &'a [f32],
    /// `[n]`; of no meaning where images may have several labels.
    pub labels: &'a [u32],
    /// `[n, classes]`, where images may have several labels: 1 for each that an image has.
    pub label_targets: Option<&'a [f32]>,
    /// Logits per image.
    pub classes: usize,
}

/// What the caller makes of the validation outputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Value of the metric that the run monitors.
    pub monitored: f64,
    /// Whether to end the run here, as early stopping does.
    pub stop: bool,
}

/// An epoch that is done.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochSummary {
    /// The epoch, counted from 1.
    pub epoch: u32,
    /// Epochs to do.
    pub epochs: u32,
    /// Steps done over all epochs.
    pub global_step: u64,
    /// Mean loss over the epoch, in training mode.
    pub train_loss: f64,
    /// Share of images answered right over the epoch, in training mode: of several labels, all of
    /// them.
    pub train_accuracy: f64,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// The monitored value; none without validation images.
    pub monitored: Option<f64>,
    /// Whether this is the best epoch so far.
    pub improved: bool,
    /// The best monitored value so far.
    pub best: Option<f64>,
    /// The epoch that reached it, counted from 1.
    pub best_epoch: Option<u32>,
    /// Time spent on training steps in this session.
    pub train_time: Duration,
    /// Time of that in which a step waited for its batch.
    pub waiting_time: Duration,
    /// Time spent on validation.
    pub validation_time: Duration,
    /// Training images per second.
    pub images_per_second: f64,
}

/// Which checkpoint was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointKind {
    /// The newest: a resumed run continues here.
    Last,
    /// The one with the best monitored value.
    Best,
}

/// Follows a training run, scores its validation outputs and may stop it.
///
/// All methods are called on the thread that called [`super::train`].
pub trait TrainObserver {
    /// Which steps [`TrainObserver::on_profile`] is to be told about; none for no profile. Asked
    /// once, before the run starts.
    fn wants_profile(&self) -> Option<ProfileOptions> {
        None
    }

    /// The run starts.
    fn on_start(&mut self, start: &TrainStart) {
        let _ = start;
    }

    /// A step is done.
    fn on_step(&mut self, progress: &StepProgress) -> Control {
        let _ = progress;
        Control::Continue
    }

    /// The epoch's weights have answered on the validation split. `epoch` counts from 1. Not
    /// called when there are no validation images.
    fn on_validation(&mut self, epoch: u32, outputs: &ValidationOutputs<'_>) -> Verdict;

    /// An epoch is done; its checkpoints are written.
    fn on_epoch_end(&mut self, summary: &EpochSummary) {
        let _ = summary;
    }

    /// The steps that were to be profiled are done; again, with more, after the validation that
    /// follows. A run that ends before tells what there is.
    fn on_profile(&mut self, profile: &Profile) {
        let _ = profile;
    }

    /// A checkpoint is written.
    fn on_checkpoint(&mut self, kind: CheckpointKind, path: &Path) {
        let _ = (kind, path);
    }
}
