//! Deleting blobs that nothing refers to any more.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::blobs::Blobs;
use crate::digest::Digest;
use crate::error::{StoreError, StoreErrorKind};
use crate::os_lock::OsLock;
use crate::row::Columns as _;
use crate::store::Store;

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Blobs that are referred to.
    pub kept: u64,
    /// Blobs that nothing refers to but are too young to be deleted.
    pub young: u64,
    /// Blobs deleted.
    pub deleted: u64,
    /// Bytes freed.
    pub freed_bytes: u64,
    /// Leftovers of writers that died, deleted.
    pub leftovers: u64,
}

/// A line of a dataset's manifest, as far as a sweep reads it.
#[derive(Deserialize)]
struct ManifestLine {
    #[serde(default)]
    digest: Option<String>,
}

impl Store {
    /// Deletes blobs that nothing refers to and that were last put longer than `min_age` ago.
    ///
    /// Safe beside writers: they put a blob first and refer to it later, and putting a known blob
    /// makes it young again. So `min_age` must be longer than the longest import or training step
    /// between the two; a day is plenty.
    ///
    /// # Errors
    /// When a dataset's manifest cannot be read: then nobody knows what it refers to, and nothing
    /// is deleted.
    pub async fn sweep_blobs(&self, min_age: Duration) -> Result<SweepReport, StoreError> {
        let oldest_kept = SystemTime::now()
            .checked_sub(min_age)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let manifests = self
            .digests("SELECT manifest_digest AS digest FROM dataset_version")
            .await?;
        let mut used = HashSet::new();
        for statement in [
            "SELECT onnx_digest AS digest FROM model_version",
            "SELECT digest FROM artifact",
            "SELECT DISTINCT input_digest AS digest FROM prediction",
        ] {
            used.extend(self.digests(statement).await?);
        }
        let blobs = self.blobs().clone();
        let sweep = tokio::task::spawn_blocking(move || {
            for manifest in manifests {
                used.insert(manifest);
                add_images(&blobs, &manifest, &mut used)?;
            }
            let mut report = SweepReport::default();
            sweep_unused(&blobs, &used, oldest_kept, &mut report)?;
            sweep_leftovers(&blobs, oldest_kept, &mut report)?;
            Ok(report)
        });
        sweep.await.map_err(|error| {
            StoreError::new(
                StoreErrorKind::Io,
                format!("the sweep was cut short: {error}"),
            )
        })?
    }

    async fn digests(&self, statement: &'static str) -> Result<Vec<Digest>, StoreError> {
        let rows = sqlx::query(statement).fetch_all(self.pool()).await?;
        rows.iter().map(|row| row.parsed("digest")).collect()
    }
}

/// Adds the images that a manifest (JSON Lines) lists.
fn add_images(
    blobs: &Blobs,
    manifest: &Digest,
    used: &mut HashSet<Digest>,
) -> Result<(), StoreError> {
    let unreadable = |reason: String| {
        StoreError::new(
            StoreErrorKind::Corrupt,
            format!("the manifest `{manifest}` of a dataset cannot be read: {reason}"),
        )
        .with_hint("delete the dataset version first, or import it again")
    };
    let bytes = blobs
        .get(manifest)
        .map_err(|error| unreadable(error.to_string()))?;
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            continue;
        }
        let line: ManifestLine =
            serde_json::from_slice(line).map_err(|error| unreadable(error.to_string()))?;
        if let Some(digest) = line.digest {
            used.insert(
                digest
                    .parse()
                    .map_err(|error| unreadable(format!("{error}")))?,
            );
        }
    }
    Ok(())
}

fn sweep_unused(
    blobs: &Blobs,
    used: &HashSet<Digest>,
    oldest_kept: SystemTime,
    report: &mut SweepReport,
) -> Result<(), StoreError> {
    for folder in children(blobs.root())? {
        let Some(prefix) = two_hexadecimal_digits(&folder) else {
            continue;
        };
        for path in children(&folder)? {
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(digest) = name.and_then(|name| format!("{prefix}{name}").parse().ok()) else {
                continue; // not ours
            };
            if used.contains(&digest) {
                report.kept += 1;
            } else {
                sweep_blob(blobs, &path, oldest_kept, report)?;
            }
        }
    }
    Ok(())
}

/// Deletes one blob unless it is young. Nobody can make it young between the look and the deed.
fn sweep_blob(
    blobs: &Blobs,
    path: &Path,
    oldest_kept: SystemTime,
    report: &mut SweepReport,
) -> Result<(), StoreError> {
    let _nobody_marks = OsLock::acquire(&blobs.sweep_lock_path())?;
    let Ok(metadata) = fs::metadata(path) else {
        return Ok(()); // another sweep took it
    };
    if modified_after(&metadata, oldest_kept) {
        report.young += 1;
        return Ok(());
    }
    fs::remove_file(path).map_err(|error| StoreError::io("delete", path, &error))?;
    report.deleted += 1;
    report.freed_bytes += metadata.len();
    Ok(())
}

/// Files that a writer which died left under a temporary name.
fn sweep_leftovers(
    blobs: &Blobs,
    oldest_kept: SystemTime,
    report: &mut SweepReport,
) -> Result<(), StoreError> {
    for path in children(&blobs.temporary_folder())? {
        let old = fs::metadata(&path).is_ok_and(|m| !modified_after(&m, oldest_kept));
        if old && fs::remove_file(&path).is_ok() {
            report.leftovers += 1;
        }
    }
    Ok(())
}

fn modified_after(metadata: &fs::Metadata, moment: SystemTime) -> bool {
    // Without a known age it counts as young.
    metadata.modified().map_or(true, |time| time > moment)
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect()
    };
    list().map_err(|error| StoreError::io("list", folder, &error))
}

fn two_hexadecimal_digits(folder: &Path) -> Option<&str> {
    let name = folder.file_name()?.to_str()?;
    let fits = name.len() == 2 && name.bytes().all(|b| b.is_ascii_hexdigit());
    fits.then_some(name)
}
