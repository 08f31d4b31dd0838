//! The vocabulary of Ferrotype: the words that every other crate speaks.
//!
//! Nothing here reads a clock, an environment variable or a disk, and nothing is async:
//! time, randomness and configuration sources are values that are passed in.

pub mod config;
pub mod dataset;
pub mod graph;
pub mod id;
pub mod manifest;
pub mod name;
pub mod onnx;
pub mod report;
pub mod thresholds;
pub mod time;
