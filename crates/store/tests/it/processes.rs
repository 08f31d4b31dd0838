use ferrotype_store::{PredictionFilter, RunFilter};

use crate::children::{child, work};
use crate::support::open;

#[tokio::test]
async fn processes_that_make_and_write_one_store_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let mut children: Vec<_> = (0..3)
        .map(|_| {
            child("trains_and_predicts_beside_others", &root)
                .spawn()
                .unwrap()
        })
        .collect();
    let store = open(&root).await;
    let second_handle = open(&root).await;
    tokio::join!(work(&store), work(&second_handle));
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }

    let runs = store.runs(&RunFilter::default(), 99).await.unwrap();
    assert_eq!(runs.len(), 5);
    for run in runs {
        let points = store.metric_history(run.id, "loss").await.unwrap();
        assert_eq!(points.len(), 1_000);
    }
    let count = store.prediction_count(&PredictionFilter::default()).await;
    assert_eq!(count.unwrap(), 5_000);
}
