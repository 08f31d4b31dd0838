//! The built-in architectures: names, sizes, options.

use super::*;
use crate::graph::Op;

#[test]
fn the_baseline_has_the_shapes_and_costs_of_its_definition() {
    let graph = build("baseline", [3, 32, 32], 10, &ZooOptions::default()).unwrap();
    let infos = graph.check(10).unwrap();
    let shape = |name: &str| {
        let info = infos.iter().find(|info| info.name == name).unwrap();
        info.output_shape.clone()
    };
    assert_eq!(shape("conv1"), [32, 32, 32]);
    assert_eq!(shape("pool3"), [128, 4, 4]);
    assert_eq!(shape("flatten"), [128]);
    let parameters: u64 = infos.iter().map(|info| info.parameters).sum();
    let convolutions = 27 * 32 + 288 * 64 + 576 * 128;
    let norms = 2 * (32 + 64 + 128);
    let linears = 128 * 128 + 128 + 128 * 10 + 10;
    assert_eq!(parameters, convolutions + norms + linears);
    assert_eq!(infos[0].flops, 2 * 27 * 32 * 32 * 32);
    assert_eq!(graph.embedding_layer(), Some("dropout"));
    assert_eq!(graph.output_layer(), Some("fc2"));
}

#[test]
fn every_architecture_takes_its_least_side_and_names_it_below() {
    for architecture in &ARCHITECTURES {
        let least = architecture.least_side;
        let build = |side| {
            build(
                architecture.name,
                [3, side, side],
                2,
                &ZooOptions::default(),
            )
        };
        build(least).unwrap();
        build(least + 3).unwrap();
        let Err(error) = build(least - 1) else {
            panic!("{}", architecture.name);
        };
        if least > 1 {
            let expected = format!(
                "`{}` takes images of {least}×{least} pixels or more, got {below}×{below}",
                architecture.name,
                below = least - 1
            );
            assert_eq!(error.to_string(), expected);
            assert!(error.hint().unwrap().contains("data.image_size"));
        }
    }
}

#[test]
fn an_unknown_architecture_names_the_nearest() {
    let error = build("basline", [3, 32, 32], 2, &ZooOptions::default()).unwrap_err();
    assert_eq!(error.kind(), GraphErrorKind::UnknownArchitecture);
    assert_eq!(error.hint().as_deref(), Some("did you mean `baseline`?"));
}

#[test]
fn images_may_be_wider_than_high_and_have_other_channels() {
    for name in NAMES {
        let graph = build(name, [1, 64, 96], 3, &ZooOptions::default()).unwrap();
        let tensors = graph.tensors().unwrap();
        let convolution = tensors.iter().find(|spec| spec.shape.len() == 4).unwrap();
        assert_eq!(convolution.shape[1], 1, "{name}");
    }
}

#[test]
fn parameters_are_those_that_torchvision_and_timm_publish() {
    let published = [
        ("alexnet", 61_100_840),
        ("vgg11", 132_863_336),
        ("vgg11_bn", 132_868_840),
        ("vgg16", 138_357_544),
        ("vgg16_bn", 138_365_992),
        ("resnet18", 11_689_512),
        ("resnet34", 21_797_672),
        ("resnet50", 25_557_032),
        ("mobilenet_v2", 3_504_872),
        ("mobilenet_v3_small", 2_542_856),
        ("efficientnet_b0", 5_288_548),
        ("convnext_tiny", 28_589_128),
        ("vit_tiny", 5_717_416),
    ];
    for (name, parameters) in published {
        let graph = build(name, [3, 224, 224], 1000, &ZooOptions::default()).unwrap();
        let infos = graph.shapes().unwrap();
        let counted: u64 = infos.iter().map(|info| info.parameters).sum();
        assert_eq!(counted, parameters, "{name}");
    }
}

/// Probabilities of the dropped branches, in order.
fn drop_probabilities(name: &str, options: &ZooOptions) -> Vec<f64> {
    let graph = build(name, [3, 64, 64], 3, options).unwrap();
    let probability = |op: &Op| match op {
        Op::StochasticDepth { probability } => Some(*probability),
        _ => None,
    };
    graph
        .layers
        .iter()
        .filter_map(|layer| probability(&layer.op))
        .collect()
}

#[test]
fn stochastic_depth_grows_from_the_first_block_to_the_last() {
    let reference = drop_probabilities("efficientnet_b0", &ZooOptions::default());
    assert_eq!(reference.len(), 9, "blocks with a residual branch");
    assert!((reference[0] - 0.2 * 2.0 / 16.0).abs() < 1e-12);
    assert!(reference.is_sorted());
    let options = ZooOptions {
        stochastic_depth: Some(0.1),
        ..ZooOptions::default()
    };
    for (name, blocks) in [("resnet18", 7), ("convnext_tiny", 17), ("vit_tiny", 22)] {
        assert!(drop_probabilities(name, &ZooOptions::default()).is_empty());
        let probabilities = drop_probabilities(name, &options);
        assert_eq!(probabilities.len(), blocks, "{name}");
        assert!(probabilities.is_sorted());
        assert!((probabilities.last().unwrap() - 0.1).abs() < 1e-12);
    }
}

#[test]
fn options_that_mean_nothing_are_refused() {
    let with = |stochastic_depth| ZooOptions {
        stochastic_depth: Some(stochastic_depth),
        ..ZooOptions::default()
    };
    assert!(build("vgg16", [3, 32, 32], 2, &with(0.0)).is_ok());
    let error = build("vgg16", [3, 32, 32], 2, &with(0.1)).unwrap_err();
    assert!(
        error.to_string().contains("no residual branches"),
        "{error}"
    );
    for probability in [-0.1, 1.0, f64::NAN] {
        let error = build("resnet18", [3, 32, 32], 2, &with(probability)).unwrap_err();
        assert_eq!(error.kind(), GraphErrorKind::InvalidValue);
    }
}

#[test]
fn dropout_is_the_references_unless_it_is_chosen() {
    let probabilities = |name: &str, options: &ZooOptions| -> Vec<f64> {
        let graph = build(name, [3, 64, 64], 3, options).unwrap();
        let probability = |op: &Op| match op {
            Op::Dropout { probability } => Some(*probability),
            _ => None,
        };
        graph
            .layers
            .iter()
            .filter_map(|layer| probability(&layer.op))
            .collect()
    };
    assert_eq!(probabilities("vgg16", &ZooOptions::default()), [0.5, 0.5]);
    assert!(probabilities("resnet18", &ZooOptions::default()).is_empty());
    for name in NAMES {
        let chosen = probabilities(name, &ZooOptions::with_dropout(0.3));
        assert!(
            !chosen.is_empty() && chosen.iter().all(|chosen| *chosen == 0.3),
            "{name}"
        );
    }
}

#[test]
fn every_architecture_reads_back_from_its_own_json() {
    for name in NAMES {
        let graph = build(name, [3, 64, 64], 3, &ZooOptions::default()).unwrap();
        let value = serde_json::to_value(&graph).unwrap();
        assert_eq!(Graph::from_value(value).unwrap(), graph, "{name}");
    }
}

#[test]
fn the_embedding_is_the_row_before_the_last_layer() {
    for (name, features) in [("resnet50", 2048), ("vgg16", 4096), ("vit_tiny", 192)] {
        let graph = build(name, [3, 64, 64], 3, &ZooOptions::default()).unwrap();
        let infos = graph.shapes().unwrap();
        let embedding = graph.embedding_layer().unwrap();
        let info = infos.iter().find(|info| info.name == embedding).unwrap();
        assert_eq!(info.output_shape, [features], "{name}");
    }
}

/// `11689512` as `11,689,512`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| str::from_utf8(group).unwrap())
        .collect();
    groups.join(",")
}

#[test]
fn the_table_in_the_documentation_has_the_figures() {
    let page = include_str!("../../../../../docs/architectures.md");
    let missing: Vec<String> = ARCHITECTURES
        .iter()
        .map(|architecture| {
            let name = architecture.name;
            let graph = build(name, [3, 224, 224], 1000, &ZooOptions::default()).unwrap();
            let summary = crate::graph::summary(&graph).unwrap();
            let parameters = grouped(summary.parameters);
            let gflop = summary.flops as f64 / 1e9;
            let least = architecture.least_side;
            format!("| `{name}` | {parameters} | {gflop:.2} | {least} |")
        })
        .filter(|row| !page.contains(row.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/architectures.md lacks\n{}",
        missing.join("\n")
    );
}
