use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use ferrotype_store::{Digest, Store, StoreErrorKind};

use crate::support::{fixture, new_dataset, new_model, new_run, reference};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes a blob look as if it had been put two days ago.
fn age(store: &Store, digest: &Digest) {
    let file = File::options()
        .append(true)
        .open(store.blobs().path(digest))
        .unwrap();
    file.set_modified(SystemTime::now() - 2 * DAY).unwrap();
}

#[tokio::test]
async fn a_sweep_deletes_old_blobs_that_nothing_refers_to() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let blobs = store.blobs();
    let dataset = new_dataset(store, "pets", &[b"image"]).await;
    let model = new_model(store, "land", b"onnx");
    let model = store.create_model_version(model).await.unwrap();
    let run = new_run(store).await.id;
    let artifact = blobs.put(b"artifact").unwrap();
    store
        .add_artifact(run, "a", artifact, 8, "text/plain")
        .await
        .unwrap();
    let image = Digest::of(b"image");
    let used = [image, dataset.manifest_digest, model.onnx, artifact];
    let unused = blobs.put(b"unused").unwrap();
    let young = blobs.put(b"young").unwrap();
    let put_again = blobs.put(b"put again").unwrap();
    for digest in used.iter().chain([&unused, &put_again]) {
        age(store, digest);
    }
    blobs.put(b"put again").unwrap();
    let leftover = store.root().join("blobs/tmp/.0123.tmp");
    fs::write(&leftover, b"half").unwrap();
    let file = File::options().append(true).open(&leftover).unwrap();
    file.set_modified(SystemTime::now() - 2 * DAY).unwrap();

    let report = store.sweep_blobs(DAY).await.unwrap();
    assert_eq!((report.kept, report.young, report.deleted), (4, 2, 1));
    assert_eq!((report.freed_bytes, report.leftovers), (6, 1));
    assert!(!blobs.contains(&unused));
    assert!(!leftover.exists());
    for digest in used.iter().chain([&young, &put_again]) {
        assert!(blobs.contains(digest));
    }

    store
        .delete_dataset_version(&reference("pets"))
        .await
        .unwrap();
    let report = store.sweep_blobs(DAY).await.unwrap();
    assert_eq!(report.deleted, 2);
    assert!(!blobs.contains(&image));
}

#[tokio::test]
async fn a_sweep_deletes_nothing_when_a_manifest_cannot_be_read() {
    let fixture = fixture().await;
    let store = &fixture.store;
    let dataset = new_dataset(store, "pets", &[b"image"]).await;
    age(store, &Digest::of(b"image"));
    fs::write(store.blobs().path(&dataset.manifest_digest), b"garbage").unwrap();
    let error = store.sweep_blobs(DAY).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(store.blobs().contains(&Digest::of(b"image")));
}

#[tokio::test]
async fn a_sweep_beside_writers_never_takes_what_they_just_put() {
    let fixture = fixture().await;
    let store = fixture.store.clone();
    let all: Vec<Vec<u8>> = (0..200_u32).map(|i| i.to_le_bytes().to_vec()).collect();
    for bytes in &all {
        let digest = store.blobs().put(bytes).unwrap();
        age(&store, &digest);
    }
    let putting = {
        let (store, all) = (store.clone(), all.clone());
        std::thread::spawn(move || {
            for bytes in &all {
                let digest = store.blobs().put(bytes).unwrap();
                assert!(store.blobs().contains(&digest));
            }
        })
    };
    while !putting.is_finished() {
        store.sweep_blobs(DAY).await.unwrap();
    }
    putting.join().unwrap();
    store.sweep_blobs(DAY).await.unwrap();
    for bytes in &all {
        assert_eq!(store.blobs().get(&Digest::of(bytes)).unwrap(), *bytes);
    }
}
