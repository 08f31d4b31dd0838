//! Writing images as files' bytes.

use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};

use crate::RgbImage;

/// An image that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("an image of {width}×{height} pixels cannot be written as {format}")]
pub struct EncodeError {
    /// The format asked for: `png`, `jpeg` or `webp`.
    pub format: &'static str,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What the encoder said.
    pub source: ImageError,
}

/// A format that images are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Lossless.
    Png,
    /// Of quality 90.
    Jpeg,
    /// Lossless.
    Webp,
}

impl FileFormat {
    /// The endings that [`FileFormat::of_path`] knows.
    pub const ENDINGS: [&'static str; 4] = ["png", "jpg", "jpeg", "webp"];

    /// The format that a path's ending names, in any case.
    pub fn of_path(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        match ending.as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::Webp),
            _ => None,
        }
    }

    /// The image as a file of the format.
    ///
    /// # Errors
    /// As [`png`], [`jpeg`] and [`webp`].
    pub fn encode(self, image: &RgbImage) -> Result<Vec<u8>, EncodeError> {
        match self {
            Self::Png => png(image),
            Self::Jpeg => jpeg(image, 90),
            Self::Webp => webp(image),
        }
    }
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

/// The image as a lossless WebP file.
///
/// # Errors
/// When a side is longer than 16,384 pixels, or the pixels do not match the size.
pub fn webp(image: &RgbImage) -> Result<Vec<u8>, EncodeError> {
    check_length(image, "webp")?;
    write(image, "webp", |bytes| {
        WebPEncoder::new_lossless(bytes).write_image(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecodeLimits, decode};

    #[test]
    fn a_path_names_the_format_that_is_written() {
        let mut image = RgbImage::filled(40, 30, [200, 10, 10]);
        image.set_pixel(3, 4, [0, 0, 255]);
        for (ending, format) in FileFormat::ENDINGS
            .into_iter()
            .zip(["png", "jpeg", "jpeg", "webp"])
        {
            let path = format!("a.b/sheet.{}", ending.to_uppercase());
            let chosen = FileFormat::of_path(Path::new(&path)).unwrap();
            let bytes = chosen.encode(&image).unwrap();
            let decoded = decode(&bytes, &DecodeLimits::default()).unwrap();
            assert_eq!(decoded.probe.format, format);
            match chosen {
                FileFormat::Jpeg => assert_eq!(decoded.image.width, 40),
                _ => assert_eq!(decoded.image, image),
            }
        }
        for path in ["sheet", "sheet.gif", "png", "."] {
            assert_eq!(FileFormat::of_path(Path::new(path)), None, "{path}");
        }
    }
}
