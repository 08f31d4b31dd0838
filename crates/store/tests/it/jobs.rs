use std::time::Duration;

use ferrotype_store::{JobFilter, JobOutcome, JobStatus, RunStatus, StoreErrorKind};

use crate::support::{fixture, new_run};

#[tokio::test]
async fn a_job_is_taken_on_once_and_tells_how_far_it_is() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let run = new_run(store).await.id;
    let job = store
        .enqueue_job("train", "{\"epochs\":2}", Some(run))
        .await
        .unwrap();
    assert_eq!(job.status, JobStatus::Queued);

    let claimed = store.claim_job(job.id).await.unwrap();
    assert_eq!(claimed.job.status, JobStatus::Running);
    assert_eq!(claimed.job.process_id, Some(std::process::id()));
    let error = store.claim_job(job.id).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::RunBusy);

    fixture.clock.advance(5_000);
    store
        .update_progress(job.id, 0.5, "epoch 1 of 2")
        .await
        .unwrap();
    let running = store.job(job.id).await.unwrap();
    assert_eq!(running.progress, 0.5);
    assert_eq!(running.message, "epoch 1 of 2");
    assert_eq!(running.heartbeat_at, Some(store.clock().now()));

    store
        .finish_job(claimed, JobOutcome::Finished)
        .await
        .unwrap();
    let finished = store.job(job.id).await.unwrap();
    assert_eq!(finished.status, JobStatus::Finished);
    assert_eq!(finished.progress, 1.0);
    let error = store.claim_job(job.id).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert!(error.to_string().ends_with("is finished already"));

    let filter = JobFilter {
        run: Some(run),
        status: Some(JobStatus::Finished),
        ..JobFilter::default()
    };
    assert_eq!(store.jobs(&filter, 10).await.unwrap(), [finished]);
}

#[tokio::test]
async fn a_waiting_job_is_cancelled_at_once_with_its_run() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let run = new_run(store).await.id;
    let job = store.enqueue_job("train", "{}", Some(run)).await.unwrap();
    store.request_cancel(job.id).await.unwrap();
    let job = store.job(job.id).await.unwrap();
    assert_eq!(job.status, JobStatus::Cancelled);
    assert_eq!(store.run(run).await.unwrap().status, RunStatus::Stopped);
    let error = store.request_cancel(job.id).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
}

#[tokio::test]
async fn a_running_job_learns_that_it_is_to_be_cancelled() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let job = store.enqueue_job("train", "{}", None).await.unwrap();
    let claimed = store.claim_job(job.id).await.unwrap();
    assert!(!store.heartbeat(job.id).await.unwrap());
    let watch = store.writer().unwrap().watch_job(job.id).unwrap();
    assert!(!watch.is_cancel_requested());

    store.request_cancel(job.id).await.unwrap();
    assert!(store.is_cancel_requested(job.id).await.unwrap());
    assert!(store.heartbeat(job.id).await.unwrap());
    while !watch.is_cancel_requested() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store
        .finish_job(claimed, JobOutcome::Cancelled)
        .await
        .unwrap();
    let job = store.job(job.id).await.unwrap();
    assert_eq!(job.status, JobStatus::Cancelled);
}

#[tokio::test]
async fn an_interrupted_job_is_taken_on_again() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let job = store.enqueue_job("train", "{}", None).await.unwrap();
    let claimed = store.claim_job(job.id).await.unwrap();
    store
        .finish_job(claimed, JobOutcome::Interrupted)
        .await
        .unwrap();
    let again = store.claim_job(job.id).await.unwrap();
    assert_eq!(again.job.attempts, 2);
    assert_eq!(again.job.finished_at, None);
    let failed = JobOutcome::Failed("no such folder".into());
    store.finish_job(again, failed).await.unwrap();
    let job = store.job(job.id).await.unwrap();
    assert_eq!(job.error.as_deref(), Some("no such folder"));
}

#[tokio::test]
async fn progress_is_written_beside_metrics() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let job = store.enqueue_job("train", "{}", None).await.unwrap();
    let writer = store.writer().unwrap();
    for i in 0..=10 {
        let progress = f64::from(i) / 10.0;
        writer.set_job_progress(job.id, progress, "going").unwrap();
    }
    writer.set_job_progress(job.id, 7.0, "beyond").unwrap();
    writer.flush().unwrap();
    let job = store.job(job.id).await.unwrap();
    assert_eq!((job.progress, job.message.as_str()), (1.0, "beyond"));
}

#[tokio::test]
async fn what_is_held_by_nobody_is_seen_as_dead_and_what_is_held_is_not() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let (dead_run, live_run) = (new_run(store).await.id, new_run(store).await.id);
    let _lock = store.lock_run(live_run).unwrap();
    for run in [dead_run, live_run] {
        store
            .set_run_status(run, RunStatus::Running, None)
            .await
            .unwrap();
    }
    let dead_job = store.enqueue_job("train", "{}", None).await.unwrap();
    drop(store.claim_job(dead_job.id).await.unwrap());
    let live_job = store.enqueue_job("train", "{}", None).await.unwrap();
    let _claimed = store.claim_job(live_job.id).await.unwrap();

    let recovered = store.recover_dead().await.unwrap();
    assert_eq!(recovered.runs, [dead_run]);
    assert_eq!(recovered.jobs, [dead_job.id]);
    let run = store.run(dead_run).await.unwrap();
    assert_eq!(run.status, RunStatus::Interrupted);
    assert_eq!(store.recover_dead().await.unwrap(), Default::default());
}
