//! Small valid models that are changed.

use ferrotype_core::onnx::{
    AttributeProto, DataType, GraphProto, ModelProto, NodeProto, TensorProto,
};

use crate::networks::{integer, integers, mean_colour, model, node, tensor, text, value};

fn whole(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![values.len() as i64],
        data_type: Some(DataType::Int64 as i32),
        raw_data: Some(values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        ..TensorProto::default()
    }
}

fn weights(name: &str, dims: &[i64]) -> TensorProto {
    let count: i64 = dims.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|at| (at * 7 % 11) as f32 / 8.0 - 0.5)
        .collect();
    tensor(name, dims, &values)
}

fn with(mut node: NodeProto, attributes: Vec<AttributeProto>) -> NodeProto {
    node.attribute = attributes;
    node
}

fn network(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    model(GraphProto {
        name: Some("seed".into()),
        node: nodes,
        initializer,
        input: vec![value("image", &[0, 3, 4, 5])],
        output: vec![value("logits", &[0])],
        ..GraphProto::default()
    })
}

/// Convolutions in most forms, pooling, batch norm, a shortcut, squeeze and excite.
fn convolutions() -> ModelProto {
    let nodes = vec![
        with(
            node("Conv", &["image", "w1", "b1"], "c1"),
            vec![
                integers("pads", &[1, 1, 1, 1]),
                integers("kernel_shape", &[3, 3]),
            ],
        ),
        node("BatchNormalization", &["c1", "b1", "b1", "b1", "v"], "n1"),
        node("Sigmoid", &["n1"], "s1"),
        node("Mul", &["n1", "s1"], "a1"),
        with(
            node("Conv", &["a1", "w2"], "c2"),
            vec![
                integer("group", 4),
                integers("pads", &[1, 1, 1, 1]),
                integers("dilations", &[1, 1]),
            ],
        ),
        node("Relu", &["c2"], "a2"),
        node("Add", &["a2", "a1"], "sum"),
        with(
            node("MaxPool", &["sum"], "p1"),
            vec![
                integers("kernel_shape", &[2, 2]),
                integers("strides", &[2, 2]),
            ],
        ),
        with(
            node("AveragePool", &["sum"], "p2"),
            vec![
                integers("kernel_shape", &[3, 2]),
                integers("strides", &[2, 2]),
                integers("pads", &[1, 0, 1, 0]),
                integer("count_include_pad", 1),
                integer("ceil_mode", 0),
            ],
        ),
        with(
            node("Concat", &["p1", "p2"], "joined"),
            vec![integer("axis", 1)],
        ),
        with(
            node("ConvTranspose", &["joined", "w3", "b3"], "up"),
            vec![
                integers("strides", &[2, 2]),
                integers("pads", &[1, 1, 1, 1]),
                integers("output_padding", &[1, 1]),
            ],
        ),
        node("GlobalAveragePool", &["up"], "mean"),
        node("HardSigmoid", &["mean"], "gate"),
        node("Mul", &["up", "gate"], "gated"),
        with(
            node("Flatten", &["gated"], "flat"),
            vec![integer("axis", 1)],
        ),
        with(
            node("Gemm", &["flat", "w4"], "logits"),
            vec![integer("transB", 1)],
        ),
    ];
    network(
        nodes,
        vec![
            weights("w1", &[4, 3, 3, 3]),
            weights("b1", &[4]),
            tensor("v", &[4], &[1.0, 2.0, 0.5, 1.5]),
            weights("w2", &[4, 1, 3, 3]),
            weights("w3", &[8, 2, 3, 3]),
            weights("b3", &[2]),
            weights("w4", &[3, 32]),
        ],
    )
}

/// The arithmetic of shapes, and what moves elements.
fn shapes() -> ModelProto {
    let nodes = vec![
        node("Shape", &["image"], "shape"),
        with(
            node("Gather", &["shape", "zero"], "batch"),
            vec![integer("axis", 0)],
        ),
        with(
            node("Concat", &["batch", "rest"], "wanted"),
            vec![integer("axis", 0)],
        ),
        node("Reshape", &["image", "wanted"], "rows"),
        with(
            node("Transpose", &["rows"], "turned"),
            vec![integers("perm", &[0, 2, 1])],
        ),
        node("MatMul", &["rows", "turned"], "product"),
        with(
            node("Softmax", &["product"], "shares"),
            vec![integer("axis", -1)],
        ),
        node(
            "Slice",
            &["shares", "starts", "ends", "axes", "steps"],
            "cut",
        ),
        node("Expand", &["cut", "four"], "wide"),
        node("Tile", &["wide", "repeats"], "tiled"),
        with(
            node("Pad", &["tiled", "pads"], "padded"),
            vec![text("mode", "reflect")],
        ),
        node("Where", &["condition", "padded", "one"], "chosen"),
        with(
            node("ReduceL2", &["chosen", "last"], "norm"),
            vec![integer("keepdims", 1)],
        ),
        node("Div", &["chosen", "norm"], "unit"),
        node("ReduceProd", &["wanted"], "count"),
        node("Unsqueeze", &["unit", "zero"], "deep"),
        node("Squeeze", &["deep", "zero"], "shallow"),
        with(
            node("GatherElements", &["shallow", "places"], "taken"),
            vec![integer("axis", 1)],
        ),
        node("ScatterND", &["taken", "tuples", "update"], "scattered"),
        with(
            node("Einsum", &["scattered", "matrix"], "logits"),
            vec![text("equation", "abc,cd->abd")],
        ),
    ];
    let mut places = whole("places", &[0, 1, 2, 1, 0, 0]);
    places.dims = vec![1, 2, 3];
    let mut tuples = whole("tuples", &[0, 1]);
    tuples.dims = vec![1, 2];
    let mut condition = whole("condition", &[1, 0, 1]);
    condition.dims = vec![3, 1];
    network(
        nodes,
        vec![
            whole("zero", &[0]),
            whole("rest", &[3, -1]),
            whole("starts", &[0, 2]),
            whole("ends", &[2, -9]),
            whole("axes", &[1, 2]),
            whole("steps", &[1, -2]),
            whole("four", &[1, 1, 1]),
            whole("repeats", &[1, 1, 1]),
            whole("pads", &[0, 1, 1, 0, 0, 1]),
            condition,
            tensor("one", &[], &[1.0]),
            whole("last", &[-1]),
            places,
            tuples,
            weights("update", &[1, 3]),
            weights("matrix", &[3, 2]),
        ],
    )
}

/// Resizing, norms and what is left.
fn resized() -> ModelProto {
    let nodes = vec![
        with(
            node("Resize", &["image", "", "scales"], "large"),
            vec![
                text("mode", "cubic"),
                text("coordinate_transformation_mode", "half_pixel"),
                integer("antialias", 0),
            ],
        ),
        with(
            node("Resize", &["large", "", "", "sizes"], "small"),
            vec![text("mode", "linear")],
        ),
        with(
            node("SpaceToDepth", &["small"], "deep"),
            vec![integer("blocksize", 2)],
        ),
        with(
            node("DepthToSpace", &["deep"], "spread"),
            vec![integer("blocksize", 2), text("mode", "CRD")],
        ),
        node(
            "InstanceNormalization",
            &["spread", "ones", "ones"],
            "normal",
        ),
        with(node("LRN", &["normal"], "local"), vec![integer("size", 3)]),
        node("PRelu", &["local", "slope"], "bent"),
        node("Clip", &["bent", "low", "high"], "clipped"),
        with(
            node("LayerNormalization", &["clipped", "scale"], "layer"),
            vec![integer("axis", 2)],
        ),
        node("Pow", &["layer", "two"], "power"),
        with(
            node("Split", &["power", "parts"], "left"),
            vec![integer("axis", 1)],
        ),
        with(
            node("ReduceMean", &["left"], "mean"),
            vec![integers("axes", &[2, 3])],
        ),
        node("ConstantOfShape", &["parts"], "zeros"),
        node("Range", &["from", "until", "step"], "range"),
        node("Max", &["mean", "low"], "most"),
        with(node("Squeeze", &["most", "axes"], "logits"), vec![]),
    ];
    let mut graph = network(
        nodes,
        vec![
            tensor("scales", &[4], &[1.0, 1.0, 2.0, 1.5]),
            whole("sizes", &[1, 3, 4, 4]),
            tensor("ones", &[3], &[1.0, 2.0, 3.0]),
            tensor("slope", &[3, 1, 1], &[0.1, 0.2, 0.3]),
            tensor("low", &[], &[-2.0]),
            tensor("high", &[], &[2.0]),
            weights("scale", &[4, 4]),
            tensor("two", &[], &[2.0]),
            whole("parts", &[1, 2]),
            tensor("from", &[], &[0.0]),
            tensor("until", &[], &[9.0]),
            tensor("step", &[], &[2.0]),
            whole("axes", &[2, 3]),
        ],
    );
    let nodes = &mut graph.graph.as_mut().unwrap().node;
    let split = nodes
        .iter_mut()
        .find(|n| n.op_type.as_deref() == Some("Split"));
    split.unwrap().output.push("right".into());
    graph
}

/// All of them; each takes an image of 3 by 4 by 5.
pub(super) fn seeds() -> Vec<ModelProto> {
    vec![mean_colour(), convolutions(), shapes(), resized()]
}
