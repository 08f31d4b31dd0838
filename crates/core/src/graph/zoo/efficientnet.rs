//! EfficientNet (Tan & Le 2019, arXiv:1905.11946), as torchvision has it.

use super::ZooOptions;
use super::network::{
    Convolution, ConvolutionNormActivation, Network, SqueezeExcitation, batch_norm, dropout,
    linear, nearest_multiple_of_eight,
};
use crate::graph::{Initialization, Op, WeightInit};

/// torchvision's default probability of zeroing a feature.
const DROPOUT: f64 = 0.2;

/// torchvision's default probability that the growing ones of the blocks lead to.
const STOCHASTIC_DEPTH: f64 = 0.2;

/// Channels of the first convolution, and of the last.
const ENDS: [usize; 2] = [32, 1280];

/// Blocks of the same kind: the paper's table 1.
struct Stage {
    expansion: usize,
    kernel: usize,
    stride: usize,
    channels: usize,
    depth: usize,
}

const fn stage(
    expansion: usize,
    kernel: usize,
    stride: usize,
    channels: usize,
    depth: usize,
) -> Stage {
    Stage {
        expansion,
        kernel,
        stride,
        channels,
        depth,
    }
}

const B0: [Stage; 7] = [
    stage(1, 3, 1, 16, 1),
    stage(6, 3, 2, 24, 2),
    stage(6, 5, 2, 40, 2),
    stage(6, 3, 2, 80, 3),
    stage(6, 5, 1, 112, 3),
    stage(6, 5, 2, 192, 4),
    stage(6, 3, 1, 320, 1),
];

const fn unit() -> ConvolutionNormActivation {
    ConvolutionNormActivation {
        norm: batch_norm(),
        activation: Op::Silu {},
    }
}

/// The layers of torchvision's `efficientnet_b0`.
pub(super) fn efficientnet_b0(classes: usize, options: &ZooOptions) -> Network {
    let mut network = Network::new(Initialization {
        linear: WeightInit::UniformFanOut,
        ..Initialization::default()
    });
    let [first, last] = ENDS;
    unit().add(
        &mut network,
        "features.0",
        Convolution::same(first, 3).stride(2),
    );
    let end_probability = options.stochastic_depth.unwrap_or(STOCHASTIC_DEPTH);
    let total: usize = B0.iter().map(|stage| stage.depth).sum();
    let (mut in_channels, mut done) = (first, 0);
    for (number, stage) in (1..).zip(B0) {
        for index in 0..stage.depth {
            let block = Block {
                in_channels,
                expansion: stage.expansion,
                kernel: stage.kernel,
                stride: if index == 0 { stage.stride } else { 1 },
                out_channels: stage.channels,
            };
            // torchvision's steps would reach the end with one block more.
            let probability = end_probability * done as f64 / total as f64;
            block.add(
                &mut network,
                &format!("features.{number}.{index}"),
                probability,
            );
            in_channels = stage.channels;
            done += 1;
        }
    }
    let name = format!("features.{}", B0.len() + 1);
    unit().add(&mut network, &name, Convolution::same(last, 1));
    network
        .add("avgpool", Op::GlobalAvgPool {})
        .add("flatten", Op::Flatten {})
        .add("classifier.0", dropout(options.dropout.unwrap_or(DROPOUT)))
        .add("classifier.1", linear(classes));
    network
}

/// torchvision's `MBConv`.
struct Block {
    in_channels: usize,
    expansion: usize,
    kernel: usize,
    stride: usize,
    out_channels: usize,
}

impl Block {
    fn add(&self, network: &mut Network, name: &str, drop_probability: f64) {
        let skip = network.end();
        let channels = nearest_multiple_of_eight(self.in_channels * self.expansion);
        let mut parts = (0..).map(|part: usize| format!("{name}.block.{part}"));
        let mut part = || parts.next().unwrap_or_default();
        if channels != self.in_channels {
            unit().add(network, &part(), Convolution::same(channels, 1));
        }
        let depthwise = Convolution::depthwise(channels, self.kernel).stride(self.stride);
        unit().add(network, &part(), depthwise);
        let squeeze = SqueezeExcitation {
            activation: Op::Silu {},
            gate: Op::Sigmoid {},
        };
        squeeze.add(network, &part(), channels, (self.in_channels / 4).max(1));
        unit().add_linear(network, &part(), Convolution::same(self.out_channels, 1));
        if self.stride == 1 && self.in_channels == self.out_channels {
            network.add_residual(name, &skip, drop_probability);
        }
    }
}
