use std::fs;
use std::sync::Arc;

use ferrotype_store::{SCHEMA_VERSION, Store, StoreErrorKind, StoreOptions, SystemClock};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use crate::support::{fixture, new_run, open};

async fn try_open(options: StoreOptions) -> ferrotype_store::StoreError {
    Store::open(options, Arc::new(SystemClock))
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_store_is_opened_again_with_all_that_it_holds() {
    let fixture = fixture().await;
    let run = new_run(&fixture.store).await;
    fixture.store.close().await;
    let store = open(fixture.store.root()).await;
    assert_eq!(store.run(run.id).await.unwrap(), run);
    let ignored = fs::read_to_string(store.root().join(".gitignore")).unwrap();
    assert_eq!(ignored, "*\n");
}

#[tokio::test]
async fn a_store_of_a_newer_schema_is_refused_and_left_as_it_is() {
    let fixture = fixture().await;
    let root = fixture.store.root().to_path_buf();
    let path = root.join("ferrotype.db");
    let options = SqliteConnectOptions::new().filename(&path);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("INSERT INTO schema_migration VALUES ($1, 'later', 'x', 0)")
        .bind(i64::from(SCHEMA_VERSION) + 1)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();

    let error = try_open(StoreOptions::in_folder(&root)).await;
    assert_eq!(error.kind(), StoreErrorKind::NewerSchema);
    assert_eq!(error.path(), Some(path.as_path()));
    assert!(error.hint().unwrap().contains("newer Ferrotype"));
}

#[tokio::test]
async fn a_database_file_that_is_none_is_told_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ferrotype.db");
    let garbage: Vec<u8> = (0..20_000_u32).map(|i| (i * 7 % 256) as u8).collect();
    fs::write(&path, &garbage).unwrap();
    let error = try_open(StoreOptions::in_folder(folder.path())).await;
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(error.path(), Some(path.as_path()));
    assert!(error.hint().unwrap().contains("backup"));
    assert_eq!(fs::read(&path).unwrap(), garbage);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = try_open(StoreOptions::in_folder(file.join("store"))).await;
    assert_eq!(error.kind(), StoreErrorKind::Io);
    assert!(error.path().unwrap().starts_with(&file));
}

#[tokio::test]
async fn a_database_url_that_is_not_sqlite_is_refused_without_repeating_it() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        root: folder.path().into(),
        database_url: Some("postgres://me:secret@host/db".into()),
    };
    let error = try_open(options).await;
    assert!(!error.to_string().contains("secret"));
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_database_may_lie_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let options = StoreOptions {
        root: folder.path().join("store"),
        database_url: Some(format!("sqlite://{}", path.display())),
    };
    Store::open(options, Arc::new(SystemClock)).await.unwrap();
    assert!(path.is_file());
}

#[tokio::test]
async fn a_new_store_opened_by_many_at_once_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let root = root.clone();
            tokio::spawn(async move { new_run(&open(&root).await).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let runs = open(&root).await.runs(&Default::default(), 99).await;
    assert_eq!(runs.unwrap().len(), 8);
}
