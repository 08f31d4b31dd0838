//! What Ferrotype keeps: a database and content-addressed blobs under one folder.
//!
//! [`Store`] is both. Every SQL statement of the project is in this crate. Database methods are
//! async; blobs, run folders and locks are plain `std::fs`, and [`Writer`] is a synchronous
//! handle for training threads.
//!
//! ```text
//! .ferrotype/
//!   ferrotype.db      the database
//!   blobs/ab/cdef…    content by its BLAKE3
//!   runs/<id>/        checkpoints, log and lock of one run
//!   jobs/<id>.lock    held by the process that works on the job
//! ```

mod artifacts;
mod atomic_file;
mod blob_batch;
mod blobs;
mod clock;
mod database;
mod datasets;
mod digest;
mod error;
mod evaluations;
mod jobs;
mod metrics;
mod migrate;
mod os_lock;
mod prediction_log;
mod predictions;
mod recovery;
mod registry;
mod row;
mod run_directory;
mod runs;
mod store;
mod sweep;
mod text_enum;
mod write_thread;
mod writer;

pub use artifacts::Artifact;
pub use atomic_file::{check_target, write_file_atomically};
pub use blob_batch::BlobBatch;
pub use blobs::Blobs;
pub use clock::SystemClock;
pub use datasets::{DatasetVersion, NewDatasetVersion};
pub use digest::{Digest, Hasher, ParseDigestError};
pub use error::{StoreError, StoreErrorKind};
pub use evaluations::{Evaluation, EvaluationSubject, NewEvaluation};
pub use jobs::{ClaimedJob, Job, JobFilter, JobOutcome, JobStatus};
pub use metrics::{CHUNK_POINTS, MetricPoint};
pub use migrate::SCHEMA_VERSION;
pub use prediction_log::{PredictionLog, PredictionLogOptions};
pub use predictions::{NewPrediction, Prediction, PredictionFilter};
pub use recovery::Recovered;
pub use registry::{Model, ModelVersion, NewModelVersion};
pub use run_directory::RunLock;
pub use runs::{NewRun, Run, RunFilter, RunStatus};
pub use store::{Store, StoreOptions};
pub use sweep::SweepReport;
pub use writer::{JobWatch, Writer};
