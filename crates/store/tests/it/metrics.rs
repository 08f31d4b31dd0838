use std::time::Duration;

use ferrotype_store::{CHUNK_POINTS, MetricPoint, Store, StoreErrorKind};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::support::{fixture, new_run};

fn steps_and_values(points: &[MetricPoint]) -> Vec<(u64, f64)> {
    points.iter().map(|p| (p.step, p.value)).collect()
}

#[tokio::test]
async fn a_long_curve_is_read_as_it_was_logged() {
    let fixture = fixture().await;
    let run = new_run(&fixture.store).await.id;
    let writer = fixture.store.writer().unwrap();
    let count = 3 * CHUNK_POINTS as u64 + 17;
    for step in 0..count {
        writer
            .log_metric(run, "train/loss", step, 1.0 / (step + 1) as f64)
            .unwrap();
        if step % 500 == 0 {
            writer.flush().unwrap();
        }
    }
    writer.log_metric(run, "val/accuracy", 1, f64::NAN).unwrap();
    writer.flush().unwrap();

    let points = fixture
        .store
        .metric_history(run, "train/loss")
        .await
        .unwrap();
    let expected: Vec<_> = (0..count).map(|s| (s, 1.0 / (s + 1) as f64)).collect();
    assert_eq!(steps_and_values(&points), expected);
    assert_eq!(points[0].time, fixture.store.clock().now());

    let keys = fixture.store.metric_keys(run).await.unwrap();
    assert_eq!(keys, ["train/loss", "val/accuracy"]);
    let last = fixture.store.last_metrics(run).await.unwrap();
    assert_eq!(last["train/loss"].step, count - 1);
    assert!(last["val/accuracy"].value.is_nan());
}

#[tokio::test]
async fn logging_the_same_steps_again_replaces_them() {
    let fixture = fixture().await;
    let run = new_run(&fixture.store).await.id;
    let writer = fixture.store.writer().unwrap();
    for step in 0..1_500 {
        writer.log_metric(run, "loss", step, 1.0).unwrap();
    }
    writer.flush().unwrap();
    for step in 400..600 {
        writer.log_metric(run, "loss", step, 2.0).unwrap();
    }
    writer.flush().unwrap();
    let expected: Vec<_> = (0..1_500)
        .map(|step| (step, if (400..600).contains(&step) { 2.0 } else { 1.0 }))
        .collect();
    let points = fixture.store.metric_history(run, "loss").await.unwrap();
    assert_eq!(steps_and_values(&points), expected);
}

#[tokio::test]
async fn steps_out_of_order_are_sorted() {
    let fixture = fixture().await;
    let run = new_run(&fixture.store).await.id;
    let writer = fixture.store.writer().unwrap();
    for step in (0..1_200).rev() {
        writer.log_metric(run, "loss", step, step as f64).unwrap();
        if step % 100 == 0 {
            writer.flush().unwrap();
        }
    }
    let expected: Vec<_> = (0..1_200).map(|step| (step, step as f64)).collect();
    let points = fixture.store.metric_history(run, "loss").await.unwrap();
    assert_eq!(steps_and_values(&points), expected);
}

#[tokio::test]
async fn a_resumed_run_starts_where_its_checkpoint_ended() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let run = new_run(store).await.id;
    let writer = store.writer().unwrap();
    for step in 0..1_300 {
        writer.log_metric(run, "loss", step, 1.0).unwrap();
    }
    writer.log_metric(run, "late", 1_200, 1.0).unwrap();
    writer.flush().unwrap();

    store.truncate_metrics_after(run, 700).await.unwrap();
    let points = store.metric_history(run, "loss").await.unwrap();
    assert_eq!(points.last().unwrap().step, 700);
    assert_eq!(points.len(), 701);
    assert_eq!(store.metric_keys(run).await.unwrap(), ["loss"]);

    for step in 701..1_300 {
        writer.log_metric(run, "loss", step, 1.0).unwrap();
    }
    writer.flush().unwrap();
    let points = store.metric_history(run, "loss").await.unwrap();
    let expected: Vec<_> = (0..1_300).map(|step| (step, 1.0)).collect();
    assert_eq!(steps_and_values(&points), expected);
}

async fn wait_for_points(store: &Store, run: ferrotype_core::id::RunId, count: usize) {
    while store.metric_history(run, "loss").await.unwrap().len() < count {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn values_become_visible_without_a_flush() {
    let fixture = fixture().await;
    let run = new_run(&fixture.store).await.id;
    let writer = fixture.store.writer().unwrap();
    writer.log_metric(run, "loss", 1, 1.0).unwrap();
    wait_for_points(&fixture.store, run, 1).await;
}

#[tokio::test]
async fn a_writer_works_in_threads_without_an_async_runtime_and_writes_the_rest_when_dropped() {
    let fixture = fixture().await;
    let run = new_run(&fixture.store).await.id;
    let writer = fixture.store.writer().unwrap();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let writer = writer.clone();
            std::thread::spawn(move || {
                for i in 0..3_000 {
                    let step = i * 4 + thread;
                    writer.log_metric(run, "loss", step, step as f64).unwrap();
                }
            })
        })
        .collect();
    drop(writer);
    for thread in threads {
        thread.join().unwrap();
    }
    let points = fixture.store.metric_history(run, "loss").await.unwrap();
    let expected: Vec<_> = (0..12_000).map(|step| (step, step as f64)).collect();
    assert_eq!(steps_and_values(&points), expected);
}

#[tokio::test]
async fn two_writers_on_one_series_lose_nothing() {
    let fixture = fixture().await;
    let run = new_run(&fixture.store).await.id;
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let writer = fixture.store.writer().unwrap();
            std::thread::spawn(move || {
                for i in 0..600 {
                    writer.log_metric(run, "loss", i * 2 + thread, 1.0).unwrap();
                    if i % 50 == 0 {
                        writer.flush().unwrap();
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let points = fixture.store.metric_history(run, "loss").await.unwrap();
    assert_eq!(points.len(), 1_200);
}

#[tokio::test]
async fn a_writer_that_cannot_write_says_so_instead_of_waiting_for_ever() {
    let fixture = fixture().await;
    let run = new_run(&fixture.store).await.id;
    let path = fixture.store.root().join("ferrotype.db");
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("ALTER TABLE metric_chunk RENAME TO hidden")
        .execute(&mut connection)
        .await
        .unwrap();
    let writer = fixture.store.writer().unwrap();
    let mut step = 0;
    let error = loop {
        match writer.log_metric(run, "loss", step, 1.0) {
            Ok(()) => step += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), StoreErrorKind::Database);
    assert!(writer.flush().is_err());

    // When it can write again, everything that was taken is written.
    sqlx::query("ALTER TABLE hidden RENAME TO metric_chunk")
        .execute(&mut connection)
        .await
        .unwrap();
    drop(writer);
    let points = fixture.store.metric_history(run, "loss").await.unwrap();
    assert_eq!(points.len() as u64, step);
}
