//! One file: read, checked, decoded, measured, and kept as a blob.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ferrotype_core::dataset::{ImageEntry, Split};
use ferrotype_core::report::Skipped;
use ferrotype_store::BlobBatch;
use ferrotype_vision::decode::{DecodeLimits, decode};
use ferrotype_vision::similarity::perceptual_hash;

use crate::error::DataError;
use crate::layout::Candidate;
use crate::report::ChannelMoments;

/// What one image file holds.
#[derive(Debug, Clone)]
pub(crate) struct Examined {
    /// The image's entry; class and split are filled in when all are known.
    pub(crate) entry: ImageEntry,
    /// Name of its class.
    pub(crate) class: String,
    /// Names of its labels, where images may have several.
    pub(crate) labels: Option<BTreeSet<String>>,
    /// The split that its folder names.
    pub(crate) given: Option<Split>,
    /// How it looks, as a hash.
    pub(crate) look: u64,
    /// Its colours.
    pub(crate) moments: ChannelMoments,
}

/// What a file may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileLimits {
    pub(crate) max_bytes: u64,
    pub(crate) decode: DecodeLimits,
}

/// Starts of files that stand for an image kept elsewhere.
const POINTERS: [(&[u8], &str, &str); 2] = [
    (
        b"version https://git-lfs.github.com/spec/",
        "lfs_pointer",
        "a Git LFS pointer, not the image itself; run `git lfs pull`",
    ),
    (
        b"/annex/objects/",
        "annex_pointer",
        "a git-annex pointer, not the image itself; run `git annex get`",
    ),
];

/// Examines one file and keeps its bytes. A bad file is the inner error; the outer one is the store's.
pub(crate) fn examine(
    candidate: &Candidate,
    limits: &FileLimits,
    blobs: &BlobBatch,
) -> Result<Result<Examined, Skipped>, DataError> {
    let skip = |kind: &str, reason: String| {
        Ok(Err(Skipped {
            item: candidate.name.clone(),
            kind: kind.to_string(),
            reason,
        }))
    };
    let bytes = match read_up_to(&candidate.path, limits.max_bytes) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let reason = format!(
                "its {} bytes are more than the limit of {}",
                candidate.bytes, limits.max_bytes
            );
            return skip("file_too_large", reason);
        }
        Err(error) => return skip("unreadable", error.to_string()),
    };
    if let Some((_, kind, reason)) = POINTERS.iter().find(|(start, ..)| bytes.starts_with(start)) {
        return skip(kind, (*reason).to_string());
    }
    let decoded = match decode(&bytes, &limits.decode) {
        Ok(decoded) => decoded,
        Err(error) => return skip(error.kind.as_str(), error.to_string()),
    };
    let digest = blobs.put(&bytes)?;
    Ok(Ok(Examined {
        look: perceptual_hash(&decoded.image),
        moments: ChannelMoments::of(&decoded.image.pixels),
        class: candidate.class.clone(),
        labels: candidate.labels.clone(),
        given: candidate.split,
        entry: ImageEntry {
            path: candidate.name.clone(),
            digest: digest.to_string(),
            bytes: bytes.len() as u64,
            width: decoded.image.width,
            height: decoded.image.height,
            mode: decoded.probe.mode,
            format: decoded.probe.format.to_string(),
            class: 0,
            label_set: None,
            split: candidate.split.unwrap_or(Split::Train),
        },
    }))
}

/// The file's bytes, or nothing when there are more than `limit`.
fn read_up_to(path: &Path, limit: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}
