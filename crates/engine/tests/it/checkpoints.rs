//! Checkpoints that are damaged, foreign or of another run.

use std::fs;
use std::path::{Path, PathBuf};

use ferrotype_core::config::schema::TrainConfig;
use ferrotype_core::graph::{Op, zoo};
use ferrotype_engine::checkpoint::{self, Checkpoint, Progress, save};
use ferrotype_engine::executor::{CpuExecutor, Executor};
use ferrotype_engine::train::train;
use ferrotype_engine::{EngineErrorKind, State};

use crate::support::{Recorder, adamw, config, request, small_graph};

fn example(folder: &Path) -> (PathBuf, Checkpoint) {
    let graph = small_graph();
    let checkpoint = Checkpoint {
        state: CpuExecutor::new(&graph, &adamw(), 3).unwrap().state(),
        graph,
        progress: Progress {
            epoch: 2,
            best: Some(0.1 + 0.2),
            loss_sum: 1.0 / 3.0,
            ..Progress::default()
        },
    };
    let path = folder.join("last.safetensors");
    save(&path, &checkpoint).unwrap();
    (path, checkpoint)
}

fn kind_of(path: &Path) -> EngineErrorKind {
    let error = checkpoint::load(path).unwrap_err();
    assert_eq!(error.path(), Some(path));
    error.kind()
}

#[test]
fn a_checkpoint_reads_back_as_it_was_and_has_the_same_bytes_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = example(folder.path());
    assert_eq!(checkpoint::load(&path).unwrap(), checkpoint);
    let bytes = fs::read(&path).unwrap();
    save(&path, &checkpoint).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn tensors_are_named_by_layer_for_other_programs() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = example(folder.path());
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("conv1.weight").unwrap().shape(), [8, 3, 3, 3]);
    assert_eq!(file.tensor("bn1.running_mean").unwrap().shape(), [8]);
    assert_eq!(
        file.tensor("optimizer.fc.weight.v").unwrap().shape(),
        [3, 8]
    );
}

#[test]
fn a_file_cut_off_anywhere_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = example(folder.path());
    let bytes = fs::read(&path).unwrap();
    for len in [0, 4, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..len]).unwrap();
        assert_eq!(
            kind_of(&path),
            EngineErrorKind::CorruptCheckpoint,
            "{len} bytes"
        );
    }
}

#[test]
fn a_flipped_bit_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = example(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(kind_of(&path), EngineErrorKind::CorruptCheckpoint);
}

#[test]
fn files_that_are_no_checkpoints_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    assert_eq!(kind_of(&path), EngineErrorKind::NoCheckpoint);
    fs::write(&path, b"\x89PNG\r\n\x1a\n and so on and so on").unwrap();
    assert_eq!(kind_of(&path), EngineErrorKind::CorruptCheckpoint);
    let foreign = safetensors::serialize(
        [(
            "w",
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4])
                .unwrap(),
        )],
        None,
    );
    fs::write(&path, foreign.unwrap()).unwrap();
    let error = checkpoint::load(&path).unwrap_err();
    assert!(
        error.to_string().contains("not one that Ferrotype trained"),
        "{error}"
    );
    assert_eq!(kind_of(folder.path()), EngineErrorKind::CorruptCheckpoint);
}

#[test]
fn a_newer_version_is_refused_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = example(folder.path());
    let mut bytes = fs::read(&path).unwrap();
    let needle = br#"{\"version\":2,"#;
    let at = bytes
        .windows(needle.len())
        .position(|w| w == needle)
        .unwrap();
    bytes[at + needle.len() - 2] = b'9';
    fs::write(&path, &bytes).unwrap();
    assert_eq!(kind_of(&path), EngineErrorKind::NewerCheckpoint);
}

#[test]
fn a_checkpoint_of_another_graph_names_the_layer_that_differs() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = example(folder.path());
    let mut wider = checkpoint.graph.clone();
    if let Op::Conv2d { out_channels, .. } = &mut wider.layers[4].op {
        *out_channels = 16;
    }
    let error = checkpoint::load_for(&path, &wider).unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::OtherCheckpoint);
    assert!(error.to_string().contains("layer `conv2`"), "{error}");
    assert!(error.to_string().contains("16"), "{error}");
    let baseline = zoo::build("baseline", [3, 12, 12], 3, &Default::default()).unwrap();
    let error = checkpoint::load_for(&path, &baseline).unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::OtherCheckpoint);
    assert!(checkpoint::load_for(&path, &checkpoint.graph).is_ok());
}

#[test]
fn resuming_with_another_seed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = config(2);
    let mut stopping = Recorder {
        stop_at_step: Some(2),
        ..Recorder::default()
    };
    train(request(&first, folder.path(), false), &mut stopping).unwrap();
    let other = TrainConfig { seed: 8, ..first };
    let error = train(
        request(&other, folder.path(), true),
        &mut Recorder::default(),
    )
    .unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::OtherCheckpoint);
    assert!(error.to_string().contains("seed was `7`"), "{error}");
}

#[test]
fn a_state_that_does_not_fit_changes_nothing() {
    let graph = small_graph();
    let mut executor = CpuExecutor::new(&graph, &adamw(), 3).unwrap();
    let before = executor.state();
    let mut state = CpuExecutor::new(&graph, &adamw(), 4).unwrap().state();
    state.insert("fc.bias", vec![4], vec![0.0; 4]);
    let error = executor.load_state(&state).unwrap_err();
    assert!(error.to_string().contains("fc.bias"), "{error}");
    assert!(executor.load_state(&State::default()).is_err());
    assert_eq!(executor.state(), before);
}
