use ferrotype_core::graph::zoo;
use serde_json::{Value, json};

use super::*;
use crate::EngineErrorKind;

/// The baseline for so many classes.
fn baseline(classes: usize) -> Graph {
    zoo::build(
        "baseline",
        [3, 32, 32],
        classes,
        &zoo::ZooOptions::default(),
    )
    .unwrap()
}

/// A state of the graph, each number by its place in its tensor.
fn state(graph: &Graph) -> State {
    let mut state = State::default();
    for spec in graph.tensors().unwrap() {
        let values = (0..spec.element_count())
            .map(|index| index as f32)
            .collect();
        state.insert(spec.name, spec.shape, values);
    }
    state
}

fn renamed(state: &State, rename: impl Fn(&str) -> String) -> State {
    State {
        tensors: state
            .tensors
            .iter()
            .map(|(name, tensor)| (rename(name), tensor.clone()))
            .collect(),
    }
}

fn fitted(graph: &Graph, state: State) -> Fitted {
    fit(graph, &NamedTensors::from(state)).unwrap()
}

#[test]
fn a_state_of_the_same_graph_is_taken_whole() {
    let graph = baseline(3);
    let fitted = fitted(&graph, state(&graph));
    assert_eq!(fitted.state, state(&graph));
    let report = &fitted.report;
    assert_eq!(report.share(), 1.0);
    assert_eq!(report.tensors, graph.tensors().unwrap().len());
    assert!(report.summary().is_empty() && report.details().is_empty());
}

#[test]
fn prefixes_of_wrappers_are_left_out_as_far_as_they_help() {
    let graph = baseline(3);
    for prefix in ["module.", "_orig_mod.module.", "model.backbone.", "net."] {
        let mut wrapped = renamed(&state(&graph), |name| format!("{prefix}{name}"));
        wrapped.insert("criterion.weight", vec![3], vec![0.0; 3]);
        let fitted = fitted(&graph, wrapped);
        assert_eq!(fitted.state, state(&graph), "{prefix}");
        assert_eq!(fitted.report.removed_prefixes.concat(), prefix);
        assert_eq!(fitted.report.unexpected, ["criterion.weight"]);
    }
}

#[test]
fn a_head_of_other_classes_begins_anew() {
    let graph = baseline(3);
    let fitted = fitted(&graph, state(&baseline(10)));
    let head = |name: &str| name.starts_with("fc2.");
    let mut body = state(&graph);
    body.tensors.retain(|name, _| !head(name));
    assert_eq!(fitted.state, body);
    let report = &fitted.report;
    assert_eq!(report.share(), 1.0);
    assert_eq!(report.new_head.len(), 2);
    assert_eq!(
        report.summary(),
        ["the head `fc2` has 10 outputs in the file, 3 here: it begins anew"]
    );
}

#[test]
fn a_head_that_is_not_in_the_file_begins_anew() {
    let graph = baseline(3);
    let mut headless = state(&graph);
    headless.tensors.retain(|name, _| !name.starts_with("fc2."));
    let fitted = fitted(&graph, headless);
    assert_eq!(fitted.report.new_head.len(), 2);
    assert_eq!(fitted.report.summary(), ["the head `fc2` begins anew"]);
    assert_eq!(fitted.state.get("fc2.bias"), None);
}

#[test]
fn dimensions_of_size_one_do_not_matter() {
    let graph = baseline(3);
    let mut other = state(&graph);
    let weight = other.tensors.get_mut("fc1.weight").unwrap();
    weight.shape.extend([1, 1]);
    let fitted = fitted(&graph, other);
    assert_eq!(fitted.state, state(&graph));
    assert_eq!(fitted.report.reshaped.len(), 1);
    assert_eq!(
        fitted.report.details(),
        ["reshaped: `fc1.weight` is [128, 128, 1, 1] in the file, [128, 128] here"]
    );
}

#[test]
fn what_is_missing_unexpected_or_of_another_shape_is_listed() {
    let graph = baseline(3);
    let mut other = state(&graph);
    other.tensors.remove("bn1.bias");
    other.insert("bn2.weight", vec![2], vec![0.0; 2]);
    other.insert("aux.weight", vec![2], vec![0.0; 2]);
    other.insert("bn1.num_batches_tracked", vec![], vec![3.0]);
    let fitted = fitted(&graph, other);
    let report = &fitted.report;
    assert_eq!(report.missing, ["bn1.bias"]);
    assert_eq!(report.unexpected, ["aux.weight"]);
    assert_eq!(report.wrong_shape[0].name, "bn2.weight");
    assert_eq!(report.tensors, report.expected_tensors - 2);
    assert_eq!(
        report.summary(),
        [
            "of another shape, not taken: `bn2.weight` is [2] in the file, [64] here",
            "not in the file, begin anew: `bn1.bias`",
            "only in the file: `aux.weight`",
        ]
    );
    for name in ["bn1.bias", "bn2.weight", "aux.weight"] {
        assert_eq!(fitted.state.get(name), None);
    }
}

#[test]
fn weights_of_another_network_are_refused_with_its_name() {
    let layers = json!([
        {"op": "conv2d", "name": "stem", "out_channels": 8, "kernel": 3},
        "global_avg_pool", "flatten",
        {"op": "linear", "out_features": "classes"},
    ]);
    let graph = Graph::from_layers("mine", [3, 32, 32], 3, &layers).unwrap();
    let tensors = NamedTensors::from(state(&baseline(3)));
    let error = fit(&graph, &tensors).unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::OtherWeights);
    assert!(error.to_string().contains("they have 0.0 % of"), "{error}");
    assert!(error.hint().unwrap().contains("`model=baseline`"));
    let tensors = NamedTensors::from(State::default());
    let error = fit(&graph, &tensors).unwrap_err();
    assert!(error.hint().unwrap().contains("`stem.weight`"), "{error:?}");
}

#[test]
fn values_that_are_not_finite_are_refused() {
    let graph = baseline(3);
    let mut broken = state(&graph);
    broken.tensors.get_mut("conv2.weight").unwrap().values[7] = f32::NAN;
    let error = fit(&graph, &NamedTensors::from(broken)).unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::CorruptWeights);
    assert!(error.to_string().contains("`conv2.weight`"));
}

/// A transformer's beginning and end: patches, class token, position embedding, head.
fn tokens(side: usize) -> Graph {
    let layers = json!([
        {"op": "conv2d", "name": "patch_embed.proj", "out_channels": 2, "kernel": 4, "stride": 4},
        {"op": "class_token", "name": "cls_token"},
        {"op": "position_embedding", "name": "pos_embed"},
        {"op": "select_token", "name": "first", "index": 0},
        {"op": "linear", "name": "head", "out_features": "classes"},
    ]);
    Graph::from_layers("tokens", [3, side, side], 2, &layers).unwrap()
}

#[test]
fn position_embeddings_of_other_sizes_are_resampled() {
    let (small, large) = (tokens(16), tokens(24));
    let fitted = fitted(&large, state(&small));
    let embedding = fitted.state.get("pos_embed").unwrap();
    assert_eq!(embedding.shape, [1, 37, 2]);
    assert_eq!(embedding.values.len(), 74);
    assert_eq!(embedding.values[..2], [0.0, 1.0]);
    assert_eq!(
        fitted.report.summary(),
        ["`pos_embed` is [1, 17, 2] in the file, [1, 37, 2] here, resampled"]
    );
    let mut odd = state(&small);
    odd.insert("pos_embed", vec![1, 16, 2], vec![0.0; 32]);
    let report = self::fitted(&large, odd).report;
    assert_eq!(report.wrong_shape[0].name, "pos_embed");
}

#[test]
fn position_embeddings_are_resampled_as_timm_does_it() {
    let text = include_str!("../../../tests/golden/weights/position_embeddings.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let size = |value: &Value| value.as_u64().unwrap() as usize;
        let grid = |value: &Value| Grid {
            height: size(&value[0]),
            width: size(&value[1]),
            prefix_tokens: 1,
        };
        let (old, new) = (grid(&case["old"]), grid(&case["new"]));
        let seed = case["seed"].as_f64().unwrap();
        let count = (old.height * old.width + 1) * 2;
        let values: Vec<f32> = (0..count)
            .map(|index| (seed + 0.37 * index as f64).sin() as f32)
            .collect();
        let resampled = position::resample(&values, 2, old, new);
        let expected = case["values"].as_array().unwrap();
        assert_eq!(resampled.len(), expected.len());
        for (found, wanted) in resampled.iter().zip(expected) {
            let wanted = wanted.as_f64().unwrap();
            assert!((f64::from(*found) - wanted).abs() < 1e-5, "{case}: {found}");
        }
    }
}
