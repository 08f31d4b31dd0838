//! What the network is to answer.

use crate::error::{EngineError, EngineErrorKind};

/// What the network is to answer for each image of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Targets<'a> {
    /// `[n]`: one class each.
    Classes(&'a [u32]),
    /// `[n, classes]`: how much of each class, each row summing to 1 (mixup, cutmix).
    Shares(&'a [f32]),
    /// `[n, classes]`, each from 0 to 1: whether each class is there, independently of the others.
    Independent(&'a [f32]),
}

impl Targets<'_> {
    /// How many images they are for, of a network with that many classes.
    pub fn count(&self, classes: usize) -> usize {
        match self {
            Self::Classes(labels) => labels.len(),
            Self::Shares(numbers) | Self::Independent(numbers) => numbers.len() / classes.max(1),
        }
    }

    /// Checks them against the number of classes.
    ///
    /// # Errors
    /// A label has no logit, a row is not whole, or a number is not from 0 to 1.
    pub(crate) fn check(&self, classes: usize) -> Result<(), EngineError> {
        match self {
            Self::Classes(labels) => check_labels(labels, classes),
            Self::Shares(numbers) | Self::Independent(numbers) => check_numbers(numbers, classes),
        }
    }
}

fn check_labels(labels: &[u32], classes: usize) -> Result<(), EngineError> {
    match labels.iter().find(|label| **label as usize >= classes) {
        None => Ok(()),
        Some(label) => Err(input_error(format!(
            "label `{label}` is out of range: the network has {classes} classes"
        ))),
    }
}

fn check_numbers(numbers: &[f32], classes: usize) -> Result<(), EngineError> {
    if !numbers.len().is_multiple_of(classes.max(1)) {
        return Err(input_error(format!(
            "the targets are {} numbers, expected {classes} for each image",
            numbers.len()
        )));
    }
    // Rounding may leave a share a little above one.
    let is_none = |number: &&f32| !(0.0..=1.0 + 1e-5).contains(*number);
    match numbers.iter().find(is_none) {
        None => Ok(()),
        Some(number) => Err(input_error(format!(
            "a target is `{number}`, expected a number from 0 to 1"
        ))),
    }
}

fn input_error(message: String) -> EngineError {
    EngineError::new(EngineErrorKind::Input, message)
}
