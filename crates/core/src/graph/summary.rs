//! What a network is and costs, layer by layer: the data of `ferrotype summary`.

use std::collections::{HashMap, HashSet};

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
    /// Those of a training step, forward and backward, when every layer is fitted; the optimiser's
    /// are not counted.
    pub training_flops: u64,
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
    /// Those of a training step, forward and backward.
    pub training_flops: u64,
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
        training_flops: total(|layer| layer.training_flops),
        output_elements: total(|layer| layer.output_elements),
        layers,
    })
}

fn layers(graph: &Graph, infos: Vec<LayerInfo>) -> Vec<LayerSummary> {
    let mut shapes: HashMap<String, Vec<usize>> =
        HashMap::from([(IMAGE.to_string(), graph.input.to_vec())]);
    // Layers whose output depends on a weight: only their gradient is wanted.
    let mut learning: HashSet<String> = HashSet::new();
    infos
        .into_iter()
        .map(|info| {
            let passes_on = info.inputs.iter().any(|name| learning.contains(name));
            if passes_on || info.parameters > 0 {
                learning.insert(info.name.clone());
            }
            let read = info.inputs.iter().filter_map(|name| shapes.get(name));
            let input_shapes = read.cloned().collect();
            shapes.insert(info.name.clone(), info.output_shape.clone());
            LayerSummary {
                training_flops: training_flops(&info, passes_on),
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

/// A product has a gradient by its weight and one by its input, each as dear as itself; other
/// layers are counted twice in the backward pass. Without a weight below, nobody asks for the
/// gradient by the input (`passes_on`).
fn training_flops(info: &LayerInfo, passes_on: bool) -> u64 {
    let is_product = matches!(info.op, "conv2d" | "linear");
    let backward = match (is_product, passes_on) {
        (true, passes_on) => 1 + u64::from(passes_on),
        (false, true) => 2,
        (false, false) => u64::from(info.parameters > 0),
    };
    info.flops.saturating_mul(1 + backward)
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
        // The first convolution needs no gradient by the image.
        assert_eq!(conv1.training_flops, 2 * conv1.flops);
        assert_eq!(
            layer("layer1.0.conv1").unwrap().training_flops,
            3 * layer("layer1.0.conv1").unwrap().flops
        );
        assert_eq!(summary.training_flops, 3 * summary.flops - conv1.flops);
        // A running mean and variance for each of the 4,800 channels that are normalised.
        assert_eq!(summary.buffers, 2 * 4_800);
    }
}
