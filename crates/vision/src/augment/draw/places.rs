//! Transforms that move pixels.

use ferrotype_core::config::augment::{
    Affine, BorderMode, CenterCrop, CoarseDropout, CropPadding, ElasticTransform, Fill,
    GridDistortion, Interpolation, OpticalDistortion, PadIfNeeded, Perspective, RandomCrop,
    RandomErasing, RandomResizedCrop, Rotate, ShiftScaleRotate,
};

use super::Draw;
use crate::augment::erase::{Hole, HoleFill};
use crate::augment::filter;
use crate::augment::geometry::{Border, Displacement, Geometry, Matrix};
use crate::augment::noise;
use crate::augment::operation::{Operation, crop};
use crate::random;

/// An affine change around the centre, in Albumentations' order: scaled, rotated (in degrees,
/// counterclockwise), sheared (in degrees), shifted.
pub(super) fn around_center(
    [width, height]: [f64; 2],
    scale: [f64; 2],
    degrees: f64,
    shear: [f64; 2],
    shift: [f64; 2],
) -> Matrix {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let [shear_x, shear_y] = shear.map(|degrees| degrees.to_radians().tan());
    Matrix::shift(-width / 2.0, -height / 2.0)
        .then(&Matrix::scale(scale[0], scale[1]))
        .then(&Matrix::affine([[cos, sin, 0.0], [-sin, cos, 0.0]]))
        .then(&Matrix::affine([[1.0, shear_x, 0.0], [shear_y, 1.0, 0.0]]))
        .then(&Matrix::shift(
            width / 2.0 + shift[0],
            height / 2.0 + shift[1],
        ))
}

impl Draw<'_> {
    fn same_size(&mut self, matrix: Matrix, border: Border, interpolation: Interpolation) {
        let [width, height] = self.size;
        self.geometry(Geometry {
            matrix,
            width,
            height,
            border,
            interpolation,
        });
    }

    pub(super) fn rotate(&mut self, own: &Rotate) {
        let degrees = self.between(own.limit);
        let size = [self.width(), self.height()];
        let matrix = around_center(size, [1.0; 2], degrees, [0.0; 2], [0.0; 2]);
        let border = Self::border(own.border_mode, own.fill);
        self.same_size(matrix, border, own.interpolation);
    }

    pub(super) fn affine(&mut self, own: &Affine) {
        let size = [self.width(), self.height()];
        let shift = size.map(|side| (self.between(own.translate_percent) * side).trunc());
        let shear = [(); 2].map(|()| -self.between(own.shear));
        let mut scale = [(); 2].map(|()| self.between(own.scale));
        if own.keep_ratio {
            scale[1] = scale[0];
        }
        let matrix = around_center(size, scale, self.between(own.rotate), shear, shift);
        let border = Self::border(own.border_mode, own.fill);
        self.same_size(matrix, border, own.interpolation);
    }

    pub(super) fn shift_scale_rotate(&mut self, own: &ShiftScaleRotate) {
        let size = [self.width(), self.height()];
        let shift = size.map(|side| (self.between(own.shift_limit) * side).trunc());
        let scale = [(); 2].map(|()| 1.0 + self.between(own.scale_limit));
        let degrees = self.between(own.rotate_limit);
        let matrix = around_center(size, scale, degrees, [0.0; 2], shift);
        let border = Self::border(own.border_mode, own.fill);
        self.same_size(matrix, border, own.interpolation);
    }

    pub(super) fn perspective(&mut self, own: &Perspective) {
        // As far as a corner moves at most, in shares of the side.
        const FARTHEST: f64 = 0.32;
        let deviation = self.between(own.scale);
        let (w, h) = (self.width(), self.height());
        let mut inwards = || (random::normal(self.rng) * deviation).abs() % FARTHEST;
        let moves: [[f64; 2]; 4] = std::array::from_fn(|_| [inwards(), inwards()]);
        let [a, b, c, d] = moves.map(|[x, y]| (x * w, y * h));
        let corners = [a, (w - b.0, b.1), (w - c.0, h - c.1), (d.0, h - d.1)];
        let to = [(0.0, 0.0), (w, 0.0), (w, h), (0.0, h)];
        if let Some(matrix) = Matrix::between(corners, to) {
            let border = Self::border(own.border_mode, own.fill);
            self.same_size(matrix, border, own.interpolation);
        }
    }

    pub(super) fn random_resized_crop(&mut self, own: &RandomResizedCrop) {
        let size = self.asked_size([own.width, own.height]);
        let part = self.resized_part(own);
        let shrinks = part[2] > size[0] || part[3] > size[1];
        if shrinks && own.antialias {
            self.size = size;
            self.push(Operation::ResizedCrop { part, size });
            return;
        }
        if part != [0, 0, self.size[0], self.size[1]] {
            self.geometry(crop(part));
        }
        if [part[2], part[3]] != size {
            let scale = |axis: usize| f64::from(size[axis]) / f64::from(part[axis + 2]);
            self.geometry(Geometry {
                matrix: Matrix::scale(scale(0), scale(1)),
                ..Geometry::rigid(Matrix::IDENTITY, size[0], size[1])
            });
        }
    }

    /// A part of random area and shape, as `[column, row, width, height]`; after ten draws that do
    /// not fit the largest of the allowed shape in the centre.
    fn resized_part(&mut self, own: &RandomResizedCrop) -> [u32; 4] {
        let (w, h) = (self.width(), self.height());
        for _ in 0..10 {
            let area = self.between(own.scale) * w * h;
            let ratio = self.between(own.ratio.map(f64::ln)).exp();
            let width = (area * ratio).sqrt().round_ties_even();
            let height = (area / ratio).sqrt().round_ties_even();
            if (1.0..=w).contains(&width) && (1.0..=h).contains(&height) {
                let [width, height] = [width as u32, height as u32];
                let top = random::below(self.rng, u64::from(self.size[1] - height) + 1) as u32;
                let left = random::below(self.rng, u64::from(self.size[0] - width) + 1) as u32;
                return [left, top, width, height];
            }
        }
        let [low, high] = own.ratio;
        let (width, height) = match w / h {
            ratio if ratio < low => (w, (w / low).round().clamp(1.0, h)),
            ratio if ratio > high => ((h * high).round().clamp(1.0, w), h),
            _ => (w, h),
        };
        let [width, height] = [width as u32, height as u32];
        [
            (self.size[0] - width) / 2,
            (self.size[1] - height) / 2,
            width,
            height,
        ]
    }

    /// A size in which 0 stands for the image's.
    fn asked_size(&self, asked: [u32; 2]) -> [u32; 2] {
        std::array::from_fn(|axis| match asked[axis] {
            0 => self.size[axis],
            side => side,
        })
    }

    pub(super) fn random_crop(&mut self, own: &RandomCrop) {
        let size = self.asked_size([own.width, own.height]);
        let start = [0, 1].map(|axis| {
            let padded = i64::from(self.size[axis]) + 2 * i64::from(own.padding);
            // What the padding leaves too small is padded on both sides.
            let room = padded - i64::from(size[axis]);
            let offset = if room >= 0 {
                random::below(self.rng, room as u64 + 1) as i64
            } else {
                -(-room / 2)
            };
            offset - i64::from(own.padding)
        });
        self.window(start, size, Self::border(own.border_mode, own.fill));
    }

    pub(super) fn crop_padding(&mut self, own: &CropPadding) {
        let start = self.size.map(|side| {
            let padding = own.pixels(side);
            let shift = random::below(self.rng, 2 * u64::from(padding) + 1);
            shift as i64 - i64::from(padding)
        });
        let border = Self::border(BorderMode::Reflect101, [0; 3]);
        self.window(start, self.size, border);
    }

    pub(super) fn center_crop(&mut self, own: &CenterCrop) {
        let size = self.asked_size([own.width, own.height]);
        // Rounded towards 0: half a pixel goes to the right and the bottom.
        let start = [0, 1].map(|axis| (i64::from(self.size[axis]) - i64::from(size[axis])) / 2);
        self.window(start, size, Self::border(own.border_mode, own.fill));
    }

    pub(super) fn pad_if_needed(&mut self, own: &PadIfNeeded) {
        let size = [
            own.min_width.max(self.size[0]),
            own.min_height.max(self.size[1]),
        ];
        let start = [0, 1].map(|axis| (i64::from(self.size[axis]) - i64::from(size[axis])) / 2);
        self.window(start, size, Self::border(own.border_mode, own.fill));
    }

    /// Looks at a window of a size that begins at this column and row.
    fn window(&mut self, [left, top]: [i64; 2], [width, height]: [u32; 2], border: Border) {
        if [left, top] == [0, 0] && [width, height] == self.size {
            return;
        }
        self.geometry(Geometry {
            matrix: Matrix::shift(-left as f64, -top as f64),
            width,
            height,
            border,
            interpolation: Interpolation::Linear,
        });
    }

    pub(super) fn grid_distortion(&mut self, own: &GridDistortion) {
        let cells = own.num_steps.min(self.size[0]).min(self.size[1]) as usize;
        let mut stretches = || -> Vec<f64> {
            (0..=cells)
                .map(|_| {
                    1.0 + random::uniform(self.rng, own.distort_limit[0], own.distort_limit[1])
                })
                .collect()
        };
        let (across, down) = (stretches(), stretches());
        let columns = grid_line(self.size[0] as usize, cells, across);
        let rows = grid_line(self.size[1] as usize, cells, down);
        let displacement = Displacement {
            columns: columns.repeat(rows.len()),
            rows: repeat_each(&rows, columns.len()),
            border: Self::border(own.border_mode, own.fill),
            interpolation: own.interpolation,
        };
        self.push(Operation::Displacement(displacement));
    }

    pub(super) fn elastic_transform(&mut self, own: &ElasticTransform) {
        let (width, height) = (self.size[0] as usize, self.size[1] as usize);
        // OpenCV's width of a Gaussian on real numbers.
        let weights = filter::gaussian(own.sigma, (own.sigma * 8.0 + 1.0).round() as usize | 1);
        let mut field = || {
            let mut field = noise::normals(self.rng, width * height);
            let largest = field
                .iter()
                .fold(0.0_f32, |most, value| most.max(value.abs()));
            let factor = own.alpha as f32 / largest.max(1e-6);
            filter::smooth_plane(&mut field, width, &weights);
            field.iter_mut().for_each(|value| *value *= factor);
            field
        };
        let (mut columns, mut rows) = (field(), field());
        for (index, (column, row)) in columns.iter_mut().zip(&mut rows).enumerate() {
            *column += (index % width) as f32;
            *row += (index / width) as f32;
        }
        self.push(Operation::Displacement(Displacement {
            columns,
            rows,
            border: Self::border(own.border_mode, own.fill),
            interpolation: own.interpolation,
        }));
    }

    pub(super) fn optical_distortion(&mut self, own: &OpticalDistortion) {
        let strength = self.between(own.distort_limit);
        let (columns, rows) = lens(self.size, strength);
        self.push(Operation::Displacement(Displacement {
            columns,
            rows,
            border: Self::border(own.border_mode, own.fill),
            interpolation: own.interpolation,
        }));
    }

    pub(super) fn coarse_dropout(&mut self, own: &CoarseDropout) {
        let count = self.whole(own.num_holes_range);
        let holes = (0..count).filter_map(|_| {
            let height = self.hole_side(own.hole_height_range, self.size[1]);
            let width = self.hole_side(own.hole_width_range, self.size[0]);
            self.hole(width, height)
        });
        let holes = holes.collect();
        let fill = HoleFill::Color(own.fill);
        self.push(Operation::Erase { holes, fill });
    }

    /// A side in pixels, or below 1 as a share.
    fn hole_side(&mut self, limits: [f64; 2], side: u32) -> u32 {
        if limits[1] >= 1.0 {
            return self.whole(limits.map(|limit| limit as u32)).min(side);
        }
        (f64::from(side) * self.between(limits)) as u32
    }

    /// A hole of this size somewhere.
    fn hole(&mut self, width: u32, height: u32) -> Option<Hole> {
        let [right, bottom] = [
            self.size[0].checked_sub(width)?,
            self.size[1].checked_sub(height)?,
        ];
        let y_min = random::below(self.rng, u64::from(bottom) + 1) as u32;
        let x_min = random::below(self.rng, u64::from(right) + 1) as u32;
        Some(Hole {
            x_min,
            y_min,
            x_max: x_min + width,
            y_max: y_min + height,
        })
    }

    pub(super) fn random_erasing(&mut self, own: &RandomErasing) {
        let (w, h) = (self.width(), self.height());
        for _ in 0..10 {
            let area = self.between(own.scale) * w * h;
            let ratio = self.between(own.ratio.map(f64::ln)).exp();
            let height = (area * ratio).sqrt().round_ties_even();
            let width = (area / ratio).sqrt().round_ties_even();
            if height >= h || width >= w {
                continue;
            }
            let fill = match own.value {
                Fill::Color(color) => HoleFill::Color(color),
                Fill::Random(_) => HoleFill::Noise(self.seed()),
            };
            let holes = self.hole(width as u32, height as u32).into_iter().collect();
            return self.push(Operation::Erase { holes, fill });
        }
    }
}

/// Each value so many times.
fn repeat_each(values: &[f32], times: usize) -> Vec<f32> {
    let mut repeated = Vec::with_capacity(values.len() * times);
    for &value in values {
        repeated.resize(repeated.len() + times, value);
    }
    repeated
}

/// Where the pixels along a side look: cell by cell at an even pace, which is another for each
/// cell; together as long as the side (Albumentations' `normalized`).
pub(super) fn grid_line(side: usize, cells: usize, mut stretches: Vec<f64>) -> Vec<f32> {
    let step = side / cells;
    let last = side.min((cells + 1) * step) - cells * step;
    if let Some(rest) = stretches.last_mut() {
        *rest *= last as f64 / step as f64;
    }
    let sum: f64 = stretches.iter().sum();
    let scale = side as f64 / step as f64 / sum;
    let mut line = vec![0.0; side];
    let mut from = 0.0;
    for (cell, stretch) in stretches.iter().enumerate() {
        let start = cell * step;
        let end = (start + step).min(side);
        let to = from + step as f64 * stretch * scale;
        let gaps = end.saturating_sub(start).saturating_sub(1).max(1) as f64;
        for (index, position) in line[start..end].iter_mut().enumerate() {
            *position = (from + (to - from) * index as f64 / gaps) as f32;
        }
        from = to;
    }
    line
}

/// Where pixels look through a lens with two radial coefficients of this strength: OpenCV's
/// `initUndistortRectifyMap` with the sides as focal lengths and its own new camera.
pub(super) fn lens([width, height]: [u32; 2], strength: f64) -> (Vec<f32>, Vec<f32>) {
    let (w, h) = (f64::from(width), f64::from(height));
    let positions = (0..height).flat_map(|row| (0..width).map(move |column| (column, row)));
    positions
        .map(|(column, row)| {
            // The model's centre is between the middle pixels, the result's is their centre.
            let x = (f64::from(column) - (w - 1.0) / 2.0) / w;
            let y = (f64::from(row) - (h - 1.0) / 2.0) / h;
            let squared = x * x + y * y;
            let factor = 1.0 + strength * squared + strength * squared * squared;
            (
                (x * factor * w + w / 2.0) as f32,
                (y * factor * h + h / 2.0) as f32,
            )
        })
        .unzip()
}
