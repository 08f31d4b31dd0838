//! The engine as its callers see it.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[cfg(feature = "burn")]
mod burn;
mod checkpoints;
mod golden;
mod gradients;
mod onnx;
mod reference;
mod support;
mod training;
mod weights;
mod zoo;
