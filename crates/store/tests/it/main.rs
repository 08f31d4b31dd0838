//! The store against a real folder, real processes and a disk that is really full.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that tests share are test code too"
)]

mod blobs;
mod children;
mod datasets;
mod full_disk;
mod jobs;
mod killed;
mod metrics;
mod opening;
mod predictions;
mod processes;
mod registry;
mod runs;
mod support;
mod sweep;
