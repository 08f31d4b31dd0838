//! Folders that say which images are trained and tested on.

use ferrotype_core::dataset::Split;
use ferrotype_data::ImportRequest;

use crate::support::{Fixture, entry, jpeg, png, split_counts, warns};

#[test]
fn given_splits_are_kept_whatever_the_seed() {
    let fixture = Fixture::new();
    fixture.paint("train/", 12);
    for class in ["a", "b"] {
        for index in 100..104 {
            fixture.write(format!("valid/{class}/{index}.png"), &png(2, index));
        }
        fixture.write(
            format!("Testing/{class}/1.png"),
            &png(3, class.len() as u64),
        );
    }
    let first = fixture.import().unwrap();
    let manifest = fixture.manifest(&first);
    assert_eq!(split_counts(&manifest), [24, 8, 2]);
    assert_eq!(manifest.split.assigned, None);
    let seeded = ImportRequest {
        seed: 9,
        ..ImportRequest::new(fixture.images(), "set")
    };
    assert!(!fixture.import_as(&seeded).unwrap().created);
}

#[test]
fn a_missing_validation_split_is_carved_out_of_train() {
    let fixture = Fixture::new();
    fixture.paint("Training/", 40);
    for (class, name) in ["a", "b"].into_iter().enumerate() {
        for index in 100..110 {
            fixture.write(format!("Testing/{name}/{index}.png"), &png(class, index));
        }
    }
    let outcome = fixture.import().unwrap();
    let manifest = fixture.manifest(&outcome);
    assert_eq!(split_counts(&manifest), [66, 14, 20]);
    assert!(
        manifest
            .entries_in(Split::Val)
            .all(|entry| entry.path.starts_with("Training/"))
    );
    assert!(
        outcome
            .report
            .notes
            .iter()
            .any(|note| note.contains("val was carved out of train"))
    );
}

#[test]
fn duplicates_across_given_splits_are_reported_as_leaks() {
    let fixture = Fixture::new();
    fixture.paint("train/", 10);
    fixture.write("test/a/again.png", &png(0, 4));
    fixture.write("test/b/recompressed.jpg", &jpeg(1, 5, 90));
    fixture.write("test/b/new.png", &png(4, 5));
    fixture.write("val/a/new.png", &png(5, 6));
    fixture.write("val/b/new.png", &png(5, 7));
    let outcome = fixture.import().unwrap();
    let leaks = &outcome.report.duplicates.leaks;
    assert_eq!(leaks.count, 2, "{leaks:?}");
    assert!(leaks.examples[0].equal);
    assert!(!leaks.examples[1].equal);
    assert!(warns(
        &outcome,
        &["2 groups", "more than one split", "test/a/again.png"]
    ));
    let manifest = fixture.manifest(&outcome);
    assert_eq!(entry(&manifest, "test/a/again.png").split, Split::Test);
}

#[test]
fn what_the_splits_lack_is_pointed_out() {
    let fixture = Fixture::new();
    fixture.paint("train/", 6);
    fixture.write("test/a/1.png", &png(2, 1));
    fixture.write("test/c/1.png", &png(3, 1));
    fixture.write("test/c/2.png", &png(3, 2));
    let outcome = fixture.import().unwrap();
    assert!(warns(&outcome, &["no images in", "`test/b`", "`train/c`"]));
    assert!(
        warns(&outcome, &["no train images of `c`"]),
        "{:?}",
        outcome.report.warnings
    );
}

#[test]
fn a_folder_of_test_images_only_is_taken_as_that() {
    let fixture = Fixture::new();
    fixture.paint("test/", 3);
    let outcome = fixture.import().unwrap();
    assert_eq!(split_counts(&fixture.manifest(&outcome)), [0, 0, 6]);
    assert!(
        warns(&outcome, &["no image to train on"]),
        "{:?}",
        outcome.report.warnings
    );
}
