//! MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), as torchvision has it.

use super::ZooOptions;
use super::network::{
    Convolution, ConvolutionNormActivation, Network, batch_norm, dropout, growing_to, linear,
};
use crate::graph::{Initialization, Op, WeightInit};

/// torchvision's default probability of zeroing a feature.
const DROPOUT: f64 = 0.2;

/// Channels of the first convolution, and of the last.
const ENDS: [usize; 2] = [32, 1280];

/// Blocks of the same kind: the paper's table 2.
struct Stage {
    expansion: usize,
    channels: usize,
    depth: usize,
    stride: usize,
}

const fn stage(expansion: usize, channels: usize, depth: usize, stride: usize) -> Stage {
    Stage {
        expansion,
        channels,
        depth,
        stride,
    }
}

const STAGES: [Stage; 7] = [
    stage(1, 16, 1, 1),
    stage(6, 24, 2, 2),
    stage(6, 32, 3, 2),
    stage(6, 64, 4, 2),
    stage(6, 96, 3, 1),
    stage(6, 160, 3, 2),
    stage(6, 320, 1, 1),
];

/// The layers of torchvision's `mobilenet_v2`.
pub(super) fn mobilenet_v2(classes: usize, options: &ZooOptions) -> Network {
    let unit = ConvolutionNormActivation {
        norm: batch_norm(),
        activation: Op::Relu6 {},
    };
    let mut network = Network::new(Initialization {
        linear: WeightInit::Normal { deviation: 0.01 },
        ..Initialization::default()
    });
    let [first, last] = ENDS;
    unit.add(
        &mut network,
        "features.0",
        Convolution::same(first, 3).stride(2),
    );
    let depth = STAGES.iter().map(|stage| stage.depth).sum();
    let mut probabilities = growing_to(options.stochastic_depth.unwrap_or(0.0), depth);
    let (mut in_channels, mut number) = (first, 1);
    for stage in STAGES {
        for index in 0..stage.depth {
            let block = Bottleneck {
                expansion: stage.expansion,
                in_channels,
                out_channels: stage.channels,
                stride: if index == 0 { stage.stride } else { 1 },
            };
            let probability = probabilities.next().unwrap_or_default();
            block.add(
                &mut network,
                &format!("features.{number}"),
                &unit,
                probability,
            );
            in_channels = stage.channels;
            number += 1;
        }
    }
    let name = format!("features.{number}");
    unit.add(&mut network, &name, Convolution::same(last, 1));
    network
        .add("avgpool", Op::GlobalAvgPool {})
        .add("flatten", Op::Flatten {})
        .add("classifier.0", dropout(options.dropout.unwrap_or(DROPOUT)))
        .add("classifier.1", linear(classes));
    network
}

/// A convolution 1×1 that widens, one per channel, and one 1×1 that narrows, without activation.
struct Bottleneck {
    expansion: usize,
    in_channels: usize,
    out_channels: usize,
    stride: usize,
}

impl Bottleneck {
    fn add(
        &self,
        network: &mut Network,
        name: &str,
        unit: &ConvolutionNormActivation,
        drop_probability: f64,
    ) {
        let skip = network.end();
        let channels = self.in_channels * self.expansion;
        let mut part = 0;
        if self.expansion > 1 {
            unit.add(
                network,
                &format!("{name}.conv.0"),
                Convolution::same(channels, 1),
            );
            part = 1;
        }
        let depthwise = Convolution::depthwise(channels, 3).stride(self.stride);
        unit.add(network, &format!("{name}.conv.{part}"), depthwise);
        network
            .add(
                format!("{name}.conv.{}", part + 1),
                Convolution::same(self.out_channels, 1),
            )
            .add(format!("{name}.conv.{}", part + 2), unit.norm.clone());
        if self.stride == 1 && self.in_channels == self.out_channels {
            network.add_residual(name, &skip, drop_probability);
        }
    }
}
