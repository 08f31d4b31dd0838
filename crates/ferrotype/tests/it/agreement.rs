//! What was trained is what is served: the same preprocessing, bit for bit, and the same logits,
//! within 1e-4 × (1 + the largest logit), on rten and on ONNX Runtime from PyPI.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use ferrotype_core::config::schema::{ModelConfig, OptimizerConfig};
use ferrotype_core::graph::{Graph, Op, zoo};
use ferrotype_core::manifest::{
    MANIFEST_VERSION, ModelManifest, OutputKind, Preprocessing, ResizeFilter, ResizeMode, Task,
};
use ferrotype_engine::executor::{CpuExecutor, Executor, StepOptions, Targets};
use ferrotype_engine::onnx_export;
use ferrotype_inference::{NetworkOptions, RuntimeChoice, embed_manifest, inspect, load_network};
use ferrotype_kernels::instructions::{InstructionSet, use_at_most};
use ferrotype_testkit::images::{jpeg, jpeg_with_orientation, png};
use ferrotype_testkit::onnx::colour_model;
use ferrotype_vision::RgbImage;
use ferrotype_vision::decode::{DecodeLimits, decode};
use ferrotype_vision::loader::{
    CachedSource, Loader, LoaderOptions, SampleError, SampleSource, plain_order,
};
use ferrotype_vision::random;
use ferrotype_vision::transform::Transform;

use crate::project;

const SIDE: u32 = 32;
const CLASSES: usize = 3;
const BATCH: usize = 4;

fn manifest(side: u32, resize: ResizeMode, filter: ResizeFilter) -> ModelManifest {
    ModelManifest {
        manifest_version: MANIFEST_VERSION,
        task: Task::Classification,
        classes: ["a", "b", "c"].map(str::to_string).to_vec(),
        preprocessing: Preprocessing {
            width: side,
            height: side,
            resize,
            filter,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        },
        output: OutputKind::Logits,
        threshold: None,
        thresholds: None,
        input_name: "input".into(),
        output_name: "scores".into(),
        embedding_name: None,
        architecture: None,
        dataset_version: None,
        dataset_digest: None,
        run: None,
    }
}

/// Image files, decoded as the store's source decodes them.
struct Files(Vec<Vec<u8>>);

impl SampleSource for Files {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn label(&self, _index: usize) -> u32 {
        0
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn load(&self, index: usize) -> Result<RgbImage, SampleError> {
        Ok(decode(&self.0[index], &DecodeLimits::default())
            .unwrap()
            .image)
    }
}

#[test]
fn what_training_evaluates_on_is_what_serving_feeds_bit_for_bit() {
    let files = vec![
        jpeg(57, 43, [200, 30, 90]),
        jpeg(SIDE, SIDE, [10, 200, 90]),
        jpeg_with_orientation(21, 80, 6),
    ];
    for resize in [ResizeMode::Stretch, ResizeMode::CenterCrop] {
        for filter in [ResizeFilter::Bilinear, ResizeFilter::Bicubic] {
            let manifest = manifest(SIDE, resize, filter);
            // Training: the cached source and the loader's threads, without augmentation.
            let transform = Transform::new(&manifest.preprocessing).unwrap();
            let files: Arc<dyn SampleSource> = Arc::new(Files(files.clone()));
            let cached = CachedSource::new(Arc::clone(&files), transform.clone(), 1 << 20);
            let options = LoaderOptions {
                transform,
                source_transform: None,
                augment: None,
                mix: None,
                classes: 1,
                batch_size: 2,
                workers: 2,
                seed: 0,
                prefetch: 2,
            };
            let trained: Vec<f32> = Loader::epoch(Arc::new(cached), &options, plain_order(3), 1, 0)
                .flat_map(|batch| batch.unwrap().images)
                .collect();
            // Serving: the manifest as it comes out of the ONNX file.
            let onnx = embed_manifest(&colour_model(SIDE), &manifest).unwrap();
            let served = inspect(&onnx).unwrap().manifest().unwrap();
            let transform = Transform::new(&served.preprocessing).unwrap();
            let served: Vec<f32> = (0..3)
                .flat_map(|index| transform.apply(&files.load(index).unwrap()))
                .collect();
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert!(bits(&trained) == bits(&served), "{resize:?} {filter:?}");
        }
    }
}

/// A network after a few training steps, so that no running statistic is at its start.
struct Trained {
    onnx: Vec<u8>,
    input: Vec<f32>,
    logits: Vec<f32>,
}

fn train(graph: &Graph) -> Trained {
    let optimizer = OptimizerConfig::AdamW {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
    };
    let mut executor = CpuExecutor::new(graph, &optimizer, 7).unwrap();
    for step in 0..5 {
        let options = StepOptions {
            dropout_seed: 1,
            ..StepOptions::new(step, 0.01)
        };
        let labels = [0, 1, 2, (step % 3) as u32];
        executor
            .train_step(
                &images([SIDE as usize; 2], step),
                &Targets::Classes(&labels),
                &options,
            )
            .unwrap();
    }
    exported(graph, &mut executor)
}

fn images([height, width]: [usize; 2], purpose: u64) -> Vec<f32> {
    let mut rng = random::stream(3, "agreement", &[purpose]);
    let values = BATCH * 3 * height * width;
    (0..values)
        .map(|_| random::normal(&mut rng) as f32)
        .collect()
}

/// The file of a network, and what the network itself answers.
fn exported(graph: &Graph, executor: &mut CpuExecutor) -> Trained {
    let [_, height, width] = graph.input;
    let input = images([height, width], 99);
    let logits = executor.evaluate(&input, BATCH).unwrap();
    let mut manifest = manifest(width as u32, ResizeMode::Stretch, ResizeFilter::Bilinear);
    manifest.preprocessing.height = height as u32;
    let onnx = onnx_export::export(graph, &executor.state(), &manifest).unwrap();
    Trained {
        onnx,
        input,
        logits,
    }
}

/// Small architectures of the zoo, and one of a user's with other layers.
fn graphs() -> Vec<Graph> {
    let input = [3, SIDE as usize, SIDE as usize];
    let mut graphs: Vec<Graph> = ["baseline", "resnet18"]
        .iter()
        .map(|name| zoo::build(name, input, CLASSES, &zoo::ZooOptions::with_dropout(0.3)).unwrap())
        .collect();
    let own = ModelConfig {
        name: "own".into(),
        dropout: None,
        stochastic_depth: None,
        weights: None,
        layers: Some(serde_json::json!([
            {"op": "conv2d", "name": "stem", "out_channels": 6, "kernel": 3, "padding": 1},
            {"op": "batch_norm2d", "name": "norm"},
            "relu",
            "global_avg_pool",
            "flatten",
            {"op": "linear", "name": "head", "out_features": "classes"},
        ])),
    };
    graphs.push(Graph::from_config(&own, input, CLASSES).unwrap());
    graphs
}

#[test]
fn the_exported_network_answers_on_rten_as_in_training() {
    for graph in graphs() {
        let trained = train(&graph);
        let answer = answer_of_rten(&trained, SIDE as usize);
        hold(&graph.name, &trained.logits, &answer);
    }
}

fn answer_of_rten(network: &Trained, side: usize) -> Vec<f32> {
    let model = rten::ModelOptions::with_all_ops()
        .load(network.onnx.clone())
        .unwrap();
    let shape = [BATCH, 3, side, side];
    let input = rten::ValueView::from_shape(shape, &network.input[..]).unwrap();
    let ids = (model.input_ids()[0], model.find_node("logits").unwrap());
    let answer = model
        .run(vec![(ids.0, input.into())], &[ids.1], None)
        .unwrap();
    let answer = answer.into_iter().next().unwrap();
    answer.into_tensor::<f32>().unwrap().into_data()
}

/// Side of the zoo's images: the least that every architecture takes.
const ZOO_SIDE: usize = 64;

/// An architecture with weights as training begins with, but running statistics and layer scales as
/// it might end with. AlexNet's and VGG's wide layers are narrow here: they would be half a gigabyte.
fn of_the_zoo(name: &str) -> Trained {
    of_the_zoo_at(name, [ZOO_SIDE; 2])
}

fn of_the_zoo_at(name: &str, [height, width]: [usize; 2]) -> Trained {
    let input = [3, height, width];
    let mut graph = zoo::build(name, input, CLASSES, &Default::default()).unwrap();
    for layer in &mut graph.layers {
        if let Op::Linear {
            out_features: wide @ 4096,
            ..
        } = &mut layer.op
        {
            *wide = 48;
        }
    }
    let optimizer = OptimizerConfig::Sgd {
        momentum: 0.0,
        weight_decay: 0.0,
        nesterov: false,
    };
    let mut executor = CpuExecutor::new(&graph, &optimizer, 7).unwrap();
    let mut state = executor.state();
    for (name, tensor) in &mut state.tensors {
        let mut rng = random::stream(5, name, &[]);
        let range = match name.rsplit('.').next() {
            Some("running_mean") => -0.2..0.2,
            Some("running_var") => 0.5..1.5,
            Some("gamma") => 0.2..0.8,
            _ => continue,
        };
        for value in &mut tensor.values {
            *value = random::uniform(&mut rng, range.start, range.end) as f32;
        }
    }
    executor.load_state(&state).unwrap();
    exported(&graph, &mut executor)
}

#[test]
fn every_architecture_answers_on_rten_as_in_training() {
    for name in zoo::NAMES {
        let network = of_the_zoo(name);
        let answer = answer_of_rten(&network, ZOO_SIDE);
        hold(name, &network.logits, &answer);
    }
}

/// The answer for the network's input, after batches of other sizes that hold the same images.
fn answer_of_native(network: &Trained, [height, width]: [usize; 2], others: &[usize]) -> Vec<f32> {
    let options = NetworkOptions {
        input_name: "input".into(),
        output_name: "logits".into(),
        embedding_name: None,
        image_shape: [3, height, width],
        fixed_batch: None,
        threads: std::num::NonZeroUsize::new(2).unwrap(),
    };
    let loaded = load_network(&network.onnx, RuntimeChoice::Native, &options).unwrap();
    // Each batch size has a plan of its own over the same weights.
    let mut answers = Vec::new();
    for batch in others {
        let count = batch * 3 * height * width;
        let images: Vec<f32> = network.input.iter().copied().cycle().take(count).collect();
        let many = loaded.network.run(&images, *batch).unwrap().answer;
        // The first runs try several ways, all of which give the same bits.
        for _ in 0..6 {
            let again = loaded.network.run(&images, *batch).unwrap().answer;
            assert!(
                again
                    .iter()
                    .map(|x| x.to_bits())
                    .eq(many.iter().map(|x| x.to_bits()))
            );
        }
        answers.push(many);
    }
    let answer = loaded.network.run(&network.input, BATCH).unwrap().answer;
    for (batch, many) in others.iter().zip(answers) {
        for (image, answer) in many.chunks(CLASSES).zip(answer.chunks(CLASSES).cycle()) {
            hold(&format!("{batch} images"), answer, image);
        }
    }
    answer
}

/// Odd sizes and batches leave rests in every loop: rows, tiles, vectors.
#[test]
fn images_of_odd_sizes_in_any_number_are_answered_natively_as_in_training() {
    for (name, size) in [
        ("resnet18", [33, 47]),
        ("mobilenet_v3_small", [61, 61]),
        ("efficientnet_b0", [47, 33]),
        ("baseline", [35, 61]),
    ] {
        let network = of_the_zoo_at(name, size);
        let answer = answer_of_native(&network, size, &[1, 2, 3, 7, 33]);
        hold(name, &network.logits, &answer);
    }
}

#[test]
fn every_architecture_answers_natively_as_in_training() {
    for name in zoo::NAMES {
        let network = of_the_zoo(name);
        let answer = answer_of_native(&network, [ZOO_SIDE; 2], &[33]);
        hold(name, &network.logits, &answer);
    }
}

#[test]
fn a_trained_network_answers_natively_as_in_training() {
    for graph in graphs() {
        let trained = train(&graph);
        let answer = answer_of_native(&trained, [SIDE as usize; 2], &[33]);
        hold(&graph.name, &trained.logits, &answer);
    }
}

/// The process of the test uses no wider instructions: each test has one of its own.
fn hold_with(instructions: InstructionSet) {
    use_at_most(instructions).unwrap();
    for graph in graphs() {
        let trained = train(&graph);
        let answer = answer_of_native(&trained, [SIDE as usize; 2], &[33]);
        hold(&graph.name, &trained.logits, &answer);
    }
    for name in ["resnet18", "mobilenet_v2", "efficientnet_b0"] {
        let network = of_the_zoo(name);
        let answer = answer_of_native(&network, [ZOO_SIDE; 2], &[33]);
        hold(name, &network.logits, &answer);
    }
}

#[test]
fn networks_answer_as_in_training_with_avx2() {
    hold_with(InstructionSet::Avx2);
}

#[test]
fn networks_answer_as_in_training_without_vectors() {
    hold_with(InstructionSet::Scalar);
}

fn hold(name: &str, trained: &[f32], answer: &[f32]) {
    assert_eq!(trained.len(), answer.len());
    let largest = trained
        .iter()
        .fold(0.0_f32, |max, value| max.max(value.abs()));
    let differences = trained.iter().zip(answer).map(|(a, b)| (a - b).abs());
    let difference = differences.fold(0.0_f32, f32::max);
    assert!(largest > 0.0, "{name}: all logits are zero");
    assert!(
        difference <= 1e-4 * (1.0 + largest),
        "{name}: {difference} with a largest logit of {largest}"
    );
}

#[test]
fn the_exported_network_answers_on_onnx_runtime_as_in_training() {
    let Some(python) = std::env::var_os("FERROTYPE_TEST_PYTHON") else {
        skipped("FERROTYPE_TEST_PYTHON");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let raw = |values: &[f32]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/check_onnx.py");
    for graph in graphs() {
        let trained = train(&graph);
        let output = Command::new(&python)
            .arg(&script)
            .arg(write("model.onnx", &trained.onnx))
            .arg("--input")
            .arg(write("input.f32", &raw(&trained.input)))
            .arg("--expect")
            .arg(write("logits.f32", &raw(&trained.logits)))
            .args([
                "--shape",
                &format!("{BATCH},3,{SIDE},{SIDE}"),
                "--output",
                "logits",
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", graph.name);
    }
}

/// Tells of a test that needs what `./test` installs; in CI that is a failure.
fn skipped(variable: &str) {
    assert!(std::env::var_os("CI").is_none(), "{variable} is not set");
    eprintln!("skipped: {variable} is not set (./test sets it)");
}

#[test]
fn both_runtimes_say_the_same_of_a_picture() {
    let Some(library) = std::env::var_os("FERROTYPE_TEST_ONNXRUNTIME") else {
        skipped("FERROTYPE_TEST_ONNXRUNTIME");
        return;
    };
    let project = project::with_model();
    project.write("a.png", png(40, 30, [220, 30, 30]));
    let ask = |runtime: &str| -> serde_json::Value {
        let arguments = [
            "predict",
            "a.png",
            "--model",
            "colours",
            "--json",
            "--runtime",
            runtime,
        ];
        let mut command = project.command(&arguments);
        let output = command.env("ORT_DYLIB_PATH", &library).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{runtime}: {stderr}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (rten, found) = (ask("rten"), ask("onnxruntime"));
    assert!(rten["runtime"].as_str().unwrap().starts_with("rten"));
    assert!(
        found["runtime"]
            .as_str()
            .unwrap()
            .starts_with("ONNX Runtime")
    );
    let confidence = |answer: &serde_json::Value| answer["predictions"][0]["confidence"].as_f64();
    let difference = confidence(&rten).unwrap() - confidence(&found).unwrap();
    assert!(difference.abs() < 1e-4, "{difference}");
}
