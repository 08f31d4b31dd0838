//! ConvNeXt (Liu et al. 2022, arXiv:2201.03545), as timm has it.

use super::ZooOptions;
use super::network::{Convolution, Network, growing_to, layer_norm, linear};
use crate::graph::{Initialization, LAYER_SCALE, Op, WeightInit};

/// Blocks and channels of each stage.
const TINY: [(usize, usize); 4] = [(3, 96), (3, 192), (9, 384), (3, 768)];

/// The layers of timm's `convnext_tiny`.
pub(super) fn convnext_tiny(classes: usize, options: &ZooOptions) -> Network {
    let normal = WeightInit::Normal { deviation: 0.02 };
    let mut network = Network::new(Initialization {
        convolution: normal,
        linear: normal,
    });
    network
        .add("stem.0", Convolution::patches(TINY[0].1, 4))
        .add("stem.1", layer_norm());
    let depth = TINY.iter().map(|(depth, _)| depth).sum();
    let mut probabilities = growing_to(options.stochastic_depth.unwrap_or(0.0), depth);
    for (stage, (depth, channels)) in TINY.into_iter().enumerate() {
        let name = format!("stages.{stage}");
        if stage > 0 {
            network
                .add(format!("{name}.downsample.0"), layer_norm())
                .add(
                    format!("{name}.downsample.1"),
                    Convolution::patches(channels, 2),
                );
        }
        for index in 0..depth {
            let probability = probabilities.next().unwrap_or_default();
            let block = format!("{name}.blocks.{index}");
            add_block(&mut network, &block, channels, probability);
        }
    }
    network
        .add("head.global_pool", Op::GlobalAvgPool {})
        .add("head.norm", layer_norm())
        .add("head.flatten", Op::Flatten {})
        .add_dropout("head.drop", options.dropout.unwrap_or(0.0))
        .add("head.fc", linear(classes));
    network
}

fn add_block(network: &mut Network, name: &str, channels: usize, drop_probability: f64) {
    let skip = network.end();
    network
        .add(
            format!("{name}.conv_dw"),
            Convolution::depthwise(channels, 7).biased(),
        )
        .add(format!("{name}.norm"), layer_norm())
        .add(format!("{name}.mlp.fc1"), linear(4 * channels))
        .add(format!("{name}.mlp.act"), Op::Gelu {})
        .add(format!("{name}.mlp.fc2"), linear(channels))
        // Its tensor is `gamma` of the block itself.
        .add(
            name,
            Op::LayerScale {
                initial: LAYER_SCALE,
            },
        )
        .add_residual(name, &skip, drop_probability);
}
