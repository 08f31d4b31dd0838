//! From a file's bytes to an upright image, as Pillow would show it.
//!
//! JPEG is decoded by `zune-jpeg`, GIF's first frame by `gif`, the rest by `image`. Differences
//! to Pillow's `exif_transpose` and `convert("RGB")`: 16-bit gray keeps its upper 8 bits rather
//! than being cut off at 255, and a JPEG whose pixel data is damaged is refused.

mod error;
mod gif;
mod jpeg;
mod orientation;
mod sniff;
mod still;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;

pub use error::{DecodeError, DecodeErrorKind};
use sniff::{Format, sniff};

use crate::RgbImage;

/// What an image may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// The most pixels (width × height) that are decoded.
    pub max_pixels: u64,
}

impl DecodeLimits {
    fn check(&self, format: Format, width: u32, height: u32) -> Result<(), DecodeError> {
        let (width, height) = (u64::from(width), u64::from(height));
        if width * height > self.max_pixels {
            let limit = self.max_pixels;
            return Err(DecodeError::too_many_pixels(format, width, height, limit));
        }
        Ok(())
    }
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

/// A file whose header was read.
struct Opened<'a> {
    header: Header,
    /// Decodes the pixels as stored, rows of RGB.
    read: Box<Read<'a>>,
}

type Read<'a> = dyn FnOnce(&DecodeLimits) -> Result<Vec<u8>, DecodeError> + 'a;

/// What a header tells; both sides are at least 1.
struct Header {
    mode: &'static str,
    width: u32,
    height: u32,
    orientation: Orientation,
}

fn open(format: Format, bytes: &[u8]) -> Result<Opened<'_>, DecodeError> {
    match format {
        Format::Bmp => still::open_bmp(bytes),
        Format::Gif => gif::open(bytes),
        Format::Jpeg => jpeg::open(bytes),
        Format::Png => still::open_png(bytes),
        Format::Tiff => still::open_tiff(bytes),
        Format::Webp => still::open_webp(bytes),
    }
}

/// Decodes a file's bytes; the format is told by the first bytes, not by a name.
/// The limits are checked on the header, before the pixels are allocated.
///
/// # Errors
/// When the bytes are no image, a broken one, or one over the limits.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
    let format = sniff(bytes)?;
    fenced(format, || {
        let Opened { header, read } = open(format, bytes)?;
        limits.check(format, header.width, header.height)?;
        let pixels = read(limits)?;
        let stored = RgbImage::from_pixels(header.width, header.height, pixels)
            .ok_or_else(|| DecodeError::corrupt(format, "its pixels do not fill its size"))?;
        Ok(Decoded {
            image: orientation::apply(stored, header.orientation),
            format: format.id(),
            mode: header.mode.into(),
            stored_width: header.width,
            stored_height: header.height,
        })
    })
}

/// Reads a file's header only.
///
/// # Errors
/// When the bytes are no image or the header is broken.
pub fn probe(bytes: &[u8]) -> Result<Probe, DecodeError> {
    let format = sniff(bytes)?;
    fenced(format, || {
        let header = open(format, bytes)?.header;
        let (width, height) = if orientation::swaps_sides(header.orientation) {
            (header.height, header.width)
        } else {
            (header.width, header.height)
        };
        Ok(Probe {
            format: format.id(),
            mode: header.mode.into(),
            stored_width: header.width,
            stored_height: header.height,
            width,
            height,
        })
    })
}

/// Runs a decoder so that a panic in it, which a hostile file may cause, is an error.
fn fenced<T>(
    format: Format,
    work: impl FnOnce() -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    // The closure owns all that it changes, and on a panic none of it is looked at again.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(DecodeError::corrupt(format, "its decoder gave up")))
}
