//! Two-dimensional convolution (cross-correlation), forward and backward, directly on the pixels:
//! windows are never copied out, only their padding is.

mod correlation;
mod depthwise;
mod input_gradient;
mod outer_products;
mod packing;
pub mod prepared;
#[cfg(test)]
mod reference;
mod shared_output;
#[cfg(test)]
mod tests;
mod tile;
mod transforms;
mod weight_gradient;
mod winograd;

use self::correlation::{BandMoments, Correlation, Pixels};
use self::packing::{Size, with_panels_of_outputs};
use crate::normalization::{Moments, Normalization, Prepared, Statistics, statistics};

/// Shape of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Images.
    pub batch: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Zeros added on each side.
    pub padding: [usize; 2],
    /// Distance between the window's elements.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

impl Convolution {
    /// Channels that one output sees.
    fn group_inputs(&self) -> usize {
        self.in_channels / self.groups
    }

    /// Outputs of one group.
    fn group_outputs(&self) -> usize {
        self.out_channels / self.groups
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Numbers that go into one output.
    fn patch_len(&self) -> usize {
        self.taps() * self.group_inputs()
    }

    fn out_pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    fn in_len(&self) -> usize {
        self.batch * self.image_len()
    }

    fn image_len(&self) -> usize {
        self.input[0] * self.input[1] * self.in_channels
    }

    /// Output pixels of the whole batch.
    fn rows(&self) -> usize {
        self.batch * self.out_pixels()
    }

    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.group_inputs() == 1 && self.group_outputs() == 1
    }

    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// Whether its input may be normalised while it is read (see [`Input`]).
    pub fn normalizes_input(&self) -> bool {
        self.is_depthwise() || self.is_pointwise()
    }

    fn assert_lengths(&self, input: usize, weight: usize, output: usize) {
        assert_eq!(input, self.in_len(), "input length");
        assert_eq!(output, self.rows() * self.out_channels, "output length");
        assert_eq!(
            weight,
            self.out_channels * self.patch_len(),
            "weight length"
        );
    }

    /// Numbers of scratch memory that the largest of its passes takes, besides a few rows of
    /// pixels: weights in another order, Winograd's transforms of them, sums over parts of the
    /// pixels, and an input that is normalised for all of them at once.
    pub fn workspace_len(&self) -> usize {
        if self.is_depthwise() {
            return 0;
        }
        let correlation = self.correlation();
        let pieces = weight_gradient::pieces(&correlation, self, correlation.bands().len());
        let input = match self.is_pointwise() && pieces == 1 {
            true => self.in_len(),
            false => 0,
        };
        let transforms = winograd::workspace_len(&correlation);
        pieces * self.panels_of_outputs().len() + transforms + input
    }

    /// Size of the weights in panels of outputs.
    fn panels_of_outputs(&self) -> Size {
        Size {
            groups: self.groups,
            channels: self.group_outputs(),
            inner_len: self.patch_len(),
        }
    }

    /// The convolution as a correlation.
    fn correlation(&self) -> Correlation {
        Correlation {
            images: self.batch,
            input: self.input,
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            groups: self.groups,
            grid: self.output,
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
            origin: self.padding.map(|padding| -(padding as isize)),
            spread: self.output,
            first: [0, 0],
            step: [1, 1],
        }
        .with_images_joined()
    }
}

/// What a convolution is taken of.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// NHWC.
    pub values: &'a [f32],
    /// What is taken is what this makes of the values, computed as they are read, a band of rows
    /// at a time: it is never written. Only where [`Convolution::normalizes_input`].
    pub normalization: Option<Normalization<'a>>,
}

impl<'a> From<&'a [f32]> for Input<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self {
            values,
            normalization: None,
        }
    }
}

impl Input<'_> {
    fn prepared(&self, shape: &Convolution) -> Option<Prepared> {
        let normalization = self.normalization.as_ref()?;
        assert!(shape.normalizes_input(), "the input is normalised before");
        Some(Prepared::new(normalization))
    }
}

/// `output ← convolution of input + bias`. Input and output are NHWC, `weight` is
/// `[out_channels, in_channels / groups, kernel height, kernel width]`.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn forward(
    shape: &Convolution,
    input: Input<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    run_forward(shape, input, weight, bias, output, false);
}

/// As [`forward`], with the [`statistics`] of the output, which are taken while it is in the cache
/// where that is possible.
///
/// # Panics
/// The lengths do not fit the shape, or the output is empty.
pub fn forward_and_measure(
    shape: &Convolution,
    input: Input<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) -> Statistics {
    match run_forward(shape, input, weight, bias, output, true) {
        Some(moments) => Moments::merged(&moments, shape.out_channels),
        None => statistics(output, shape.out_channels),
    }
}

fn run_forward(
    shape: &Convolution,
    input: Input<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
    measures: bool,
) -> BandMoments {
    shape.assert_lengths(input.values.len(), weight.len(), output.len());
    let prepared = input.prepared(shape);
    let pixels = Pixels {
        values: input.values,
        normalization: prepared.as_ref(),
    };
    if shape.is_depthwise() {
        let taps: Vec<usize> = (0..shape.taps()).collect();
        let weight = depthwise::by_tap(weight, shape.taps(), &taps);
        return depthwise::run(
            &shape.correlation(),
            pixels,
            &weight,
            bias,
            output,
            measures,
        );
    }
    with_panels_of_outputs(shape, weight, |panels| {
        shape
            .correlation()
            .run(pixels, panels, bias, output, measures)
    })
}

/// `weight_gradient ← gradient by the weight`, given that by the output. The gradient by the bias
/// is the output gradient's [`crate::activation::column_sums`].
///
/// # Panics
/// The lengths do not fit the shape.
pub fn backward_weight(
    shape: &Convolution,
    input: Input<'_>,
    output_gradient: &[f32],
    weight_gradient: &mut [f32],
) {
    shape.assert_lengths(
        input.values.len(),
        weight_gradient.len(),
        output_gradient.len(),
    );
    let prepared = input.prepared(shape);
    let pixels = Pixels {
        values: input.values,
        normalization: prepared.as_ref(),
    };
    if shape.is_depthwise() {
        depthwise::backward_weight(shape, pixels, output_gradient, weight_gradient);
    } else {
        weight_gradient::run(shape, pixels, output_gradient, weight_gradient);
    }
}

/// `input_gradient ← gradient by the input`, given that by the output.
///
/// # Panics
/// The lengths do not fit the shape.
pub fn backward_input(
    shape: &Convolution,
    weight: &[f32],
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) {
    shape.assert_lengths(input_gradient.len(), weight.len(), output_gradient.len());
    input_gradient::run(shape, weight, output_gradient, input_gradient);
}
