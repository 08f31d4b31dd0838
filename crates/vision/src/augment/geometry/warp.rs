//! Several changes of coordinates as one resampling.

use ferrotype_core::config::augment::{BorderMode, Color, Interpolation};
use ferrotype_kernels::vectorized;

use super::matrix::Matrix;
use super::sampling::{FARTHEST, FRACTION_BITS, Positions, Window, fixed};
use super::{Border, Geometry, copy};
use crate::RgbImage;

/// A line that divides the result: `a·x + b·y + c ≥ 0` on the side that is shown.
type Edge = [f64; 3];

/// Changes of coordinates that wait to be done in one resampling.
///
/// They are put together only where that means the same as doing them one after another: the
/// resulting pixel looks up the same place of the image, and what the first change had cut off or
/// filled stays so. Only the blending along such an inner edge is different: it is sharp.
#[derive(Debug, Clone)]
pub(in crate::augment) struct Warp {
    /// From the result's coordinates to the source's.
    inverse: Matrix,
    width: u32,
    height: u32,
    /// The part of the source that the first changes left: column, row, width, height.
    window: [u32; 4],
    border: Border,
    interpolation: Interpolation,
    /// Shows nothing beyond the window.
    is_inside: bool,
    /// Beyond these lines the result has the fill.
    edges: Vec<Edge>,
    fill: Color,
}

impl Warp {
    /// A change of an image of this size; none when it would flatten it.
    pub(in crate::augment) fn new(geometry: &Geometry, [width, height]: [u32; 2]) -> Option<Self> {
        Some(Self {
            inverse: geometry.matrix.inverse()?,
            width: geometry.width,
            height: geometry.height,
            window: [0, 0, width, height],
            border: geometry.border,
            interpolation: geometry.interpolation,
            is_inside: geometry.looks_inside([width, height]),
            edges: Vec::new(),
            fill: geometry.border.fill,
        })
    }

    /// The result's width and height.
    pub(in crate::augment) const fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }

    /// Both changes as one; none when that would mean something else.
    pub(in crate::augment) fn then(&self, next: &Geometry) -> Option<Self> {
        let back = next.matrix.inverse()?;
        let looks_inside = next.looks_inside(self.size());
        let mut both = Self {
            inverse: back.then(&self.inverse),
            width: next.width,
            height: next.height,
            edges: self.edges_seen_through(&back),
            ..self.clone()
        };
        let (is_rigid, next_is_rigid) = (self.inverse.is_rigid(), next.matrix.is_rigid());
        if is_rigid && self.is_inside && self.edges.is_empty() {
            // A crop or a flip: the next one's border begins at what it left.
            both.window = self.shown();
            both.border = next.border;
            both.fill = next.border.fill;
            both.interpolation = next.interpolation;
            both.is_inside = looks_inside;
            return Some(both);
        }
        if !is_rigid && !next_is_rigid && self.interpolation != next.interpolation {
            return None;
        }
        if is_rigid {
            both.interpolation = next.interpolation;
        }
        if looks_inside {
            return Some(both);
        }
        let fill = next.border.fill;
        let is_filled = self.border.mode == BorderMode::Constant;
        let same_fill =
            (self.is_inside && self.edges.is_empty()) || (is_filled && self.fill == fill);
        if next.border.mode != BorderMode::Constant || !same_fill {
            return None;
        }
        both.fill = fill;
        both.edges.extend(edges_of(&back, self.size()));
        self.faces(&back, next).then_some(both)
    }

    /// Whether all of the result lies before the plane of projection, where [`edges_of`] holds.
    fn faces(&self, back: &Matrix, next: &Geometry) -> bool {
        let (right, bottom) = (f64::from(next.width), f64::from(next.height));
        [(0.0, 0.0), (right, 0.0), (0.0, bottom), (right, bottom)]
            .into_iter()
            .all(|(x, y)| back.homogeneous(x, y)[2] > 0.0)
    }

    fn edges_seen_through(&self, back: &Matrix) -> Vec<Edge> {
        let seen = |edge: &Edge| {
            std::array::from_fn(|column| (0..3).map(|row| edge[row] * back.0[row][column]).sum())
        };
        self.edges.iter().map(seen).collect()
    }

    /// The part of the source that a crop or flip shows.
    fn shown(&self) -> [u32; 4] {
        let (x0, y0) = self.inverse.apply(0.0, 0.0);
        let (x1, y1) = self.inverse.apply(self.width.into(), self.height.into());
        [x0.min(x1), y0.min(y1), (x1 - x0).abs(), (y1 - y0).abs()].map(|value| value as u32)
    }

    /// The result.
    pub(in crate::augment) fn apply(&self, source: &mut RgbImage) {
        let mut result = RgbImage {
            width: self.width,
            height: self.height,
            pixels: vec![0; self.width as usize * self.height as usize * 3],
        };
        if self.inverse.is_rigid() && self.edges.is_empty() {
            copy::copy(source, &self.inverse, self.border, self.window, &mut result);
        } else {
            self.resample(source, &mut result);
        }
        *source = result;
    }

    fn resample(&self, source: &RgbImage, result: &mut RgbImage) {
        let window = Window::new(source, self.window, self.border);
        let mut positions = Positions::default();
        let row_bytes = result.row_bytes();
        for (y, row) in (0..self.height).zip(result.pixels.chunks_exact_mut(row_bytes)) {
            let [start, end] = self.shown_span(f64::from(y) + 0.5);
            positions.resize(end - start);
            let Positions { across, down, .. } = &mut positions;
            self.positions(start, f64::from(y) + 0.5, across, down);
            let pixels = row.as_chunks_mut::<3>().0;
            pixels[..start].fill(self.fill);
            pixels[end..].fill(self.fill);
            let shown = &mut row[start * 3..end * 3];
            positions.sample(&window, self.interpolation, shown);
        }
    }

    /// The columns of a row whose centre is at `y` that lie within all edges.
    fn shown_span(&self, y: f64) -> [usize; 2] {
        let width = self.width as usize;
        let (mut start, mut end) = (0.0_f64, f64::from(self.width));
        for &[a, b, c] in &self.edges {
            // a·(x + ½) + rest ≥ 0
            let rest = a * 0.5 + b * y + c;
            if a > 0.0 {
                start = start.max((-rest / a).ceil());
            } else if a < 0.0 {
                end = end.min((rest / -a).floor() + 1.0);
            } else if rest < 0.0 {
                return [0, 0];
            }
        }
        // `as` saturates.
        let start = (start as usize).min(width);
        [start, (end.max(0.0) as usize).clamp(start, width)]
    }

    /// Where the pixels of a row, from column `start` on, look in the window, in fixed point.
    fn positions(&self, start: usize, y: f64, across: &mut [i32], down: &mut [i32]) {
        let [left, top, ..] = self.window.map(f64::from);
        let to_window = Matrix::shift(-left - 0.5, -top - 0.5);
        let inverse = self.inverse.then(&to_window);
        let first = inverse.homogeneous(start as f64 + 0.5, y);
        let step = inverse.0.map(|row| row[0]);
        if inverse.is_affine() {
            affine_positions(first[0], step[0], across);
            affine_positions(first[1], step[1], down);
        } else {
            projective_positions(first, step, across, down);
        }
    }
}

/// The four edges of an image of a size that is looked at through `back`.
fn edges_of(back: &Matrix, [width, height]: [u32; 2]) -> [Edge; 4] {
    let [x, y, weight] = back.0;
    let far = |side: u32, row: [f64; 3]| -> Edge {
        std::array::from_fn(|column| f64::from(side) * weight[column] - row[column])
    };
    [x, y, far(width, x), far(height, y)]
}

/// Bits after the point of the sums that positions are rounded from.
const SUM_BITS: u32 = 32;

/// `first + index · step`, in fixed point.
fn affine_positions(first: f64, step: f64, positions: &mut [i32]) {
    const ONE: f64 = (1_u64 << SUM_BITS) as f64;
    const ROUND: i64 = 1 << (SUM_BITS - FRACTION_BITS - 1);
    let last = first + step * positions.len() as f64;
    if first.abs().max(last.abs()) > FARTHEST || !(first + last).is_finite() {
        // A position that nothing is near to.
        positions.fill(i32::MIN / 2);
        return;
    }
    step_by((first * ONE) as i64 + ROUND, (step * ONE) as i64, positions);
}

vectorized! {
    /// `first + index · step` without the bits that positions do not have.
    fn step_by(first: i64, step: i64, positions: &mut [i32]) {
        let mut at = first;
        for position in positions {
            *position = (at >> (SUM_BITS - FRACTION_BITS)) as i32;
            at = at.wrapping_add(step);
        }
    }

    fn projective_positions(
        first: [f64; 3],
        step: [f64; 3],
        across: &mut [i32],
        down: &mut [i32],
    ) {
        for (index, (across, down)) in (0_i32..).zip(across.iter_mut().zip(down)) {
            let at = |axis: usize| first[axis] + step[axis] * f64::from(index);
            let weight = 1.0 / at(2);
            *across = fixed(at(0) * weight);
            *down = fixed(at(1) * weight);
        }
    }
}
