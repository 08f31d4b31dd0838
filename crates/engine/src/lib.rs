//! What learns: executes a layer graph forward and backward, fits its weights, keeps them in
//! checkpoints and writes them as ONNX.
//!
//! This is the only crate that names Burn, and nothing of Burn shows in its public interface.
//! It does not score: validation outputs go to the caller's [`train::TrainObserver`].

pub mod checkpoint;
pub mod error;
pub mod executor;
mod file;
mod fitting;
mod init;
mod loss;
pub mod onnx_export;
mod optimizer;
mod parameters;
pub mod schedule;
pub mod state;
pub mod train;
pub mod weights;

pub use error::{EngineError, EngineErrorKind};
pub use state::{State, StateTensor};
