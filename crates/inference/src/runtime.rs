//! What runs a network: rten, which is built in, or ONNX Runtime, loaded when its library is there.

mod guard;
mod library;
mod onnx_runtime;
mod rten;

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::InferenceError;
pub use library::use_library;

/// Which runtime answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RuntimeChoice {
    /// ONNX Runtime when its library is found, rten otherwise.
    #[default]
    Auto,
    /// The built-in runtime.
    Rten,
    /// ONNX Runtime; an error when its library is not found.
    OnnxRuntime,
}

impl RuntimeChoice {
    /// All choices, in the order they are shown.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Rten, Self::OnnxRuntime];

    /// The choice's name: `auto`, `rten` or `onnxruntime`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Rten => "rten",
            Self::OnnxRuntime => "onnxruntime",
        }
    }
}

impl fmt::Display for RuntimeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RuntimeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|choice| choice.as_str() == text)
            .ok_or_else(|| {
                format!("`{text}` is no runtime; expected `auto`, `rten` or `onnxruntime`")
            })
    }
}

/// What a network answers for a batch of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Outputs {
    /// The answer, `[batch, classes]` row by row.
    pub answer: Vec<f32>,
    /// The embedding, `[batch, features]` row by row, when the network has one.
    pub embedding: Option<Vec<f32>>,
}

/// A network that a runtime has loaded. It may be run from several threads at once.
pub trait Network: Send + Sync {
    /// Runs images `[batch, channels, height, width]`, row by row.
    ///
    /// # Errors
    /// When the runtime cannot run the network on them.
    fn run(&self, input: &[f32], batch: usize) -> Result<Outputs, InferenceError>;
}

/// What a runtime needs to know besides the file to load a network.
#[derive(Debug, Clone)]
pub(crate) struct NetworkOptions {
    pub(crate) input_name: String,
    pub(crate) output_name: String,
    pub(crate) embedding_name: Option<String>,
    /// Channels, height and width of an image.
    pub(crate) image_shape: [usize; 3],
    pub(crate) threads: NonZeroUsize,
}

/// A loaded network and the name of its runtime.
pub(crate) struct LoadedNetwork {
    pub(crate) network: Box<dyn Network>,
    pub(crate) runtime_name: String,
}

/// ONNX Runtime as found on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnnxRuntimeInfo {
    /// The library, as a path or as the name that the system's loader resolved.
    pub library: String,
    /// Its version, such as `1.31`.
    pub version: String,
}

/// The runtimes of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeInfo {
    /// The built-in runtime with its version.
    pub built_in: String,
    /// ONNX Runtime, when its library is found and usable.
    pub onnx_runtime: Option<OnnxRuntimeInfo>,
    /// Why ONNX Runtime is not used, when it is not.
    pub onnx_runtime_problem: Option<String>,
    /// The runtime that [`RuntimeChoice::Auto`] means here.
    pub auto: RuntimeChoice,
}

/// Looks which runtimes there are. The first call may load ONNX Runtime's library, which then
/// stays for the life of the process.
pub fn runtimes() -> RuntimeInfo {
    let (onnx_runtime, problem) = match library::attach() {
        Ok(attached) => (Some(attached.info), None),
        Err(error) => (None, Some(error.to_string())),
    };
    RuntimeInfo {
        built_in: rten::NAME.into(),
        auto: match onnx_runtime {
            Some(_) => RuntimeChoice::OnnxRuntime,
            None => RuntimeChoice::Rten,
        },
        onnx_runtime,
        onnx_runtime_problem: problem,
    }
}

/// Loads a network with the chosen runtime.
pub(crate) fn load(
    onnx: &[u8],
    choice: RuntimeChoice,
    options: &NetworkOptions,
) -> Result<LoadedNetwork, InferenceError> {
    match choice {
        RuntimeChoice::Rten => rten::load(onnx, options),
        RuntimeChoice::OnnxRuntime => onnx_runtime::load(onnx, &library::attach()?, options),
        RuntimeChoice::Auto => match library::attach() {
            Ok(attached) => onnx_runtime::load(onnx, &attached, options),
            Err(error) => {
                tracing::debug!(%error, "ONNX Runtime is not used");
                rten::load(onnx, options)
            }
        },
    }
}

/// A number of threads from a setting where 0 means all cores.
pub(crate) fn thread_count(setting: usize) -> NonZeroUsize {
    NonZeroUsize::new(setting)
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for choice in RuntimeChoice::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!("tensorrt".parse::<RuntimeChoice>().is_err());
    }
}
