//! Files that are empty, something else, damaged, oversized or incomplete.

use ferrotype_core::onnx::{
    AttributeProto, AttributeType, GraphProto, StringStringEntryProto, TensorProto,
};
use ferrotype_inference::{
    InferenceErrorKind, Model, OnnxLimits, RuntimeChoice, embed_manifest, inspect,
    inspect_with_limits,
};

use crate::networks::{bytes, image, manifest, mean_colour, model, node};
use crate::runtimes;

fn kind_of(onnx: &[u8]) -> InferenceErrorKind {
    let inspected = inspect(onnx).unwrap_err();
    let embedded = embed_manifest(onnx, &manifest(&mean_colour(), 3)).unwrap_err();
    let loaded = Model::load(onnx, RuntimeChoice::Rten, 1).unwrap_err();
    assert_eq!(inspected.kind(), embedded.kind());
    assert_eq!(inspected.kind(), loaded.kind());
    inspected.kind()
}

#[test]
fn other_files_are_no_models() {
    assert_eq!(kind_of(b""), InferenceErrorKind::Empty);
    for other in [
        &b"not a model"[..],
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        b"PK\x03\x04\x14\0",
        b"{\"classes\": []}",
        &[0; 64],
    ] {
        assert_eq!(kind_of(other), InferenceErrorKind::NotOnnx, "{other:?}");
    }
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    assert!(
        inspect(pointer)
            .unwrap_err()
            .hint()
            .unwrap()
            .contains("git lfs pull")
    );
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    let network = mean_colour();
    let whole = embed_manifest(&bytes(&network), &manifest(&network, 3)).unwrap();
    for length in 1..whole.len() {
        let error = Model::load(&whole[..length], RuntimeChoice::Rten, 1).unwrap_err();
        // A cut between two parts leaves a file without network, or one without its manifest.
        assert!(
            matches!(
                error.kind(),
                InferenceErrorKind::Corrupt | InferenceErrorKind::NoManifest
            ),
            "{length} bytes: {error}"
        );
    }
    let error = inspect(&whole[..whole.len() / 2]).unwrap_err();
    assert!(
        error.to_string().contains("damaged or cut short"),
        "{error}"
    );
}

#[test]
fn a_flipped_bit_anywhere_never_brings_the_program_down() {
    let network = mean_colour();
    let whole = embed_manifest(&bytes(&network), &manifest(&network, 3)).unwrap();
    for choice in runtimes() {
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(model) = Model::load(&damaged, choice, 1) {
                // What still loads answers, or says why not.
                let _ = model.predict(&image(0));
            }
        }
    }
}

#[test]
fn weights_in_other_files_are_refused_and_no_file_is_opened() {
    let mut network = mean_colour();
    let weight = &mut network.graph.as_mut().unwrap().initializer[0];
    weight.raw_data = None;
    weight.data_location = Some(1);
    weight.external_data = vec![StringStringEntryProto {
        key: Some("location".into()),
        value: Some("../../etc/passwd".into()),
    }];
    let onnx = bytes(&network);
    assert_eq!(kind_of(&onnx), InferenceErrorKind::ExternalData);
    assert!(
        inspect(&onnx)
            .unwrap_err()
            .to_string()
            .contains("`fc.weight`")
    );

    // The same inside an attribute, where a runtime looks for constants as well.
    let mut network = mean_colour();
    let nodes = &mut network.graph.as_mut().unwrap().node;
    nodes[0].attribute.push(AttributeProto {
        name: Some("value".into()),
        r#type: Some(AttributeType::Tensor as i32),
        t: Some(TensorProto {
            data_location: Some(1),
            ..TensorProto::default()
        }),
        ..AttributeProto::default()
    });
    assert_eq!(kind_of(&bytes(&network)), InferenceErrorKind::ExternalData);
}

#[test]
fn a_tensor_that_claims_more_than_the_file_holds_is_refused() {
    for dims in [
        vec![1 << 40],
        vec![1 << 32, 1 << 32],
        vec![-1, 3],
        vec![i64::MAX; 3],
    ] {
        let mut network = mean_colour();
        network.graph.as_mut().unwrap().initializer[0].dims = dims.clone();
        let onnx = bytes(&network);
        assert_eq!(kind_of(&onnx), InferenceErrorKind::Corrupt, "{dims:?}");
        let error = inspect(&onnx).unwrap_err();
        assert!(error.to_string().contains("`fc.weight`"), "{error}");
    }
}

#[test]
fn limits_on_bytes_and_parts_are_kept() {
    let onnx = bytes(&mean_colour());
    let kind = |limits: OnnxLimits| inspect_with_limits(&onnx, &limits).map_err(|e| e.kind());
    let too_large = Err(InferenceErrorKind::TooLarge);
    assert!(kind(OnnxLimits::default()).is_ok());
    let bytes = onnx.len() - 1;
    assert_eq!(
        kind(OnnxLimits {
            bytes,
            ..OnnxLimits::default()
        }),
        too_large
    );
    assert_eq!(
        kind(OnnxLimits {
            parts: 10,
            ..OnnxLimits::default()
        }),
        too_large
    );
}

#[test]
fn a_small_file_of_countless_empty_nodes_is_refused() {
    // Two bytes a node: 4 MB that would decode to hundreds of megabytes.
    let graph: Vec<u8> = [0x0a, 0x00].repeat(2_000_000);
    let mut onnx = vec![0x08, 8, 0x3a];
    onnx.extend([0x80 | (graph.len() & 0x7f) as u8]);
    onnx.extend([0x80 | ((graph.len() >> 7) & 0x7f) as u8]);
    onnx.extend([0x80 | ((graph.len() >> 14) & 0x7f) as u8]);
    onnx.push((graph.len() >> 21) as u8);
    onnx.extend(graph);
    assert_eq!(kind_of(&onnx), InferenceErrorKind::TooLarge);
}

#[test]
fn networks_nested_without_end_are_refused() {
    let mut graph = GraphProto::default();
    for _ in 0..100 {
        let mut outer = node("If", &["c"], "y");
        outer.attribute.push(AttributeProto {
            name: Some("then_branch".into()),
            r#type: Some(AttributeType::Graph as i32),
            g: Some(graph),
            ..AttributeProto::default()
        });
        graph = GraphProto {
            node: vec![outer],
            ..GraphProto::default()
        };
    }
    assert_eq!(kind_of(&bytes(&model(graph))), InferenceErrorKind::TooLarge);
}
