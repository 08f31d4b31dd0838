//! Changing colours.

pub(super) mod adaptive;
mod blocks;
mod hue;
pub(super) mod lab;
pub(super) mod statistics;
mod tables;

pub use tables::{ColorTable, Tables};

use crate::RgbImage;

/// A change of each pixel by itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixelwise {
    /// Each byte through its channel's table.
    Tables(Tables),
    /// Away from the pixel's own luma by a factor, as torchvision's `adjust_saturation`.
    Saturation(f32),
    /// The hue shifted by a share of the circle, as torchvision's `adjust_hue`.
    Hue(f32),
    /// Hue, saturation and value shifted on OpenCV's 8-bit scales.
    HueSaturationValue([f32; 3]),
    /// Three times the luma, as OpenCV weighs it.
    Gray,
}

/// Changes of pixels that wait to be done in one pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Pixelwises(Vec<Pixelwise>);

impl Pixelwises {
    /// Adds a change; tables after tables become one.
    pub(super) fn push(&mut self, next: Pixelwise) {
        if let (Some(Pixelwise::Tables(last)), Pixelwise::Tables(next)) = (self.0.last_mut(), &next)
        {
            *last = last.then(next);
            return;
        }
        self.0.push(next);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does all changes, some rows at a time, which stay in the first-level cache.
    pub(super) fn apply(&self, image: &mut RgbImage) {
        const BYTES: usize = 12 * 1024;
        for pixels in image.pixels.chunks_mut(BYTES) {
            for change in &self.0 {
                match change {
                    Pixelwise::Tables(tables) => tables.apply(pixels),
                    Pixelwise::Saturation(factor) => blocks::saturate(pixels, *factor),
                    Pixelwise::Hue(shift) => hue::shift(pixels, *shift),
                    Pixelwise::HueSaturationValue(shifts) => hue::shift_hsv(pixels, *shifts),
                    Pixelwise::Gray => blocks::gray(pixels),
                }
            }
        }
    }
}

/// A byte from a real value, cut off as a cast of a tensor does.
pub(super) fn to_byte(value: f32) -> u8 {
    // `as` saturates at 0 and 255.
    value as u8
}

/// Luma as torchvision weighs it, for bytes.
pub(super) fn luma([red, green, blue]: [u8; 3]) -> f32 {
    0.2989 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
}
