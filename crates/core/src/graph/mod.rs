//! A model as a graph of layers, as data.
//!
//! Training, ONNX export, the summary and the picture on the model's page all read the same
//! [`Graph`]. [`Graph::shapes`] checks it and says what each layer gives and costs;
//! [`Graph::tensors`] lists its weights by name.

mod costs;
mod error;
mod initialization;
mod op;
mod options;
mod output_shape;
mod read;
mod shapes;
mod summary;
mod tensors;
#[cfg(test)]
mod tests;
pub mod zoo;

use serde::{Deserialize, Serialize};

pub use error::{GraphError, GraphErrorKind};
pub use initialization::{Initialization, WeightInit};
pub use op::{LAYER_SCALE, NORM_EPSILON, NORM_MOMENTUM, Op, Size, adaptive_window};
pub use shapes::{LayerInfo, MAX_ACTIVATIONS, MAX_LAYERS, MAX_PARAMETERS};
pub use summary::{LayerSummary, Summary, summary};
pub use tensors::{TensorRole, TensorSpec};

use crate::config::schema::ModelConfig;

/// The name by which a layer's `inputs` call the image.
pub const IMAGE: &str = "input";

/// A network: layers in execution order, from one image input to logits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// Architecture name.
    pub name: String,
    /// Input shape without the batch: `[channels, height, width]`.
    pub input: [usize; 3],
    /// Layers in execution order (an input is always above its user).
    pub layers: Vec<Layer>,
    /// The layer whose output is the embedding, `[batch, features]`; when absent, what the last
    /// linear layer reads (see [`Graph::embedding_layer`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<String>,
    /// How the weights begin.
    #[serde(default, skip_serializing_if = "Initialization::is_default")]
    pub initialization: Initialization,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Unique name with dots, as torchvision or timm call it; weights are stored as `name.weight`.
    pub name: String,
    /// What it computes.
    #[serde(flatten)]
    pub op: Op,
    /// Layers it reads, or [`IMAGE`]; empty means the layer above (the image for the first).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
}

impl Graph {
    /// The graph that a configuration asks for: the user's own layers if it has them, else the
    /// built-in architecture of that name. Checked, with `classes` logits per image.
    ///
    /// # Errors
    /// A [`GraphError`] that names the layer, what was expected and what was got.
    pub fn from_config(
        model: &ModelConfig,
        input: [usize; 3],
        classes: usize,
    ) -> Result<Self, GraphError> {
        let graph = match &model.layers {
            Some(layers) => Self::from_layers(&model.name, input, classes, layers)?,
            None => {
                let options = zoo::ZooOptions {
                    dropout: model.dropout,
                    stochastic_depth: model.stochastic_depth,
                };
                zoo::build(&model.name, input, classes, &options)?
            }
        };
        graph.check(classes)?;
        Ok(graph)
    }

    /// Checks everything that [`Graph::shapes`] checks, that each image gives `classes` logits,
    /// and that the embedding is one row of features.
    ///
    /// # Errors
    /// A [`GraphError`] that names the layer, what was expected and what was got.
    pub fn check(&self, classes: usize) -> Result<Vec<LayerInfo>, GraphError> {
        let infos = self.shapes()?;
        self.check_output(&infos, classes)?;
        self.check_embedding(&infos)?;
        Ok(infos)
    }

    /// The names of the layers that layer number `index` reads: [`IMAGE`] for the image.
    pub fn inputs_of(&self, index: usize) -> Vec<&str> {
        let layer = &self.layers[index];
        if !layer.inputs.is_empty() {
            return layer.inputs.iter().map(String::as_str).collect();
        }
        let above = index.checked_sub(1).map(|above| &self.layers[above]);
        vec![above.map_or(IMAGE, |above| above.name.as_str())]
    }

    /// The layer whose output is the embedding: the one named by [`Graph::embedding`], else the
    /// one that the last linear layer reads; none in a graph without a linear layer.
    pub fn embedding_layer(&self) -> Option<&str> {
        if let Some(named) = &self.embedding {
            return Some(named);
        }
        let head = self
            .layers
            .iter()
            .rposition(|layer| matches!(layer.op, Op::Linear { .. }))?;
        self.inputs_of(head).first().copied()
    }

    /// The layer whose output is the logits: the last.
    pub fn output_layer(&self) -> Option<&str> {
        self.layers.last().map(|layer| layer.name.as_str())
    }

    fn check_output(&self, infos: &[LayerInfo], classes: usize) -> Result<(), GraphError> {
        let Some(last) = infos.last() else {
            return Ok(());
        };
        if last.output_shape == [classes] {
            return Ok(());
        }
        Err(GraphError::layer(
            GraphErrorKind::WrongOutput,
            &last.name,
            format!(
                "the last layer gives {} per image, expected [{classes}]: one number per class",
                shapes::display_shape(&last.output_shape)
            ),
        )
        .with_hint(self.end_hint(&last.output_shape)))
    }

    /// How to end with one row of logits, for a graph whose last layer gives `shape`.
    fn end_hint(&self, shape: &[usize]) -> &'static str {
        let ends_in_linear = matches!(
            self.layers.last().map(|layer| &layer.op),
            Some(Op::Linear { .. })
        );
        if ends_in_linear && shape.len() > 1 {
            return "put `op: flatten` above it";
        }
        "end with `op: linear` and `out_features: classes`"
    }

    fn check_embedding(&self, infos: &[LayerInfo]) -> Result<(), GraphError> {
        let Some(name) = self.embedding_layer() else {
            return Ok(());
        };
        let Some(info) = infos.iter().find(|info| info.name == name) else {
            return Err(GraphError::graph(
                GraphErrorKind::UnknownInput,
                format!("the embedding is layer `{name}`, but the graph has no such layer"),
            ));
        };
        if info.output_shape.len() == 1 {
            return Ok(());
        }
        Err(GraphError::layer(
            GraphErrorKind::ShapeMismatch,
            name,
            format!(
                "the embedding gives {} per image, expected one row of features",
                shapes::display_shape(&info.output_shape)
            ),
        ))
    }
}
