//! Folders whose labels a table names.

use ferrotype_core::dataset::Split;
use ferrotype_core::manifest::Task;
use ferrotype_data::{DataErrorKind, ImportRequest, StoreSource, summary};
use ferrotype_vision::loader::SampleSource;

use crate::support::{Fixture, entry, png, skipped, split_counts, warns};

/// `count` images in `images/`, and a table in which image `i` has label `a` if it is even, `b`
/// if it is a multiple of three.
fn labelled(count: u64) -> Fixture {
    let fixture = Fixture::new();
    let mut table = String::from("file,a,b\n");
    for index in 0..count {
        fixture.write(format!("images/{index:03}.png"), &png(0, index));
        let [a, b] = [index % 2 == 0, index % 3 == 0].map(u8::from);
        table.push_str(&format!("{index:03}.png,{a},{b}\n"));
    }
    fixture.write("labels.csv", table.as_bytes());
    fixture
}

#[test]
fn a_folder_with_a_table_becomes_images_with_labels() {
    let fixture = labelled(60);
    let outcome = fixture.import().unwrap();
    let manifest = fixture.manifest(&outcome);
    assert_eq!(manifest.task, Task::MultiLabel);
    assert_eq!(manifest.classes, ["a", "b"]);
    let labels = |name: &str| entry(&manifest, name).labels().to_vec();
    assert_eq!(labels("images/000.png"), [0, 1]);
    assert!(labels("images/001.png").is_empty());
    assert_eq!(labels("images/003.png"), [1]);
    let report = &outcome.report;
    assert_eq!(report.task(), Task::MultiLabel);
    assert_eq!(report.splits().total(), 60);
    assert_eq!(report.classes[0].total(), 30);
    assert_eq!(report.labelling.as_ref().unwrap().unlabelled.total(), 20);
    assert!(skipped(&outcome).is_empty(), "{:?}", report.skipped);
    assert!(
        report.notes[0].contains("`labels.csv`"),
        "{:?}",
        report.notes
    );
    for (label, expected) in [(0, 21), (1, 14)] {
        let train = manifest.entries_in(Split::Train);
        let found = train
            .filter(|entry| entry.labels().contains(&label))
            .count();
        assert!(found.abs_diff(expected) <= 1, "{label}: {found}");
    }
    let shown = summary(&fixture.store, &outcome.version).unwrap();
    assert_eq!(shown.splits.total(), 60);
    assert_eq!(shown.unlabelled.unwrap().total(), 20);
    assert!(!fixture.import().unwrap().created);
    let source = StoreSource::open(&fixture.store, &outcome.version, Split::Train).unwrap();
    assert!((0..source.len()).all(|index| source.label_set(index).is_some()));
}

#[test]
fn other_labels_are_another_version() {
    let fixture = labelled(12);
    let first = fixture.import().unwrap();
    let table = std::fs::read_to_string(fixture.images().join("labels.csv")).unwrap();
    fixture.write(
        "labels.csv",
        table.replace("001.png,0,0", "001.png,0,1").as_bytes(),
    );
    let second = fixture.import().unwrap();
    assert!(second.created);
    assert_ne!(first.version.digest, second.version.digest);
}

#[test]
fn rows_without_an_image_and_images_without_a_row_are_reported() {
    let fixture = labelled(12);
    fixture.write("images/extra.png", &png(1, 3));
    let table = std::fs::read_to_string(fixture.images().join("labels.csv")).unwrap();
    fixture.write("labels.csv", (table + "gone.png,1,1\n").as_bytes());
    let outcome = fixture.import().unwrap();
    assert_eq!(skipped(&outcome), [("missing_file", 1), ("no_labels", 1)]);
    assert_eq!(outcome.skipped[0].item, "gone.png");
    assert!(
        outcome.skipped[0].reason.contains("line 14"),
        "{:?}",
        outcome.skipped[0]
    );
}

#[test]
fn what_the_table_leaves_open_is_refused() {
    let refusal = |change: &dyn Fn(&Fixture, String)| {
        let fixture = labelled(6);
        let table = std::fs::read_to_string(fixture.images().join("labels.csv")).unwrap();
        change(&fixture, table);
        let error = fixture.import().unwrap_err();
        assert_eq!(error.kind(), DataErrorKind::LabelTable);
        error.to_string()
    };
    let twice = refusal(&|fixture, table| {
        fixture.write("labels.csv", (table + "images/002.png,1,1\n").as_bytes());
    });
    assert!(
        twice.contains("lines 4 and 8 are both of `images/002.png`"),
        "{twice}"
    );
    let ambiguous = refusal(&|fixture, _| fixture.write("images/more/000.png", &png(2, 9)));
    assert!(
        ambiguous.contains("`000.png` in line 2 may be `images/000.png` or `images/more/000.png`"),
        "{ambiguous}"
    );
    let unknown = refusal(&|fixture, table| {
        fixture.write(
            "labels.csv",
            table.replace("001.png,0,0", "001.png,0,yes").as_bytes(),
        );
    });
    assert!(unknown.contains("`b` in line 3 is `yes`"), "{unknown}");
    let none = refusal(&|fixture, _| fixture.write("labels.csv", b"file,a,b\nx.png,1,0\n"));
    assert!(
        none.contains("none of the 1 images that it names"),
        "{none}"
    );
}

#[test]
fn a_table_elsewhere_lists_names_and_splits() {
    let fixture = Fixture::new();
    let mut table = String::from("Image Index,Finding Labels,split\n");
    for index in 0..9_u64 {
        // Two folders, as ChestX-ray14 has twelve, which are no classes.
        let folder = index % 2;
        fixture.write(format!("images_00{folder}/{index}.png"), &png(0, index));
        let labels = ["Mass|Nodule", "Nodule", "No Finding"][(index % 3) as usize];
        let split = ["train", "val", "test"][(index / 3) as usize];
        table.push_str(&format!("{index}.png,{labels},{split}\n"));
    }
    let path = fixture.folder.path().join("entries.csv");
    std::fs::write(&path, table).unwrap();
    let request = ImportRequest {
        labels: Some(path),
        ..ImportRequest::new(fixture.images(), "chest")
    };
    let outcome = fixture.import_as(&request).unwrap();
    let manifest = fixture.manifest(&outcome);
    assert_eq!(manifest.classes, ["Mass", "Nodule"]);
    assert_eq!(split_counts(&manifest), [3, 3, 3]);
    assert_eq!(manifest.split.assigned, None);
    let gone = ImportRequest {
        labels: Some(fixture.folder.path().join("gone.csv")),
        ..request
    };
    let error = fixture.import_as(&gone).unwrap_err();
    assert!(
        error.to_string().contains("there is no such file"),
        "{error}"
    );
}

#[test]
fn split_folders_around_the_images_count_where_the_table_says_nothing() {
    let fixture = Fixture::new();
    let mut table = String::from("file,labels\n");
    for (folder, count) in [("train", 8_u64), ("test", 4)] {
        for index in 0..count {
            let class = usize::from(folder == "test");
            fixture.write(format!("{folder}/{index}.png"), &png(class, index));
            table.push_str(&format!(
                "{folder}/{index}.png,{}\n",
                ["x", "x;y"][index as usize % 2]
            ));
        }
    }
    fixture.write("labels.csv", table.as_bytes());
    let manifest = fixture.manifest(&fixture.import().unwrap());
    assert_eq!(manifest.entries_in(Split::Test).count(), 4);
    assert!(
        manifest
            .entries_in(Split::Test)
            .all(|entry| entry.path.starts_with("test/"))
    );
}

#[test]
fn class_folders_stay_classes_beside_a_table() {
    let fixture = Fixture::new();
    fixture.paint("", 10);
    let before = fixture.import().unwrap().version.digest;
    fixture.write("labels.csv", b"file,x,y\n000.png,1,0\n");
    let outcome = fixture.import().unwrap();
    assert_eq!(outcome.version.digest, before);
    assert_eq!(outcome.report.task(), Task::Classification);
    assert!(warns(&outcome, &["`labels.csv` was not read", "--labels"]));
}

#[test]
fn equal_images_with_other_labels_are_told() {
    let fixture = labelled(12);
    fixture.write("images/copy.png", &png(0, 1));
    let table = std::fs::read_to_string(fixture.images().join("labels.csv")).unwrap();
    fixture.write("labels.csv", (table + "copy.png,1,0\n").as_bytes());
    let outcome = fixture.import().unwrap();
    assert_eq!(outcome.report.duplicates.label_conflicts.count, 1);
}
