//! What an import tells its user: duplicates, leaks between splits, classes that are too small.

use std::collections::BTreeSet;

use ferrotype_core::dataset::{ImageEntry, Split};
use ferrotype_core::manifest::Task;
use ferrotype_core::report::BulkReport;

use crate::duplicates::Groups;
use crate::error::{DataError, DataErrorKind};
use crate::import::ImportRequest;
use crate::layout::{Layout, OTHER_FILE, quoted};
use crate::manifest::DatasetManifest;
use crate::report::{ClassCounts, DuplicateReport, GroupMember, ImageGroup};
use crate::split::SplitPolicy;
use crate::walk::HIDDEN;

/// Images named of each group.
const SHOWN_MEMBERS: usize = 6;

/// Refuses a folder of which too little could be read for a classifier.
pub(crate) fn check_readable(
    request: &ImportRequest,
    classes: &[String],
    bulk: &BulkReport,
) -> Result<(), DataError> {
    if classes.len() >= 2 {
        return Ok(());
    }
    let shown = request.path.display();
    let reasons: Vec<String> = bulk
        .skipped_by_kind()
        .into_iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let reasons = reasons.join(", ");
    let error = match classes.first() {
        None => DataError::new(
            DataErrorKind::NoImages,
            format!("none of the images in `{shown}` can be read: {reasons}"),
        ),
        Some(only) => DataError::new(
            DataErrorKind::TooFewClasses,
            format!(
                "`{shown}` has readable images of a single class, `{only}`; left out: {reasons}"
            ),
        ),
    };
    let hint = match bulk
        .skipped
        .iter()
        .find(|skipped| skipped.kind.ends_with("_pointer"))
    {
        Some(pointer) => format!("`{}` is {}", pointer.item, pointer.reason),
        None => match bulk
            .skipped
            .iter()
            .find(|skipped| skipped.kind != HIDDEN && skipped.kind != OTHER_FILE)
        {
            Some(first) => format!("the first is `{}`: {}", first.item, first.reason),
            None => "two classes with readable images are needed".to_string(),
        },
    };
    Err(error.with_path(&request.path).with_hint(hint))
}

/// How the splits came about, when the import made some.
pub(crate) fn split_note(policy: &SplitPolicy, task: Task) -> Option<String> {
    let assigned = policy.assigned.as_ref()?;
    let noun = match task {
        Task::MultiLabel => "label",
        _ => "class",
    };
    let made: Vec<&str> = assigned.splits.iter().map(|split| split.as_str()).collect();
    let made = made.join(" and ");
    Some(if policy.given.is_empty() {
        format!(
            "{} splits were made, stratified by {noun}, with seed {}",
            assigned.ratios, assigned.seed
        )
    } else {
        format!(
            "{made} was carved out of train, stratified by {noun}, in the ratios {} with seed {}",
            assigned.ratios, assigned.seed
        )
    })
}

/// Describes the groups of equal images and look-alikes.
pub(crate) fn duplicates(manifest: &DatasetManifest, groups: &Groups) -> DuplicateReport {
    let mut report = DuplicateReport::default();
    for group in &groups.equal {
        report.equal_images += group.len() as u64 - 1;
        let described = describe(manifest, group);
        if distinct(group, |image| manifest.entries[image].labels()) > 1 {
            report.label_conflicts.add(described.clone());
        }
        if straddles(manifest, group) {
            report.leaks.add(described.clone());
        }
        report.equal.add(described);
    }
    for group in &groups.alike {
        let described = describe(manifest, group);
        // Copies of one image in two splits have been told of above.
        let straddles_by_look = straddles(manifest, &first_of_each(manifest, group));
        if straddles_by_look {
            report.leaks.add(described.clone());
        }
        report.alike.add(described);
    }
    for cluster in &groups.too_large {
        report.too_large.add(describe(manifest, cluster));
    }
    report
}

/// The image's class, or its labels with commas between.
fn class_names(manifest: &DatasetManifest, entry: &ImageEntry) -> String {
    let names: Vec<&str> = entry
        .labels()
        .iter()
        .filter_map(|class| manifest.classes.get(*class as usize))
        .map(String::as_str)
        .collect();
    match names.as_slice() {
        [] => "no label".to_string(),
        names => names.join(", "),
    }
}

fn distinct<T: Ord>(group: &[usize], of: impl Fn(usize) -> T) -> usize {
    group
        .iter()
        .map(|&image| of(image))
        .collect::<BTreeSet<T>>()
        .len()
}

fn straddles(manifest: &DatasetManifest, group: &[usize]) -> bool {
    distinct(group, |image| manifest.entries[image].split) > 1
}

/// The first image of each content.
fn first_of_each(manifest: &DatasetManifest, group: &[usize]) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let is_new = |image: &usize| seen.insert(manifest.entries[*image].digest.as_str());
    group.iter().copied().filter(is_new).collect()
}

fn describe(manifest: &DatasetManifest, group: &[usize]) -> ImageGroup {
    let member = |image: &usize| {
        let entry = &manifest.entries[*image];
        GroupMember {
            path: entry.path.clone(),
            class: class_names(manifest, entry),
            split: entry.split,
        }
    };
    ImageGroup {
        size: group.len() as u64,
        equal: distinct(group, |image| manifest.entries[image].digest.as_str()) == 1,
        images: group.iter().take(SHOWN_MEMBERS).map(member).collect(),
    }
}

/// What the user should know about classes, splits and duplicates.
pub(crate) fn warnings(
    layout: &Layout,
    manifest: &DatasetManifest,
    classes: &[ClassCounts],
    duplicates: &DuplicateReport,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if !layout.empty_folders.is_empty() {
        warnings.push(format!("no images in {}", quoted(&layout.empty_folders)));
    }
    warnings.extend(unreadable_classes(layout, manifest));
    warnings.extend(class_warnings(classes));
    warnings.extend(duplicate_warnings(duplicates));
    warnings
}

/// Classes of which every image was left out.
fn unreadable_classes(layout: &Layout, manifest: &DatasetManifest) -> Option<String> {
    if layout.label_names.is_some() {
        return None;
    }
    let named: BTreeSet<&str> = layout
        .candidates
        .iter()
        .map(|file| file.class.as_str())
        .collect();
    let lost: Vec<&str> = named
        .into_iter()
        .filter(|class| {
            manifest
                .classes
                .binary_search_by(|name| name.as_str().cmp(class))
                .is_err()
        })
        .collect();
    (!lost.is_empty()).then(|| {
        format!(
            "no image of {} could be read: not among the classes",
            quoted(&lost)
        )
    })
}

fn class_warnings(classes: &[ClassCounts]) -> Vec<String> {
    let mut warnings = Vec::new();
    let named = |wanted: &dyn Fn(&ClassCounts) -> bool| -> Vec<&str> {
        classes
            .iter()
            .filter(|c| wanted(c))
            .map(|c| c.class.as_str())
            .collect()
    };
    let unused = named(&|c| c.total() == 0);
    if !unused.is_empty() {
        warnings.push(format!(
            "no image has the label {}: it cannot be learnt",
            quoted(&unused)
        ));
    }
    let single = named(&|c| c.total() == 1);
    if !single.is_empty() {
        warnings.push(format!(
            "a single image of {}: nothing is left to test it with",
            quoted(&single)
        ));
    }
    for split in Split::ALL {
        let missing = named(&|c| c.in_split(split) == 0 && c.total() > 1);
        if missing.len() + single.len() >= classes.len() && missing.len() == classes.len() {
            warnings.push(match split {
                Split::Train => "no image to train on".to_string(),
                Split::Val => "no validation images: the best epoch cannot be chosen".to_string(),
                Split::Test => {
                    "no test images: `evaluate --split test` has nothing to read".to_string()
                }
            });
        } else if !missing.is_empty() {
            warnings.push(format!("no {split} images of {}", quoted(&missing)));
        }
    }
    warnings
}

fn duplicate_warnings(duplicates: &DuplicateReport) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(example) = duplicates.leaks.examples.first() {
        warnings.push(format!(
            "{} of equal images or look-alikes lie in more than one split, so that scores flatter the model: {}",
            groups(duplicates.leaks.count),
            members(example, |member| member.split.to_string())
        ));
    }
    if let Some(example) = duplicates.label_conflicts.examples.first() {
        warnings.push(format!(
            "{} of equal images lie in more than one class: {}",
            groups(duplicates.label_conflicts.count),
            members(example, |member| member.class.clone())
        ));
    }
    for cluster in &duplicates.too_large.examples {
        warnings.push(format!(
            "{} images look the same, too many to keep in one split: {}",
            cluster.size,
            members(cluster, |member| member.split.to_string())
        ));
    }
    warnings
}

fn groups(count: u64) -> String {
    match count {
        1 => "1 group".to_string(),
        count => format!("{count} groups"),
    }
}

/// Two members of a group that differ in what the warning is about, where there are such.
fn members(group: &ImageGroup, of: impl Fn(&GroupMember) -> String) -> String {
    let Some(first) = group.images.first() else {
        return String::new();
    };
    let other = group
        .images
        .iter()
        .find(|member| of(member) != of(first))
        .or_else(|| group.images.get(1));
    let shown: Vec<String> = std::iter::once(first)
        .chain(other)
        .map(|member| format!("`{}` ({})", member.path, of(member)))
        .collect();
    shown.join(" and ")
}
