//! The kernels' shapes of layers.

use ferrotype_core::graph::Op;
use ferrotype_kernels::attention::Attention;
use ferrotype_kernels::convolution::Convolution;
use ferrotype_kernels::linear::Linear;
use ferrotype_kernels::pooling::{Grid, Pooling};

use crate::executor::plan::{Group, PlannedLayer};

/// The shape of a convolution layer; none when it is another.
pub(super) fn convolution(layer: &PlannedLayer, batch: usize) -> Option<Convolution> {
    let Op::Conv2d {
        kernel,
        stride,
        padding,
        dilation,
        groups,
        ..
    } = &layer.op
    else {
        return None;
    };
    let (input, output) = (layer.input_extents[0], layer.output);
    Some(Convolution {
        batch,
        input: input.sides(),
        output: output.sides(),
        in_channels: input.channels,
        out_channels: output.channels,
        kernel: kernel.to_array(),
        stride: stride.to_array(),
        padding: padding.to_array(),
        dilation: dilation.to_array(),
        groups: *groups,
    })
}

/// The shape of a pooling layer; none when it is another.
pub(super) fn pooling(layer: &PlannedLayer) -> Option<Pooling> {
    let (Op::MaxPool2d {
        kernel,
        stride,
        padding,
    }
    | Op::AvgPool2d {
        kernel,
        stride,
        padding,
    }) = &layer.op
    else {
        return None;
    };
    let (input, output) = (layer.input_extents[0], layer.output);
    Some(Pooling {
        input: input.sides(),
        output: output.sides(),
        channels: input.channels,
        kernel: kernel.to_array(),
        stride: stride.unwrap_or(*kernel).to_array(),
        padding: padding.to_array(),
    })
}

/// The shape of a pooling onto a grid.
pub(super) fn grid(group: &Group) -> Grid {
    Grid {
        input: group.input_extents[0].sides(),
        output: group.output.sides(),
        channels: group.output.channels,
    }
}

/// The shape of a linear layer, whose rows are the pixels of all images.
pub(super) fn linear(group: &Group, batch: usize) -> Linear {
    let input = group.input_extents[0];
    Linear {
        rows: batch * input.pixels(),
        inputs: input.channels,
        outputs: group.output.channels,
    }
}

/// The shape of an attention layer; none when it is another.
pub(super) fn attention(layer: &PlannedLayer) -> Option<Attention> {
    let Op::Attention { heads } = layer.op else {
        return None;
    };
    Some(Attention {
        tokens: layer.output.pixels(),
        channels: layer.output.channels,
        heads,
    })
}
