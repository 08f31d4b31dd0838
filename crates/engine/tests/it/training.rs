//! Training, stopping and resuming.

use std::fs;
use std::sync::Arc;

use ferrotype_core::config::schema::{Monitor, OptimizerConfig, TrainConfig};
use ferrotype_engine::checkpoint::{self, BEST, LAST};
use ferrotype_engine::train::{TrainEnd, TrainRequest, train};
use ferrotype_engine::{EngineErrorKind, State};

use crate::support::{Recorder, Stripes, adamw, config, loader, request, with_patience};

/// 45 images in batches of 8: five full ones and one of five.
const STEPS_IN_EPOCH: u64 = 6;

fn uninterrupted(config: &TrainConfig) -> (State, Recorder) {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::default();
    train(request(config, folder.path(), false), &mut recorder).unwrap();
    let last = checkpoint::load(&folder.path().join(LAST)).unwrap();
    (last.state, recorder)
}

#[test]
fn training_learns_what_separates_the_classes() {
    let config = config(12);
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::default();
    let outcome = train(request(&config, folder.path(), false), &mut recorder).unwrap();
    assert_eq!(outcome.end, TrainEnd::Completed);
    assert_eq!(outcome.epochs, 12);
    assert_eq!(outcome.global_step, 12 * STEPS_IN_EPOCH);
    assert!(outcome.best.unwrap() > 0.9, "{:?}", outcome.best);
    assert!(recorder.epochs[11].train_loss < 0.5 * recorder.epochs[0].train_loss);
    let best = checkpoint::load(&outcome.best_checkpoint.unwrap()).unwrap();
    assert_eq!(best.progress.best, outcome.best);
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    let config = config(2);
    let (first, _) = uninterrupted(&config);
    let (second, _) = uninterrupted(&config);
    assert_eq!(first, second);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let (alone, _) = pool.install(|| uninterrupted(&config));
    assert_eq!(first, alone);
    let (other, _) = uninterrupted(&TrainConfig { seed: 8, ..config });
    assert_ne!(first, other);
}

#[test]
fn a_run_stopped_anywhere_and_resumed_ends_with_the_same_bits() {
    let optimizers = [
        adamw(),
        OptimizerConfig::Sgd {
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: true,
        },
    ];
    for optimizer in optimizers {
        let config = TrainConfig {
            optimizer,
            ..config(3)
        };
        let (expected, recorder) = uninterrupted(&config);
        // Within an epoch, at its last step, at the first of the next, twice in a row.
        for stops in [
            vec![2],
            vec![STEPS_IN_EPOCH],
            vec![STEPS_IN_EPOCH + 1],
            vec![3, 4, 15],
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut losses: Vec<f64> = Vec::new();
            for (attempt, stop) in stops.iter().enumerate() {
                let mut stopping = Recorder {
                    stop_at_step: Some(*stop),
                    ..Recorder::default()
                };
                let resume = attempt > 0;
                let outcome = train(request(&config, folder.path(), resume), &mut stopping);
                assert_eq!(outcome.unwrap().end, TrainEnd::Interrupted);
                losses.extend(&stopping.losses);
            }
            let mut resumed = Recorder::default();
            let outcome = train(request(&config, folder.path(), true), &mut resumed).unwrap();
            assert_eq!(outcome.end, TrainEnd::Completed);
            losses.extend(&resumed.losses);
            assert_eq!(losses, recorder.losses, "stopped at {stops:?}");
            let last = checkpoint::load(&folder.path().join(LAST)).unwrap();
            assert_eq!(last.state, expected, "stopped at {stops:?}");
            let summary = |recorder: &Recorder| {
                let last = recorder.epochs.last().unwrap();
                (
                    last.train_loss,
                    last.train_accuracy,
                    last.best,
                    last.best_epoch,
                )
            };
            assert_eq!(
                summary(&resumed),
                summary(&recorder),
                "stopped at {stops:?}"
            );
        }
    }
}

#[test]
fn a_process_killed_after_its_last_save_loses_only_what_came_after() {
    let config = config(3);
    let (expected, _) = uninterrupted(&config);
    let folder = tempfile::tempdir().unwrap();
    let last = folder.path().join(LAST);
    let mut stopping = Recorder {
        stop_at_step: Some(STEPS_IN_EPOCH + 2),
        ..Recorder::default()
    };
    train(request(&config, folder.path(), false), &mut stopping).unwrap();
    let at_stop = fs::read(&last).unwrap();
    // The killed process went on, wrote the best of a later epoch, and half of a checkpoint.
    train(
        request(&config, folder.path(), true),
        &mut Recorder::default(),
    )
    .unwrap();
    fs::write(&last, at_stop).unwrap();
    fs::write(folder.path().join("last.safetensors.partial"), b"half").unwrap();
    train(
        request(&config, folder.path(), true),
        &mut Recorder::default(),
    )
    .unwrap();
    assert_eq!(checkpoint::load(&last).unwrap().state, expected);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn early_stopping_counts_epochs_without_improvement_across_a_resume() {
    let config = with_patience(config(20), 2);
    let verdicts = vec![0.5, 0.6, 0.6, 0.4, 0.9, 0.9];
    let folder = tempfile::tempdir().unwrap();
    let mut stopping = Recorder {
        stop_at_step: Some(3 * STEPS_IN_EPOCH + 1),
        verdicts: verdicts.clone(),
        ..Recorder::default()
    };
    train(request(&config, folder.path(), false), &mut stopping).unwrap();
    let mut resumed = Recorder {
        verdicts,
        ..Recorder::default()
    };
    let outcome = train(request(&config, folder.path(), true), &mut resumed).unwrap();
    assert_eq!(outcome.end, TrainEnd::EarlyStopped);
    assert_eq!(
        (outcome.epochs, outcome.best, outcome.best_epoch),
        (4, Some(0.6), Some(2))
    );
    let again = train(
        request(&config, folder.path(), true),
        &mut Recorder::default(),
    )
    .unwrap();
    assert_eq!(again, outcome, "a finished run has nothing left to do");
}

#[test]
fn a_lower_loss_is_better_when_the_loss_is_monitored() {
    let config = TrainConfig {
        monitor: Monitor::Loss,
        ..config(3)
    };
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder {
        verdicts: vec![0.7, f64::NAN, 0.3],
        ..Recorder::default()
    };
    let outcome = train(request(&config, folder.path(), false), &mut recorder).unwrap();
    assert_eq!((outcome.best, outcome.best_epoch), (Some(0.3), Some(3)));
    let improved: Vec<bool> = recorder.epochs.iter().map(|epoch| epoch.improved).collect();
    assert_eq!(improved, [true, false, true]);
}

#[test]
fn without_validation_images_the_newest_weights_are_the_best() {
    let config = config(2);
    let folder = tempfile::tempdir().unwrap();
    let request = TrainRequest {
        validation: Arc::new(Stripes { count: 0, seed: 2 }),
        ..request(&config, folder.path(), false)
    };
    let mut recorder = Recorder::default();
    let outcome = train(request, &mut recorder).unwrap();
    assert_eq!((outcome.best, outcome.best_epoch), (None, Some(2)));
    assert_eq!(recorder.epochs[1].monitored, None);
    let best = checkpoint::load(&folder.path().join(BEST)).unwrap();
    let last = checkpoint::load(&folder.path().join(LAST)).unwrap();
    assert_eq!(best.state, last.state.for_use());
}

#[test]
fn an_exploding_loss_stops_with_the_place_and_what_to_do() {
    let config = TrainConfig {
        learning_rate: 1e30,
        gradient_clip: None,
        ..config(3)
    };
    let folder = tempfile::tempdir().unwrap();
    let error = train(
        request(&config, folder.path(), false),
        &mut Recorder::default(),
    )
    .unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::NotFinite);
    assert!(error.to_string().starts_with("epoch 1, step "), "{error}");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("train.learning_rate") && hint.contains("stripes/"),
        "{hint}"
    );
}

#[test]
fn a_folder_with_a_checkpoint_is_not_overwritten_by_a_new_run() {
    let config = config(1);
    let folder = tempfile::tempdir().unwrap();
    train(
        request(&config, folder.path(), false),
        &mut Recorder::default(),
    )
    .unwrap();
    let before = fs::read(folder.path().join(LAST)).unwrap();
    let error = train(
        request(&config, folder.path(), false),
        &mut Recorder::default(),
    )
    .unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::Config);
    assert!(error.hint().unwrap().contains("resume"));
    assert_eq!(fs::read(folder.path().join(LAST)).unwrap(), before);
}

#[test]
fn a_run_whose_last_checkpoint_is_gone_does_not_begin_again_over_its_best() {
    let config = config(1);
    let folder = tempfile::tempdir().unwrap();
    train(
        request(&config, folder.path(), false),
        &mut Recorder::default(),
    )
    .unwrap();
    fs::remove_file(folder.path().join(LAST)).unwrap();
    let before = fs::read(folder.path().join(BEST)).unwrap();
    for resume in [true, false] {
        let again = request(&config, folder.path(), resume);
        let error = train(again, &mut Recorder::default()).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
    }
    assert_eq!(fs::read(folder.path().join(BEST)).unwrap(), before);
}

#[test]
fn settings_out_of_range_are_refused_by_their_key() {
    let base = config(1);
    let cases = [
        (
            "train.epochs",
            TrainConfig {
                epochs: 0,
                ..base.clone()
            },
        ),
        (
            "train.batch_size",
            TrainConfig {
                batch_size: 0,
                ..base.clone()
            },
        ),
        (
            "train.learning_rate",
            TrainConfig {
                learning_rate: f64::NAN,
                ..base.clone()
            },
        ),
        (
            "train.gradient_clip",
            TrainConfig {
                gradient_clip: Some(0.0),
                ..base
            },
        ),
    ];
    for (key, config) in cases {
        let folder = tempfile::tempdir().unwrap();
        let error = train(
            request(&config, folder.path(), false),
            &mut Recorder::default(),
        );
        let error = error.unwrap_err();
        assert_eq!(error.kind(), EngineErrorKind::Config, "{key}");
        assert!(error.to_string().contains(key), "{error}");
    }
}

#[test]
fn an_empty_training_split_is_an_error() {
    let config = config(1);
    let folder = tempfile::tempdir().unwrap();
    let request = TrainRequest {
        train: Arc::new(Stripes { count: 0, seed: 1 }),
        ..request(&config, folder.path(), false)
    };
    let error = train(request, &mut Recorder::default()).unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::Config);
}

#[test]
fn a_label_beyond_the_networks_classes_is_an_error() {
    struct Wrong(Stripes);
    impl ferrotype_vision::loader::SampleSource for Wrong {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn label(&self, _: usize) -> u32 {
            3
        }
        fn name(&self, index: usize) -> String {
            self.0.name(index)
        }
        fn load(
            &self,
            index: usize,
        ) -> Result<ferrotype_vision::RgbImage, ferrotype_vision::loader::SampleError> {
            self.0.load(index)
        }
    }
    let config = config(1);
    let folder = tempfile::tempdir().unwrap();
    let request = TrainRequest {
        train: Arc::new(Wrong(Stripes { count: 9, seed: 1 })),
        loader: loader(1),
        ..request(&config, folder.path(), false)
    };
    let error = train(request, &mut Recorder::default()).unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::Input);
    assert!(error.to_string().contains("label `3`"), "{error}");
}
