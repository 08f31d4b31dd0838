//! Trainings that are stopped, killed, cancelled and taken on again.

use ferrotype_testkit::program::Signal;
use ferrotype_testkit::project::TestProject;

use crate::project;

/// Epochs of a training that is stopped on its way.
const EPOCHS: &str = "train.epochs=12";

/// Random changes to the images, so that a resumed run must draw what it would have drawn.
const AUGMENT: &str = "data/augment=strong";

/// A training that no test waits for.
const ENDLESS: &str = "train.epochs=100000";

/// The weights of an uninterrupted run.
fn uninterrupted(project: &TestProject) -> (serde_json::Value, Vec<u8>) {
    project::train(project, "whole", &[EPOCHS, AUGMENT]);
    last_weights(project, "whole")
}

fn last_weights(project: &TestProject, name: &str) -> (serde_json::Value, Vec<u8>) {
    project::tensors(&project::run_folder(project, name).join("last.safetensors"))
}

#[test]
fn a_run_stopped_by_ctrl_c_resumes_to_the_weights_of_an_uninterrupted_one() {
    let project = project::with_colours();
    let mut training = project.start(&project::training("stopped", &[EPOCHS, AUGMENT]));
    training.wait_for_line("epoch  2/12");
    training.signal(Signal::Interrupt);
    let stopped = training.wait();
    assert_eq!(stopped.code, Some(1), "{}", stopped.describe());
    assert!(
        stopped
            .stderr
            .contains("hint: go on with `ferrotype train --resume stopped`"),
        "{}",
        stopped.stderr
    );
    assert_eq!(project::run(&project, "stopped")["status"], "interrupted");

    project.succeed(&["train", "--resume", "stopped"]);
    assert_eq!(project::run(&project, "stopped")["status"], "finished");
    assert!(last_weights(&project, "stopped") == uninterrupted(&project));
    metrics_are_as_uninterrupted(&project, "stopped");
}

#[test]
fn a_run_killed_at_any_line_resumes_to_the_weights_of_an_uninterrupted_one() {
    let project = project::with_colours();
    let mut training = project.start(&project::training("killed", &[EPOCHS, AUGMENT]));
    for epoch in ["epoch  2/12", "epoch  5/12"] {
        training.wait_for_line(epoch);
        training.signal(Signal::Kill);
        assert_eq!(training.wait().code, None);
        // Whoever looks first finds out that its process died.
        assert_eq!(project::run(&project, "killed")["status"], "interrupted");
        training = project.start(&["train", "--resume", "killed"]);
    }
    let finished = training.wait();
    assert_eq!(finished.code, Some(0), "{}", finished.describe());
    assert!(last_weights(&project, "killed") == uninterrupted(&project));
    metrics_are_as_uninterrupted(&project, "killed");
}

/// Steps that were done twice are told once.
fn metrics_are_as_uninterrupted(project: &TestProject, name: &str) {
    let (run, whole) = (project::run(project, name), project::run(project, "whole"));
    let learned = |run: &serde_json::Value| {
        let metrics = run["metrics"].as_object().unwrap().clone();
        metrics
            .into_iter()
            // What the machine did is another matter.
            .filter(|(key, _)| !key.starts_with("system/"))
            .collect::<Vec<_>>()
    };
    assert_eq!(learned(&run), learned(&whole));
}

#[test]
fn sigterm_saves_as_ctrl_c_does() {
    let project = project::with_colours();
    let mut training = project.start(&project::training("terminated", &[ENDLESS]));
    training.wait_for_line("epoch      1/100000");
    training.signal(Signal::Terminate);
    let stopped = training.wait();
    assert_eq!(stopped.code, Some(1), "{}", stopped.describe());
    let folder = project::run_folder(&project, "terminated");
    assert!(folder.join("last.safetensors").is_file());
    assert_eq!(
        project::run(&project, "terminated")["status"],
        "interrupted"
    );
}

#[test]
fn two_processes_on_one_run_are_refused() {
    let project = project::with_colours();
    let mut training = project.start(&project::training("busy", &[ENDLESS]));
    training.wait_for_line("epoch      1/100000");
    let second = project.fail(&["train", "--resume", "busy"]);
    assert!(second.stderr.contains("is busy"), "{}", second.stderr);
    let deletion = project.fail(&["runs", "delete", "busy"]);
    assert!(deletion.stderr.contains("is busy"), "{}", deletion.stderr);
    assert_eq!(project::run(&project, "busy")["status"], "running");
    training.signal(Signal::Interrupt);
    assert_eq!(training.wait().code, Some(1));
    project.succeed(&["runs", "delete", "busy"]);
}

#[test]
fn a_cancelled_job_stops_its_training() {
    let project = project::with_colours();
    let mut training = project.start(&project::training("cancelled", &[ENDLESS]));
    training.wait_for_line("epoch      1/100000");
    let jobs = project.succeed(&["job", "list", "--json"]).json();
    let job = jobs[0]["id"].as_str().unwrap().to_string();
    assert_eq!(jobs[0]["status"], "running");
    project.succeed(&["job", "cancel", &job]);
    let stopped = training.wait();
    assert_eq!(stopped.code, Some(1), "{}", stopped.describe());
    assert_eq!(project::run(&project, "cancelled")["status"], "stopped");
}

#[test]
fn a_job_is_taken_on_by_its_id() {
    let project = project::with_colours();
    let mut training = project.start(&project::training("job", &[EPOCHS]));
    training.wait_for_line("epoch  1/12");
    training.signal(Signal::Kill);
    training.wait();
    let jobs = project.succeed(&["job", "list", "--json"]).json();
    let job = jobs[0]["id"].as_str().unwrap();
    assert_eq!(jobs[0]["status"], "interrupted");
    project.succeed(&["job", "run", job]);
    assert_eq!(project::run(&project, "job")["status"], "finished");
    let again = project.fail(&["job", "run", job]);
    assert!(
        again.stderr.contains("is finished already"),
        "{}",
        again.stderr
    );
}

#[test]
fn a_finished_run_is_not_resumed() {
    let project = project::with_colours();
    project::train(&project, "done", &["train.epochs=1"]);
    let again = project.fail(&["train", "--resume", "done"]);
    assert!(
        again.stderr.contains("run `done` is finished"),
        "{}",
        again.stderr
    );
}
