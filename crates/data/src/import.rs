//! From a folder of images to an immutable dataset version.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ferrotype_core::dataset::{ImageEntry, Split};
use ferrotype_core::manifest::Task;
use ferrotype_core::name::check_name;
use ferrotype_core::report::{BulkReport, Skipped};
use ferrotype_store::{Blobs, DatasetVersion, NewDatasetVersion, Store};
use ferrotype_vision::decode::DecodeLimits;
use rayon::prelude::*;

use crate::compare::ComparePixels;
use crate::duplicates::{self, Groups};
use crate::error::{DataError, DataErrorKind};
use crate::examine::{Examined, FileLimits, examine};
use crate::findings;
use crate::layout::{self, Layout};
use crate::manifest::DatasetManifest;
use crate::report::{
    ChannelMoments, ImportReport, Labelling, count_classes, describe, skipped_kinds,
};
use crate::split::{self, Item, SplitPolicy, SplitRatios};
use crate::walk;

/// Files that are read before they are flushed to the store together and progress is told.
const BATCH_FILES: usize = 512;

/// What to import, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportRequest {
    /// The folder.
    pub path: PathBuf,
    /// The dataset's name.
    pub name: String,
    /// The table that names the images' labels; without one, the folders name their classes, or a
    /// `labels.csv` in the folder does.
    pub labels: Option<PathBuf>,
    /// Seed of the split, when the folder gives none.
    pub seed: u64,
    /// Shares of the splits, when the folder gives none.
    pub ratios: SplitRatios,
    /// What decoding an image may cost.
    pub limits: DecodeLimits,
    /// Files above this are skipped unread.
    pub max_file_bytes: u64,
}

impl ImportRequest {
    /// Imports `path` as `name`, with 70/15/15 splits of seed 0 when the folder gives none.
    pub fn new(path: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            name: name.into(),
            labels: None,
            seed: 0,
            ratios: SplitRatios::default(),
            limits: DecodeLimits::default(),
            max_file_bytes: 256 << 20,
        }
    }
}

/// What an import is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Listing the folder; the total is not known.
    Listing,
    /// Reading, decoding and keeping the files.
    Reading,
    /// Looking for images that look the same.
    Comparing,
    /// Writing the version.
    Recording,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Files done in this stage.
    pub done: u64,
    /// Files of this stage; 0 when not known.
    pub total: u64,
}

/// What an import did.
#[derive(Debug, Clone)]
pub struct ImportOutcome {
    /// The version that holds the folder's images.
    pub version: DatasetVersion,
    /// Whether it is new; otherwise the folder had been imported before.
    pub created: bool,
    /// What was found this time.
    pub report: ImportReport,
    /// Every file that was left out; the report holds the first of each kind.
    pub skipped: Vec<Skipped>,
}

/// Everything an import finds out before it writes to the database.
struct Gathered {
    manifest: DatasetManifest,
    report: ImportReport,
    skipped: Vec<Skipped>,
}

/// Imports a folder as a dataset version.
///
/// Reading and decoding use all of rayon's threads and block the calling thread, so that the future
/// is polled once for most of its life: do not share its thread with a server. Files go to the
/// store's blobs first and the version is written last, so that an import that is killed leaves
/// nothing but blobs that no version refers to.
///
/// # Errors
/// When the folder as a whole is unusable: missing, without images or class folders, of a detection
/// layout; when the name or ratios are invalid; when the store refuses (disk full). A bad file is
/// never an error: it is in the report.
pub async fn import_folder(
    request: &ImportRequest,
    store: &Store,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<ImportOutcome, DataError> {
    check_name("dataset name", &request.name).map_err(|error| {
        DataError::new(DataErrorKind::InvalidRequest, error.to_string())
            .with_hint("choose a short name such as `land-use`")
    })?;
    let Gathered {
        manifest,
        report,
        skipped,
    } = gather(request, store.blobs(), progress)?;
    progress(Progress {
        stage: Stage::Recording,
        done: 0,
        total: 0,
    });
    let (version, created) = record(request, store, &manifest, &report).await?;
    Ok(ImportOutcome {
        version,
        created,
        report,
        skipped,
    })
}

/// Writes manifest and version.
async fn record(
    request: &ImportRequest,
    store: &Store,
    manifest: &DatasetManifest,
    report: &ImportReport,
) -> Result<(DatasetVersion, bool), DataError> {
    let manifest_digest = store.blobs().put(&manifest.to_json_lines()?)?;
    let report_json = serde_json::to_string(report).map_err(|source| {
        DataError::new(
            DataErrorKind::Corrupt,
            "the report cannot be written as JSON",
        )
        .with_source(source)
    })?;
    let source = request
        .path
        .canonicalize()
        .unwrap_or_else(|_| request.path.clone());
    let new = NewDatasetVersion {
        name: request.name.clone(),
        classes: manifest.classes.clone(),
        digest: manifest.identity(),
        manifest_digest,
        image_count: report.images,
        byte_count: report.bytes,
        source: walk::escape(source.as_os_str()),
        report_json,
    };
    Ok(store.create_dataset_version(new).await?)
}

/// Reads the folder; the bytes of good images are in the blobs afterwards.
fn gather(
    request: &ImportRequest,
    blobs: &Blobs,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Gathered, DataError> {
    progress(Progress {
        stage: Stage::Listing,
        done: 0,
        total: 0,
    });
    let layout = layout::understand(
        walk::walk(&request.path)?,
        &request.path,
        request.labels.as_deref(),
    )?;
    let (images, bulk) = read_files(request, &layout, blobs, progress)?;
    let classes = class_names(&layout, &images);
    findings::check_readable(request, &classes, &bulk)?;
    let groups = find_groups(request, &images, blobs, progress);
    let given: BTreeSet<Split> = images.iter().filter_map(|image| image.given).collect();
    let policy = SplitPolicy::decide(&given, request.seed, request.ratios);
    let moments: Vec<ChannelMoments> = images.iter().map(|image| image.moments).collect();
    let entries = finish_entries(images, &classes, &groups, &policy);
    let manifest = DatasetManifest {
        task: match layout.label_names {
            None => Task::Classification,
            Some(_) => Task::MultiLabel,
        },
        classes,
        split: policy,
        entries,
    };
    let report = report(&manifest, &groups, &moments, &layout, &bulk);
    Ok(Gathered {
        manifest,
        report,
        skipped: bulk.skipped,
    })
}

/// The labels of the table, or the classes that have readable images, sorted.
fn class_names(layout: &Layout, images: &[Examined]) -> Vec<String> {
    match &layout.label_names {
        Some(_) if images.is_empty() => Vec::new(),
        Some(names) => names.clone(),
        None => images
            .iter()
            .map(|image| image.class.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
    }
}

/// Examines all files in parallel, batch by batch.
fn read_files(
    request: &ImportRequest,
    layout: &Layout,
    blobs: &Blobs,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<(Vec<Examined>, BulkReport), DataError> {
    let limits = FileLimits {
        max_bytes: request.max_file_bytes,
        decode: request.limits,
    };
    let total = layout.candidates.len() as u64;
    let mut images = Vec::with_capacity(layout.candidates.len());
    let mut bulk = BulkReport {
        skipped: layout.skipped.clone(),
        ..BulkReport::default()
    };
    let mut done = 0;
    for files in layout.candidates.chunks(BATCH_FILES) {
        progress(Progress {
            stage: Stage::Reading,
            done,
            total,
        });
        let batch = blobs.batch();
        let examined = files
            .par_iter()
            .map(|file| examine(file, &limits, &batch))
            .collect::<Result<Vec<_>, DataError>>()?;
        batch.finish()?;
        for result in examined {
            match result {
                Ok(image) => images.push(image),
                Err(skipped) => bulk.skipped.push(skipped),
            }
        }
        done += files.len() as u64;
    }
    progress(Progress {
        stage: Stage::Reading,
        done,
        total,
    });
    bulk.done = images.len() as u64;
    Ok((images, bulk))
}

/// Groups the images that should stay in one split.
fn find_groups(
    request: &ImportRequest,
    images: &[Examined],
    blobs: &Blobs,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Groups {
    let total = images.len() as u64;
    progress(Progress {
        stage: Stage::Comparing,
        done: 0,
        total,
    });
    let digests: Vec<&str> = images
        .iter()
        .map(|image| image.entry.digest.as_str())
        .collect();
    let looks: Vec<u64> = images.iter().map(|image| image.look).collect();
    let pixels = ComparePixels {
        digests: &digests,
        blobs,
        limits: request.limits,
    };
    let groups = duplicates::group(&digests, &looks, &pixels);
    progress(Progress {
        stage: Stage::Comparing,
        done: total,
        total,
    });
    groups
}

/// Fills in classes and splits.
fn finish_entries(
    images: Vec<Examined>,
    classes: &[String],
    groups: &Groups,
    policy: &SplitPolicy,
) -> Vec<ImageEntry> {
    let index_of: BTreeMap<&str, u32> = classes
        .iter()
        .zip(0..)
        .map(|(class, index)| (class.as_str(), index))
        .collect();
    let index = |class: &str| index_of.get(class).copied();
    let class_of = |image: &Examined| index(&image.class).unwrap_or(0);
    // The names are sorted, and so are their indices.
    let labels_of = |image: &Examined| -> Option<Vec<u32>> {
        let labels = image.labels.as_ref()?;
        Some(labels.iter().filter_map(|label| index(label)).collect())
    };
    let label_sets: Vec<Option<Vec<u32>>> = images.iter().map(labels_of).collect();
    let items: Vec<Item<'_>> = images
        .iter()
        .zip(&groups.group_of)
        .zip(&label_sets)
        .map(|((image, group), labels)| Item {
            class: class_of(image),
            labels: labels.as_deref(),
            group: *group,
            digest: &image.entry.digest,
            given: image.given,
        })
        .collect();
    let classes: Vec<u32> = items.iter().map(|item| item.class).collect();
    let splits = split::assign(&items, policy);
    images
        .into_iter()
        .zip(classes)
        .zip(label_sets)
        .zip(splits)
        .map(|(((image, class), label_set), split)| ImageEntry {
            class,
            label_set,
            split,
            ..image.entry
        })
        .collect()
}

fn report(
    manifest: &DatasetManifest,
    groups: &Groups,
    moments: &[ChannelMoments],
    layout: &Layout,
    bulk: &BulkReport,
) -> ImportReport {
    let classes = count_classes(&manifest.classes, &manifest.entries);
    let duplicates = findings::duplicates(manifest, groups);
    let mut warnings = layout.warnings.clone();
    warnings.extend(findings::warnings(layout, manifest, &classes, &duplicates));
    let mut notes = layout.notes.clone();
    notes.extend(findings::split_note(&manifest.split, manifest.task));
    ImportReport {
        images: manifest.entries.len() as u64,
        bytes: manifest.entries.iter().map(|entry| entry.bytes).sum(),
        classes,
        labelling: manifest
            .task
            .is_multi_label()
            .then(|| Labelling::of(&manifest.entries)),
        skipped: skipped_kinds(bulk),
        duplicates,
        statistics: describe(&manifest.entries, moments),
        notes,
        warnings,
    }
}
