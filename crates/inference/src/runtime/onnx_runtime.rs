//! Networks on ONNX Runtime, through its C interface.

use std::sync::{Mutex, PoisonError};

use ort::logging::LogLevel;
use ort::session::{Session, SessionOutputs};
use ort::value::TensorRef;

use super::guard::guarded;
use super::library::Attached;
use super::{LoadedNetwork, Network, NetworkOptions, Outputs};
use crate::error::{InferenceError, InferenceErrorKind};
use crate::onnx::node_with_operator;

/// The runtime's name.
const NAME: &str = "ONNX Runtime";

/// What ONNX Runtime says of an operator that it does not have, or not in the model's opset.
const UNKNOWN_OPERATOR: [&str; 3] = [
    "is not a registered function/op",
    "No Op registered for",
    "Could not find an implementation for",
];

/// A network that ONNX Runtime has loaded.
///
/// A session runs one batch at a time: parts of ONNX Runtime are not safe to enter twice, so `ort`
/// asks for exclusive access. Callers on several threads wait for each other; each batch has all
/// of the session's threads.
struct OnnxRuntimeNetwork {
    session: Mutex<Session>,
    options: NetworkOptions,
}

/// Loads a network.
pub(super) fn load(
    onnx: &[u8],
    attached: &Attached,
    options: &NetworkOptions,
) -> Result<LoadedNetwork, InferenceError> {
    guarded(NAME, "loading the model", || {
        let session =
            open_session(onnx, attached, options).map_err(|error| load_error(onnx, &error))?;
        let network = OnnxRuntimeNetwork {
            session: Mutex::new(session),
            options: options.clone(),
        };
        Ok(LoadedNetwork {
            network: Box::new(network),
            runtime_name: format!("{NAME} {}", attached.info.version),
            refusal: None,
        })
    })
}

fn open_session(
    onnx: &[u8],
    attached: &Attached,
    options: &NetworkOptions,
) -> ort::Result<Session> {
    Session::builder(&attached.environment)?
        .with_log_level(LogLevel::Warning)?
        .with_intra_threads(options.threads.get())?
        .with_inter_threads(1)?
        // Threads that spin while they wait take the cores from decoding, and from training.
        .with_intra_op_spinning(false)?
        .commit_from_memory(onnx)
}

fn load_error(onnx: &[u8], error: &ort::Error) -> InferenceError {
    let message = error.to_string();
    let unsupported = UNKNOWN_OPERATOR.iter().any(|text| message.contains(text));
    let kind = if unsupported {
        InferenceErrorKind::UnsupportedOperator
    } else {
        match error.code() {
            ort::ErrorCode::InvalidProtobuf | ort::ErrorCode::InvalidGraph => {
                InferenceErrorKind::Corrupt
            }
            _ => InferenceErrorKind::Failed,
        }
    };
    let node = unsupported
        .then(|| node_with_operator(onnx, |operator| names_operator(&message, operator)))
        .flatten();
    InferenceError::new(kind, format!("{NAME} cannot load the model: {message}")).at_node(node)
}

/// Whether a message names an operator as a word of its own.
fn names_operator(message: &str, operator: &str) -> bool {
    !operator.is_empty()
        && message
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .any(|word| word == operator)
}

impl Network for OnnxRuntimeNetwork {
    fn run(&self, input: &[f32], batch: usize) -> Result<Outputs, InferenceError> {
        guarded(NAME, "running the model", || {
            let [channels, height, width] = self.options.image_shape;
            let input = TensorRef::from_array_view(([batch, channels, height, width], input))
                .map_err(|error| run_error(&error))?;
            let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            let outputs = session
                .run(ort::inputs![self.options.input_name.as_str() => input])
                .map_err(|error| run_error(&error))?;
            let embedding_name = self.options.embedding_name.as_deref();
            Ok(Outputs {
                answer: output(&outputs, &self.options.output_name)?,
                embedding: embedding_name
                    .map(|name| output(&outputs, name))
                    .transpose()?,
            })
        })
    }
}

fn output(outputs: &SessionOutputs<'_>, name: &str) -> Result<Vec<f32>, InferenceError> {
    let value = outputs.get(name).ok_or_else(|| {
        InferenceError::new(
            InferenceErrorKind::Mismatch,
            format!("the network has no output named `{name}`"),
        )
    })?;
    let (_, numbers) = value.try_extract_tensor::<f32>().map_err(|error| {
        InferenceError::new(
            InferenceErrorKind::Mismatch,
            format!("the network's output `{name}` holds no 32-bit floats: {error}"),
        )
    })?;
    Ok(numbers.to_vec())
}

fn run_error(error: &ort::Error) -> InferenceError {
    InferenceError::new(
        InferenceErrorKind::Failed,
        format!("{NAME} cannot run the model: {error}"),
    )
}
