//! Manifests that are missing, unreadable or do not fit their network.

use ferrotype_core::manifest::{MANIFEST_KEY, MANIFEST_VERSION, ModelManifest};
use ferrotype_core::onnx::{DataType, ModelProto, StringStringEntryProto};
use ferrotype_inference::{
    InferenceError, InferenceErrorKind, Model, RuntimeChoice, embed_manifest,
};

use crate::networks::{bytes, manifest, mean_colour, value};

fn refused(network: &ModelProto, manifest: ModelManifest) -> InferenceError {
    Model::load_with_manifest(&bytes(network), manifest, RuntimeChoice::Rten, 1).unwrap_err()
}

fn with_manifest_text(text: &str) -> Vec<u8> {
    let mut network = mean_colour();
    network.metadata_props.push(StringStringEntryProto {
        key: Some(MANIFEST_KEY.into()),
        value: Some(text.into()),
    });
    bytes(&network)
}

#[test]
fn a_file_without_manifest_points_to_importing_it() {
    let error = Model::load(&bytes(&mean_colour()), RuntimeChoice::Rten, 1).unwrap_err();
    assert_eq!(error.kind(), InferenceErrorKind::NoManifest);
    assert!(error.hint().unwrap().contains("ferrotype models import"));
}

#[test]
fn an_unreadable_or_newer_manifest_is_told_apart_from_a_missing_one() {
    let kind_and_text = |text: &str| {
        let error = Model::load(&with_manifest_text(text), RuntimeChoice::Rten, 1).unwrap_err();
        (error.kind(), error.to_string())
    };
    for text in ["", "{", "[]", "{\"classes\": 3}"] {
        assert_eq!(
            kind_and_text(text).0,
            InferenceErrorKind::InvalidManifest,
            "{text}"
        );
    }
    let mut newer = manifest(&mean_colour(), 3);
    newer.manifest_version = MANIFEST_VERSION + 1;
    let (kind, text) = kind_and_text(&serde_json::to_string(&newer).unwrap());
    assert_eq!(kind, InferenceErrorKind::InvalidManifest);
    assert!(text.contains("a newer Ferrotype wrote it"), "{text}");
}

#[test]
fn an_embedded_manifest_is_read_back() {
    let network = mean_colour();
    let mut written = manifest(&network, 3);
    written.classes = vec!["rot".into(), "grün".into(), "blau".into()];
    written.preprocessing.mean = [0.1, 0.456_789, 1.0 / 3.0];
    let onnx = embed_manifest(&bytes(&network), &written).unwrap();
    let model = Model::load(&onnx, RuntimeChoice::Rten, 1).unwrap();
    assert_eq!(model.manifest(), &written);
    assert!(model.graph().is_none());
    assert!(model.runtime_name().starts_with("rten "));
}

#[test]
fn a_manifest_that_contradicts_itself_is_refused() {
    let network = mean_colour();
    let broken: [fn(&mut ModelManifest); 4] = [
        |manifest| manifest.classes = vec!["only one".into()],
        |manifest| manifest.classes[1] = manifest.classes[0].clone(),
        |manifest| manifest.preprocessing.std[2] = 0.0,
        |manifest| manifest.preprocessing.width = 0,
    ];
    for change in broken {
        let mut manifest = manifest(&network, 3);
        change(&mut manifest);
        let kind = refused(&network, manifest.clone()).kind();
        assert_eq!(kind, InferenceErrorKind::InvalidManifest, "{manifest:?}");
        let embedded = embed_manifest(&bytes(&network), &manifest);
        assert_eq!(
            embedded.unwrap_err().kind(),
            InferenceErrorKind::InvalidManifest
        );
    }
}

#[test]
fn the_number_of_classes_is_checked_by_running_the_network() {
    let network = mean_colour();
    let error = refused(&network, manifest(&network, 4));
    assert_eq!(error.kind(), InferenceErrorKind::Mismatch);
    assert_eq!(
        error.to_string(),
        "the network answers `3` values for `1` images, the manifest names `4` classes"
    );
}

#[test]
fn an_input_of_another_size_type_or_rank_is_refused() {
    let network = mean_colour();
    let mut larger = manifest(&network, 3);
    larger.preprocessing.width = 64;
    let error = refused(&network, larger);
    assert_eq!(
        error.to_string(),
        "the network's input is `image [batch, 3, 4, 5]`, the manifest gives [batch, 3, 4, 64] (channels, height, width)"
    );
    for shape in [
        &[0, 3, 20][..],
        &[0, 4, 5, 3],
        &[0, 1, 4, 5],
        &[64, 3, 4, 5],
    ] {
        let mut network = mean_colour();
        network.graph.as_mut().unwrap().input[0] = value("image", shape);
        let error = refused(&network, manifest(&network, 3));
        assert_eq!(
            error.kind(),
            InferenceErrorKind::Mismatch,
            "{shape:?}: {error}"
        );
    }
    let mut bytes_input = mean_colour();
    let input = &mut bytes_input.graph.as_mut().unwrap().input[0];
    let tensor_type = input.r#type.as_mut().unwrap().tensor_type.as_mut().unwrap();
    tensor_type.elem_type = Some(DataType::Uint8 as i32);
    let error = refused(&bytes_input, manifest(&bytes_input, 3));
    assert!(error.to_string().contains("takes `uint8`"), "{error}");
}

#[test]
fn a_huge_input_is_refused_before_anything_is_allocated() {
    let mut network = mean_colour();
    network.graph.as_mut().unwrap().input[0] = value("image", &[0, 3, 0, 0]);
    let mut manifest = manifest(&network, 3);
    manifest.preprocessing.width = 8192;
    manifest.preprocessing.height = 8192;
    assert_eq!(
        refused(&network, manifest).kind(),
        InferenceErrorKind::TooLarge
    );
}

#[test]
fn names_that_the_network_does_not_have_are_told_with_those_it_has() {
    let network = mean_colour();
    type Change = fn(&mut ModelManifest);
    let changes: [(Change, &str); 3] = [
        (
            |manifest| manifest.input_name = "x".into(),
            "no input named `x`; it has `image`",
        ),
        (
            |manifest| manifest.output_name = "y".into(),
            "no output named `y`; it has `logits`, `embedding`",
        ),
        (
            |manifest| manifest.embedding_name = Some("z".into()),
            "no output named `z`; it has `logits`, `embedding`",
        ),
    ];
    for (change, expected) in changes {
        let mut manifest = manifest(&network, 3);
        change(&mut manifest);
        let error = refused(&network, manifest);
        assert_eq!(error.kind(), InferenceErrorKind::Mismatch);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_network_with_two_inputs_is_refused() {
    let mut network = mean_colour();
    let graph = network.graph.as_mut().unwrap();
    graph.input.push(value("mask", &[0, 1]));
    let error = refused(&network, manifest(&network, 3));
    assert!(
        error.to_string().contains("`2` inputs (`image`, `mask`)"),
        "{error}"
    );
}
