//! How the weights are fitted.

use serde::{Deserialize, Deserializer, Serialize};

use super::{DeviceConfig, or_default};
use crate::manifest::Task;

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
    /// What computes the steps.
    #[serde(default, deserialize_with = "or_default")]
    pub device: DeviceConfig,
    /// The update rule.
    pub optimizer: OptimizerConfig,
    /// The learning rate over time.
    pub schedule: ScheduleConfig,
    /// Batches whose mean gradient makes one update; 1 for an update by each batch.
    #[serde(default = "one", deserialize_with = "or_one")]
    pub accumulate: u32,
    /// Gradients are scaled down to this global L2 norm; absent means no clipping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_clip: Option<f64>,
    /// How an epoch's images are drawn.
    #[serde(default, deserialize_with = "or_default")]
    pub sampling: Sampling,
    /// Share of each target that is spread evenly over all classes (Szegedy et al. 2016,
    /// arXiv:1512.00567).
    #[serde(default, deserialize_with = "or_default")]
    pub label_smoothing: f64,
    /// How much each class counts in the loss.
    #[serde(default, deserialize_with = "or_default")]
    pub class_weights: ClassWeights,
    /// Mixing two images and their targets, shares drawn from Beta(α, α) (Zhang et al. 2018,
    /// arXiv:1710.09412); absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixup: Option<f64>,
    /// Putting a rectangle of one image into another, its area drawn from Beta(α, α) (Yun et al.
    /// 2019, arXiv:1905.04899); absent means none. With both, each batch draws one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutmix: Option<f64>,
    /// Decay of the moving average of the weights, which is what validation scores and what is
    /// exported; absent means none. It begins smaller: `(1 + step) / (10 + step)` at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Layers that are not fitted; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<Freeze>,
    /// Epochs after which the last frozen stage thaws, again and again; absent means never.
    /// Without `freeze`, all but the head is frozen at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfreeze_every_epochs: Option<u32>,
    /// Factor of the learning rate from each stage to the one below it, the head's being 1;
    /// absent means the same rate for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_decay: Option<f64>,
    /// Stop when the monitored metric no longer improves; absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStoppingConfig>,
    /// The metric that selects the best checkpoint.
    pub monitor: Monitor,
    /// Where an image may have several labels: the probability above which one counts; absent
    /// means [`crate::manifest::DEFAULT_THRESHOLD`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<ThresholdConfig>,
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
    /// Up to the peak and down again in one cycle over the whole run, as PyTorch's `OneCycleLR`
    /// (Smith & Topin 2018, arXiv:1708.07120).
    #[serde(rename = "one_cycle")]
    OneCycle {
        /// Share of all steps until the peak.
        warmup_share: f64,
        /// The first rate is the peak divided by this.
        start_divisor: f64,
        /// The last rate is the first divided by this.
        end_divisor: f64,
        /// Momentum (`adamw`: `beta1`) at the peak and at both ends; absent means the optimizer's
        /// own throughout.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        momentum: Option<[f64; 2]>,
    },
    /// Multiplied by `factor` when the monitored metric no longer improves, as PyTorch's
    /// `ReduceLROnPlateau`.
    Plateau {
        /// Epochs of linear warm-up; may be a fraction.
        warmup_epochs: f64,
        /// Factor of each drop.
        factor: f64,
        /// Epochs without improvement that are waited for; the drop follows the next one.
        patience: u32,
        /// The least relative change that counts as improvement.
        threshold: f64,
        /// Epochs after a drop that are not counted.
        cooldown: u32,
        /// The lowest rate.
        minimum: f64,
    },
}

impl ScheduleConfig {
    /// Epochs of linear warm-up from zero; `one_cycle` has its own rise.
    pub const fn warmup_epochs(&self) -> f64 {
        match self {
            Self::Constant { warmup_epochs }
            | Self::Cosine { warmup_epochs, .. }
            | Self::Step { warmup_epochs, .. }
            | Self::Plateau { warmup_epochs, .. } => *warmup_epochs,
            Self::OneCycle { .. } => 0.0,
        }
    }
}

/// How an epoch's images are drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Every image once, in random order.
    #[default]
    Shuffle,
    /// Every class as often as any other: images of small classes come several times, of large
    /// ones not all in each epoch.
    Balanced,
}

/// How much each class counts in the loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClassWeights {
    /// By a rule.
    Rule(ClassWeighting),
    /// `[classes]`: these weights, in the order of the classes.
    Given(Vec<f64>),
}

impl Default for ClassWeights {
    fn default() -> Self {
        Self::Rule(ClassWeighting::None)
    }
}

/// A rule for the classes' weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeighting {
    /// All the same.
    None,
    /// `images / (classes · images of the class)`, as scikit-learn's `balanced`.
    Balanced,
}

/// The probability above which a label counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ThresholdConfig {
    /// By a rule.
    Rule(ThresholdRule),
    /// The same for all labels.
    One(f64),
    /// `[labels]`: one for each, in the order of the labels.
    Each(Vec<f64>),
}

/// A rule for the labels' thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThresholdRule {
    /// For each label the one with the best F1 on the validation split, found when training is
    /// done.
    #[serde(rename = "best_f1")]
    BestF1,
}

/// Layers that are not fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Freeze {
    /// So many stages, from the image on.
    Stages(u32),
    /// Layers of these names, and those inside them; `*` stands for any characters.
    Layers(Vec<String>),
}

const fn one() -> u32 {
    1
}

/// A null is 1.
fn or_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(1))
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
    /// Accuracy where each image has one class, macro AUROC where it may have several labels.
    #[serde(rename = "auto")]
    Auto,
    /// Mean cross-entropy on the validation split; lower is better.
    #[serde(rename = "val/loss")]
    Loss,
    /// Accuracy on the validation split, with several labels the share of images of which all are
    /// right; higher is better.
    #[serde(rename = "val/accuracy")]
    Accuracy,
    /// Unweighted mean F1 over the classes on the validation split; higher is better.
    #[serde(rename = "val/f1")]
    MacroF1,
    /// Unweighted mean AUROC over the classes on the validation split; higher is better.
    #[serde(rename = "val/auroc")]
    Auroc,
}

impl Monitor {
    /// The metric's key, as in the store.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Auroc => "val/auroc",
            Self::Loss => "val/loss",
            Self::Accuracy => "val/accuracy",
            Self::MacroF1 => "val/f1",
        }
    }

    /// The monitor of a key.
    pub fn of_key(key: &str) -> Option<Self> {
        [
            Self::Auto,
            Self::Loss,
            Self::Accuracy,
            Self::MacroF1,
            Self::Auroc,
        ]
        .into_iter()
        .find(|monitor| monitor.key() == key)
    }

    /// The metric that is meant for a task.
    pub const fn of_task(self, task: Task) -> Self {
        match (self, task) {
            (Self::Auto, Task::Classification) => Self::Accuracy,
            (Self::Auto, Task::MultiLabel) => Self::Auroc,
            (chosen, _) => chosen,
        }
    }

    /// Whether `value` is better than `best` by more than `min_delta`.
    pub fn improves(self, value: f64, best: f64, min_delta: f64) -> bool {
        match self {
            Self::Loss => value < best - min_delta,
            Self::Auto | Self::Accuracy | Self::MacroF1 | Self::Auroc => value > best + min_delta,
        }
    }
}
