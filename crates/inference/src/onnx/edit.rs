//! Changes the metadata of an ONNX file and nothing else.

use ferrotype_core::manifest::{MANIFEST_KEY, ModelManifest};

use super::document::Document;
use super::limits::OnnxLimits;
use super::summary::{check_manifest, string_entry};
use super::wire::{Fields, write_bytes_field};
use crate::error::{InferenceError, InferenceErrorKind};

/// `ModelProto.metadata_props`.
const METADATA_FIELD: u64 = 14;

/// The ONNX file with this manifest in its metadata, in place of any other; all else unchanged.
///
/// # Errors
/// When the file is empty, no ONNX, damaged or too large, or the manifest contradicts itself.
pub fn embed_manifest(onnx: &[u8], manifest: &ModelManifest) -> Result<Vec<u8>, InferenceError> {
    Document::open(onnx.into(), &OnnxLimits::default())?;
    check_manifest(manifest)?;
    let json = serde_json::to_string(manifest).map_err(|error| {
        InferenceError::new(
            InferenceErrorKind::InvalidManifest,
            format!("the manifest cannot be written: {error}"),
        )
    })?;
    let mut edited = Vec::with_capacity(onnx.len() + json.len() + 64);
    for field in Fields::of(onnx).flatten() {
        let is_manifest = field.number == METADATA_FIELD
            && field
                .bytes()
                .is_some_and(|entry| string_entry(entry).0 == MANIFEST_KEY);
        if !is_manifest {
            edited.extend_from_slice(field.raw);
        }
    }
    let mut entry = Vec::with_capacity(json.len() + 32);
    write_bytes_field(&mut entry, 1, MANIFEST_KEY.as_bytes());
    write_bytes_field(&mut entry, 2, json.as_bytes());
    write_bytes_field(&mut edited, METADATA_FIELD, &entry);
    Ok(edited)
}
