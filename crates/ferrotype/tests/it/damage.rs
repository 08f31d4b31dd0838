//! Damaged, missing and full: each a clear error, and nothing lost or half-written.

use std::process::Command;

use ferrotype_testkit::program::{Finished, Running, Signal};
use ferrotype_testkit::project::TestProject;
use ferrotype_testkit::{images, onnx};

use crate::project;

/// The error and its hints, without what was said before.
fn complaint(finished: &Finished) -> String {
    let start = finished.stderr.find("error:").unwrap_or_default();
    finished.stderr[start..].to_string()
}

/// A project with the run `cut`, interrupted after its first epoch.
fn with_interrupted_run() -> TestProject {
    let project = project::with_colours();
    let mut training = project.start(&project::training("cut", &["train.epochs=100000"]));
    training.wait_for_line("epoch      1/100000");
    training.signal(Signal::Interrupt);
    training.wait();
    project
}

#[test]
fn a_corrupt_checkpoint_is_an_error_and_the_run_stays() {
    let project = with_interrupted_run();
    let checkpoint = project::run_folder(&project, "cut").join("last.safetensors");
    let whole = std::fs::read(&checkpoint).unwrap();
    let mut flipped = whole.clone();
    flipped[20] ^= 0xff;
    let damaged = [
        ("truncated", whole[..whole.len() / 2].to_vec()),
        ("a header that is none", flipped),
        ("empty", Vec::new()),
        ("text", b"not a checkpoint".to_vec()),
    ];
    for (what, bytes) in damaged {
        std::fs::write(&checkpoint, bytes).unwrap();
        let failed = project.fail(&["train", "--resume", "cut"]);
        let complaint = complaint(&failed);
        assert!(
            complaint.contains("last.safetensors"),
            "{what}: {complaint}"
        );
        assert!(complaint.contains("hint:"), "{what}: {complaint}");
        assert_eq!(project::run(&project, "cut")["status"], "failed");
    }
    // With the file back it goes on as if nothing had been.
    std::fs::write(&checkpoint, whole).unwrap();
    let mut training = project.start(&["train", "--resume", "cut"]);
    training.wait_for_line("epoch      3/100000");
    training.signal(Signal::Interrupt);
    assert_eq!(training.wait().code, Some(1));
}

#[test]
fn a_run_whose_checkpoint_is_gone_does_not_begin_anew_silently() {
    let project = with_interrupted_run();
    let checkpoint = project::run_folder(&project, "cut").join("last.safetensors");
    std::fs::remove_file(checkpoint).unwrap();
    let failed = project.fail(&["train", "--resume", "cut"]);
    assert!(complaint(&failed).contains("is gone"), "{}", failed.stderr);
    assert!(complaint(&failed).contains("hint:"), "{}", failed.stderr);
}

#[test]
fn a_corrupt_onnx_file_is_refused_when_imported() {
    let project = project::empty();
    let whole = onnx::colour_model(8);
    let cases = [
        ("truncated.onnx", whole[..whole.len() / 2].to_vec()),
        ("text.onnx", b"this is not ONNX".to_vec()),
        ("empty.onnx", Vec::new()),
        ("unknown.onnx", onnx::unknown_operator_model(8)),
    ];
    for (name, bytes) in cases {
        project.write(name, bytes);
        let arguments = [
            "models",
            "import",
            name,
            "--name",
            "bad",
            "--classes",
            "a,b,c",
            "--input-size",
            "8",
        ];
        let failed = project.fail(&arguments);
        assert!(
            complaint(&failed).contains(name),
            "{name}: {}",
            failed.stderr
        );
    }
    let models = project.succeed(&["models", "list", "--json"]).json();
    assert_eq!(models.as_array().unwrap().len(), 0);
}

#[test]
fn a_registered_onnx_file_that_was_damaged_on_disk_is_noticed() {
    let project = project::with_model();
    let shown = project
        .succeed(&["models", "show", "colours", "--json"])
        .json();
    let digest = shown["onnx"].as_str().unwrap();
    let blob = project.join(format!(
        ".ferrotype/blobs/{}/{}",
        &digest[..2],
        &digest[2..]
    ));
    let mut bytes = std::fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    make_writable(&blob);
    std::fs::write(&blob, bytes).unwrap();
    let failed = project.fail(&["evaluate", "colours@v1"]);
    assert!(
        complaint(&failed).contains(&digest[2..]),
        "{}",
        failed.stderr
    );
    assert!(complaint(&failed).contains("damaged"), "{}", failed.stderr);
}

fn make_writable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn an_empty_folder_is_an_error() {
    let project = project::empty();
    std::fs::create_dir(project.join("nothing")).unwrap();
    for arguments in [
        &["data", "import", "nothing", "--name", "nothing"][..],
        &["train", "--data", "nothing"],
        &["predict", "nothing", "--model", "any"],
    ] {
        let failed = project.fail(arguments);
        assert!(complaint(&failed).contains("nothing"), "{}", failed.stderr);
        assert!(complaint(&failed).contains("hint:"), "{}", failed.stderr);
    }
    let datasets = project.succeed(&["data", "list", "--json"]).json();
    assert_eq!(datasets.as_array().unwrap().len(), 0);
}

#[test]
fn a_missing_model_is_an_error_that_names_those_there_are() {
    let project = project::with_model();
    project.write("a.png", images::png(8, 8, [1, 2, 3]));
    for model in ["colurs", "colours@v9", "colours@staging"] {
        let failed = project.fail(&["predict", "a.png", "--model", model]);
        assert!(complaint(&failed).contains("colours"), "{}", failed.stderr);
        let failed = project.fail(&["serve", "--port", "0", "--model", model]);
        assert!(complaint(&failed).contains("colours"), "{}", failed.stderr);
    }
}

#[test]
fn nasty_files_are_told_and_the_others_predicted() {
    let project = project::with_model();
    for (name, bytes) in images::nasty() {
        project.write(format!("inbox/{name}"), bytes);
    }
    project.write("inbox/good.png", images::png(20, 20, [220, 30, 30]));
    let finished = project.fail(&["predict", "inbox", "--model", "colours", "--json"]);
    let answer = finished.json();
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 1);
    assert_eq!(answer["predictions"][0]["class"], "red");
    let skipped = answer["skipped"].as_array().unwrap();
    let kind_of = |name: &str| {
        let item = skipped
            .iter()
            .find(|item| item["item"].as_str().unwrap().ends_with(name))
            .unwrap_or_else(|| panic!("{name} is not told: {answer}"));
        item["kind"].as_str().unwrap().to_string()
    };
    assert_eq!(kind_of("empty.jpg"), "empty");
    assert_eq!(kind_of("text.png"), "not_an_image");
    assert_eq!(kind_of("truncated.jpg"), "truncated");
    assert_eq!(kind_of("bomb.png"), "too_many_pixels");
}

#[test]
fn a_store_of_a_newer_schema_is_refused_and_left_alone() {
    let project = project::with_model();
    pretend_newer_schema(&project.join(".ferrotype/ferrotype.db"));
    let failed = project.fail(&["runs", "list"]);
    assert!(complaint(&failed).contains("newer"), "{}", failed.stderr);
    assert!(complaint(&failed).contains("hint:"), "{}", failed.stderr);
}

/// Writes into the database what a program of the future would have left there.
fn pretend_newer_schema(database: &std::path::Path) {
    use sqlx::{Connection as _, SqliteConnection};
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let address = format!("sqlite://{}", database.display());
        let mut connection = SqliteConnection::connect(&address).await.unwrap();
        sqlx::query(
            "INSERT INTO schema_migration (version, name, digest, applied_at)
             VALUES (9999, 'of the future', '00', 0)",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        connection.close().await.unwrap();
    });
}

/// Runs the command with the run folders on a file system of its own with this much room, or,
/// where mounting one is not allowed, with that limit on the size of every file it writes.
const SMALL_DISK: &str = r#"
if unshare --map-root-user --mount true 2>/dev/null; then
  exec unshare --map-root-user --mount bash -c '
    mkdir -p .ferrotype/runs &&
      mount -t tmpfs -o size=${SMALL_DISK_KB}k tmpfs .ferrotype/runs &&
      exec "$@"' bash "$@"
fi
trap "" XFSZ
ulimit -f "$SMALL_DISK_KB"
exec "$@"
"#;

/// The command on a small disk.
fn on_small_disk(project: &TestProject, kilobytes: u32, arguments: &[&str]) -> Command {
    let mut command = project.command_under(SMALL_DISK, arguments);
    command.env("SMALL_DISK_KB", kilobytes.to_string());
    command
}

#[test]
fn a_full_disk_while_saving_is_an_error_and_leaves_nothing_half_written() {
    let project = project::with_colours();
    // Too small for a checkpoint of 1.3 MB.
    let arguments = project::training("full", &["train.epochs=3"]);
    let failed = Running::start(on_small_disk(&project, 1_000, &arguments)).wait();
    assert_eq!(failed.code, Some(1), "{}", failed.describe());
    let complaint = complaint(&failed);
    assert!(
        complaint.contains("disk") || complaint.contains("space"),
        "{complaint}"
    );
    assert!(complaint.contains("hint:"), "{complaint}");
    // The store was not on that disk: it tells of the failure, and goes on.
    assert_eq!(project::run(&project, "full")["status"], "failed");
    project.succeed(&["train", "--resume", "full"]);
    assert_eq!(project::run(&project, "full")["status"], "finished");
}

#[test]
fn a_dataset_that_a_run_needs_may_be_gone() {
    let project = with_interrupted_run();
    std::fs::remove_dir_all(project.join(".ferrotype/blobs")).unwrap();
    let failed = project.fail(&["train", "--resume", "cut"]);
    assert!(complaint(&failed).contains("hint:"), "{}", failed.stderr);
}

#[test]
fn a_folder_that_is_no_project_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let project = project::empty();
    let path = folder.path().display().to_string();
    for arguments in [&["runs", "list"][..], &["models", "list"], &["job", "list"]] {
        let failed = project.fail(&[&["--project", &path], arguments].concat());
        assert!(
            complaint(&failed).contains("no project"),
            "{}",
            failed.stderr
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
