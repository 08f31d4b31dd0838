//! The windows of an image as rows of a matrix, and back.

use std::ops::Range;

use pulp::Arch;

use super::Convolution;

/// The part of a window's row that lies in the image.
struct Span {
    /// Taps of the kernel's row that lie in the image.
    taps: Range<usize>,
    /// The pixel under the first of them, an index into the batch's pixels.
    pixel: usize,
}

impl Convolution {
    /// Where row `tap_y` of the window of output pixel `row` (of the batch) lies; none when it is
    /// above or below the image.
    fn span(&self, row: usize, tap_y: usize) -> Option<Span> {
        let (image, within) = (row / self.out_pixels(), row % self.out_pixels());
        let (out_y, out_x) = (within / self.output[1], within % self.output[1]);
        let y = (out_y * self.stride[0] + tap_y * self.dilation[0])
            .checked_sub(self.padding[0])
            .filter(|y| *y < self.input[0])?;
        // Tap t lies over column `left + t · dilation − padding`.
        let left = out_x * self.stride[1];
        let (padding, dilation) = (self.padding[1], self.dilation[1]);
        let first = padding.saturating_sub(left).div_ceil(dilation);
        let end = (self.input[1] + padding)
            .saturating_sub(left)
            .div_ceil(dilation)
            .min(self.kernel[1]);
        if first >= end {
            return None;
        }
        let x = left + first * dilation - padding;
        Some(Span {
            taps: first..end,
            pixel: (image * self.input[0] + y) * self.input[1] + x,
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
    let line = shape.kernel[1] * inputs;
    let contiguous = shape.groups == 1 && shape.dilation[1] == 1;
    for (row, patch) in patches.chunks_exact_mut(shape.patch_len()).enumerate() {
        for (tap_y, line) in patch.chunks_exact_mut(line).enumerate() {
            let Some(span) = shape.span(first + row, tap_y) else {
                line.fill(0.0);
                continue;
            };
            line[..span.taps.start * inputs].fill(0.0);
            line[span.taps.end * inputs..].fill(0.0);
            if contiguous {
                let source = &input[span.pixel * inputs..][..span.taps.len() * inputs];
                line[span.taps.start * inputs..span.taps.end * inputs].copy_from_slice(source);
                continue;
            }
            for (step, tap) in span.taps.enumerate() {
                let pixel = span.pixel + step * shape.dilation[1];
                let source = &input[pixel * shape.in_channels + group * inputs..][..inputs];
                line[tap * inputs..][..inputs].copy_from_slice(source);
            }
        }
    }
}

/// Adds the rows of `patches` to the pixels that [`gather`] takes them from.
pub(super) fn scatter(
    shape: &Convolution,
    patches: &[f32],
    group: usize,
    first: usize,
    target: &mut [f32],
) {
    Arch::new().dispatch(|| scatter_rows(shape, patches, group, first, target));
}

#[inline(always)]
fn scatter_rows(
    shape: &Convolution,
    patches: &[f32],
    group: usize,
    first: usize,
    target: &mut [f32],
) {
    let inputs = shape.group_inputs();
    let line = shape.kernel[1] * inputs;
    let contiguous = shape.groups == 1 && shape.dilation[1] == 1;
    for (row, patch) in patches.chunks_exact(shape.patch_len()).enumerate() {
        for (tap_y, line) in patch.chunks_exact(line).enumerate() {
            let Some(span) = shape.span(first + row, tap_y) else {
                continue;
            };
            let taps = span.taps;
            if contiguous {
                let target = &mut target[span.pixel * inputs..][..taps.len() * inputs];
                add(target, &line[taps.start * inputs..taps.end * inputs]);
                continue;
            }
            for (step, tap) in taps.enumerate() {
                let pixel = span.pixel + step * shape.dilation[1];
                let target = &mut target[pixel * shape.in_channels + group * inputs..][..inputs];
                add(target, &line[tap * inputs..][..inputs]);
            }
        }
    }
}

#[inline(always)]
fn add(target: &mut [f32], source: &[f32]) {
    for (target, source) in target.iter_mut().zip(source) {
        *target += source;
    }
}
