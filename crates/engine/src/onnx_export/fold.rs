//! Batch normalisation folded into the convolution above it.

use ferrotype_core::graph::{Graph, Op};

use crate::state::State;

/// The layer numbers of normalisations that go into the convolution above them, each with that
/// convolution's number: those that alone read a convolution.
pub(super) fn foldable(graph: &Graph) -> Vec<(usize, usize)> {
    let position = |name: &str| graph.layers.iter().position(|layer| layer.name == name);
    let readers = |name: &str| {
        (0..graph.layers.len())
            .flat_map(|index| graph.inputs_of(index))
            .filter(|read| *read == name)
            .count()
    };
    (0..graph.layers.len())
        .filter(|index| matches!(graph.layers[*index].op, Op::BatchNorm2d { .. }))
        .filter_map(|index| {
            let read = *graph.inputs_of(index).first()?;
            let convolution = position(read)?;
            let is_convolution = matches!(graph.layers[convolution].op, Op::Conv2d { .. });
            (is_convolution && readers(read) == 1).then_some((index, convolution))
        })
        .collect()
}

/// A convolution's weight and bias with the normalisation folded in.
pub(super) struct Folded {
    /// In the convolution's layout.
    pub(super) weight: Vec<f32>,
    /// `[out_channels]`
    pub(super) bias: Vec<f32>,
}

/// `weight · γ/√(σ² + ε)` and `(bias − μ) · γ/√(σ² + ε) + β` per output channel, in f64. None
/// when a tensor is missing.
pub(super) fn fold(
    state: &State,
    convolution: &str,
    normalization: &str,
    epsilon: f64,
) -> Option<Folded> {
    let values = |layer: &str, suffix: &str| {
        let tensor = state.get(&format!("{layer}.{suffix}"))?;
        Some(tensor.values.as_slice())
    };
    let weight = values(convolution, "weight")?;
    let bias = values(convolution, "bias");
    let gamma = values(normalization, "weight")?;
    let beta = values(normalization, "bias")?;
    let mean = values(normalization, "running_mean")?;
    let variance = values(normalization, "running_var")?;
    let mut folded = Folded {
        weight: Vec::with_capacity(weight.len()),
        bias: Vec::with_capacity(gamma.len()),
    };
    let per_channel = weight.len() / gamma.len().max(1);
    for (channel, weight) in weight.chunks_exact(per_channel.max(1)).enumerate() {
        let factor = f64::from(gamma[channel]) / (f64::from(variance[channel]) + epsilon).sqrt();
        let weights = weight.iter().map(|w| (f64::from(*w) * factor) as f32);
        folded.weight.extend(weights);
        let shift = bias.map_or(0.0, |bias| f64::from(bias[channel])) - f64::from(mean[channel]);
        folded
            .bias
            .push((shift * factor + f64::from(beta[channel])) as f32);
    }
    Some(folded)
}
