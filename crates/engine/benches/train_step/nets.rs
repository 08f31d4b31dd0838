//! The nets that are measured: the zoo's, and a small one of its own.

use ferrotype_core::graph::zoo::{self, ZooOptions};
use ferrotype_core::graph::{Graph, Layer, Op, Size};

/// Builds `net` for square images of `side` pixels.
pub(crate) fn build(net: &str, side: usize, classes: usize) -> Graph {
    match net {
        "small_cnn" => small_cnn(side, classes),
        _ => zoo::build(net, [3, side, side], classes, &ZooOptions::default()).unwrap(),
    }
}

/// Three blocks of convolution 3×3, ReLU and max pooling with 32, 64 and 128 channels; linear
/// (256), ReLU, linear (classes).
fn small_cnn(side: usize, classes: usize) -> Graph {
    let mut ops = Vec::new();
    for out_channels in [32, 64, 128] {
        ops.extend([
            Op::Conv2d {
                out_channels,
                kernel: Size::square(3),
                stride: Size::square(1),
                padding: Size::square(1),
                dilation: Size::square(1),
                groups: 1,
                bias: true,
            },
            Op::Relu {},
            Op::MaxPool2d {
                kernel: Size::square(2),
                stride: None,
                padding: Size::square(0),
            },
        ]);
    }
    ops.extend([Op::Flatten {}, linear(256), Op::Relu {}, linear(classes)]);
    // Named by their position, as in PyTorch's `Sequential`.
    let layers = ops
        .into_iter()
        .enumerate()
        .map(|(index, op)| Layer {
            name: index.to_string(),
            op,
            inputs: Vec::new(),
        })
        .collect();
    let graph = Graph {
        name: "small_cnn".to_string(),
        input: [3, side, side],
        layers,
        embedding: None,
    };
    graph.check(classes).unwrap();
    graph
}

fn linear(out_features: usize) -> Op {
    Op::Linear {
        out_features,
        bias: true,
    }
}
