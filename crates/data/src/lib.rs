//! Datasets: public layouts in, immutable versions with splits and health checks, and out again
//! as samples.
//!
//! [`import_folder`] reads an ImageFolder into the store; [`StoreSource`] gives a split of the
//! version to the loader; [`summary()`] describes it; [`synth_folder`] paints an example.

mod compare;
pub mod decoded_cache;
mod detection;
mod duplicates;
mod error;
mod examine;
mod findings;
mod import;
mod label_table;
mod layout;
mod manifest;
pub mod report;
mod source;
mod split;
mod summary;
mod synthetic;
mod walk;

pub use error::{DataError, DataErrorKind};
pub use import::{ImportOutcome, ImportRequest, Progress, Stage, import_folder};
pub use manifest::{DatasetManifest, load_manifest};
pub use report::{ClassCounts, ImportReport, Labelling};
pub use source::StoreSource;
pub use split::{AssignedSplits, SplitPolicy, SplitRatios};
pub use summary::{ClassSamples, DatasetSummary, Sample, load_report, summary, total};
pub use synthetic::{SynthFormat, SynthOutcome, SynthRequest, synth_folder};
