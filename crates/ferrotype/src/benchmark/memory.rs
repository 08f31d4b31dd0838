//! The memory that a network takes, measured in a process of its own: what others have freed, and
//! what they keep, would hide it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};

use ferrotype_inference::{RuntimeChoice, load_network};

use super::Subject;
use super::report::Memory;
use crate::context::Context;
use crate::system_metrics::resident_memory;

/// Runs of the network: the first takes memory, the second shows that it was all.
const RUNS: usize = 2;

/// How this program is called to measure a network's memory.
pub(crate) struct Probe<'a> {
    /// The project folder.
    pub(crate) project: &'a Path,
    /// The model as it was named.
    pub(crate) model: &'a str,
    /// `WIDTHxHEIGHT`, where it was given.
    pub(crate) image_size: Option<String>,
}

impl Probe<'_> {
    /// Measures; none where the system does not tell or the runtime cannot be used.
    pub(super) fn measure(
        &self,
        runtime: RuntimeChoice,
        threads: NonZeroUsize,
        batch: usize,
    ) -> Option<Memory> {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command
            .args(["--quiet", "bench", "--probe-memory", self.model])
            .args(["--runtime", runtime.as_str()])
            .args(["--threads", &threads.to_string()])
            .args(["--batch", &batch.to_string()])
            .arg("--project")
            .arg(self.project)
            .stdin(Stdio::null());
        if let Some(size) = &self.image_size {
            command.args(["--image-size", size]);
        }
        let output = command.output().ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }
}

/// Loads a network, runs it, and prints the memory that took: the work of the process that
/// [`Probe::measure`] starts.
pub(crate) fn print_memory(
    context: &Context,
    subject: Subject,
    runtime: RuntimeChoice,
    threads: NonZeroUsize,
    batch: usize,
) -> anyhow::Result<()> {
    let input = vec![0.5; subject.image_numbers() * batch];
    let options = subject.options(threads);
    let file_bytes = subject.onnx.len() as u64;
    let before = resident_memory().map(|memory| memory.now_bytes.saturating_sub(file_bytes));
    let loaded = load_network(&subject.onnx, runtime, &options)?;
    drop(subject);
    for _ in 0..RUNS {
        loaded.network.run(&input, batch)?;
    }
    let memory = before.zip(resident_memory()).map(|(before, after)| Memory {
        resident_bytes: after.now_bytes.saturating_sub(before),
        peak_bytes: after.peak_bytes.saturating_sub(before),
    });
    context.printer().json(&memory)
}
