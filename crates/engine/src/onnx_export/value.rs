//! What flows between nodes.

use ferrotype_core::graph::Op;

/// Where a value has its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[batch, channels, height, width]`, as convolutions and poolings have it.
    ChannelsFirst,
    /// `[batch, height, width, channels]`, as matrix products and normalisation over the channels
    /// have it.
    ChannelsLast,
}

/// A layer's output as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) name: String,
    /// The layer's output shape: `[channels, height, width]` or `[features]`, whatever the layout.
    pub(super) shape: Vec<usize>,
    /// Of no account for a row of features.
    pub(super) layout: Layout,
}

/// The layout in which an operation gives `shape` when its first input is `input`: that of the
/// input where it does not matter, so that few values are transposed.
pub(super) fn output_layout(op: &Op, input: &Value, shape: &[usize]) -> Layout {
    if shape.len() != 3 {
        return Layout::ChannelsFirst;
    }
    match op {
        Op::Conv2d { .. }
        | Op::BatchNorm2d { .. }
        | Op::MaxPool2d { .. }
        | Op::AvgPool2d { .. }
        | Op::GlobalAvgPool {}
        | Op::AdaptiveAvgPool2d { .. }
        | Op::Concat {} => Layout::ChannelsFirst,
        Op::Linear { .. }
        | Op::LayerNorm { .. }
        | Op::ClassToken {}
        | Op::PositionEmbedding {}
        | Op::Attention { .. } => Layout::ChannelsLast,
        _ => input.layout,
    }
}
