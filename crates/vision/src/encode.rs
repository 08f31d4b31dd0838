//! Writing images as files' bytes.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};

use crate::RgbImage;

/// An image that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("an image of {width}×{height} pixels cannot be written as {format}")]
pub struct EncodeError {
    /// The format asked for: `png` or `jpeg`.
    pub format: &'static str,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What the encoder said.
    pub source: ImageError,
}

fn write(
    image: &RgbImage,
    format: &'static str,
    encoder: impl FnOnce(&mut Vec<u8>) -> Result<(), ImageError>,
) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    encoder(&mut bytes).map_err(|source| EncodeError {
        format,
        width: image.width,
        height: image.height,
        source,
    })?;
    Ok(bytes)
}

/// The image as a PNG file.
///
/// # Errors
/// When the pixels do not match the size.
pub fn png(image: &RgbImage) -> Result<Vec<u8>, EncodeError> {
    check_length(image, "png")?;
    write(image, "png", |bytes| {
        PngEncoder::new(bytes).write_image(
            &image.pixels,
            image.width,
            image.height,
            ExtendedColorType::Rgb8,
        )
    })
}

/// The image as a baseline JPEG file of a quality from 1 (smallest) to 100 (best).
///
/// # Errors
/// When a side is longer than 65,535 pixels, or the pixels do not match the size.
pub fn jpeg(image: &RgbImage, quality: u8) -> Result<Vec<u8>, EncodeError> {
    check_length(image, "jpeg")?;
    write(image, "jpeg", |bytes| {
        JpegEncoder::new_with_quality(bytes, quality.clamp(1, 100)).write_image(
            &image.pixels,
            image.width,
            image.height,
            ExtendedColorType::Rgb8,
        )
    })
}

/// The encoders panic on a wrong length, which the public fields of [`RgbImage`] allow.
fn check_length(image: &RgbImage, format: &'static str) -> Result<(), EncodeError> {
    let length = u64::from(image.width) * u64::from(image.height) * 3;
    if length > 0 && u64::try_from(image.pixels.len()) == Ok(length) {
        return Ok(());
    }
    Err(EncodeError {
        format,
        width: image.width,
        height: image.height,
        source: ImageError::Parameter(image::error::ParameterError::from_kind(
            image::error::ParameterErrorKind::DimensionMismatch,
        )),
    })
}
