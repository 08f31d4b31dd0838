//! What the API answers and the pages show: each a struct, filled from the store in one place.

pub(crate) mod dataset;
pub(crate) mod evaluation;
pub(crate) mod graph;
pub(crate) mod info;
pub(crate) mod job;
pub(crate) mod metric;
pub(crate) mod model;
pub(crate) mod prediction;
pub(crate) mod run;

use ferrotype_core::time::Timestamp;
use serde_json::Value;

/// A stored JSON text as JSON; text that is none as a string, so that nothing is hidden.
pub(crate) fn json(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Null;
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_string()))
}

/// A moment as the API writes it: RFC 3339 in UTC.
pub(crate) fn moment(timestamp: Timestamp) -> String {
    timestamp.to_string()
}

/// The address of a blob, and of a small version of it when it is a picture.
pub(crate) fn blob_address(digest: &str) -> String {
    format!("/api/v1/blobs/{digest}")
}

pub(crate) fn thumbnail_address(digest: &str) -> String {
    format!("/api/v1/blobs/{digest}/thumbnail")
}
