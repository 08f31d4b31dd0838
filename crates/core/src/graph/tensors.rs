//! The named tensors of a graph: what a checkpoint holds.

use super::costs::element_count;
use super::{Graph, GraphError, Op};

/// What a tensor is to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorRole {
    /// The weight of a convolution or a linear layer.
    Weight,
    /// The bias of a convolution or a linear layer.
    Bias,
    /// The scale of a normalisation.
    NormWeight,
    /// The shift of a normalisation.
    NormBias,
    /// Running mean of a normalisation; not fitted by gradients.
    RunningMean,
    /// Running variance (unbiased) of a normalisation; not fitted by gradients.
    RunningVar,
    /// The factors of a layer scale.
    LayerScale,
    /// The token that a class token layer puts before the others.
    ClassToken,
    /// What a position embedding adds.
    PositionEmbedding,
}

impl TensorRole {
    /// Whether gradients change it; running statistics are buffers.
    pub const fn is_trained(self) -> bool {
        !matches!(self, Self::RunningMean | Self::RunningVar)
    }

    /// Whether weight decay applies: to weights, not to biases, normalisation, layer scales and
    /// what is fitted about tokens (as timm has it).
    pub const fn decays(self) -> bool {
        matches!(self, Self::Weight)
    }

    /// PyTorch's name of it inside its layer; none for a tensor that goes by the layer's name.
    pub const fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Weight | Self::NormWeight => Some("weight"),
            Self::Bias | Self::NormBias => Some("bias"),
            Self::RunningMean => Some("running_mean"),
            Self::RunningVar => Some("running_var"),
            Self::LayerScale => Some("gamma"),
            Self::ClassToken | Self::PositionEmbedding => None,
        }
    }

    /// The full name of the tensor in the layer `layer`: `conv1.weight`, `pos_embed`.
    pub fn tensor_name(self, layer: &str) -> String {
        match self.suffix() {
            Some(suffix) => format!("{layer}.{suffix}"),
            None => layer.to_string(),
        }
    }
}

/// A named tensor of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Position of its layer in [`Graph::layers`].
    pub layer: usize,
    /// Full name, as [`TensorRole::tensor_name`] makes it.
    pub name: String,
    /// What it is to its layer.
    pub role: TensorRole,
    /// Shape, as PyTorch has it.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// How many numbers it holds.
    pub fn element_count(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Graph {
    /// All tensors of the graph in execution order, each layer's in PyTorch's order.
    ///
    /// # Errors
    /// The graph does not pass [`Graph::shapes`].
    pub fn tensors(&self) -> Result<Vec<TensorSpec>, GraphError> {
        let infos = self.shapes()?;
        let shape_of = |name: &str| {
            infos
                .iter()
                .find(|info| info.name == name)
                .map_or(self.input.as_slice(), |info| info.output_shape.as_slice())
        };
        let mut specs = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let input = self
                .inputs_of(index)
                .first()
                .map_or(&[][..], |name| shape_of(name));
            for (role, shape) in layer_tensors(&layer.op, input) {
                specs.push(TensorSpec {
                    layer: index,
                    name: role.tensor_name(&layer.name),
                    role,
                    shape,
                });
            }
        }
        Ok(specs)
    }
}

/// Role and shape of each tensor of a layer that reads `input` (without the batch).
pub(super) fn layer_tensors(op: &Op, input: &[usize]) -> Vec<(TensorRole, Vec<usize>)> {
    let channels = input.first().copied().unwrap_or_default();
    match op {
        Op::Conv2d {
            out_channels,
            kernel,
            groups,
            bias,
            ..
        } => {
            let weight = vec![
                *out_channels,
                channels / groups,
                kernel.height,
                kernel.width,
            ];
            with_bias(weight, *out_channels, *bias)
        }
        Op::Linear { out_features, bias } => {
            with_bias(vec![*out_features, channels], *out_features, *bias)
        }
        Op::BatchNorm2d { .. } => [
            TensorRole::NormWeight,
            TensorRole::NormBias,
            TensorRole::RunningMean,
            TensorRole::RunningVar,
        ]
        .map(|role| (role, vec![channels]))
        .to_vec(),
        Op::LayerNorm { .. } => [TensorRole::NormWeight, TensorRole::NormBias]
            .map(|role| (role, vec![channels]))
            .to_vec(),
        Op::LayerScale { .. } => vec![(TensorRole::LayerScale, vec![channels])],
        Op::ClassToken {} => vec![(TensorRole::ClassToken, vec![1, 1, channels])],
        Op::PositionEmbedding {} => {
            let tokens = input.iter().skip(1).product();
            vec![(TensorRole::PositionEmbedding, vec![1, tokens, channels])]
        }
        _ => Vec::new(),
    }
}

fn with_bias(weight: Vec<usize>, outputs: usize, bias: bool) -> Vec<(TensorRole, Vec<usize>)> {
    let mut tensors = vec![(TensorRole::Weight, weight)];
    if bias {
        tensors.push((TensorRole::Bias, vec![outputs]));
    }
    tensors
}

/// How many numbers training fits in a layer that reads `input`.
pub(super) fn parameter_count(op: &Op, input: &[usize]) -> u64 {
    layer_tensors(op, input)
        .iter()
        .filter(|(role, _)| role.is_trained())
        .map(|(_, shape)| element_count(shape))
        .fold(0, u64::saturating_add)
}
