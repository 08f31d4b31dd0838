//! Bad files among good ones.

use std::collections::BTreeMap;
use std::fs;

use ferrotype_data::{DataErrorKind, ImportRequest};

use crate::support::{Fixture, shared_data, skipped, warns};

/// What Git leaves of an image that LFS keeps and nobody has fetched.
const LFS_POINTER: &[u8] =
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n";

#[test]
fn bad_files_are_skipped_each_with_its_reason_and_the_good_ones_imported() {
    let fixture = Fixture::new();
    fixture.paint("", 5);
    for (name, bytes) in ferrotype_testkit::images::nasty() {
        fixture.write(format!("a/{name}"), &bytes);
    }
    fixture.write("a/pointer.png", LFS_POINTER);
    fixture.write("b/.DS_Store", b"x");
    fixture.write("b/Thumbs.db", b"x");
    let outcome = fixture.import().unwrap();
    assert_eq!(outcome.version.image_count, 10);
    assert_eq!(
        skipped(&outcome),
        [
            ("corrupt", 1),
            ("empty", 1),
            ("hidden", 2),
            ("lfs_pointer", 1),
            ("not_an_image", 1),
            ("too_many_pixels", 1),
            ("truncated", 1)
        ]
    );
    assert_eq!(outcome.skipped.len(), 8);
    assert!(
        outcome
            .skipped
            .iter()
            .all(|skipped| !skipped.reason.is_empty())
    );
}

#[test]
fn a_file_above_the_size_limit_is_skipped_unread() {
    let fixture = Fixture::new();
    fixture.paint("", 3);
    fixture.write("a/huge.png", &vec![0; 200_000]);
    let request = ImportRequest {
        max_file_bytes: 100_000,
        ..ImportRequest::new(fixture.images(), "set")
    };
    let outcome = fixture.import_as(&request).unwrap();
    assert_eq!(skipped(&outcome), [("file_too_large", 1)]);
}

#[test]
fn a_set_of_pointers_says_how_to_fetch_the_images() {
    let fixture = Fixture::new();
    for name in ["a/1.png", "a/2.png", "b/1.png"] {
        fixture.write(name, LFS_POINTER);
    }
    let error = fixture.import().unwrap_err();
    assert_eq!(error.kind(), DataErrorKind::NoImages);
    assert!(error.to_string().contains("3 lfs_pointer"), "{error}");
    assert!(error.hint().unwrap().contains("git lfs pull"));
}

#[test]
fn a_class_of_unreadable_images_is_left_out_with_a_warning() {
    let fixture = Fixture::new();
    fixture.paint("", 5);
    fixture.write("broken/1.png", b"");
    fixture.write("broken/2.jpg", b"\xff\xd8\xff");
    let outcome = fixture.import().unwrap();
    assert_eq!(outcome.version.classes, ["a", "b"]);
    assert!(warns(&outcome, &["no image of `broken` could be read"]));
}

/// Each file of the shared collection that must decode does, each that must be refused is
/// reported, and nothing panics.
#[test]
fn the_shared_collection_of_nasty_files_is_imported_or_reported_file_by_file() {
    let Some(nasty) = shared_data()
        .map(|data| data.join("nasty"))
        .filter(|path| path.is_dir())
    else {
        return;
    };
    let table = fs::read_to_string(nasty.join("MANIFEST.tsv")).unwrap();
    let mut lines = table
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let column = |name: &str| header.iter().position(|title| *title == name).unwrap();
    let (kind, file, expected) = (column("kind"), column("file"), column("expected"));

    let fixture = Fixture::new();
    let mut expectations = BTreeMap::new();
    for line in lines {
        let name = format!("{}/{}", line[kind], line[file]);
        let bytes = fs::read(nasty.join(&name)).unwrap();
        fixture.write(&name, &bytes);
        expectations.insert(name, line[expected].to_string());
    }
    let outcome = fixture.import().unwrap();
    let manifest = fixture.manifest(&outcome);
    for (name, expected) in &expectations {
        let imported = manifest.entries.iter().any(|entry| entry.path == *name);
        let reported = outcome.skipped.iter().any(|skipped| skipped.item == *name);
        assert!(imported != reported, "{name} must be imported or reported");
        match expected.as_str() {
            "decode" => assert!(imported, "{name} must be imported"),
            "reject" => assert!(reported, "{name} must be refused"),
            _ => {}
        }
    }
    assert_eq!(
        manifest.entries.len() + outcome.skipped.len(),
        expectations.len()
    );
}
