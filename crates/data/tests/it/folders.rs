//! Folders that cannot be imported as they are.

use std::fs;

use ferrotype_data::{DataError, DataErrorKind};

use crate::support::{Fixture, png, skipped};

/// Names and bytes of a layout's files.
type Files<'a> = &'a [(&'a str, &'a [u8])];

fn refusal(fixture: &Fixture, kind: DataErrorKind) -> DataError {
    let error = fixture.import().unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.hint().is_some(), "{error}");
    error
}

#[test]
fn a_folder_that_is_missing_or_empty_is_refused() {
    let fixture = Fixture::new();
    refusal(&fixture, DataErrorKind::NotFound);
    fs::create_dir(fixture.images()).unwrap();
    refusal(&fixture, DataErrorKind::NoImages);
}

#[test]
fn images_without_class_folders_are_refused() {
    let fixture = Fixture::new();
    fixture.write("1.png", &png(0, 0));
    fixture.write("2.png", &png(0, 1));
    let error = refusal(&fixture, DataErrorKind::NoClassFolders);
    assert!(error.to_string().contains("holds 2 images"));
}

#[test]
fn datasets_of_boxes_are_refused_by_name() {
    let image = png(0, 0);
    let coco = br#"{"images": [], "annotations": [], "categories": []}"#;
    let voc = b"<annotation><size></size><object><bndbox></bndbox></object></annotation>";
    let layouts: [(&str, Files<'_>); 4] = [
        (
            "COCO",
            &[
                ("annotations/train.json", coco),
                ("train2017/1.png", &image),
                ("val2017/1.png", &image),
            ],
        ),
        (
            "Pascal VOC",
            &[("Annotations/1.xml", voc), ("JPEGImages/1.png", &image)],
        ),
        (
            "YOLO",
            &[
                (
                    "data.yaml",
                    b"train: ../train/images\nnc: 1\nnames: ['x']\n",
                ),
                ("train/images/1.png", &image),
                ("train/labels/1.txt", b"0 0.5 0.5 0.1 0.1\n"),
                ("valid/images/1.png", &image),
            ],
        ),
        (
            "YOLO",
            &[
                ("images/1.png", &image),
                ("labels/1.txt", b"0 0.5 0.5 0.1 0.1\n"),
            ],
        ),
    ];
    for (format, files) in layouts {
        let fixture = Fixture::new();
        for (name, bytes) in files {
            fixture.write(name, bytes);
        }
        let error = refusal(&fixture, DataErrorKind::DetectionLayout);
        assert!(error.to_string().contains(format), "{error}");
        assert!(error.hint().unwrap().contains("not supported yet"));
    }
}

#[cfg(unix)]
#[test]
fn odd_names_are_kept_apart() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let fixture = Fixture::new();
    fixture.paint("", 3);
    for (index, name) in [
        &b"\xff.png"[..],
        b"\xfe.png",
        b"a (1) [2] {3}*?.png",
        b"new\nline.png",
    ]
    .into_iter()
    .enumerate()
    {
        let path = fixture.images().join("a").join(OsStr::from_bytes(name));
        fs::write(path, png(2, index as u64)).unwrap();
    }
    let outcome = fixture.import().unwrap();
    let manifest = fixture.manifest(&outcome);
    let paths: Vec<&str> = manifest
        .entries
        .iter()
        .map(|entry| entry.path.as_str())
        .collect();
    for expected in [
        "a/\\xfe.png",
        "a/\\xff.png",
        "a/a (1) [2] {3}*?.png",
        "a/new\\x0aline.png",
    ] {
        assert!(paths.contains(&expected), "{paths:?}");
    }
    assert_eq!(paths.len(), 10);
}

#[cfg(unix)]
#[test]
fn links_that_lead_out_are_reported_and_not_followed() {
    let fixture = Fixture::new();
    fixture.paint("", 3);
    let secret = fixture.folder.path().join("secret.png");
    fs::write(&secret, png(4, 0)).unwrap();
    std::os::unix::fs::symlink(&secret, fixture.images().join("a/link.png")).unwrap();
    std::os::unix::fs::symlink(fixture.images(), fixture.images().join("a/round")).unwrap();
    let outcome = fixture.import().unwrap();
    assert_eq!(outcome.version.image_count, 6);
    assert_eq!(
        skipped(&outcome),
        [("link_outside", 1), ("link_to_folder", 1)]
    );
}
