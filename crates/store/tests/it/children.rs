//! What other tests run in processes of their own: the test binary starts itself with the name of
//! one of these.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use ferrotype_store::{
    PredictionFilter, RunStatus, Store, StoreErrorKind, StoreOptions, SystemClock,
};

use crate::support::{new_prediction, new_run, open};

const ROOT: &str = "FERROTYPE_TEST_STORE";

/// The command that runs the child of that name on the store at `root`.
pub(crate) fn child(name: &str, root: &std::path::Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments(name)).env(ROOT, root);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// The arguments that run one child.
pub(crate) fn arguments(name: &str) -> [String; 4] {
    let test = format!("children::{name}");
    [
        "--ignored".into(),
        "--exact".into(),
        test,
        "--nocapture".into(),
    ]
}

/// The store that this process works on, if it was started as a child.
fn root() -> Option<PathBuf> {
    std::env::var_os(ROOT).map(PathBuf::from)
}

/// Tells the parent a line; `print!` would be a lint, and be captured.
fn tell(line: impl std::fmt::Display) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "told: {line}").unwrap();
    output.flush().unwrap();
}

#[tokio::test]
#[ignore = "run by other tests in a process of its own"]
async fn puts_blobs_and_logs_metrics_until_killed() {
    let Some(root) = root() else { return };
    let store = open(&root).await;
    let run = new_run(&store).await.id;
    tell(run);
    let blobs = store.blobs().clone();
    std::thread::spawn(move || {
        for i in 0_u64.. {
            let bytes: Vec<u8> = (0..40_000).flat_map(|n| (n ^ i).to_le_bytes()).collect();
            blobs.put(&bytes).unwrap();
        }
    });
    let writer = store.writer().unwrap();
    for step in 0_u64.. {
        writer.log_metric(run, "loss", step, step as f64).unwrap();
        if step % 97 == 0 {
            writer.flush().unwrap();
            tell(step);
        }
    }
}

#[tokio::test]
#[ignore = "run by other tests in a process of its own"]
async fn works_on_a_run_and_a_job_until_killed() {
    let Some(root) = root() else { return };
    let store = open(&root).await;
    let run = store.runs(&Default::default(), 1).await.unwrap()[0].id;
    let job = store.jobs(&Default::default(), 1).await.unwrap()[0].id;
    let _lock = store.lock_run(run).unwrap();
    store
        .set_run_status(run, RunStatus::Running, None)
        .await
        .unwrap();
    let _claimed = store.claim_job(job).await.unwrap();
    tell("working");
    loop {
        std::thread::park();
    }
}

#[tokio::test]
#[ignore = "run by other tests in a process of its own"]
async fn trains_and_predicts_beside_others() {
    let Some(root) = root() else { return };
    let store = open(&root).await;
    work(&store).await;
}

/// What a training and a server write.
pub(crate) async fn work(store: &Store) {
    let run = new_run(store).await.id;
    let writer = store.writer().unwrap();
    let log = store.prediction_log(Default::default()).unwrap();
    for step in 0..1_000 {
        writer.log_metric(run, "loss", step, 1.0).unwrap();
        assert!(log.log(new_prediction(store, "cat")));
        if step % 100 == 0 {
            writer.flush().unwrap();
            store.blobs().put(&step.to_le_bytes()).unwrap();
            tokio::task::yield_now().await;
        }
    }
    drop(writer);
    log.shutdown().await;
    assert_eq!(log.dropped(), 0);
}

#[tokio::test]
#[ignore = "run by other tests in a process of its own"]
async fn fills_the_disk() {
    let Some(disk) = root() else { return };
    let store = open(&disk.join("store")).await;
    let run = new_run(&store).await.id;
    let kept = store.blobs().put(b"kept").unwrap();
    let writer = store.writer().unwrap();
    writer.log_metric(run, "loss", 0, 1.0).unwrap();
    writer.flush().unwrap();

    let big = vec![7; 64 << 20];
    let error = store.blobs().put(&big).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert!(error.hint().is_some());
    let batch = store.blobs().batch();
    let error = batch.put(&big).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    drop(batch);
    let big_file = disk.join("filler");
    let temporary = store.root().join("blobs/tmp");
    assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0);

    // Now to the last byte, so that the database cannot grow either.
    assert!(std::fs::write(&big_file, &big).is_err());
    writer.log_metric(run, "loss", 1, 2.0).unwrap();
    let error = writer.flush().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    let prediction = new_prediction(&store, "cat");
    let error = store
        .log_predictions(&vec![prediction; 1])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    assert_eq!(store.blobs().get(&kept).unwrap(), b"kept");
    assert_eq!(store.metric_history(run, "loss").await.unwrap().len(), 1);

    // Space again: what waited is written, and nothing was lost.
    std::fs::remove_file(&big_file).unwrap();
    writer.flush().unwrap();
    assert_eq!(store.metric_history(run, "loss").await.unwrap().len(), 2);
    let count = store.prediction_count(&PredictionFilter::default()).await;
    assert_eq!(count.unwrap(), 0);

    // Not even opening it on a full disk does it harm.
    drop(writer);
    store.close().await;
    assert!(std::fs::write(&big_file, &big).is_err());
    let options = StoreOptions::in_folder(store.root());
    let error = Store::open(options, Arc::new(SystemClock))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    std::fs::remove_file(&big_file).unwrap();
    let store = open(store.root()).await;
    assert_eq!(store.metric_history(run, "loss").await.unwrap().len(), 2);
    tell("passed");
}

#[tokio::test]
#[ignore = "run by other tests in a process of its own"]
async fn exceeds_the_file_size_limit() {
    let Some(folder) = root() else { return };
    let store = open(&folder.join("store")).await;
    let kept = store.blobs().put(b"kept").unwrap();
    let error = store.blobs().put(&vec![7; 64 << 20]).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
    let temporary = store.root().join("blobs/tmp");
    assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0);
    assert_eq!(store.blobs().get(&kept).unwrap(), b"kept");
    tell("passed");
}
