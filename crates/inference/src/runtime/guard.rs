//! Turns a panic inside a runtime into an error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{InferenceError, InferenceErrorKind};

/// Runs a piece of a runtime on a stranger's model. What it panics over is an error of the model;
/// nothing it was given is used again by the caller after a panic while loading, and a run leaves
/// only its own buffers behind.
pub(crate) fn guarded<T>(
    runtime: &str,
    doing: &str,
    work: impl FnOnce() -> Result<T, InferenceError>,
) -> Result<T, InferenceError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(InferenceError::new(
            InferenceErrorKind::Failed,
            format!("{runtime} broke down while {doing}: {}", text_of(&*panic)),
        ))
    })
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given")
}
