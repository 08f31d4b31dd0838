//! Real datasets, where the project has them: every count as in their README files.

use ferrotype_data::{DataErrorKind, ImportRequest};

use crate::support::{Fixture, shared_data, split_counts};

/// Folder, classes, images in the training folder (none: flat), images in the test folder.
const SETS: [(&str, usize, usize, usize); 5] = [
    ("cifake", 2, 4000, 1000),
    ("chest_xray", 2, 1620, 250),
    ("uc_merced", 21, 1260, 209),
    ("brain_mri", 4, 1000, 200),
    ("face_mask_cls", 2, 0, 440),
];

#[test]
fn real_sets_are_imported_with_the_counts_of_their_readmes() {
    let Some(data) = shared_data() else { return };
    for (name, classes, train, test) in SETS.into_iter().filter(|set| data.join(set.0).is_dir()) {
        let fixture = Fixture::new();
        let outcome = fixture
            .import_as(&ImportRequest::new(data.join(name), name))
            .unwrap();
        let manifest = fixture.manifest(&outcome);
        assert_eq!(manifest.classes.len(), classes, "{name}");
        assert_eq!(
            manifest.entries.len(),
            train + test,
            "{name}: {:?}",
            outcome.skipped
        );
        let bad = outcome
            .skipped
            .iter()
            .find(|skipped| skipped.kind != "other_file");
        assert!(bad.is_none(), "{name}: {bad:?}");
        let [in_train, in_val, in_test] = split_counts(&manifest);
        let share = in_val as f64 / (in_train + in_val) as f64;
        assert!((0.16..0.20).contains(&share), "{name}: {share}");
        if train > 0 {
            assert_eq!((in_train + in_val, in_test), (train, test), "{name}");
        } else {
            assert!(
                outcome.report.notes[0].contains("`dataset`"),
                "{:?}",
                outcome.report.notes
            );
        }
    }
}

#[test]
fn real_sets_of_boxes_are_refused() {
    let Some(data) = shared_data() else { return };
    for name in [
        "bccd_voc",
        "brain_tumor_yolo",
        "facemask_coco",
        "raccoon_voc",
    ] {
        if !data.join(name).is_dir() {
            continue;
        }
        let fixture = Fixture::new();
        let error = fixture
            .import_as(&ImportRequest::new(data.join(name), name))
            .unwrap_err();
        assert_eq!(
            error.kind(),
            DataErrorKind::DetectionLayout,
            "{name}: {error}"
        );
    }
}
