//! ONNX messages, made from plain values.

use ferrotype_core::graph::Size;
use ferrotype_core::onnx::{
    AttributeProto, AttributeType, DataType, DimensionProto, DimensionValue, NodeProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// A node: `op` applied to the values `inputs`, giving the value `output`.
pub(super) fn node(
    name: &str,
    op: &str,
    inputs: Vec<String>,
    output: &str,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        input: inputs,
        output: vec![output.to_string()],
        name: Some(name.to_string()),
        op_type: Some(op.to_string()),
        attribute,
        ..NodeProto::default()
    }
}

/// A whole number.
pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        i: Some(value),
        r#type: Some(AttributeType::Int.into()),
        ..AttributeProto::default()
    }
}

/// A number with a fraction.
pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        f: Some(value),
        r#type: Some(AttributeType::Float.into()),
        ..AttributeProto::default()
    }
}

/// Height and width.
pub(super) fn size(name: &str, size: Size) -> AttributeProto {
    ints(name, size.to_array().to_vec())
}

/// Padding, the same at the beginning and the end of each axis.
pub(super) fn padding(size: Size) -> AttributeProto {
    ints("pads", [size.to_array(), size.to_array()].concat())
}

/// A list of whole numbers.
pub(super) fn ints(name: &str, values: Vec<usize>) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_string()),
        ints: values.into_iter().map(to_i64).collect(),
        r#type: Some(AttributeType::Ints.into()),
        ..AttributeProto::default()
    }
}

/// A constant tensor of 32-bit floats.
pub(super) fn initializer(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.to_string()),
        dims: shape.iter().copied().map(to_i64).collect(),
        data_type: Some(DataType::Float.into()),
        raw_data: Some(
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        ),
        ..TensorProto::default()
    }
}

/// A constant tensor of whole numbers, such as a shape; without `dims`, one number.
pub(super) fn whole_numbers(name: &str, dims: &[usize], values: &[i64]) -> TensorProto {
    TensorProto {
        data_type: Some(DataType::Int64.into()),
        raw_data: Some(
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        ),
        ..initializer(name, dims, &[])
    }
}

/// A tensor of 32-bit floats with any batch size.
pub(super) fn batched(name: &str, shape: &[usize], doc: &str) -> ValueInfoProto {
    let batch = DimensionValue::Parameter("batch".to_string());
    let sizes = shape
        .iter()
        .map(|side| DimensionValue::Value(to_i64(*side)));
    let dim = std::iter::once(batch)
        .chain(sizes)
        .map(|value| DimensionProto {
            value: Some(value),
            denotation: None,
        })
        .collect();
    ValueInfoProto {
        name: Some(name.to_string()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: Some(DataType::Float.into()),
                shape: Some(TensorShapeProto { dim }),
            }),
            denotation: None,
        }),
        doc_string: Some(doc.to_string()),
    }
}

/// Sizes in a checked graph are far below the limit.
pub(super) fn to_i64(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
