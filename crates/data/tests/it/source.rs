//! Samples of a version, as training and evaluation read them.

use std::fs;

use ferrotype_core::dataset::Split;
use ferrotype_data::{DataErrorKind, StoreSource, load_manifest};
use ferrotype_vision::loader::SampleSource;

use crate::support::{Fixture, tile};

#[test]
fn a_split_is_read_back_with_its_labels_in_the_manifests_order() {
    let fixture = Fixture::new();
    fixture.paint("", 10);
    let outcome = fixture.import().unwrap();
    let source = StoreSource::open(&fixture.store, &outcome.version, Split::Train).unwrap();
    assert_eq!(source.len(), 12);
    let mut names = Vec::new();
    for index in 0..source.len() {
        let name = source.name(index);
        let (class, file) = name.split_once('/').unwrap();
        let label = source.label(index);
        assert_eq!(class, outcome.version.classes[label as usize]);
        let number: u64 = file.trim_end_matches(".png").parse().unwrap();
        assert_eq!(source.load(index).unwrap(), tile(label as usize, number));
        names.push(name);
    }
    assert!(names.is_sorted());
    assert_eq!(source.entry(0).unwrap().path, names[0]);
    assert!(source.entry(12).is_none());
}

#[test]
fn a_damaged_image_is_named_by_its_path_in_the_dataset() {
    let fixture = Fixture::new();
    fixture.paint("", 5);
    let outcome = fixture.import().unwrap();
    let source = StoreSource::open(&fixture.store, &outcome.version, Split::Train).unwrap();
    let digest = source.entry(0).unwrap().digest.parse().unwrap();
    fs::write(fixture.store.blobs().path(&digest), b"rot").unwrap();
    let error = source.load(0).unwrap_err();
    assert!(error.to_string().contains(&source.name(0)), "{error}");
}

#[test]
fn a_lost_manifest_is_an_error_of_the_store() {
    let fixture = Fixture::new();
    fixture.paint("", 3);
    let outcome = fixture.import().unwrap();
    fs::remove_file(fixture.store.blobs().path(&outcome.version.manifest_digest)).unwrap();
    let error = load_manifest(&fixture.store, &outcome.version).unwrap_err();
    assert_eq!(error.kind(), DataErrorKind::Store);
}
