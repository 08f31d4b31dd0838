//! Logits, gradients and the course of training, against PyTorch's (`tools/golden_engine.py`).

use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::{Graph, TensorRole};
use ferrotype_engine::State;
use ferrotype_engine::executor::{CpuExecutor, Executor, StepOptions, Targets};
use serde_json::Value;

use crate::support::{adamw, pattern};

const FILES: [&str; 3] = [
    include_str!("../golden/baseline.json"),
    include_str!("../golden/mixed.json"),
    include_str!("../golden/tokens.json"),
];

struct Golden {
    file: Value,
    graph: Graph,
    images: Vec<f32>,
    labels: Vec<u32>,
}

fn goldens() -> Vec<Golden> {
    let read = |text: &&str| {
        let file: Value = serde_json::from_str(text).unwrap();
        let graph = Graph::from_value(file["graph"].clone()).unwrap();
        let batch = file["batch"].as_u64().unwrap() as u32;
        let classes = file["classes"].as_u64().unwrap() as u32;
        Golden {
            images: pattern(batch as usize * graph.input.iter().product::<usize>(), 999),
            labels: (0..batch).map(|index| index % classes).collect(),
            graph,
            file,
        }
    };
    FILES.iter().map(read).collect()
}

/// The same weights as the script's `fill`.
pub(crate) fn filled(graph: &Graph, optimizer: &OptimizerConfig) -> CpuExecutor {
    let mut executor = CpuExecutor::new(graph, optimizer, 1).unwrap();
    let mut state = executor.state();
    for (seed, spec) in (1..).zip(graph.tensors().unwrap()) {
        let noise = pattern(spec.element_count(), seed);
        let fan_in: usize = spec.shape[1..].iter().product();
        let scale = (2.0 / (fan_in as f64).sqrt())
            .log2()
            .round_ties_even()
            .exp2() as f32;
        let value = |noise: f32| match spec.role {
            TensorRole::RunningVar => 1.0 + 0.25 * noise.abs(),
            TensorRole::NormWeight => 1.0 + 0.25 * noise,
            TensorRole::Weight => noise * scale,
            _ => 0.25 * noise,
        };
        let values = noise.into_iter().map(value).collect();
        state.insert(&spec.name, spec.shape, values);
    }
    executor.load_state(&state).unwrap();
    executor
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|number| number.as_f64().unwrap()).collect()
}

pub(crate) fn assert_near(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected
        .iter()
        .fold(1e-2, |scale: f64, value| scale.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance * scale,
            "{what}[{index}]: {found}, expected {expected}"
        );
    }
}

fn in_f64(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Compares tensors with the script's `samples` of them.
pub(crate) fn assert_samples(what: &str, state: &State, expected: &Value, tolerance: f64) {
    for (name, samples) in expected.as_object().unwrap() {
        let values = in_f64(&state.get(name).unwrap().values);
        let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let what = format!("{what}, {name}");
        assert_near(
            &what,
            &[norm],
            &[samples["norm"].as_f64().unwrap()],
            tolerance,
        );
        let step = samples["step"].as_u64().unwrap() as usize;
        let found: Vec<f64> = values.into_iter().step_by(step).collect();
        assert_near(&what, &found, &numbers(&samples["values"]), tolerance);
    }
}

#[test]
fn logits_and_gradients_are_pytorchs() {
    for golden in goldens() {
        let name = &golden.graph.name;
        let mut executor = filled(&golden.graph, &adamw());
        let logits = executor
            .evaluate(&golden.images, golden.labels.len())
            .unwrap();
        assert_near(
            name,
            &in_f64(&logits),
            &numbers(&golden.file["logits"]),
            1e-5,
        );
        let options = StepOptions::new(0, 0.0);
        let (loss, gradients) = executor
            .gradients(&golden.images, &Targets::Classes(&golden.labels), &options)
            .unwrap();
        assert_near(
            name,
            &[loss],
            &[golden.file["loss"].as_f64().unwrap()],
            1e-6,
        );
        assert_samples(name, &gradients, &golden.file["gradients"], 1e-4);
    }
}

#[test]
fn a_few_steps_of_each_optimiser_take_pytorchs_course() {
    let sgd = |nesterov| OptimizerConfig::Sgd {
        momentum: 0.9,
        weight_decay: 0.05,
        nesterov,
    };
    let adamw = OptimizerConfig::AdamW {
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        weight_decay: 0.05,
    };
    let optimizers = [
        ("adamw", 0.003, adamw),
        ("sgd", 0.02, sgd(false)),
        ("nesterov", 0.02, sgd(true)),
    ];
    for golden in goldens() {
        for (optimizer_name, learning_rate, optimizer) in &optimizers {
            let what = format!("{} with {optimizer_name}", golden.graph.name);
            let course = &golden.file["courses"][optimizer_name];
            let mut executor = filled(&golden.graph, optimizer);
            let (mut losses, mut norms) = (Vec::new(), Vec::new());
            for step in 0..numbers(&course["losses"]).len() as u64 {
                let options = StepOptions {
                    gradient_clip: Some(1.0),
                    ..StepOptions::new(step, *learning_rate)
                };
                let output = executor
                    .train_step(&golden.images, &Targets::Classes(&golden.labels), &options)
                    .unwrap();
                losses.push(output.loss);
                norms.push(output.gradient_norm.unwrap());
            }
            assert_near(&what, &losses, &numbers(&course["losses"]), 1e-3);
            assert_near(&what, &norms, &numbers(&course["gradient_norms"]), 1e-3);
            let logits = executor
                .evaluate(&golden.images, golden.labels.len())
                .unwrap();
            assert_near(&what, &in_f64(&logits), &numbers(&course["logits"]), 1e-3);
            assert_samples(&what, &executor.state(), &course["tensors"], 1e-3);
        }
    }
}
