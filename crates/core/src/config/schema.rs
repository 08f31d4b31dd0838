//! The typed configuration of a training run. Every key that a config file or the command line
//! may set is a field here; anything else is refused with the nearest known name.

use serde::{Deserialize, Serialize};

use crate::manifest::{ResizeFilter, ResizeMode};

/// The whole configuration of a training run, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The architecture.
    pub model: ModelConfig,
    /// The images and how they become tensors.
    pub data: DataConfig,
    /// How the weights are fitted.
    pub train: TrainConfig,
}

/// The architecture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name of a built-in architecture (`baseline`), or of the graph below.
    pub name: String,
    /// Probability of zeroing a feature in the built-in architectures' dropout layers, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// The user's own layer graph: a list of layers as in [`crate::graph::Graph`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<serde_json::Value>,
}

/// The images and how they become tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Dataset version to train on: `name`, `name@v2`. `--data PATH` sets it after importing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Side of the square network input in pixels.
    pub image_size: u32,
    /// How the size is reached.
    #[serde(default)]
    pub resize: ResizeMode,
    /// The interpolation.
    #[serde(default)]
    pub filter: ResizeFilter,
    /// Per-channel mean of values in 0 to 1.
    pub mean: [f32; 3],
    /// Per-channel standard deviation of values in 0 to 1.
    pub std: [f32; 3],
    /// Loader threads; 0 means as many as the machine has.
    pub workers: usize,
    /// Random changes to training images; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<AugmentConfig>,
}

/// Random changes to training images, drawn anew for every image and epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// Probability of mirroring left to right, 0 to 1.
    #[serde(default)]
    pub horizontal_flip: f64,
    /// Probability of mirroring top to bottom, 0 to 1.
    #[serde(default)]
    pub vertical_flip: f64,
    /// Padding in pixels (at the input size, edges reflected) before a crop back to the input size; 0 for none.
    #[serde(default)]
    pub crop_padding: u32,
    /// Brightness factor drawn from `1 - x` to `1 + x`.
    #[serde(default)]
    pub brightness: f64,
    /// Contrast factor drawn from `1 - x` to `1 + x`.
    #[serde(default)]
    pub contrast: f64,
    /// Saturation factor drawn from `1 - x` to `1 + x`.
    #[serde(default)]
    pub saturation: f64,
}

/// How the weights are fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training split.
    pub epochs: u32,
    /// Images in one step.
    pub batch_size: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Seed of everything random in the run.
    pub seed: u64,
    /// The update rule.
    pub optimizer: OptimizerConfig,
    /// The learning rate over time.
    pub schedule: ScheduleConfig,
    /// Gradients are scaled down to this global L2 norm; absent means no clipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<f64>,
    /// Stop when the monitored metric no longer improves; absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// The metric that selects the best checkpoint.
    pub monitor: Monitor,
    /// Free text kept with the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The update rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101).
    AdamW {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the denominator.
        epsilon: f64,
        /// Decoupled weight decay; not applied to biases and norm parameters.
        weight_decay: f64,
    },
    /// Stochastic gradient descent with momentum, as PyTorch's `SGD`.
    Sgd {
        /// Momentum factor; 0 for none.
        momentum: f64,
        /// L2 penalty added to the gradient; not applied to biases and norm parameters.
        weight_decay: f64,
        /// Nesterov's variant.
        nesterov: bool,
    },
}

/// The learning rate over time, per step, after a linear warm-up from zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// The learning rate does not change after the warm-up.
    Constant {
        /// Epochs of linear warm-up; may be a fraction.
        warmup_epochs: f64,
    },
    /// Half a cosine from the peak to `minimum` (Loshchilov & Hutter 2017, arXiv:1608.03983).
    Cosine {
        /// Epochs of linear warm-up; may be a fraction.
        warmup_epochs: f64,
        /// Learning rate at the end.
        minimum: f64,
    },
    /// Multiplied by `gamma` every `step_epochs` epochs.
    Step {
        /// Epochs of linear warm-up; may be a fraction.
        warmup_epochs: f64,
        /// Epochs between two drops.
        step_epochs: u32,
        /// Factor of each drop.
        gamma: f64,
    },
}

/// Stop when the monitored metric no longer improves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStoppingConfig {
    /// Epochs without improvement before stopping.
    pub patience: u32,
    /// The least change that counts as improvement.
    #[serde(default)]
    pub min_delta: f64,
}

/// A validation metric that can be monitored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Monitor {
    /// Mean cross-entropy on the validation split; lower is better.
    #[serde(rename = "val/loss")]
    Loss,
    /// Accuracy on the validation split; higher is better.
    #[serde(rename = "val/accuracy")]
    Accuracy,
    /// Unweighted mean F1 over the classes on the validation split; higher is better.
    #[serde(rename = "val/f1")]
    MacroF1,
}

impl Monitor {
    /// The metric's key, as in the store.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Loss => "val/loss",
            Self::Accuracy => "val/accuracy",
            Self::MacroF1 => "val/f1",
        }
    }

    /// Whether `value` is better than `best` by more than `min_delta`.
    pub fn improves(self, value: f64, best: f64, min_delta: f64) -> bool {
        match self {
            Self::Loss => value < best - min_delta,
            Self::Accuracy | Self::MacroF1 => value > best + min_delta,
        }
    }
}
