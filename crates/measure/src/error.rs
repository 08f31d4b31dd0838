//! What can be wrong with the numbers that are handed in.

/// What kind of input cannot be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MeasureErrorKind {
    /// A number of values does not fit the number of classes, labels or features.
    WrongLength,
    /// A label is no class.
    UnknownLabel,
    /// A probability, feature or score is NaN or infinite, or a probability lies outside 0 to 1.
    BadNumber,
    /// Accumulators for different numbers of classes cannot be merged.
    DifferentClasses,
    /// There is nothing to fit.
    Empty,
}

impl MeasureErrorKind {
    /// The kind's machine-readable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WrongLength => "wrong_length",
            Self::UnknownLabel => "unknown_label",
            Self::BadNumber => "bad_number",
            Self::DifferentClasses => "different_classes",
            Self::Empty => "empty",
        }
    }
}

/// Numbers that cannot be scored or fitted. The accumulator is unchanged by a refused update.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MeasureError {
    kind: MeasureErrorKind,
    message: String,
}

impl MeasureError {
    pub(crate) fn new(kind: MeasureErrorKind, message: String) -> Self {
        Self { kind, message }
    }

    /// What kind of input it was.
    pub fn kind(&self) -> MeasureErrorKind {
        self.kind
    }

    /// What to do next, where something can be done.
    pub fn hint(&self) -> Option<String> {
        match self.kind {
            MeasureErrorKind::BadNumber => Some(
                "a model that answers NaN was damaged or diverged; lower the learning rate or clip the gradient"
                    .into(),
            ),
            _ => None,
        }
    }
}
