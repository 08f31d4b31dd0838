//! Changes that are no matrix: each pixel of the result looks at a place of its own.

use ferrotype_core::config::augment::Interpolation;
use ferrotype_kernels::vectorized;

use super::Border;
use super::sampling::{Positions, Window, fixed};
use crate::RgbImage;
use crate::augment::sample::LabelledBox;

/// Where each pixel of the result looks, as OpenCV's `remap` takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Displacement {
    /// `[height × width]` columns, whole at the pixels' centres.
    pub columns: Vec<f32>,
    /// `[height × width]` rows, whole at the pixels' centres.
    pub rows: Vec<f32>,
    /// What is shown beyond the edges.
    pub border: Border,
    /// How colours between pixels are found.
    pub interpolation: Interpolation,
}

impl Displacement {
    /// Changes the image; its size stays. A map of another size leaves it as it is.
    pub(in crate::augment) fn apply(&self, image: &mut RgbImage) {
        let width = image.width as usize;
        let count = width * image.height as usize;
        if self.columns.len() != count || self.rows.len() != count {
            return;
        }
        let window = Window::new(image, [0, 0, image.width, image.height], self.border);
        let mut result = vec![0; image.pixels.len()];
        let mut places = Positions::default();
        places.resize(width);
        let lines = result.chunks_exact_mut(image.row_bytes());
        let positions = self
            .columns
            .chunks_exact(width)
            .zip(self.rows.chunks_exact(width));
        for (line, (columns, rows)) in lines.zip(positions) {
            fix(columns, &mut places.across);
            fix(rows, &mut places.down);
            places.sample(&window, self.interpolation, line);
        }
        image.pixels = result;
    }

    /// The boxes around the pixels that look into each box, as Albumentations finds them by masks.
    /// A box that no pixel looks into becomes empty.
    pub(in crate::augment) fn boxes(&self, boxes: &mut [LabelledBox], width: u32) {
        for own in boxes {
            let columns = own.x_min.round() as i64..own.x_max.round() as i64;
            let rows = own.y_min.round() as i64..own.y_max.round() as i64;
            let mut found: Option<[usize; 4]> = None;
            for (index, (&x, &y)) in self.columns.iter().zip(&self.rows).enumerate() {
                if !columns.contains(&(x.round() as i64)) || !rows.contains(&(y.round() as i64)) {
                    continue;
                }
                let (column, row) = (index % width as usize, index / width as usize);
                let [left, top, right, bottom] = found.unwrap_or([column, row, column, row]);
                found = Some([left.min(column), top, right.max(column), bottom.max(row)]);
            }
            let [left, top, right, bottom] = found.map_or([0; 4], |[left, top, right, bottom]| {
                [left, top, right + 1, bottom + 1]
            });
            (own.x_min, own.y_min) = (left as f64, top as f64);
            (own.x_max, own.y_max) = (right as f64, bottom as f64);
        }
    }
}

vectorized! {
    /// Positions in fixed point.
    fn fix(values: &[f32], positions: &mut [i32]) {
        for (position, &value) in positions.iter_mut().zip(values) {
            *position = fixed(value.into());
        }
    }
}
