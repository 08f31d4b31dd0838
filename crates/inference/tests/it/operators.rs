//! Networks that a runtime cannot run.

use ferrotype_core::onnx::{GraphProto, NodeProto};
use ferrotype_inference::{InferenceErrorKind, Model, RuntimeChoice};

use crate::networks::{
    bytes, image, integer, manifest, mean_colour, model, node, tangent_colour, tensor, value,
};
use crate::runtimes;

#[test]
fn an_unknown_operator_is_named_with_its_node() {
    let network = model(GraphProto {
        name: Some("unknown".into()),
        node: vec![
            node("Flatten", &["image"], "pixels"),
            NodeProto {
                name: Some("block3.frob".into()),
                ..node("Frobnicate", &["pixels"], "logits")
            },
        ],
        input: vec![value("image", &[0, 3, 4, 5])],
        output: vec![value("logits", &[0, 3])],
        ..GraphProto::default()
    });
    for choice in runtimes() {
        let loaded = Model::load_with_manifest(&bytes(&network), manifest(&network, 3), choice, 1);
        let error = loaded.unwrap_err();
        assert_eq!(
            error.kind(),
            InferenceErrorKind::UnsupportedOperator,
            "{choice}: {error}"
        );
        assert_eq!(error.node(), Some("block3.frob"), "{choice}: {error}");
        assert!(
            error.to_string().contains("Frobnicate"),
            "{choice}: {error}"
        );
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_network_that_cannot_be_run_is_refused_while_loading() {
    // Shapes that do not fit each other: a 3×3 weight where 7 features come in.
    let mut network = mean_colour();
    let graph = network.graph.as_mut().unwrap();
    graph.initializer[0].dims = vec![9, 1];
    for choice in runtimes() {
        let loaded = Model::load_with_manifest(&bytes(&network), manifest(&network, 3), choice, 1);
        let error = loaded.unwrap_err();
        assert!(
            matches!(
                error.kind(),
                InferenceErrorKind::Failed | InferenceErrorKind::Corrupt
            ),
            "{choice}: {error}"
        );
    }
}

#[test]
fn a_network_whose_nodes_read_what_nobody_writes_is_refused() {
    let mut network = mean_colour();
    network.graph.as_mut().unwrap().node[2].input[0] = "nowhere".into();
    for choice in runtimes() {
        let loaded = Model::load_with_manifest(&bytes(&network), manifest(&network, 3), choice, 1);
        assert!(loaded.is_err(), "{choice}");
    }
}

/// rten 0.27 reads the sizes of a convolution from its attributes, where ONNX lets them follow
/// from the weights; exporters write them. It must say so, never compute something else.
#[test]
fn a_convolution_without_sizes_is_run_as_the_standard_says_or_refused() {
    let mut flatten = node("Flatten", &["pooled"], "logits");
    flatten.attribute.push(integer("axis", 1));
    // Sums the 3×2 red, green and blue pixels under the kernel, of 2 by 4 places.
    let network = model(GraphProto {
        name: Some("bare".into()),
        node: vec![
            node("Conv", &["image", "weight"], "sums"),
            node("GlobalMaxPool", &["sums"], "pooled"),
            flatten,
        ],
        initializer: vec![tensor("weight", &[2, 3, 3, 2], &[0.01; 36])],
        input: vec![value("image", &[0, 3, 4, 5])],
        output: vec![value("logits", &[0, 2])],
        ..GraphProto::default()
    });
    for choice in runtimes() {
        match Model::load_with_manifest(&bytes(&network), manifest(&network, 2), choice, 1) {
            Ok(model) => {
                let answer = model.predict(&crate::networks::image(1)).unwrap();
                assert_eq!(answer.probabilities, [0.5, 0.5]);
            }
            Err(error) => {
                assert_eq!(choice, RuntimeChoice::Rten);
                assert_eq!(error.kind(), InferenceErrorKind::Failed);
                assert!(error.hint().unwrap().contains("onnxruntime"));
            }
        }
    }
}

#[test]
fn a_network_that_the_native_runtime_does_not_know_is_run_by_another_and_tells_why() {
    let network = tangent_colour();
    let load =
        |choice| Model::load_with_manifest(&bytes(&network), manifest(&network, 3), choice, 1);
    let model = load(RuntimeChoice::Auto).unwrap();
    assert_ne!(model.runtime_name(), "native");
    let refusal = model.native_refusal().unwrap();
    assert!(refusal.contains("`Tan` of `the_tan`"), "{refusal}");
    model.predict(&image(1)).unwrap();
    let error = load(RuntimeChoice::Native).unwrap_err();
    assert_eq!(error.kind(), InferenceErrorKind::UnsupportedOperator);
    assert_eq!(error.node(), Some("the_tan"));
}

#[test]
fn a_network_that_the_native_runtime_knows_is_run_by_it() {
    let network = mean_colour();
    let loaded = Model::load_with_manifest(
        &bytes(&network),
        manifest(&network, 3),
        RuntimeChoice::Auto,
        1,
    );
    let model = loaded.unwrap();
    assert_eq!(model.runtime_name(), "native");
    assert_eq!(model.native_refusal(), None);
}

#[test]
fn an_option_that_is_not_known_is_refused_by_the_native_runtime() {
    let mut network = mean_colour();
    let graph = network.graph.as_mut().unwrap();
    graph.node[0].attribute.push(integer("sideways", 1));
    let loaded = Model::load_with_manifest(
        &bytes(&network),
        manifest(&network, 3),
        RuntimeChoice::Native,
        1,
    );
    let error = loaded.unwrap_err();
    assert_eq!(error.kind(), InferenceErrorKind::UnsupportedOperator);
    assert!(error.to_string().contains("sideways"), "{error}");
}
