use ferrotype_core::dataset::Split;
use ferrotype_store::{EvaluationSubject, NewEvaluation, StoreErrorKind};

use crate::support::{fixture, manifest, new_model, reference};

#[tokio::test]
async fn versions_are_numbered_and_found_by_number_alias_and_newest() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for onnx in [b"1", b"2", b"3"] {
        let new = new_model(store, "land", onnx);
        store.create_model_version(new).await.unwrap();
    }
    store.set_alias("land", "production", 1).await.unwrap();
    store.set_alias("land", "staging", 3).await.unwrap();
    store.set_alias("land", "production", 2).await.unwrap();

    let find = async |text| store.model_version(&reference(text)).await.unwrap();
    assert_eq!(find("land").await.version, 3);
    assert_eq!(find("land@v1").await.version, 1);
    let production = find("land@production").await;
    assert_eq!(production.version, 2);
    assert_eq!(production.aliases, ["production"]);
    assert_eq!(production.manifest, manifest());
    assert_eq!(store.blobs().get(&production.onnx).unwrap(), b"2");
    let by_id = store.model_version_by_id(production.id).await.unwrap();
    assert_eq!(by_id, production);

    let models = store.models().await.unwrap();
    assert_eq!(models.len(), 1);
    let numbers: Vec<_> = models[0].versions.iter().map(|v| v.version).collect();
    assert_eq!(numbers, [3, 2, 1]);
}

#[tokio::test]
async fn what_is_not_there_is_told_with_what_is() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let new = new_model(store, "land", b"1");
    store.create_model_version(new).await.unwrap();
    store.set_alias("land", "production", 1).await.unwrap();
    for (text, hint) in [
        ("lnad", "did you mean `land`?"),
        ("land@v2", "there is `land@v1`, `land@production`"),
        ("land@staging", "there is `land@v1`, `land@production`"),
    ] {
        let error = store.model_version(&reference(text)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::NotFound);
        assert_eq!(error.hint().as_deref(), Some(hint));
    }
    for (name, alias, version, kind) in [
        ("land", "v3", 1, StoreErrorKind::InvalidName),
        ("land", "latest", 1, StoreErrorKind::InvalidName),
        ("land", "staging", 9, StoreErrorKind::NotFound),
        ("sea", "staging", 1, StoreErrorKind::NotFound),
    ] {
        let error = store.set_alias(name, alias, version).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{name}@{alias}");
    }
}

#[tokio::test]
async fn a_version_without_its_file_is_refused() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let mut new = new_model(store, "land", b"1");
    new.onnx = ferrotype_store::Digest::of(b"never put");
    let error = store.create_model_version(new).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
    assert!(store.models().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_version_is_deleted_only_when_no_alias_points_to_it() {
    let fixture = fixture().await;
    let store = &fixture.store;
    for onnx in [b"1", b"2"] {
        let new = new_model(store, "land", onnx);
        store.create_model_version(new).await.unwrap();
    }
    store.set_alias("land", "production", 2).await.unwrap();
    let second = store.model_version(&reference("land@v2")).await.unwrap();
    let new = NewEvaluation {
        run: None,
        model_version: Some(second.id),
        dataset_version: None,
        split: Split::Test,
        report_json: "{}".into(),
    };
    store.add_evaluation(new).await.unwrap();

    let delete = async || store.delete_model_version(&reference("land@v2")).await;
    let error = delete().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert_eq!(error.to_string(), "`land@v2` is `land@production`");
    store.remove_alias("land", "production").await.unwrap();
    delete().await.unwrap();
    let subject = EvaluationSubject::ModelVersion(second.id);
    assert!(store.evaluations(subject).await.unwrap().is_empty());

    let third = new_model(store, "land", b"3");
    let third = store.create_model_version(third).await.unwrap();
    assert_eq!(third.version, 3);

    store.set_alias("land", "production", 3).await.unwrap();
    store.delete_model("land").await.unwrap();
    assert!(store.models().await.unwrap().is_empty());
    let error = store.delete_model("land").await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
}

#[tokio::test]
async fn versions_registered_at_once_get_numbers_of_their_own() {
    let fixture = fixture().await;
    let tasks: Vec<_> = (0..20_u8)
        .map(|i| {
            let store = fixture.store.clone();
            tokio::spawn(async move {
                let new = new_model(&store, "land", &[i]);
                store.create_model_version(new).await.unwrap().version
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(task.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<u32>>());
}
