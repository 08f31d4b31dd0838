//! Whether two stored images show the same, by their pixels.

use ferrotype_store::{Blobs, Digest};
use ferrotype_vision::RgbImage;
use ferrotype_vision::decode::{DecodeLimits, decode};
use ferrotype_vision::similarity::{comparison_copy, pixel_difference};

use crate::duplicates::Confirm;

/// Look-alikes differ by at most this share of their contrast. A field of stripes is not every other
/// field of stripes: images of low contrast must agree better than others.
const SHARE_OF_CONTRAST: f64 = 0.2;

/// Differences, in steps of 0 to 255, that are forgiven whatever the contrast, and never.
///
/// Measured on five real sets (`docs/decisions/0007-datasets.md`): recompressing stays below 4,
/// neighbouring slices of one scan lie between 2 and 6, different subjects of like contrast above 8.
const FORGIVEN: (f64, f64) = (2.0, 4.0);

/// Compares images that are in the store, reading them again.
pub(crate) struct ComparePixels<'a> {
    /// Digest of each image.
    pub(crate) digests: &'a [&'a str],
    /// Where they are.
    pub(crate) blobs: &'a Blobs,
    /// What decoding one may cost.
    pub(crate) limits: DecodeLimits,
}

/// A small copy of an image, 3 kB, and how much it varies.
pub(crate) struct Signature {
    copy: RgbImage,
    contrast: f64,
}

impl Signature {
    fn of(image: &RgbImage) -> Self {
        let copy = comparison_copy(image).into_owned();
        Self {
            contrast: contrast(&copy),
            copy,
        }
    }
}

impl Confirm for ComparePixels<'_> {
    type Signature = Signature;

    fn signature(&self, image: usize) -> Option<Signature> {
        let digest: Digest = self.digests.get(image)?.parse().ok()?;
        let bytes = self.blobs.get(&digest).ok()?;
        let decoded = decode(&bytes, &self.limits).ok()?;
        Some(Signature::of(&decoded.image))
    }

    fn same(&self, first: &Signature, second: &Signature) -> bool {
        let contrast = first.contrast.min(second.contrast);
        let (least, most) = FORGIVEN;
        let tolerance = (SHARE_OF_CONTRAST * contrast).clamp(least, most);
        pixel_difference(&first.copy, &second.copy) <= tolerance
    }
}

/// Standard deviation over the image, the mean of the three channels, in steps of 0 to 255.
fn contrast(image: &RgbImage) -> f64 {
    let count = (image.pixels.len() / 3).max(1) as f64;
    let of_channel = |channel: usize| {
        let values = || {
            image
                .pixels
                .iter()
                .skip(channel)
                .step_by(3)
                .map(|v| f64::from(*v))
        };
        let mean = values().sum::<f64>() / count;
        (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
    };
    (of_channel(0) + of_channel(1) + of_channel(2)) / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_colour_has_no_contrast_and_stripes_have() {
        assert_eq!(contrast(&RgbImage::filled(4, 4, [10, 200, 90])), 0.0);
        let mut stripes = RgbImage::filled(2, 2, [0; 3]);
        stripes.pixels[..6].fill(100);
        assert_eq!(contrast(&stripes), 50.0);
    }
}
