//! Convolution for inference: weights are packed once, and what follows a convolution in a network
//! (bias, shortcut, activation) happens before its numbers are written.

mod depthwise;
mod direct;
#[cfg(test)]
mod tests;
mod winograd;

use crate::aligned::Aligned;
use crate::finish::{Function, Order};
use crate::team::Team;

/// Pixels of images, one after the other: `values[pixel · pixel_stride + channel]`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The numbers, from the first pixel's first channel on.
    pub values: &'a [f32],
    /// From a pixel to the next; more than the channels where they are a part of others.
    pub pixel_stride: usize,
}

/// The images that a convolution reads.
#[derive(Debug, Clone, Copy)]
pub enum Images<'a> {
    /// All channels of a pixel side by side.
    Pixels(View<'a>),
    /// `[batch, channels, height, width]`, if the convolution [takes it](Prepared::takes_planes).
    Planes(&'a [f32]),
}

/// Pixels that are written to, as a [`View`].
#[derive(Debug)]
pub struct ViewMut<'a> {
    /// The numbers, from the first pixel's first channel on.
    pub values: &'a mut [f32],
    /// From a pixel to the next.
    pub pixel_stride: usize,
}

/// Where the windows lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Images.
    pub batch: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Distance between windows.
    pub stride: [usize; 2],
    /// Distance between the window's elements.
    pub dilation: [usize; 2],
    /// Zeros added above and on the left; below and on the right as many as windows reach.
    pub padding: [usize; 2],
}

impl Geometry {
    fn in_pixels(&self) -> usize {
        self.input[0] * self.input[1]
    }

    fn out_pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Whether windows of `kernel` lie in the image.
    fn is_inside(&self, kernel: [usize; 2]) -> bool {
        (0..2).all(|axis| {
            let reach = (kernel[axis] - 1) * self.dilation[axis] + 1;
            let last = (self.output[axis].max(1) - 1) * self.stride[axis] + reach;
            self.padding[axis] == 0 && last <= self.input[axis]
        })
    }

    /// The elements of a window along `axis` that lie in the image, for the window of `point`.
    pub(crate) fn taps_inside(
        &self,
        axis: usize,
        kernel: usize,
        point: usize,
    ) -> std::ops::Range<usize> {
        let start = point * self.stride[axis];
        let dilation = self.dilation[axis];
        let first = self.padding[axis].saturating_sub(start).div_ceil(dilation);
        let end = (self.input[axis] + self.padding[axis])
            .saturating_sub(start)
            .div_ceil(dilation);
        let end = end.min(kernel);
        first.min(end)..end
    }
}

/// What follows a convolution.
#[derive(Debug, Clone, Copy, Default)]
pub struct Following<'a> {
    /// Function of the sums.
    pub function: Function,
    /// Numbers of the output's shape that are added, before the function or after it.
    pub shortcut: Option<(View<'a>, Order)>,
}

/// A convolution's weights as a network has them.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// `[out_channels, in_channels / groups, kernel height, kernel width]`
    pub values: &'a [f32],
    /// A number for each output channel.
    pub bias: Option<&'a [f32]>,
    /// Input channels of all groups.
    pub in_channels: usize,
    /// Output channels of all groups.
    pub out_channels: usize,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

/// Channels of images that are read as planes, at most.
const MOST_PLANES: usize = 4;

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Sums of products, each taken as it is defined.
    Direct,
    /// By Winograd's minimal filtering.
    Winograd,
    /// A kernel for each channel.
    Depthwise,
}

/// A convolution with its weights in the order in which the loops read them.
#[derive(Debug)]
pub struct Prepared {
    in_channels: usize,
    out_channels: usize,
    groups: usize,
    kernel: [usize; 2],
    /// A number for each output channel; empty without bias.
    bias: Vec<f32>,
    method: Method,
    weights: Aligned,
}

impl Method {
    /// The method that is fastest for windows of this geometry.
    pub fn fastest(weights: &Weights<'_>, geometry: &Geometry) -> Self {
        let is_depthwise = weights.groups > 1
            && weights.in_channels == weights.groups
            && weights.out_channels == weights.groups
            && weights.kernel[0] * weights.kernel[1] <= depthwise::MOST_TAPS;
        if is_depthwise {
            Self::Depthwise
        } else if winograd::pays(weights, geometry) {
            Self::Winograd
        } else {
            Self::Direct
        }
    }
}

impl Prepared {
    /// Packs weights for a method.
    ///
    /// # Panics
    /// Lengths do not fit the shape, or the method does not compute such a convolution: depth-wise
    /// is for as many groups as channels in and out and small windows, Winograd for 3×3 windows of one group and
    /// multiples of 16 channels.
    pub fn new(weights: &Weights<'_>, method: Method) -> Self {
        let taps = weights.kernel[0] * weights.kernel[1];
        let inputs = weights.in_channels / weights.groups;
        let outputs = weights.out_channels / weights.groups;
        assert_eq!(inputs * weights.groups, weights.in_channels, "groups");
        assert_eq!(outputs * weights.groups, weights.out_channels, "groups");
        assert_eq!(
            weights.values.len(),
            weights.out_channels * inputs * taps,
            "weights"
        );
        let bias = weights.bias.unwrap_or_default().to_vec();
        assert!(bias.is_empty() || bias.len() == weights.out_channels);
        let packed = match method {
            Method::Direct => direct::pack(weights),
            Method::Winograd => winograd::pack(weights),
            Method::Depthwise => depthwise::pack(weights),
        };
        Self {
            in_channels: weights.in_channels,
            out_channels: weights.out_channels,
            groups: weights.groups,
            kernel: weights.kernel,
            bias,
            method,
            weights: packed,
        }
    }

    /// Output channels.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// Input channels.
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// How it is computed.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Multiply-adds that a pixel of the output takes by the definition of a convolution.
    pub fn multiply_adds_per_pixel(&self) -> usize {
        self.out_channels * (self.in_channels / self.groups) * self.kernel[0] * self.kernel[1]
    }

    /// Bytes of packed weights.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.weights)
    }

    /// Whether it reads images whose channels lie one after the other: the first layer of a network
    /// does, whose few channels are put side by side with the copy that its windows need anyway.
    pub fn takes_planes(&self) -> bool {
        self.method == Method::Direct && self.groups == 1 && self.in_channels <= MOST_PLANES
    }

    /// `output ← following(convolution of input + bias)`
    ///
    /// # Panics
    /// Lengths do not fit the shape, or windows begin after the image's end; Winograd takes strides
    /// and dilations of 1 only; planes are for few channels.
    pub fn run(
        &self,
        team: &Team,
        geometry: &Geometry,
        input: Images<'_>,
        following: Following<'_>,
        output: ViewMut<'_>,
    ) {
        self.assert_lengths(geometry, input, &following, &output);
        if geometry.batch * geometry.out_pixels() == 0 || self.out_channels == 0 {
            return;
        }
        match (self.method, input) {
            (Method::Direct, _) => direct::run(self, team, geometry, input, following, output),
            (Method::Winograd, Images::Pixels(input)) => {
                winograd::run(self, team, geometry, input, following, output);
            }
            (Method::Depthwise, Images::Pixels(input)) => {
                depthwise::run(self, team, geometry, input, following, output);
            }
            (_, Images::Planes(_)) => unreachable!("`assert_lengths` lets none pass"),
        }
    }

    fn assert_lengths(
        &self,
        geometry: &Geometry,
        input: Images<'_>,
        following: &Following<'_>,
        output: &ViewMut<'_>,
    ) {
        let holds = |values: &[f32], stride: usize, channels: usize, pixels: usize| {
            stride >= channels && (pixels == 0 || values.len() >= (pixels - 1) * stride + channels)
        };
        let in_pixels = geometry.batch * geometry.in_pixels();
        let out_pixels = geometry.batch * geometry.out_pixels();
        let outputs = self.out_channels;
        let inputs = self.in_channels;
        assert!(
            match input {
                Images::Pixels(view) => holds(view.values, view.pixel_stride, inputs, in_pixels),
                Images::Planes(values) => self.takes_planes() && values.len() >= in_pixels * inputs,
            },
            "input"
        );
        assert!(
            holds(output.values, output.pixel_stride, outputs, out_pixels),
            "output"
        );
        if let Some((shortcut, _)) = following.shortcut {
            let stride = shortcut.pixel_stride;
            assert!(
                holds(shortcut.values, stride, outputs, out_pixels),
                "shortcut"
            );
        }
        for axis in 0..2 {
            assert!(geometry.stride[axis] > 0 && geometry.dilation[axis] > 0);
        }
    }

    /// The bias of `count` channels from `first` on in a panel's row, if there is one.
    fn bias_of(&self, first: usize, count: usize) -> Option<[f32; super::tile::PANEL]> {
        (!self.bias.is_empty()).then(|| {
            let mut row = [0.0; super::tile::PANEL];
            row[..count].copy_from_slice(&self.bias[first..first + count]);
            row
        })
    }
}
