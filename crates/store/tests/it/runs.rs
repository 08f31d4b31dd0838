use std::collections::BTreeMap;
use std::fs;

use ferrotype_core::dataset::Split;
use ferrotype_store::{
    EvaluationSubject, JobFilter, NewEvaluation, NewRun, RunFilter, RunStatus, StoreErrorKind,
};

use crate::support::{fixture, new_dataset, new_model, new_run};

#[tokio::test]
async fn a_run_is_kept_with_everything_that_repeats_it() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let dataset = new_dataset(store, "pets", &[b"1"]).await;
    let params = BTreeMap::from([("train.epochs".to_string(), "20".to_string())]);
    let run = store
        .create_run(NewRun {
            name: Some("first".into()),
            dataset_version: Some(dataset.id),
            config_yaml: "train:\n  epochs: 20\n".into(),
            params: params.clone(),
            seed: u64::MAX,
            git_commit: Some("abc123-dirty".into()),
            environment_json: "{\"cpus\":2}".into(),
        })
        .await
        .unwrap();
    assert_eq!(store.run(run.id).await.unwrap(), run);
    assert_eq!(run.seed, u64::MAX);
    assert_eq!(run.dataset.as_deref(), Some("pets@v1"));
    assert_eq!(store.params(run.id).await.unwrap(), params);
    assert!(store.run_directory(run.id).is_dir());
}

#[tokio::test]
async fn a_run_moves_on_and_dates_its_start_once() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let run = new_run(store).await;
    let status = async |status, error| {
        fixture.clock.advance(1_000);
        store.set_run_status(run.id, status, error).await.unwrap();
        store.run(run.id).await.unwrap()
    };
    let started = status(RunStatus::Running, None).await.started_at;
    let failed = status(RunStatus::Failed, Some("out of memory")).await;
    assert_eq!(failed.error.as_deref(), Some("out of memory"));
    assert_eq!(
        failed.finished_at.unwrap().millis_since(started.unwrap()),
        1_000
    );
    let resumed = status(RunStatus::Running, None).await;
    assert_eq!(resumed.started_at, started);
    assert_eq!(resumed.finished_at, None);
    assert_eq!(resumed.error, None);
}

#[tokio::test]
async fn a_run_is_found_by_name_and_by_part_of_its_id() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let named = |name: &str| NewRun {
        name: Some(name.into()),
        ..NewRun::default()
    };
    let first = store.create_run(named("small")).await.unwrap();
    fixture.clock.advance(1 << 40); // so that the beginnings of the ids differ
    let second = store.create_run(named("large")).await.unwrap();
    for text in [
        "small".to_string(),
        first.id.to_string(),
        first.id.short(),
        first.id.to_string()[..13].to_string(),
        first.id.short().to_uppercase(),
    ] {
        assert_eq!(store.find_run(&text).await.unwrap(), first, "{text}");
    }
    for text in ["%", "____", "smal%", "", "abc"] {
        let error = store.find_run(text).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::NotFound, "{text}");
    }
    let error = store.find_run("larg").await.unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("did you mean `large`?"));

    let third = store.create_run(named("large")).await.unwrap();
    let error = store.find_run("large").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Ambiguous);
    for run in [&second, &third] {
        assert!(error.hint().unwrap().contains(&run.id.to_string()));
    }
}

#[tokio::test]
async fn runs_are_listed_newest_first_in_pages() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(new_run(store).await.id);
        fixture.clock.advance(1);
    }
    ids.reverse();
    let list = async |filter: RunFilter, limit| -> Vec<_> {
        let runs = store.runs(&filter, limit).await.unwrap();
        runs.iter().map(|run| run.id).collect()
    };
    assert_eq!(list(RunFilter::default(), 3).await, ids[..3]);
    let next = RunFilter {
        before: Some(ids[2]),
        ..RunFilter::default()
    };
    assert_eq!(list(next, 3).await, ids[3..]);
    store
        .set_run_status(ids[1], RunStatus::Running, None)
        .await
        .unwrap();
    let running = RunFilter {
        status: Some(RunStatus::Running),
        ..RunFilter::default()
    };
    assert_eq!(list(running, 3).await, [ids[1]]);
}

#[tokio::test]
async fn artifacts_are_replaced_by_name() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let run = new_run(store).await.id;
    for content in ["old", "new"] {
        let digest = store.blobs().put(content.as_bytes()).unwrap();
        store
            .add_artifact(run, "report.html", digest, 3, "text/html")
            .await
            .unwrap();
    }
    let artifacts = store.artifacts(run).await.unwrap();
    assert_eq!(artifacts.len(), 1);
    assert_eq!(store.blobs().get(&artifacts[0].digest).unwrap(), b"new");

    let absent = ferrotype_store::Digest::of(b"never put");
    let error = store
        .add_artifact(run, "a", absent, 1, "text/plain")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
}

#[tokio::test]
async fn a_deleted_run_takes_what_is_its_own_and_leaves_models() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let run = new_run(store).await.id;
    store.enqueue_job("train", "{}", Some(run)).await.unwrap();
    let writer = store.writer().unwrap();
    writer.log_metric(run, "loss", 1, 0.5).unwrap();
    writer.flush().unwrap();
    let mut model = new_model(store, "land", b"onnx");
    model.run = Some(run);
    let model = store.create_model_version(model).await.unwrap();
    let evaluation = |model_version| NewEvaluation {
        run: Some(run),
        model_version,
        dataset_version: None,
        split: Split::Test,
        report_json: "{}".into(),
    };
    store.add_evaluation(evaluation(None)).await.unwrap();
    let shared = store
        .add_evaluation(evaluation(Some(model.id)))
        .await
        .unwrap();
    fs::write(store.run_directory(run).join("last.safetensors"), b"w").unwrap();

    store.delete_run(run).await.unwrap();

    assert_eq!(
        store.run(run).await.unwrap_err().kind(),
        StoreErrorKind::NotFound
    );
    assert!(!store.run_directory(run).exists());
    assert!(store.metric_keys(run).await.unwrap().is_empty());
    assert!(
        store
            .jobs(&JobFilter::default(), 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.models().await.unwrap()[0].versions[0].run, None);
    let left = store
        .evaluations(EvaluationSubject::ModelVersion(model.id))
        .await
        .unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].id, shared.id);

    // A writer that goes on is not held up by it.
    let other = new_run(store).await.id;
    writer.log_metric(run, "loss", 2, 0.4).unwrap();
    writer.log_metric(other, "loss", 2, 0.4).unwrap();
    writer.flush().unwrap();
    assert_eq!(store.metric_history(other, "loss").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_run_that_is_being_worked_on_is_not_deleted() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let run = new_run(store).await.id;
    let lock = store.lock_run(run).unwrap();
    let error = store.delete_run(run).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::RunBusy);
    assert!(error.to_string().contains("this process works on it"));
    drop(lock);
    store.delete_run(run).await.unwrap();
}
