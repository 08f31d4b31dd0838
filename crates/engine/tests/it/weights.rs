//! Files of weights as PyTorch, safetensors and timm write them (`tools/golden_weights.py`), and
//! what is left of them after damage.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ferrotype_engine::weights::{self, Element, Format, NamedTensors};
use ferrotype_engine::{EngineError, EngineErrorKind};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/weights")
        .join(name)
}

fn read(name: &str) -> Result<NamedTensors, EngineError> {
    weights::read(&golden(name))
}

/// Number `index` of the tensor with this seed.
fn value(seed: f64, index: usize) -> f64 {
    (seed + 0.37 * index as f64).sin()
}

fn values(seed: f64, indices: impl IntoIterator<Item = usize>) -> Vec<f32> {
    let indices = indices.into_iter();
    indices.map(|index| value(seed, index) as f32).collect()
}

/// The tensors of `state()` in the script: name, seed, shape, and which number of the formula
/// stands where.
fn expected() -> Vec<(&'static str, f64, Vec<usize>, Vec<usize>)> {
    vec![
        ("single", 0.0, vec![2, 3], (0..6).collect()),
        ("half", 1.0, vec![5], (0..5).collect()),
        ("brain", 2.0, vec![5], (0..5).collect()),
        ("double", 3.0, vec![4], (0..4).collect()),
        ("scalar", 4.0, vec![], vec![0]),
        ("empty", 0.0, vec![0, 3], vec![]),
        ("transposed", 5.0, vec![3, 2], vec![0, 3, 1, 4, 2, 5]),
        (
            "every_second",
            6.0,
            vec![3, 3],
            vec![6, 8, 10, 12, 14, 16, 18, 20, 22],
        ),
        ("channels_last", 7.0, vec![1, 2, 3, 2], (0..12).collect()),
        ("front", 8.0, vec![4], (0..4).collect()),
        ("back", 8.0, vec![2, 4], (4..12).collect()),
        ("parameter", 9.0, vec![3], (0..3).collect()),
    ]
}

fn check_state(file: &str, format: Format) {
    let tensors = read(file).unwrap();
    assert_eq!(tensors.format(), format);
    assert_eq!(tensors.nested_in(), "");
    assert_eq!(tensors.len(), expected().len() + 2, "{file}");
    for (name, seed, shape, indices) in expected() {
        let tensor = tensors.load(name).unwrap();
        assert_eq!(tensor.shape, shape, "{file}: {name}");
        let tolerance = match name {
            "half" => 1e-3,
            "brain" => 8e-3,
            _ => 0.0,
        };
        let wanted = values(seed, indices);
        assert_eq!(tensor.values.len(), wanted.len(), "{file}: {name}");
        for (found, wanted) in tensor.values.iter().zip(&wanted) {
            assert!(
                (found - wanted).abs() <= tolerance * wanted.abs(),
                "{file}: {name}: {found} instead of {wanted}"
            );
        }
    }
    let counter = tensors
        .iter()
        .find(|info| info.name == "num_batches_tracked");
    assert_eq!(counter.unwrap().element, Element::Whole { bytes: 8 });
    let error = tensors.load("num_batches_tracked").unwrap_err();
    assert!(error.to_string().contains("whole numbers"), "{error}");
}

#[test]
fn every_format_and_view_of_pytorch_gives_its_numbers() {
    check_state("state.pth", Format::PyTorch);
    check_state("state_protocol4.pt", Format::PyTorch);
}

#[test]
fn files_from_before_pytorch_1_6_are_read() {
    check_state("state_legacy.pth", Format::PyTorchLegacy);
}

#[test]
fn safetensors_of_every_float_format_are_read() {
    check_state("state.safetensors", Format::Safetensors);
}

#[test]
fn archives_over_four_gibibytes_and_of_big_endian_machines_are_read() {
    for file in ["zip64.pth", "big_endian.pth"] {
        let tensor = read(file).unwrap().load("single").unwrap();
        assert_eq!(tensor.values, values(0.0, 0..6), "{file}");
    }
}

#[test]
fn the_weights_inside_of_a_training_checkpoint_are_found() {
    let tensors = read("nested.pth").unwrap();
    assert_eq!(tensors.nested_in(), "model");
    assert_eq!(tensors.len(), 1);
    assert_eq!(tensors.skipped(), ["extra"]);
    assert_eq!(tensors.load("weight").unwrap().values, values(0.0, 0..4));
    assert_eq!(read("scripted_state.pth").unwrap().len(), 2);
}

#[test]
fn what_is_no_file_of_weights_is_refused_with_what_it_is() {
    let cases = [
        (
            "module.pth",
            "whole Python object of the class `__main__.Module`",
        ),
        ("torchscript.pt", "TorchScript"),
        ("no_weights.pth", "its keys are `step`, `history`"),
        ("deflated.pth", "compressed"),
        ("attack.pkl", "not one of `torch.save`"),
        ("position_embeddings.json", "neither safetensors nor"),
    ];
    for (file, expected) in cases {
        let error = read(file).unwrap_err();
        assert_eq!(error.kind(), EngineErrorKind::UnsupportedWeights, "{file}");
        assert!(error.to_string().contains(expected), "{file}: {error}");
        assert!(error.hint().unwrap().contains("state_dict"), "{file}");
        assert_eq!(error.path(), Some(golden(file).as_path()));
    }
    let error = read("nowhere.pth").unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::NoWeights);
    let error = weights::read(&golden("")).unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::CorruptWeights);
}

#[test]
fn a_file_that_asks_python_to_run_a_command_is_refused_and_nothing_runs() {
    for file in ["attack.pth", "attack_legacy.pth"] {
        let error = read(file).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("`posix.system`"), "{message}");
        assert!(message.contains("nothing was executed"), "{message}");
        assert!(error.hint().unwrap().contains("unless you trust"));
    }
    assert!(!Path::new("/tmp/ferrotype-was-here").exists());
}

#[test]
fn a_tensor_that_is_larger_than_its_numbers_is_not_allocated() {
    let tensors = read("expanded.pth").unwrap();
    let error = tensors.load("weight").unwrap_err();
    assert!(error.to_string().contains("expand"), "{error}");
}

/// Reads a damaged file and everything in it; any answer is fine that is no panic.
fn survive(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    let Ok(tensors) = weights::read(path) else {
        return;
    };
    for info in tensors.iter() {
        if let Ok(tensor) = tensors.load(info.name) {
            assert!(tensor.values.len() as u64 <= length);
        }
    }
}

/// A copy of a golden file to be damaged.
fn copy(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    fs::copy(golden(name), &path).unwrap();
    path
}

const DAMAGED: [&str; 4] = [
    "nested.pth",
    "state.safetensors",
    "state_legacy.pth",
    "zip64.pth",
];

#[test]
fn files_cut_off_anywhere_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    for name in DAMAGED {
        let path = copy(folder.path(), name);
        let file = File::options().write(true).open(&path).unwrap();
        for length in (0..file.metadata().unwrap().len()).rev() {
            file.set_len(length).unwrap();
            survive(&path);
        }
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    for name in DAMAGED {
        let path = copy(folder.path(), name);
        let bytes = fs::read(&path).unwrap();
        let mut file = File::options().write(true).open(&path).unwrap();
        for (position, byte) in bytes.iter().enumerate() {
            let mut put = |byte: u8| {
                file.seek(SeekFrom::Start(position as u64)).unwrap();
                file.write_all(&[byte]).unwrap();
            };
            put(byte ^ [0x01, 0x80, 0xff][position % 3]);
            survive(&path);
            put(*byte);
        }
    }
}

#[test]
fn sizes_that_lie_do_not_allocate() {
    let folder = tempfile::tempdir().unwrap();
    let header = |json: &str, length: u64| {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(json.bytes());
        bytes
    };
    let huge = r#"{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#;
    let cases = [
        header("{}", u64::MAX >> 30),
        header("{}", 1 << 30),
        header(huge, huge.len() as u64),
    ];
    for bytes in cases {
        let path = folder.path().join("lies");
        fs::write(&path, &bytes).unwrap();
        weights::read(&path).unwrap_err();
    }
}
