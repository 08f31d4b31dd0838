//! What a user sees: help, tables, errors.

use ferrotype_testkit::program::Finished;
use ferrotype_testkit::snapshot;

use crate::project;

/// Holds output against its snapshot, without what changes from run to run.
fn snapshot(name: &str, finished: &Finished) {
    let mut settings = insta::Settings::clone_current();
    settings.set_filters(snapshot::filters());
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name, finished.describe()));
}

#[test]
fn help_tells_every_command_and_option() {
    let project = project::empty();
    for command in [
        "",
        "demo",
        "data",
        "config",
        "summary",
        "find-rate",
        "train",
        "profile",
        "evaluate",
        "export",
        "predict",
        "bench",
        "models",
        "models import",
        "runs",
        "job",
        "serve",
    ] {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let name = format!("help-{}", command.replace(' ', "-"));
        snapshot(name.trim_end_matches('-'), &project.succeed(&arguments));
    }
}

#[test]
fn lists_are_tables() {
    let project = project::with_model();
    project.succeed(&["models", "alias", "colours@v1", "production"]);
    snapshot("models-list", &project.succeed(&["models", "list"]));
    let shown = project.succeed(&["models", "show", "colours"]).stdout;
    let rows: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.split("  ").next())
        .collect();
    for row in [
        "answers",
        "classes",
        "trained on",
        "measured on",
        "macro F1",
    ] {
        let count = rows.iter().filter(|found| **found == row).count();
        assert_eq!(count, 1, "{row}: {shown}");
    }
    assert!(!shown.contains("macro_f1"), "{shown}");
    let runs = project.succeed(&["runs", "list"]);
    assert!(runs.stdout.contains("first"), "{}", runs.describe());
    assert!(runs.stdout.contains("colours@v1"), "{}", runs.describe());
}

#[test]
fn an_empty_project_says_how_to_begin() {
    let project = project::empty();
    for (name, arguments) in [
        ("empty-models", ["models", "list"]),
        ("empty-runs", ["runs", "list"]),
        ("empty-jobs", ["job", "list"]),
        ("empty-data", ["data", "list"]),
    ] {
        snapshot(name, &project.succeed(&arguments));
    }
}

#[test]
fn errors_say_what_to_do_next() {
    let project = project::with_colours();
    let cases: [(&str, &[&str]); 8] = [
        ("error-no-dataset", &["train"]),
        ("error-unknown-dataset", &["train", "data.dataset=colors"]),
        (
            "error-unknown-key",
            &["train", "train.epocs=3", "data.dataset=colours"],
        ),
        (
            "error-wrong-type",
            &["train", "train.epochs=many", "data.dataset=colours"],
        ),
        (
            "error-unknown-device",
            &["train", "train.device=gpu", "data.dataset=colours"],
        ),
        ("error-unknown-run", &["train", "--resume", "nothing"]),
        ("error-unknown-subject", &["evaluate", "nothing"]),
        (
            "error-missing-file",
            &["predict", "gone.png", "--model", "any"],
        ),
    ];
    for (name, arguments) in cases {
        snapshot(name, &project.fail(arguments));
    }
}

#[test]
fn a_wrong_call_exits_with_two() {
    let project = project::empty();
    for arguments in [
        &["nonsense"][..],
        &["train", "--resume", "x", "train.epochs=3"],
        &["predict", "--model", "m"],
        &["models", "show", "../etc"],
        &["serve", "--port", "70000"],
        &["-q", "-v", "runs", "list"],
    ] {
        let finished = project.run(arguments);
        assert_eq!(
            finished.code,
            Some(2),
            "{arguments:?}: {}",
            finished.describe()
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = project::with_colours();
    let mut command = project.command_under(
        "set -o pipefail; \"$@\" | head -n 0",
        &["config", "show", "--origin"],
    );
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
}

#[test]
fn quiet_says_nothing_but_the_result() {
    let project = project::with_model();
    project.write("a.png", ferrotype_testkit::images::png(8, 8, [220, 30, 30]));
    let finished = project.succeed(&["-q", "predict", "a.png", "--model", "colours"]);
    assert_eq!(finished.stderr, "");
    assert!(finished.stdout.contains("a.png"));
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_that_is_not_built_in_says_how_to_build_it() {
    let project = project::with_colours();
    let arguments = ["train", "train.device=cuda:1", "data.dataset=colours"];
    snapshot("error-device-not-built", &project.fail(&arguments));
    let runs = project.succeed(&["runs", "list", "--json"]).json();
    assert_eq!(runs, serde_json::json!([]));
}
