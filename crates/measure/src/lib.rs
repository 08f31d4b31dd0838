//! Scores and statistics of Ferrotype.
//!
//! Accumulators are streaming (`new / update / merge / finish`): the same code scores validation
//! during training, an exported model, and what production has logged. Merging accumulators gives
//! what one pass over all samples gives. Nothing here reads a clock, a disk or an environment.

pub mod classification;
mod error;
pub mod evaluation;
pub mod linear;
pub mod ranking;

pub use classification::{CalibrationBin, ClassScores, Classification, ClassificationReport};
pub use error::{MeasureError, MeasureErrorKind};
pub use evaluation::{EvaluationReport, Mistake};
pub use linear::{LinearBaseline, LinearOptions};
