//! Pooling over windows of pixels and over whole images.

mod average;
pub(crate) mod max;

pub use self::average::{
    Grid, add_global_average_backward, average_backward, average_forward, global_average_forward,
    grid_average_backward, grid_average_forward,
};
pub use self::max::{max_backward, max_backward_by_search, max_forward};

/// The most taps of a window whose winners are kept as numbers of a byte.
pub const MAX_TAPS: usize = max::CUT as usize;

/// Shape of a pooling layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pooling {
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Added on each side.
    pub padding: [usize; 2],
}

impl Pooling {
    /// Whether the taps of a window have numbers of a byte.
    pub const fn has_tap_numbers(&self) -> bool {
        self.kernel[0].saturating_mul(self.kernel[1]) <= MAX_TAPS
    }

    pub(crate) fn input_len(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    pub(crate) fn output_len(&self) -> usize {
        self.output[0] * self.output[1] * self.channels
    }

    /// Calls `visit` with each output pixel of an image and each pixel of its window that lies
    /// in the image, as indices of pixels.
    #[inline(always)]
    fn for_each_tap(&self, mut visit: impl FnMut(usize, usize)) {
        for row in 0..self.output[0] {
            for column in 0..self.output[1] {
                self.for_each_tap_of(row, column, |_, pixel| {
                    visit(row * self.output[1] + column, pixel);
                });
            }
        }
    }

    /// Calls `visit` with the number of each tap of an output's window that lies in the image,
    /// and the index of its pixel.
    #[inline(always)]
    pub(crate) fn for_each_tap_of(
        &self,
        row: usize,
        column: usize,
        mut visit: impl FnMut(u8, usize),
    ) {
        let columns = self.window(1, column);
        let first_column = columns.start + self.padding[1] - column * self.stride[1];
        for y in self.window(0, row) {
            let tap_row = y + self.padding[0] - row * self.stride[0];
            for x in columns.clone() {
                let tap = tap_row * self.kernel[1] + first_column + (x - columns.start);
                visit(tap as u8, y * self.input[1] + x);
            }
        }
    }

    /// The pixels of an output's window that lie in the image.
    fn pixels_of(&self, row: usize, column: usize) -> impl Iterator<Item = usize> {
        let (columns, width) = (self.window(1, column), self.input[1]);
        self.window(0, row)
            .flat_map(move |y| columns.clone().map(move |x| y * width + x))
    }

    /// The part of window number `position` along `axis` that lies in the image.
    pub(crate) fn window(&self, axis: usize, position: usize) -> std::ops::Range<usize> {
        let start = position * self.stride[axis];
        let end = (start + self.kernel[axis]).saturating_sub(self.padding[axis]);
        start.saturating_sub(self.padding[axis])..end.min(self.input[axis])
    }

    /// The windows along `axis` that reach over pixel number `pixel`.
    pub(crate) fn windows_over(&self, axis: usize, pixel: usize) -> std::ops::Range<usize> {
        let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
        let padded = pixel + self.padding[axis];
        let end = (padded / stride + 1).min(self.output[axis]);
        (padded + 1)
            .saturating_sub(kernel)
            .div_ceil(stride)
            .min(end)..end
    }

    pub(crate) fn assert_lengths(&self, input: usize, output: usize) {
        assert_eq!(
            input / self.input_len().max(1),
            output / self.output_len().max(1),
            "batch sizes differ"
        );
    }
}

#[cfg(test)]
mod tests;
