//! Scores and statistics of Ferrotype.
//!
//! Accumulators are streaming (`new / update / merge / finish`): the same code scores validation
//! during training, an exported model, and what production has logged. Merging accumulators gives
//! what one pass over all samples gives. Nothing here reads a clock, a disk or an environment.

pub mod classification;
mod error;
pub mod evaluation;
pub mod latency;
pub mod linear;
pub mod multi_label;
pub mod ranking;

pub use classification::{CalibrationBin, ClassScores, Classification, ClassificationReport};
pub use error::{MeasureError, MeasureErrorKind};
pub use evaluation::{EvaluationReport, LabelMistake, Mistake, MultiLabelEvaluation, TaskReport};
pub use latency::{Latencies, LatencyReport};
pub use linear::{LinearBaseline, LinearOptions};
pub use multi_label::{BestThreshold, LabelScores, MultiLabel, MultiLabelReport};
