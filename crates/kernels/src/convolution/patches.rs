//! The windows of an image as rows of a matrix, and back.

use std::ops::Range;

use super::Convolution;
use crate::vectorized::vectorized;

/// The part of a window's rows that lies in the image.
struct Columns {
    /// Taps of a kernel's row that lie in the image.
    taps: Range<usize>,
    /// The column under the first of them.
    x: usize,
}

/// Walks over the output pixels of a batch, row by row.
struct Cursor {
    /// The first row of its image among the rows of the batch.
    image_row: usize,
    y: usize,
    x: usize,
}

impl Cursor {
    fn at(shape: &Convolution, pixel: usize) -> Self {
        let (image, within) = (pixel / shape.out_pixels(), pixel % shape.out_pixels());
        Self {
            image_row: image * shape.input[0],
            y: within / shape.output[1],
            x: within % shape.output[1],
        }
    }

    #[inline(always)]
    fn advance(&mut self, shape: &Convolution) {
        self.x += 1;
        if self.x == shape.output[1] {
            self.x = 0;
            self.y += 1;
        }
        if self.y == shape.output[0] {
            self.y = 0;
            self.image_row += shape.input[0];
        }
    }

    /// The row of the batch that row `tap` of the window lies over; none above or below the
    /// image.
    #[inline(always)]
    fn row(&self, shape: &Convolution, tap: usize) -> Option<usize> {
        (self.y * shape.stride[0] + tap * shape.dilation[0])
            .checked_sub(shape.padding[0])
            .filter(|y| *y < shape.input[0])
            .map(|y| self.image_row + y)
    }

    /// The columns that the window lies over; none beside the image.
    #[inline(always)]
    fn columns(&self, shape: &Convolution) -> Option<Columns> {
        // Tap t lies over column `left + t · dilation − padding`.
        let left = self.x * shape.stride[1];
        let (padding, dilation) = (shape.padding[1], shape.dilation[1]);
        let first = padding.saturating_sub(left).div_ceil(dilation);
        let end = (shape.input[1] + padding)
            .saturating_sub(left)
            .div_ceil(dilation)
            .min(shape.kernel[1]);
        (first < end).then(|| Columns {
            taps: first..end,
            x: left + first * dilation - padding,
        })
    }
}

/// Fills `patches` (`[rows, patch]`) with the windows of the output pixels from `first` on, a
/// window's numbers ordered by kernel row, kernel column, channel; zeros where it is outside.
pub(super) fn gather(
    shape: &Convolution,
    input: &[f32],
    group: usize,
    first: usize,
    patches: &mut [f32],
) {
    let inputs = shape.group_inputs();
    let line_len = shape.kernel[1] * inputs;
    let contiguous = shape.groups == 1 && shape.dilation[1] == 1;
    let mut cursor = Cursor::at(shape, first);
    for patch in patches.chunks_exact_mut(shape.patch_len()) {
        let columns = cursor.columns(shape);
        for (tap_y, line) in patch.chunks_exact_mut(line_len).enumerate() {
            let (Some(row), Some(Columns { taps, x })) = (cursor.row(shape, tap_y), &columns)
            else {
                line.fill(0.0);
                continue;
            };
            let pixel = row * shape.input[1] + x;
            line[..taps.start * inputs].fill(0.0);
            line[taps.end * inputs..].fill(0.0);
            if contiguous {
                let source = &input[pixel * inputs..][..taps.len() * inputs];
                line[taps.start * inputs..taps.end * inputs].copy_from_slice(source);
                continue;
            }
            for (step, tap) in taps.clone().enumerate() {
                let pixel = pixel + step * shape.dilation[1];
                let source = &input[pixel * shape.in_channels + group * inputs..][..inputs];
                line[tap * inputs..][..inputs].copy_from_slice(source);
            }
        }
        cursor.advance(shape);
    }
}

vectorized! {
    /// Adds the rows of `patches` to the pixels that [`gather`] takes them from.
    pub(super) fn scatter(
        shape: &Convolution,
        patches: &[f32],
        group: usize,
        first: usize,
        target: &mut [f32],
    ) {
        let inputs = shape.group_inputs();
        let line_len = shape.kernel[1] * inputs;
        let contiguous = shape.groups == 1 && shape.dilation[1] == 1;
        let mut cursor = Cursor::at(shape, first);
        for patch in patches.chunks_exact(shape.patch_len()) {
            if let Some(Columns { taps, x }) = cursor.columns(shape) {
                for (tap_y, line) in patch.chunks_exact(line_len).enumerate() {
                    let Some(row) = cursor.row(shape, tap_y) else {
                        continue;
                    };
                    let pixel = row * shape.input[1] + x;
                    if contiguous {
                        let target = &mut target[pixel * inputs..][..taps.len() * inputs];
                        add(target, &line[taps.start * inputs..taps.end * inputs]);
                        continue;
                    }
                    for (step, tap) in taps.clone().enumerate() {
                        let pixel = pixel + step * shape.dilation[1];
                        let start = pixel * shape.in_channels + group * inputs;
                        add(&mut target[start..][..inputs], &line[tap * inputs..][..inputs]);
                    }
                }
            }
            cursor.advance(shape);
        }
    }
}

#[inline(always)]
fn add(target: &mut [f32], source: &[f32]) {
    for (target, source) in target.iter_mut().zip(source) {
        *target += source;
    }
}
