//! Networks on rten, a runtime in Rust that is always there.

use std::borrow::Cow;
use std::sync::Arc;

use rten::{LoadErrorKind, NodeId, RunOptions, ThreadPool, ValueView};

use super::guard::guarded;
use super::{LoadedNetwork, Network, NetworkOptions, Outputs};
use crate::error::{InferenceError, InferenceErrorKind};

/// The runtime's name and version.
pub(super) const NAME: &str = "rten 0.27.0";

/// A network that rten has loaded.
struct RtenNetwork {
    model: rten::Model,
    input: NodeId,
    /// The answer, then the embedding if there is one.
    outputs: Vec<NodeId>,
    image_shape: [usize; 3],
    threads: Arc<ThreadPool>,
}

/// Loads a network.
pub(super) fn load(
    onnx: Cow<'_, [u8]>,
    options: &NetworkOptions,
) -> Result<LoadedNetwork, InferenceError> {
    guarded(NAME, "loading the model", || {
        let model = rten::Model::load(onnx.into_owned()).map_err(load_error)?;
        let node = |name: &str| {
            model.find_node(name).ok_or_else(|| {
                InferenceError::new(
                    InferenceErrorKind::Mismatch,
                    format!("the network has no input or output named `{name}`"),
                )
            })
        };
        let mut outputs = vec![node(&options.output_name)?];
        if let Some(embedding) = &options.embedding_name {
            outputs.push(node(embedding)?);
        }
        let network = RtenNetwork {
            input: node(&options.input_name)?,
            outputs,
            model,
            image_shape: options.image_shape,
            threads: Arc::new(ThreadPool::with_num_threads(options.threads.get())),
        };
        Ok(LoadedNetwork {
            network: Box::new(network),
            runtime_name: NAME.into(),
            refusal: None,
        })
    })
}

fn load_error(error: rten::LoadError) -> InferenceError {
    let kind = match error.kind() {
        LoadErrorKind::OperatorInvalid => InferenceErrorKind::UnsupportedOperator,
        LoadErrorKind::ParseError | LoadErrorKind::GraphError | LoadErrorKind::UnknownFileType => {
            InferenceErrorKind::Corrupt
        }
        LoadErrorKind::ExternalDataError => InferenceErrorKind::ExternalData,
        _ => InferenceErrorKind::Failed,
    };
    InferenceError::new(kind, format!("{NAME} cannot load the model: {error}"))
        .at_node(error.node().map(str::to_string))
}

impl Network for RtenNetwork {
    fn run(&self, input: &[f32], batch: usize) -> Result<Outputs, InferenceError> {
        guarded(NAME, "running the model", || {
            let [channels, height, width] = self.image_shape;
            let failed = |error: &dyn std::fmt::Display| {
                InferenceError::new(
                    InferenceErrorKind::Failed,
                    format!("{NAME} cannot run the model: {error}"),
                )
            };
            let input = ValueView::from_shape([batch, channels, height, width], input)
                .map_err(|error| failed(&error))?;
            let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.threads)));
            let values = self
                .model
                .run(
                    vec![(self.input, input.into())],
                    &self.outputs,
                    Some(options),
                )
                .map_err(|error| failed(&error))?;
            let mut tensors = values.into_iter().map(|value| {
                let kind = value.dtype();
                value
                    .into_tensor::<f32>()
                    .map(|tensor| tensor.into_data())
                    .ok_or_else(|| {
                        InferenceError::new(
                            InferenceErrorKind::Mismatch,
                            format!("the network's output is `{kind}`, expected 32-bit floats"),
                        )
                    })
            });
            Ok(Outputs {
                answer: tensors.next().transpose()?.unwrap_or_default(),
                embedding: tensors.next().transpose()?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::NAME;

    #[test]
    fn the_name_tells_the_version_that_is_built_in() {
        let manifest = include_str!("../../../../Cargo.toml");
        let version = NAME.trim_start_matches("rten ");
        assert!(
            manifest.contains(&format!("rten = {{ version = \"={version}\"")),
            "{NAME}"
        );
    }
}
