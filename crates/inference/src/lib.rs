//! Answers for images, from any ONNX model at run time.
//!
//! A [`Model`] is an ONNX file with a manifest in its metadata: it checks the file against limits,
//! picks a runtime ([`rten`](https://docs.rs/rten), built in, or ONNX Runtime when its library is
//! on the machine), brings images to the input with the very transform that training evaluates
//! with, and turns the network's numbers into probabilities. Plain threads, no HTTP.
//!
//! Nothing about a file is trusted: it is walked with limits before a runtime sees it, and a
//! panic inside a runtime becomes an error.

mod error;
mod model;
mod native;
mod onnx;
mod probability;
mod runtime;

pub use error::{InferenceError, InferenceErrorKind};
pub use model::{ClassProbability, Model, Prediction};
pub use onnx::{
    Dimension, ElementType, OnnxLimits, OnnxSummary, TensorInfo, embed_manifest, inspect,
    inspect_with_limits,
};
pub use probability::{sigmoid, softmax};
pub use runtime::{
    LoadedNetwork, Network, NetworkOptions, OnnxRuntimeInfo, Outputs, RuntimeChoice, RuntimeInfo,
    StepCost, load_network, run_natively, run_natively_within, runtimes, use_library,
};
