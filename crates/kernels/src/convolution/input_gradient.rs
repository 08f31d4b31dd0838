//! The gradient by the input: a correlation of the output's gradient with the flipped kernel.
//!
//! With a stride of `s`, an input pixel meets only the taps at distances that `s` divides. The
//! input's pixels therefore fall into `s` classes along each axis, and each pair of classes is a
//! correlation of its own, with the kernel of its taps.

use super::Convolution;
use super::correlation::{Correlation, Pixels};
use super::depthwise;
use super::packing::with_panels_of_inputs;

/// The pixels of the input along an axis that the same taps lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Class {
    /// The first of the pixels; every `step`-th from there on belongs to the class.
    first: usize,
    step: usize,
    count: usize,
    /// The kernel's taps in the order of the gradients that they meet.
    taps: Vec<usize>,
    /// Where the window of the first pixel begins in the gradient.
    origin: isize,
    /// From one of the window's gradients to the next.
    distance: usize,
}

/// `target ← gradient by the input`.
pub(super) fn run(shape: &Convolution, weight: &[f32], gradient: &[f32], target: &mut [f32]) {
    let [rows, columns] = [0, 1].map(|axis| classes(shape, axis));
    let is_partial = |classes: &[Class]| classes.iter().any(|class| class.taps.is_empty());
    if is_partial(&rows) || is_partial(&columns) {
        // No window lies over some pixels.
        target.fill(0.0);
    }
    for row in &rows {
        for column in &columns {
            correlate_class(shape, row, column, weight, gradient, target);
        }
    }
}

fn correlate_class(
    shape: &Convolution,
    row: &Class,
    column: &Class,
    weight: &[f32],
    gradient: &[f32],
    target: &mut [f32],
) {
    if row.taps.is_empty() || column.taps.is_empty() {
        return;
    }
    let in_row = |tap_y: &usize| {
        let start = tap_y * shape.kernel[1];
        column.taps.iter().map(move |tap_x| start + tap_x)
    };
    let taps: Vec<usize> = row.taps.iter().flat_map(in_row).collect();
    let correlation = Correlation {
        images: shape.batch,
        input: shape.output,
        in_channels: shape.out_channels,
        out_channels: shape.in_channels,
        groups: shape.groups,
        grid: [row.count, column.count],
        kernel: [row.taps.len(), column.taps.len()],
        stride: [1, 1],
        dilation: [row.distance, column.distance],
        origin: [row.origin, column.origin],
        spread: shape.input,
        first: [row.first, column.first],
        step: [row.step, column.step],
    }
    .with_images_joined();
    let gradient = Pixels::plain(gradient);
    if shape.is_depthwise() {
        let weight = depthwise::by_tap(weight, shape.taps(), &taps);
        depthwise::run(&correlation, gradient, &weight, None, target, false);
        return;
    }
    with_panels_of_inputs(shape, weight, &taps, |panels| {
        correlation.run(gradient, panels, None, target, false);
    });
}

/// The classes of input positions along an axis.
///
/// Tap `t` of the window at output `o` lies over input `i = o · stride + t · dilation − padding`,
/// so input `i` meets output `o` through the taps with `i + padding − t · dilation = o · stride`.
fn classes(shape: &Convolution, axis: usize) -> Vec<Class> {
    let (stride, dilation) = (shape.stride[axis], shape.dilation[axis]);
    let padding = shape.padding[axis];
    let count = |first: usize| shape.input[axis].saturating_sub(first).div_ceil(stride);
    (0..stride.min(shape.input[axis]))
        .map(|first| {
            // In falling order, so that the outputs rise.
            let taps: Vec<usize> = (0..shape.kernel[axis])
                .rev()
                .filter(|tap| (first + padding).abs_diff(tap * dilation) % stride == 0)
                .collect();
            let output_of = |tap: &usize| {
                ((first + padding) as isize - (tap * dilation) as isize) / stride as isize
            };
            let distance = match taps.as_slice() {
                [one, next, ..] => (output_of(next) - output_of(one)) as usize,
                _ => 1,
            };
            Class {
                first,
                step: stride,
                count: count(first),
                origin: taps.first().map_or(0, output_of),
                taps,
                distance,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_pixel_meets_the_taps_that_its_distance_allows() {
        let shape = Convolution {
            batch: 1,
            input: [8, 8],
            output: [4, 4],
            in_channels: 1,
            out_channels: 1,
            kernel: [3, 3],
            stride: [2, 2],
            padding: [1, 1],
            dilation: [1, 1],
            groups: 1,
        };
        let classes = classes(&shape, 0);
        let taps: Vec<&[usize]> = classes.iter().map(|class| class.taps.as_slice()).collect();
        assert_eq!(taps, [&[1][..], &[2, 0]]);
        assert_eq!(classes[0].origin, 0);
        assert_eq!(classes[1].origin, 0);
        assert_eq!(classes[1].distance, 1);
        assert_eq!(classes[1].count, 4);
    }
}
