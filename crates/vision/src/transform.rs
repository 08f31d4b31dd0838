//! From an image to a network's input. Training's evaluation and serving call this same code.

use ferrotype_core::manifest::{Preprocessing, ResizeMode};

use crate::RgbImage;
use crate::decode::{DecodeError, DecodeLimits, Decoded, decode_for};
use crate::resize::{Region, Resize};

/// Preprocessing that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the preprocessing cannot be used: {reason}")]
pub struct TransformError {
    /// Which field is out of range.
    pub reason: String,
}

/// From an upright image to the network's input `[3, height, width]`:
/// resize, divide by 255, subtract the mean, divide by the standard deviation.
#[derive(Clone)]
pub struct Transform {
    preprocessing: Preprocessing,
    /// What each byte becomes, for each channel.
    normalized: Box<[[f32; 256]; 3]>,
}

impl Transform {
    /// A transform that does as a manifest says.
    ///
    /// # Errors
    /// When a size or a normalisation value is out of range.
    pub fn new(preprocessing: &Preprocessing) -> Result<Self, TransformError> {
        preprocessing
            .check()
            .map_err(|reason| TransformError { reason })?;
        let mut normalized = Box::new([[0.0; 256]; 3]);
        for (channel, values) in normalized.iter_mut().enumerate() {
            let (mean, std) = (preprocessing.mean[channel], preprocessing.std[channel]);
            for (byte, value) in (0_u8..=255).zip(values) {
                *value = (f32::from(byte) / 255.0 - mean) / std;
            }
        }
        Ok(Self {
            preprocessing: preprocessing.clone(),
            normalized,
        })
    }

    /// What it does, as a manifest says it.
    pub const fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Input width in pixels.
    pub const fn width(&self) -> u32 {
        self.preprocessing.width
    }

    /// Input height in pixels.
    pub const fn height(&self) -> u32 {
        self.preprocessing.height
    }

    /// Numbers in one input: `3 × height × width`.
    pub const fn input_len(&self) -> usize {
        3 * self.preprocessing.width as usize * self.preprocessing.height as usize
    }

    /// The network's input `[3, height, width]` for one image.
    pub fn apply(&self, image: &RgbImage) -> Vec<f32> {
        let mut input = vec![0.0; self.input_len()];
        self.apply_into(image, &mut input);
        input
    }

    /// Writes the network's input for one image into `input`, of [`Self::input_len`] numbers.
    pub fn apply_into(&self, image: &RgbImage, input: &mut [f32]) {
        self.normalize_into(&self.resize(image), input);
    }

    /// The image at the input size; one that has it already stays as it is.
    pub fn resize(&self, image: &RgbImage) -> RgbImage {
        let mut resized = RgbImage::default();
        self.resize_into(image, &mut Resize::default(), &mut resized);
        resized
    }

    /// Writes the image at the input size over `target`, which gets that size.
    pub(crate) fn resize_into(&self, image: &RgbImage, resize: &mut Resize, target: &mut RgbImage) {
        let Preprocessing {
            width,
            height,
            resize: mode,
            filter,
            ..
        } = self.preprocessing;
        (target.width, target.height) = (width, height);
        let region = match mode {
            ResizeMode::Stretch => Region::whole(image),
            ResizeMode::CenterCrop => Region::center(image, width, height),
        };
        resize.region(image, region, filter, target);
    }

    /// The same with the whole image brought to the input size, whatever its aspect ratio.
    pub fn stretching(&self) -> Self {
        let mut stretching = self.clone();
        stretching.preprocessing.resize = ResizeMode::Stretch;
        stretching
    }

    /// Whether both bring an image to the same pixels before they are normalised.
    pub fn resizes_like(&self, other: &Self) -> bool {
        let key = |of: &Self| {
            let Preprocessing {
                width,
                height,
                resize,
                filter,
                ..
            } = of.preprocessing;
            (width, height, resize, filter)
        };
        key(self) == key(other)
    }

    /// Decodes a file for this transform: where the decoder can (JPEG, feature `turbojpeg`), no
    /// larger than the transform needs it. Training and serving both decode so, and what they feed
    /// a network is the same, bit for bit.
    ///
    /// # Errors
    /// As [`crate::decode::decode`].
    pub fn decode(&self, bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
        let mut image = RgbImage::default();
        let probe = decode_for(self, bytes, limits, &mut image)?;
        Ok(Decoded { image, probe })
    }

    /// Writes an image of the input size as `[3, height, width]` numbers.
    pub fn normalize_into(&self, image: &RgbImage, input: &mut [f32]) {
        debug_assert_eq!(image.pixels.len(), self.input_len());
        debug_assert_eq!(input.len(), self.input_len());
        let (red, rest) = input.split_at_mut(self.input_len() / 3);
        let (green, blue) = rest.split_at_mut(self.input_len() / 3);
        let [reds, greens, blues] = &*self.normalized;
        let pixels = image.pixels.as_chunks::<3>().0;
        for (((pixel, red), green), blue) in pixels.iter().zip(red).zip(green).zip(blue) {
            *red = reds[usize::from(pixel[0])];
            *green = greens[usize::from(pixel[1])];
            *blue = blues[usize::from(pixel[2])];
        }
    }
}

impl std::fmt::Debug for Transform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Transform")
            .field(&self.preprocessing)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrotype_core::manifest::ResizeFilter;

    fn preprocessing(width: u32, height: u32) -> Preprocessing {
        Preprocessing {
            width,
            height,
            resize: ResizeMode::Stretch,
            filter: ResizeFilter::Bilinear,
            mean: [0.5, 0.4, 0.3],
            std: [0.25, 0.5, 1.0],
        }
    }

    #[test]
    fn an_input_is_planes_of_normalised_values() {
        let transform = Transform::new(&preprocessing(2, 1)).unwrap();
        let image = RgbImage::from_pixels(2, 1, vec![255, 0, 51, 0, 255, 102]).unwrap();
        let expected = [
            (1.0 - 0.5) / 0.25,
            (0.0 - 0.5) / 0.25,
            (0.0 - 0.4) / 0.5,
            (1.0 - 0.4) / 0.5,
            (51.0 / 255.0 - 0.3) / 1.0,
            (102.0 / 255.0 - 0.3) / 1.0_f32,
        ];
        assert_eq!(transform.apply(&image), expected);
    }

    #[test]
    fn an_image_of_the_input_size_is_not_resampled() {
        let pixels = (0..=u8::MAX).cycle().take(10 * 6 * 3).collect();
        let image = RgbImage::from_pixels(10, 6, pixels).unwrap();
        for resize in [ResizeMode::Stretch, ResizeMode::CenterCrop] {
            let transform = Transform::new(&Preprocessing {
                resize,
                ..preprocessing(10, 6)
            })
            .unwrap();
            assert_eq!(transform.resize(&image), image, "{resize:?}");
        }
    }

    #[test]
    fn a_zero_standard_deviation_is_refused() {
        let error = Transform::new(&Preprocessing {
            std: [1.0, 0.0, 1.0],
            ..preprocessing(4, 4)
        })
        .unwrap_err();
        assert!(
            error.to_string().contains("std has the value `0`"),
            "{error}"
        );
    }
}
