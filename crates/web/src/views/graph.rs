//! The layers of a network, with shapes and costs.

use ferrotype_core::graph::{Graph, LayerInfo};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A network as a graph of layers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct GraphView {
    /// The architecture's name.
    #[schema(example = "baseline")]
    pub(crate) name: String,
    /// Input shape without the batch: channels, height, width.
    #[schema(example = json!([3, 48, 48]))]
    pub(crate) input: Vec<usize>,
    /// The layers in execution order.
    pub(crate) layers: Vec<LayerView>,
    /// The layer whose output is the embedding.
    pub(crate) embedding: Option<String>,
    /// Numbers that training fits.
    pub(crate) parameters: u64,
    /// Floating-point operations for one picture.
    pub(crate) flops: u64,
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct LayerView {
    /// Its name.
    #[schema(example = "features.0.conv")]
    pub(crate) name: String,
    /// The operation.
    #[schema(example = "conv2d")]
    pub(crate) op: String,
    /// The operation's settings, in short.
    #[schema(example = "out_channels 32, kernel 3, padding 1")]
    pub(crate) settings: String,
    /// The layers it reads; `input` is the picture.
    pub(crate) inputs: Vec<String>,
    /// Output shape without the batch.
    pub(crate) output_shape: Vec<usize>,
    /// Numbers that training fits.
    pub(crate) parameters: u64,
    /// Floating-point operations for one picture.
    pub(crate) flops: u64,
}

impl GraphView {
    /// The graph with its shapes; nothing when it does not pass its own checks.
    pub(crate) fn new(graph: &Graph) -> Option<Self> {
        let infos = graph
            .shapes()
            .inspect_err(|error| tracing::warn!(%error, "a stored layer graph is not valid"))
            .ok()?;
        Some(Self {
            name: graph.name.clone(),
            input: graph.input.to_vec(),
            embedding: graph.embedding_layer().map(ToString::to_string),
            parameters: infos.iter().map(|info| info.parameters).sum(),
            flops: infos.iter().map(|info| info.flops).sum(),
            layers: graph
                .layers
                .iter()
                .zip(infos)
                .map(|(layer, info)| LayerView::new(&settings(&layer.op), info))
                .collect(),
        })
    }
}

impl LayerView {
    fn new(settings: &str, info: LayerInfo) -> Self {
        Self {
            name: info.name,
            op: info.op.to_string(),
            settings: settings.to_string(),
            inputs: info.inputs,
            output_shape: info.output_shape,
            parameters: info.parameters,
            flops: info.flops,
        }
    }
}

/// The settings that differ from the defaults, as `key value` pairs.
fn settings(op: &impl Serialize) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(op) else {
        return String::new();
    };
    let pairs: Vec<String> = fields
        .iter()
        .filter(|(key, _)| *key != "op")
        .map(|(key, value)| match value {
            Value::Array(sizes) => {
                let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
                format!("{key} {}", sizes.join("×"))
            }
            other => format!("{key} {other}"),
        })
        .collect();
    pairs.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrotype_core::graph::zoo;

    #[test]
    fn a_graph_tells_its_settings_shapes_and_costs() {
        let graph = zoo::build("baseline", [3, 48, 48], 6, &Default::default()).unwrap();
        let view = GraphView::new(&graph).unwrap();
        let first = &view.layers[0];
        assert_eq!(first.op, "conv2d");
        assert!(first.settings.contains("kernel 3"), "{}", first.settings);
        assert_eq!(first.inputs, ["input"]);
        assert_eq!(view.layers.last().unwrap().output_shape, [6]);
        assert!(view.parameters > 90_000 && view.flops > view.parameters);
    }
}
