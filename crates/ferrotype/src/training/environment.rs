//! What a run ran on: versions, processor, threads, the commit of the user's project.

use std::path::Path;
use std::process::Command;

use ferrotype_core::config::Config;
use ferrotype_engine::executor::Device;
use ferrotype_kernels::instructions::InstructionSet;
use serde_json::{Value, json};

/// Program version, machine and device, kept with a run.
pub(super) fn describe(config: &Config, device: &Device) -> Value {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let loader_threads = match config.data.workers {
        0 => cores,
        workers => workers,
    };
    json!({
        "ferrotype": env!("CARGO_PKG_VERSION"),
        "executor": if device.is_native() { "cpu" } else { "burn" },
        "device": device.config().to_string(),
        "device_name": device.name(),
        "instruction_set": instruction_set(),
        "system": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "processor": processor(),
        "cores": cores,
        "loader_threads": loader_threads,
    })
}

/// The widest vector instructions that the executor's loops use.
fn instruction_set() -> &'static str {
    match InstructionSet::in_use() {
        InstructionSet::Avx512 => "AVX-512",
        InstructionSet::Avx2 => "AVX2",
        InstructionSet::Scalar if cfg!(target_arch = "aarch64") => "NEON",
        InstructionSet::Scalar => "baseline",
    }
}

/// The processor's name, where the system tells it (Linux).
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_string())
}

/// The commit that the project folder stands on, with `-dirty` when tracked files were changed;
/// none outside of a git repository.
pub(super) fn git_commit(folder: &Path) -> Option<String> {
    let commit = git(folder, &["rev-parse", "HEAD"])?;
    let changes = git(folder, &["status", "--porcelain", "--untracked-files=no"])?;
    let suffix = if changes.is_empty() { "" } else { "-dirty" };
    Some(format!("{commit}{suffix}"))
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_git(folder: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
        let arguments = [&identity[..], arguments].concat();
        assert!(git(folder, &arguments).is_some(), "{arguments:?}");
    }

    #[test]
    fn a_commit_says_whether_files_were_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(git_commit(path), None);
        run_git(path, &["init", "--quiet"]);
        std::fs::write(path.join("a"), "1").unwrap();
        run_git(path, &["add", "a"]);
        run_git(path, &["commit", "--quiet", "-m", "a"]);
        let clean = git_commit(path).unwrap();
        assert_eq!(clean.len(), 40);
        std::fs::write(path.join("untracked"), "2").unwrap();
        assert_eq!(git_commit(path), Some(clean.clone()));
        std::fs::write(path.join("a"), "2").unwrap();
        assert_eq!(git_commit(path), Some(format!("{clean}-dirty")));
    }
}
