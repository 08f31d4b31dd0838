//! The CPU executor against Burn's (with the feature `burn`), on Burn's own processor backend or on
//! the device that `FERROTYPE_TEST_DEVICE` names, as `cuda` or `wgpu`.

use std::collections::BTreeSet;

use ferrotype_core::config::schema::{DeviceConfig, OptimizerConfig};
use ferrotype_core::graph::{Graph, Op, zoo};
use ferrotype_engine::State;
use ferrotype_engine::executor::{Device, Executor, Fit, LossOptions, StepOptions, Targets};
use serde_json::json;

use crate::gradients::cases;
use crate::support::{adamw, pattern, small_graph};

const PLAIN_SGD: OptimizerConfig = OptimizerConfig::Sgd {
    momentum: 0.0,
    weight_decay: 0.0,
    nesterov: false,
};

/// The CPU executor and the one that is held against it, with the same weights.
fn both(graph: &Graph, optimizer: &OptimizerConfig) -> [Box<dyn Executor>; 2] {
    let choice = match std::env::var("FERROTYPE_TEST_DEVICE") {
        Ok(name) => name.parse().unwrap(),
        Err(_) => DeviceConfig::BurnCpu,
    };
    let devices = [Device::CPU, Device::find(choice).unwrap()];
    let mut executors = devices.map(|device| device.executor(graph, optimizer, 5).unwrap());
    // Away from the initial values, under which some gradients vanish. The optimiser's moments stay
    // as they are: a mean of squares must not be negative.
    let mut state = executors[0].state();
    for (seed, spec) in (1..).zip(graph.tensors().unwrap()) {
        let tensor = state.tensors.get_mut(&spec.name).unwrap();
        let noise = pattern(tensor.values.len(), seed);
        let positive = spec.name.ends_with("running_var");
        for (value, noise) in tensor.values.iter_mut().zip(noise) {
            *value += 0.1 * if positive { noise.abs() } else { noise };
        }
    }
    for executor in &mut executors {
        executor.load_state(&state).unwrap();
    }
    executors
}

/// Each tensor's largest difference must be below `tolerance` times its largest number.
fn assert_same(what: &str, ours: &State, burns: &State, tolerance: f32) {
    let names = |state: &State| state.tensors.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(ours), names(burns), "{what}");
    for (name, tensor) in &ours.tensors {
        let other = &burns.tensors[name].values;
        assert_eq!(tensor.values.len(), other.len());
        let scale = tensor.values.iter().fold(0.1_f32, |m, x| m.max(x.abs()));
        for (index, (a, b)) in tensor.values.iter().zip(other).enumerate() {
            assert!(
                (a - b).abs() < tolerance * scale,
                "{what}: `{name}`[{index}] is {a}, Burn's {b}"
            );
        }
    }
}

fn assert_near(what: &str, ours: &[f32], burns: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), burns.len());
    for (ours, burns) in ours.iter().zip(burns) {
        let allowed = tolerance * (1.0 + ours.abs());
        assert!((ours - burns).abs() < allowed, "{what}: {ours} {burns}");
    }
}

#[test]
fn burn_takes_the_same_course() {
    let baseline = zoo::build(
        "baseline",
        [3, 16, 16],
        3,
        &zoo::ZooOptions::with_dropout(0.3),
    )
    .unwrap();
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../golden/mixed.json")).unwrap();
    let mixed = Graph::from_value(golden["graph"].clone()).unwrap();
    for graph in [baseline, small_graph(), mixed] {
        let images = pattern(4 * graph.input.iter().product::<usize>(), 3);
        let mut executors = both(&graph, &adamw());
        for step in 0..4 {
            let options = StepOptions {
                dropout_seed: 1,
                gradient_clip: Some(1.0),
                ..StepOptions::new(step, 1e-3)
            };
            let [ours, burns] = executors.each_mut().map(|executor| {
                let output =
                    executor.train_step(&images, &Targets::Classes(&[0, 1, 2, 0]), &options);
                output.unwrap()
            });
            let what = format!("{}, step {step}: {ours:?} {burns:?}", graph.name);
            assert!((ours.loss - burns.loss).abs() < 1e-3, "{what}");
            let norms = ours.gradient_norm.unwrap() / burns.gradient_norm.unwrap();
            assert!((norms - 1.0).abs() < 1e-3, "{what}");
        }
        let [ours, burns] = executors
            .each_mut()
            .map(|executor| executor.evaluate(&images, 4).unwrap());
        assert_near(&graph.name, &ours, &burns, 2e-3);
    }
}

#[test]
fn burn_has_the_gradients_of_every_operation() {
    // What draws at random is held in the next test.
    let drawing = drawing_graph();
    let mut held: BTreeSet<_> = drawing.layers.iter().map(|layer| layer.op.name()).collect();
    for case in cases() {
        let graph = Graph::from_layers("case", case.input, 3, &case.layers).unwrap();
        held.extend(graph.layers.iter().map(|layer| layer.op.name()));
        let images = pattern(3 * case.input.iter().product::<usize>(), 99);
        let mut executors = both(&graph, &PLAIN_SGD);
        let [ours, burns] = executors
            .each_mut()
            .map(|executor| executor.evaluate(&images, 3).unwrap());
        assert_near(case.what, &ours, &burns, 1e-3);
        // With a rate of 1, the weights change by their gradients.
        let [ours, burns] = executors.each_mut().map(|executor| {
            let options = StepOptions::new(0, 1.0);
            executor
                .train_step(&images, &Targets::Classes(&[0, 2, 1]), &options)
                .unwrap();
            executor.state()
        });
        assert_same(case.what, &ours, &burns, 2e-3);
    }
    assert_eq!(held, BTreeSet::from(Op::NAMES), "a new one needs a case");
}

/// Dropout of maps and rows, stochastic depth and normalisations, in two stages. No bias below a
/// normalisation: its gradient is rounding alone, which AdamW would make an update of.
fn drawing_graph() -> Graph {
    let layers = json!([
        {"name": "conv1", "op": "conv2d", "out_channels": 6, "kernel": 3, "padding": 1, "bias": false},
        {"name": "bn1", "op": "batch_norm2d"},
        "relu",
        {"op": "dropout", "name": "drop_map", "probability": 0.3},
        {"name": "conv2", "op": "conv2d", "out_channels": 6, "kernel": 3, "padding": 1, "bias": false},
        {"name": "bn2", "op": "batch_norm2d"},
        {"op": "stochastic_depth", "name": "depth", "probability": 0.4},
        {"op": "add", "name": "sum", "inputs": ["drop_map", "depth"]},
        "global_avg_pool",
        "flatten",
        {"op": "dropout", "name": "drop_row", "probability": 0.2},
        {"name": "fc", "op": "linear", "out_features": "classes"},
    ]);
    Graph::from_layers("drawing", [3, 6, 5], 3, &layers).unwrap()
}

#[test]
fn burn_follows_every_setting_of_the_recipe() {
    let graph = drawing_graph();
    let specs = graph.tensors().unwrap();
    let is_first = |name: &str| name.starts_with("conv1") || name.starts_with("bn1");
    let frozen: Vec<Option<Fit>> = specs
        .iter()
        .map(|spec| {
            (spec.role.is_trained() && !is_first(&spec.name)).then_some(Fit {
                rate: 0.5,
                since: 0,
            })
        })
        .collect();
    let images = pattern(4 * 3 * 6 * 5, 3);
    let labels = [0, 1, 2, 0];
    let shares: Vec<f32> = [0.7, 0.3, 0.0, 0.0, 0.5, 0.5, 0.2, 0.2, 0.6, 1.0, 0.0, 0.0].into();
    let flags: Vec<f32> = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0].into();
    let weights = [1.0, 3.0, 0.5];
    let targets = [
        ("classes", Targets::Classes(&labels)),
        ("shares", Targets::Shares(&shares)),
        ("independent", Targets::Independent(&flags)),
    ];
    let momentum = OptimizerConfig::Sgd {
        momentum: 0.9,
        weight_decay: 0.01,
        nesterov: true,
    };
    for optimizer in [adamw(), momentum] {
        for (what, targets) in &targets {
            for fits in [None, Some(&frozen)] {
                let mut executors = both(&graph, &optimizer);
                for executor in &mut executors {
                    if let Some(fits) = fits {
                        executor.set_fits(fits).unwrap();
                    }
                    // Two batches make an update, with an average.
                    for batch in 0..6 {
                        let options = StepOptions {
                            batch,
                            dropout_seed: 4,
                            momentum: Some(0.8),
                            gradient_clip: Some(0.5),
                            loss: LossOptions {
                                label_smoothing: 0.1,
                                class_weights: Some(&weights),
                            },
                            share: 0.5,
                            updates: batch % 2 == 1,
                            average_decay: Some(0.6),
                            ..StepOptions::new(batch / 2, 0.01)
                        };
                        executor.train_step(&images, targets, &options).unwrap();
                    }
                }
                let what = format!("{what}, {optimizer:?}, frozen: {}", fits.is_some());
                let [ours, burns] = executors.each_ref().map(|executor| executor.state());
                assert_same(&what, &ours, &burns, 5e-3);
                let [ours, burns] = executors
                    .each_mut()
                    .map(|executor| executor.evaluate(&images, 4).unwrap());
                assert_near(&what, &ours, &burns, 5e-3);
            }
        }
    }
}

#[test]
fn burn_trains_the_zoo() {
    for (name, side) in [
        ("resnet18", 32),
        ("mobilenet_v3_small", 32),
        ("convnext_tiny", 32),
        ("vit_tiny", 32),
    ] {
        let options = zoo::ZooOptions::default();
        let graph = zoo::build(name, [3, side, side], 3, &options).unwrap();
        let devices = both(&graph, &adamw());
        let images = pattern(4 * 3 * side * side, 3);
        let [ours, burns] = devices.map(|mut executor| {
            let step = StepOptions {
                dropout_seed: 2,
                ..StepOptions::new(0, 1e-3)
            };
            let targets = Targets::Classes(&[0, 1, 2, 0]);
            executor.train_step(&images, &targets, &step).unwrap()
        });
        let what = format!("{name}: {ours:?} {burns:?}");
        assert!((ours.loss / burns.loss - 1.0).abs() < 1e-2, "{what}");
        let norms = ours.gradient_norm.unwrap() / burns.gradient_norm.unwrap();
        assert!((norms - 1.0).abs() < 1e-2, "{what}");
    }
}

#[test]
fn burn_refuses_a_batch_that_does_not_fit_and_goes_on() {
    let [_, mut burns] = both(&small_graph(), &adamw());
    let before = burns.state();
    let options = StepOptions::new(0, 1e-3);
    let targets = Targets::Classes(&[0, 1]);
    assert!(burns.train_step(&[0.0; 7], &targets, &options).is_err());
    let nothing = vec![f32::NAN; 2 * small_graph().input.iter().product::<usize>()];
    assert!(burns.train_step(&nothing, &targets, &options).is_err());
    assert_eq!(burns.state(), before);
    let images = pattern(nothing.len(), 3);
    burns.train_step(&images, &targets, &options).unwrap();
}
