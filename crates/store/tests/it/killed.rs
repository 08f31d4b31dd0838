use std::io::{BufRead as _, BufReader};

use ferrotype_core::id::RunId;
use ferrotype_store::{Digest, RunStatus, Store, StoreErrorKind};

use crate::children::child;
use crate::support::{new_run, open};

/// All blobs under their final names, verified.
fn verify_blobs(store: &Store) -> usize {
    let mut count = 0;
    for folder in std::fs::read_dir(store.root().join("blobs")).unwrap() {
        let folder = folder.unwrap();
        let prefix = folder.file_name().into_string().unwrap();
        if prefix.len() != 2 {
            continue;
        }
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let digest: Digest = format!("{prefix}{name}").parse().unwrap();
            store.blobs().get(&digest).unwrap();
            count += 1;
        }
    }
    count
}

#[tokio::test]
async fn a_process_killed_while_writing_leaves_a_whole_store() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    for round in 0..4 {
        let mut child = child("puts_blobs_and_logs_metrics_until_killed", &root)
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| Some(line.split_once("told: ")?.1.to_string()));
        let run: RunId = told.next().unwrap().parse().unwrap();
        let flushed: u64 = told.nth(3 + round * 2).unwrap().parse().unwrap();
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();

        let store = open(&root).await;
        let points = store.metric_history(run, "loss").await.unwrap();
        assert!(points.len() as u64 > flushed, "what was flushed is there");
        for (step, point) in points.iter().enumerate() {
            assert_eq!((point.step, point.value), (step as u64, step as f64));
        }
        assert!(verify_blobs(&store) > 0);
    }
}

#[tokio::test]
async fn a_run_is_busy_while_its_process_lives_and_free_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("store")).await;
    let run = new_run(&store).await.id;
    let job = store
        .enqueue_job("train", "{}", Some(run))
        .await
        .unwrap()
        .id;
    let mut child = child("works_on_a_run_and_a_job_until_killed", store.root())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    while !told.next().unwrap().unwrap().contains("told: working") {}

    let error = store.lock_run(run).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::RunBusy);
    let process = format!("process {} works on it", child.id());
    assert!(error.to_string().ends_with(&process), "{error}");
    assert!(store.is_run_locked(run).unwrap());
    let error = store.claim_job(job).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::RunBusy);
    assert_eq!(store.recover_dead().await.unwrap(), Default::default());

    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!store.is_run_locked(run).unwrap());
    let recovered = store.recover_dead().await.unwrap();
    assert_eq!((recovered.runs, recovered.jobs), (vec![run], vec![job]));
    assert_eq!(store.run(run).await.unwrap().status, RunStatus::Interrupted);
    let _lock = store.lock_run(run).unwrap();
    assert_eq!(store.claim_job(job).await.unwrap().job.attempts, 2);
}
