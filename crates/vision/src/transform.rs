//! From an image to a network's input. Training's evaluation and serving call this same code.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use ferrotype_core::manifest::{Preprocessing, ResizeFilter, ResizeMode};

use crate::RgbImage;

/// Preprocessing that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the preprocessing is wrong: {reason}")]
pub struct TransformError {
    /// Which field is out of range.
    pub reason: String,
}

/// From an upright image to the network's input `[3, height, width]`:
/// resize, divide by 255, subtract the mean, divide by the standard deviation.
#[derive(Debug, Clone)]
pub struct Transform {
    preprocessing: Preprocessing,
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
        Ok(Self {
            preprocessing: preprocessing.clone(),
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

    /// The image at the input size.
    pub fn resize(&self, image: &RgbImage) -> RgbImage {
        stretch(image, self.width(), self.height())
    }

    /// Writes an image of the input size as `[3, height, width]` numbers.
    pub fn normalize_into(&self, image: &RgbImage, input: &mut [f32]) {
        let plane = image.width as usize * image.height as usize;
        for (channel, values) in input.chunks_exact_mut(plane).take(3).enumerate() {
            let (mean, std) = (
                self.preprocessing.mean[channel],
                self.preprocessing.std[channel],
            );
            for (value, pixel) in values.iter_mut().zip(image.pixels.chunks_exact(3)) {
                *value = (f32::from(pixel[channel]) / 255.0 - mean) / std;
            }
        }
    }
}

/// The image at another size; the aspect ratio is not kept.
pub(crate) fn stretch(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    if (image.width, image.height) == (width, height) {
        return image.clone();
    }
    let _ = (ResizeMode::Stretch, ResizeFilter::Bilinear);
    let source = ImageRef::new(image.width, image.height, &image.pixels, PixelType::U8x3);
    let mut target = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    if let Ok(source) = source {
        let _ = Resizer::new().resize(&source, &mut target, &options);
    }
    RgbImage {
        width,
        height,
        pixels: target.into_vec(),
    }
}

/// A small copy whose longer side has at most `side` pixels; a smaller image stays as it is.
pub fn thumbnail(image: &RgbImage, side: u32) -> RgbImage {
    let longer = image.width.max(image.height);
    let side = side.max(1);
    if longer <= side {
        return image.clone();
    }
    let scaled = |length: u32| {
        let rounded =
            (u64::from(length) * u64::from(side) + u64::from(longer) / 2) / u64::from(longer);
        (rounded as u32).clamp(1, side)
    };
    stretch(image, scaled(image.width), scaled(image.height))
}
