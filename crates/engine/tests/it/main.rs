//! The engine as its callers see it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod checkpoints;
mod golden;
mod gradients;
mod onnx;
mod reference;
mod support;
mod training;
