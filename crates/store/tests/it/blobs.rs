use std::fs;
use std::io::Read as _;

use ferrotype_store::{Digest, StoreErrorKind};

use crate::support::fixture;

#[tokio::test]
async fn a_blob_is_found_under_its_digest() {
    let fixture = fixture().await;
    let blobs = fixture.store.blobs();
    let digest = blobs.put(b"land").unwrap();
    assert_eq!(digest, Digest::of(b"land"));
    assert_eq!(blobs.get(&digest).unwrap(), b"land");
    assert_eq!(blobs.size(&digest).unwrap(), 4);
    assert!(blobs.contains(&digest));
    let text = digest.to_string();
    let expected = format!("blobs/{}/{}", &text[..2], &text[2..]);
    assert!(blobs.path(&digest).ends_with(expected));
}

#[tokio::test]
async fn a_file_is_put_like_its_bytes() {
    let fixture = fixture().await;
    let path = fixture.folder.path().join("big");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    fs::write(&path, &bytes).unwrap();
    let (digest, byte_count) = fixture.store.blobs().put_file(&path).unwrap();
    assert_eq!(digest, Digest::of(&bytes));
    assert_eq!(byte_count, 3_000_000);
    assert_eq!(fixture.store.blobs().get(&digest).unwrap(), bytes);
}

#[tokio::test]
async fn a_file_that_is_not_there_names_its_path() {
    let fixture = fixture().await;
    let path = fixture.folder.path().join("missing");
    let error = fixture.store.blobs().put_file(&path).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
    assert_eq!(error.path(), Some(path.as_path()));
}

#[tokio::test]
async fn a_damaged_blob_is_told_with_its_path_and_put_anew() {
    let fixture = fixture().await;
    let blobs = fixture.store.blobs();
    let digest = blobs.put(b"land").unwrap();
    fs::write(blobs.path(&digest), b"sand").unwrap();
    let error = blobs.get(&digest).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(error.path(), Some(blobs.path(&digest).as_path()));
    assert!(error.hint().is_some());

    // One that was cut short is noticed even on putting.
    fs::write(blobs.path(&digest), b"").unwrap();
    blobs.put(b"land").unwrap();
    assert_eq!(blobs.get(&digest).unwrap(), b"land");
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_not_found() {
    let fixture = fixture().await;
    let error = fixture.store.blobs().get(&Digest::of(b"x")).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotFound);
}

#[tokio::test]
async fn a_verified_file_has_the_blobs_bytes_and_a_damaged_one_is_refused_as_on_reading() {
    let fixture = fixture().await;
    let blobs = fixture.store.blobs();
    let bytes: Vec<u8> = (0..2_500_000_u32).map(|i| (i % 249) as u8).collect();
    let digest = blobs.put(&bytes).unwrap();
    let mut found = Vec::new();
    let (mut file, modified) = blobs.verified_file(&digest).unwrap();
    assert_eq!(file.metadata().unwrap().modified().unwrap(), modified);
    file.read_to_end(&mut found).unwrap();
    assert_eq!(found, bytes);

    let mut damaged = bytes.clone();
    damaged[2_400_000] ^= 1;
    for content in [&damaged[..], &bytes[..1_000_000], b""] {
        fs::write(blobs.path(&digest), content).unwrap();
        let told = blobs.verified_file(&digest).unwrap_err();
        let expected = blobs.get(&digest).unwrap_err();
        assert_eq!(told.kind(), StoreErrorKind::Corrupt);
        assert_eq!(told.to_string(), expected.to_string());
        assert_eq!(told.hint(), expected.hint());
    }
    let missing = blobs.verified_file(&Digest::of(b"x")).unwrap_err();
    assert_eq!(missing.kind(), StoreErrorKind::NotFound);
}

#[tokio::test]
async fn a_batch_is_there_when_it_is_finished_and_gone_when_it_is_dropped() {
    let fixture = fixture().await;
    let blobs = fixture.store.blobs();
    let batch = blobs.batch();
    let digests: Vec<Digest> = std::thread::scope(|scope| {
        let batch = &batch;
        let threads: Vec<_> = (0..100_u8)
            .map(|i| scope.spawn(move || batch.put(&[i / 2]).unwrap()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(!blobs.contains(&digests[0]));
    batch.finish().unwrap();
    for (i, digest) in digests.iter().enumerate() {
        assert_eq!(blobs.get(digest).unwrap(), [i as u8 / 2]);
    }

    let batch = blobs.batch();
    let dropped = batch.put(b"dropped").unwrap();
    drop(batch);
    assert!(!blobs.contains(&dropped));
    let temporary = fixture.store.root().join("blobs/tmp");
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
}
