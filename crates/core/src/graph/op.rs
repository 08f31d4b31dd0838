//! The operations a layer can compute, with their hyper-parameters.

use std::fmt;
use std::ops::Range;

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
    /// `min(max(x, 0), 6)`
    Relu6 {},
    /// `min(max(x + 3, 0), 6) / 6` (Howard et al. 2019, arXiv:1905.02244).
    #[serde(alias = "hardsigmoid")]
    HardSigmoid {},
    /// `x · (1 + erf(x / √2)) / 2`, not its approximation by `tanh` (Hendrycks & Gimpel 2016,
    /// arXiv:1606.08415).
    Gelu {},
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
    /// The mean of each of `output` windows that cover the image; see [`adaptive_window()`].
    AdaptiveAvgPool2d {
        /// Height and width of the output; may exceed the input's.
        #[serde(alias = "output_size")]
        output: Size,
    },
    /// Normalisation over the channels of each pixel (or of the row) on its own (Ba et al. 2016,
    /// arXiv:1607.06450). `weight`, `bias`: `[channels]`.
    LayerNorm {
        /// Added to the variance.
        #[serde(
            default = "norm_epsilon",
            skip_serializing_if = "is_norm_epsilon",
            alias = "eps"
        )]
        epsilon: f64,
    },
    /// All elements in one row: `[features]`.
    Flatten {},
    /// Matrix product over the channels: of a row, or of each pixel on its own
    /// (`[out_features, height, width]`). `weight` `[out_features, in_features]`, `bias`
    /// `[out_features]`.
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
    /// While training, zeroes all of an image with this probability and scales the other images
    /// up; does nothing otherwise (Huang et al. 2016, arXiv:1603.09382; the mode `row`).
    #[serde(alias = "drop_path")]
    StochasticDepth {
        /// Probability of zeroing, 0 to below 1.
        #[serde(alias = "p")]
        probability: f64,
    },
    /// The sum of two or more layers of the same shape.
    Add {},
    /// The product of two layers of the same shape, or of one number per channel (`[channels, 1, 1]`
    /// or `[channels]`, the second) with each of the first's channels.
    Multiply {},
    /// Two or more layers side by side: along the channels, or the features.
    Concat {},
    /// Each channel times a number that is fitted (Touvron et al. 2021, arXiv:2103.17239).
    /// `gamma` `[channels]`.
    LayerScale {
        /// The number that training begins with.
        #[serde(default = "layer_scale", skip_serializing_if = "is_layer_scale")]
        initial: f64,
    },
    /// The pixels as tokens, row by row, with one that is fitted before them:
    /// `[channels, height · width + 1, 1]`. Its tensor goes by the layer's name, `[1, 1, channels]`.
    ClassToken {},
    /// Adds a number that is fitted to each element. Its tensor goes by the layer's name,
    /// `[1, tokens, channels]`.
    PositionEmbedding {},
    /// Softmax attention of each token to all (Vaswani et al. 2017, arXiv:1706.03762), without the
    /// linear layers around it: from `[3 · channels, tokens, 1]`, the queries, keys and values, each
    /// head by head, to `[channels, tokens, 1]`.
    Attention {
        /// Heads; each has `channels / heads` channels.
        #[serde(alias = "num_heads")]
        heads: usize,
    },
    /// One token: `[channels]`.
    SelectToken {
        /// Which, counted from 0.
        #[serde(default)]
        index: usize,
    },
}

/// The pixels, along one axis of `input`, that output number `index` of `output` is the mean of in
/// an [`Op::AdaptiveAvgPool2d`]: `floor(index · input / output) .. ceil((index + 1) · input / output)`,
/// as PyTorch's `AdaptiveAvgPool2d` has it.
pub const fn adaptive_window(index: usize, input: usize, output: usize) -> Range<usize> {
    index * input / output..((index + 1) * input).div_ceil(output)
}

impl Op {
    /// The names of all operations, as they are written.
    pub const NAMES: [&'static str; 26] = [
        "conv2d",
        "batch_norm2d",
        "layer_norm",
        "relu",
        "relu6",
        "silu",
        "hard_swish",
        "sigmoid",
        "hard_sigmoid",
        "gelu",
        "max_pool2d",
        "avg_pool2d",
        "global_avg_pool",
        "adaptive_avg_pool2d",
        "flatten",
        "linear",
        "dropout",
        "stochastic_depth",
        "add",
        "multiply",
        "concat",
        "layer_scale",
        "class_token",
        "position_embedding",
        "attention",
        "select_token",
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
            Self::Relu6 {} => "relu6",
            Self::HardSigmoid {} => "hard_sigmoid",
            Self::Gelu {} => "gelu",
            Self::MaxPool2d { .. } => "max_pool2d",
            Self::AvgPool2d { .. } => "avg_pool2d",
            Self::GlobalAvgPool {} => "global_avg_pool",
            Self::AdaptiveAvgPool2d { .. } => "adaptive_avg_pool2d",
            Self::LayerNorm { .. } => "layer_norm",
            Self::Flatten {} => "flatten",
            Self::Linear { .. } => "linear",
            Self::Dropout { .. } => "dropout",
            Self::StochasticDepth { .. } => "stochastic_depth",
            Self::Add {} => "add",
            Self::Multiply {} => "multiply",
            Self::Concat {} => "concat",
            Self::LayerScale { .. } => "layer_scale",
            Self::ClassToken {} => "class_token",
            Self::PositionEmbedding {} => "position_embedding",
            Self::Attention { .. } => "attention",
            Self::SelectToken { .. } => "select_token",
        }
    }

    /// Whether it takes two inputs or more (else exactly one).
    pub const fn joins(&self) -> bool {
        matches!(self, Self::Add {} | Self::Multiply {} | Self::Concat {})
    }
}

/// PyTorch's default epsilon of normalisations.
pub const NORM_EPSILON: f64 = 1e-5;

/// PyTorch's default momentum of batch normalisation's running statistics.
pub const NORM_MOMENTUM: f64 = 0.1;

/// The number that a layer scale begins with in ConvNeXt (Liu et al. 2022, arXiv:2201.03545).
pub const LAYER_SCALE: f64 = 1e-6;

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

const fn layer_scale() -> f64 {
    LAYER_SCALE
}

fn is_layer_scale(initial: &f64) -> bool {
    *initial == LAYER_SCALE
}

const fn half() -> f64 {
    0.5
}
