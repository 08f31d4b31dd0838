//! Random changes to training images and the boxes on them.
//!
//! Names, parameters and meanings are Albumentations', those of `color_jitter`, `random_erasing`,
//! `rand_augment` and `trivial_augment` torchvision's; `docs/augmentations.md` lists them and every
//! difference. A configuration is drawn into [`Operation`]s with fixed parameters, from a stream
//! keyed by what it is for; then they are done, together where that means the same: changes of
//! coordinates that follow each other as one resampling, tables as one pass.

mod color;
mod downscale;
mod draw;
mod erase;
mod filter;
mod geometry;
mod jpeg;
mod noise;
mod operation;
mod sample;
#[cfg(test)]
mod tests;

use ferrotype_core::config::ConfigError;
use ferrotype_core::config::augment::AugmentConfig;

pub use color::{ColorTable, Pixelwise, Tables};
pub use erase::{Hole, HoleFill};
pub use filter::{Kernel, gaussian, motion};
pub use geometry::{Border, Displacement, Geometry, Matrix};
pub use noise::{IsoNoise, Noise};
pub use operation::{Operation, apply_all};
pub use sample::{BoxRules, LabelledBox, Sample};

use crate::RgbImage;
use crate::random::Pcg64;

/// Random changes to training images, as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Augment {
    config: AugmentConfig,
    rules: BoxRules,
}

impl Augment {
    /// An augmentation that does as the configuration says.
    ///
    /// # Errors
    /// When a parameter is out of its range.
    pub fn new(config: AugmentConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            config,
            rules: BoxRules::default(),
        })
    }

    /// The same with other rules for the boxes that stay.
    #[must_use]
    pub const fn with_box_rules(mut self, rules: BoxRules) -> Self {
        self.rules = rules;
        self
    }

    /// What is done to an image of this size, with draws from `rng`.
    pub fn draw(&self, size: [u32; 2], rng: &mut Pcg64) -> Vec<Operation> {
        draw::operations(&self.config.0, size, rng)
    }

    /// Changes one image with draws from `rng`. Only crops and padding to a size change its size,
    /// and turns that of an image that is no square.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut Pcg64) {
        let operations = self.draw([image.width, image.height], rng);
        apply_all(&operations, image, &mut Vec::new(), &self.rules);
    }

    /// Changes one image and the boxes on it with draws from `rng`.
    pub fn apply_to_sample(&self, sample: &mut Sample, rng: &mut Pcg64) {
        let operations = self.draw([sample.image.width, sample.image.height], rng);
        apply_all(
            &operations,
            &mut sample.image,
            &mut sample.boxes,
            &self.rules,
        );
    }
}
