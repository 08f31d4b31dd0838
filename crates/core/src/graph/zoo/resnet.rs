//! Residual networks (He et al. 2016, arXiv:1512.03385), as torchvision has them: the stride of a
//! bottleneck is in its 3×3 convolution.

use super::ZooOptions;
use super::network::{Convolution, Network, batch_norm, growing_to, linear, max_pool};
use crate::graph::{Initialization, Op};

/// Channels of the stages, before a bottleneck widens them.
const CHANNELS: [usize; 4] = [64, 128, 256, 512];

/// What a network's blocks are.
#[derive(Clone, Copy)]
pub(super) enum Block {
    /// Two convolutions 3×3.
    Basic,
    /// A convolution 1×1 that narrows, one 3×3, and one 1×1 that widens four times.
    Bottleneck,
}

impl Block {
    const fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }

    /// The convolutions of the residual branch.
    fn convolutions(self, channels: usize, stride: usize) -> Vec<Convolution> {
        let strided = Convolution::same(channels, 3).stride(stride);
        match self {
            Self::Basic => vec![strided, Convolution::same(channels, 3)],
            Self::Bottleneck => vec![
                Convolution::same(channels, 1),
                strided,
                Convolution::same(channels * self.expansion(), 1),
            ],
        }
    }
}

/// The layers of torchvision's `resnet18` and so on; `depths` counts the blocks of each stage.
pub(super) fn resnet(
    block: Block,
    depths: [usize; 4],
    classes: usize,
    options: &ZooOptions,
) -> Network {
    let mut network = Network::new(Initialization::default());
    network
        .add("conv1", Convolution::same(64, 7).stride(2))
        .add("bn1", batch_norm())
        .add("relu", Op::Relu {})
        .add("maxpool", max_pool(3, 2, 1));
    let last = options.stochastic_depth.unwrap_or(0.0);
    let mut probabilities = growing_to(last, depths.iter().sum());
    let mut in_channels = 64;
    for (stage, (depth, channels)) in (1..).zip(depths.into_iter().zip(CHANNELS)) {
        for index in 0..depth {
            let name = format!("layer{stage}.{index}");
            let stride = if stage > 1 && index == 0 { 2 } else { 1 };
            let out_channels = channels * block.expansion();
            let skip = add_branch(&mut network, &name, &block.convolutions(channels, stride));
            let probability = probabilities.next().unwrap_or_default();
            network.add_stochastic_depth(format!("{name}.stochastic_depth"), probability);
            let branch = network.end();
            if stride > 1 || in_channels != out_channels {
                network
                    .branch_from(&skip)
                    .add(
                        format!("{name}.downsample.0"),
                        Convolution::same(out_channels, 1).stride(stride),
                    )
                    .add(format!("{name}.downsample.1"), batch_norm());
            } else {
                network.branch_from(&skip);
            }
            network
                .join(format!("{name}.add"), Op::Add {}, &branch)
                .add(format!("{name}.relu"), Op::Relu {});
            in_channels = out_channels;
        }
    }
    network
        .add("avgpool", Op::GlobalAvgPool {})
        .add("flatten", Op::Flatten {})
        .add_dropout("dropout", options.dropout.unwrap_or(0.0))
        .add("fc", linear(classes));
    network
}

/// Adds the residual branch of block `name`; answers the layer that it reads.
fn add_branch(network: &mut Network, name: &str, convolutions: &[Convolution]) -> String {
    let skip = network.end();
    for (number, convolution) in (1..).zip(convolutions) {
        network
            .add(format!("{name}.conv{number}"), *convolution)
            .add(format!("{name}.bn{number}"), batch_norm());
        if number < convolutions.len() {
            network.add(format!("{name}.relu{number}"), Op::Relu {});
        }
    }
    skip
}
