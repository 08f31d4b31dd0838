//! Reads and edits the envelope of an ONNX file without decoding its weights.
//!
//! Protobuf is read field by field from the bytes: nothing is allocated for weights, a stranger's
//! file cannot make a few bytes grow into gigabytes, and fields unknown to us survive an edit.
//! A model in a file is read as far as its structure goes; large tensors stay where they are.
//! Field numbers are those of `onnx.proto` (ONNX 1.17).

mod document;
mod edit;
mod limits;
mod source;
mod summary;
pub(crate) mod wire;

pub(crate) use document::{Document, LARGE_BYTES, with_document};
pub use edit::embed_manifest;
pub use limits::OnnxLimits;
pub use source::OnnxSource;
pub use summary::{Dimension, ElementType, OnnxSummary, TensorInfo, inspect, inspect_with_limits};
pub(crate) use summary::{check_manifest, node_with_operator, summary_of};
