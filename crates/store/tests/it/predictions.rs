use std::time::Duration;

use ferrotype_store::{PredictionFilter, PredictionLogOptions, StoreErrorKind};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::support::{fixture, new_prediction};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

#[tokio::test]
async fn predictions_are_listed_newest_first_filtered_and_in_pages() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut all = Vec::new();
    for class in ["cat", "dog", "cat", "cat"] {
        all.push(new_prediction(store, class));
        fixture.clock.advance(1_000);
    }
    store.log_predictions(&all).await.unwrap();
    store.log_predictions(&all).await.unwrap(); // again changes nothing
    assert_eq!(store.prediction(all[1].id).await.unwrap(), all[1]);

    let list = async |filter: PredictionFilter| store.predictions(&filter, 2).await.unwrap();
    let any = PredictionFilter::default;
    assert_eq!(list(any()).await, [all[3].clone(), all[2].clone()]);
    let next = PredictionFilter {
        before: Some(all[2].id),
        ..any()
    };
    assert_eq!(list(next).await, [all[1].clone(), all[0].clone()]);
    let between = PredictionFilter {
        class: Some("cat".into()),
        model_name: Some("land".into()),
        model_version: Some(all[0].model_version),
        since: Some(all[1].created_at),
        until: Some(all[3].created_at),
        ..any()
    };
    assert_eq!(store.prediction_count(&between).await.unwrap(), 1);
    assert_eq!(list(between).await, [all[2].clone()]);

    store.delete_prediction(all[1].id).await.unwrap();
    let error = store.delete_prediction(all[1].id).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
    assert_eq!(store.prediction_count(&any()).await.unwrap(), 3);
}

#[tokio::test]
async fn predictions_are_kept_for_as_many_days_as_said() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let old: Vec<_> = (0..2_500).map(|_| new_prediction(store, "cat")).collect();
    store.log_predictions(&old).await.unwrap();
    fixture.clock.advance(DAY_MS * 30);
    let fresh = new_prediction(store, "dog");
    store
        .log_predictions(std::slice::from_ref(&fresh))
        .await
        .unwrap();

    assert_eq!(store.apply_retention(30).await.unwrap(), 0);
    fixture.clock.advance(1);
    assert_eq!(store.apply_retention(30).await.unwrap(), 2_500);
    let left = store.predictions(&PredictionFilter::default(), 9).await;
    assert_eq!(left.unwrap(), [fresh]);
}

#[tokio::test]
async fn a_full_log_drops_and_counts_instead_of_waiting() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let options = PredictionLogOptions {
        capacity: 10,
        batch: 4,
        interval: Duration::ZERO,
    };
    let log = store.prediction_log(options).unwrap();
    // This test's runtime has one thread, so the log's task cannot run until the test waits.
    let taken = (0..15)
        .filter(|_| log.log(new_prediction(store, "cat")))
        .count();
    assert_eq!(taken, 10);
    log.shutdown().await;
    assert_eq!((log.written(), log.dropped()), (10, 5));
    let count = store.prediction_count(&PredictionFilter::default()).await;
    assert_eq!(count.unwrap(), 10);
    assert!(!log.log(new_prediction(store, "cat")));
    log.shutdown().await; // once more does no harm
}

#[tokio::test]
async fn logged_predictions_become_visible_without_a_shutdown() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let log = store.prediction_log(Default::default()).unwrap();
    for _ in 0..1_200 {
        assert!(log.log(new_prediction(store, "cat")));
    }
    while log.written() < 1_200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(log);
    let count = store.prediction_count(&PredictionFilter::default()).await;
    assert_eq!(count.unwrap(), 1_200);
}

#[tokio::test]
async fn a_log_that_cannot_write_counts_what_is_lost() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let log = store.prediction_log(Default::default()).unwrap();
    let path = store.root().join("ferrotype.db");
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("DROP TABLE prediction")
        .execute(&mut connection)
        .await
        .unwrap();
    log.log(new_prediction(store, "cat"));
    log.shutdown().await;
    assert_eq!((log.written(), log.dropped()), (0, 1));
}
