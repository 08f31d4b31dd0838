//! A store and a folder of painted images, made anew for each test.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ferrotype_core::dataset::{ImageEntry, Split};
use ferrotype_data::{
    DataError, DatasetManifest, ImportOutcome, ImportRequest, import_folder, load_manifest,
};
use ferrotype_store::{Store, StoreOptions};
use ferrotype_testkit::clock::FakeClock;
use ferrotype_vision::RgbImage;
use ferrotype_vision::synth::{self, Drift};
use tempfile::TempDir;

/// Runs a future to its end.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// A store beside a folder of images.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::in_folder(folder.path().join("store"));
        let store = wait(Store::open(options, Arc::new(FakeClock::new()))).unwrap();
        Self { folder, store }
    }

    /// Where the images are.
    pub(crate) fn images(&self) -> PathBuf {
        self.folder.path().join("images")
    }

    /// Writes a file below the folder of images.
    pub(crate) fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) {
        write(&self.images().join(name), bytes);
    }

    /// Paints `count` different images into each of the classes `a` and `b` below `folder`.
    pub(crate) fn paint(&self, folder: &str, count: u64) {
        for (class, name) in ["a", "b"].into_iter().enumerate() {
            for index in 0..count {
                self.write(format!("{folder}{name}/{index:03}.png"), &png(class, index));
            }
        }
    }

    /// Imports the folder of images as `set`.
    pub(crate) fn import(&self) -> Result<ImportOutcome, DataError> {
        self.import_as(&ImportRequest::new(self.images(), "set"))
    }

    pub(crate) fn import_as(&self, request: &ImportRequest) -> Result<ImportOutcome, DataError> {
        wait(import_folder(request, &self.store, &mut |_| {}))
    }

    pub(crate) fn manifest(&self, outcome: &ImportOutcome) -> DatasetManifest {
        load_manifest(&self.store, &outcome.version).unwrap()
    }
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A painted image; each class and index gives another.
pub(crate) fn tile(class: usize, index: u64) -> RgbImage {
    synth::paint(class, 11, index, 48, &Drift::default())
}

pub(crate) fn png(class: usize, index: u64) -> Vec<u8> {
    ferrotype_vision::encode::png(&tile(class, index)).unwrap()
}

pub(crate) fn jpeg(class: usize, index: u64, quality: u8) -> Vec<u8> {
    ferrotype_vision::encode::jpeg(&tile(class, index), quality).unwrap()
}

pub(crate) fn entry<'a>(manifest: &'a DatasetManifest, path: &str) -> &'a ImageEntry {
    manifest
        .entries
        .iter()
        .find(|entry| entry.path == path)
        .unwrap()
}

/// Images in train, val and test.
pub(crate) fn split_counts(manifest: &DatasetManifest) -> [usize; 3] {
    Split::ALL.map(|split| manifest.entries_in(split).count())
}

/// The kinds of skipped files and how many of each.
pub(crate) fn skipped(outcome: &ImportOutcome) -> Vec<(&str, u64)> {
    let mut kinds: Vec<(&str, u64)> = outcome
        .report
        .skipped
        .iter()
        .map(|kind| (kind.kind.as_str(), kind.count))
        .collect();
    kinds.sort_unstable();
    kinds
}

/// Whether a warning holds all of these texts.
pub(crate) fn warns(outcome: &ImportOutcome, texts: &[&str]) -> bool {
    let holds = |warning: &String| texts.iter().all(|text| warning.contains(text));
    outcome.report.warnings.iter().any(holds)
}

/// The project's folder of real images, where there is one.
pub(crate) fn shared_data() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    folder.is_dir().then_some(folder)
}
