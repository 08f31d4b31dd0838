//! An option that the native executor does not know is refused while loading, for each operator.

use ferrotype_core::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto};
use ferrotype_inference::{InferenceErrorKind, run_natively};

use crate::networks::{bytes, integer, integers, model, node, tensor, text, value};

const NAMES: [&str; 2] = ["image", "logits"];
const SHAPE: [usize; 4] = [1, 4, 4, 4];

fn whole(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto {
        data_type: Some(7),
        raw_data: Some(values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        ..tensor(name, dims, &[])
    }
}

/// Constants that operators read, by name.
fn constants() -> Vec<TensorProto> {
    let ones = |name: &str, dims: &[i64]| {
        let count: i64 = dims.iter().product();
        tensor(name, dims, &vec![1.0; count as usize])
    };
    vec![
        ones("one", &[]),
        ones("four", &[4]),
        ones("slopes", &[4, 1, 1]),
        ones("kernels", &[4, 4, 3, 3]),
        ones("matrix", &[4, 4]),
        ones("scales", &[4]),
        whole("zero", &[1], &[0]),
        whole("last", &[1], &[3]),
        whole("sizes", &[4], &[1, 4, 4, 4]),
        whole("halves", &[2], &[2, 2]),
        whole("pads", &[8], &[0, 0, 1, 1, 0, 0, 1, 1]),
        whole("places", &[1, 4, 4, 4], &[0; 64]),
        whole("tuple", &[1, 3], &[0, 1, 2]),
        ones("update", &[1, 4]),
        whole("truth", &[4], &[0, 1, 1, 0]),
        whole("six", &[], &[6]),
    ]
}

/// Each operator with the inputs and attributes that it needs, and how many axes it reads.
fn operators() -> Vec<(NodeProto, usize)> {
    let with = |operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>| {
        let mut made = node(operator, inputs, "logits");
        made.attribute = attributes;
        (made, 4)
    };
    let mut all = Vec::new();
    for name in [
        "Relu",
        "LeakyRelu",
        "HardSigmoid",
        "HardSwish",
        "Sigmoid",
        "Mish",
        "Gelu",
        "Tanh",
        "Exp",
        "Erf",
        "Sqrt",
        "Reciprocal",
        "Neg",
        "Abs",
        "Elu",
        "Softplus",
        "Log",
        "Floor",
        "Ceil",
        "Round",
        "Sign",
        "Sin",
        "Cos",
        "Softsign",
        "Selu",
        "Celu",
        "ThresholdedRelu",
        "Shrink",
        "Swish",
        "Clip",
        "Identity",
        "Dropout",
        "Flatten",
        "Transpose",
        "Squeeze",
        "Softmax",
        "LogSoftmax",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "ReduceMean",
        "ReduceSum",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "LpNormalization",
        "Max",
        "Min",
        "Sum",
        "Mean",
    ] {
        all.push(with(name, &["image"], vec![]));
    }
    for name in ["Add", "Sub", "Mul", "Div", "Pow"] {
        all.push(with(name, &["image", "one"], vec![]));
    }
    let batch_norm = ["image", "four", "four", "four", "four"];
    all.extend([
        with("CastLike", &["image", "one"], vec![]),
        with("PRelu", &["image", "slopes"], vec![]),
        with("Cast", &["image"], vec![integer("to", 1)]),
        with("Conv", &["image", "kernels"], vec![]),
        with("ConvTranspose", &["image", "kernels"], vec![]),
        with("BatchNormalization", &batch_norm, vec![]),
        with("MatMul", &["image", "matrix"], vec![]),
        with(
            "MaxPool",
            &["image"],
            vec![integers("kernel_shape", &[2, 2])],
        ),
        with(
            "AveragePool",
            &["image"],
            vec![integers("kernel_shape", &[2, 2])],
        ),
        with("LayerNormalization", &["image", "four"], vec![]),
        with("RMSNormalization", &["image", "four"], vec![]),
        with("InstanceNormalization", &["image", "four", "four"], vec![]),
        with(
            "GroupNormalization",
            &["image", "four", "four"],
            vec![integer("num_groups", 2)],
        ),
        with("LRN", &["image"], vec![integer("size", 3)]),
        with("Resize", &["image", "", "scales"], vec![]),
        with(
            "Resize",
            &["image", "", "", "sizes"],
            vec![text("mode", "cubic")],
        ),
        with("Unsqueeze", &["image", "zero"], vec![]),
        with("Reshape", &["image", "sizes"], vec![]),
        with("DepthToSpace", &["image"], vec![integer("blocksize", 2)]),
        with("SpaceToDepth", &["image"], vec![integer("blocksize", 2)]),
        with("Concat", &["image", "image"], vec![integer("axis", 1)]),
        with("Split", &["image", "halves"], vec![integer("axis", 1)]),
        with("Slice", &["image", "zero", "last"], vec![]),
        with("Gather", &["image", "zero"], vec![]),
        with("GatherElements", &["image", "places"], vec![]),
        with("GatherND", &["image", "tuple"], vec![]),
        with("ScatterND", &["image", "tuple", "update"], vec![]),
        with("Where", &["truth", "image", "one"], vec![]),
        with("Expand", &["image", "sizes"], vec![]),
        with("Tile", &["image", "sizes"], vec![]),
        with("Pad", &["image", "pads"], vec![]),
        with(
            "Einsum",
            &["image", "matrix"],
            vec![text("equation", "abcd,de->abce")],
        ),
    ]);
    all.push((with("Gemm", &["image", "matrix"], vec![]).0, 2));
    all
}

/// The error of a network of one node over an image of as many axes, if there is one.
fn error_of(mut node: NodeProto, axes: usize) -> Option<(InferenceErrorKind, String)> {
    let shape = &SHAPE[4 - axes..];
    node.name = Some("the_node".into());
    if node.op_type.as_deref() == Some("Split") {
        node.output.push("rest".into());
    }
    let sizes: Vec<i64> = shape.iter().map(|size| *size as i64).collect();
    let mut network = model(GraphProto {
        name: Some("one".into()),
        node: vec![node],
        initializer: constants(),
        input: vec![value("image", &sizes)],
        output: vec![value("logits", &[0])],
        ..GraphProto::default()
    });
    network.opset_import[0].version = Some(24);
    let input = vec![0.5; shape.iter().product()];
    let error = run_natively(&bytes(&network), NAMES, shape, &input).err()?;
    Some((error.kind(), error.to_string()))
}

#[test]
fn each_operator_refuses_an_attribute_that_it_does_not_know() {
    for (node, axes) in operators() {
        let name = node.op_type.clone().unwrap();
        let error = error_of(node.clone(), axes);
        assert_eq!(error, None, "{name} as it is");
        let mut odd = node;
        odd.attribute.push(integer("sideways", 1));
        let (kind, text) = error_of(odd, axes).unwrap_or_else(|| panic!("{name} takes anything"));
        assert_eq!(
            kind,
            InferenceErrorKind::UnsupportedOperator,
            "{name}: {text}"
        );
        let is_named = text.contains("the attribute `sideways`") && text.contains(&name);
        assert!(is_named, "{name}: {text}");
    }
}

/// What is computed while loading takes no unknown attributes either.
#[test]
fn each_operator_on_constants_refuses_an_attribute_that_it_does_not_know() {
    let operators: [(&str, &[&str]); 22] = [
        ("Identity", &["halves"]),
        ("Add", &["halves", "halves"]),
        ("Sub", &["halves", "halves"]),
        ("Mul", &["halves", "halves"]),
        ("Div", &["halves", "halves"]),
        ("Mod", &["halves", "halves"]),
        ("Max", &["halves", "halves"]),
        ("Min", &["halves", "halves"]),
        ("Neg", &["halves"]),
        ("Abs", &["halves"]),
        ("Not", &["truth"]),
        ("And", &["truth", "truth"]),
        ("Or", &["truth", "truth"]),
        ("Equal", &["halves", "halves"]),
        ("Less", &["halves", "halves"]),
        ("GreaterOrEqual", &["one", "four"]),
        ("Where", &["truth", "four", "one"]),
        ("Range", &["nothing", "six", "two"]),
        ("ConstantOfShape", &["halves"]),
        ("CumSum", &["halves", "nothing"]),
        ("ReduceProd", &["halves"]),
        ("Shape", &["image"]),
    ];
    for (operator, inputs) in operators {
        for is_odd in [false, true] {
            let mut constant = node(operator, inputs, "constant");
            if is_odd {
                constant.attribute.push(integer("sideways", 1));
            }
            let mut network = model(GraphProto {
                name: Some("constant".into()),
                node: vec![constant, node("Relu", &["image"], "logits")],
                initializer: constants(),
                input: vec![value("image", &[0, 4, 4, 4])],
                output: vec![value("logits", &[0])],
                ..GraphProto::default()
            });
            let initializer = &mut network.graph.as_mut().unwrap().initializer;
            initializer.extend([whole("nothing", &[], &[0]), whole("two", &[], &[2])]);
            let run = run_natively(&bytes(&network), NAMES, &SHAPE, &[0.5; 64]);
            match run {
                Ok(_) => assert!(!is_odd, "{operator} takes anything"),
                Err(error) => {
                    let text = error.to_string();
                    let is_named = text.contains("the attribute `sideways`");
                    assert!(is_odd && is_named, "{operator}: {text}");
                }
            }
        }
    }
}

#[test]
fn an_option_of_another_value_is_refused_by_name() {
    let cases = [
        (
            "Resize",
            vec!["image", "", "scales"],
            text("mode", "spline"),
        ),
        (
            "Resize",
            vec!["image", "", "halved"],
            text("coordinate_transformation_mode", "tf_crop_and_resize"),
        ),
        (
            "Resize",
            vec!["image", "", "halved"],
            text("nearest_mode", "odd"),
        ),
        ("Pad", vec!["image", "pads"], text("mode", "odd")),
        ("Conv", vec!["image", "kernels"], text("auto_pad", "odd")),
        ("Gelu", vec!["image"], text("approximate", "odd")),
        ("DepthToSpace", vec!["image"], text("mode", "odd")),
        (
            "ScatterND",
            vec!["image", "tuple", "update"],
            text("reduction", "add"),
        ),
        ("GatherND", vec!["image", "tuple"], integer("batch_dims", 1)),
        (
            "BatchNormalization",
            vec!["image", "four", "four", "four", "four"],
            integer("training_mode", 1),
        ),
    ];
    for (operator, inputs, option) in cases {
        let mut node = node(operator, &inputs, "logits");
        let name = option.name.clone().unwrap();
        node.attribute.push(option);
        if operator == "DepthToSpace" {
            node.attribute.push(integer("blocksize", 2));
        }
        let mut network = model(GraphProto {
            name: Some("one".into()),
            node: vec![node],
            initializer: constants(),
            input: vec![value("image", &[0, 4, 4, 4])],
            output: vec![value("logits", &[0])],
            ..GraphProto::default()
        });
        let halved = tensor("halved", &[4], &[1.0, 1.0, 0.5, 0.5]);
        network.graph.as_mut().unwrap().initializer.push(halved);
        network.opset_import[0].version = Some(20);
        let error = run_natively(&bytes(&network), NAMES, &SHAPE, &[0.5; 64]).unwrap_err();
        assert_eq!(
            error.kind(),
            InferenceErrorKind::UnsupportedOperator,
            "{operator} {name}: {error}"
        );
    }
}

#[test]
fn padding_on_which_implementations_do_not_agree_is_refused() {
    for (strides, dilations) in [([1, 1], [1, 2]), ([3, 3], [1, 1])] {
        let mut pool = node("MaxPool", &["image"], "logits");
        pool.attribute = vec![
            text("auto_pad", "SAME_UPPER"),
            integers("kernel_shape", &[1, 1]),
            integers("strides", &strides),
            integers("dilations", &dilations),
        ];
        let network = model(GraphProto {
            name: Some("pool".into()),
            node: vec![pool],
            input: vec![value("image", &[0, 4, 6, 6])],
            output: vec![value("logits", &[0])],
            ..GraphProto::default()
        });
        let input = vec![0.5; 4 * 36];
        let error = run_natively(&bytes(&network), NAMES, &[1, 4, 6, 6], &input).unwrap_err();
        assert!(error.to_string().contains("`auto_pad`"), "{error}");
    }
}

#[test]
fn a_value_that_is_written_twice_is_refused() {
    let network = model(GraphProto {
        name: Some("twice".into()),
        node: vec![
            node("Relu", &["image"], "logits"),
            node("Exp", &["image"], "logits"),
        ],
        input: vec![value("image", &[0, 4, 4, 4])],
        output: vec![value("logits", &[0])],
        ..GraphProto::default()
    });
    let error = run_natively(&bytes(&network), NAMES, &SHAPE, &[0.5; 64]).unwrap_err();
    assert!(error.to_string().contains("there already"), "{error}");
}
