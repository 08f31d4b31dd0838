//! From a file's bytes to an upright image, as Pillow would show it.
//!
//! JPEG is decoded by `zune-jpeg` (with the feature `turbojpeg` by libjpeg-turbo, and scaled down
//! while decoding where a [`Transform`] allows), GIF's first frame by `gif`, the rest by `image`.
//! Differences to Pillow's `exif_transpose` and `convert("RGB")`: 16-bit gray keeps its upper 8 bits rather
//! than being cut off at 255, and a JPEG whose pixel data is damaged is refused.

mod error;
mod gif;
mod jpeg;
mod orientation;
mod sniff;
mod still;
#[cfg(feature = "turbojpeg")]
mod turbo;

use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;

pub use error::{DecodeError, DecodeErrorKind};
use sniff::{Format, sniff};

use crate::RgbImage;
use crate::transform::Transform;

/// The code that decodes JPEG, for keys of what is derived from its pixels: they differ by a level
/// here and there from one to the other.
pub const JPEG_DECODER: &str = if cfg!(feature = "turbojpeg") {
    "libjpeg-turbo"
} else {
    "zune-jpeg"
};

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
    /// The pixels, upright; fewer than the file has when it was decoded for a [`Transform`].
    pub image: RgbImage,
    /// What the file said.
    pub probe: Probe,
}

/// What a file's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The file format: `jpeg`, `png`, `webp`, `bmp`, `gif` or `tiff`.
    pub format: &'static str,
    /// The pixel mode in Pillow's words: `RGB`, `L`, `RGBA`, `P`, `CMYK`, `I;16` …
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
    /// Decodes the pixels as stored, rows of RGB, over what the vector held.
    read: Box<Read<'a>>,
}

type Read<'a> = dyn FnOnce(&DecodeLimits, &mut Vec<u8>) -> Result<(), DecodeError> + 'a;

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

impl Header {
    fn probe(&self, format: Format) -> Probe {
        let (width, height) = if orientation::swaps_sides(self.orientation) {
            (self.height, self.width)
        } else {
            (self.width, self.height)
        };
        Probe {
            format: format.id(),
            mode: self.mode.into(),
            stored_width: self.width,
            stored_height: self.height,
            width,
            height,
        }
    }
}

/// Decodes a file's bytes; the format is told by the first bytes, not by a name.
/// The limits are checked on the header, before the pixels are allocated.
///
/// # Errors
/// When the bytes are no image, a broken one, or one over the limits.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
    let mut image = RgbImage::default();
    let probe = decode_into(bytes, limits, &mut image)?;
    Ok(Decoded { image, probe })
}

/// Reads a file's header only.
///
/// # Errors
/// When the bytes are no image or the header is broken.
pub fn probe(bytes: &[u8]) -> Result<Probe, DecodeError> {
    let format = sniff(bytes)?;
    fenced(format, || Ok(open(format, bytes)?.header.probe(format)))
}

/// Decodes a file over `image`, in the memory that it has; what it holds after an error is no
/// image.
///
/// # Errors
/// As [`decode`].
pub fn decode_into(
    bytes: &[u8],
    limits: &DecodeLimits,
    image: &mut RgbImage,
) -> Result<Probe, DecodeError> {
    decode_at_least(None, bytes, limits, image)
}

/// As [`decode_into`], with as many pixels as `transform` needs: see [`Transform::decode`].
///
/// # Errors
/// As [`decode`].
pub fn decode_for(
    transform: &Transform,
    bytes: &[u8],
    limits: &DecodeLimits,
    image: &mut RgbImage,
) -> Result<Probe, DecodeError> {
    let least = (transform.width(), transform.height());
    decode_at_least(Some(least), bytes, limits, image)
}

/// Decodes a file to its own size, or to a smaller one that has `least` pixels each way.
fn decode_at_least(
    least: Option<(u32, u32)>,
    bytes: &[u8],
    limits: &DecodeLimits,
    image: &mut RgbImage,
) -> Result<Probe, DecodeError> {
    let format = sniff(bytes)?;
    fenced(format, || {
        let Opened { header, read } = open(format, bytes)?;
        limits.check(format, header.width, header.height)?;
        if !decode_by_turbo(format, &header, least, bytes, image) {
            read(limits, &mut image.pixels)?;
            (image.width, image.height) = (header.width, header.height);
        }
        if image.pixels.len() != image.row_bytes() * image.height as usize {
            let detail = "its pixels do not fill its size";
            return Err(DecodeError::corrupt(format, detail));
        }
        orientation::apply(image, header.orientation);
        Ok(header.probe(format))
    })
}

/// Lets libjpeg-turbo decode what it decodes faster; answers whether it did. What it finds fault
/// with is left to the other decoder, whose verdict holds in every build.
#[cfg(feature = "turbojpeg")]
fn decode_by_turbo(
    format: Format,
    header: &Header,
    least: Option<(u32, u32)>,
    bytes: &[u8],
    image: &mut RgbImage,
) -> bool {
    let least = least.map(|(width, height)| {
        if orientation::swaps_sides(header.orientation) {
            (height, width)
        } else {
            (width, height)
        }
    });
    format == Format::Jpeg && turbo::decode(header, least, bytes, image)
}

/// Without libjpeg-turbo nothing is left to it.
#[cfg(not(feature = "turbojpeg"))]
fn decode_by_turbo(
    _: Format,
    _: &Header,
    _: Option<(u32, u32)>,
    _: &[u8],
    _: &mut RgbImage,
) -> bool {
    false
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
