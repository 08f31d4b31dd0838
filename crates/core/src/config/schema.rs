//! The typed configuration of a training run. Every key that a config file or the command line
//! may set is a field here; anything else is refused with the nearest known name.

mod device;
mod monitored;
mod train;

use serde::{Deserialize, Deserializer, Serialize};

pub use device::{DeviceConfig, UnknownDevice};
pub use monitored::{Monitored, TASK_PARAM};
pub use train::{
    ClassWeighting, ClassWeights, EarlyStoppingConfig, Freeze, Monitor, OptimizerConfig, Sampling,
    ScheduleConfig, ThresholdConfig, ThresholdRule, TrainConfig,
};

pub use super::augment::AugmentConfig;
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
    /// Probability of leaving out a residual branch in the built-in architectures that have them,
    /// for the deepest one; it rises to this with the depth (Huang et al. 2016, arXiv:1603.09382).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stochastic_depth: Option<f64>,
    /// Weights to start from instead of random ones: a file, a URL or `hf://repository/file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
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
    /// The views of an image whose probabilities are averaged in validation.
    #[serde(default, deserialize_with = "or_default")]
    pub test_time_augmentation: TestTimeAugmentation,
    /// Disk space that decoded images may take up in the project, in GB; 0 for none. Absent means
    /// [`DataConfig::DEFAULT_CACHE_GB`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_gb: Option<f64>,
    /// Side in pixels at which training images are loaded and cached, for an augmentation that
    /// cuts out of them; what it leaves is resized to the input. Absent means
    /// [`DataConfig::training_side`]'s choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_size: Option<u32>,
    /// Random changes to training images; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<AugmentConfig>,
}

impl DataConfig {
    /// Disk space for decoded images in GB where the configuration says nothing.
    pub const DEFAULT_CACHE_GB: f64 = 20.0;

    /// Disk space that decoded images may take up, in bytes.
    pub fn cache_bytes(&self) -> u64 {
        const GIGABYTE: f64 = 1e9;
        // `as` saturates.
        (self.cache_gb.unwrap_or(Self::DEFAULT_CACHE_GB) * GIGABYTE) as u64
    }

    /// Side in pixels at which training images are loaded: `cache_size`. Where it is absent, the
    /// input's; and where a random crop cuts out a share of the image, so much more, in steps of
    /// 8 and at most twice as much, that a part of the mean area has as many pixels as the input.
    pub fn training_side(&self) -> u32 {
        if let Some(side) = self.cache_size {
            return side;
        }
        let area = self
            .augment
            .as_ref()
            .and_then(AugmentConfig::mean_crop_area);
        let factor = area.map_or(1.0, |area| area.max(0.25).sqrt().recip());
        if factor <= 1.0 {
            return self.image_size;
        }
        let side = (f64::from(self.image_size) * factor).ceil() as u32;
        side.next_multiple_of(8).min(2 * self.image_size).min(8192)
    }

    /// Random changes to training images, as they are done to an image of
    /// [`Self::training_side`]: a random crop gives the input's size.
    pub fn training_augment(&self) -> Option<AugmentConfig> {
        let augment = self.augment.clone()?;
        Some(augment.cropping_to(self.image_size))
    }
}

/// The views of an image that are averaged where a network is scored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestTimeAugmentation {
    /// The image alone.
    #[default]
    None,
    /// The image and its mirror image, left to right.
    Flip,
    /// The image mirrored in no, either and both directions: four views.
    Flips,
    /// The four of `flips` and the same turned by a quarter: eight views, for pictures that have
    /// no up and down.
    Dihedral,
}

impl TestTimeAugmentation {
    /// Whether it is the image alone.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// A null is the default.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
