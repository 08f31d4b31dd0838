//! Moving pixels and boxes.

mod copy;
mod displacement;
mod matrix;
mod sampling;
mod warp;

use ferrotype_core::config::augment::{BorderMode, Color, Interpolation};

pub use displacement::Displacement;
pub use matrix::Matrix;
pub(super) use warp::Warp;

use super::sample::LabelledBox;

/// What lies beyond an image's edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Border {
    /// How it continues.
    pub mode: BorderMode,
    /// The colour of a constant one.
    pub fill: Color,
}

impl Border {
    /// The outermost pixels repeated.
    pub const REPLICATE: Self = Self {
        mode: BorderMode::Replicate,
        fill: [0; 3],
    };

    /// Position in `0..length` of one that may lie outside; none for a constant border.
    pub(super) fn position(self, position: i64, length: u32) -> Option<usize> {
        let length = i64::from(length);
        let found = match self.mode {
            _ if (0..length).contains(&position) => position,
            BorderMode::Constant => return None,
            BorderMode::Replicate => position.clamp(0, length - 1),
            BorderMode::Reflect => {
                let folded = position.rem_euclid(2 * length);
                folded.min(2 * length - 1 - folded)
            }
            BorderMode::Reflect101 if length == 1 => 0,
            BorderMode::Reflect101 => {
                let folded = position.rem_euclid(2 * (length - 1));
                folded.min(2 * (length - 1) - folded)
            }
            BorderMode::Wrap => position.rem_euclid(length),
        };
        usize::try_from(found).ok()
    }

    /// Whether it shows the image again.
    const fn has_copies(self) -> bool {
        matches!(
            self.mode,
            BorderMode::Reflect | BorderMode::Reflect101 | BorderMode::Wrap
        )
    }
}

/// A change of coordinates, into an image of a size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// From the image's coordinates to the result's.
    pub matrix: Matrix,
    /// The result's width in pixels.
    pub width: u32,
    /// The result's height in pixels.
    pub height: u32,
    /// What is shown beyond the edges.
    pub border: Border,
    /// How colours between pixels are found.
    pub interpolation: Interpolation,
}

impl Geometry {
    /// Moves whole pixels; the result shows nothing beyond the image.
    pub fn rigid(matrix: Matrix, width: u32, height: u32) -> Self {
        Self {
            matrix,
            width,
            height,
            border: Border::REPLICATE,
            interpolation: Interpolation::Linear,
        }
    }

    /// Mirrors an image of this size left to right.
    pub fn horizontal_flip([width, height]: [u32; 2]) -> Self {
        let matrix = Matrix::affine([[-1.0, 0.0, width.into()], [0.0, 1.0, 0.0]]);
        Self::rigid(matrix, width, height)
    }

    /// Mirrors an image of this size top to bottom.
    pub fn vertical_flip([width, height]: [u32; 2]) -> Self {
        let matrix = Matrix::affine([[1.0, 0.0, 0.0], [0.0, -1.0, height.into()]]);
        Self::rigid(matrix, width, height)
    }

    /// Swaps rows and columns of an image of this size.
    pub fn transpose([width, height]: [u32; 2]) -> Self {
        let matrix = Matrix::affine([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]);
        Self::rigid(matrix, height, width)
    }

    /// Turns an image of this size counterclockwise by so many quarters.
    pub fn quarter_turns([width, height]: [u32; 2], quarters: u64) -> Self {
        let (w, h) = (f64::from(width), f64::from(height));
        match quarters % 4 {
            0 => Self::rigid(Matrix::IDENTITY, width, height),
            1 => {
                let matrix = Matrix::affine([[0.0, 1.0, 0.0], [-1.0, 0.0, w]]);
                Self::rigid(matrix, height, width)
            }
            2 => {
                let matrix = Matrix::affine([[-1.0, 0.0, w], [0.0, -1.0, h]]);
                Self::rigid(matrix, width, height)
            }
            _ => {
                let matrix = Matrix::affine([[0.0, -1.0, h], [1.0, 0.0, 0.0]]);
                Self::rigid(matrix, height, width)
            }
        }
    }

    /// The boxes after the change, not clipped. A border that shows the image again shows its
    /// objects again: they are boxes too, where the result has them.
    pub(super) fn boxes(&self, boxes: &mut Vec<LabelledBox>, [width, height]: [u32; 2]) {
        if !self.border.has_copies() || self.looks_inside([width, height]) {
            for own in boxes {
                *own = own.transformed(&self.matrix);
            }
            return;
        }
        let (w, h) = (f64::from(width), f64::from(height));
        let is_mirrored = self.border.mode != BorderMode::Wrap;
        let mut all = Vec::with_capacity(boxes.len());
        for (down, across) in (-1..=1).flat_map(|down| (-1..=1).map(move |across| (down, across))) {
            let axis = |tile: i32, side: f64| {
                if tile != 0 && is_mirrored {
                    [-1.0, f64::from(tile + 1) * side]
                } else {
                    [1.0, f64::from(tile) * side]
                }
            };
            let ([a, c], [e, f]) = (axis(across, w), axis(down, h));
            let tile = Matrix::affine([[a, 0.0, c], [0.0, e, f]]).then(&self.matrix);
            all.extend(
                boxes
                    .iter()
                    .map(|own| own.transformed(&tile))
                    .filter(|own| {
                        let (right, bottom) = (f64::from(self.width), f64::from(self.height));
                        own.x_max > 0.0
                            && own.y_max > 0.0
                            && own.x_min < right
                            && own.y_min < bottom
                    }),
            );
        }
        *boxes = all;
    }

    /// Whether the result shows nothing beyond an image of this size.
    pub(super) fn looks_inside(&self, [width, height]: [u32; 2]) -> bool {
        const SLACK: f64 = 1e-6;
        let Some(inverse) = self.matrix.inverse() else {
            return false;
        };
        let (right, bottom) = (f64::from(self.width), f64::from(self.height));
        let corners = [(0.0, 0.0), (right, 0.0), (0.0, bottom), (right, bottom)];
        corners.into_iter().all(|(x, y)| {
            let [across, down, weight] = inverse.homogeneous(x, y);
            let is_inside =
                |at: f64, side: u32| (-SLACK..=f64::from(side) + SLACK).contains(&(at / weight));
            weight > 0.0 && is_inside(across, width) && is_inside(down, height)
        })
    }
}
