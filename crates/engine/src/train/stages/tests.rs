use ferrotype_core::graph::zoo::{self, ZooOptions};
use serde_json::json;

use super::*;
use crate::train::settings::tests::plain;

fn graph(name: &str) -> Graph {
    zoo::build(name, [3, 64, 64], 5, &ZooOptions::default()).unwrap()
}

/// The name of each stage's first tensor.
fn stage_heads(name: &str) -> Vec<String> {
    let graph = graph(name);
    let specs = graph.tensors().unwrap();
    let stages = stages_of(&graph, &specs);
    let count = stages.iter().max().unwrap() + 1;
    (0..count)
        .map(|stage| {
            let first = stages.iter().position(|s| *s == stage).unwrap();
            specs[first].name.clone()
        })
        .collect()
}

#[test]
fn stages_are_the_blocks_that_an_architecture_names() {
    assert_eq!(
        stage_heads("baseline"),
        [
            "conv1.weight",
            "conv2.weight",
            "conv3.weight",
            "fc1.weight",
            "fc2.weight"
        ]
    );
    assert_eq!(
        stage_heads("resnet18"),
        [
            "conv1.weight",
            "layer1.0.conv1.weight",
            "layer2.0.conv1.weight",
            "layer3.0.conv1.weight",
            "layer4.0.conv1.weight",
            "fc.weight",
        ]
    );
    let vit = stage_heads("vit_tiny");
    assert_eq!(vit.len(), 14, "patches, twelve blocks, head: {vit:?}");
    assert_eq!(vit.last().unwrap(), "head.weight");
    assert_eq!(stage_heads("vgg16_bn").len(), 16);
}

#[test]
fn every_architecture_ends_with_a_stage_that_is_its_head() {
    for name in zoo::NAMES {
        let heads = stage_heads(name);
        let graph = graph(name);
        let last = &graph.layers.last().unwrap().name;
        assert!(
            heads.last().unwrap().starts_with(last.as_str()),
            "{name}: {heads:?}"
        );
    }
}

fn fitted(fits: &[Option<Fit>], specs: &[TensorSpec], name: &str) -> Option<Fit> {
    fits[specs.iter().position(|spec| spec.name == name).unwrap()]
}

#[test]
fn patterns_freeze_layers_and_what_is_inside_them() {
    let graph = graph("resnet18");
    let specs = graph.tensors().unwrap();
    let config = TrainConfig {
        freeze: Some(Freeze::Layers(vec![
            "layer1".into(),
            "layer*.0.downsample".into(),
        ])),
        ..plain()
    };
    let fits = Fits::new(&graph, &config, 10).unwrap().in_epoch(0);
    for (name, is_fitted) in [
        ("layer1.1.conv2.weight", false),
        ("layer1.0.bn1.bias", false),
        ("layer2.0.downsample.0.weight", false),
        ("layer2.0.conv1.weight", true),
        ("conv1.weight", true),
        ("bn1.running_mean", false),
    ] {
        assert_eq!(fitted(&fits, &specs, name).is_some(), is_fitted, "{name}");
    }
    let config = TrainConfig {
        freeze: Some(Freeze::Layers(vec!["layer9".into()])),
        ..plain()
    };
    let error = Fits::new(&graph, &config, 10).unwrap_err();
    assert!(error.to_string().contains("`layer9`"), "{error}");
    assert!(error.hint().unwrap().contains("did you mean `layer"));
}

#[test]
fn stages_thaw_from_the_head_downwards() {
    let graph = graph("baseline");
    let specs = graph.tensors().unwrap();
    let config = TrainConfig {
        unfreeze_every_epochs: Some(2),
        ..plain()
    };
    let fits = Fits::new(&graph, &config, 10).unwrap();
    let since = |epoch, name| fitted(&fits.in_epoch(epoch), &specs, name).map(|fit| fit.since);
    assert_eq!(since(0, "fc2.weight"), Some(0));
    assert_eq!(since(1, "fc1.weight"), None);
    assert_eq!(since(2, "fc1.weight"), Some(20));
    assert_eq!(since(2, "conv3.weight"), None);
    assert_eq!(since(5, "bn3.weight"), Some(40));
    assert_eq!(since(7, "conv1.weight"), None);
    assert_eq!(since(8, "conv1.weight"), Some(80));
}

#[test]
fn the_head_learns_fastest_with_a_layer_decay() {
    let graph = graph("baseline");
    let specs = graph.tensors().unwrap();
    let config = TrainConfig {
        layer_decay: Some(0.5),
        ..plain()
    };
    let fits = Fits::new(&graph, &config, 10).unwrap().in_epoch(0);
    let rate = |name| fitted(&fits, &specs, name).unwrap().rate;
    assert_eq!(rate("fc2.bias"), 1.0);
    assert_eq!(rate("fc1.weight"), 0.5);
    assert_eq!(rate("bn1.weight"), 0.0625);
}

#[test]
fn freezing_all_stages_is_refused_with_the_most_that_may_be() {
    let graph = graph("baseline");
    let config = TrainConfig {
        freeze: Some(Freeze::Stages(5)),
        ..plain()
    };
    let error = Fits::new(&graph, &config, 10).unwrap_err();
    assert!(error.hint().unwrap().contains("freeze 4 stages at most"));
}

#[test]
fn a_star_stands_for_any_characters() {
    for (pattern, text, expected) in [
        ("*", "a.b", true),
        ("layer*", "layer1", true),
        ("*.conv1", "layer1.0.conv1", true),
        ("a*b*c", "a12b3c", true),
        ("a*b*c", "a12c", false),
        ("layer", "layer1", false),
    ] {
        assert_eq!(
            matches(pattern.as_bytes(), text.as_bytes()),
            expected,
            "{pattern} {text}"
        );
    }
    let layers = json!(["flatten", {"name": "layer10", "op": "linear", "out_features": "classes"}]);
    let graph = Graph::from_layers("x", [3, 2, 2], 2, &layers).unwrap();
    let mut frozen = [false; 2];
    let specs = graph.tensors().unwrap();
    assert!(freeze_matching(&graph, &specs, "layer1", &mut frozen).is_err());
}
