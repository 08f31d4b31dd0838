//! A model as a graph of layers, as data.

use serde::{Deserialize, Serialize};

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
    /// The layer whose output is the embedding, `[batch, features]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<String>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Unique name with dots, as torchvision or timm call it; weights are stored as `name.weight`.
    pub name: String,
    /// What it computes.
    #[serde(flatten)]
    pub op: Op,
    /// Layers it reads; empty means the layer above (the image for the first).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
}

/// What a layer computes, with its hyper-parameters. Input channels follow from the shapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Op {
    /// Rectified linear unit.
    Relu,
}
