//! What a network is and costs, layer by layer: the data of `ferrotype summary`.

use std::collections::HashMap;

use serde::Serialize;

use super::costs::element_count;
use super::{Graph, GraphError, IMAGE, LayerInfo};

/// What a network is and costs, for one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The architecture's name.
    pub name: String,
    /// Shape of the image, `[channels, height, width]`.
    pub input: [usize; 3],
    /// Its layers in execution order.
    pub layers: Vec<LayerSummary>,
    /// Numbers that training fits.
    pub parameters: u64,
    /// Numbers that are kept but not fitted: running statistics.
    pub buffers: u64,
    /// Floating-point operations of the forward pass; a multiply-add counts as two.
    pub flops: u64,
    /// Numbers that the layers give, the image not counted.
    pub output_elements: u64,
}

/// What a layer is and costs, for one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerSummary {
    /// The layer's name.
    pub name: String,
    /// The operation's name.
    pub op: &'static str,
    /// Shapes of what it reads, without the batch.
    pub input_shapes: Vec<Vec<usize>>,
    /// Shape of what it gives: `[channels, height, width]` or `[features]`.
    pub output_shape: Vec<usize>,
    /// Numbers that training fits.
    pub parameters: u64,
    /// Floating-point operations of the forward pass; a multiply-add counts as two.
    pub flops: u64,
    /// Numbers that it gives.
    pub output_elements: u64,
}

/// Measures a graph.
///
/// # Errors
/// The graph does not pass [`Graph::shapes`].
pub fn summary(graph: &Graph) -> Result<Summary, GraphError> {
    let infos = graph.shapes()?;
    let buffers = graph.tensors()?;
    let buffers = buffers
        .iter()
        .filter(|tensor| !tensor.role.is_trained())
        .map(|tensor| tensor.element_count() as u64)
        .sum();
    let layers = layers(graph, infos);
    let total =
        |part: fn(&LayerSummary) -> u64| layers.iter().map(part).fold(0, u64::saturating_add);
    Ok(Summary {
        name: graph.name.clone(),
        input: graph.input,
        parameters: total(|layer| layer.parameters),
        buffers,
        flops: total(|layer| layer.flops),
        output_elements: total(|layer| layer.output_elements),
        layers,
    })
}

fn layers(graph: &Graph, infos: Vec<LayerInfo>) -> Vec<LayerSummary> {
    let mut shapes: HashMap<String, Vec<usize>> =
        HashMap::from([(IMAGE.to_string(), graph.input.to_vec())]);
    infos
        .into_iter()
        .map(|info| {
            let read = info.inputs.iter().filter_map(|name| shapes.get(name));
            let input_shapes = read.cloned().collect();
            shapes.insert(info.name.clone(), info.output_shape.clone());
            LayerSummary {
                input_shapes,
                output_elements: element_count(&info.output_shape),
                name: info.name,
                op: info.op,
                output_shape: info.output_shape,
                parameters: info.parameters,
                flops: info.flops,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::zoo;

    #[test]
    fn a_summary_says_what_each_layer_reads_gives_and_costs() {
        let graph = zoo::build("resnet18", [3, 224, 224], 1000, &Default::default()).unwrap();
        let summary = summary(&graph).unwrap();
        let layer = |name: &str| summary.layers.iter().find(|layer| layer.name == name);
        let conv1 = layer("conv1").unwrap();
        assert_eq!(conv1.input_shapes, [[3, 224, 224]]);
        assert_eq!(conv1.output_elements, 64 * 112 * 112);
        assert_eq!(
            layer("layer2.0.add").unwrap().input_shapes,
            vec![vec![128, 28, 28]; 2]
        );
        assert_eq!(summary.parameters, 11_689_512);
        // torchvision publishes 1.814 billion multiply-adds, those of convolutions and linear layers.
        let products: u64 = summary
            .layers
            .iter()
            .filter(|layer| matches!(layer.op, "conv2d" | "linear"))
            .map(|layer| layer.flops / 2)
            .sum();
        assert_eq!(products / 1_000_000, 1814);
        // A running mean and variance for each of the 4,800 channels that are normalised.
        assert_eq!(summary.buffers, 2 * 4_800);
    }
}
