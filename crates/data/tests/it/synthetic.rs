//! Painted example folders.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ferrotype_data::{DataErrorKind, ImportRequest, SynthFormat, SynthRequest, synth_folder};
use ferrotype_vision::synth::{CLASSES, Drift, UNSEEN_CLASS};

use crate::support::Fixture;

fn small(path: impl AsRef<Path>) -> SynthRequest {
    SynthRequest {
        images_per_class: 4,
        size: 24,
        ..SynthRequest::new(path.as_ref())
    }
}

/// Every file below a folder with its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for class in fs::read_dir(folder).unwrap() {
        for file in fs::read_dir(class.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_string();
            files.insert(name, fs::read(path).unwrap());
        }
    }
    files
}

#[test]
fn the_same_request_writes_the_same_bytes_and_another_seed_others() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, third] = ["1", "2", "3"].map(|name| folder.path().join(name));
    let mut told = Vec::new();
    let outcome =
        synth_folder(&small(&first), &mut |done, total| told.push((done, total))).unwrap();
    assert_eq!(outcome.images, 24);
    assert_eq!(outcome.classes, CLASSES);
    assert_eq!(told.last(), Some(&(24, 24)));
    synth_folder(&small(&second), &mut |_, _| {}).unwrap();
    synth_folder(
        &SynthRequest {
            seed: 1,
            ..small(&third)
        },
        &mut |_, _| {},
    )
    .unwrap();
    let bytes = contents(&first);
    assert_eq!(bytes.len(), 24);
    assert_eq!(
        bytes.values().map(|file| file.len() as u64).sum::<u64>(),
        outcome.bytes
    );
    assert_eq!(bytes, contents(&second));
    let other = contents(&third);
    assert!(bytes.iter().all(|(name, file)| other[name] != *file));
}

#[test]
fn a_folder_that_holds_something_is_refused_without_force() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "do not lose me").unwrap();
    let error = synth_folder(&small(folder.path()), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.kind(), DataErrorKind::NotEmpty);
    assert!(error.hint().unwrap().contains("--force"));
    let forced = SynthRequest {
        force: true,
        ..small(folder.path())
    };
    synth_folder(&forced, &mut |_, _| {}).unwrap();
    assert!(folder.path().join("thesis.txt").exists());
    let file = folder.path().join("thesis.txt");
    let error = synth_folder(&small(&file), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.kind(), DataErrorKind::NotAFolder);
}

#[test]
fn the_unseen_class_gets_a_folder_and_its_share() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drifted");
    let request = SynthRequest {
        unseen_share: 0.25,
        format: SynthFormat::Jpeg,
        drift: Drift {
            brightness: 0.7,
            blur: 1.0,
            noise: 5.0,
            ..Drift::default()
        },
        ..small(&path)
    };
    let outcome = synth_folder(&request, &mut |_, _| {}).unwrap();
    assert_eq!(outcome.images, 32);
    assert_eq!(fs::read_dir(path.join(UNSEEN_CLASS)).unwrap().count(), 8);
    assert!(
        contents(&path)
            .values()
            .all(|file| file.starts_with(b"\xff\xd8"))
    );
}

#[test]
fn values_out_of_range_are_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none");
    let good = small(&path);
    let drifted = |drift| SynthRequest {
        drift,
        ..good.clone()
    };
    let bad = [
        SynthRequest {
            images_per_class: 0,
            ..good.clone()
        },
        SynthRequest {
            size: 0,
            ..good.clone()
        },
        SynthRequest {
            size: 100_000,
            ..good.clone()
        },
        SynthRequest {
            unseen_share: 1.0,
            ..good.clone()
        },
        SynthRequest {
            unseen_share: f64::NAN,
            ..good.clone()
        },
        drifted(Drift {
            brightness: -1.0,
            ..Drift::default()
        }),
        drifted(Drift {
            blur: f64::INFINITY,
            ..Drift::default()
        }),
        drifted(Drift {
            noise: f64::NAN,
            ..Drift::default()
        }),
    ];
    for request in bad {
        let error = synth_folder(&request, &mut |_, _| {}).unwrap_err();
        assert_eq!(error.kind(), DataErrorKind::InvalidRequest, "{request:?}");
    }
    assert!(!path.exists());
}

#[test]
fn images_with_labels_come_with_a_table_that_is_imported() {
    let fixture = Fixture::new();
    let request = SynthRequest {
        labelled_images: Some(60),
        ..small(fixture.images())
    };
    let painted = synth_folder(&request, &mut |_, _| {}).unwrap();
    assert_eq!((painted.images, painted.classes.len()), (60, CLASSES.len()));
    let table = fs::read_to_string(fixture.images().join("labels.csv")).unwrap();
    assert!(table.starts_with("file,field,forest,orchard,residential,road,water\n00000.png,"));
    let outcome = fixture
        .import_as(&ImportRequest::new(fixture.images(), "land"))
        .unwrap();
    assert_eq!(outcome.version.classes, CLASSES);
    assert_eq!(outcome.version.image_count, 60);
    let labelling = outcome.report.labelling.unwrap();
    assert!((1..30).contains(&labelling.unlabelled.total()));
    let labels: u64 = outcome
        .report
        .classes
        .iter()
        .map(|class| class.total())
        .sum();
    assert!(labels > 60, "{labels}");

    let again = fixture.folder.path().join("again");
    let same = SynthRequest {
        path: again.clone(),
        ..request.clone()
    };
    synth_folder(&same, &mut |_, _| {}).unwrap();
    assert_eq!(fs::read_to_string(again.join("labels.csv")).unwrap(), table);
    for file in ["00000.png", "00059.png"] {
        let bytes = |folder: &Path| fs::read(folder.join("images").join(file)).unwrap();
        assert_eq!(bytes(&again), bytes(&fixture.images()));
    }
    let unseen = SynthRequest {
        unseen_share: 0.1,
        force: true,
        ..request
    };
    let error = synth_folder(&unseen, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.kind(), DataErrorKind::InvalidRequest);
}

#[test]
fn a_painted_folder_is_imported_whole() {
    let fixture = Fixture::new();
    let request = SynthRequest {
        images_per_class: 20,
        ..small(fixture.images())
    };
    synth_folder(&request, &mut |_, _| {}).unwrap();
    let outcome = fixture
        .import_as(&ImportRequest::new(fixture.images(), "land"))
        .unwrap();
    assert_eq!(outcome.version.classes, CLASSES);
    assert_eq!(outcome.version.image_count, 120);
    assert!(outcome.skipped.is_empty());
    assert_eq!(outcome.report.duplicates.equal.count, 0);
    assert!(
        outcome.report.warnings.is_empty(),
        "{:?}",
        outcome.report.warnings
    );
}
