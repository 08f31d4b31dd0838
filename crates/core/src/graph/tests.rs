//! Reading, checking and measuring layer graphs.

use serde_json::{Value, json};

use super::*;

fn read(layers: &Value) -> Result<Graph, GraphError> {
    let graph = Graph::from_layers("own", [3, 32, 32], 5, layers)?;
    graph.check(5)?;
    Ok(graph)
}

fn minimal_with(layer: Value) -> Value {
    json!([
        layer,
        {"name": "pool", "op": "global_avg_pool"},
        "flatten",
        {"name": "head", "op": "linear", "out_features": "classes"},
    ])
}

#[test]
fn tensors_are_named_and_shaped_as_pytorch_does() {
    let graph = zoo::build("baseline", [3, 8, 8], 2, &Default::default()).unwrap();
    let tensors = graph.tensors().unwrap();
    let names: Vec<&str> = tensors
        .iter()
        .map(|spec| spec.name.as_str())
        .take(5)
        .collect();
    let expected = [
        "conv1.weight",
        "bn1.weight",
        "bn1.bias",
        "bn1.running_mean",
        "bn1.running_var",
    ];
    assert_eq!(names, expected);
    assert_eq!(tensors[0].shape, [32, 3, 3, 3]);
    let head = tensors
        .iter()
        .find(|spec| spec.name == "fc2.weight")
        .unwrap();
    assert_eq!(head.shape, [2, 128]);
    assert!(head.role.decays());
    assert!(!tensors[1].role.decays());
    assert!(!tensors[3].role.is_trained());
}

#[test]
fn a_users_graph_is_read_with_defaults_pairs_and_bare_names() {
    let graph = read(&json!([
        {"name": 0, "op": "conv2d", "out_channels": 8, "kernel": [3, 5], "padding": [1, 2]},
        "relu",
        {"name": "skip", "op": "conv2d", "out_channels": 8, "kernel_size": 1, "inputs": "0"},
        {"op": "add", "inputs": ["skip", "relu1"]},
        "relu",
        "global_avg_pool",
        "flatten",
        {"op": "dropout", "p": 0.1},
        {"op": "linear", "out_features": "classes"},
    ]))
    .unwrap();
    let names: Vec<&str> = graph
        .layers
        .iter()
        .map(|layer| layer.name.as_str())
        .collect();
    let expected = [
        "0",
        "relu1",
        "skip",
        "add1",
        "relu2",
        "global_avg_pool1",
        "flatten1",
        "dropout1",
        "linear1",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        graph.layers[8].op,
        Op::Linear {
            out_features: 5,
            bias: true
        }
    );
    assert_eq!(graph.inputs_of(0), ["input"]);
    assert_eq!(graph.inputs_of(3), ["skip", "relu1"]);
}

#[test]
fn a_graph_reads_back_from_its_own_json() {
    let graph = zoo::build(
        "baseline",
        [3, 16, 16],
        4,
        &zoo::ZooOptions::with_dropout(0.3),
    )
    .unwrap();
    let value = serde_json::to_value(&graph).unwrap();
    assert_eq!(value["layers"][0]["kernel"], 3);
    assert!(
        value["layers"][0].get("stride").is_none(),
        "defaults are left out"
    );
    assert_eq!(Graph::from_value(value).unwrap(), graph);
}

#[test]
fn tokens_are_pixels_and_their_layers_have_pytorchs_tensors() {
    let graph = Graph::from_layers(
        "tokens",
        [3, 8, 4],
        5,
        &json!([
            {"name": "patch", "op": "conv2d", "out_channels": 6, "kernel": 2, "stride": 2},
            {"name": "cls", "op": "class_token"},
            {"name": "pos", "op": "position_embedding"},
            {"name": "norm", "op": "layer_norm", "eps": 1e-6},
            {"name": "qkv", "op": "linear", "out_features": 18},
            {"name": "attention", "op": "attention", "heads": 3},
            {"name": "scale", "op": "layer_scale", "initial": 0.1},
            {"name": "drop", "op": "drop_path", "p": 0.1},
            {"name": "sum", "op": "add", "inputs": ["drop", "pos"]},
            "gelu",
            "select_token",
            {"name": "head", "op": "linear", "out_features": "classes"},
        ]),
    )
    .unwrap();
    let infos = graph.check(5).unwrap();
    let info = |name: &str| infos.iter().find(|info| info.name == name).unwrap();
    assert_eq!(info("cls").output_shape, [6, 9, 1]);
    assert_eq!(info("qkv").output_shape, [18, 9, 1]);
    assert_eq!(info("qkv").flops, (2 * 6 + 1) * 18 * 9);
    assert_eq!(info("attention").output_shape, [6, 9, 1]);
    // Two products of 9 × 9 × 6 multiply-adds, and the softmax of each of 3 heads.
    assert_eq!(info("attention").flops, 2 * 2 * 81 * 6 + 4 * 3 * 81);
    assert_eq!(info("select_token1").output_shape, [6]);
    let tensors: Vec<(String, Vec<usize>)> = graph
        .tensors()
        .unwrap()
        .into_iter()
        .map(|spec| (spec.name, spec.shape))
        .collect();
    let expected: [(&str, &[usize]); 11] = [
        ("patch.weight", &[6, 3, 2, 2]),
        ("patch.bias", &[6]),
        ("cls", &[1, 1, 6]),
        ("pos", &[1, 9, 6]),
        ("norm.weight", &[6]),
        ("norm.bias", &[6]),
        ("qkv.weight", &[18, 6]),
        ("qkv.bias", &[18]),
        ("scale.gamma", &[6]),
        ("head.weight", &[5, 6]),
        ("head.bias", &[5]),
    ];
    let expected = expected.map(|(name, shape)| (name.to_string(), shape.to_vec()));
    assert_eq!(tensors, expected);
    assert_eq!(graph.embedding_layer(), Some("select_token1"));
}

#[test]
fn one_number_per_channel_multiplies_each_pixel() {
    let graph = read(&json!([
        {"name": "a", "op": "conv2d", "out_channels": 4, "kernel": 3},
        "global_avg_pool",
        "hardsigmoid",
        {"op": "multiply", "inputs": ["a", "hard_sigmoid1"]},
        {"op": "multiply", "inputs": ["multiply1", "a"]},
        {"op": "adaptive_avg_pool2d", "output_size": [7, 40]},
        "relu6",
        "flatten",
        {"op": "linear", "out_features": "classes"},
    ]))
    .unwrap();
    let infos = graph.shapes().unwrap();
    assert_eq!(infos[3].output_shape, [4, 30, 30]);
    assert_eq!(infos[5].output_shape, [4, 7, 40]);
}

struct Mistake {
    layers: Value,
    kind: GraphErrorKind,
    message: &'static str,
    hint: &'static str,
}

fn mistakes() -> Vec<Mistake> {
    use GraphErrorKind as Kind;
    let mistake = |layers, kind, message, hint| Mistake {
        layers,
        kind,
        message,
        hint,
    };
    vec![
        mistake(
            json!({"op": "relu"}),
            Kind::Malformed,
            "expected a list of layers",
            "",
        ),
        mistake(json!([]), Kind::Malformed, "no layers", ""),
        mistake(
            json!([7]),
            Kind::Malformed,
            "layer `number 1`: it is `7`",
            "",
        ),
        mistake(
            json!([{"name": "a"}]),
            Kind::Malformed,
            "layer `a`: it has no `op`",
            "conv2d",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "conv2"})),
            Kind::UnknownOperation,
            "layer `a`: no operation is named `conv2`",
            "did you mean `conv2d`?",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "conv2d", "out_channels": 4, "kernal": 3})),
            Kind::Malformed,
            "layer `a`: `conv2d` has no option `kernal`",
            "did you mean `kernel`?",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "relu", "slope": 1})),
            Kind::Malformed,
            "layer `a`: `relu` has no option `slope`",
            "`relu` has no options",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "linear", "out_features": "abc"})),
            Kind::Malformed,
            "layer `a`: `out_features` is `abc`, expected a whole number, 1 or more",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "linear", "out_features": 3, "bias": 1})),
            Kind::Malformed,
            "layer `a`: `bias` is `1`, expected `true` or `false`",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "conv2d", "kernel": 3})),
            Kind::Malformed,
            "layer `a`: `conv2d` needs `out_channels`",
            "whole number",
        ),
        mistake(
            minimal_with(
                json!({"name": "a", "op": "conv2d", "out_channels": 4, "kernel": [3, 3, 3]}),
            ),
            Kind::Malformed,
            "a pair `[height, width]`",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "conv2d", "out_channels": 4, "kernel": -3})),
            Kind::Malformed,
            "-3",
            "",
        ),
        mistake(
            minimal_with(
                json!({"name": "a", "op": "conv2d", "out_channels": 4, "kernel": 3, "stride": 0}),
            ),
            Kind::InvalidValue,
            "layer `a`: `stride` is 0, expected 1 or more",
            "",
        ),
        mistake(
            minimal_with(
                json!({"name": "a", "op": "conv2d", "out_channels": 4, "kernel": 3, "groups": 2}),
            ),
            Kind::InvalidValue,
            "input channels is 3, expected a multiple of `groups`, 2",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "max_pool2d", "kernel": 2, "padding": 2})),
            Kind::InvalidValue,
            "at most half the kernel",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "dropout", "probability": 1.0})),
            Kind::InvalidValue,
            "`probability` is 1",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "a.", "op": "relu"})),
            Kind::InvalidName,
            "layer `a.`",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "input", "op": "relu"})),
            Kind::InvalidName,
            "reserved",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "head", "op": "relu"})),
            Kind::InvalidName,
            "layer `head`: the name is taken",
            "its own name",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "relu", "inputs": "stemm"})),
            Kind::UnknownInput,
            "it reads `stemm`, but no layer above has that name",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "add"})),
            Kind::WrongInputCount,
            "`add` reads two layers or more, got 1",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "relu", "inputs": ["input", "input"]})),
            Kind::WrongInputCount,
            "`relu` reads one layer, got 2",
            "",
        ),
        mistake(
            json!(["global_avg_pool", {"name": "a", "op": "linear", "out_features": "classes"}]),
            Kind::WrongOutput,
            "layer `a`: the last layer gives [5, 1, 1] per image, expected [5]",
            "put `op: flatten` above it",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "adaptive_avg_pool2d", "output": 0})),
            Kind::InvalidValue,
            "layer `a`: `output` is 0, expected 1 or more",
            "",
        ),
        mistake(
            minimal_with(
                json!({"name": "a", "op": "multiply", "inputs": ["input", "input", "input"]}),
            ),
            Kind::WrongInputCount,
            "`multiply` reads two layers, got 3",
            "",
        ),
        mistake(
            json!([
                {"name": "a", "op": "conv2d", "out_channels": 4, "kernel": 3},
                {"name": "b", "op": "conv2d", "out_channels": 3, "kernel": 1},
                "global_avg_pool",
                {"name": "c", "op": "multiply", "inputs": ["a", "global_avg_pool1"]},
                "flatten",
            ]),
            Kind::ShapeMismatch,
            "`multiply` expected [4, 30, 30] as its first input gives, or one number for each of its channels, got [3, 1, 1]",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "attention", "heads": 2})),
            Kind::ShapeMismatch,
            "a multiple of 6 channels, got [3, 32, 32]",
            "three times",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "attention"})),
            Kind::Malformed,
            "layer `a`: `attention` needs `heads`",
            "whole number",
        ),
        mistake(
            json!([
                {"name": "a", "op": "select_token", "index": 1024},
                {"op": "linear", "out_features": "classes"},
            ]),
            Kind::InvalidValue,
            "layer `a`: `index` is 1024, expected less than the number of tokens, 1024",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "stochastic_depth"})),
            Kind::Malformed,
            "`stochastic_depth` needs `probability`",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "a", "op": "layer_scale", "initial": 1e9})),
            Kind::InvalidValue,
            "`initial` is 1000000000",
            "",
        ),
        mistake(
            minimal_with(json!({"name": "head.weight", "op": "class_token"})),
            Kind::InvalidName,
            "its tensor `head.weight` has the name of another layer's",
            "another name",
        ),
        mistake(
            json!([{"name": "a", "op": "conv2d", "out_channels": 4, "kernel": 3}, "relu"]),
            Kind::WrongOutput,
            "layer `relu1`: the last layer gives [4, 30, 30] per image, expected [5]",
            "out_features: classes",
        ),
        mistake(
            json!([
                {"name": "a", "op": "conv2d", "out_channels": 4, "kernel": 3},
                {"name": "b", "op": "conv2d", "out_channels": 4, "kernel": 1, "inputs": "a"},
                {"name": "c", "op": "conv2d", "out_channels": 8, "kernel": 1, "inputs": "a"},
                {"name": "d", "op": "add", "inputs": ["b", "c"]},
                "flatten",
            ]),
            Kind::ShapeMismatch,
            "layer `d`: `add` expected [4, 30, 30] as its first input gives, got [8, 30, 30]",
            "",
        ),
        mistake(
            json!([
                {"name": "a", "op": "conv2d", "out_channels": 4, "kernel": 3},
                {"name": "b", "op": "flatten", "inputs": "input"},
                {"op": "linear", "out_features": "classes"},
            ]),
            Kind::UnusedLayer,
            "layer `a`: no layer reads its output",
            "remove it",
        ),
    ]
}

#[test]
fn mistakes_name_the_layer_and_say_what_was_expected() {
    for Mistake {
        layers,
        kind,
        message,
        hint,
    } in mistakes()
    {
        let error = read(&layers).unwrap_err();
        assert_eq!(error.kind(), kind, "{layers}: {error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(
            error.hint().unwrap_or_default().contains(hint),
            "{error}: {:?}",
            error.hint()
        );
    }
}

#[test]
fn hostile_graphs_are_refused_before_anything_is_allocated() {
    let huge = 1_000_000;
    let cases = [
        minimal_with(json!({"op": "conv2d", "out_channels": huge, "kernel": 3, "padding": 1})),
        minimal_with(json!({"op": "conv2d", "out_channels": 1, "kernel": 1, "padding": huge})),
        minimal_with(json!({"op": "conv2d", "out_channels": u64::MAX, "kernel": 1})),
        json!(["flatten", {"op": "linear", "out_features": huge}, {"op": "linear", "out_features": huge}]),
        Value::Array(vec![json!("relu"); MAX_LAYERS + 1]),
    ];
    for layers in cases {
        assert!(read(&layers).is_err());
    }
    let whole = json!({"name": "g", "input": [u64::MAX, 1, 1], "layers": ["relu"]});
    assert!(Graph::from_value(whole).is_err());
    let attention = json!([{"op": "attention", "heads": 1}, {"op": "select_token"}, {"op": "linear", "out_features": 5}]);
    let error = Graph::from_layers("own", [3, 200, 200], 5, &attention).unwrap_err();
    assert_eq!(
        error.kind(),
        GraphErrorKind::TooLarge,
        "tokens times tokens"
    );
    let endless = json!({"name": "g", "input": [3, 1 << 20, 1 << 20], "layers": [{"name": "a", "op": "relu"}]});
    assert_eq!(
        Graph::from_value(endless).unwrap_err().kind(),
        GraphErrorKind::TooLarge
    );
}

#[test]
fn an_embedding_must_be_a_row_of_the_graph() {
    let graph = zoo::build("baseline", [3, 32, 32], 2, &Default::default()).unwrap();
    let with = |name: &str| Graph {
        embedding: Some(name.to_string()),
        ..graph.clone()
    };
    assert!(with("fc1").check(2).is_ok());
    assert_eq!(
        with("conv1").check(2).unwrap_err().kind(),
        GraphErrorKind::ShapeMismatch
    );
    assert_eq!(
        with("nowhere").check(2).unwrap_err().kind(),
        GraphErrorKind::UnknownInput
    );
}

#[test]
fn a_configuration_gives_the_zoos_graph_or_the_users_own() {
    let mut model = ModelConfig {
        name: "baseline".to_string(),
        dropout: Some(0.4),
        stochastic_depth: None,
        weights: None,
        layers: None,
    };
    let graph = Graph::from_config(&model, [3, 32, 32], 4).unwrap();
    assert!(
        graph
            .layers
            .iter()
            .any(|layer| layer.op == Op::Dropout { probability: 0.4 })
    );
    model.layers = Some(json!(["flatten", {"op": "linear", "out_features": "classes"}]));
    let graph = Graph::from_config(&model, [3, 32, 32], 4).unwrap();
    assert_eq!(graph.check(4).unwrap()[1].output_shape, [4]);
}
