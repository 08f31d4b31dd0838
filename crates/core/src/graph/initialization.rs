//! Which distributions the numbers of a network begin with.

use serde::{Deserialize, Serialize};

/// How the weights of a graph begin, as the library that an architecture comes from draws them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Initialization {
    /// Of convolutions.
    pub convolution: WeightInit,
    /// Of linear layers.
    pub linear: WeightInit,
}

impl Initialization {
    /// torchvision's of residual networks: a choice for convolutions, PyTorch's own for the rest.
    pub const DEFAULT: Self = Self {
        convolution: WeightInit::NormalFanOut,
        linear: WeightInit::UniformFanIn,
    };

    /// Whether it is [`Initialization::DEFAULT`].
    pub fn is_default(&self) -> bool {
        *self == Self::DEFAULT
    }
}

impl Default for Initialization {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A distribution of initial weights.
///
/// `fan_in` counts the numbers that go into one output, `fan_out` the outputs times the size of the
/// kernel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum WeightInit {
    /// Normal with variance `2 / fan_out`, bias zero (He et al. 2015, arXiv:1502.01852).
    NormalFanOut,
    /// Uniform within `±1/√fan_in`, the bias too: PyTorch's default.
    UniformFanIn,
    /// Uniform within `±1/√fan_out`, bias zero.
    UniformFanOut,
    /// Normal with mean zero, bias zero.
    Normal {
        /// Standard deviation.
        deviation: f64,
    },
}
