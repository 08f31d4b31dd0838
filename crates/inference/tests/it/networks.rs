//! Small ONNX networks, built by hand.

use ferrotype_core::manifest::{
    MANIFEST_VERSION, ModelManifest, OutputKind, Preprocessing, ResizeFilter, ResizeMode, Task,
};
use ferrotype_core::onnx::{
    AttributeProto, AttributeType, DataType, DimensionProto, DimensionValue, GraphProto,
    ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};
use ferrotype_vision::RgbImage;
use prost::Message;

/// Width of the test networks' input.
pub(crate) const WIDTH: u32 = 5;
/// Height of the test networks' input.
pub(crate) const HEIGHT: u32 = 4;

/// A node.
pub(crate) fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        name: Some(format!("the_{}", op.to_lowercase())),
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// A whole number as an attribute.
pub(crate) fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        i: Some(value),
        r#type: Some(AttributeType::Int as i32),
        ..AttributeProto::default()
    }
}

/// Weights.
pub(crate) fn integers(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        ints: values.to_vec(),
        r#type: Some(AttributeType::Ints as i32),
        ..AttributeProto::default()
    }
}

pub(crate) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        s: Some(value.into()),
        r#type: Some(AttributeType::String as i32),
        ..AttributeProto::default()
    }
}

pub(crate) fn tensor(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(DataType::Float as i32),
        raw_data: Some(
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        ),
        ..TensorProto::default()
    }
}

/// An input or output of floats; 0 stands for the batch.
pub(crate) fn value(name: &str, sizes: &[i64]) -> ValueInfoProto {
    let dim = sizes.iter().map(|size| DimensionProto {
        value: Some(if *size == 0 {
            DimensionValue::Parameter("batch".into())
        } else {
            DimensionValue::Value(*size)
        }),
        ..DimensionProto::default()
    });
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: Some(DataType::Float as i32),
                shape: Some(TensorShapeProto { dim: dim.collect() }),
            }),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

/// A model of a graph, opset 17.
pub(crate) fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(8),
        producer_name: Some("by hand".into()),
        producer_version: Some("1".into()),
        opset_import: vec![OperatorSetIdProto {
            domain: Some(String::new()),
            version: Some(17),
        }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// Weights of [`mean_colour`], `[class, channel]`.
pub(crate) const COLOUR_WEIGHTS: [f32; 9] = [4.0, -1.0, -1.0, -1.0, 4.0, -1.0, -1.0, -1.0, 4.0];

/// Tells red, green and blue apart by the mean colour, which is its embedding.
pub(crate) fn mean_colour() -> ModelProto {
    let mut flatten = node("Flatten", &["pooled"], "embedding");
    flatten.attribute.push(integer("axis", 1));
    let mut gemm = node("Gemm", &["embedding", "fc.weight"], "logits");
    gemm.attribute.push(integer("transB", 1));
    model(GraphProto {
        name: Some("mean_colour".into()),
        node: vec![
            node("GlobalAveragePool", &["image"], "pooled"),
            flatten,
            gemm,
        ],
        initializer: vec![tensor("fc.weight", &[3, 3], &COLOUR_WEIGHTS)],
        input: vec![value("image", &[0, 3, HEIGHT.into(), WIDTH.into()])],
        output: vec![value("logits", &[0, 3]), value("embedding", &[0, 3])],
        ..GraphProto::default()
    })
}

/// As [`mean_colour`], with an operator that the native executor does not have.
pub(crate) fn tangent_colour() -> ModelProto {
    let mut network = mean_colour();
    let graph = network.graph.as_mut().unwrap();
    graph.node[2].output = vec!["sums".into()];
    graph.node.push(node("Tan", &["sums"], "logits"));
    network
}

/// Answers with one weight a class for every image, whatever it shows.
pub(crate) fn constant(answer: &[f32]) -> ModelProto {
    let classes = answer.len() as i64;
    let mut flatten = node("Flatten", &["pooled"], "features");
    flatten.attribute.push(integer("axis", 1));
    let zeros = vec![0.0; 3 * answer.len()];
    model(GraphProto {
        name: Some("constant".into()),
        node: vec![
            node("GlobalAveragePool", &["image"], "pooled"),
            flatten,
            node("Gemm", &["features", "weight", "bias"], "logits"),
        ],
        initializer: vec![
            tensor("weight", &[3, classes], &zeros),
            tensor("bias", &[classes], answer),
        ],
        input: vec![value("image", &[0, 3, HEIGHT.into(), WIDTH.into()])],
        output: vec![value("logits", &[0, classes])],
        ..GraphProto::default()
    })
}

/// Answers with its own input, one number a class.
pub(crate) fn mirror() -> ModelProto {
    let length = i64::from(3 * WIDTH * HEIGHT);
    let mut flatten = node("Flatten", &["image"], "pixels");
    flatten.attribute.push(integer("axis", 1));
    model(GraphProto {
        name: Some("mirror".into()),
        node: vec![flatten, node("Identity", &["pixels"], "again")],
        input: vec![value("image", &[0, 3, HEIGHT.into(), WIDTH.into()])],
        output: vec![value("pixels", &[0, length]), value("again", &[0, length])],
        ..GraphProto::default()
    })
}

/// A manifest for networks of this file: the first output answers.
pub(crate) fn manifest(model: &ModelProto, classes: usize) -> ModelManifest {
    let outputs = &model.graph.as_ref().unwrap().output;
    let name = |index: usize| outputs.get(index).and_then(|output| output.name.clone());
    ModelManifest {
        manifest_version: MANIFEST_VERSION,
        task: Task::Classification,
        classes: (0..classes).map(|index| format!("class {index}")).collect(),
        preprocessing: Preprocessing {
            width: WIDTH,
            height: HEIGHT,
            resize: ResizeMode::Stretch,
            filter: ResizeFilter::Bilinear,
            mean: [0.5; 3],
            std: [0.25; 3],
        },
        output: OutputKind::Logits,
        threshold: None,
        thresholds: None,
        input_name: "image".into(),
        output_name: name(0).unwrap(),
        embedding_name: name(1),
        architecture: None,
        dataset_version: None,
        dataset_digest: None,
        run: None,
    }
}

/// The bytes of a model.
pub(crate) fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// An image of the input's size in which every pixel differs, drawn from `seed`.
pub(crate) fn image(seed: u32) -> RgbImage {
    image_of_size(seed, WIDTH, HEIGHT)
}

/// An image of any size in which neighbouring pixels differ.
pub(crate) fn image_of_size(seed: u32, width: u32, height: u32) -> RgbImage {
    let pixels = (0..width * height * 3).map(|place| {
        let mixed = (place + 1)
            .wrapping_mul(2_654_435_761)
            .wrapping_add(seed.wrapping_mul(40_503));
        (mixed >> 13) as u8
    });
    RgbImage::from_pixels(width, height, pixels.collect()).unwrap()
}
