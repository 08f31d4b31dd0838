//! The engine as its callers see it.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[cfg(feature = "burn")]
mod burn;
mod checkpoints;
mod golden;
mod golden_recipe;
mod gradients;
mod onnx;
mod profiling;
mod recipe;
mod reference;
mod support;
mod training;
mod weights;
mod zoo;
