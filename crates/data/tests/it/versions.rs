//! What makes a version, and which images share a split.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ferrotype_core::dataset::Split;
use ferrotype_data::{DataErrorKind, ImportRequest, SplitRatios, Stage, import_folder, summary};

use crate::support::{Fixture, entry, jpeg, png, skipped, split_counts, wait, warns};

#[test]
fn the_same_folder_is_the_same_version_and_a_changed_file_makes_another() {
    let fixture = Fixture::new();
    fixture.paint("", 10);
    let first = fixture.import().unwrap();
    assert!(first.created);
    assert_eq!(first.version.version, 1);
    assert_eq!(first.version.classes, ["a", "b"]);
    assert_eq!(first.version.image_count, 20);

    let again = fixture.import().unwrap();
    assert!(!again.created);
    assert_eq!(again.version.id, first.version.id);

    fixture.write("a/000.png", &png(2, 99));
    let changed = fixture.import().unwrap();
    assert!(changed.created);
    assert_eq!(changed.version.version, 2);

    fixture.write("a/000.png", &png(0, 0));
    let restored = fixture.import().unwrap();
    assert_eq!((restored.created, restored.version.version), (false, 1));
}

#[test]
fn another_seed_or_other_ratios_make_another_version() {
    let fixture = Fixture::new();
    fixture.paint("", 20);
    let first = fixture.import().unwrap();
    let request = ImportRequest::new(fixture.images(), "set");
    let seeded = fixture
        .import_as(&ImportRequest {
            seed: 1,
            ..request.clone()
        })
        .unwrap();
    let ratios = SplitRatios::new(50.0, 25.0, 25.0).unwrap();
    let halved = fixture
        .import_as(&ImportRequest { ratios, ..request })
        .unwrap();
    assert_eq!(split_counts(&fixture.manifest(&first)), [28, 6, 6]);
    assert_eq!(split_counts(&fixture.manifest(&seeded)), [28, 6, 6]);
    assert_eq!(split_counts(&fixture.manifest(&halved)), [20, 10, 10]);
    assert_eq!((seeded.version.version, halved.version.version), (2, 3));
}

#[test]
fn a_copy_of_the_folder_under_another_name_has_the_same_identity() {
    let fixture = Fixture::new();
    fixture.paint("", 4);
    let first = fixture.import().unwrap();
    let moved = fixture.folder.path().join("moved");
    fs::rename(fixture.images(), &moved).unwrap();
    let other = fixture
        .import_as(&ImportRequest::new(moved, "other"))
        .unwrap();
    assert!(other.created);
    assert_eq!(other.version.digest, first.version.digest);
}

#[test]
fn files_that_are_no_images_do_not_change_the_version() {
    let fixture = Fixture::new();
    fixture.paint("", 4);
    let first = fixture.import().unwrap();
    fixture.write("README.md", b"about");
    fixture.write("a/broken.png", b"\x89PNG\r\n\x1a\nno more");
    let again = fixture.import().unwrap();
    assert_eq!(again.version.id, first.version.id);
    assert_eq!(again.skipped.len(), 2);
}

#[test]
fn equal_images_and_look_alikes_never_straddle_splits() {
    let fixture = Fixture::new();
    fixture.paint("", 60);
    for index in 0..30 {
        fixture.write(format!("a/copy_{index:03}.png"), &png(0, index));
        fixture.write(
            format!("b/recompressed_{index:03}.jpg"),
            &jpeg(1, index, 85),
        );
    }
    let outcome = fixture.import().unwrap();
    let manifest = fixture.manifest(&outcome);
    for index in 0..30 {
        let split = |path: String| entry(&manifest, &path).split;
        assert_eq!(
            split(format!("a/{index:03}.png")),
            split(format!("a/copy_{index:03}.png"))
        );
        assert_eq!(
            split(format!("b/{index:03}.png")),
            split(format!("b/recompressed_{index:03}.jpg")),
            "{index}"
        );
    }
    let duplicates = &outcome.report.duplicates;
    assert_eq!(duplicates.equal_images, 30);
    assert_eq!(duplicates.equal.count, 30);
    assert_eq!(duplicates.alike.count, 30);
    assert_eq!(duplicates.leaks.count, 0);
    let [train, val, test] = split_counts(&manifest);
    assert_eq!(train + val + test, 180);
    assert!(
        (24..=30).contains(&val) && (24..=30).contains(&test),
        "{val} {test}"
    );
}

#[test]
fn a_large_cluster_of_look_alikes_is_reported_and_split_all_the_same() {
    let fixture = Fixture::new();
    fixture.paint("", 40);
    for shade in 0..30_u8 {
        // Nearly black images that differ in a single pixel.
        let mut image = ferrotype_vision::RgbImage::filled(32, 32, [2, 2, 2]);
        image.pixels[usize::from(shade) * 3] = 9;
        let bytes = ferrotype_vision::encode::png(&image).unwrap();
        fixture.write(format!("a/black_{shade:02}.png"), &bytes);
    }
    let outcome = fixture.import().unwrap();
    assert_eq!(outcome.report.duplicates.too_large.count, 1);
    assert_eq!(outcome.report.duplicates.too_large.examples[0].size, 30);
    assert!(warns(
        &outcome,
        &["30 images look the same", "a/black_00.png"]
    ));
    let manifest = fixture.manifest(&outcome);
    let tested = manifest
        .entries_in(Split::Test)
        .filter(|e| e.path.contains("black"))
        .count();
    assert!(tested > 0);
}

#[test]
fn a_class_with_one_image_is_a_warning_and_goes_to_train() {
    let fixture = Fixture::new();
    fixture.paint("", 10);
    fixture.write("rare/only.png", &png(3, 0));
    let outcome = fixture.import().unwrap();
    assert_eq!(
        entry(&fixture.manifest(&outcome), "rare/only.png").split,
        Split::Train
    );
    assert!(
        warns(&outcome, &["a single image of `rare`"]),
        "{:?}",
        outcome.report.warnings
    );
    assert_eq!(
        outcome.report.warnings.len(),
        1,
        "{:?}",
        outcome.report.warnings
    );
}

#[test]
fn equal_images_with_different_labels_are_reported() {
    let fixture = Fixture::new();
    fixture.paint("", 8);
    fixture.write("b/stray.png", &png(0, 3));
    let outcome = fixture.import().unwrap();
    assert_eq!(outcome.report.duplicates.label_conflicts.count, 1);
    assert!(warns(
        &outcome,
        &[
            "more than one class",
            "`a/003.png` (a)",
            "`b/stray.png` (b)"
        ]
    ));
}

#[test]
fn an_import_that_is_cut_short_leaves_no_version() {
    let fixture = Fixture::new();
    fixture.paint("", 5);
    let request = ImportRequest::new(fixture.images(), "set");
    for stage in [Stage::Reading, Stage::Comparing, Stage::Recording] {
        let cut_short = catch_unwind(AssertUnwindSafe(|| {
            wait(import_folder(&request, &fixture.store, &mut |progress| {
                assert!(progress.stage != stage, "killed");
            }))
        }));
        assert!(cut_short.is_err());
        assert!(wait(fixture.store.dataset_versions()).unwrap().is_empty());
    }
    assert!(fixture.import().unwrap().created);
}

#[test]
fn progress_counts_up_to_the_number_of_files() {
    let fixture = Fixture::new();
    fixture.paint("", 7);
    let mut told = Vec::new();
    let request = ImportRequest::new(fixture.images(), "set");
    wait(import_folder(&request, &fixture.store, &mut |progress| {
        told.push(progress)
    }))
    .unwrap();
    let reading: Vec<(u64, u64)> = told
        .iter()
        .filter(|progress| progress.stage == Stage::Reading)
        .map(|progress| (progress.done, progress.total))
        .collect();
    assert_eq!(reading.first(), Some(&(0, 14)));
    assert_eq!(reading.last(), Some(&(14, 14)));
}

#[test]
fn a_name_that_cannot_be_used_is_refused_before_anything_is_read() {
    let fixture = Fixture::new();
    let request = ImportRequest::new(fixture.images(), "my data");
    let error = fixture.import_as(&request).unwrap_err();
    assert_eq!(error.kind(), DataErrorKind::InvalidRequest);
    assert!(error.hint().is_some());
}

#[test]
fn the_summary_tells_what_the_import_found() {
    let fixture = Fixture::new();
    fixture.paint("", 20);
    fixture.write("a/notes.txt", b"not an image");
    let outcome = fixture.import().unwrap();
    assert_eq!(skipped(&outcome), [("other_file", 1)]);
    let summary = summary(&fixture.store, &outcome.version).unwrap();
    assert_eq!(summary.dataset, "set@v1");
    assert_eq!(
        (
            summary.splits.train,
            summary.splits.val,
            summary.splits.test
        ),
        (28, 6, 6)
    );
    assert_eq!(summary.statistics.sizes[0].name, "48×48");
    assert_eq!(summary.statistics.modes[0].name, "RGB");
    assert_eq!(summary.samples.len(), 2);
    assert_eq!(summary.samples[0].images.len(), 3);
    assert_eq!(summary.skipped[0].examples[0].item, "a/notes.txt");
    assert!(
        summary
            .statistics
            .std
            .iter()
            .all(|std| (0.01..0.5).contains(std))
    );
    assert!(summary.notes[0].contains("70/15/15"));
}
