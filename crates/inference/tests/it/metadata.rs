//! What a file says about itself, and changing nothing but the manifest.

use ferrotype_core::manifest::MANIFEST_KEY;
use ferrotype_core::onnx::{ModelProto, StringStringEntryProto};
use ferrotype_inference::{Dimension, ElementType, embed_manifest, inspect};
use prost::Message;

use crate::networks::{bytes, manifest, mean_colour, value};

#[test]
fn a_summary_tells_inputs_outputs_opset_and_size() {
    let mut network = mean_colour();
    // Old exporters list weights among the inputs.
    let graph = network.graph.as_mut().unwrap();
    graph.input.push(value("fc.weight", &[3, 3]));
    network.metadata_props.push(StringStringEntryProto {
        key: Some("author".into()),
        value: Some("somebody".into()),
    });
    let summary = inspect(&bytes(&network)).unwrap();
    assert_eq!(summary.inputs.len(), 1);
    let input = summary.image_input().unwrap();
    assert_eq!(input.to_string(), "image [batch, 3, 4, 5]");
    assert_eq!(input.element_type, ElementType::Float32);
    assert_eq!(
        input.shape.as_ref().unwrap()[..2],
        [Dimension::Dynamic("batch".into()), Dimension::Fixed(3)]
    );
    assert_eq!(summary.outputs.len(), 2);
    assert_eq!(summary.answer_output(3).unwrap().name, "logits");
    assert_eq!(summary.opset, Some(17));
    assert_eq!(summary.producer.as_deref(), Some("by hand 1"));
    assert_eq!((summary.nodes, summary.parameters), (3, 9));
    assert_eq!(summary.metadata["author"], "somebody");
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(
        json["inputs"][0]["shape"],
        serde_json::json!(["batch", 3, 4, 5])
    );
}

#[test]
fn the_answer_is_the_output_with_one_value_a_class() {
    let mut network = mean_colour();
    network.graph.as_mut().unwrap().output =
        vec![value("features", &[0, 512]), value("scores", &[0, 10])];
    let summary = inspect(&bytes(&network)).unwrap();
    assert_eq!(summary.answer_output(10).unwrap().name, "scores");
    assert_eq!(summary.answer_output(7).unwrap().name, "features");
}

#[test]
fn embedding_a_manifest_changes_nothing_else() {
    let mut network = mean_colour();
    network.metadata_props.push(StringStringEntryProto {
        key: Some("author".into()),
        value: Some("somebody".into()),
    });
    let mut onnx = bytes(&network);
    // A field of a later ONNX version, which is kept as it stands.
    onnx.extend([0xf2, 0x3f, 3, 1, 2, 3]);
    let manifest = manifest(&network, 3);
    let edited = embed_manifest(&onnx, &manifest).unwrap();
    assert!(edited.starts_with(&onnx));
    let mut decoded = ModelProto::decode(&edited[..]).unwrap();
    let added = decoded.metadata_props.pop().unwrap();
    assert_eq!(added.key.as_deref(), Some(MANIFEST_KEY));
    assert_eq!(decoded, network);
}

#[test]
fn embedding_again_replaces_the_manifest() {
    let network = mean_colour();
    let mut manifest = manifest(&network, 3);
    let once = embed_manifest(&bytes(&network), &manifest).unwrap();
    assert_eq!(embed_manifest(&once, &manifest).unwrap(), once);
    manifest.architecture = Some("mean".into());
    let twice = embed_manifest(&once, &manifest).unwrap();
    let decoded = ModelProto::decode(&twice[..]).unwrap();
    assert_eq!(decoded.metadata_props.len(), 1);
    assert_eq!(inspect(&twice).unwrap().manifest().unwrap(), manifest);
}
