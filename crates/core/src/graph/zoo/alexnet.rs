//! AlexNet (Krizhevsky 2014, arXiv:1404.5997), as torchvision has it.

use super::ZooOptions;
use super::network::{Convolution, Network, adaptive_pool, dropout, linear, max_pool};
use crate::graph::{Initialization, Op, WeightInit};

/// torchvision's default probability of zeroing a feature.
const DROPOUT: f64 = 0.5;

/// The layers of torchvision's `alexnet`.
pub(super) fn alexnet(classes: usize, options: &ZooOptions) -> Network {
    let probability = options.dropout.unwrap_or(DROPOUT);
    // torchvision leaves PyTorch's defaults as they are here.
    let mut network = Network::new(Initialization {
        convolution: WeightInit::UniformFanIn,
        linear: WeightInit::UniformFanIn,
    });
    let features: [Op; 13] = [
        Convolution::same(64, 11)
            .stride(4)
            .padding(2)
            .biased()
            .into(),
        Op::Relu {},
        max_pool(3, 2, 0),
        Convolution::same(192, 5).biased().into(),
        Op::Relu {},
        max_pool(3, 2, 0),
        Convolution::same(384, 3).biased().into(),
        Op::Relu {},
        Convolution::same(256, 3).biased().into(),
        Op::Relu {},
        Convolution::same(256, 3).biased().into(),
        Op::Relu {},
        max_pool(3, 2, 0),
    ];
    for (index, op) in features.into_iter().enumerate() {
        network.add(format!("features.{index}"), op);
    }
    network
        .add("avgpool", adaptive_pool(6))
        .add("flatten", Op::Flatten {})
        .add("classifier.0", dropout(probability))
        .add("classifier.1", linear(4096))
        .add("classifier.2", Op::Relu {})
        .add("classifier.3", dropout(probability))
        .add("classifier.4", linear(4096))
        .add("classifier.5", Op::Relu {})
        .add("classifier.6", linear(classes));
    network
}
