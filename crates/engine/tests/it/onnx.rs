//! Exported files: what they hold, and that ONNX Runtime agrees where it is at hand.

use std::path::Path;
use std::process::Command;

use ferrotype_core::graph::{Graph, zoo};
use ferrotype_core::manifest::{GRAPH_KEY, MANIFEST_KEY, ModelManifest};
use ferrotype_core::onnx::ModelProto;
use ferrotype_engine::EngineErrorKind;
use ferrotype_engine::executor::{CpuExecutor, Executor, StepOptions, Targets};
use ferrotype_engine::onnx_export::export;
use prost::Message;
use serde_json::{Value, json};

use crate::support::{adamw, manifest, pattern, small_graph};

const BATCH: usize = 3;

fn mixed_graph() -> Graph {
    let golden: Value = serde_json::from_str(include_str!("../golden/mixed.json")).unwrap();
    Graph::from_value(golden["graph"].clone()).unwrap()
}

/// Has what the others lack: a normalisation that cannot be folded, an embedding by name, a sum
/// of three, a dropout below the embedding.
fn odd_graph() -> Graph {
    let layers = json!([
        {"name": "norm", "op": "batch_norm2d"},
        {"name": "conv", "op": "conv2d", "out_channels": 3, "kernel": 3, "padding": 1},
        {"name": "conv_norm", "op": "batch_norm2d"},
        {"name": "sum", "op": "add", "inputs": ["conv", "conv_norm", "norm"]},
        {"name": "swish", "op": "silu"},
        {"name": "rows", "op": "flatten"},
        {"name": "features", "op": "linear", "out_features": 6},
        "dropout",
        {"name": "head", "op": "linear", "out_features": "classes"},
    ]);
    let graph = Graph::from_layers("odd", [3, 9, 7], 3, &layers).unwrap();
    Graph {
        embedding: Some("features".to_string()),
        ..graph
    }
}

/// A few steps, so that running statistics are not their initial values.
fn trained(graph: &Graph) -> CpuExecutor {
    let mut executor = CpuExecutor::new(graph, &adamw(), 5).unwrap();
    let images = pattern(BATCH * graph.input.iter().product::<usize>(), 3);
    for step in 0..8 {
        let options = StepOptions {
            dropout_seed: 1,
            ..StepOptions::new(step, 0.01)
        };
        executor
            .train_step(&images, &Targets::Classes(&[0, 1, 2]), &options)
            .unwrap();
    }
    executor
}

fn export_of(graph: &Graph, executor: &CpuExecutor, classes: usize) -> Vec<u8> {
    export(graph, &executor.state(), &manifest(graph, classes)).unwrap()
}

fn cases() -> Vec<(Graph, usize)> {
    let baseline = zoo::build("baseline", [3, 20, 12], 4, &Default::default()).unwrap();
    vec![
        (baseline, 4),
        (small_graph(), 3),
        (mixed_graph(), 3),
        (odd_graph(), 3),
    ]
}

#[test]
fn normalisations_below_convolutions_are_folded_and_dropout_is_gone() {
    let graph = zoo::build("baseline", [3, 16, 16], 4, &Default::default()).unwrap();
    let bytes = export_of(&graph, &trained(&graph), 4);
    let model = ModelProto::decode(bytes.as_slice()).unwrap();
    let onnx = model.graph.unwrap();
    let ops: Vec<&str> = onnx
        .node
        .iter()
        .map(|node| node.op_type.as_deref().unwrap())
        .collect();
    let block = ["Conv", "Relu", "MaxPool"];
    let head = ["GlobalAveragePool", "Flatten", "Gemm", "Relu", "Gemm"];
    assert_eq!(ops, [&block[..], &block, &block, &head].concat());
    let outputs: Vec<&str> = onnx
        .output
        .iter()
        .map(|output| output.name.as_deref().unwrap())
        .collect();
    assert_eq!(outputs, ["logits", "embedding"]);
}

#[test]
fn the_metadata_holds_the_manifest_and_the_graph() {
    let graph = odd_graph();
    let bytes = export_of(&graph, &trained(&graph), 3);
    let model = ModelProto::decode(bytes.as_slice()).unwrap();
    let manifest: ModelManifest =
        serde_json::from_str(model.metadata(MANIFEST_KEY).unwrap()).unwrap();
    assert_eq!(manifest.input_name, "input");
    assert_eq!(manifest.output_name, "logits");
    assert_eq!(manifest.embedding_name.as_deref(), Some("embedding"));
    assert_eq!(manifest.dataset_version.as_deref(), Some("stripes@v1"));
    let read: Value = serde_json::from_str(model.metadata(GRAPH_KEY).unwrap()).unwrap();
    assert_eq!(Graph::from_value(read).unwrap(), graph);
    assert_eq!(model.default_opset(), Some(17));
}

#[test]
fn the_same_network_gives_the_same_bytes() {
    let graph = small_graph();
    let executor = trained(&graph);
    assert_eq!(
        export_of(&graph, &executor, 3),
        export_of(&graph, &executor, 3)
    );
}

#[test]
fn a_manifest_that_does_not_fit_the_graph_is_refused() {
    let graph = small_graph();
    let state = trained(&graph).state();
    let mut other_size = manifest(&graph, 3);
    other_size.preprocessing.width = 64;
    let error = export(&graph, &state, &other_size).unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::Export);
    assert!(error.to_string().contains("12×12"), "{error}");
    let error = export(&graph, &state, &manifest(&graph, 4)).unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::Graph);
    let error = export(&graph, &Default::default(), &manifest(&graph, 3)).unwrap_err();
    assert!(error.to_string().contains("conv1.weight"), "{error}");
}

/// Files for the script: the network, an input and what the executor makes of it.
fn write_case(folder: &Path, graph: &Graph, classes: usize) {
    let mut executor = trained(graph);
    let images = pattern(BATCH * graph.input.iter().product::<usize>(), 17);
    let logits = executor.evaluate(&images, BATCH).unwrap();
    let infos = graph.shapes().unwrap();
    let embedding = graph.embedding_layer().unwrap();
    let features = infos
        .iter()
        .find(|info| info.name == embedding)
        .unwrap()
        .output_shape[0];
    let shape = [&[BATCH], &graph.input[..]].concat();
    let expected =
        json!({"images": images, "shape": shape, "logits": logits, "features": features});
    let file = folder.join(&graph.name);
    std::fs::write(
        file.with_extension("onnx"),
        export_of(graph, &executor, classes),
    )
    .unwrap();
    std::fs::write(file.with_extension("json"), expected.to_string()).unwrap();
}

#[test]
fn onnx_runtime_agrees_with_the_executor() {
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
    let folder = tempfile::tempdir().unwrap();
    for (graph, classes) in cases() {
        write_case(folder.path(), &graph, classes);
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/golden_engine.py");
    let check = Command::new(&python)
        .args([script, "check-onnx"])
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    let complained = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}{complained}");
    assert!(said.contains("4 files agree"), "{said}");
}
