//! Small data, graphs and settings that the tests share.

use std::path::Path;
use std::sync::Arc;

use ferrotype_core::config::augment::{AugmentConfig, Brightness, CropPadding, HorizontalFlip};
use ferrotype_core::config::schema::{
    ClassWeights, DeviceConfig, EarlyStoppingConfig, Monitor, OptimizerConfig, Sampling,
    ScheduleConfig, TrainConfig,
};
use ferrotype_core::graph::Graph;
use ferrotype_core::manifest::{MANIFEST_VERSION, ModelManifest, OutputKind, Preprocessing, Task};
use ferrotype_engine::train::{
    Control, EpochSummary, StepProgress, TrainObserver, TrainRequest, ValidationOutputs, Verdict,
};
use ferrotype_vision::RgbImage;
use ferrotype_vision::augment::Augment;
use ferrotype_vision::loader::{LoaderOptions, SampleError, SampleSource};
use ferrotype_vision::random;
use ferrotype_vision::transform::Transform;
use serde_json::json;

/// Side of the tests' images in pixels.
pub(crate) const SIDE: u32 = 12;

/// Images with stripes: across in class 0, upright in class 1, none in class 2.
pub(crate) struct Stripes {
    pub(crate) count: usize,
    pub(crate) seed: u64,
}

impl SampleSource for Stripes {
    fn len(&self) -> usize {
        self.count
    }

    fn label(&self, index: usize) -> u32 {
        (index % 3) as u32
    }

    fn name(&self, index: usize) -> String {
        format!("stripes/{index}.png")
    }

    fn load(&self, index: usize) -> Result<RgbImage, SampleError> {
        let mut rng = random::stream(self.seed, "stripes", &[index as u64]);
        let phase = random::below(&mut rng, 4) as u32;
        let mut image = RgbImage::filled(SIDE, SIDE, [0; 3]);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let along = match self.label(index) {
                    0 => y,
                    1 => x,
                    _ => random::below(&mut rng, 4) as u32,
                };
                let light = if (along + phase) % 4 < 2 { 150.0 } else { 90.0 };
                let noise = 60.0 * random::unit(&mut rng);
                image.set_pixel(x, y, [(light + noise) as u8; 3]);
            }
        }
        Ok(image)
    }
}

/// A small network with everything that has a state: normalisation and dropout.
pub(crate) fn small_graph() -> Graph {
    let layers = json!([
        {"name": "conv1", "op": "conv2d", "out_channels": 8, "kernel": 3, "padding": 1, "bias": false},
        {"name": "bn1", "op": "batch_norm2d"},
        "relu",
        {"op": "max_pool2d", "kernel": 2},
        {"name": "conv2", "op": "conv2d", "out_channels": 8, "kernel": 3, "padding": 1},
        {"name": "bn2", "op": "batch_norm2d"},
        "relu",
        "global_avg_pool",
        "flatten",
        {"op": "dropout", "probability": 0.2},
        {"name": "fc", "op": "linear", "out_features": "classes"},
    ]);
    Graph::from_layers("small", [3, SIDE as usize, SIDE as usize], 3, &layers).unwrap()
}

pub(crate) fn adamw() -> OptimizerConfig {
    OptimizerConfig::AdamW {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
    }
}

pub(crate) fn config(epochs: u32) -> TrainConfig {
    TrainConfig {
        epochs,
        batch_size: 8,
        learning_rate: 0.01,
        seed: 7,
        device: DeviceConfig::Cpu,
        optimizer: adamw(),
        schedule: ScheduleConfig::Cosine {
            warmup_epochs: 0.5,
            minimum: 0.0,
        },
        accumulate: 1,
        gradient_clip: Some(1.0),
        sampling: Sampling::Shuffle,
        label_smoothing: 0.0,
        class_weights: ClassWeights::default(),
        mixup: None,
        cutmix: None,
        ema: None,
        freeze: None,
        unfreeze_every_epochs: None,
        layer_decay: None,
        early_stopping: None,
        monitor: Monitor::Accuracy,
        threshold: None,
        note: None,
    }
}

pub(crate) fn with_patience(config: TrainConfig, patience: u32) -> TrainConfig {
    TrainConfig {
        early_stopping: Some(EarlyStoppingConfig {
            patience,
            min_delta: 0.0,
        }),
        ..config
    }
}

pub(crate) fn loader(workers: usize) -> LoaderOptions {
    let preprocessing = Preprocessing {
        width: SIDE,
        height: SIDE,
        resize: Default::default(),
        filter: Default::default(),
        mean: [0.5; 3],
        std: [0.25; 3],
    };
    let augment = AugmentConfig(vec![
        HorizontalFlip { p: 0.5 }.into(),
        CropPadding {
            padding: 1,
            ..CropPadding::default()
        }
        .into(),
        Brightness { limit: 0.1, p: 1.0 }.into(),
    ]);
    LoaderOptions {
        transform: Transform::new(&preprocessing).unwrap(),
        source_transform: None,
        augment: Some(Augment::new(augment).unwrap()),
        mix: None,
        classes: 2,
        batch_size: 1,
        workers,
        seed: 0,
        prefetch: 2,
    }
}

pub(crate) fn request<'a>(
    config: &'a TrainConfig,
    directory: &Path,
    resume: bool,
) -> TrainRequest<'a> {
    TrainRequest {
        graph: small_graph(),
        config,
        loader: loader(2),
        train: Arc::new(Stripes { count: 45, seed: 1 }),
        validation: Arc::new(Stripes { count: 12, seed: 2 }),
        checkpoint_directory: directory.to_path_buf(),
        initial_weights: None,
        available_memory: None,
        test_time_augmentation: Default::default(),
        resume,
    }
}

/// Records what it is told; stops where it is told to.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) stop_at_step: Option<u64>,
    /// Monitored values to answer instead of the accuracy.
    pub(crate) verdicts: Vec<f64>,
    pub(crate) losses: Vec<f64>,
    pub(crate) epochs: Vec<EpochSummary>,
    pub(crate) last_step: Option<StepProgress>,
    pub(crate) validation_logits: Vec<f32>,
}

impl TrainObserver for Recorder {
    fn on_step(&mut self, progress: &StepProgress) -> Control {
        self.losses.push(progress.loss);
        self.last_step = Some(progress.clone());
        if self.stop_at_step == Some(progress.global_step) {
            Control::Stop
        } else {
            Control::Continue
        }
    }

    fn on_validation(&mut self, epoch: u32, outputs: &ValidationOutputs<'_>) -> Verdict {
        self.validation_logits = outputs.logits.to_vec();
        let scripted = self.verdicts.get(epoch as usize - 1).copied();
        Verdict {
            monitored: scripted.unwrap_or_else(|| accuracy(outputs)),
            stop: false,
        }
    }

    fn on_epoch_end(&mut self, summary: &EpochSummary) {
        self.epochs.push(summary.clone());
    }
}

fn accuracy(outputs: &ValidationOutputs<'_>) -> f64 {
    let rows = outputs.logits.chunks_exact(outputs.classes);
    let correct = rows
        .zip(outputs.labels)
        .filter(|(row, label)| row.iter().all(|logit| *logit <= row[**label as usize]))
        .count();
    correct as f64 / outputs.labels.len() as f64
}

/// Numbers without pattern in −1 to 1, the same here and in `tools/golden_engine.py`.
pub(crate) fn pattern(count: usize, seed: u64) -> Vec<f32> {
    (0..count as u64)
        .map(|index| (((index * 7919 + seed * 104_729) % 2003) as f64 / 1001.0 - 1.0) as f32)
        .collect()
}

/// Numbers without pattern in −1 to 1, keyed by a name, the same here and in `tools/golden_zoo.py`.
pub(crate) fn noise(name: &str, count: usize) -> Vec<f32> {
    let key = checksum(name);
    (0..count as u32)
        .map(|index| {
            let mut x = index.wrapping_mul(0x9E37_79B9).wrapping_add(key);
            x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
            x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
            x ^= x >> 16;
            (x >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// The CRC-32 of zlib and PNG.
fn checksum(text: &str) -> u32 {
    let step = |sum: u32| (sum >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(sum & 1));
    !text.bytes().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| step(sum))
    })
}

/// A manifest that fits `graph`.
pub(crate) fn manifest(graph: &Graph, classes: usize) -> ModelManifest {
    ModelManifest {
        manifest_version: MANIFEST_VERSION,
        task: Task::Classification,
        classes: (0..classes).map(|class| format!("class {class}")).collect(),
        preprocessing: Preprocessing {
            width: graph.input[2] as u32,
            height: graph.input[1] as u32,
            resize: Default::default(),
            filter: Default::default(),
            mean: [0.5; 3],
            std: [0.25; 3],
        },
        output: OutputKind::Logits,
        threshold: None,
        thresholds: None,
        input_name: String::new(),
        output_name: String::new(),
        embedding_name: None,
        architecture: Some(graph.name.clone()),
        dataset_version: Some("stripes@v1".to_string()),
        dataset_digest: None,
        run: None,
    }
}
