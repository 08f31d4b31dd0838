//! A tiny ONNX model, made by hand: the stranger's file of `models import`.

use ferrotype_core::onnx::{
    AttributeProto, AttributeType, DataType, DimensionProto, DimensionValue, GraphProto,
    ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};
use prost::Message;

/// How sure the colour model is: its logits are this many times the mean channels.
const GAIN: f32 = 10.0;

/// A model that tells blue, green and red apart (the order of
/// [`crate::images::COLOUR_CLASSES`]) by the mean of each channel: global average pooling and one
/// linear layer. Input `image` `[batch, 3, side, side]`, output `scores` `[batch, 3]`; opset 17.
pub fn colour_model(side: u32) -> Vec<u8> {
    let weight: Vec<f32> = vec![0.0, 0.0, GAIN, 0.0, GAIN, 0.0, GAIN, 0.0, 0.0];
    let graph = GraphProto {
        name: Some("colours".into()),
        node: vec![
            node("GlobalAveragePool", &["image"], "pooled", vec![]),
            node("Flatten", &["pooled"], "features", vec![integer("axis", 1)]),
            node(
                "Gemm",
                &["features", "weight"],
                "scores",
                vec![integer("transB", 1)],
            ),
        ],
        initializer: vec![TensorProto {
            name: Some("weight".into()),
            dims: vec![3, 3],
            data_type: Some(DataType::Float as i32),
            raw_data: Some(
                weight
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            ),
            ..TensorProto::default()
        }],
        input: vec![value("image", &[None, Some(3), Some(side), Some(side)])],
        output: vec![value("scores", &[None, Some(3)])],
        ..GraphProto::default()
    };
    model(graph)
}

/// A model with one operator that no runtime knows.
pub fn unknown_operator_model(side: u32) -> Vec<u8> {
    let graph = GraphProto {
        name: Some("unknown".into()),
        node: vec![node("Frobnicate", &["image"], "scores", vec![])],
        input: vec![value("image", &[None, Some(3), Some(side), Some(side)])],
        output: vec![value("scores", &[None, Some(3)])],
        ..GraphProto::default()
    };
    model(graph)
}

fn model(graph: GraphProto) -> Vec<u8> {
    ModelProto {
        ir_version: Some(8),
        producer_name: Some("ferrotype-testkit".into()),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: Some(String::new()),
            version: Some(17),
        }],
        ..ModelProto::default()
    }
    .encode_to_vec()
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        name: Some(format!("{}_1", op.to_lowercase())),
        op_type: Some(op.into()),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        i: Some(value),
        r#type: Some(AttributeType::Int as i32),
        ..AttributeProto::default()
    }
}

/// A float tensor's name and shape; `None` is the batch.
fn value(name: &str, shape: &[Option<u32>]) -> ValueInfoProto {
    let dimension = |size: &Option<u32>| DimensionProto {
        value: Some(match size {
            Some(size) => DimensionValue::Value(i64::from(*size)),
            None => DimensionValue::Parameter("batch".into()),
        }),
        ..DimensionProto::default()
    };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: Some(DataType::Float as i32),
                shape: Some(TensorShapeProto {
                    dim: shape.iter().map(dimension).collect(),
                }),
            }),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
