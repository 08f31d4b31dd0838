use ferrotype_store::{NewRun, StoreErrorKind};

use crate::support::{fixture, new_dataset, reference};

#[tokio::test]
async fn the_same_content_is_the_same_version() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let first = new_dataset(store, "pets", &[b"1"]).await;
    let again = new_dataset(store, "pets", &[b"1"]).await;
    let second = new_dataset(store, "pets", &[b"1", b"2"]).await;
    let elsewhere = new_dataset(store, "zoo", &[b"1"]).await;
    assert_eq!(first, again);
    assert_eq!(first.reference().to_string(), "pets@v1");
    assert_eq!(second.reference().to_string(), "pets@v2");
    assert_eq!(elsewhere.version, 1);

    let find = async |text| store.dataset_version(&reference(text)).await.unwrap();
    assert_eq!(find("pets").await, second);
    assert_eq!(find("pets@v1").await, first);
    let all = store.dataset_versions().await.unwrap();
    assert_eq!(all, [second, first, elsewhere]);
}

#[tokio::test]
async fn a_dataset_that_is_not_there_is_told_with_what_is() {
    let fixture = fixture().await;
    new_dataset(&fixture.store, "pets", &[b"1"]).await;
    for (text, hint) in [
        ("petz", "did you mean `pets`?"),
        ("pets@v7", "the newest version is `pets@v1`"),
        ("pets@production", "write `pets` for the newest version"),
    ] {
        let error = fixture
            .store
            .dataset_version(&reference(text))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::NotFound);
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
    }
}

#[tokio::test]
async fn a_deleted_version_leaves_its_number_unused_and_its_name_told() {
    let fixture = fixture().await;
    let store = &fixture.store;
    new_dataset(store, "pets", &[b"1"]).await;
    let second = new_dataset(store, "pets", &[b"2"]).await;
    let run = store
        .create_run(NewRun {
            dataset_version: Some(second.id),
            ..NewRun::default()
        })
        .await
        .unwrap();
    store
        .delete_dataset_version(&second.reference())
        .await
        .unwrap();
    let third = new_dataset(store, "pets", &[b"3"]).await;
    assert_eq!(third.version, 3);
    let run = store.run(run.id).await.unwrap();
    assert_eq!(run.dataset_version, None);
    assert_eq!(run.dataset.as_deref(), Some("pets@v2"));

    store.delete_dataset("pets").await.unwrap();
    assert!(store.dataset_versions().await.unwrap().is_empty());
    let error = store.delete_dataset("pets").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
}

#[tokio::test]
async fn a_bad_name_is_refused() {
    let fixture = fixture().await;
    let mut new = ferrotype_store::NewDatasetVersion {
        name: "../pets".into(),
        classes: vec![],
        digest: ferrotype_store::Digest::of(b""),
        manifest_digest: ferrotype_store::Digest::of(b"not put"),
        image_count: 0,
        byte_count: 0,
        source: String::new(),
        report_json: "{}".into(),
    };
    let store = &fixture.store;
    let error = store.create_dataset_version(new.clone()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::InvalidName);

    new.name = "pets".into();
    let error = store.create_dataset_version(new).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
}
