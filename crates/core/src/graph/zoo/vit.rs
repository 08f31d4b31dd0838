//! Vision transformers (Dosovitskiy et al. 2021, arXiv:2010.11929), as timm has them.

use super::ZooOptions;
use super::network::{Convolution, Network, growing_to, layer_norm, linear};
use crate::graph::{Initialization, Op, WeightInit};

/// Sizes of a transformer of square patches.
struct Shape {
    patch: usize,
    channels: usize,
    heads: usize,
    depth: usize,
}

/// Touvron et al. 2021, arXiv:2012.12877.
const TINY: Shape = Shape {
    patch: 16,
    channels: 192,
    heads: 3,
    depth: 12,
};

/// The layers of timm's `vit_tiny_patch16_224`; another image size has another number of positions.
pub(super) fn vit_tiny(classes: usize, options: &ZooOptions) -> Network {
    let mut network = Network::new(Initialization {
        convolution: WeightInit::UniformFanIn,
        linear: WeightInit::Normal { deviation: 0.02 },
    });
    network
        .add(
            "patch_embed.proj",
            Convolution::patches(TINY.channels, TINY.patch),
        )
        .add("cls_token", Op::ClassToken {})
        .add("pos_embed", Op::PositionEmbedding {});
    let last = options.stochastic_depth.unwrap_or(0.0);
    for (index, probability) in growing_to(last, TINY.depth).enumerate() {
        let name = format!("blocks.{index}");
        add_attention(&mut network, &name, probability);
        add_perceptron(&mut network, &name, probability);
    }
    network
        .add("norm", layer_norm())
        .add("pool", Op::SelectToken { index: 0 })
        .add_dropout("head_drop", options.dropout.unwrap_or(0.0))
        .add("head", linear(classes));
    network
}

fn add_attention(network: &mut Network, block: &str, drop_probability: f64) {
    let skip = network.end();
    network
        .add(format!("{block}.norm1"), layer_norm())
        .add(format!("{block}.attn.qkv"), linear(3 * TINY.channels))
        .add(format!("{block}.attn"), Op::Attention { heads: TINY.heads })
        .add(format!("{block}.attn.proj"), linear(TINY.channels))
        .add_stochastic_depth(format!("{block}.drop_path1"), drop_probability)
        .join(format!("{block}.add1"), Op::Add {}, &skip);
}

fn add_perceptron(network: &mut Network, block: &str, drop_probability: f64) {
    let skip = network.end();
    network
        .add(format!("{block}.norm2"), layer_norm())
        .add(format!("{block}.mlp.fc1"), linear(4 * TINY.channels))
        .add(format!("{block}.mlp.act"), Op::Gelu {})
        .add(format!("{block}.mlp.fc2"), linear(TINY.channels))
        .add_stochastic_depth(format!("{block}.drop_path2"), drop_probability)
        .join(format!("{block}.add2"), Op::Add {}, &skip);
}
