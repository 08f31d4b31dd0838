//! Where the time of a training goes: what is kept of a profile, and how it is shown.

mod summary;
mod terminal;
mod trace;

pub(crate) use summary::{Subject, Summary};
pub(crate) use terminal::{headline, layer_table, phase_table};
pub(crate) use trace::trace;

/// Name of the artifact with the times by phase and layer.
pub(crate) const SUMMARY_ARTIFACT: &str = "profile.json";

/// Name of the artifact with every span, and of its copy in the run's folder.
pub(crate) const TRACE_ARTIFACT: &str = "trace.json";

/// Where a trace can be looked at.
pub(crate) const VIEWER: &str = "https://ui.perfetto.dev";

/// The media type of both.
pub(crate) const MEDIA_TYPE: &str = "application/json";
