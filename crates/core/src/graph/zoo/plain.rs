//! Chains of convolutions with a small head.

use super::ZooOptions;
use super::network::{Convolution, Network, batch_norm, dropout, halving, linear};
use crate::graph::{Initialization, Op};

/// The default probability of zeroing a feature.
const DROPOUT: f64 = 0.2;

/// Three blocks of convolution 3×3, batch norm, ReLU and max pooling with 32, 64 and 128
/// channels; global average pooling; linear (128), ReLU, dropout, linear (classes).
pub(super) fn baseline(classes: usize, options: &ZooOptions) -> Network {
    let mut network = Network::new(Initialization::default());
    for (block, channels) in (1..).zip([32, 64, 128]) {
        network
            // Batch norm follows and has a shift of its own.
            .add(format!("conv{block}"), Convolution::same(channels, 3))
            .add(format!("bn{block}"), batch_norm())
            .add(format!("relu{block}"), Op::Relu {})
            .add(format!("pool{block}"), halving());
    }
    network
        .add("avgpool", Op::GlobalAvgPool {})
        .add("flatten", Op::Flatten {})
        .add("fc1", linear(128))
        .add("relu4", Op::Relu {})
        .add("dropout", dropout(options.dropout.unwrap_or(DROPOUT)))
        .add("fc2", linear(classes));
    network
}

/// Channels of [`cnn6`]'s blocks: a tile of 256 pixels ends as 4×4 pixels of 256 channels.
const CNN6_CHANNELS: [usize; 6] = [32, 64, 128, 128, 256, 256];

/// Six blocks of convolution 3×3, ReLU, max pooling and batch norm; global average pooling,
/// dropout, linear (classes). For aerial tiles of 256 pixels.
pub(super) fn cnn6(classes: usize, options: &ZooOptions) -> Network {
    let mut network = Network::new(Initialization::default());
    for (block, channels) in (1..).zip(CNN6_CHANNELS) {
        network
            .add(
                format!("conv{block}"),
                Convolution::same(channels, 3).biased(),
            )
            .add(format!("relu{block}"), Op::Relu {})
            .add(format!("pool{block}"), halving())
            .add(format!("bn{block}"), batch_norm());
    }
    network
        .add("avgpool", Op::GlobalAvgPool {})
        .add("flatten", Op::Flatten {})
        .add("dropout", dropout(options.dropout.unwrap_or(DROPOUT)))
        .add("fc", linear(classes));
    network
}
