//! VGG (Simonyan & Zisserman 2014, arXiv:1409.1556), as torchvision has it.

use super::ZooOptions;
use super::network::{Convolution, Network, adaptive_pool, batch_norm, dropout, halving, linear};
use crate::graph::{Initialization, Op, WeightInit};

/// torchvision's default probability of zeroing a feature.
const DROPOUT: f64 = 0.5;

/// Channels of the convolutions between the poolings.
pub(super) type Stages = [&'static [usize]; 5];

/// The paper's configuration A: 11 layers with weights.
pub(super) const A: Stages = [&[64], &[128], &[256, 256], &[512, 512], &[512, 512]];

/// The paper's configuration D: 16 layers with weights.
pub(super) const D: Stages = [
    &[64, 64],
    &[128, 128],
    &[256, 256, 256],
    &[512, 512, 512],
    &[512, 512, 512],
];

/// Whether a batch norm follows each convolution.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Norm {
    Without,
    Batch,
}

/// The layers of torchvision's `vgg11` and so on.
pub(super) fn vgg(stages: &Stages, norm: Norm, classes: usize, options: &ZooOptions) -> Network {
    let probability = options.dropout.unwrap_or(DROPOUT);
    let mut network = Network::new(Initialization {
        linear: WeightInit::Normal { deviation: 0.01 },
        ..Initialization::default()
    });
    for (index, op) in features(stages, norm).into_iter().enumerate() {
        network.add(format!("features.{index}"), op);
    }
    network
        .add("avgpool", adaptive_pool(7))
        .add("flatten", Op::Flatten {})
        .add("classifier.0", linear(4096))
        .add("classifier.1", Op::Relu {})
        .add("classifier.2", dropout(probability))
        .add("classifier.3", linear(4096))
        .add("classifier.4", Op::Relu {})
        .add("classifier.5", dropout(probability))
        .add("classifier.6", linear(classes));
    network
}

fn features(stages: &Stages, norm: Norm) -> Vec<Op> {
    let mut features = Vec::new();
    for stage in stages {
        for channels in *stage {
            features.push(Convolution::same(*channels, 3).biased().into());
            if norm == Norm::Batch {
                features.push(batch_norm());
            }
            features.push(Op::Relu {});
        }
        features.push(halving());
    }
    features
}
