//! The operations a layer can compute, with their hyper-parameters.

use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

/// A number for each of the two image axes. Written as one number when both are the same,
/// else as a pair `[height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Along the rows' direction, downwards.
    pub height: usize,
    /// Along a row.
    pub width: usize,
}

impl Size {
    /// The same number for both axes.
    pub const fn square(side: usize) -> Self {
        Self {
            height: side,
            width: side,
        }
    }

    /// Both numbers, `[height, width]`.
    pub const fn to_array(self) -> [usize; 2] {
        [self.height, self.width]
    }
}

impl From<usize> for Size {
    fn from(side: usize) -> Self {
        Self::square(side)
    }
}

impl From<[usize; 2]> for Size {
    fn from([height, width]: [usize; 2]) -> Self {
        Self { height, width }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}", self.height, self.width)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.height == self.width {
            return serializer.serialize_u64(self.height as u64);
        }
        let mut pair = serializer.serialize_seq(Some(2))?;
        pair.serialize_element(&self.height)?;
        pair.serialize_element(&self.width)?;
        pair.end()
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl<'de> Visitor<'de> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or a pair `[height, width]`")
    }

    fn visit_u64<E: de::Error>(self, side: u64) -> Result<Size, E> {
        usize::try_from(side)
            .map(Size::square)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(side), &self))
    }

    fn visit_i64<E: de::Error>(self, side: i64) -> Result<Size, E> {
        usize::try_from(side)
            .map(Size::square)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(side), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Size, A::Error> {
        let height = pair.next_element()?;
        let width = pair.next_element()?;
        let rest: Option<de::IgnoredAny> = pair.next_element()?;
        match (height, width, rest) {
            (Some(height), Some(width), None) => Ok(Size { height, width }),
            _ => Err(de::Error::custom(
                "expected a whole number or a pair `[height, width]`",
            )),
        }
    }
}

/// What a layer computes, with its hyper-parameters. Input channels follow from the shapes.
///
/// Names and defaults are PyTorch's; `kernel`, `stride`, `padding` and `dilation` take a number
/// or a pair `[height, width]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Op {
    /// Two-dimensional convolution (cross-correlation), zero padding.
    /// `weight` `[out_channels, in_channels / groups, kernel height, kernel width]`, `bias` `[out_channels]`.
    Conv2d {
        /// Channels of the output.
        out_channels: usize,
        /// Size of the window.
        #[serde(alias = "kernel_size")]
        kernel: Size,
        /// Distance between windows.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        stride: Size,
        /// Zeros added on each side.
        #[serde(default = "zero", skip_serializing_if = "is_zero")]
        padding: Size,
        /// Distance between the window's elements.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        dilation: Size,
        /// Groups of channels that do not see each other.
        #[serde(default = "single", skip_serializing_if = "is_single")]
        groups: usize,
        /// Whether a number is added per output channel.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        bias: bool,
    },
    /// Batch normalisation over each channel (Ioffe & Szegedy 2015, arXiv:1502.03167).
    /// `weight`, `bias`, `running_mean`, `running_var`: `[channels]`.
    BatchNorm2d {
        /// Added to the variance.
        #[serde(
            default = "norm_epsilon",
            skip_serializing_if = "is_norm_epsilon",
            alias = "eps"
        )]
        epsilon: f64,
        /// Share of the new batch in the running statistics.
        #[serde(default = "norm_momentum", skip_serializing_if = "is_norm_momentum")]
        momentum: f64,
    },
    /// `max(x, 0)`
    Relu {},
    /// `x · sigmoid(x)`, also called swish.
    #[serde(alias = "swish")]
    Silu {},
    /// `x · min(max(x + 3, 0), 6) / 6` (Howard et al. 2019, arXiv:1905.02244).
    #[serde(alias = "hardswish")]
    HardSwish {},
    /// `1 / (1 + exp(-x))`
    Sigmoid {},
    /// The largest element of each window; padding never wins.
    MaxPool2d {
        /// Size of the window.
        #[serde(alias = "kernel_size")]
        kernel: Size,
        /// Distance between windows; the kernel's size when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Size>,
        /// Added on each side; at most half the kernel.
        #[serde(default = "zero", skip_serializing_if = "is_zero")]
        padding: Size,
    },
    /// The mean of each window; padding counts as zeros.
    AvgPool2d {
        /// Size of the window.
        #[serde(alias = "kernel_size")]
        kernel: Size,
        /// Distance between windows; the kernel's size when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Size>,
        /// Zeros added on each side; at most half the kernel.
        #[serde(default = "zero", skip_serializing_if = "is_zero")]
        padding: Size,
    },
    /// The mean over height and width: `[channels, 1, 1]`.
    GlobalAvgPool {},
    /// All elements in one row: `[features]`.
    Flatten {},
    /// Matrix product. `weight` `[out_features, in_features]`, `bias` `[out_features]`.
    Linear {
        /// Features of the output.
        out_features: usize,
        /// Whether a number is added per output feature.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        bias: bool,
    },
    /// While training, zeroes each element with this probability and scales the others up
    /// (Srivastava et al. 2014); does nothing otherwise.
    Dropout {
        /// Probability of zeroing, 0 to below 1.
        #[serde(default = "half", alias = "p")]
        probability: f64,
    },
    /// The sum of two or more layers of the same shape.
    Add {},
    /// Two or more layers side by side: along the channels, or the features.
    Concat {},
}

impl Op {
    /// The names of all operations, as they are written.
    pub const NAMES: [&'static str; 14] = [
        "conv2d",
        "batch_norm2d",
        "relu",
        "silu",
        "hard_swish",
        "sigmoid",
        "max_pool2d",
        "avg_pool2d",
        "global_avg_pool",
        "flatten",
        "linear",
        "dropout",
        "add",
        "concat",
    ];

    /// The operation's name, as it is written.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Conv2d { .. } => "conv2d",
            Self::BatchNorm2d { .. } => "batch_norm2d",
            Self::Relu {} => "relu",
            Self::Silu {} => "silu",
            Self::HardSwish {} => "hard_swish",
            Self::Sigmoid {} => "sigmoid",
            Self::MaxPool2d { .. } => "max_pool2d",
            Self::AvgPool2d { .. } => "avg_pool2d",
            Self::GlobalAvgPool {} => "global_avg_pool",
            Self::Flatten {} => "flatten",
            Self::Linear { .. } => "linear",
            Self::Dropout { .. } => "dropout",
            Self::Add {} => "add",
            Self::Concat {} => "concat",
        }
    }

    /// Whether it takes two or more inputs (else exactly one).
    pub const fn joins(&self) -> bool {
        matches!(self, Self::Add {} | Self::Concat {})
    }
}

/// PyTorch's default epsilon of batch normalisation.
pub const NORM_EPSILON: f64 = 1e-5;

/// PyTorch's default momentum of batch normalisation's running statistics.
pub const NORM_MOMENTUM: f64 = 0.1;

const fn one() -> Size {
    Size::square(1)
}

fn is_one(size: &Size) -> bool {
    *size == one()
}

const fn zero() -> Size {
    Size::square(0)
}

fn is_zero(size: &Size) -> bool {
    *size == zero()
}

const fn single() -> usize {
    1
}

fn is_single(groups: &usize) -> bool {
    *groups == 1
}

const fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

const fn norm_epsilon() -> f64 {
    NORM_EPSILON
}

fn is_norm_epsilon(epsilon: &f64) -> bool {
    *epsilon == NORM_EPSILON
}

const fn norm_momentum() -> f64 {
    NORM_MOMENTUM
}

fn is_norm_momentum(momentum: &f64) -> bool {
    *momentum == NORM_MOMENTUM
}

const fn half() -> f64 {
    0.5
}
