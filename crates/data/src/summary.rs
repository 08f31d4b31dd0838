//! A dataset version at a glance, for `data show` and the pages.

use ferrotype_core::dataset::{ImageEntry, Split};
use ferrotype_core::time::Timestamp;
use ferrotype_store::{DatasetVersion, Digest, Store};
use serde::Serialize;

use crate::error::{DataError, DataErrorKind};
use crate::manifest::{DatasetManifest, load_manifest};
use crate::report::{ClassCounts, DuplicateReport, ImageStatistics, ImportReport, SkippedKind};
use crate::split::SplitPolicy;

/// Paths named of each class.
const SAMPLES_PER_CLASS: usize = 3;

/// A dataset version at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct DatasetSummary {
    /// The version as `name@v1`.
    pub dataset: String,
    /// Its identity.
    pub digest: Digest,
    /// The folder it was imported from.
    pub source: String,
    /// When it was imported.
    pub created_at: Timestamp,
    /// How many images.
    pub images: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Images of each split over all classes.
    pub splits: ClassCounts,
    /// Where images may have several labels: those that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlabelled: Option<ClassCounts>,
    /// Where the splits come from.
    pub split_policy: SplitPolicy,
    /// Images per class and split, in class order.
    pub classes: Vec<ClassCounts>,
    /// Sizes, modes, formats and colours.
    pub statistics: ImageStatistics,
    /// Equal images and look-alikes.
    pub duplicates: DuplicateReport,
    /// Files that the import left out.
    pub skipped: Vec<SkippedKind>,
    /// How the import understood the folder.
    pub notes: Vec<String>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Some images of each class, spread over the class.
    pub samples: Vec<ClassSamples>,
}

/// Some images of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassSamples {
    /// The class's name.
    pub class: String,
    /// Its images.
    pub images: Vec<Sample>,
}

/// One image, named for a reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Path below the imported folder.
    pub path: String,
    /// The blob that holds it.
    pub digest: String,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
    /// Its split.
    pub split: Split,
}

/// Summarises a dataset version. Blocks on the disk.
///
/// # Errors
/// When its manifest or report is missing or damaged.
pub fn summary(store: &Store, version: &DatasetVersion) -> Result<DatasetSummary, DataError> {
    let manifest = load_manifest(store, version)?;
    let report = load_report(version)?;
    Ok(DatasetSummary {
        dataset: version.reference().to_string(),
        digest: version.digest,
        source: version.source.clone(),
        created_at: version.created_at,
        images: version.image_count,
        bytes: version.byte_count,
        splits: report.splits(),
        unlabelled: report.labelling.map(|labelling| labelling.unlabelled),
        samples: samples(&manifest),
        split_policy: manifest.split,
        classes: report.classes,
        statistics: report.statistics,
        duplicates: report.duplicates,
        skipped: report.skipped,
        notes: report.notes,
        warnings: report.warnings,
    })
}

/// What the import of a version reported.
///
/// # Errors
/// When the stored report cannot be read.
pub fn load_report(version: &DatasetVersion) -> Result<ImportReport, DataError> {
    serde_json::from_str(&version.report_json).map_err(|source| {
        DataError::new(
            DataErrorKind::Corrupt,
            format!(
                "the import report of `{}` cannot be read",
                version.reference()
            ),
        )
        .with_source(source)
    })
}

/// The counts of all classes together.
pub fn total(classes: &[ClassCounts]) -> ClassCounts {
    ClassCounts {
        class: "all".to_string(),
        train: classes.iter().map(|class| class.train).sum(),
        val: classes.iter().map(|class| class.val).sum(),
        test: classes.iter().map(|class| class.test).sum(),
    }
}

/// A few images of each class, evenly spaced.
fn samples(manifest: &DatasetManifest) -> Vec<ClassSamples> {
    let mut of_class: Vec<Vec<&ImageEntry>> = vec![Vec::new(); manifest.classes.len()];
    for entry in &manifest.entries {
        for &class in entry.labels() {
            of_class[class as usize].push(entry);
        }
    }
    manifest
        .classes
        .iter()
        .zip(of_class)
        .map(|(class, entries)| ClassSamples {
            class: class.clone(),
            images: spread(&entries).map(Sample::of).collect(),
        })
        .collect()
}

fn spread<'a>(entries: &'a [&'a ImageEntry]) -> impl Iterator<Item = &'a ImageEntry> {
    let shown = entries.len().min(SAMPLES_PER_CLASS);
    (0..shown).map(move |i| entries[i * entries.len() / shown])
}

impl Sample {
    fn of(entry: &ImageEntry) -> Self {
        Self {
            path: entry.path.clone(),
            digest: entry.digest.clone(),
            width: entry.width,
            height: entry.height,
            split: entry.split,
        }
    }
}
