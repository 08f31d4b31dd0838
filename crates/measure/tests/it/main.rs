//! Scores against scikit-learn's, and merging against one pass.

#![allow(clippy::unwrap_used)]

mod classification;
mod linear;
mod multi_label;

use serde::de::DeserializeOwned;

/// Cases that `tools/golden_measure.py` has written.
fn golden<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let json = std::fs::read_to_string(&path).unwrap();
    serde_json::from_str(&json).unwrap()
}

#[track_caller]
fn assert_near(what: &str, ours: f64, theirs: f64, tolerance: f64) {
    assert!(
        (ours - theirs).abs() <= tolerance,
        "{what}: {ours} here, {theirs} in scikit-learn"
    );
}
