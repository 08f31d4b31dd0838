//! Changing colours.

pub(super) mod adaptive;
pub(super) mod blocks;
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

    /// Does all changes, a block at a time, which stays in the first-level cache.
    pub(super) fn apply(&self, image: &mut RgbImage) {
        if let [Pixelwise::Tables(tables)] = self.0.as_slice() {
            return tables.apply(&mut image.pixels);
        }
        blocks::change_blocks(&mut image.pixels, |planes| {
            for change in &self.0 {
                match change {
                    Pixelwise::Tables(tables) => tables.apply_to_planes(planes),
                    Pixelwise::Saturation(factor) => blocks::saturate(planes, *factor),
                    Pixelwise::Hue(shift) => hue::shift(planes, *shift),
                    Pixelwise::HueSaturationValue(shifts) => hue::shift_hsv(planes, *shifts),
                    Pixelwise::Gray => blocks::gray(planes),
                }
            }
        });
    }
}

/// A byte from a real value, cut off as a cast of a tensor does.
pub(super) fn to_byte(value: f32) -> u8 {
    // `as` saturates at 0 and 255.
    value as u8
}
