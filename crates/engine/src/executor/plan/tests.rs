use ferrotype_core::graph::zoo::{self, ZooOptions};

use super::*;

fn groups(name: &str, mode: Mode) -> Vec<String> {
    let graph = zoo::build(name, [3, 64, 64], 10, &ZooOptions::default()).unwrap();
    let plan = Plan::new(&graph, &graph.tensors().unwrap()).unwrap();
    let in_words = |group: &Group| {
        let names: Vec<&str> = group
            .layers
            .iter()
            .map(|layer| plan.layers[*layer].name.as_str())
            .collect();
        names.join(" + ")
    };
    plan.groups(mode).iter().map(in_words).collect()
}

/// The groups of more than one layer.
fn fused(name: &str) -> Vec<String> {
    let groups = groups(name, Mode::Training);
    groups
        .into_iter()
        .filter(|group| group.contains('+'))
        .collect()
}

#[test]
fn the_baseline_normalises_rectifies_and_pools_at_once() {
    assert_eq!(
        groups("baseline", Mode::Training),
        [
            "conv1",
            "bn1 + relu1 + pool1",
            "conv2",
            "bn2 + relu2 + pool2",
            "conv3",
            "bn3 + relu3 + pool3",
            "avgpool + flatten",
            "fc1",
            "relu4",
            "dropout",
            "fc2",
        ]
    );
}

/// The normalisations that are left to the convolution that reads them.
fn deferred(name: &str) -> Vec<String> {
    let graph = zoo::build(name, [3, 64, 64], 10, &ZooOptions::default()).unwrap();
    let plan = Plan::new(&graph, &graph.tensors().unwrap()).unwrap();
    let groups = plan.groups(Mode::Training);
    let deferred = groups.iter().filter(|group| group.is_deferred);
    deferred
        .map(|group| plan.layers[group.first_layer()].name.clone())
        .collect()
}

#[test]
fn mobilenet_normalises_as_it_convolves_where_nobody_else_reads() {
    assert_eq!(
        deferred("mobilenet_v2")[..6],
        [
            "features.0.1",
            "features.1.conv.0.1",
            "features.1.conv.2",
            "features.2.conv.0.1",
            "features.2.conv.1.1",
            // The one below this block goes to a sum too.
            "features.3.conv.0.1",
        ]
    );
    // Its convolutions look at three by three pixels.
    assert!(deferred("resnet18").is_empty());
}

#[test]
fn dropout_costs_nothing_in_evaluation() {
    let groups = groups("baseline", Mode::Evaluation);
    assert_eq!(groups[8..], ["relu4 + dropout", "fc2"]);
}

#[test]
fn resnet18_adds_its_shortcuts_where_it_normalises() {
    let fused = fused("resnet18");
    assert_eq!(
        fused[..3],
        [
            "bn1 + relu + maxpool",
            "layer1.0.bn1 + layer1.0.relu1",
            "layer1.0.bn2 + layer1.0.add + layer1.0.relu",
        ]
    );
    let sums = fused
        .iter()
        .filter(|group| group.contains(".add + "))
        .count();
    assert_eq!((fused.len(), sums), (18, 8));
    assert!(groups("resnet18", Mode::Training).contains(&"layer2.0.downsample.1".to_string()));
}

#[test]
fn vgg_rectifies_where_it_pools() {
    assert_eq!(
        fused("vgg11"),
        [
            "features.1 + features.2",
            "features.4 + features.5",
            "features.9 + features.10",
            "features.14 + features.15",
            "features.19 + features.20",
        ]
    );
    assert!(fused("vgg11_bn").contains(&"features.1 + features.2 + features.3".to_string()));
}

#[test]
fn mobilenet_v2_normalises_with_its_rectifiers_and_its_shortcuts() {
    let fused = fused("mobilenet_v2");
    let of = |end: &str| fused.iter().filter(|group| group.ends_with(end)).count();
    assert_eq!(of(".add"), 10);
    assert_eq!(of("flatten"), 1);
    // Seventeen blocks of two activations, the first of one; the stem and the head.
    assert_eq!(fused.len(), 10 + 1 + 33 + 2);
}

#[test]
fn what_others_read_is_not_fused() {
    let layers = serde_json::json!([
        {"op": "conv2d", "name": "conv", "out_channels": 4, "kernel": 1},
        {"op": "batch_norm2d", "name": "norm"},
        {"op": "relu", "name": "on"},
        {"op": "add", "name": "sum", "inputs": ["on", "norm"]},
        {"op": "relu", "name": "again"},
        {"op": "max_pool2d", "name": "pool", "kernel": 1},
        {"op": "concat", "name": "both", "inputs": ["again", "pool"]},
        {"op": "flatten", "name": "rows"},
        {"op": "linear", "name": "head", "out_features": "classes"},
    ]);
    let graph = Graph::from_layers("case", [3, 4, 4], 2, &layers).unwrap();
    let plan = Plan::new(&graph, &graph.tensors().unwrap()).unwrap();
    let groups = plan.groups(Mode::Training);
    assert!(groups.iter().all(|group| group.layers.len() == 1));
}
