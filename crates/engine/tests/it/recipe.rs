//! What a recipe can ask for besides a plain run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use ferrotype_core::config::schema::{
    ClassWeighting, ClassWeights, Freeze, Monitor, OptimizerConfig, Sampling, ScheduleConfig,
    TestTimeAugmentation, TrainConfig,
};
use ferrotype_engine::checkpoint::{self, LAST};
use ferrotype_engine::train::{
    Control, FAILED_BATCH, NoDescent, RangeEnd, RateFinderOptions, StepProgress, TrainEnd,
    TrainObserver, TrainRequest, ValidationOutputs, Verdict, find_learning_rate, train,
};
use ferrotype_engine::{EngineErrorKind, State};
use ferrotype_vision::RgbImage;
use ferrotype_vision::loader::{SampleError, SampleSource};

use crate::support::{Recorder, Stripes, config, request};

fn trained(config: &TrainConfig, stops: &[u64]) -> State {
    let folder = tempfile::tempdir().unwrap();
    for stop in stops {
        let mut stopping = Recorder {
            stop_at_step: Some(*stop),
            ..Recorder::default()
        };
        let outcome = train(request(config, folder.path(), true), &mut stopping).unwrap();
        assert_eq!(outcome.end, TrainEnd::Interrupted);
    }
    let mut recorder = Recorder::default();
    train(request(config, folder.path(), true), &mut recorder).unwrap();
    checkpoint::load(&folder.path().join(LAST)).unwrap().state
}

/// Everything that has a state or draws something, one with each schedule.
fn full_recipes() -> [TrainConfig; 2] {
    let full = TrainConfig {
        accumulate: 2,
        ema: Some(0.95),
        mixup: Some(0.4),
        cutmix: Some(1.0),
        label_smoothing: 0.1,
        sampling: Sampling::Balanced,
        ..config(4)
    };
    [
        TrainConfig {
            schedule: ScheduleConfig::Plateau {
                warmup_epochs: 0.5,
                factor: 0.5,
                patience: 0,
                threshold: 0.2,
                cooldown: 1,
                minimum: 0.0,
            },
            monitor: Monitor::Accuracy,
            ..full.clone()
        },
        TrainConfig {
            schedule: ScheduleConfig::OneCycle {
                warmup_share: 0.3,
                start_divisor: 25.0,
                end_divisor: 1e4,
                momentum: Some([0.85, 0.95]),
            },
            unfreeze_every_epochs: Some(1),
            layer_decay: Some(0.7),
            class_weights: ClassWeights::Given(vec![1.0, 0.5, 2.0]),
            sampling: Sampling::Shuffle,
            ..full
        },
    ]
}

#[test]
fn a_full_recipe_stopped_anywhere_and_resumed_ends_with_the_same_bits() {
    for config in full_recipes() {
        let expected = trained(&config, &[]);
        assert!(
            expected
                .tensors
                .keys()
                .any(|name| name.starts_with("average."))
        );
        // Six batches are three updates an epoch: within epochs and at their ends.
        for stops in [&[1][..], &[3], &[2, 4, 8]] {
            assert!(trained(&config, stops) == expected, "{stops:?} {config:?}");
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let alone = pool.unwrap().install(|| trained(&config, &[]));
        assert!(alone == expected, "on one thread: {config:?}");
    }
}

#[test]
fn resuming_with_another_accumulation_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(1);
    train(
        request(&first, folder.path(), true),
        &mut Recorder::default(),
    )
    .unwrap();
    let other = TrainConfig {
        accumulate: 2,
        epochs: 2,
        ..first
    };
    let error = train(
        request(&other, folder.path(), true),
        &mut Recorder::default(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("accumulated batches"), "{error}");
}

#[test]
fn the_best_checkpoint_holds_the_averages() {
    let config = TrainConfig {
        ema: Some(0.9),
        ..config(2)
    };
    let folder = tempfile::tempdir().unwrap();
    // Every epoch is better than the one before.
    let mut recorder = Recorder {
        verdicts: vec![0.1, 0.2],
        ..Recorder::default()
    };
    let outcome = train(request(&config, folder.path(), false), &mut recorder).unwrap();
    let best = checkpoint::load(&outcome.best_checkpoint.unwrap()).unwrap();
    let last = checkpoint::load(&outcome.last_checkpoint).unwrap().state;
    assert_eq!(
        best.state.get("conv1.weight"),
        last.get("average.conv1.weight")
    );
    assert_eq!(
        best.state.get("bn1.running_mean"),
        last.get("average.bn1.running_mean")
    );
    assert_ne!(best.state.get("conv1.weight"), last.get("conv1.weight"));
    assert_eq!(best.state, last.for_use());
}

/// Initial values for all tensors but the head's.
fn body(folder: &Path) -> State {
    let config = config(1);
    let outcome = train(request(&config, folder, false), &mut Recorder::default()).unwrap();
    let mut state = checkpoint::load(&outcome.last_checkpoint)
        .unwrap()
        .state
        .for_use();
    state.tensors.retain(|name, _| !name.starts_with("fc."));
    state
}

#[test]
fn frozen_layers_keep_the_initial_weights_and_their_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let body = body(&folder.path().join("body"));
    let config = TrainConfig {
        freeze: Some(Freeze::Stages(2)),
        ..config(2)
    };
    let request = TrainRequest {
        initial_weights: Some(body.clone()),
        ..request(&config, &folder.path().join("head"), false)
    };
    let outcome = train(request, &mut Recorder::default()).unwrap();
    let state = checkpoint::load(&outcome.last_checkpoint).unwrap().state;
    for (name, tensor) in &body.tensors {
        assert_eq!(state.get(name), Some(tensor), "{name}");
    }
    let moments: Vec<&String> = state
        .tensors
        .keys()
        .filter(|name| name.starts_with("optimizer."))
        .collect();
    assert_eq!(moments.len(), 4, "of the head alone: {moments:?}");
}

#[test]
fn initial_weights_that_do_not_fit_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(1);
    for (name, shape) in [("conv1.weight", vec![2]), ("conv9.weight", vec![1])] {
        let mut weights = State::default();
        weights.insert(name, shape.clone(), vec![0.0; shape[0]]);
        let request = TrainRequest {
            initial_weights: Some(weights),
            ..request(&config, folder.path(), false)
        };
        let error = train(request, &mut Recorder::default()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn stages_thaw_as_epochs_pass() {
    let config = TrainConfig {
        unfreeze_every_epochs: Some(1),
        ..config(2)
    };
    let folder = tempfile::tempdir().unwrap();
    let body = body(&folder.path().join("body"));
    let request = TrainRequest {
        initial_weights: Some(body.clone()),
        ..request(&config, &folder.path().join("run"), false)
    };
    let outcome = train(request, &mut Recorder::default()).unwrap();
    let state = checkpoint::load(&outcome.last_checkpoint).unwrap().state;
    // The head alone in the first epoch, then the stage above it too.
    assert_ne!(state.get("conv2.weight"), body.get("conv2.weight"));
    assert_eq!(state.get("conv1.weight"), body.get("conv1.weight"));
    assert_eq!(state.get("bn1.running_var"), body.get("bn1.running_var"));
}

/// Nine images of class 0, three of class 1, none of class 2 but the last.
struct Uneven;

impl SampleSource for Uneven {
    fn len(&self) -> usize {
        13
    }

    fn label(&self, index: usize) -> u32 {
        match index {
            0..9 => 0,
            9..12 => 1,
            _ => 2,
        }
    }

    fn name(&self, index: usize) -> String {
        format!("uneven/{index}.png")
    }

    fn load(&self, index: usize) -> Result<RgbImage, SampleError> {
        Stripes { count: 13, seed: 1 }.load(index)
    }
}

#[test]
fn uneven_classes_can_be_weighed_or_drawn_evenly() {
    let plain = TrainConfig {
        batch_size: 13,
        ..config(1)
    };
    let first_loss = |config: &TrainConfig| {
        let folder = tempfile::tempdir().unwrap();
        let request = TrainRequest {
            train: Arc::new(Uneven),
            ..request(config, folder.path(), false)
        };
        let mut recorder = Recorder::default();
        train(request, &mut recorder).unwrap();
        recorder.losses[0]
    };
    let losses = [
        first_loss(&plain),
        first_loss(&TrainConfig {
            class_weights: ClassWeights::Rule(ClassWeighting::Balanced),
            ..plain.clone()
        }),
        first_loss(&TrainConfig {
            sampling: Sampling::Balanced,
            ..plain.clone()
        }),
    ];
    let distinct: BTreeSet<u64> = losses.iter().map(|loss| loss.to_bits()).collect();
    assert_eq!(distinct.len(), 3, "{losses:?}");
}

/// Stripes with labels.
struct Labelled {
    stripes: Stripes,
    sets: Vec<Vec<u32>>,
}

impl Labelled {
    fn new(count: usize, seed: u64) -> Self {
        Self {
            stripes: Stripes { count, seed },
            // Label 1 is of both directions, label 0 of one, label 2 of nothing.
            sets: (0..count)
                .map(|index| match index % 3 {
                    0 => vec![0, 1],
                    1 => vec![1],
                    _ => vec![],
                })
                .collect(),
        }
    }
}

impl SampleSource for Labelled {
    fn len(&self) -> usize {
        self.sets.len()
    }

    fn label(&self, _: usize) -> u32 {
        0
    }

    fn label_set(&self, index: usize) -> Option<&[u32]> {
        Some(&self.sets[index])
    }

    fn name(&self, index: usize) -> String {
        self.stripes.name(index)
    }

    fn load(&self, index: usize) -> Result<RgbImage, SampleError> {
        self.stripes.load(index)
    }
}

/// Keeps what it is shown of a validation.
#[derive(Default)]
struct Shown {
    targets: Vec<f32>,
    right: usize,
    first_loss: Option<f64>,
}

impl TrainObserver for Shown {
    fn on_step(&mut self, progress: &StepProgress) -> Control {
        self.first_loss.get_or_insert(progress.loss);
        Control::Continue
    }

    fn on_validation(&mut self, _: u32, outputs: &ValidationOutputs<'_>) -> Verdict {
        self.targets = outputs.label_targets.unwrap().to_vec();
        let answers = outputs.logits.iter().zip(&self.targets);
        self.right = answers
            .filter(|(logit, target)| (**logit > 0.0) == (**target > 0.5))
            .count();
        Verdict {
            monitored: self.right as f64,
            stop: false,
        }
    }
}

#[test]
fn labels_are_learnt_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(12);
    let request = TrainRequest {
        train: Arc::new(Labelled::new(45, 1)),
        validation: Arc::new(Labelled::new(12, 2)),
        ..request(&config, folder.path(), false)
    };
    let mut shown = Shown::default();
    train(request, &mut shown).unwrap();
    assert_eq!(
        shown.targets[..9],
        [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    );
    assert!(shown.right >= 32, "{} of 36", shown.right);
    // Three answers of yes or no cost ln 2 each in the beginning, one class of three ln 3.
    assert!(shown.first_loss.unwrap() < 0.95, "{:?}", shown.first_loss);
}

#[test]
fn what_has_no_meaning_for_labels_is_refused() {
    let refusal = |config: &TrainConfig, validation: Arc<dyn SampleSource>| {
        let folder = tempfile::tempdir().unwrap();
        let request = TrainRequest {
            train: Arc::new(Labelled::new(45, 1)),
            validation,
            ..request(config, folder.path(), false)
        };
        train(request, &mut Shown::default())
            .unwrap_err()
            .to_string()
    };
    let balanced = TrainConfig {
        sampling: Sampling::Balanced,
        ..config(1)
    };
    let labelled = || Arc::new(Labelled::new(12, 2));
    assert!(refusal(&balanced, labelled()).contains("several labels"));
    let other = Arc::new(Stripes { count: 12, seed: 2 });
    assert!(refusal(&config(1), other).contains("some images have one class"));
    let mut unknown = Labelled::new(12, 2);
    unknown.sets[3] = vec![7];
    assert!(refusal(&config(1), Arc::new(unknown)).contains("label `7` is out of range"));
}

#[test]
fn accumulated_batches_make_one_step_and_the_rest_makes_the_last() {
    let config = TrainConfig {
        accumulate: 4,
        ..config(2)
    };
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::default();
    let outcome = train(request(&config, folder.path(), false), &mut recorder).unwrap();
    // 45 images in batches of 8: six batches, steps of four and of two.
    assert_eq!(outcome.global_step, 4);
    assert_eq!(recorder.losses.len(), 4);
    let last = recorder.last_step.unwrap();
    assert_eq!((last.step, last.steps_in_epoch), (2, 2));
    assert!(last.gradient_norm > 0.0);
}

#[test]
fn views_are_averaged_in_validation() {
    let config = config(1);
    let losses = |views| {
        let folder = tempfile::tempdir().unwrap();
        let request = TrainRequest {
            test_time_augmentation: views,
            ..request(&config, folder.path(), false)
        };
        let mut recorder = Recorder::default();
        train(request, &mut recorder).unwrap();
        recorder.validation_logits
    };
    let [alone, eight] = [TestTimeAugmentation::None, TestTimeAugmentation::Dihedral].map(losses);
    assert_eq!(alone.len(), eight.len());
    assert_ne!(alone, eight);
    let sum: f32 = eight[..3].iter().map(|logit| logit.exp()).sum();
    assert!(
        (sum - 1.0).abs() < 1e-5,
        "logarithms of probabilities: {sum}"
    );
}

#[test]
fn a_loss_that_is_no_number_lists_the_images_of_the_step() {
    let config = TrainConfig {
        optimizer: OptimizerConfig::Sgd {
            momentum: 0.0,
            weight_decay: 0.0,
            nesterov: false,
        },
        schedule: ScheduleConfig::Constant { warmup_epochs: 0.0 },
        learning_rate: 1e30,
        gradient_clip: None,
        accumulate: 2,
        ..config(3)
    };
    let folder = tempfile::tempdir().unwrap();
    let error = train(
        request(&config, folder.path(), false),
        &mut Recorder::default(),
    )
    .unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::NotFinite);
    let listed = fs::read_to_string(folder.path().join(FAILED_BATCH)).unwrap();
    let lines = listed.lines().count();
    assert!(
        lines == 8 || lines == 16,
        "the batches until it failed: {lines}"
    );
    let hint = error.hint().unwrap();
    for part in [
        FAILED_BATCH,
        "train.learning_rate",
        "train.gradient_clip",
        "stripes/",
    ] {
        assert!(hint.contains(part), "{hint}");
    }
    // What it failed on is forgotten when the run is tried again.
    let calm = TrainConfig {
        learning_rate: 1e-3,
        ..config
    };
    train(
        request(&calm, folder.path(), true),
        &mut Recorder::default(),
    )
    .unwrap();
    assert!(!folder.path().join(FAILED_BATCH).exists());
}

#[test]
fn the_rate_finder_suggests_a_rate_and_leaves_nothing_behind() {
    let config = config(1);
    let folder = tempfile::tempdir().unwrap();
    let options = RateFinderOptions {
        lowest: 1e-5,
        steps: 60,
        ..RateFinderOptions::default()
    };
    let directory = folder.path().join("run");
    let find = |options: &RateFinderOptions| {
        find_learning_rate(request(&config, &directory, false), options, &mut |_, _| {
            Control::Continue
        })
    };
    let curve = find(&options).unwrap();
    assert!(!directory.exists());
    let suggestion = curve.suggestion.unwrap();
    assert!((1e-5..1.0).contains(&suggestion), "{suggestion}");
    let rates: Vec<f64> = curve
        .points
        .iter()
        .map(|point| point.learning_rate)
        .collect();
    assert!(rates.is_sorted());
    assert_eq!(find(&options).unwrap(), curve, "the same every time");
    let mut steps = 0;
    let stopped = find_learning_rate(
        request(&config, &directory, false),
        &options,
        &mut |_, _| {
            steps += 1;
            if steps == 3 {
                Control::Stop
            } else {
                Control::Continue
            }
        },
    );
    let stopped = stopped.unwrap();
    assert_eq!(stopped.points.len(), 3);
    assert_eq!(stopped.end, RangeEnd::Stopped);
    assert_eq!(stopped.suggestion, Err(NoDescent::TooShort));
    let too_high = RateFinderOptions {
        highest: 1e12,
        ..options
    };
    let blown_up = find(&too_high).unwrap();
    assert!(
        matches!(blown_up.end, RangeEnd::Diverged | RangeEnd::NotFinite),
        "{:?}",
        blown_up.end
    );
    assert!(blown_up.end_rate < 1e12);
    let backwards = RateFinderOptions {
        highest: 1e-9,
        ..options
    };
    assert_eq!(
        find(&backwards).unwrap_err().kind(),
        EngineErrorKind::Config
    );
}

#[test]
fn a_plateau_needs_validation_images() {
    let [config, _] = full_recipes();
    let folder = tempfile::tempdir().unwrap();
    let request = TrainRequest {
        validation: Arc::new(Stripes { count: 0, seed: 1 }),
        ..request(&config, folder.path(), false)
    };
    let error = train(request, &mut Recorder::default()).unwrap_err();
    assert!(error.to_string().contains("plateau"), "{error}");
}

#[test]
fn a_run_that_does_not_fit_into_memory_is_refused_with_a_batch_size_that_does() {
    let config = TrainConfig {
        ema: Some(0.9),
        ..config(1)
    };
    let folder = tempfile::tempdir().unwrap();
    let attempt = |bytes| {
        let request = TrainRequest {
            available_memory: Some(bytes),
            ..request(&config, &folder.path().join(format!("{bytes}")), false)
        };
        train(request, &mut Recorder::default())
    };
    let error = attempt(100_000).unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::Memory);
    for part in [
        "100.0 kB",
        "weights",
        "optimizer",
        "moving average",
        "activations",
        "loader",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("train.batch_size=") && hint.contains("train.accumulate="),
        "{hint}"
    );
    let hint = attempt(10).unwrap_err().hint().unwrap();
    assert!(hint.contains("smaller model"), "{hint}");
    attempt(100_000_000).unwrap();
}
