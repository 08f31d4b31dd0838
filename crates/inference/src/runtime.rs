//! What runs a network: the native executor, rten, which is built in as well, or ONNX Runtime, loaded
//! when its library is there.

mod guard;
mod library;
mod onnx_runtime;
mod rten;

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::InferenceError;
use crate::native;
use crate::onnx::{Document, OnnxLimits, OnnxSource, with_document};
pub(crate) use guard::guarded;
pub use library::use_library;

/// Which runtime answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RuntimeChoice {
    /// The native executor when it knows all of the network; else ONNX Runtime when its library is
    /// found, rten otherwise.
    #[default]
    Auto,
    /// The executor of this program; an error when it does not know all of the network.
    Native,
    /// The built-in runtime with most operators.
    Rten,
    /// ONNX Runtime; an error when its library is not found.
    OnnxRuntime,
}

impl RuntimeChoice {
    /// All choices, in the order they are shown.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Native, Self::Rten, Self::OnnxRuntime];

    /// The choice's name: `auto`, `native`, `rten` or `onnxruntime`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
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
        if text == "ort" {
            return Ok(Self::OnnxRuntime);
        }
        Self::ALL
            .into_iter()
            .find(|choice| choice.as_str() == text)
            .ok_or_else(|| {
                format!(
                    "`{text}` is no runtime; expected `auto`, `native`, `rten` or `onnxruntime`"
                )
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

/// What a step of a network's run costs: a layer with what is computed along with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepCost {
    /// The operator and the node's name.
    pub name: String,
    /// How it is computed and on what, in words for reports.
    pub method: String,
    /// What it took.
    pub duration: Duration,
    /// Floating-point operations of convolutions and products by their definition, a multiply-add
    /// as two, however they are computed; 0 of anything else.
    pub flops: u64,
    /// Bytes of what is read and written: activations, and weights as they are packed.
    pub bytes: u64,
}

/// A network that a runtime has loaded. It may be run from several threads at once.
pub trait Network: Send + Sync {
    /// Runs images `[batch, channels, height, width]`, row by row.
    ///
    /// # Errors
    /// When the runtime cannot run the network on them.
    fn run(&self, input: &[f32], batch: usize) -> Result<Outputs, InferenceError>;

    /// Runs images and tells what each step cost, in their order, where the runtime can tell.
    fn profile(&self, _input: &[f32], _batch: usize) -> Option<Vec<StepCost>> {
        None
    }
}

/// What a runtime needs to know besides the file to load a network.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// Name of the input that takes images.
    pub input_name: String,
    /// Name of the output that answers.
    pub output_name: String,
    /// Name of the output with the features, if there is one.
    pub embedding_name: Option<String>,
    /// Channels, height and width of an image.
    pub image_shape: [usize; 3],
    /// The only number of images that the network takes, if it insists on one.
    pub fixed_batch: Option<usize>,
    /// Threads for one run.
    pub threads: NonZeroUsize,
}

/// A loaded network and its runtime.
pub struct LoadedNetwork {
    /// The network.
    pub network: Box<dyn Network>,
    /// Name and version of its runtime.
    pub runtime_name: String,
    /// Why the native executor does not run it, where that was asked: the operator and what of it.
    pub refusal: Option<String>,
}

impl fmt::Debug for LoadedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedNetwork")
            .field("runtime_name", &self.runtime_name)
            .finish_non_exhaustive()
    }
}

/// Loads a network of any shape of output, without a manifest.
///
/// # Errors
/// When the file is damaged or too large, or the runtime cannot load it.
pub fn load_network<'a>(
    onnx: impl Into<OnnxSource<'a>>,
    choice: RuntimeChoice,
    options: &NetworkOptions,
) -> Result<LoadedNetwork, InferenceError> {
    with_document(onnx.into(), &OnnxLimits::default(), |document| {
        load(document, choice, options)
    })
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
    /// The runtime that [`RuntimeChoice::Auto`] means here for networks that the native executor does
    /// not know.
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

/// Runs a network once on the native executor, on one input of any shape: for checks against ONNX's
/// own test data.
///
/// # Errors
/// The file is damaged or too large, or the executor does not run it (an unsupported operator).
#[doc(hidden)]
pub fn run_natively(
    onnx: &[u8],
    names: [&str; 2],
    shape: &[usize],
    input: &[f32],
) -> Result<Vec<f32>, InferenceError> {
    let limits = native::Limits::default();
    run_natively_within(
        onnx,
        names,
        shape,
        input,
        [limits.numbers as u64, limits.work],
    )
}

/// As [`run_natively`], with at most so many numbers at a time and multiplications for an image: for
/// checks of damaged files.
///
/// # Errors
/// As [`run_natively`], and for a network beyond the limits.
#[doc(hidden)]
pub fn run_natively_within(
    onnx: &[u8],
    names: [&str; 2],
    shape: &[usize],
    input: &[f32],
    [numbers, work]: [u64; 2],
) -> Result<Vec<f32>, InferenceError> {
    let document = Document::open(onnx.into(), &OnnxLimits::default())?;
    let limits = native::Limits {
        numbers: usize::try_from(numbers).unwrap_or(usize::MAX),
        work,
    };
    guarded(native::NAME, "running the model", || {
        native::run_once(&document, names, shape, input, limits)
            .map_err(native::Refusal::into_error)
    })
}

/// Loads a network with the chosen runtime.
pub(crate) fn load(
    document: &Document<'_>,
    choice: RuntimeChoice,
    options: &NetworkOptions,
) -> Result<LoadedNetwork, InferenceError> {
    match choice {
        RuntimeChoice::Rten => rten::load(document.whole()?, options),
        RuntimeChoice::OnnxRuntime => {
            onnx_runtime::load(&document.whole()?, &library::attach()?, options)
        }
        RuntimeChoice::Native => {
            load_native(document, options)?.map_err(native::Refusal::into_error)
        }
        RuntimeChoice::Auto => match load_native(document, options) {
            Ok(Ok(loaded)) => Ok(loaded),
            Ok(Err(refusal)) => load_elsewhere(document, options, refusal.text()),
            // It broke down, which is its own fault.
            Err(error) => load_elsewhere(document, options, error.to_string()),
        },
    }
}

/// Loads a network with the native executor: a panic is an error apart from a refusal.
fn load_native(
    document: &Document<'_>,
    options: &NetworkOptions,
) -> Result<Result<LoadedNetwork, native::Refusal>, InferenceError> {
    guarded(native::NAME, "loading the model", || {
        Ok(native::load(document, options))
    })
}

/// Loads a network that the native executor does not run.
fn load_elsewhere(
    document: &Document<'_>,
    options: &NetworkOptions,
    refusal: String,
) -> Result<LoadedNetwork, InferenceError> {
    tracing::info!(%refusal, "the native runtime does not run this model");
    let onnx = document.whole()?;
    let loaded = match library::attach() {
        Ok(attached) => onnx_runtime::load(&onnx, &attached, options),
        Err(error) => {
            tracing::debug!(%error, "ONNX Runtime is not used");
            rten::load(onnx, options)
        }
    };
    loaded.map(|loaded| LoadedNetwork {
        refusal: Some(refusal),
        ..loaded
    })
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
