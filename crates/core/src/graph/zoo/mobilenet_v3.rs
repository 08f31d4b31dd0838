//! MobileNetV3 (Howard et al. 2019, arXiv:1905.02244), as torchvision has it.

use super::ZooOptions;
use super::network::{
    Convolution, ConvolutionNormActivation, Network, SqueezeExcitation, dropout, growing_to,
    linear, nearest_multiple_of_eight,
};
use crate::graph::{Initialization, Op, WeightInit};

/// torchvision's default probability of zeroing a feature.
const DROPOUT: f64 = 0.2;

/// Channels of the first convolution, of the last, and of the layer before the last.
const FIRST: usize = 16;
const LAST: usize = 576;
const HIDDEN: usize = 1024;

/// A bottleneck block.
struct Block {
    kernel: usize,
    expanded: usize,
    out_channels: usize,
    squeeze: Squeeze,
    activation: Op,
    stride: usize,
}

#[derive(PartialEq)]
enum Squeeze {
    Yes,
    No,
}

const fn block(
    kernel: usize,
    expanded: usize,
    out_channels: usize,
    squeeze: Squeeze,
    activation: Op,
    stride: usize,
) -> Block {
    Block {
        kernel,
        expanded,
        out_channels,
        squeeze,
        activation,
        stride,
    }
}

/// The paper's table 2.
const SMALL: [Block; 11] = [
    block(3, 16, 16, Squeeze::Yes, Op::Relu {}, 2),
    block(3, 72, 24, Squeeze::No, Op::Relu {}, 2),
    block(3, 88, 24, Squeeze::No, Op::Relu {}, 1),
    block(5, 96, 40, Squeeze::Yes, Op::HardSwish {}, 2),
    block(5, 240, 40, Squeeze::Yes, Op::HardSwish {}, 1),
    block(5, 240, 40, Squeeze::Yes, Op::HardSwish {}, 1),
    block(5, 120, 48, Squeeze::Yes, Op::HardSwish {}, 1),
    block(5, 144, 48, Squeeze::Yes, Op::HardSwish {}, 1),
    block(5, 288, 96, Squeeze::Yes, Op::HardSwish {}, 2),
    block(5, 576, 96, Squeeze::Yes, Op::HardSwish {}, 1),
    block(5, 576, 96, Squeeze::Yes, Op::HardSwish {}, 1),
];

/// torchvision's batch norm of this family.
const fn norm() -> Op {
    Op::BatchNorm2d {
        epsilon: 1e-3,
        momentum: 0.01,
    }
}

const fn unit(activation: Op) -> ConvolutionNormActivation {
    ConvolutionNormActivation {
        norm: norm(),
        activation,
    }
}

/// The layers of torchvision's `mobilenet_v3_small`.
pub(super) fn mobilenet_v3_small(classes: usize, options: &ZooOptions) -> Network {
    let mut network = Network::new(Initialization {
        linear: WeightInit::Normal { deviation: 0.01 },
        ..Initialization::default()
    });
    let ends = unit(Op::HardSwish {});
    ends.add(
        &mut network,
        "features.0",
        Convolution::same(FIRST, 3).stride(2),
    );
    let last = options.stochastic_depth.unwrap_or(0.0);
    let probabilities = growing_to(last, SMALL.len());
    let mut in_channels = FIRST;
    for ((number, block), probability) in (1..).zip(SMALL).zip(probabilities) {
        let name = format!("features.{number}");
        block.add(&mut network, &name, in_channels, probability);
        in_channels = block.out_channels;
    }
    let name = format!("features.{}", SMALL.len() + 1);
    ends.add(&mut network, &name, Convolution::same(LAST, 1));
    network
        .add("avgpool", Op::GlobalAvgPool {})
        .add("flatten", Op::Flatten {})
        .add("classifier.0", linear(HIDDEN))
        .add("classifier.1", Op::HardSwish {})
        .add("classifier.2", dropout(options.dropout.unwrap_or(DROPOUT)))
        .add("classifier.3", linear(classes));
    network
}

impl Block {
    fn add(&self, network: &mut Network, name: &str, in_channels: usize, drop_probability: f64) {
        let skip = network.end();
        let unit = unit(self.activation.clone());
        let mut parts = (0..).map(|part: usize| format!("{name}.block.{part}"));
        let mut part = || parts.next().unwrap_or_default();
        if self.expanded != in_channels {
            unit.add(network, &part(), Convolution::same(self.expanded, 1));
        }
        let depthwise = Convolution::depthwise(self.expanded, self.kernel).stride(self.stride);
        unit.add(network, &part(), depthwise);
        if self.squeeze == Squeeze::Yes {
            let squeeze = SqueezeExcitation {
                activation: Op::Relu {},
                gate: Op::HardSigmoid {},
            };
            let squeezed = nearest_multiple_of_eight(self.expanded / 4);
            squeeze.add(network, &part(), self.expanded, squeezed);
        }
        unit.add_linear(network, &part(), Convolution::same(self.out_channels, 1));
        if self.stride == 1 && in_channels == self.out_channels {
            network.add_residual(name, &skip, drop_probability);
        }
    }
}
