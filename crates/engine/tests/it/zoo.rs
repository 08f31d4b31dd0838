//! The built-in architectures against torchvision's and timm's (`tools/golden_zoo.py`): tensors,
//! logits, and the logits of the exported files.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use ferrotype_core::config::schema::OptimizerConfig;
use ferrotype_core::graph::{Graph, TensorRole, TensorSpec, zoo};
use ferrotype_engine::State;
use ferrotype_engine::executor::{CpuExecutor, Executor};
use ferrotype_engine::onnx_export::export;
use serde::Deserialize;
use serde_json::json;

use crate::support::{manifest, noise};

/// What `tools/golden_zoo.py` wrote.
#[derive(Deserialize)]
struct Golden {
    classes: usize,
    batch: usize,
    architectures: BTreeMap<String, Reference>,
}

/// A reference's network.
#[derive(Deserialize)]
struct Reference {
    /// Of 1000 classes and 224 pixels.
    parameters: u64,
    tensor_side: usize,
    tensors: BTreeMap<String, Vec<usize>>,
    gain: f64,
    answers: Vec<Answer>,
}

/// Its logits for images of one size.
#[derive(Deserialize)]
struct Answer {
    side: usize,
    logits: Vec<f32>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/zoo.json")).unwrap()
}

fn build(name: &str, side: usize, classes: usize) -> Graph {
    zoo::build(name, [3, side, side], classes, &Default::default()).unwrap()
}

/// The same weights as the script's `values`.
fn filled(graph: &Graph, gain: f64) -> State {
    let mut state = State::default();
    for spec in graph.tensors().unwrap() {
        let mut values = noise(&spec.name, spec.element_count());
        let scale = (gain / fan_in(&spec)).sqrt() as f32;
        for value in &mut values {
            *value = match spec.role {
                TensorRole::RunningVar => 1.0 + 0.25 * value.abs(),
                TensorRole::NormWeight | TensorRole::LayerScale => 1.0 + 0.25 * *value,
                TensorRole::Weight => *value * scale,
                _ => 0.125 * *value,
            };
        }
        state.insert(&spec.name, spec.shape, values);
    }
    state
}

fn fan_in(spec: &TensorSpec) -> f64 {
    spec.shape.iter().skip(1).product::<usize>() as f64
}

fn images(batch: usize, side: usize) -> Vec<f32> {
    noise(&format!("images/{side}"), batch * 3 * side * side)
}

fn assert_near(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let difference = differences.fold(0.0, f32::max);
    assert!(
        difference <= 1e-4 * (1.0 + largest),
        "{what}: {difference} with a largest logit of {largest}"
    );
}

#[test]
fn every_architecture_has_the_references_tensors() {
    let golden = golden();
    assert_eq!(golden.architectures.len(), zoo::NAMES.len());
    for (name, reference) in &golden.architectures {
        let graph = build(name, reference.tensor_side, golden.classes);
        let tensors: BTreeMap<String, Vec<usize>> = graph
            .tensors()
            .unwrap()
            .into_iter()
            .map(|spec| (spec.name, spec.shape))
            .collect();
        assert_eq!(tensors, reference.tensors, "{name}");
        let whole = build(name, 224, 1000).shapes().unwrap();
        let parameters: u64 = whole.iter().map(|info| info.parameters).sum();
        assert_eq!(parameters, reference.parameters, "{name}");
    }
}

#[test]
fn every_architecture_gives_the_references_logits() {
    let golden = golden();
    let optimizer = OptimizerConfig::Sgd {
        momentum: 0.0,
        weight_decay: 0.0,
        nesterov: false,
    };
    for (name, reference) in &golden.architectures {
        for Answer { side, logits } in &reference.answers {
            let graph = build(name, *side, golden.classes);
            let mut executor = CpuExecutor::new(&graph, &optimizer, 1).unwrap();
            executor
                .load_state(&filled(&graph, reference.gain))
                .unwrap();
            let images = images(golden.batch, *side);
            let found = executor.evaluate(&images, golden.batch).unwrap();
            assert_near(&format!("{name} at {side}"), &found, logits);
        }
    }
}

/// Files for the script: the network, and what the reference answers.
fn write_case(folder: &Path, name: &str, reference: &Reference, answer: &Answer, classes: usize) {
    let graph = build(name, answer.side, classes);
    let state = filled(&graph, reference.gain);
    let onnx = export(&graph, &state, &manifest(&graph, classes)).unwrap();
    let expected = json!({"side": answer.side, "logits": answer.logits});
    std::fs::write(folder.join(format!("{name}.onnx")), onnx).unwrap();
    std::fs::write(folder.join(format!("{name}.json")), expected.to_string()).unwrap();
}

#[test]
fn every_exported_architecture_gives_the_references_logits_on_onnx_runtime() {
    let python = std::env::var("FERROTYPE_TEST_PYTHON").unwrap_or_else(|_| "python3".to_string());
    let probe = Command::new(&python)
        .args(["-c", "import onnxruntime, numpy"])
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!(
            "skipped: `{python}` has no onnxruntime; FERROTYPE_TEST_PYTHON names one that has"
        );
        return;
    }
    let golden = golden();
    // Three of VGG's four, half a gigabyte each, would say nothing that the fourth does not.
    let alike = ["vgg11", "vgg11_bn", "vgg16"];
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/golden_zoo.py");
    for (name, reference) in &golden.architectures {
        if alike.contains(&name.as_str()) {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        write_case(
            folder.path(),
            name,
            reference,
            &reference.answers[0],
            golden.classes,
        );
        let check = Command::new(&python)
            .args([script, "check-onnx"])
            .arg(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stdout);
        let complained = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{said}{complained}");
        assert!(said.contains("1 files agree"), "{said}");
    }
}
