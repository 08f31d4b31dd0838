//! Images with boxes.

use super::geometry::Matrix;
use crate::RgbImage;

/// A box around an object, in pixels from the image's top left; `0` to `width` is the whole image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledBox {
    /// Left edge.
    pub x_min: f64,
    /// Top edge.
    pub y_min: f64,
    /// Right edge.
    pub x_max: f64,
    /// Bottom edge.
    pub y_max: f64,
    /// Class index.
    pub label: u32,
}

impl LabelledBox {
    /// Area in square pixels.
    pub fn area(&self) -> f64 {
        (self.x_max - self.x_min).max(0.0) * (self.y_max - self.y_min).max(0.0)
    }

    /// The part of it inside of an image.
    #[must_use]
    pub fn clipped(&self, width: u32, height: u32) -> Self {
        let (width, height) = (f64::from(width), f64::from(height));
        Self {
            x_min: self.x_min.clamp(0.0, width),
            y_min: self.y_min.clamp(0.0, height),
            x_max: self.x_max.clamp(0.0, width),
            y_max: self.y_max.clamp(0.0, height),
            label: self.label,
        }
    }

    /// The box around its four corners after a change of coordinates (Albumentations'
    /// `largest_box`).
    pub(super) fn transformed(&self, matrix: &Matrix) -> Self {
        let corners = [
            (self.x_min, self.y_min),
            (self.x_max, self.y_min),
            (self.x_max, self.y_max),
            (self.x_min, self.y_max),
        ];
        let mut around = Self {
            x_min: f64::INFINITY,
            y_min: f64::INFINITY,
            x_max: f64::NEG_INFINITY,
            y_max: f64::NEG_INFINITY,
            label: self.label,
        };
        for (x, y) in corners.map(|(x, y)| matrix.apply(x, y)) {
            around.x_min = around.x_min.min(x);
            around.y_min = around.y_min.min(y);
            around.x_max = around.x_max.max(x);
            around.y_max = around.y_max.max(y);
        }
        around
    }
}

/// Which boxes are kept after each change, with the names of Albumentations' `BboxParams`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoxRules {
    /// The least area in square pixels.
    pub min_area: f64,
    /// The least share of its area that a box keeps in one change.
    pub min_visibility: f64,
    /// The least width in pixels.
    pub min_width: f64,
    /// The least height in pixels.
    pub min_height: f64,
}

impl Default for BoxRules {
    /// Every box of at least a pixel's width and height.
    fn default() -> Self {
        Self {
            min_area: 0.0,
            min_visibility: 0.0,
            min_width: 1.0,
            min_height: 1.0,
        }
    }
}

impl BoxRules {
    /// The boxes that stay, clipped to the image.
    pub(super) fn keep(&self, boxes: &mut Vec<LabelledBox>, width: u32, height: u32) {
        // As Albumentations, which compares with this slack.
        const SLACK: f64 = 1e-7;
        boxes.retain_mut(|full| {
            let area = full.area();
            *full = full.clipped(width, height);
            let visible = full.area();
            area >= SLACK
                && visible >= self.min_area - SLACK
                && visible / (area + SLACK) >= self.min_visibility
                && full.x_max - full.x_min >= self.min_width - SLACK
                && full.y_max - full.y_min >= self.min_height - SLACK
        });
    }
}

/// An image and the boxes around its objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The pixels.
    pub image: RgbImage,
    /// The objects.
    pub boxes: Vec<LabelledBox>,
}
