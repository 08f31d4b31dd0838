//! JPEG by libjpeg-turbo: faster than `zune-jpeg`, and scaled down while decoding, in the discrete
//! cosine transform, for those who need no more pixels.
//!
//! Whatever it complains of, be it a warning, it leaves alone. So `zune-jpeg` decides in every
//! build which files are refused, and why.

#[cfg(test)]
mod tests;

use turbojpeg::{Decompressor, Image, PixelFormat, ScalingFactor};

use super::{Header, jpeg};
use crate::RgbImage;

/// The shares of the size that are decoded, smallest first; for these there is vectorised code.
const SCALES: [ScalingFactor; 3] = [
    ScalingFactor::ONE_EIGHTH,
    ScalingFactor::ONE_QUARTER,
    ScalingFactor::ONE_HALF,
];

/// Decodes a file of this header over `image`, to at least `least` (width, height) pixels, or to all
/// of them. Answers whether it did; if not, `image` holds no image.
///
/// Each image has a decompressor of its own, which costs microseconds: one that is used again keeps
/// its tables, and a damaged file without any would be decoded by those of the file before.
pub(super) fn decode(
    header: &Header,
    least: Option<(u32, u32)>,
    bytes: &[u8],
    image: &mut RgbImage,
) -> bool {
    // Four components are read as Pillow reads them only by the other decoder.
    if !matches!(header.mode, "L" | "RGB") || !jpeg::has_end(bytes) {
        return false;
    }
    let Ok(mut decompressor) = Decompressor::new() else {
        return false;
    };
    let scale = scale(header, least);
    let width = scale.scale(header.width as usize);
    let height = scale.scale(header.height as usize);
    image.set_size(width as u32, height as u32);
    let target = Image {
        pixels: image.pixels.as_mut_slice(),
        width,
        pitch: width * 3,
        height,
        format: PixelFormat::RGB,
    };
    decompressor.set_scaling_factor(scale).is_ok() && decompressor.decompress(bytes, target).is_ok()
}

/// The smallest share of the size that has at least `least` pixels each way.
fn scale(header: &Header, least: Option<(u32, u32)>) -> ScalingFactor {
    let Some((width, height)) = least else {
        return ScalingFactor::ONE;
    };
    let is_enough = |scale: &ScalingFactor| {
        scale.scale(header.width as usize) >= width as usize
            && scale.scale(header.height as usize) >= height as usize
    };
    SCALES
        .into_iter()
        .find(is_enough)
        .unwrap_or(ScalingFactor::ONE)
}
