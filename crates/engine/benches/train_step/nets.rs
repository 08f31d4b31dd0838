//! The nets that are measured: the zoo's, and a small one of its own.

use ferrotype_core::graph::Graph;
use ferrotype_core::graph::zoo::{self, ZooOptions};
use serde_json::{Value, json};

/// Builds `net` for square images of `side` pixels.
pub(crate) fn build(net: &str, side: usize, classes: usize) -> Graph {
    let input = [3, side, side];
    match net {
        "small_cnn" => Graph::from_layers(net, input, classes, &small_cnn(classes)).unwrap(),
        _ => zoo::build(net, input, classes, &ZooOptions::default()).unwrap(),
    }
}

/// Three blocks of convolution 3×3, ReLU and max pooling with 32, 64 and 128 channels; linear
/// (256), ReLU, linear (classes).
fn small_cnn(classes: usize) -> Value {
    let mut layers = Vec::new();
    for (block, channels) in (1..).zip([32, 64, 128]) {
        layers.extend([
            json!({"name": format!("conv{block}"), "op": "conv2d", "out_channels": channels, "kernel": 3, "padding": 1}),
            json!({"name": format!("relu{block}"), "op": "relu"}),
            json!({"name": format!("pool{block}"), "op": "max_pool2d", "kernel": 2}),
        ]);
    }
    layers.extend([
        json!({"name": "flatten", "op": "flatten"}),
        json!({"name": "fc1", "op": "linear", "out_features": 256}),
        json!({"name": "relu4", "op": "relu"}),
        json!({"name": "fc2", "op": "linear", "out_features": classes}),
    ]);
    Value::Array(layers)
}
