//! Models from file to answer, on both runtimes, and everything that can be wrong with them.

#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]

mod answers;
mod damage;
mod files;
mod library;
mod manifests;
mod metadata;
mod mutations;
mod networks;
mod operators;
mod options;

use std::path::PathBuf;

use ferrotype_inference::{RuntimeChoice, use_library};

/// The runtimes of this machine: the native one, rten, and ONNX Runtime where a library is found.
fn runtimes() -> Vec<RuntimeChoice> {
    match onnx_runtime_library() {
        Some(library) => {
            use_library(&library).unwrap();
            vec![
                RuntimeChoice::Native,
                RuntimeChoice::Rten,
                RuntimeChoice::OnnxRuntime,
            ]
        }
        None => {
            eprintln!("skipped for ONNX Runtime: no library (set FERROTYPE_TEST_ONNXRUNTIME)");
            vec![RuntimeChoice::Native, RuntimeChoice::Rten]
        }
    }
}

/// ONNX Runtime's library from a variable, or from PyPI's package in a virtual environment of
/// the workspace or of the folder around it.
fn onnx_runtime_library() -> Option<PathBuf> {
    let named = ["FERROTYPE_TEST_ONNXRUNTIME", "ORT_DYLIB_PATH"]
        .into_iter()
        .filter_map(std::env::var_os)
        .map(PathBuf::from);
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let packaged = [".venv", "../.venv-inference"]
        .into_iter()
        .map(|folder| workspace.join(folder).join("lib"))
        .flat_map(|lib| files_in(&lib))
        .map(|python| python.join("site-packages/onnxruntime/capi"))
        .flat_map(|capi| files_in(&capi));
    named
        .chain(packaged.filter(|path| path.to_string_lossy().contains("libonnxruntime.so.")))
        .find(|path| path.is_file())
        .and_then(|path| path.canonicalize().ok())
}

fn files_in(folder: &PathBuf) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}
