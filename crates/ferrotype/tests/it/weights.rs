//! Trainings that begin with weights from elsewhere.

use std::path::{Path, PathBuf};

use ferrotype_testkit::hub::{Answered, Hub};
use ferrotype_testkit::program::Finished;
use ferrotype_testkit::project::TestProject;

use crate::project;

const ONE_EPOCH: &str = "train.epochs=1";

/// A file that PyTorch wrote (`tools/golden_weights.py`).
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../engine/tests/golden/weights")
        .join(name)
}

/// The best weights of a run.
fn best(project: &TestProject, name: &str) -> PathBuf {
    project::run_folder(project, name).join("best.safetensors")
}

fn log(project: &TestProject, name: &str) -> String {
    std::fs::read_to_string(project::run_folder(project, name).join("log.txt")).unwrap()
}

#[test]
fn a_run_begins_with_the_weights_of_another_and_keeps_which_they_were() {
    let project = project::with_colours();
    project::train(&project, "first", &[ONE_EPOCH, "--register", "colours"]);
    std::fs::copy(best(&project, "first"), project.join("net.safetensors")).unwrap();
    let digest =
        |name: &str| project::run(&project, name)["params"]["model.weights.blake3"].clone();
    for (name, source) in [
        ("by-run", "first"),
        ("by-model", "colours@v1"),
        ("by-file", "net.safetensors"),
    ] {
        let weights = format!("model.weights={source}");
        let trained = project::train(&project, name, &[ONE_EPOCH, &weights]);
        let told = format!("Weights {source} (Ferrotype checkpoint");
        assert!(trained.stderr.contains(&told), "{}", trained.stderr);
        assert!(log(&project, name).contains("begins with the weights"));
        assert_eq!(digest(name), digest("by-run"));
    }
    assert_eq!(digest("first"), serde_json::Value::Null);
    // The stored configuration finds the file from any folder.
    let run = project::run(&project, "by-file");
    let folder = project.path().canonicalize().unwrap();
    let path = folder.join("net.safetensors").display().to_string();
    assert_eq!(run["params"]["model.weights"], *path);
    let random = project::tensors(&best(&project, "first"));
    assert!(project::tensors(&best(&project, "by-run")) != random);
    assert!(
        project::tensors(&best(&project, "by-run")) == project::tensors(&best(&project, "by-file"))
    );
}

#[test]
fn weights_of_another_network_make_no_run() {
    let project = project::with_colours();
    let fails = |source: &Path, expected: &str| {
        let weights = format!("model.weights={}", source.display());
        let arguments = project::training("none", &[ONE_EPOCH, &weights]);
        let failed = project.fail(&arguments);
        assert!(failed.stderr.contains(expected), "{}", failed.stderr);
        assert!(failed.stderr.contains("hint:"), "{}", failed.stderr);
    };
    fails(&golden("state.pth"), "of another network");
    fails(&golden("attack.pth"), "nothing was executed");
    fails(&golden("module.pth"), "whole Python object");
    fails(Path::new("nowhere.pth"), "no file of weights `nowhere.pth`");
    let runs = project.succeed(&["runs", "list", "--json"]).json();
    assert_eq!(runs.as_array().map(Vec::len), Some(0), "{runs}");
}

fn with_hub(project: &TestProject, hub: &Hub, arguments: &[&str]) -> Finished {
    let mut command = project.command(arguments);
    command
        .env("HF_ENDPOINT", hub.address())
        .env("HF_TOKEN", "hf_word")
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("HF_HUB_OFFLINE");
    Finished::of(command)
}

#[test]
fn weights_of_the_hub_are_fetched_once_and_the_token_stays_secret() {
    let project = project::with_colours();
    let bytes = std::fs::read(golden("nested.pth")).unwrap();
    let hub = Hub::start(move |asked| match asked.target.as_str() {
        "/me/net/resolve/v1/weights.pth" => Answered::file(asked, &bytes, "one"),
        _ => Answered::status(404).header("x-error-code", "EntryNotFound"),
    });
    let show = |source: &str| with_hub(&project, &hub, &["weights", "show", source, "-vv"]);
    for _ in 0..2 {
        let shown = show("hf://me/net@v1/weights.pth");
        assert_eq!(shown.code, Some(0), "{}", shown.describe());
        assert!(shown.stdout.contains("[2, 2]"), "{}", shown.stdout);
        assert!(
            shown.stderr.contains("under the key `model`"),
            "{}",
            shown.stderr
        );
        assert!(!shown.describe().contains("hf_word"));
    }
    let asked = hub.take_asked();
    assert_eq!(asked[0].header("authorization"), Some("Bearer hf_word"));
    let missing = show("hf://me/net@v1/other.pth");
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.stderr.contains("has no such file"),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_file_of_weights_is_shown_with_how_it_fits() {
    let project = project::with_colours();
    let trained = project::train(&project, "first", &[ONE_EPOCH]);
    assert!(trained.code == Some(0));
    let shown = project
        .succeed(&["weights", "show", "first", "model=baseline", "--json"])
        .json();
    assert_eq!(shown["format"], "Ferrotype checkpoint");
    assert_eq!(shown["model"], "baseline");
    assert_eq!(shown["match"]["new_head"][0]["name"], "fc2.weight");
    assert_eq!(shown["match"]["missing"].as_array().unwrap().len(), 0);
}
