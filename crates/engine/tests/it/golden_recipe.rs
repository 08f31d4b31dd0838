//! Schedules, and training with frozen layers, against PyTorch's (`tools/golden_engine.py`).

use ferrotype_core::config::schema::{Monitor, OptimizerConfig, ScheduleConfig};
use ferrotype_core::graph::Graph;
use ferrotype_engine::State;
use ferrotype_engine::executor::{Executor, Fit, StepOptions, Targets};
use ferrotype_engine::schedule::{PlateauState, Schedule};
use serde_json::Value;

use crate::golden::{assert_near, assert_samples, filled, numbers};
use crate::support::pattern;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/recipe.json")).unwrap()
}

#[test]
fn one_cycle_has_pytorchs_rates_and_momenta() {
    let golden = golden();
    let config = ScheduleConfig::OneCycle {
        warmup_share: 0.3,
        start_divisor: 25.0,
        end_divisor: 1e4,
        momentum: Some([0.85, 0.95]),
    };
    for cycle in golden["schedules"]["cycles"].as_array().unwrap() {
        let [epochs, steps] = ["epochs", "steps_in_epoch"].map(|key| cycle[key].as_u64().unwrap());
        let schedule = Schedule::new(&config, 0.1, epochs as u32, steps);
        let (mut rates, mut momenta) = (Vec::new(), Vec::new());
        for step in 0..epochs * steps {
            let rate = schedule.rate(step, &PlateauState::default());
            rates.push(rate.learning_rate);
            momenta.push(rate.momentum.unwrap());
        }
        let what = format!("{epochs} epochs of {steps} steps");
        assert_near(&what, &rates, &numbers(&cycle["rates"]), 1e-12);
        assert_near(&what, &momenta, &numbers(&cycle["momenta"]), 1e-12);
    }
}

#[test]
fn plateau_drops_when_pytorch_drops() {
    let golden = golden();
    let values = numbers(&golden["schedules"]["values"]);
    for case in golden["schedules"]["plateaus"].as_array().unwrap() {
        let whole = |key: &str| case[key].as_u64().unwrap() as u32;
        let config = ScheduleConfig::Plateau {
            warmup_epochs: 0.0,
            factor: 0.3,
            patience: whole("patience"),
            threshold: 1e-4,
            cooldown: whole("cooldown"),
            minimum: case["minimum"].as_f64().unwrap(),
        };
        let monitor = match case["mode"].as_str().unwrap() {
            "max" => Monitor::Accuracy,
            _ => Monitor::Loss,
        };
        let schedule = Schedule::new(&config, 0.1, values.len() as u32, 1);
        let mut state = PlateauState::default();
        let mut rates = Vec::new();
        for (epoch, value) in values.iter().enumerate() {
            state = schedule.after_epoch(&state, *value, monitor);
            rates.push(schedule.rate(epoch as u64, &state).learning_rate);
        }
        assert_near(&case.to_string(), &rates, &numbers(&case["rates"]), 1e-12);
    }
}

/// The averages of a state under the names of their tensors.
fn averages(state: &State) -> State {
    let mut averages = State::default();
    for (name, tensor) in &state.tensors {
        if let Some(name) = name.strip_prefix("average.") {
            averages.insert(name, tensor.shape.clone(), tensor.values.clone());
        }
    }
    averages
}

#[test]
fn frozen_layers_rates_accumulation_and_averages_take_pytorchs_course() {
    let golden = &golden()["frozen"];
    let graph = Graph::from_value(golden["graph"].clone()).unwrap();
    let optimizer = OptimizerConfig::AdamW {
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        weight_decay: 0.05,
    };
    let mut executor = filled(&graph, &optimizer);
    let frozen: Vec<&str> = golden["frozen"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let fits: Vec<Option<Fit>> = graph
        .tensors()
        .unwrap()
        .iter()
        .map(|spec| {
            let layer = graph.layers[spec.layer].name.as_str();
            let rate = if layer.starts_with("depthwise") {
                0.25
            } else {
                1.0
            };
            let fits = spec.role.is_trained() && !frozen.contains(&layer);
            fits.then_some(Fit { rate, since: 0 })
        })
        .collect();
    let before = executor.state();
    executor.set_fits(&fits).unwrap();
    let (size, images) = (3 * 11 * 11, pattern(6 * 3 * 11 * 11, 999));
    let mut losses = Vec::new();
    for step in 0..5 {
        for (images, labels) in [
            (&images[..4 * size], &[0, 1, 2, 0][..]),
            (&images[4 * size..], &[1, 2][..]),
        ] {
            let options = StepOptions {
                share: labels.len() as f64 / 6.0,
                updates: labels.len() == 2,
                average_decay: Some(0.75),
                ..StepOptions::new(step, 0.003)
            };
            let targets = Targets::Classes(labels);
            let output = executor.train_step(images, &targets, &options).unwrap();
            assert_eq!(output.gradient_norm.is_some(), options.updates);
            losses.push(output.loss);
        }
    }
    assert_near("losses", &losses, &numbers(&golden["losses"]), 1e-3);
    let state = executor.state();
    assert_samples("values", &state, &golden["tensors"], 1e-3);
    assert_samples("averages", &averages(&state), &golden["averages"], 1e-3);
    for layer in &frozen {
        for (name, tensor) in &before.tensors {
            if name.split('.').next() == Some(layer) {
                assert_eq!(state.get(name), Some(tensor), "{name} is frozen");
                assert!(state.get(&format!("optimizer.{name}.m")).is_none());
                assert!(state.get(&format!("average.{name}")).is_none());
            }
        }
    }
    // What is exported, and what evaluation uses, is the average.
    let answers = executor.evaluate(&images, 6).unwrap();
    let mut other = filled(&graph, &optimizer);
    other.load_state(&state.for_use()).unwrap();
    assert_eq!(other.evaluate(&images, 6).unwrap(), answers);
}
