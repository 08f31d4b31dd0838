//! Every operation forward and backward, against the reference in f64: logits directly,
//! gradients by finite differences.

use ferrotype_core::graph::Graph;
use ferrotype_engine::State;
use ferrotype_engine::executor::{CpuExecutor, Executor, StepOptions, Targets};
use serde_json::{Value, json};

use crate::reference::{self, Map, Tensors};
use crate::support::{adamw, pattern};

const CLASSES: usize = 3;
const BATCH: usize = 3;
const OPTIONS: StepOptions<'static> = StepOptions {
    dropout_seed: 1,
    ..StepOptions::new(0, 0.0)
};

pub(crate) struct Case {
    pub(crate) what: &'static str,
    pub(crate) input: [usize; 3],
    pub(crate) layers: Value,
}

/// The layers below, then a head that makes logits of whatever they give.
fn case(what: &'static str, input: [usize; 3], layers: &[Value]) -> Case {
    let head = [
        json!({"op": "flatten", "name": "rows"}),
        json!({"op": "linear", "name": "head", "out_features": "classes"}),
    ];
    Case {
        what,
        input,
        layers: Value::Array(layers.iter().chain(&head).cloned().collect()),
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let conv = |name: &str, options: Value| {
        let mut layer = json!({"op": "conv2d", "name": name, "out_channels": 4, "kernel": 3});
        let fields = options.as_object().unwrap().clone();
        layer.as_object_mut().unwrap().extend(fields);
        layer
    };
    // A convolution below each operation makes its gradient by the input count.
    let first = || conv("first", json!({"padding": 1}));
    vec![
        case(
            "a convolution",
            [3, 6, 5],
            &[conv("a", json!({})), conv("b", json!({}))],
        ),
        case(
            "strides, padding and dilation that differ by axis",
            [2, 9, 8],
            &[
                first(),
                conv(
                    "b",
                    json!({"kernel": [3, 2], "stride": [2, 1], "padding": [1, 2], "dilation": [1, 2]}),
                ),
            ],
        ),
        case(
            "a kernel wider than the image",
            [2, 3, 3],
            &[
                first(),
                conv(
                    "b",
                    json!({"kernel": 5, "padding": 3, "dilation": 2, "stride": 2}),
                ),
            ],
        ),
        case(
            "a pointwise convolution",
            [3, 4, 4],
            &[first(), conv("b", json!({"kernel": 1, "bias": false}))],
        ),
        case(
            "a strided pointwise convolution",
            [3, 5, 5],
            &[first(), conv("b", json!({"kernel": 1, "stride": 2}))],
        ),
        case(
            "a grouped convolution",
            [4, 5, 5],
            &[first(), conv("b", json!({"groups": 2, "out_channels": 6}))],
        ),
        case(
            "a depth-wise convolution",
            [3, 6, 6],
            &[
                first(),
                conv("b", json!({"groups": 4, "padding": 1, "stride": 2})),
            ],
        ),
        case(
            "a depth-wise convolution that multiplies channels",
            [3, 5, 5],
            &[first(), conv("b", json!({"groups": 4, "out_channels": 8}))],
        ),
        case(
            "a normalisation",
            [3, 4, 4],
            &[first(), json!({"op": "batch_norm2d"}), conv("b", json!({}))],
        ),
        case(
            "a normalisation with its rectifier",
            [3, 4, 4],
            &[
                first(),
                json!({"op": "batch_norm2d", "epsilon": 1e-3}),
                json!("relu"),
                conv("b", json!({})),
            ],
        ),
        case(
            "a normalisation of the image",
            [3, 4, 4],
            &[json!({"op": "batch_norm2d"})],
        ),
        case("a rectifier", [2, 4, 4], &[first(), json!("relu")]),
        case("silu", [2, 4, 4], &[first(), json!("silu")]),
        case("hard swish", [2, 4, 4], &[first(), json!("hard_swish")]),
        case("sigmoid", [2, 4, 4], &[first(), json!("sigmoid")]),
        case(
            "a maximum pooling",
            [2, 7, 6],
            &[first(), json!({"op": "max_pool2d", "kernel": 2})],
        ),
        case(
            "a maximum pooling with overlap and padding",
            [2, 7, 7],
            &[
                first(),
                json!({"op": "max_pool2d", "kernel": 3, "stride": 2, "padding": 1}),
            ],
        ),
        case(
            "a mean pooling with overlap and padding",
            [2, 7, 6],
            &[
                first(),
                json!({"op": "avg_pool2d", "kernel": [3, 2], "stride": [2, 1], "padding": 1}),
            ],
        ),
        case(
            "global mean pooling",
            [2, 5, 4],
            &[first(), json!("global_avg_pool")],
        ),
        case(
            "linear layers on a flattened image",
            [2, 3, 4],
            &[
                first(),
                json!("flatten"),
                json!({"op": "linear", "out_features": 7, "bias": false}),
                json!({"op": "relu"}),
                json!({"op": "linear", "out_features": 5}),
            ],
        ),
        case(
            "a sum of three, one of them twice read",
            [2, 4, 4],
            &[
                first(),
                conv("left", json!({"padding": 1, "inputs": ["first"]})),
                conv("right", json!({"kernel": 1, "inputs": ["first"]})),
                json!({"op": "add", "inputs": ["left", "first", "right"]}),
                json!("relu"),
            ],
        ),
        case(
            "a concatenation with a rectified branch",
            [2, 4, 4],
            &[
                first(),
                json!({"op": "batch_norm2d", "name": "norm"}),
                json!({"op": "relu", "name": "on"}),
                conv(
                    "side",
                    json!({"padding": 1, "out_channels": 3, "inputs": ["norm"]}),
                ),
                json!({"op": "concat", "inputs": ["on", "side", "on"]}),
            ],
        ),
        case(
            "a concatenation of rows",
            [2, 4, 4],
            &[
                first(),
                json!({"op": "flatten", "name": "flat"}),
                json!({"op": "linear", "name": "a", "out_features": 3}),
                json!({"op": "linear", "name": "b", "out_features": 2, "inputs": "flat"}),
                json!({"op": "concat", "inputs": ["a", "b"]}),
            ],
        ),
        case(
            "a normalisation with a smooth activation",
            [3, 4, 4],
            &[
                first(),
                json!({"op": "batch_norm2d"}),
                json!("silu"),
                conv("b", json!({})),
            ],
        ),
        case(
            "a normalisation with a shortcut and a rectifier",
            [3, 5, 4],
            &[
                first(),
                conv("left", json!({"padding": 1, "inputs": ["first"]})),
                json!({"op": "batch_norm2d", "name": "norm"}),
                json!({"op": "add", "inputs": ["norm", "first"]}),
                json!("relu"),
                conv("b", json!({})),
            ],
        ),
        case(
            "two normalisations whose sum is rectified",
            [3, 5, 4],
            &[
                first(),
                conv("left", json!({"padding": 1, "inputs": ["first"]})),
                json!({"op": "batch_norm2d", "name": "left_norm"}),
                conv("right", json!({"kernel": 1, "inputs": ["first"]})),
                json!({"op": "batch_norm2d", "name": "right_norm"}),
                json!({"op": "add", "inputs": ["left_norm", "right_norm"]}),
                json!("relu6"),
                conv("b", json!({})),
            ],
        ),
        case(
            "a normalisation with its rectifier and pooling",
            [3, 7, 6],
            &[
                first(),
                json!({"op": "batch_norm2d"}),
                json!("relu"),
                json!({"op": "max_pool2d", "kernel": 2}),
                conv("b", json!({"kernel": 1})),
            ],
        ),
        case(
            "a normalisation with its rectifier and an overlapping pooling",
            [3, 8, 7],
            &[
                first(),
                json!({"op": "batch_norm2d"}),
                json!("relu6"),
                json!({"op": "max_pool2d", "kernel": 3, "stride": 2, "padding": 1}),
                conv("b", json!({"kernel": 1})),
            ],
        ),
        case(
            "a normalisation below a rectifier and a pooling",
            [3, 7, 6],
            &[
                first(),
                json!("relu"),
                json!({"op": "max_pool2d", "kernel": 2}),
                json!({"op": "batch_norm2d"}),
                conv("b", json!({"kernel": 1})),
            ],
        ),
        case(
            "a normalisation of what others read as well",
            [2, 4, 4],
            &[
                first(),
                json!({"op": "batch_norm2d", "name": "norm"}),
                json!({"op": "concat", "inputs": ["norm", "first"]}),
                conv("b", json!({"kernel": 1})),
            ],
        ),
        case(
            "a rectifier that is read twice",
            [2, 4, 4],
            &[
                first(),
                json!({"op": "relu", "name": "on"}),
                conv("b", json!({"kernel": 1})),
                json!({"op": "multiply", "inputs": ["b", "on"]}),
                json!({"op": "add", "inputs": ["multiply1", "on"]}),
            ],
        ),
        case(
            "a pooling over windows of hundreds of pixels",
            [1, 18, 17],
            &[first(), json!({"op": "max_pool2d", "kernel": [17, 16]})],
        ),
        case(
            "relu6",
            [2, 4, 4],
            &[
                first(),
                json!({"op": "layer_scale", "initial": 6.0}),
                json!("relu6"),
            ],
        ),
        case(
            "hard sigmoid",
            [2, 4, 4],
            &[
                first(),
                json!({"op": "layer_scale", "initial": 4.0}),
                json!("hard_sigmoid"),
            ],
        ),
        case("gelu", [2, 4, 4], &[first(), json!("gelu")]),
        case(
            "a mean over a coarser grid",
            [2, 7, 5],
            &[
                first(),
                json!({"op": "adaptive_avg_pool2d", "output": [3, 2]}),
            ],
        ),
        case(
            "a mean over a finer grid",
            [2, 2, 3],
            &[first(), json!({"op": "adaptive_avg_pool2d", "output": 5})],
        ),
        case(
            "a layer normalisation of pixels",
            [3, 3, 4],
            &[
                first(),
                json!({"op": "layer_norm", "epsilon": 1e-3}),
                conv("b", json!({})),
            ],
        ),
        case(
            "a layer normalisation of a row",
            [3, 3, 4],
            &[
                first(),
                json!("global_avg_pool"),
                json!("flatten"),
                json!("layer_norm"),
            ],
        ),
        case(
            "a linear layer on each pixel",
            [3, 3, 4],
            &[
                first(),
                json!({"op": "linear", "out_features": 6}),
                json!("gelu"),
                json!({"op": "linear", "out_features": 4}),
                json!({"op": "layer_scale", "initial": 0.5}),
                json!({"op": "add", "inputs": ["layer_scale1", "first"]}),
            ],
        ),
        case(
            "a gate on the channels",
            [3, 4, 5],
            &[
                first(),
                json!("global_avg_pool"),
                conv("squeeze", json!({"kernel": 1, "out_channels": 2})),
                json!("relu"),
                conv("excite", json!({"kernel": 1})),
                json!("hard_sigmoid"),
                json!({"op": "multiply", "inputs": ["first", "hard_sigmoid1"]}),
            ],
        ),
        case(
            "a square",
            [3, 3, 3],
            &[
                first(),
                json!({"op": "multiply", "inputs": ["first", "first"]}),
            ],
        ),
        case(
            "a double",
            [3, 3, 3],
            &[first(), json!({"op": "add", "inputs": ["first", "first"]})],
        ),
        case(
            "tokens with attention",
            [3, 4, 4],
            &[
                conv(
                    "patches",
                    json!({"kernel": 2, "stride": 2, "out_channels": 6}),
                ),
                json!({"op": "class_token", "name": "cls_token"}),
                json!({"op": "position_embedding", "name": "pos_embed"}),
                json!({"op": "layer_norm", "name": "norm"}),
                json!({"op": "linear", "name": "qkv", "out_features": 18}),
                json!({"op": "attention", "heads": 2}),
                json!({"op": "linear", "name": "proj", "out_features": 6}),
                json!({"op": "add", "name": "sum", "inputs": ["pos_embed", "proj"]}),
                json!({"op": "select_token", "index": 0}),
            ],
        ),
    ]
}

fn executor(case: &Case) -> (Graph, CpuExecutor, State) {
    let graph = Graph::from_layers("case", case.input, CLASSES, &case.layers).unwrap();
    let mut executor = CpuExecutor::new(&graph, &adamw(), 5).unwrap();
    let mut state = executor.state();
    // Away from the initial values, under which some gradients vanish.
    for (seed, (name, tensor)) in (1..).zip(&mut state.tensors) {
        let noise = pattern(tensor.values.len(), seed);
        let positive = name.ends_with("running_var");
        for (value, noise) in tensor.values.iter_mut().zip(noise) {
            *value += 0.3 * if positive { noise.abs() } else { noise };
        }
    }
    executor.load_state(&state).unwrap();
    (graph, executor, state)
}

fn images(case: &Case) -> (Vec<f32>, Map) {
    let [channels, height, width] = case.input;
    let values = pattern(BATCH * channels * height * width, 99);
    let map = Map {
        batch: BATCH,
        channels,
        height,
        width,
        values: values.iter().copied().map(f64::from).collect(),
    };
    (values, map)
}

fn in_f64(state: &State) -> Tensors {
    state
        .tensors
        .iter()
        .map(|(name, tensor)| {
            (
                name.clone(),
                tensor.values.iter().copied().map(f64::from).collect(),
            )
        })
        .collect()
}

#[test]
fn every_operation_gives_the_references_logits() {
    for case in cases() {
        let (graph, mut executor, state) = executor(&case);
        let (values, map) = images(&case);
        let expected = reference::logits(&graph, &in_f64(&state), &map, false);
        let logits = executor.evaluate(&values, BATCH).unwrap();
        assert_eq!(logits.len(), BATCH * CLASSES);
        for (logit, expected) in logits.iter().zip(&expected.values) {
            let difference = (f64::from(*logit) - expected).abs();
            assert!(
                difference < 1e-5 * (1.0 + expected.abs()),
                "{}: {logit} {expected}",
                case.what
            );
        }
    }
}

#[test]
fn every_operation_has_the_gradients_of_finite_differences() {
    const STEP: f64 = 1e-6;
    for case in cases() {
        let (graph, mut executor, state) = executor(&case);
        let (values, map) = images(&case);
        let labels = [0, 2, 1];
        let mut tensors = in_f64(&state);
        let (loss, gradients) = executor
            .gradients(&values, &Targets::Classes(&labels), &OPTIONS)
            .unwrap();
        let expected = reference::loss(&reference::logits(&graph, &tensors, &map, true), &labels);
        assert!(
            (loss - expected).abs() < 1e-5,
            "{}: {loss} {expected}",
            case.what
        );
        for (name, gradient) in &gradients.tensors {
            let scale = gradient
                .values
                .iter()
                .fold(0.0_f32, |m, g| m.max(g.abs()))
                .max(1e-2);
            for index in 0..gradient.values.len() {
                let mut at = |change: f64| {
                    tensors.get_mut(name).unwrap()[index] += change;
                    reference::loss(&reference::logits(&graph, &tensors, &map, true), &labels)
                };
                let (up, down) = (at(STEP), at(-2.0 * STEP));
                at(STEP);
                let expected = (up - down) / (2.0 * STEP);
                let difference = (f64::from(gradient.values[index]) - expected).abs();
                assert!(
                    difference < 2e-4 * f64::from(scale),
                    "{}: `{name}`[{index}] is {}, expected {expected}",
                    case.what,
                    gradient.values[index]
                );
            }
        }
    }
}

#[test]
fn dropout_keeps_the_mean_and_draws_anew_each_step() {
    let layers = json!(["flatten", {"op": "dropout", "probability": 0.25}, {"op": "linear", "out_features": "classes"}]);
    let graph = Graph::from_layers("dropout", [3, 8, 8], CLASSES, &layers).unwrap();
    let mut executor = CpuExecutor::new(&graph, &adamw(), 5).unwrap();
    let images = vec![1.0; BATCH * 3 * 8 * 8];
    let at = |executor: &mut CpuExecutor, step: u64| {
        let options = StepOptions {
            batch: step,
            ..OPTIONS
        };
        executor
            .gradients(&images, &Targets::Classes(&[0, 0, 0]), &options)
            .unwrap()
    };
    let first = at(&mut executor, 0);
    assert_eq!(first, at(&mut executor, 0));
    assert_ne!(first, at(&mut executor, 1));
    // dL/dw = Σ (p − y)·x·mask / n: over all inputs, the mask's mean shows.
    let (_, gradients) = first;
    let weight = &gradients.get("linear1.weight").unwrap().values[..192];
    let bias = gradients.get("linear1.bias").unwrap().values[0];
    let mean = weight.iter().sum::<f32>() / 192.0 / bias;
    assert!((mean - 1.0).abs() < 0.1, "{mean}");
    assert!(weight.iter().any(|g| (g / bias - 1.0).abs() > 0.2));
}

#[test]
fn stochastic_depth_drops_whole_images_and_keeps_the_mean() {
    let layers = json!([
        "flatten",
        {"op": "stochastic_depth", "probability": 0.25},
        {"op": "linear", "out_features": "classes", "bias": false},
    ]);
    let graph = Graph::from_layers("depth", [3, 2, 2], CLASSES, &layers).unwrap();
    let mut executor = CpuExecutor::new(&graph, &adamw(), 5).unwrap();
    let batch = 400;
    let images = vec![1.0; batch * 12];
    let labels = vec![0; batch];
    let mut at = |step: u64| {
        let options = StepOptions {
            batch: step,
            ..OPTIONS
        };
        let (_, gradients) = executor
            .gradients(&images, &Targets::Classes(&labels), &options)
            .unwrap();
        gradients.get("linear1.weight").unwrap().values.clone()
    };
    let first = at(0);
    assert_eq!(first, at(0));
    assert_ne!(first, at(1));
    // All inputs of an image are kept or dropped together: they have the same gradient.
    assert!(first[..12].iter().all(|value| *value == first[0]));
}
