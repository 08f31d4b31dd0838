use super::*;

/// A tree of empty files; a name that ends in `/` is an empty folder.
fn tree(names: &[&str]) -> Tree {
    let mut tree = Tree::default();
    let mut folders = BTreeSet::new();
    for name in names {
        for (at, _) in name.match_indices('/') {
            folders.insert(name[..at].to_string());
        }
        if !name.ends_with('/') {
            tree.files.push(FoundFile {
                path: PathBuf::from(name),
                name: (*name).to_string(),
                bytes: 0,
                image_like: name.ends_with(".jpg"),
            });
        }
    }
    tree.folders = folders.into_iter().collect();
    tree
}

fn read(names: &[&str]) -> Layout {
    understand(tree(names), Path::new("set"), None).unwrap()
}

fn refusal(names: &[&str]) -> DataError {
    understand(tree(names), Path::new("set"), None).unwrap_err()
}

fn placed(layout: &Layout) -> Vec<(&str, &str, Option<Split>)> {
    layout
        .candidates
        .iter()
        .map(|c| (c.name.as_str(), c.class.as_str(), c.split))
        .collect()
}

#[test]
fn folders_are_classes() {
    let layout = read(&[
        "cat/1.jpg",
        "cat/deep/2.jpg",
        "dog/1.jpg",
        "bird/",
        "README.md",
    ]);
    assert_eq!(
        placed(&layout),
        [
            ("cat/1.jpg", "cat", None),
            ("cat/deep/2.jpg", "cat", None),
            ("dog/1.jpg", "dog", None)
        ]
    );
    assert_eq!(layout.empty_folders, ["bird"]);
    assert_eq!(layout.skipped[0].kind, "other_file");
    assert!(layout.notes.is_empty());
}

#[test]
fn split_folders_are_known_by_their_usual_names_in_any_case() {
    for (folder, split) in [
        ("train", Split::Train),
        ("Training", Split::Train),
        ("VAL", Split::Val),
        ("valid", Split::Val),
        ("Validation", Split::Val),
        ("test", Split::Test),
        ("Testing", Split::Test),
    ] {
        let names = [format!("{folder}/cat/1.jpg"), format!("{folder}/dog/1.jpg")];
        let layout = read(&[&names[0], &names[1]]);
        assert!(
            layout.candidates.iter().all(|c| c.split == Some(split)),
            "{folder}"
        );
    }
}

#[test]
fn what_lies_beside_split_folders_is_reported() {
    let layout = read(&[
        "extra/cat/9.jpg",
        "test/cat/1.jpg",
        "train/cat/1.jpg",
        "train/dog/1.jpg",
        "train/loose.jpg",
    ]);
    assert_eq!(layout.candidates.len(), 3);
    assert_eq!(layout.empty_folders, ["test/dog"]);
    let skipped: Vec<&str> = layout.skipped.iter().map(|s| s.item.as_str()).collect();
    assert_eq!(skipped, ["extra/cat/9.jpg", "train/loose.jpg"]);
    assert_eq!(
        layout.warnings,
        ["`extra` beside the split folders was left out"]
    );
}

#[test]
fn a_class_may_be_called_train() {
    let layout = read(&["bus/1.jpg", "car/1.jpg", "train/1.jpg"]);
    assert_eq!(layout.candidates[2].class, "train");
    assert_eq!(layout.candidates[2].split, None);
}

#[test]
fn a_folder_around_the_classes_is_looked_through_with_a_note() {
    let layout = read(&["README.md", "a/b/with/1.jpg", "a/b/without/1.jpg"]);
    assert_eq!(layout.candidates[0].class, "with");
    assert_eq!(layout.candidates[0].name, "a/b/with/1.jpg");
    assert_eq!(layout.notes.len(), 2);
    let layout = read(&[
        "wrap/train/x/1.jpg",
        "wrap/train/y/1.jpg",
        "wrap/val/x/1.jpg",
    ]);
    assert_eq!(layout.candidates[2].split, Some(Split::Val));
}

#[test]
fn images_without_class_folders_are_refused() {
    assert_eq!(
        refusal(&["1.jpg", "2.jpg"]).kind(),
        DataErrorKind::NoClassFolders
    );
    let error = refusal(&["test/1.jpg", "train/1.jpg"]);
    assert_eq!(error.kind(), DataErrorKind::NoClassFolders);
    assert!(error.hint().unwrap().contains("one folder for each class"));
    assert_eq!(
        refusal(&["cat/1.jpg", "dog/"]).kind(),
        DataErrorKind::TooFewClasses
    );
    assert_eq!(
        refusal(&["cat/tabby/1.jpg"]).kind(),
        DataErrorKind::TooFewClasses
    );
    let error = refusal(&["images/1.jpg", "images/2.jpg"]);
    assert_eq!(error.kind(), DataErrorKind::TooFewClasses);
    assert!(error.hint().unwrap().contains("`labels.csv`"));
}

#[test]
fn an_empty_folder_says_what_was_expected_or_what_to_do() {
    let error = refusal(&["cat/", "dog/notes.txt"]);
    assert_eq!(error.kind(), DataErrorKind::NoImages);
    assert!(error.hint().unwrap().contains("expected one folder"));
    assert!(
        refusal(&["images.dvc"])
            .hint()
            .unwrap()
            .contains("dvc pull")
    );
    assert!(refusal(&["images.zip"]).hint().unwrap().contains("unpack"));
}

#[test]
fn class_names_that_differ_only_in_case_are_pointed_out() {
    let layout = read(&["Cat/1.jpg", "cat/1.jpg"]);
    assert!(layout.warnings[0].contains("differ only in case"));
}

#[test]
fn splits_inside_of_classes_are_pointed_out() {
    let layout = read(&["cat/train/1.jpg", "dog/train/1.jpg"]);
    assert!(
        layout.warnings[0].contains("`cat`, `dog`"),
        "{:?}",
        layout.warnings
    );
}
