//! Which folders are classes and which are splits, or which table names the labels.

mod labels;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ferrotype_core::dataset::Split;
use ferrotype_core::report::Skipped;

use crate::detection;
use crate::error::{DataError, DataErrorKind};
use crate::label_table;
use crate::walk::{FoundFile, Tree};

/// A file that its place gives a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Where to read it.
    pub(crate) path: PathBuf,
    /// Its path below the imported folder.
    pub(crate) name: String,
    /// Its size when it was found.
    pub(crate) bytes: u64,
    /// Name of its class; empty where images may have several labels.
    pub(crate) class: String,
    /// Names of its labels, where images may have several.
    pub(crate) labels: Option<BTreeSet<String>>,
    /// The split that its folder or the table of labels names.
    pub(crate) split: Option<Split>,
}

/// A folder of images, read as classes and splits.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// The files to import, sorted by name.
    pub(crate) candidates: Vec<Candidate>,
    /// Names of the labels, sorted, where images may have several.
    pub(crate) label_names: Option<Vec<String>>,
    /// Classes and split folders without an image: `test/dog`.
    pub(crate) empty_folders: Vec<String>,
    /// Files that no class or split folder holds, or that are no images.
    pub(crate) skipped: Vec<Skipped>,
    /// How the folder was understood.
    pub(crate) notes: Vec<String>,
    /// What the user should know.
    pub(crate) warnings: Vec<String>,
}

/// The kind of skipped files that nobody would take for an image.
pub(crate) const OTHER_FILE: &str = "other_file";

/// How many folders around the class folders are looked through.
const MAX_WRAPPERS: usize = 8;

/// What lies in one folder, counted per folder directly inside.
#[derive(Debug, Default)]
struct Survey {
    /// Images directly in the folder.
    loose_images: u64,
    /// The folders directly inside, empty ones too.
    children: BTreeMap<String, Child>,
}

#[derive(Debug, Default)]
struct Child {
    /// Images directly in it.
    direct_images: u64,
    /// Folders directly inside it that hold images at any depth.
    folders_with_images: BTreeSet<String>,
}

impl Child {
    fn has_images(&self) -> bool {
        self.direct_images > 0 || !self.folders_with_images.is_empty()
    }

    /// Whether it holds folders of images and no image of its own, as a split or a wrapper does.
    fn holds_only_folders(&self) -> bool {
        self.direct_images == 0 && !self.folders_with_images.is_empty()
    }
}

/// The part of `name` below the folder `base` (empty for the imported folder itself).
fn below<'a>(name: &'a str, base: &str) -> Option<&'a str> {
    if base.is_empty() {
        return Some(name);
    }
    name.strip_prefix(base)?.strip_prefix('/')
}

fn join(base: &str, name: &str) -> String {
    match base {
        "" => name.to_string(),
        base => format!("{base}/{name}"),
    }
}

fn survey(tree: &Tree, base: &str) -> Survey {
    let mut survey = Survey::default();
    for folder in tree.folders.iter().filter_map(|name| below(name, base)) {
        if !folder.contains('/') {
            survey.children.entry(folder.to_string()).or_default();
        }
    }
    for file in tree.files.iter().filter(|file| file.image_like) {
        let Some(rest) = below(&file.name, base) else {
            continue;
        };
        let parts: Vec<&str> = rest.splitn(3, '/').collect();
        match parts.as_slice() {
            [folder, sub, _] => {
                let child = survey.children.entry((*folder).to_string()).or_default();
                child.folders_with_images.insert((*sub).to_string());
            }
            [folder, _] => {
                let child = survey.children.entry((*folder).to_string()).or_default();
                child.direct_images += 1;
            }
            _ => survey.loose_images += 1,
        }
    }
    survey
}

/// The split that a folder's name stands for, in any case: `train`, `Training`, `valid` …
pub(crate) fn split_alias(folder: &str) -> Option<Split> {
    match folder.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Split::Train),
        "val" | "valid" | "validation" => Some(Split::Val),
        "test" | "testing" => Some(Split::Test),
        _ => None,
    }
}

/// Reads a folder as an ImageFolder, with or without split folders, or by a table of labels: the
/// one that is given, or a `labels.csv` in a folder that has no class folders.
///
/// `root` is only for messages.
pub(crate) fn understand(
    tree: Tree,
    root: &Path,
    table: Option<&Path>,
) -> Result<Layout, DataError> {
    let mut layout = Layout {
        skipped: tree.skipped.clone(),
        ..Layout::default()
    };
    let (base, survey) = unwrap_folders(&tree, &mut layout);
    let has_split_folders = survey
        .children
        .iter()
        .any(|(name, child)| split_alias(name).is_some() && child.holds_only_folders());
    let class_names = class_names(&tree, &base, &survey, has_split_folders);
    let own_table = tree
        .files
        .iter()
        .find(|file| file.name == join(&base, label_table::FILE_NAME))
        .map(|file| file.path.clone());
    if let Some(table) = table {
        return labels::take(tree, &base, table, root, layout);
    }
    match own_table {
        Some(table) if !names_classes(&class_names, &survey) => {
            return labels::take(tree, &base, &table, root, layout);
        }
        Some(table) => layout.warnings.push(format!(
            "`{}` was not read, since the folders name classes; `--labels {}` takes the labels from it",
            label_table::FILE_NAME,
            table.display()
        )),
        None => {}
    }
    let annotations = detection::find_annotations(&tree);
    match annotations {
        Some(found) if found.explains(&class_names) => return Err(found.refusal(root)),
        Some(found) => layout.warnings.push(found.ignored()),
        None => {}
    }
    check_classes(&tree, &survey, &class_names, root)?;
    if has_split_folders {
        take_splits(tree, &base, &survey, &class_names, &mut layout);
    } else {
        take_classes(tree, &base, &survey, &mut layout);
    }
    warn_about_names(&class_names, &mut layout);
    Ok(layout)
}

/// Goes down through folders that hold nothing but one folder of folders, such as `dataset/`.
fn unwrap_folders(tree: &Tree, layout: &mut Layout) -> (String, Survey) {
    let mut base = String::new();
    for _ in 0..MAX_WRAPPERS {
        let found = survey(tree, &base);
        let mut with_images = found
            .children
            .iter()
            .filter(|(_, child)| child.has_images());
        let (Some((name, child)), None) = (with_images.next(), with_images.next()) else {
            return (base, found);
        };
        let is_wrapper =
            found.loose_images == 0 && child.holds_only_folders() && split_alias(name).is_none();
        if !is_wrapper {
            return (base, found);
        }
        base = join(&base, name);
        layout.notes.push(format!(
            "all images lie below `{base}`: it was taken as the dataset's folder"
        ));
    }
    let found = survey(tree, &base);
    (base, found)
}

fn class_names(
    tree: &Tree,
    base: &str,
    found: &Survey,
    has_split_folders: bool,
) -> BTreeSet<String> {
    let with_images = found
        .children
        .iter()
        .filter(|(_, child)| child.has_images());
    if !has_split_folders {
        return with_images.map(|(name, _)| name.clone()).collect();
    }
    with_images
        .filter(|(name, _)| split_alias(name).is_some())
        .flat_map(|(name, _)| {
            survey(tree, &join(base, name))
                .children
                .into_iter()
                .filter(|(_, child)| child.has_images())
                .map(|(class, _)| class)
        })
        .collect()
}

/// Refuses a folder that has no image, no class folder, or just one.
fn check_classes(
    tree: &Tree,
    found: &Survey,
    classes: &BTreeSet<String>,
    root: &Path,
) -> Result<(), DataError> {
    let shown = root.display();
    let expected = "expected one folder for each class, such as `cat/1.jpg` and `dog/1.jpg`, or \
                    the same below `train`, `val` and `test`; or beside the images a table \
                    `labels.csv` with a line for each, as `1.jpg,cat` (docs/multi-label.md)";
    let images = tree.files.iter().filter(|file| file.image_like).count();
    if images == 0 {
        return Err(DataError::new(
            DataErrorKind::NoImages,
            format!("`{shown}` holds no images"),
        )
        .with_path(root)
        .with_hint(no_images_hint(tree, expected)));
    }
    if classes.is_empty() || only_split_names(found, classes) {
        return Err(DataError::new(
            DataErrorKind::NoClassFolders,
            format!("`{shown}` holds {images} images, but no folders that name their classes"),
        )
        .with_path(root)
        .with_hint(expected));
    }
    if classes.len() == 1 {
        let only = classes.first().map_or("", String::as_str);
        return Err(DataError::new(
            DataErrorKind::TooFewClasses,
            format!("`{shown}` holds images of a single class, `{only}`; a classifier needs two"),
        )
        .with_path(root)
        .with_hint(expected));
    }
    Ok(())
}

/// Whether all folders of images are splits without classes inside.
fn only_split_names(found: &Survey, classes: &BTreeSet<String>) -> bool {
    !classes.is_empty()
        && classes.iter().all(|name| split_alias(name).is_some())
        && found
            .children
            .iter()
            .all(|(_, child)| child.folders_with_images.is_empty())
}

/// Whether the folders name two classes or more.
fn names_classes(classes: &BTreeSet<String>, found: &Survey) -> bool {
    classes.len() >= 2 && !only_split_names(found, classes)
}

fn no_images_hint(tree: &Tree, expected: &str) -> String {
    let pointer = tree.files.iter().find(|file| file.name.ends_with(".dvc"));
    let archive = tree.files.iter().find(|file| {
        [".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar"]
            .iter()
            .any(|extension| file.name.to_ascii_lowercase().ends_with(extension))
    });
    let outside = tree
        .skipped
        .iter()
        .any(|skipped| skipped.kind == "link_outside");
    if let Some(pointer) = pointer {
        return format!(
            "`{}` stands for data that DVC keeps: run `dvc pull` first",
            pointer.name
        );
    }
    if let Some(archive) = archive {
        return format!("unpack `{}` first", archive.name);
    }
    if outside {
        return "the links that lead out of the folder are not followed: copy the files in".into();
    }
    expected.to_string()
}

/// Sorts the files of `base/SPLIT/CLASS/…`.
fn take_splits(
    tree: Tree,
    base: &str,
    found: &Survey,
    classes: &BTreeSet<String>,
    layout: &mut Layout,
) {
    let names: Vec<&String> = found
        .children
        .keys()
        .filter(|name| split_alias(name).is_some())
        .collect();
    layout.notes.push(format!(
        "splits were taken from the folders {}",
        quoted(&names)
    ));
    let outside: Vec<&String> = found
        .children
        .iter()
        .filter(|(name, child)| split_alias(name).is_none() && child.has_images())
        .map(|(name, _)| name)
        .collect();
    if !outside.is_empty() {
        layout.warnings.push(format!(
            "{} beside the split folders {} left out",
            quoted(&outside),
            if outside.len() == 1 { "was" } else { "were" }
        ));
    }
    let mut present = BTreeSet::new();
    for file in tree.files {
        let Some(rest) = below(&file.name, base) else {
            layout.skip_outside(file);
            continue;
        };
        let parts: Vec<&str> = rest.splitn(3, '/').collect();
        let place = match parts.as_slice() {
            [folder, class, _] => split_alias(folder).map(|split| (*folder, *class, split)),
            _ => None,
        };
        let Some((folder, class, split)) = place else {
            layout.skip_outside(file);
            continue;
        };
        if file.image_like {
            present.insert((folder.to_string(), class.to_string()));
        }
        let class = class.to_string();
        layout.take(file, class, Some(split));
    }
    for name in names {
        for class in classes {
            if !present.contains(&(name.clone(), class.clone())) {
                layout.empty_folders.push(format!("{name}/{class}"));
            }
        }
    }
}

/// Sorts the files of `base/CLASS/…`.
fn take_classes(tree: Tree, base: &str, found: &Survey, layout: &mut Layout) {
    let splits_below: Vec<&String> = found
        .children
        .iter()
        .filter(|(_, child)| {
            child
                .folders_with_images
                .iter()
                .any(|name| split_alias(name).is_some())
        })
        .map(|(name, _)| name)
        .collect();
    if !splits_below.is_empty() {
        layout.warnings.push(format!(
            "split folders inside of the class folders {} are not read as splits; put them \
             outside, as `train/CLASS`, to use them",
            quoted(&splits_below)
        ));
    }
    for file in tree.files {
        let class = below(&file.name, base)
            .and_then(|rest| rest.split_once('/'))
            .map(|(class, _)| class.to_string());
        match class {
            Some(class) => layout.take(file, class, None),
            None => layout.skip_outside(file),
        }
    }
    layout.empty_folders.extend(
        found
            .children
            .iter()
            .filter(|(_, child)| !child.has_images())
            .map(|(name, _)| join(base, name)),
    );
}

fn warn_about_names(classes: &BTreeSet<String>, layout: &mut Layout) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for class in classes {
        if let Some(other) = seen.insert(class.trim().to_lowercase(), class) {
            layout.warnings.push(format!(
                "the classes `{other}` and `{class}` differ only in case or blanks; they are kept apart"
            ));
        }
    }
}

impl Layout {
    fn take(&mut self, file: FoundFile, class: String, split: Option<Split>) {
        if file.image_like {
            self.candidates.push(Candidate {
                path: file.path,
                name: file.name,
                bytes: file.bytes,
                class,
                labels: None,
                split,
            });
        } else {
            self.skip_other(file);
        }
    }

    /// Leaves out an image that no class folder holds.
    fn skip_outside(&mut self, file: FoundFile) {
        if file.image_like {
            self.skip(
                file.name,
                "outside_class_folders",
                "not in a folder that names a class",
            );
        } else {
            self.skip_other(file);
        }
    }

    /// Leaves out a file that nobody would take for an image, such as a README.
    fn skip_other(&mut self, file: FoundFile) {
        self.skip(
            file.name,
            OTHER_FILE,
            "neither named nor made like an image",
        );
    }

    fn skip(&mut self, item: String, kind: &str, reason: &str) {
        self.skipped.push(Skipped {
            item,
            kind: kind.to_string(),
            reason: reason.to_string(),
        });
    }
}

/// Names for a sentence, the first few of them: `` `a`, `b` and 3 more ``.
pub(crate) fn quoted<T: AsRef<str>>(names: &[T]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{}`", name.as_ref()))
        .collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests;
