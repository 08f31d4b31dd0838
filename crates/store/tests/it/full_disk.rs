use std::path::Path;
use std::process::{Command, Output};

use crate::children::{arguments, child};

/// Runs a child through a shell that first does `before`, in whatever way `through` says.
fn run_after(through: &[&str], before: &str, name: &str, folder: &Path) -> Output {
    let child = child(name, folder);
    let script = format!("{before} && exec \"$0\" \"$@\"");
    let mut words = through.iter().chain(&["sh", "-c"]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(script).arg(child.get_program());
    command.args(arguments(name));
    for (key, value) in child.get_envs() {
        command.env(key, value.unwrap());
    }
    command.output().unwrap()
}

fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("told: passed"), "{text}{errors}");
}

#[test]
fn a_full_disk_is_told_and_nothing_is_half_written() {
    let folder = tempfile::tempdir().unwrap();
    // A small disk in a mount namespace of the child's own, gone with it.
    let through = ["unshare", "--user", "--map-root-user", "--mount"];
    let mount = format!(
        "mount -t tmpfs -o size=8m none '{}'",
        folder.path().display()
    );
    let can_mount = Command::new(through[0])
        .args(&through[1..])
        .args(["sh", "-c", &mount])
        .output()
        .is_ok_and(|output| output.status.success());
    if !can_mount {
        return; // the test below has to do
    }
    let output = run_after(&through, &mount, "fills_the_disk", folder.path());
    assert_passed(&output);
}

#[cfg(unix)]
#[test]
fn a_file_size_limit_is_told_like_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    // The signal must be ignored for the write to fail instead; blocks are 512 bytes or a KiB.
    let limit = "trap '' XFSZ && ulimit -f 4096";
    let output = run_after(&[], limit, "exceeds_the_file_size_limit", folder.path());
    assert_passed(&output);
}
