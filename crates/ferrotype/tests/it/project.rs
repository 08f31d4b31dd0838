//! A project with a small dataset that trains in a few seconds, and what the scenarios ask of it.

use std::path::PathBuf;

use ferrotype_testkit::images::colour_folder;
use ferrotype_testkit::program::{Finished, Running};
use ferrotype_testkit::project::TestProject;
use serde_json::Value;

/// Side of the images in pixels.
pub(crate) const SIDE: u32 = 16;

/// Settings of a small training. Its length is the scenario's to say.
const SMALL: [&str; 5] = [
    "data.image_size=16",
    "train.batch_size=8",
    "data.workers=1",
    "train.early_stopping=null",
    "data.dataset=colours",
];

/// An empty project.
pub(crate) fn empty() -> TestProject {
    TestProject::new(env!("CARGO_BIN_EXE_ferrotype"))
}

/// A project with the dataset `colours@v1`: three classes that a tiny training tells apart.
pub(crate) fn with_colours() -> TestProject {
    let project = empty();
    colour_folder(&project.join("images"), 20, SIDE);
    project.succeed(&["data", "import", "images", "--name", "colours"]);
    project
}

/// The arguments of a small training with this name and these further ones.
pub(crate) fn training<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", "--name", name];
    arguments.extend(SMALL);
    arguments.extend(more);
    arguments
}

/// Trains to the end.
pub(crate) fn train(project: &TestProject, name: &str, more: &[&str]) -> Finished {
    project.succeed(&training(name, more))
}

/// A project with the finished run `first` and the model `colours@v1`.
pub(crate) fn with_model() -> TestProject {
    let project = with_colours();
    train(
        &project,
        "first",
        &["train.epochs=3", "--register", "colours"],
    );
    project
}

/// A run as `runs show --json` tells it.
pub(crate) fn run(project: &TestProject, name: &str) -> Value {
    project.succeed(&["runs", "show", name, "--json"]).json()
}

/// The folder of a run with its checkpoints.
pub(crate) fn run_folder(project: &TestProject, name: &str) -> PathBuf {
    let id = run(project, name)["id"].as_str().unwrap().to_string();
    project.join(".ferrotype/runs").join(id)
}

/// A server in the background, and its address: `http://127.0.0.1:12345`.
pub(crate) struct Server {
    pub(crate) program: Running,
    pub(crate) address: String,
}

/// Starts `ferrotype serve` on a free port and waits until it answers.
pub(crate) fn serve(project: &TestProject, more: &[&str]) -> Server {
    let arguments = [&["serve", "--port", "0"], more].concat();
    let mut program = project.start(&arguments);
    let line = program.wait_for_line("http://");
    let address = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap()
        .to_string();
    Server { program, address }
}

impl Server {
    /// The address of a path.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }
}

/// The tensors of a safetensors file, without its metadata: what two equal runs have in common.
pub(crate) fn tensors(path: &std::path::Path) -> (Value, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header.as_object_mut().unwrap().remove("__metadata__");
    (header, bytes[8 + length..].to_vec())
}
